//! Saved machines: that they go on as if they had never been saved, that they hold what the graph says, and that a
//! broken stream is refused.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::process::Command;
use std::rc::Rc;
use std::time::Duration;

use proptest::prelude::*;
use solderless::compose::{self, Loaded, Options};
use solderless::machine::{Event, Fittings, Kernel, KernelFiles, Machine, Pace, Run, Sink};
use solderless::picture::{Node, graph};
use solderless::state::{Description, Layout, Stream, StreamError, payload, stream};
use solderless_model::testing::Noise;
use solderless_model::{Engine, Field, NEWEST, Parts, Section, Type};
use solderless_testing::streams::reseal;
use solderless_testing::usage;
use solderless_testing::{Console, guests};

use crate::outside::Typed;

/// Runs a machine for so many nanoseconds of guest time.
fn run(machine: &mut Machine, ns: u64) {
    let run = Run {
        pace: Pace::Deterministic,
        no_reboot: false,
        max_time: Some(Duration::from_nanos(ns)),
    };
    machine.run(run, &mut Typed::default());
}

fn quiet(_: u64, _: u64) {}

/// The stream of a machine.
fn saved(machine: &Machine, loaded: &Loaded) -> Vec<u8> {
    let mut bytes = Vec::new();
    let sections = machine.save(NEWEST).expect("the newest version holds all");
    let description = Description::new(loaded);
    let written = stream::write(&mut bytes, &description, &sections, &mut quiet);
    assert_eq!(written.expect("memory takes it all"), bytes.len() as u64);
    bytes
}

/// The machine of a stream.
fn restored(bytes: &[u8]) -> Machine {
    let stream = Stream::read(&mut &bytes[..], &mut quiet).expect("a good stream");
    let own = stream.board(&Options::default()).expect("its board");
    let built = stream.build(&own.plan, &own.plan, Fittings::default());
    built.unwrap_or_else(|e| panic!("{e}"))
}

fn open(board: &str, set: &[(&str, &str)]) -> Loaded {
    let own = |(path, value): &(&str, &str)| ((*path).to_owned(), (*value).to_owned());
    let options = Options {
        set: set.iter().map(own).collect(),
        ..Options::default()
    };
    compose::open(Some(board), &options).unwrap_or_else(|e| panic!("{}", e.render(false)))
}

/// A Malta with the ROM in its flash, and these characters on their way to its first serial port.
fn rom(typed: &str) -> (Loaded, Machine) {
    let loaded = open("malta", &[("param.ram", "16MiB")]);
    let rom = solderless::backend::rom("malta-rom-le")
        .expect("it ships")
        .to_vec();
    let slot = |name: &str| loaded.plan.slots.iter().position(|s| s.name == name);
    let mut images = vec![None; loaded.plan.slots.len()];
    images[slot("bios").expect("a slot")] = Some(rom);
    let fittings = Fittings {
        images,
        epoch: 1_700_000_000,
        ..Fittings::default()
    };
    let mut machine = Machine::new(&loaded.plan, fittings).expect("a machine");
    let input = Event::Input(slot("serial0").expect("a slot"), typed.as_bytes().to_vec());
    let first = Run {
        pace: Pace::Deterministic,
        no_reboot: false,
        max_time: Some(Duration::from_nanos(1)),
    };
    machine.run(first, &mut Typed([input].into()));
    (loaded, machine)
}

/// What keeps the ROM busy: memory tests, PCI scans, and a lot of output by interrupt-free polling.
const BUSY: &str = "memtest 80200000 40000\rpci\rmd 80000000 40\rpci 0:a.2\rhelp\rmemtest\r";

#[test]
fn a_run_goes_on_from_a_save_as_if_there_had_been_none() {
    let (loaded, mut first) = rom(BUSY);
    run(&mut first, 30_000_000);
    let bytes = saved(&first, &loaded);
    assert!(bytes == saved(&first, &loaded), "two saves are equal");
    let mut second = restored(&bytes);
    assert_eq!(first.state_hash(), second.state_hash());
    assert!(bytes == saved(&second, &loaded), "what is loaded is saved");
    for machine in [&mut first, &mut second] {
        run(machine, 300_000_000);
    }
    assert_eq!(first.now(), second.now());
    assert_eq!(first.state_hash(), second.state_hash());
}

