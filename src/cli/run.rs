//! `solderless run`.

mod images;
mod later;

use std::io::{self, BufReader};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::str::FromStr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, anyhow, bail};
use solderless_model::{Engine, SlotKind};

use super::Restored;
use crate::backend::{
    self, Backend, Block, Chardev, ExitOn, Filling, Forgotten, Image, LOST, Outside, To,
};
use crate::compose::{Loaded, Options};
use crate::diagnostics::{Problem, Report, Span};
use crate::files;
use crate::machine::{
    self, Door, End, Fittings, Header, Journal, Keep, LONGEST_NS, LogError, Machine, Pace,
    QUANTUM_NS, Run, Script, Trace,
};
use crate::monitor::{Maker, Sessions, Symbols, Vm};
use crate::plan::{BoardSlot, Plan};
use crate::state::{self, Description, Link, Stream, Uri, snapshots};
use crate::visible::{shown, visible};

/// Calendar time at power-on in deterministic mode: 2024-01-01 00:00:00 UTC.
const FIXED_EPOCH: i64 = 1_704_067_200;

/// The status of a run whose time is over.
const TIME_UP: u8 = 124;

/// The arguments of `solderless run`.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// A board's name (`malta`, `malta@1`), or the path of its file
    #[arg(add = super::complete::boards())]
    board: Option<String>,
    /// A file that says what to run: board, overlays, params, backends, what to boot. Options are stronger
    #[arg(long, value_name = "FILE")]
    run_file: Option<PathBuf>,
    /// Main memory, such as 256MiB: the board's parameter `ram`
    #[arg(long, value_name = "SIZE")]
    ram: Option<String>,
    /// CPU model, such as 24Kf: the board's parameter `cpu`
    #[arg(long, value_name = "MODEL")]
    cpu: Option<String>,
    /// How many CPUs: the board's parameter `cpus`
    #[arg(long, value_name = "NUMBER")]
    cpus: Option<String>,
    #[command(flatten)]
    layers: super::LayerArgs,
    /// Firmware image for the board's flash memory, as its build made it; or, where the board has it in memory, what starts a kernel
    #[arg(long, value_name = "FILE")]
    firmware: Option<PathBuf>,
    /// Kernel or bare-metal program to boot, an ELF file; without firmware, unless the board has that in memory
    #[arg(long, value_name = "FILE")]
    kernel: Option<PathBuf>,
    /// Initial RAM disk for the kernel
    #[arg(long, value_name = "FILE")]
    initrd: Option<PathBuf>,
    /// Command line for the kernel
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    append: Option<String>,
    #[arg(long, value_name = "SLOT=BACKEND", help = backend_help(), add = super::complete::slots())]
    backend: Vec<String>,
    #[arg(long, value_name = "NETWORK", help = net_help())]
    net: Vec<String>,
    /// Plug a disk into the board's first slot for one, again for the next: an image's path, or null|memory:SIZE|file:PATH[,OPTION…]
    #[arg(long, value_name = "DISK", value_hint = clap::ValueHint::FilePath)]
    disk: Vec<String>,
    /// Put a disc into the board's first drive for one, again for the next: an image's path
    #[arg(long, value_name = "DISC", value_hint = clap::ValueHint::FilePath)]
    cdrom: Vec<String>,
    /// Go on from a saved machine: file:PATH, exec:COMMAND, unix:PATH, tcp:HOST:PORT or fd:N; a board that is named too must be the saved one's.
    /// With defer the monitor's migrate_incoming says later where it comes from
    #[arg(long, visible_alias = "incoming", value_name = "URI", conflicts_with_all = ["firmware", "kernel", "initrd", "append"], add = super::complete::snapshots())]
    restore: Option<Arrival>,
    /// Save the machine where the run ends, to a place as for --restore
    #[arg(long, value_name = "URI")]
    save_on_exit: Option<Uri>,
    #[arg(long, value_name = "BACKEND", help = monitor_help())]
    monitor: Vec<String>,
    #[arg(long, value_name = "BACKEND", help = qmp_help())]
    qmp: Vec<String>,
    /// Let gdb debug the machine: tcp::PORT, tcp:HOST:PORT or unix:PATH, where one listens; without a host for this computer alone
    #[arg(long, value_name = "PLACE")]
    gdb: Option<String>,
    /// Short for --gdb tcp::1234
    #[arg(short = 's', conflicts_with = "gdb")]
    gdb_1234: bool,
    /// Start with the machine standing still; the monitor's command `cont` lets it go, or a debugger
    #[arg(short = 'S', long)]
    stopped: bool,
    /// The folder of the snapshots that the monitor saves and loads by name
    #[arg(long, value_name = "FOLDER", default_value = snapshots::FOLDER)]
    snapshots: PathBuf,
    /// An ELF file whose symbols the monitor knows, again for another; it knows those of --kernel and --firmware without this
    #[arg(long, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    symbols: Vec<PathBuf>,
    /// Trace points: DEVICE.read, DEVICE.write, CPU.exception, irq, parted by commas; * stands for any text. The monitor's `info trace` lists them
    #[arg(long, value_name = "POINTS")]
    trace: Vec<String>,
    /// Where traces go: a file, which is made anew; in JSON, a line for each, if its name ends with .json. Without this to standard error
    #[arg(long, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    trace_to: Option<PathBuf>,
    /// End the program when the guest prints this on a serial port, with status 1, or as in 0:PASS with another
    #[arg(long, value_name = "[STATUS:]TEXT")]
    exit_on: Vec<ExitOn>,
    /// Let programs end the run with a status by a call to whoever debugs them, such as UHI's exit
    #[arg(long)]
    semihosting: bool,
    /// End the program where the guest resets the board
    #[arg(long)]
    no_reboot: bool,
    /// End the program after this long, such as 60s, with status 124 (guest time if deterministic)
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    max_time: Option<Duration>,
    /// Time is instructions executed: equal inputs give equal runs
    #[arg(long)]
    deterministic: bool,
    /// How the CPU executes instructions; the guest cannot tell. Without this: jit if there is a generator for this host
    /// and CPU, else interp
    #[arg(long, value_enum)]
    engine: Option<EngineName>,
    /// Guest time that a CPU has in its turn on a board with several of them, such as 20us; without this 100us
    #[arg(long, value_name = "TIME", value_parser = quantum)]
    quantum: Option<u64>,
    /// Write what comes to the machine from outside, and when, to a file, of which --replay-events makes the same run again; not what a debugger does
    #[arg(long, value_name = "FILE", conflicts_with_all = ["gdb", "gdb_1234"])]
    log_events: Option<PathBuf>,
    /// Make the run again that a log of --log-events is of: with the same options, and nothing from outside
    #[arg(long, value_name = "FILE", conflicts_with = "log_events")]
    replay_events: Option<PathBuf>,
    /// Print a hash of the machine's final state on standard error
    #[arg(long)]
    state_hash: bool,
    /// Log what happens on standard error; twice for more
    #[arg(short, long, action = clap::ArgAction::Count)]
    verbose: u8,
}

