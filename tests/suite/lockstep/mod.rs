//! The interpreter and generated code beside each other: random programs and real guests, step by step; and machines that are
//! saved in one and go on in the other.

mod saves;
mod subject;

use std::time::Duration;

use solderless::compose::{self, Options};
use solderless::machine::{
    Event, Fittings, Kernel, KernelFiles, Machine, Pace, Run, firmware_image,
};
use solderless::plan::Plan;
use solderless_model::testing::Noise;
use solderless_model::{Engine, Place, Stops, Watch, Watching};
use solderless_testing::{Endian, guests};

use self::subject::{SINGLE, Subject, Unit};
use crate::architectures::{ARCHITECTURES, named, unmapped};
use crate::outside::Typed;

/// Code is generated for everything that is executed twice.
const JIT: Engine = Engine::Jit { after: 2 };

fn plan(board: &str, set: &[(&str, &str)]) -> Plan {
    let set = set.iter().map(|(k, v)| ((*k).into(), (*v).into()));
    let options = Options {
        set: set.collect(),
        ..Options::default()
    };
    compose::load(board, &options).expect("the board is good").0
}

/// What keeps the ROM busy.
const ROM_WORKS: &str = "memtest 80200000 40000\rpci\rmd 80000000 40\rpci 0:a.2\rhelp\rmemtest\r";
/// What keeps U-Boot busy; some of it gets lost, as it comes before U-Boot looks.
const UBOOT_WORKS: &str = "\r\rcrc32 bfc00000 40000\rmd 80000000\rpci 0\rprotect off 1:60\rerase 1:60\rcp.l 80000000 be3c0000 10\r";

/// A machine with firmware, and what is typed to it.
fn start(plan: &Plan, firmware: &[u8], typed: &str) -> Machine {
    let mut machine = with_firmware(plan, firmware);
    let slot = plan.slots.iter().position(|s| s.name == "serial0");
    let input = Event::Input(slot.expect("a slot"), typed.as_bytes().to_vec());
    let first = Run {
        pace: Pace::Deterministic,
        no_reboot: false,
        max_time: Some(Duration::from_nanos(1)),
    };
    machine.run(first, &mut Typed([input].into()));
    machine
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
    solderless::backend::rom(name).expect("it ships")
}

/// U-Boot as it is in the flash of a board, which gives it 256 MiB, as it takes for granted.
fn uboot() -> Option<(Plan, Vec<u8>)> {
    let image = std::fs::read(guests::uboot()?).expect("an image");
    let plan = plan("malta", &[("param.ram", "256MiB")]);
    let boot = plan.boot.as_ref().expect("it boots");
    let firmware = firmware_image(&image, &plan, boot).expect("it is for this CPU");
    Some((plan, firmware.image))
}

/// Compares a guest over some guest time, with steps that are `longest` at most.
fn compare(make: &dyn Fn(Engine) -> Machine, endian: Endian, total: u64, longest: u64) -> u64 {
    let subject = Subject {
        make,
        architecture: named("mips"),
        big_endian: endian == Endian::Big,
        engine: JIT,
        unit: Unit::Nanoseconds,
        physical: unmapped,
    };
    match subject.lockstep(&steps(total, longest), longest) {
        Ok(generated) => generated,
        Err(difference) => panic!("{endian:?}: {difference}"),
    }
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
        let make = |_| start(&plan, rom, ROM_WORKS);
        let generated = compare(&make, endian, 200_000_000, 20_000_000);
        assert!(generated > 50, "{generated} blocks");
    }
}

#[test]
fn u_boot_is_executed_alike() {
    let Some((plan, image)) = uboot() else { return };
    let make = |_| start(&plan, &image, UBOOT_WORKS);
    let generated = compare(&make, Endian::Little, 100_000_000, 20_000_000);
    assert!(generated > 100, "{generated} blocks");
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
        image: Some(&image[..]),
        firmware: None,
        initrd: Some(&initrd),
        append: "console=ttyS0 rdinit=/bin/sh -- -c \"uname -a; md5sum /bin/busybox; poweroff -f\"",
        fixed_seed: true,
    };
    let kernel = Kernel::new(files, &plan, boot).expect("it fits");
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
    let generated = compare(&make, Endian::Little, LINUX_NS, 150_000_000);
    assert!(generated > 5_000, "{generated} blocks");
}

/// Guest time that Linux is followed for: it is in user space for the last third.
const LINUX_NS: u64 = 7_000_000_000;

