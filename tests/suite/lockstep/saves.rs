//! Machines that are saved at random instants, and go on in another engine each time.

use solderless::machine::{Fittings, Machine};
use solderless::plan::Plan;
use solderless_model::testing::Noise;
use solderless_model::{Engine, NEWEST};
use solderless_testing::Endian;

use super::subject::run;
use crate::architectures::ARCHITECTURES;

use super::{ROM_WORKS, UBOOT_WORKS, plan, rom, start, uboot};

const ENGINES: [Engine; 4] = [
    Engine::Jit { after: 1 },
    Engine::Interp,
    Engine::Jit { after: 3 },
    Engine::JIT,
];

/// Runs a machine in one go for each engine, and one that is saved at random instants, up to 2 to the power of `longest` ns apart, and
/// goes on in another engine.
fn cut(plan: &Plan, make: &dyn Fn() -> Machine, seed: u64, instants: u64, longest: u64) {
    let engine = |machine: &mut Machine, engine| {
        assert!(machine.cpu().expect("a CPU").set_engine(engine));
    };
    let mut whole = make();
    engine(&mut whole, Engine::Interp);
    let mut cut = make();
    let mut noise = Noise(seed);
    for instant in 0..instants {
        let next = ENGINES[noise.below(ENGINES.len() as u64) as usize];
        engine(&mut cut, next);
        let magnitude = 4 + noise.below(longest - 3);
        let ns = noise.below(1 << magnitude);
        for machine in [&mut whole, &mut cut] {
            run(machine, ns);
        }
        // Its memory is the new machine's from here on.
        let sections = cut.save(NEWEST).expect("the newest version holds all");
        cut = Machine::restored(plan, Fittings::default(), &sections, NEWEST).expect("it loads");
        assert_eq!(
            (whole.now(), whole.state_hash()),
            (cut.now(), cut.state_hash()),
            "instant {instant}, {ns} ns in {next:?}"
        );
    }
    // Generated code that is not cut ends in the same state.
    let mut generated = make();
    engine(&mut generated, ENGINES[0]);
    let end = whole.now() + 10_000_000;
    for machine in [&mut whole, &mut cut, &mut generated] {
        let left = end - machine.now();
        run(machine, left);
    }
    assert_eq!(generated.state_hash(), whole.state_hash());
    assert_eq!(cut.state_hash(), whole.state_hash());
}

#[test]
fn the_rom_goes_on_in_any_engine_at_any_instant() {
    for endian in Endian::BOTH {
        let plan = plan(endian.board(), &[("param.ram", "16MiB")]);
        let make = || start(&plan, rom(endian), ROM_WORKS);
        cut(&plan, &make, 11, 60, 22);
    }
}

#[test]
fn u_boot_goes_on_in_any_engine_at_any_instant() {
    let Some((plan, image)) = uboot() else { return };
    let make = || start(&plan, &image, UBOOT_WORKS);
    cut(&plan, &make, 11, 40, 22);
}

/// Where a program is cut that is over after some 100 µs: in what comes before it, within it, and behind it.
#[test]
fn random_programs_go_on_in_any_engine_at_any_instant() {
    for architecture in ARCHITECTURES {
        let Some(random) = (architecture.random)() else {
            continue;
        };
        for seed in 1..=8 {
            let guest = random(seed);
            cut(&guest.board.plan, &|| guest.machine(), seed, 40, 14);
        }
    }
}