fn backend_help() -> String {
    format!(
        "Plug something into a slot of the board: SLOT={}, for a network SLOT={}, for a disk SLOT={}, for an image SLOT={}",
        backend::usage(SlotKind::Chardev),
        backend::usage(SlotKind::Netdev),
        backend::usage(SlotKind::Block),
        backend::usage(SlotKind::Image)
    )
}

fn net_help() -> String {
    format!(
        "Plug a network into the board's first slot for one, again for the next: {}",
        backend::usage(SlotKind::Netdev)
    )
}

fn monitor_help() -> String {
    let forms: Vec<_> = backend::monitor_forms().collect();
    format!(
        "Where commands to the machine come from, again for another place: {}; on the terminal of a console Ctrl-A c switches to them, unless this is none",
        forms.join("|")
    )
}

fn qmp_help() -> String {
    let forms: Vec<_> = backend::monitor_forms().skip(1).collect();
    format!(
        "Where a program gives commands in QEMU's protocol (QMP), again for another place: {}",
        forms.join("|")
    )
}

/// A time that a turn can have, in nanoseconds.
fn quantum(text: &str) -> Result<u64, String> {
    let time = humantime::parse_duration(text).map_err(|e| e.to_string())?;
    let ns = u64::try_from(time.as_nanos()).ok();
    let ns = ns.filter(|ns| (1..=LONGEST_NS).contains(ns));
    ns.ok_or_else(|| "a turn has 1ns to 100ms".to_owned())
}

