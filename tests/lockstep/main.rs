//! The interpreter and generated code beside each other: the same machine twice, run to the same instants of guest time, and
//! compared at each.
//!
//! A difference is traced to the first block that makes it: the machines are built anew and brought to where they were equal,
//! with the same steps, and go on to instants closer and closer to it.

use std::fmt::Write;
use std::time::Duration;

use solderless::board::{self, Options};
use solderless::graph::plan::Plan;
use solderless::machine::{Event, Fittings, Host, Kernel, KernelFiles, Machine, Pace, Run};
use solderless_model::Engine;
use solderless_testing::{Endian, guests};

/// Nothing comes from outside.
struct Silence;

impl Host for Silence {
    fn poll(&mut self) -> Option<Event> {
        None
    }
    fn wait(&mut self, _: Option<Duration>) -> Option<Event> {
        None
    }
}

/// Makes the machine for an engine.
type Make<'a> = &'a dyn Fn(Engine) -> Machine;

/// Code is generated for everything that is executed twice.
const JIT: Engine = Engine::Jit { after: 2 };

fn pair(make: Make<'_>) -> [Machine; 2] {
    [Engine::Interp, JIT].map(|engine| {
        let mut machine = make(engine);
        assert!(machine.cpu().expect("a CPU").set_engine(engine));
        machine
    })
}

/// Lets guest time pass.
fn advance(machine: &mut Machine, ns: u64) {
    let run = Run {
        pace: Pace::Deterministic,
        no_reboot: false,
        max_time: Some(Duration::from_nanos(ns)),
    };
    machine.run(run, &mut Silence);
}

/// The registers that gdb knows, the number of instructions, and the time.
fn registers(machine: &mut Machine) -> Vec<(String, u64)> {
    let now = machine.now();
    let cpu = machine.cpu().expect("a CPU");
    let name = |n| match n {
        0..=31 => format!("r{n}"),
        32 => "Status".into(),
        33 => "lo".into(),
        34 => "hi".into(),
        35 => "BadVAddr".into(),
        36 => "Cause".into(),
        37 => "pc".into(),
        38..=69 => format!("f{}", n - 38),
        _ => "FCSR".into(),
    };
    let mut all: Vec<_> = (0..71)
        .map(|n| (name(n), cpu.register(n).unwrap_or_default()))
        .collect();
    all.push(("instructions".into(), cpu.instructions()));
    all.push(("time".into(), now));
    all
}

fn differ(machines: &mut [Machine; 2], whole: bool) -> bool {
    let [a, b] = machines;
    registers(a) != registers(b) || whole && a.state_hash() != b.state_hash()
}

/// The instructions at the CPU's address, if it is in kseg0 or kseg1.
fn listing(machine: &mut Machine, endian: Endian) -> String {
    let pc = machine.cpu().expect("a CPU").pc() as u32;
    let mut text = String::new();
    for at in (0..16).map(|n| pc.wrapping_add(4 * n)) {
        let physical = u64::from(at & 0x1fff_ffff);
        if at >> 30 == 2
            && let Ok(lanes) = machine.read(physical, 4)
        {
            let word = endian.word((lanes as u32).to_le_bytes());
            let _ = writeln!(
                text,
                "  {at:08x}: {word:08x} {}",
                solderless_cpu::describe(word)
            );
        }
    }
    text
}

/// Runs both machines for these numbers of nanoseconds, one after the other, and compares registers after each, and all
/// state after each that is so long, and at the end.
///
/// # Errors
/// They differ: where, and how.
fn lockstep(make: Make<'_>, endian: Endian, steps: &[u64], whole: u64) -> Result<u64, String> {
    let mut machines = pair(make);
    for (index, ns) in steps.iter().enumerate() {
        for machine in &mut machines {
            advance(machine, *ns);
        }
        let whole = *ns >= whole || index + 1 == steps.len();
        if differ(&mut machines, whole) {
            return Err(bisect(make, endian, &steps[..index], *ns, whole));
        }
    }
    let info = machines[1].cpu().expect("a CPU").engine_info();
    Ok(info.generated)
}

/// Finds when, within the last step of `ns`, the machines become different, and says how.
fn bisect(make: Make<'_>, endian: Endian, steps: &[u64], ns: u64, whole: bool) -> String {
    let at = |last: u64| {
        let mut machines = pair(make);
        for machine in &mut machines {
            steps.iter().for_each(|ns| advance(machine, *ns));
            advance(machine, last);
        }
        machines
    };
    let (mut equal, mut different) = (0, ns);
    while different - equal > 1 {
        let middle = equal + (different - equal) / 2;
        if differ(&mut at(middle), whole) {
            different = middle;
        } else {
            equal = middle;
        }
    }
    let start: u64 = steps.iter().sum();
    let mut text = format!(
        "the engines agree until {} ns and differ at {} ns\n",
        start + equal,
        start + different
    );
    // A block is executed as a whole where there is time for it, so the one to blame may have started earlier.
    let mut before = at(equal.saturating_sub(200));
    let _ = write!(
        text,
        "a little earlier:\n{}",
        listing(&mut before[0], endian)
    );
    let [mut interpreted, mut generated] = at(different);
    let _ = write!(text, "then:\n{}", listing(&mut interpreted, endian));
    text += "interpreted and generated:\n";
    for ((name, a), (_, b)) in registers(&mut interpreted)
        .into_iter()
        .zip(registers(&mut generated))
    {
        let mark = if a == b { "" } else { "  <<<" };
        let _ = writeln!(text, "  {name:>12} {a:16x} {b:16x}{mark}");
    }
    if registers(&mut interpreted) == registers(&mut generated) {
        let save = |m: &Machine| m.save(solderless_model::NEWEST).expect("it can be saved");
        let sections = save(&interpreted).into_iter().zip(save(&generated));
        for (a, b) in sections.filter(|(a, b)| a != b) {
            let first = a.payload.iter().zip(&b.payload).position(|(a, b)| a != b);
            let _ = writeln!(text, "  {} differs from byte {first:x?} on", a.path);
        }
    }
    text
}