#[test]
fn nothing_depends_on_the_instants_at_which_a_machine_is_saved_and_restored() {
    let (_, mut whole) = rom(BUSY);
    let (loaded, mut cut) = rom(BUSY);
    let mut noise = Noise(4);
    for n in 0..200 {
        let magnitude = 8 + noise.below(14);
        let ns = noise.below(1 << magnitude);
        run(&mut whole, ns);
        run(&mut cut, ns);
        let bytes = saved(&cut, &loaded);
        cut = restored(&bytes);
        assert_eq!(whole.now(), cut.now(), "instant {n}");
        assert_eq!(
            whole.state_hash(),
            cut.state_hash(),
            "instant {n}, at {} ns",
            cut.now()
        );
    }
    // A run that is never cut at all ends in the same state.
    let (_, mut plain) = rom(BUSY);
    let end = whole.now() + 10_000_000;
    for machine in [&mut whole, &mut cut, &mut plain] {
        let left = end - machine.now();
        run(machine, left);
    }
    assert_eq!(plain.state_hash(), whole.state_hash());
    assert_eq!(plain.state_hash(), cut.state_hash());
}

/// The engines that this host has.
const ENGINES: &[Engine] = if cfg!(target_arch = "x86_64") {
    &[Engine::Interp, Engine::JIT]
} else {
    &[Engine::Interp]
};

/// Debian's kernel, in the machine that it boots: with a program that makes processes.
fn linux() -> Option<(Loaded, Machine)> {
    let linux = guests::linux()?;
    let program = guests::linux_program("tests/guests/stress/processes.c")?;
    let loaded = open("malta", &[("param.ram", "64MiB")]);
    let boot = loaded.plan.boot.as_ref().expect("Malta boots kernels");
    let read = |path| std::fs::read(path).expect("it is there");
    let files = KernelFiles {
        name: "vmlinuz",
        image: Some(&read(linux.kernel)[..]),
        firmware: None,
        initrd: Some(&read(guests::initrd(&program))),
        append: "console=ttyS0",
        fixed_seed: true,
    };
    let kernel = Kernel::new(files, &loaded.plan, boot).expect("it fits");
    let mut images = vec![None; loaded.plan.slots.len()];
    images[boot.firmware] = Some(kernel.firmware());
    let fittings = Fittings {
        images,
        kernel: Some(kernel),
        epoch: 1_700_000_000,
        ..Fittings::default()
    };
    let machine = Machine::new(&loaded.plan, fittings).expect("a machine");
    Some((loaded, machine))
}

/// What a machine's serial port has sent.
#[derive(Clone, Default)]
struct Heard(Rc<RefCell<Vec<u8>>>);

impl Sink for Heard {
    fn send(&mut self, bytes: &[u8]) {
        self.0.borrow_mut().extend(bytes);
    }
}