/// Where a saved machine comes from.
#[derive(Debug, Clone)]
enum Arrival {
    /// From there, at once.
    Place(Uri),
    /// The monitor will say it.
    Later,
}

impl FromStr for Arrival {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "defer" => Ok(Self::Later),
            text => text.parse().map(Self::Place),
        }
    }
}

/// An engine, as a user names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum EngineName {
    /// One instruction after the other
    Interp,
    /// Code for the host is generated for what is executed often
    Jit,
}

impl From<EngineName> for Engine {
    fn from(name: EngineName) -> Self {
        match name {
            EngineName::Interp => Self::Interp,
            EngineName::Jit => Self::JIT,
        }
    }
}

/// Runs the command. Bad input ends with status 2 before anything is started.
pub fn run(args: &Args) -> ExitCode {
    let named = args.board.is_some() || args.run_file.is_some() || args.restore.is_some();
    if !named && args.qmp.is_empty() {
        return super::usage(&format!(
            "name a board: one of these, or the path of a board's file; or with --qmp a place from which a program says later what to make (x-machine-create)\n{}",
            super::boards::list()
        ));
    }
    super::log(args.verbose);
    let result = prepare_and_run(args);
    backend::flush();
    match result {
        Ok(status) => ExitCode::from(status),
        Err(e) => super::refused(&e),
    }
}

fn prepare_and_run(args: &Args) -> Result<u8> {
    let board = args.board.as_deref();
    match &args.restore {
        Some(Arrival::Place(uri)) => go_on(args, uri, board),
        Some(Arrival::Later) => later::wait(args),
        None if board.is_none() && args.run_file.is_none() => later::wait(args),
        None => {
            let options = options(args).map_err(anyhow::Error::msg)?;
            let loaded = super::resolve(board, &options)?;
            let args = with_run_file(args, &loaded)?;
            start(&args, &loaded, None, &mut None, None)
        }
    }
}

/// Has a machine go on that was saved, or comes from another program.
fn go_on(args: &Args, uri: &Uri, board: Option<&str>) -> Result<u8> {
    let options = options(args).map_err(anyhow::Error::msg)?;
    let limit = args.max_time.map(|limit| limit.max(LOAD_PATIENCE));
    let mut late = false;
    let door = uri.arrival().with_context(|| uri.to_string())?;
    let restored = super::restore(door, board, &options, &mut |time| {
        late = limit.is_some_and(|limit| time >= limit);
        match (late, limit) {
            (true, Some(limit)) => {
                let reason = format!(
                    "nothing has come for {}, and --max-time does not allow more",
                    humantime::format_duration(limit)
                );
                Err(io::Error::new(io::ErrorKind::TimedOut, reason))
            }
            _ => Ok(()),
        }
    });
    if let (true, Err(e)) = (late, &restored) {
        complain(&format!("error: {e:#}"));
        return Ok(TIME_UP);
    }
    let Restored {
        stream,
        own,
        loaded,
        mut link,
    } = restored?;
    let args = with_run_file(args, &loaded);
    let status = args.and_then(|args| start(&args, &loaded, Some((stream, own)), &mut link, None));
    if let (Err(e), Some(link)) = (&status, link) {
        link.refuse(&format!("{e:#}"));
    }
    status
}

/// What is laid over the board. `--set` is stronger than the options that have names of their own.
fn options(args: &Args) -> Result<Options, String> {
    let mut options = args.layers.options()?;
    for (option, param, value) in [
        ("--ram", "ram", &args.ram),
        ("--cpu", "cpu", &args.cpu),
        ("--cpus", "cpus", &args.cpus),
    ] {
        let value = value.iter().cloned();
        options
            .params
            .extend(value.map(|value| (option, param, value)));
    }
    options.run_file.clone_from(&args.run_file);
    Ok(options)
}