/// Instructions that random programs are compared after.
const STEPS: [u64; 10] = [1, 2, 3, 5, 11, 40, 150, 1_000, SINGLE, 2_000_000];

/// A watch point for every load and store.
const EVERYTHING: Watch = Watch {
    at: Place::Physical(0),
    len: u64::MAX,
    on: Watching::Accesses,
};

/// Breakpoints where a program comes by.
fn stops(mut machine: Machine, before: u64, program: u64, seed: u64) -> Stops {
    let mut noise = Noise(seed);
    machine.step(before);
    let breakpoints = (0..3).map(|_| {
        machine.step(1 + noise.below(program / 3 + 1));
        Place::Virtual(machine.cpu().expect("a CPU").pc())
    });
    Stops {
        breakpoints: breakpoints.collect(),
        watchpoints: Vec::new(),
    }
}

/// A number from the environment.
fn number(name: &str, default: u64) -> u64 {
    match std::env::var(name) {
        Ok(text) => text.parse().expect("a number"),
        Err(_) => default,
    }
}

#[test]
fn random_programs_are_executed_alike() {
    let first = number("SOLDERLESS_SEED", 1);
    for architecture in ARCHITECTURES {
        let programs = number("SOLDERLESS_PROGRAMS", architecture.programs);
        let Some(random) = (architecture.random)() else {
            continue;
        };
        let mut blocks = 0;
        for seed in first..first + programs {
            let guest = random(seed);
            let [before, program, after] = guest.instructions;
            let stops = match seed % 8 {
                5 => stops(guest.machine(), before, program, seed),
                6 => Stops {
                    watchpoints: vec![EVERYTHING],
                    ..Stops::default()
                },
                _ => Stops::default(),
            };
            let make = |engine| {
                let mut machine = guest.machine();
                // One is stopped all the time, the other is not.
                if engine != Engine::Interp {
                    machine.set_stops(stops.clone());
                }
                machine
            };
            let subject = Subject {
                make: &make,
                architecture,
                big_endian: guest.big_endian(),
                engine: Engine::Jit {
                    after: 1 + (seed / 4 % 3) as u32,
                },
                unit: Unit::Instructions,
                physical: guest.physical,
            };
            let step = STEPS[(seed / 4) as usize % STEPS.len()];
            let steps = std::iter::repeat_n(step, program.div_ceil(step) as usize);
            let steps: Vec<_> = [before].into_iter().chain(steps).chain([after]).collect();
            match subject.lockstep(&steps, SINGLE) {
                Ok(generated) => blocks += generated,
                Err(difference) => {
                    panic!(
                        "SOLDERLESS_SEED={seed} SOLDERLESS_PROGRAMS=1, {}, {}: {difference}",
                        architecture.name, guest.about
                    )
                }
            }
        }
        assert!(
            blocks > 40 * programs,
            "{}: {blocks} blocks in {programs} programs",
            architecture.name
        );
    }
}

/// The test of the test: one instruction is another one in the second machine.
#[test]
fn a_difference_is_found_and_shown() {
    let plan = plan("malta", &[("param.ram", "16MiB")]);
    let rom = rom(Endian::Little);
    // Where the ROM sets the stack pointer, with `lui` and `addiu`, it gets another one.
    let addiu = rom
        .windows(8)
        .position(|w| w[2..4] == [0x1d, 0x3c] && w[6..] == [0xbd, 0x27])
        .expect("the ROM has a stack")
        + 4;
    let make = |engine| {
        let mut rom = rom.to_vec();
        if engine != Engine::Interp {
            rom[addiu] ^= 4;
        }
        with_firmware(&plan, &rom)
    };
    let subject = |unit| Subject {
        make: &make,
        architecture: named("mips"),
        big_endian: false,
        engine: JIT,
        unit,
        physical: unmapped,
    };
    for (unit, at) in [
        (Unit::Nanoseconds, " ns\n"),
        (Unit::Instructions, " instructions\n"),
    ] {
        let difference = subject(unit).lockstep(&steps(5_000_000, 1_000_000), u64::MAX);
        let text = difference.expect_err("the machines differ");
        for part in [
            "the engines agree until ",
            at,
            "the block that makes the difference:",
            "Addiu",
            "<<<",
        ] {
            assert!(text.contains(part), "{part} is not in\n{text}");
        }
    }
    let difference = subject(Unit::Instructions).lockstep(&[10], 10);
    let text = difference.expect_err("so do the firmwares");
    let part = "flash: its memory differs from byte Some(";
    assert!(text.contains(part), "{part} is not in\n{text}");
}