/// Saved at 20 instants of its boot; the environment variable `INSTANTS` can ask for another number.
#[test]
fn linux_boots_alike_however_often_it_is_saved_and_restored() {
    // While the kernel unpacks itself, starts, and runs the program: until when in milliseconds, and how many of 20 instants.
    const PHASES: [(u64, u64); 3] = [(6_400, 1), (12_900, 9), (13_400, 10)];
    let instants = std::env::var("INSTANTS").map(|text| text.parse().expect("a number"));
    let instants: u64 = instants.unwrap_or(20);
    let Some((loaded, mut whole)) = linux() else {
        return;
    };
    let engine = |machine: &mut Machine, engine| {
        assert!(machine.cpu().expect("a CPU").set_engine(engine));
    };
    engine(&mut whole, ENGINES[ENGINES.len() - 1]);
    let slot = loaded.plan.slots.iter().position(|s| s.name == "serial0");
    let heard = Heard::default();
    whole.plug(slot.expect("a slot"), Box::new(heard.clone()));
    let mut cut: Vec<_> = ENGINES.iter().filter_map(|_| linux()).collect();
    let (mut noise, mut start) = (Noise(23), 0);
    for (end, share) in PHASES {
        let end = end * 1_000_000;
        let number = instants * share / 20;
        let at = (0..number).map(|_| start + noise.below(end - start));
        let mut at: Vec<_> = at.chain([end]).collect();
        at.sort_unstable();
        for at in at {
            // The last instruction of a run may end behind its time.
            let ns = at.saturating_sub(whole.now());
            run(&mut whole, ns);
            let expected = (whole.now(), whole.state_hash());
            for ((_, machine), wanted) in cut.iter_mut().zip(ENGINES) {
                engine(machine, *wanted);
                run(machine, ns);
                *machine = restored(&saved(machine, &loaded));
                let found = (machine.now(), machine.state_hash());
                assert_eq!(found, expected, "{wanted:?}, {at} ns");
            }
        }
        start = end;
    }
    let heard = String::from_utf8_lossy(&heard.0.borrow()).into_owned();
    for text in ["Run /init as init process", "copy 23 26", "pipe 7"] {
        assert!(heard.contains(text), "{heard}");
    }
}

/// The sections that a plan's graph calls for: its devices that bear state, and its parts.
fn by_the_graph(loaded: &Loaded) -> BTreeSet<String> {
    let bears_state = |name: &str| {
        let device = loaded.plan.devices.iter().find(|d| d.path == name);
        let contents = device.map(|d| (d.entry.contents)(&Parts::default(), &[]));
        contents.is_some_and(|contents| contents.iter().any(|(_, content)| !content.is_empty()))
    };
    let graph = graph(&loaded.plan);
    graph
        .node_weights()
        .filter_map(|node| match node {
            Node::Device { name, .. } => bears_state(name).then(|| name.clone()),
            Node::Part { name } => Some(name.clone()),
            _ => None,
        })
        .collect()
}

/// The sections of devices and parts in a layout, and in the stream of a machine that was built.
fn by_layout_and_stream(loaded: &Loaded) -> (Vec<String>, Vec<String>) {
    let devices = |path: &String| !path.starts_with('/');
    let layout = Layout::of(&loaded.plan)
        .sections
        .into_iter()
        .map(|s| s.path);
    let machine = Machine::new(&loaded.plan, Fittings::default()).expect("a machine");
    let sections = machine
        .save(NEWEST)
        .expect("all")
        .into_iter()
        .map(|s| s.path);
    (
        layout.filter(devices).collect(),
        sections.filter(devices).collect(),
    )
}

/// The properties that decide about PIIX4_PM's parts, with the part that each decides about.
const PARTS: [(&str, &str); 3] = [
    ("memory-hotplug-support", "memhp"),
    ("acpi-root-pci-hotplug", "pcihp"),
    ("cpu-hotplug-legacy", "cpuhp"),
];

fn random_board(noise: &mut Noise) -> String {
    // Nothing on the board hangs on these.
    const LEAVES: [&str; 13] = [
        "chip.piix4.dev.usb",
        "dev.hda",
        "dev.hdb",
        "dev.hdc",
        "dev.hdd",
        "dev.net",
        "dev.kbc",
        "dev.slot1",
        "dev.slot2",
        "dev.slot3",
        "dev.slot4",
        "dev.com1",
        "dev.com2",
    ];
    let gone = LEAVES.iter().filter(|_| noise.below(2) == 0);
    let gone: Vec<_> = gone.map(|leaf| format!("{leaf:?}")).collect();
    let mut text = format!(
        "[board]\nname = \"random\"\nextends = \"malta\"\ndelete = [{}]\n\n[param.ram]\ndefault = \"16MiB\"\n",
        gone.join(", ")
    );
    for n in 0..noise.below(4) {
        let at = 0x1d00_0000 + n * 0x1_0000;
        text += &format!("\n[dev.extra{n}]\nat = \"sys:{at:#x}\"\n");
        text += match noise.below(3) {
            0 => "[dev.extra0.ram]\nsize = \"64KiB\"\n",
            1 => "[dev.extra0.serial-mm]\nregshift = 0\n",
            _ => "[dev.extra0.serial-mm]\nregshift = 3\n",
        }
        .replace("extra0", &format!("extra{n}"))
        .as_str();
    }
    text
}