/// The arguments with what the run file boots where they say nothing.
fn with_run_file(args: &Args, loaded: &Loaded) -> Result<Args> {
    let mut args = args.clone();
    let run = &loaded.run;
    let mut problems = Vec::new();
    let mut file = |named: &Option<(String, Span)>| {
        let (name, at) = named.as_ref()?;
        let file = loaded.file(Path::new(name), *at);
        file.map_err(|problem| problems.push(problem)).ok()
    };
    if args.firmware.is_none() && args.kernel.is_none() {
        args.firmware = file(&run.firmware);
        args.kernel = file(&run.kernel);
    }
    if args.kernel.is_some() {
        args.initrd = args.initrd.or_else(|| file(&run.initrd));
        args.append = args.append.or_else(|| run.append.clone());
    }
    refuse(loaded, problems)?;
    Ok(args)
}

/// Fails with these problems of a board that was resolved, if there are any.
fn refuse(loaded: &Loaded, problems: Vec<Problem>) -> Result<(), super::Unbuildable> {
    if problems.is_empty() {
        return Ok(());
    }
    let sources = loaded.report.sources.clone();
    Err(super::Unbuildable(Report::new(sources, problems)))
}

/// A machine with all that is plugged in.
struct Fitted {
    machine: Machine,
    /// What is in each slot, as it is written.
    plugged: Vec<String>,
    symbols: Symbols,
    /// Where traces go, while there are none.
    trace: Option<Keep>,
    /// Guest time is instructions executed.
    deterministic: bool,
    /// It stood still when it was saved.
    stands: bool,
    /// Who has standard input, where that decides what a run does.
    stdin: Option<To>,
}

/// Builds a board's machine, a new one or one from a stream, which comes with its own board's plan; and plugs in what there is for it.
fn fit(
    args: &Args,
    loaded: &Loaded,
    saved: Option<(Stream, Plan)>,
    monitors: &[(Chardev, bool)],
    outside: &mut Outside,
) -> Result<Fitted> {
    let plan = &loaded.plan;
    for path in &args.symbols {
        let tried = Symbols::try_file(path);
        tried.map_err(|e| anyhow!("--symbols {}: {e}", shown(path)))?;
    }
    let traced = match args.trace.is_empty() {
        true => None,
        false => {
            let chosen = machine::select(plan, &args.trace.join(","));
            Some(chosen.map_err(|e| anyhow!("--trace {}: {e}", args.trace.join(",")))?)
        }
    };
    let backends = backends(args, loaded, saved.is_some(), monitors)?;
    let stdio = stdio(plan, &backends, monitors)?;
    let (door, header) = door(args, plan, saved.is_some())?;
    let (deterministic, replays) = (header.deterministic, args.replay_events.is_some());
    let stands = saved.as_ref().is_some_and(|(stream, _)| stream.stands);
    let mut machine = match saved {
        Some((stream, own)) => {
            let fittings = Fittings {
                door,
                ..Fittings::default()
            };
            let machine = stream.build(&own, plan, fittings)?;
            tracing::info!("the machine goes on at {} ns of guest time", machine.now());
            machine
        }
        None => power_on(args, plan, &backends, door, deterministic)?,
    };
    machine.set_quantum(header.quantum);
    machine.begin().map_err(|e| of_log(args, &e))?;
    if let Some(engine) = args.engine
        && machine.cpu().is_some()
        && !machine.set_engine(engine.into())
    {
        bail!("--engine jit: there is no code generator for this host and CPU");
    }
    if machine.cpu().is_none() && !plan.devices.is_empty() {
        tracing::warn!("the board has no CPU: nothing is executed");
    }
    if args.semihosting && !machine.set_semihosting(true) {
        bail!("--semihosting: this CPU has no such calls");
    }
    outside.ready().context("cannot handle signals")?;
    outside.exit_on(&args.exit_on);
    for (index, backend) in backends.iter().enumerate() {
        let name = &plan.slots[index].name;
        let sink = match backend {
            Some(Backend::Chardev(backend)) => outside.plug(index, name, backend)?,
            Some(Backend::Netdev(backend)) if !replays => outside.connect(index, name, backend)?,
            Some(Backend::Block(backend)) => {
                let read_only = plan.user_of(index).is_some_and(|(_, slot)| slot.read_only);
                let disk = outside.disk(index, name, backend, read_only)?;
                let plugged = machine.plug_disk(index, disk);
                plugged.map_err(|why| anyhow!("{name}: {why}"))?;
                None
            }
            Some(Backend::Folder(folder)) => {
                let plugged = machine.plug_disk(index, outside.folder(index, name, folder)?);
                plugged.map_err(|why| anyhow!("{name}: {why}"))?;
                None
            }
            Some(Backend::Image(Image::File(path, filling))) if filling.write && !replays => {
                let content = machine.image(index).ok_or_else(|| {
                    anyhow!("{name}: nothing that the guest writes there can be kept; without `,write` the memory is filled")
                })?;
                Some(outside.written(name, path, &content)?)
            }
            _ if plan.slots[index].kind == SlotKind::Image && !replays => {
                Some(Box::new(Forgotten::new(name)) as Box<dyn machine::Sink>)
            }
            Some(Backend::Netdev(_) | Backend::Image(_)) | None => None,
        };
        if let Some(sink) = sink {
            machine.plug(index, sink);
        }
    }
    let files = [&args.kernel, &args.firmware].into_iter().flatten();
    let symbols = Symbols::of(files.chain(&args.symbols).cloned().collect());
    let plugged = backends.iter().map(|b| b.as_ref().map(Backend::to_string));
    let plugged = plugged.map(Option::unwrap_or_default).collect();
    let mut trace = None;
    if traced.is_some() || args.trace_to.is_some() {
        let keep = backend::traced(args.trace_to.as_deref());
        let keep = keep.with_context(|| {
            let path = args.trace_to.as_deref().map(shown);
            format!("--trace-to {}", path.unwrap_or_default())
        })?;
        match traced {
            Some(points) => machine.set_trace(Some(Trace::new(points, keep))),
            None => trace = Some(keep),
        }
    }
    Ok(Fitted {
        machine,
        plugged,
        symbols,
        trace,
        deterministic,
        stands,
        stdin: stdio.filter(|_| deterministic && !replays),
    })
}