fn plan(board: &str, set: &[(&str, &str)]) -> Plan {
    let set = set.iter().map(|(k, v)| ((*k).into(), (*v).into()));
    let options = Options {
        set: set.collect(),
        ..Options::default()
    };
    board::load(board, &options).expect("the board is good").0
}

/// A machine with firmware of this content.
fn with_firmware(plan: &Plan, firmware: &[u8]) -> Machine {
    let boot = plan.boot.as_ref().expect("it boots").firmware;
    let mut images = vec![None; plan.slots.len()];
    images[boot] = Some(firmware.to_vec());
    let fittings = Fittings {
        images,
        ..Fittings::default()
    };
    Machine::new(plan, fittings).expect("it can be built")
}

fn rom(endian: Endian) -> &'static [u8] {
    let name = match endian {
        Endian::Little => "malta-rom-le",
        Endian::Big => "malta-rom-be",
    };
    solderless::host::rom(name).expect("it ships")
}

/// Steps of many sizes: from single instructions to millions.
fn steps(total: u64, longest: u64) -> Vec<u64> {
    let sizes = [
        1, 4, 50, 3, 333, 2_000, 17, 40_000, 7, 1_000_000, 100, 300_000,
    ];
    let mut steps = Vec::new();
    let mut left = total;
    for size in sizes.into_iter().cycle() {
        let size: u64 = if size == 1_000_000 { longest } else { size };
        if left < size {
            steps.push(left);
            return steps;
        }
        left -= size;
        steps.push(size);
    }
    steps
}

#[test]
fn the_rom_is_executed_alike() {
    for endian in Endian::BOTH {
        let plan = plan(endian.board(), &[("param.ram", "16MiB")]);
        let rom = rom(endian);
        let make = |_| with_firmware(&plan, rom);
        let steps = steps(200_000_000, 20_000_000);
        match lockstep(&make, endian, &steps, 20_000_000) {
            Ok(generated) => assert!(generated > 50, "{generated} blocks"),
            Err(difference) => panic!("{endian:?}: {difference}"),
        }
    }
}

#[test]
fn u_boot_is_executed_alike() {
    let Some(image) = guests::uboot() else { return };
    let image = std::fs::read(image).expect("an image");
    let plan = plan("malta", &[("param.ram", "32MiB")]);
    let image = solderless::machine::firmware_image(&image, false).expect("it fits");
    let make = |_| with_firmware(&plan, &image.image);
    let steps = steps(100_000_000, 20_000_000);
    match lockstep(&make, Endian::Little, &steps, 20_000_000) {
        Ok(generated) => assert!(generated > 100, "{generated} blocks"),
        Err(difference) => panic!("{difference}"),
    }
}

#[test]
fn linux_is_executed_alike() {
    let Some(linux) = guests::linux() else { return };
    let plan = plan("malta", &[("param.ram", "128MiB")]);
    let read = |path| std::fs::read(path).expect("a file");
    let (image, initrd) = (read(&linux.kernel), read(&linux.initrd));
    let boot = plan.boot.as_ref().expect("it boots");
    let files = KernelFiles {
        name: "vmlinuz",
        image: &image,
        initrd: Some(&initrd),
        append: "console=ttyS0 rdinit=/bin/sh -- -c \"uname -a; md5sum /bin/busybox; poweroff -f\"",
        fixed_seed: true,
    };
    let kernel = Kernel::new(files, boot, 0..128 << 20, false).expect("it fits");
    let make = |_| {
        let mut images = vec![None; plan.slots.len()];
        images[boot.firmware] = Some(kernel.firmware());
        let fittings = Fittings {
            images,
            kernel: Some(kernel.clone()),
            ..Fittings::default()
        };
        Machine::new(&plan, fittings).expect("it can be built")
    };
    let steps = steps(LINUX_NS, 150_000_000);
    match lockstep(&make, Endian::Little, &steps, 150_000_000) {
        Ok(generated) => assert!(generated > 5_000, "{generated} blocks"),
        Err(difference) => panic!("{difference}"),
    }
}

/// Guest time that Linux is followed for: it is in user space for the last third.
const LINUX_NS: u64 = 7_000_000_000;

/// The test of the test: one instruction is another one in the second machine.
#[test]
fn a_difference_is_found_and_shown() {
    let plan = plan("malta", &[("param.ram", "16MiB")]);
    let rom = rom(Endian::Little);
    // A word of the ROM that is executed early on: its first `addiu` with another immediate.
    let make = |engine| {
        let mut rom = rom.to_vec();
        if engine != Engine::Interp {
            let word = rom
                .chunks_exact_mut(4)
                .find(|w| w[3] >> 2 == 0x09)
                .expect("an addiu");
            word[0] ^= 4;
        }
        with_firmware(&plan, &rom)
    };
    let difference = lockstep(
        &make,
        Endian::Little,
        &steps(5_000_000, 1_000_000),
        1_000_000,
    );
    let text = difference.expect_err("the machines differ");
    for part in [
        "the engines agree until ",
        "instructions",
        "Addiu",
        "differs from byte",
    ] {
        assert!(text.contains(part), "{part} is not in\n{text}");
    }
}