#[test]
fn a_stream_holds_what_the_graph_says_and_nothing_else() {
    let mut noise = Noise(11);
    let mut built = 0;
    let pm = "chip.piix4.dev.pm.PIIX4_PM";
    for _ in 0..40 {
        let text = random_board(&mut noise);
        let on = PARTS.map(|_| noise.below(2) == 0);
        let set = PARTS.iter().zip(on);
        let set = set.map(|((property, _), on)| (format!("{pm}.{property}"), on.to_string()));
        let options = Options {
            set: set.collect(),
            ..Options::default()
        };
        let Ok(loaded) = compose::open_text("random", &text, &options) else {
            continue;
        };
        built += 1;
        let (layout, stream) = by_layout_and_stream(&loaded);
        assert_eq!(layout, stream, "{text}");
        let set: BTreeSet<_> = layout.into_iter().collect();
        assert_eq!(set, by_the_graph(&loaded), "{text}");
        for ((_, part), on) in PARTS.iter().zip(on) {
            let name = format!("piix4.pm.{part}");
            assert_eq!(set.contains(&name), on, "{name}");
        }
    }
    assert!(built >= 20, "only {built} boards could be built");
}

#[test]
fn turning_a_part_off_takes_exactly_its_bytes_away() {
    let pm = "chip.piix4.dev.pm.PIIX4_PM";
    let with = |on: &[usize]| {
        let set: Vec<_> = PARTS
            .iter()
            .enumerate()
            .map(|(n, (property, _))| (format!("{pm}.{property}"), on.contains(&n).to_string()))
            .collect();
        let set: Vec<_> = set.iter().map(|(p, v)| (p.as_str(), v.as_str())).collect();
        let loaded = open("malta", &set);
        let machine = Machine::new(&loaded.plan, Fittings::default()).expect("a machine");
        let sections = machine.save(NEWEST).expect("all");
        sections
            .into_iter()
            .map(|s| (s.path, s.payload))
            .collect::<Vec<_>>()
    };
    let all = with(&[0, 1, 2]);
    for (n, (_, part)) in PARTS.iter().enumerate() {
        let others: Vec<_> = (0..3).filter(|other| *other != n).collect();
        let mut less = all.clone();
        less.retain(|(path, _)| *path != format!("piix4.pm.{part}"));
        assert_eq!(less.len() + 1, all.len(), "{part}");
        assert_eq!(with(&others), less, "{part}");
    }
    let none = with(&[]);
    let text = format!("{none:?}{}", Layout::of(&open("malta", &[]).plan));
    for trace in ["memhp", "pcihp", "cpuhp", "acpi_index", "hotplug"] {
        assert!(!text.contains(trace), "{trace}");
    }
}

/// A board that makes a small stream.
const TINY: &str = r#"
[board]
name = "tiny"

[slot]
serial0 = { kind = "chardev" }

[dev.ram]
at = "sys:0x00000000"
[dev.ram.ram]
size = "64KiB"

[dev.uart]
at = "sys:0x1f000900"
backend.chr = "serial0"
[dev.uart.serial-mm]
regshift = 3
"#;

/// Its stream, with something in its memory; one page is there twice.
fn tiny() -> Vec<u8> {
    let loaded = compose::open_text("tiny", TINY, &Options::default());
    let loaded = loaded.unwrap_or_else(|e| panic!("{}", e.render(false)));
    let mut machine = Machine::new(&loaded.plan, Fittings::default()).expect("a machine");
    for at in [0x100, 0x5000, 0x6100, 0xfffc] {
        machine.load(at, b"text").expect("memory");
    }
    saved(&machine, &loaded)
}