/// How guest time relates to the wall clock.
fn pace(deterministic: bool, outside: &Outside) -> Pace {
    match (deterministic, outside.interactive()) {
        (true, _) => Pace::Deterministic,
        (false, true) => Pace::Watched,
        (false, false) => Pace::Free,
    }
}

/// Runs a board's machine: a new one, or one from a stream, whose source may wait at the link for what becomes of it. Where there is none
/// yet, the maker makes it.
fn start<'a>(
    args: &'a Args,
    loaded: &'a Loaded,
    saved: Option<(Stream, Plan)>,
    link: &mut Option<Link>,
    maker: Option<Maker<'a>>,
) -> Result<u8> {
    let monitors = monitors(args)?;
    let debugger = args.gdb.as_deref().or(args.gdb_1234.then_some("tcp::1234"));
    let debugger = debugger.map(debugger_place).transpose()?;
    let mut outside = Outside::new()?;
    if monitors.iter().any(|(at, _)| *at == Chardev::Null) {
        outside.no_switch();
    }
    let monitors: Vec<_> = monitors
        .into_iter()
        .filter(|(at, _)| *at != Chardev::Null)
        .collect();
    let fitted = fit(args, loaded, saved, &monitors, &mut outside)?;
    let mut machine = fitted.machine;
    for (place, qmp) in &monitors {
        match qmp {
            true => outside.program(place)?,
            false => outside.monitor(place)?,
        }
    }
    if let Some(backend) = debugger {
        if machine.cpu().is_none() {
            bail!("--gdb: the board {} has no CPU to debug", loaded.plan.name);
        }
        outside.debugger(&backend)?;
    }
    if let Some(stdio) = fitted.stdin.filter(|_| !outside.interactive()) {
        outside.gather(stdio);
    }
    let run = Run {
        pace: pace(fitted.deterministic, &outside),
        no_reboot: args.no_reboot,
        max_time: args.max_time,
    };
    let outlets = outside.take_monitors();
    outside.begin();
    let places = monitors.iter().map(|(place, _)| place.to_string());
    let sessions = Sessions::new(outside, outlets, places.collect());
    let mut vm = Vm::new(machine, loaded, run, &args.snapshots, sessions);
    vm.paused = args.stopped || fitted.stands || maker.is_some();
    vm.stays_paused = args.stopped;
    vm.maker = maker;
    (vm.symbols, vm.plugged, vm.trace) = (fitted.symbols, fitted.plugged, fitted.trace);
    if let Some(link) = link.take() {
        link.take_over()?;
    }
    let (mut machine, loaded, end) = vm.drive();
    if let Err(e) = machine.conclude(end) {
        bail!(of_log(args, &e));
    }
    if args.state_hash {
        let (hash, now) = (machine.state_hash(), machine.now());
        backend::say(&format!("state {hash:032x} at {now} ns\n"));
    }
    machine.sum_up();
    tracing::info!(
        "the run ends: {end:?} after {} ns of guest time",
        machine.now()
    );
    if let (Some(uri), Some(loaded)) = (&args.save_on_exit, loaded) {
        let mut bar = crate::progress::Bar::new("saving");
        let saved = state::save(
            &machine,
            &Description::new(loaded),
            uri,
            &mut |done, of| bar.at(done, of),
            &mut patience(uri),
        );
        drop(bar);
        if let Err(e) = saved {
            complain(&format!("error: the machine was not saved to {uri}: {e}"));
            return Ok(LOST);
        }
    }
    Ok(match end {
        End::PowerOff
        | End::Reset
        | End::Paused
        | End::DiskError
        | End::Stopped(..)
        | End::Astray => 0,
        End::TimeUp => TIME_UP,
        End::Quit(status) | End::Exit(status) => status,
    })
}

/// How what comes from outside is let into the machine, and what the run is beside that: of a run that is made again, what its log
/// says.
fn door(args: &Args, plan: &Plan, restored: bool) -> Result<(Door, Header)> {
    let header = Header {
        board: plan.name.clone(),
        deterministic: args.deterministic,
        quantum: args.quantum.unwrap_or(QUANTUM_NS),
    };
    if let Some(path) = &args.log_events {
        let mut options = std::fs::OpenOptions::new();
        options.write(true).create(true).truncate(true).mode(0o600);
        let file = options.open(path);
        let journal = file.and_then(|file| Journal::new(Box::new(file), &header, plan));
        let journal =
            journal.with_context(|| format!("--log-events: cannot write {}", shown(path)))?;
        return Ok((Door::logged(journal), header));
    }
    let Some(path) = &args.replay_events else {
        return Ok((Door::default(), header));
    };
    let file = files::open(path);
    let file = file.with_context(|| format!("--replay-events: cannot read {}", shown(path)))?;
    let script =
        Script::open(Box::new(BufReader::new(file)), plan).map_err(|e| of_log(args, &e))?;
    match (script.begins_at_power_on(), restored) {
        (true, true) => bail!(
            "{}: the log begins where the machine is switched on: leave --restore out",
            shown(path)
        ),
        (false, false) => bail!(
            "{}: the log begins with a restored machine: name its stream with --restore",
            shown(path)
        ),
        _ => {}
    }
    let header = script.header().clone();
    Ok((Door::repeated(script), header))
}

/// What is the matter with the log that a run is made again of.
fn of_log(args: &Args, error: &LogError) -> anyhow::Error {
    let path = args.replay_events.as_deref().map(shown);
    anyhow!("{}: {error}", path.unwrap_or_default())
}

/// How long a save at the end waits for a place that takes next to nothing, and how soon it says so.
const SAVE_PATIENCE: [Duration; 2] = [Duration::from_secs(30), Duration::from_secs(3)];

/// How long a load at least waits for a place that gives next to nothing.
const LOAD_PATIENCE: Duration = Duration::from_secs(10);