fn refusal(bytes: &[u8]) -> String {
    match Stream::read(&mut &bytes[..], &mut quiet) {
        Ok(_) => panic!("it is taken"),
        Err(StreamError::Broken(reason)) => reason,
        Err(StreamError::Io(e)) => panic!("{e}"),
    }
}

#[test]
fn no_part_of_a_stream_can_be_missing_or_changed() {
    let bytes = tiny();
    let stream = Stream::read(&mut &bytes[..], &mut quiet).expect("a good stream");
    let memory = bytes.len() - 12 - stream.carried as usize;
    // Every place in front of the memory and behind it, and some in it.
    let places = (0..memory).chain((memory..bytes.len() - 12).step_by(97));
    let places: Vec<_> = places.chain(bytes.len() - 12..bytes.len()).collect();
    let mut broken = bytes.clone();
    for at in places {
        let reason = refusal(&bytes[..at]);
        assert!(reason.contains("cut short"), "{at} bytes: {reason}");
        let flip = [0x01, 0x80, 0xff][at % 3];
        broken[at] ^= flip;
        let reason = refusal(&broken);
        assert!(!reason.is_empty(), "byte {at}");
        broken[at] ^= flip;
    }
}

#[test]
fn a_file_is_refused_like_a_pipe_but_for_its_memory() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("x.snap");
    let bytes = tiny();
    let taken = |bytes: &[u8]| {
        std::fs::write(&path, bytes).expect("a file");
        Stream::map(&std::fs::File::open(&path).expect("the file")).map(|s| s.sections)
    };
    let whole = taken(&bytes).expect("a good stream");
    let piped = Stream::read(&mut &bytes[..], &mut quiet).expect("a good stream");
    assert!(whole == piped.sections);
    assert!(taken(&bytes[..bytes.len() - 1]).is_err());
    assert!(taken(&[&bytes[..], b"x"].concat()).is_err());
    let memory = bytes.len() - 12 - piped.carried as usize;
    for at in (0..memory).step_by(7).chain([bytes.len() - 1]) {
        let mut broken = bytes.clone();
        broken[at] ^= 0x10;
        assert!(taken(&broken).is_err(), "byte {at}");
    }
}