/// The patience with the place of a save at the end. Nobody else waits for it, and nothing else ends it but a signal.
fn patience(uri: &Uri) -> impl FnMut(Duration) -> io::Result<()> {
    let (mut told, [most, soon]) = (false, SAVE_PATIENCE);
    move |time| {
        if time >= most {
            let reason = format!("it took next to nothing for {} s", most.as_secs());
            return Err(io::Error::new(io::ErrorKind::TimedOut, reason));
        }
        if time >= soon && !std::mem::replace(&mut told, true) {
            complain(&format!(
                "warning: {uri} takes next to nothing of the machine, which is lost if that goes on for {} s",
                most.as_secs()
            ));
        }
        Ok(())
    }
}

/// Says a line on standard error.
fn complain(text: &str) {
    backend::say(&visible(&format!("{text}\n")));
}

/// A new machine, with the images that the user names.
fn power_on(
    args: &Args,
    plan: &Plan,
    backends: &[Option<Backend>],
    door: Door,
    deterministic: bool,
) -> Result<Machine> {
    let kernel = images::kernel(args, plan, deterministic)?;
    let mut images = vec![None; plan.slots.len()];
    for (index, slot) in plan
        .slots
        .iter()
        .enumerate()
        .filter(|(_, s)| s.kind == SlotKind::Image)
    {
        let boots = plan.boot.as_ref().filter(|b| b.firmware == index);
        images[index] = match (&kernel, boots, &backends[index]) {
            (Some(kernel), Some(_), _) => Some(kernel.firmware()),
            (None, Some(boot), Some(Backend::Image(image))) => {
                Some(images::firmware(image, plan, boot)?)
            }
            (_, _, Some(Backend::Image(image))) => Some(images::content(image, plan, index)?),
            _ => None,
        };
        match &images[index] {
            Some(image) => tracing::info!("{}: {} bytes", slot.name, image.len()),
            None if boots.is_some() => bail!(
                "the board {} has no firmware of its own: give it some with --firmware, or a kernel with --kernel",
                plan.name
            ),
            None => {}
        }
    }
    let wall = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |d| d.as_secs() as i64);
    let epoch = if deterministic { FIXED_EPOCH } else { wall };
    let fittings = Fittings {
        images,
        kernel,
        epoch,
        door,
        ..Fittings::default()
    };
    Ok(Machine::new(plan, fittings)?)
}

/// What is plugged into each slot: what the command line says, the run file, or the board. A machine that goes on has its
/// images already.
fn backends(
    args: &Args,
    loaded: &Loaded,
    restored: bool,
    monitors: &[(Chardev, bool)],
) -> Result<Vec<Option<Backend>>> {
    let plan = &loaded.plan;
    let mut backends = vec![None; plan.slots.len()];
    for text in &args.backend {
        let (name, spec) = text
            .split_once('=')
            .ok_or_else(|| anyhow!("--backend {text}: write SLOT=BACKEND"))?;
        let slot = plan
            .slots
            .iter()
            .position(|s| s.name == name)
            .ok_or_else(|| {
                let names: Vec<_> = plan.slots.iter().map(|s| s.name.as_str()).collect();
                anyhow!("the board has no slot {name}; it has {}", names.join(", "))
            })?;
        let backend = Backend::parse(plan.slots[slot].kind, spec);
        backends[slot] = Some(backend.with_context(|| format!("--backend {text}"))?);
    }
    for text in &args.net {
        let option = format!("--net {text}");
        let slot = free(&option, "a network", loaded, &backends, |_, slot| {
            slot.kind == SlotKind::Netdev
        })?;
        let backend = Backend::parse(SlotKind::Netdev, text);
        backends[slot] = Some(backend.context(option)?);
    }
    for (name, what, texts, read_only) in [
        ("--disk", "a disk", &args.disk, false),
        ("--cdrom", "a disc", &args.cdrom, true),
    ] {
        for text in texts {
            let option = format!("{name} {text}");
            let slot = free(&option, what, loaded, &backends, |index, slot| {
                let user = plan.user_of(index);
                slot.kind == SlotKind::Block && user.is_some_and(|(_, s)| s.read_only == read_only)
            })?;
            let backend = Block::disk(text).context(option)?;
            backends[slot] = Some(Backend::Block(backend));
        }
    }
    if let Some(path) = &args.firmware {
        let boot = images::boot(plan, "--firmware")?;
        if !boot.protocol.firmware_in_memory() {
            backends[boot.firmware] = Some(Backend::Image(Image::File(
                path.clone(),
                Filling::default(),
            )));
        }
    }
    let stub = plan.boot.as_ref().filter(|boot| {
        let firmware = args.firmware.is_some() && boot.protocol.firmware_in_memory();
        args.kernel.is_some() || firmware
    });
    let mut problems = Vec::new();
    for (index, slot) in plan.slots.iter().enumerate() {
        let image = slot.kind == SlotKind::Image;
        let filled = image && restored || stub.is_some_and(|boot| boot.firmware == index);
        if backends[index].is_some() || filled {
            continue;
        }
        let run = &loaded.run.backends;
        let run = run.iter().find(|(name, ..)| *name == slot.name);
        let found = match run {
            Some((_, backend, at)) => loaded.backend(slot, backend, *at).map(Some),
            None => loaded.default(slot).map(|default| {
                // The console that a board has there by default makes room for the monitor.
                let taken = Backend::Chardev(Chardev::Stdio);
                let free = monitors.iter().all(|(at, _)| *at != Chardev::Stdio);
                default.filter(|d| free || *d != taken)
            }),
        };
        match found {
            Ok(backend) => backends[index] = backend,
            Err(problem) => problems.push(problem),
        }
    }
    refuse(loaded, problems)?;
    Ok(backends)
}

/// The first slot of the board that fits and has nothing in it yet.
fn free(
    option: &str,
    what: &str,
    loaded: &Loaded,
    backends: &[Option<Backend>],
    fits: impl Fn(usize, &BoardSlot) -> bool,
) -> Result<usize> {
    let plan = &loaded.plan;
    let slots = plan.slots.iter().enumerate();
    let fit: Vec<_> = slots.filter(|(index, slot)| fits(*index, slot)).collect();
    let empty = fit.iter().find(|(index, _)| backends[*index].is_none());
    if let Some((index, _)) = empty {
        return Ok(*index);
    }
    let names: Vec<_> = fit.iter().map(|(_, slot)| slot.name.as_str()).collect();
    bail!(match names[..] {
        [] => format!(
            "{option}: the board {} has no slot for {what}; `solderless boards` says which have",
            plan.name
        ),
        _ => format!(
            "{option}: no slot for {what} is left; the board has {}",
            names.join(", ")
        ),
    });
}

/// Who has standard input and output.
fn stdio(
    plan: &Plan,
    backends: &[Option<Backend>],
    monitors: &[(Chardev, bool)],
) -> Result<Option<To>> {
    let slots = (0..).zip(backends);
    let slots = slots.filter(|(_, b)| **b == Some(Backend::Chardev(Chardev::Stdio)));
    let slots = slots.map(|(slot, _)| (To::Slot(slot), plan.slots[slot].name.as_str()));
    let monitors = (0..).zip(monitors);
    let monitors = monitors.filter(|(_, (at, _))| *at == Chardev::Stdio);
    let name = |qmp| if qmp { "QMP" } else { "the monitor" };
    let monitors = monitors.map(|(number, (_, qmp))| (To::Monitor(number), name(*qmp)));
    let mut all = monitors.chain(slots);
    let first = all.next();
    if let (Some((_, first)), Some((_, second))) = (first, all.next()) {
        bail!("{first} and {second} both want standard input and output");
    }
    Ok(first.map(|(to, _)| to))
}

/// Where `--monitor` and `--qmp` say that commands come from, and whether it is QMP.
fn monitors(args: &Args) -> Result<Vec<(Chardev, bool)>> {
    let place = |option: &str, text: &String| {
        Chardev::monitor(text).with_context(|| format!("{option} {text}"))
    };
    let people = args
        .monitor
        .iter()
        .map(|text| Ok((place("--monitor", text)?, false)));
    let programs = args.qmp.iter().map(|text| match place("--qmp", text)? {
        Chardev::Null => bail!("--qmp {text}: leave it out for none"),
        at => Ok((at, true)),
    });
    people.chain(programs).collect()
}

/// Where `--gdb` says that a debugger comes from.
fn debugger_place(text: &str) -> Result<Chardev> {
    Chardev::debugger(text).with_context(|| format!("--gdb {text}"))
}