#[test]
fn memory_that_is_there_twice_is_carried_once() {
    const SIZE: u64 = 4096;
    let text = format!(
        "{TINY}\n[dev.second]\nat = \"sys:0x10000000\"\n[dev.second.ram]\nsize = \"64KiB\"\n"
    );
    let loaded = compose::open_text("two", &text, &Options::default());
    let loaded = loaded.unwrap_or_else(|e| panic!("{}", e.render(false)));
    let mut machine = Machine::new(&loaded.plan, Fittings::default()).expect("a machine");
    let mut noise = Noise(7);
    let pages: Vec<Vec<u8>> = (0..8)
        .map(|_| (0..SIZE).map(|_| noise.draw() as u8).collect())
        .collect();
    let mut put = |at: u64, page: usize| machine.load(at, &pages[page]).expect("memory");
    // Two runs, with a page of zeros between.
    (0..8).for_each(|page| put((page as u64 + u64::from(page > 3)) * SIZE, page));
    let once = saved(&machine, &loaded);
    let mut put = |at: u64, page: usize| machine.load(at, &pages[page]).expect("memory");
    // One page; one three times; and a run of pages from both runs of the other block.
    put(0xa000, 3);
    for (n, page) in [5, 5, 5, 2, 3, 4, 5, 6].into_iter().enumerate() {
        put(0x1000_0000 + n as u64 * SIZE, page);
    }
    let twice = saved(&machine, &loaded);
    let read = |bytes: &[u8]| Stream::read(&mut &bytes[..], &mut quiet).expect("a good stream");
    let (plain, stream) = (read(&once), read(&twice));
    assert_eq!((plain.format, plain.carried), (1, 8 * SIZE));
    assert_eq!((stream.format, stream.carried), (2, 8 * SIZE));
    let whole = machine.save(NEWEST).expect("all");
    assert!(stream.sections == whole);
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("x.snap");
    std::fs::write(&path, &twice).expect("a file");
    let mapped = Stream::map(&std::fs::File::open(&path).expect("the file"));
    let mapped = mapped.expect("a good stream");
    assert!(mapped.sections == whole);
    let own = mapped.board(&Options::default()).expect("its board");
    let built = mapped.build(&own.plan, &own.plan, Fittings::default());
    let mut second = built.expect("it fits");
    assert!(saved(&second, &loaded) == twice);
    // What is written to one of them is not seen in the others.
    second.load(0xa000, b"other").expect("memory");
    let sections = second.save(NEWEST).expect("all");
    let memory: Vec<_> = sections.iter().flat_map(|s| &s.memory).collect();
    let start = |block: usize, at| memory[block].read_u32(at).expect("a word");
    assert_ne!(start(0, 0xa000), start(0, 0x3000));
    assert_eq!(start(1, 0x4000), start(0, 0x3000));
    // A format without repeats has none; and nothing repeats what comes later.
    let lie = |at: usize, byte: u8| {
        let mut lie = twice.clone();
        lie[at] = byte;
        reseal(&mut lie);
        refusal(&lie)
    };
    assert!(lie(8, 1).contains("repeated that has not come"));
    let entry = [0xa, 1, 0x200 | (3 * SIZE)].map(u64::to_le_bytes).concat();
    let at = twice.windows(24).position(|bytes| bytes == entry);
    let at = at.expect("the entry of the page at 0xa000") + 16;
    assert!(lie(at + 1, 0x82).contains("repeated that has not come"));
    assert!(lie(at, 1).contains("unknown kind of run"));
}

#[test]
fn what_a_stream_claims_is_not_believed() {
    let bytes = tiny();
    // A newer format.
    let mut newer = bytes.clone();
    newer[8] = 4;
    assert!(refusal(&newer).contains("a newer program wrote it"));
    // Another file.
    assert!(refusal(&[b"QEVM".as_slice(), &bytes].concat()).contains("no stream"));
    // Lengths beyond all memory, which is not taken.
    for field in (16..88).step_by(8) {
        for claim in [u64::MAX, 1 << 61, 1 << 40] {
            let mut lie = bytes.clone();
            lie[field..field + 8].copy_from_slice(&claim.to_le_bytes());
            reseal(&mut lie);
            refusal(&lie);
        }
    }
    // All offsets moved so that they agree with a huge description.
    for (more, reason) in [
        (1u64 << 25, "cut short"),
        (1 << 50, "more than there can be"),
    ] {
        let mut lie = bytes.clone();
        for field in [16, 32, 40, 56, 72] {
            let old = u64::from_le_bytes(lie[field..field + 8].try_into().expect("8 bytes"));
            lie[field..field + 8].copy_from_slice(&(old + more).to_le_bytes());
        }
        reseal(&mut lie);
        assert!(refusal(&lie).contains(reason));
    }
}

/// The stream of a board with this much memory, a page of it with `text`; its table says that all of it has one value, or
/// that all of it repeats that page.
fn bomb(size: &str, kind: &dyn Fn(u64) -> (u64, u64, u64)) -> Vec<u8> {
    let board = format!(
        "[board]\nname = \"big\"\n[dev.ram]\nat = \"sys:0\"\n[dev.ram.ram]\nsize = \"{size}\"\n[dev.cpu]\nat = \"sys\"\n[dev.cpu.mips32-cpu]\n"
    );
    let loaded = compose::open_text("big", &board, &Options::default());
    let loaded = loaded.unwrap_or_else(|e| panic!("{}", e.render(false)));
    let mut machine = Machine::new(&loaded.plan, Fittings::default()).expect("a machine");
    machine.load(0, b"text").expect("memory");
    machine.load(0x2000, &[1; 4096]).expect("memory");
    let mut bytes = saved(&machine, &loaded);
    let at = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().expect("8 bytes"));
    // The second run of the only block, which is the last of the table.
    let run = (at(56) + at(64)) as usize - 4 - 24;
    assert_eq!(at(run), 2);
    let pages = at((at(56) + 16) as usize) / 4096;
    let (page, pages, kind) = kind(pages);
    for (n, value) in [page, pages, kind].into_iter().enumerate() {
        bytes[run + 8 * n..][..8].copy_from_slice(&value.to_le_bytes());
    }
    reseal(&mut bytes);
    bytes
}

#[test]
fn memory_of_one_value_costs_none() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("x");
    for value in [0, 0x55] {
        let bytes = bomb("15GiB", &|pages| (2, pages - 2, 256 + value));
        std::fs::write(&path, &bytes).expect("a file");
        for from in ["file:", "exec:cat "] {
            let mut command = Command::new(env!("CARGO_BIN_EXE_solderless"));
            command.args(["run", "--stopped", "--monitor", "stdio", "--restore"]);
            command.arg(format!("{from}{}", path.display()));
            let mut console = Console::start(command);
            for at in [0x2000u64, 7 << 30, (15 << 30) - 8] {
                console.send(&format!("xp /1xb {at}\n"));
                console.expect(&format!("{at:016x}: 0x{value:02x}"));
            }
            let cost = usage::memory_kib(console.id(), "VmHWM");
            assert!(cost < 256 << 10, "{from}, {value}: {cost} KiB");
            console.send("quit\n");
            console.wait();
        }
    }
}

#[test]
fn memory_that_the_layout_does_not_have_is_refused() {
    let mut bytes = tiny();
    let number = |bytes: &[u8], at: usize| {
        u64::from_le_bytes(bytes[at..at + 8].try_into().expect("8 bytes")) as usize
    };
    let size = number(&bytes, 56) + 16;
    assert_eq!(number(&bytes, size), 64 << 10);
    for claim in [32u64 << 10, 128 << 10, 64 << 30, 1 << 61, u64::MAX] {
        bytes[size..size + 8].copy_from_slice(&claim.to_le_bytes());
        reseal(&mut bytes);
        let reason = refusal(&bytes);
        assert!(reason.contains("not what its layout says"), "{reason}");
    }
}

#[test]
fn a_board_has_no_more_memory_than_there_can_be() {
    let board = |size: &str| {
        let text = format!(
            "[board]\nname = \"x\"\n[dev.a]\nat = \"sys:0\"\n[dev.a.ram]\nsize = \"8GiB\"\n[dev.b]\nat = \"sys:0x200000000\"\n[dev.b.ram]\nsize = \"{size}\"\n"
        );
        compose::open_text("x", &text, &Options::default()).map_err(|e| e.render(false))
    };
    assert!(board("8GiB").is_ok());
    for size in ["9GiB", "64GiB", "16000000TiB"] {
        let problems = board(size).map(drop).unwrap_err();
        assert!(problems.contains("more than 16GiB of memory"), "{problems}");
    }
}

#[test]
fn names_in_a_layout_make_no_more_text_than_there_are_bytes() {
    let field = |content| Field::new("n".repeat(1 << 16), content);
    let byte = Type::Scalar("u8".into());
    let element = Type::structure("E", vec![field(byte)]);
    let mut payload = (1u64 << 18).to_le_bytes().to_vec();
    payload.resize(8 + (1 << 18), 7);
    let mut section = Section {
        path: "x".to_owned(),
        payload,
        memory: Vec::new(),
    };
    let sequence = |of| Type::Sequence(Box::new(of));
    let error = payload::show(&section, &sequence(element)).unwrap_err();
    assert!(error.to_string().contains("too long"), "{error}");
    // Elements without a byte are as many as one likes; here 2^18 times none, 2^15 times over.
    let nothing = Type::structure("N", Vec::new());
    let many = Type::Array(Box::new(sequence(nothing)), 1 << 15);
    section.payload = (1u64 << 17).to_le_bytes().repeat(1 << 15);
    let begin = std::time::Instant::now();
    let _ = payload::show(&section, &many);
    assert!(begin.elapsed() < Duration::from_secs(10));
}

#[test]
fn a_stream_of_another_machine_is_refused_with_what_differs() {
    let loaded = open("malta", &[("param.ram", "16MiB")]);
    let machine = Machine::new(&loaded.plan, Fittings::default()).expect("a machine");
    let bytes = saved(&machine, &loaded);
    let refuse = |other: &Loaded| {
        let stream = Stream::read(&mut &bytes[..], &mut quiet).expect("a good stream");
        let own = stream.board(&Options::default()).expect("its board");
        let built = stream.build(&own.plan, &other.plan, Fittings::default());
        built.map(drop).unwrap_err().to_string()
    };
    let error = refuse(&open("malta", &[("param.ram", "32MiB")]));
    assert!(
        error.contains("ram: content: it was memory of 16MiB, and is memory of 32MiB here"),
        "{error}"
    );
    assert!(error.contains("+   size = \"32MiB\""), "{error}");
    let error = refuse(&open("malta-be", &[("param.ram", "16MiB")]));
    assert!(error.contains("big-endian = true"), "{error}");
    let pm = "chip.piix4.dev.pm.PIIX4_PM.memory-hotplug-support";
    let error = refuse(&open("malta", &[("param.ram", "16MiB"), (pm, "true")]));
    assert!(
        error.contains("piix4.pm.memhp: the saved state has no such section"),
        "{error}"
    );
    assert!(
        error.contains("+   memory-hotplug-support = true"),
        "{error}"
    );
    let error = refuse(&open("malta-lite", &[("param.ram", "16MiB")]));
    // Of many differences the first are told, and how many there are.
    assert!(
        error.contains("it is of the board malta, this is malta-lite; 95 lines tell what differs"),
        "{error}"
    );
    assert!(error.contains("- device hda\n"), "{error}");
}

/// Loads a stream as far as it goes.
fn try_out(bytes: &[u8]) -> Result<(), String> {
    let stream = Stream::read(&mut &bytes[..], &mut quiet).map_err(|e| e.to_string())?;
    for section in &stream.sections {
        let layout = &stream.description.about.layout;
        if let Some((_, content)) = layout.section(&section.path) {
            payload::show(section, content).map_err(|e| e.to_string())?;
        }
    }
    let own = stream
        .board(&Options::default())
        .map_err(|e| e.to_string())?;
    let machine = stream.build(&own.plan, &own.plan, Fittings::default());
    let machine = machine.map_err(|e| e.to_string())?;
    machine.save(NEWEST).map(drop).map_err(|e| e.to_string())
}

#[test]
fn a_stream_that_makes_no_sense_is_refused_though_its_checksums_are_right() {
    let whole = tiny();
    assert_eq!(try_out(&whole), Ok(()));
    let (end, mut noise) = (whole.len(), Noise(3));
    let mut taken = 0;
    let runs = 3000;
    for _ in 0..runs {
        let mut bytes = whole.clone();
        for _ in 0..=noise.below(3) {
            let at = noise.below(end as u64) as usize;
            bytes[at] = match noise.below(3) {
                0 => noise.draw() as u8,
                1 => bytes[at] ^ 1 << noise.below(8),
                _ => whole[noise.below(end as u64) as usize],
            };
        }
        reseal(&mut bytes);
        taken += u32::from(try_out(&bytes).is_ok());
    }
    // What changes values and nothing else is taken.
    assert!(taken > 0 && taken < runs, "{taken} of {runs}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever a machine is made to do, what it saves is loaded, and saved again it is the same.
    #[test]
    fn equal_machines_give_equal_bytes(seed in any::<u64>()) {
        let (loaded, mut machine) = rom("memtest 80200000 1000\r");
        run(&mut machine, seed % 20_000_000);
        let bytes = saved(&machine, &loaded);
        prop_assert!(bytes == saved(&restored(&bytes), &loaded));
    }
}
