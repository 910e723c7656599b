//! Several CPUs on one board: what they do together is right, and the same in every run, for any length of their turns, in
//! both engines, wherever the run is cut and saved.

use std::time::Duration;

use solderless::compose::{self, Loaded, Options};
use solderless::machine::{End, Fittings, Machine, Pace, Run};
use solderless_model::testing::Noise;
use solderless_model::{Engine, NEWEST, Place, Stop, Stops, Watch, Watching};
use solderless_testing::{Endian, guests};

use crate::outside::Typed;

/// The engines that this host has.
const ENGINES: &[Engine] = if cfg!(target_arch = "x86_64") {
    &[Engine::Interp, Engine::JIT]
} else {
    &[Engine::Interp]
};

const BOARD: &str = include_str!("../boards/good/pair.toml");

/// Where the program has what it comes to.
const SHARED: u64 = 0x1000;
/// Guest time after which it is done.
const ENOUGH_NS: u64 = 40_000_000;

/// The program, and the board it is for.
struct Pair {
    loaded: Loaded,
    program: Vec<u8>,
}

impl Pair {
    fn new() -> Option<Self> {
        let program = guests::bare_bytes("turns.S", Endian::Little, 0x9fc0_0000)?;
        let loaded = compose::open_text("pair", BOARD, &Options::default());
        let loaded = loaded.unwrap_or_else(|e| panic!("{}", e.render(false)));
        Some(Self { loaded, program })
    }

    fn machine(&self, engine: Engine, quantum: u64, rounds: u32) -> Machine {
        let plan = &self.loaded.plan;
        let mut machine = Machine::new(plan, Fittings::default()).expect("a machine");
        assert!(machine.set_engine(engine));
        machine.set_quantum(quantum);
        machine.load(0x1fc0_0000, &self.program).expect("memory");
        let rounds = rounds.to_le_bytes();
        machine.load(SHARED + 0x80, &rounds).expect("memory");
        machine
    }

    /// The machine that goes on from a save of another.
    fn again(&self, machine: &Machine, engine: Engine, quantum: u64) -> Machine {
        let sections = machine.save(NEWEST).expect("all");
        let plan = &self.loaded.plan;
        let again = Machine::restored(plan, Fittings::default(), &sections, NEWEST);
        let mut again = again.unwrap_or_else(|e| panic!("{e}"));
        assert_eq!(again.state_hash(), machine.state_hash());
        assert!(again.set_engine(engine));
        again.set_quantum(quantum);
        again
    }
}

fn run(machine: &mut Machine, ns: u64) {
    let run = Run {
        pace: Pace::Deterministic,
        no_reboot: false,
        max_time: Some(Duration::from_nanos(ns)),
    };
    assert_eq!(machine.run(run, &mut Typed::default()), End::TimeUp);
}

/// Panics unless the program has come to what it must.
fn check(machine: &mut Machine, rounds: u32, what: &str) {
    let mut word = |at: u64| machine.read(SHARED + at, 4).expect("memory") as u32;
    assert_eq!(word(0x14), 2, "{what}: CPUs that are done");
    assert_eq!(word(0x00), 0, "{what}: the lock");
    assert_eq!(word(0x04), 2 * rounds, "{what}: under the lock");
    assert_eq!(word(0x08), 2 * rounds, "{what}: by LL and SC");
    let (mut node, mut nodes, mut taken) = (word(0x0c), 0, 0);
    while node != 0 && nodes < 9 {
        let at = u64::from(node & 0x1fff_ffff) - SHARED;
        (node, nodes, taken) = (word(at), nodes + 1, taken + word(at + 4));
    }
    assert_eq!((nodes, taken), (4, 2 * rounds), "{what}: the stack");
    let calls = rounds / 4;
    assert_eq!([word(0x18), word(0x1c)], [calls; 2], "{what}: interrupts");
    let codes = rounds / 32;
    assert_eq!(word(0x20), 50 * codes * (codes + 1), "{what}: code");
    assert_eq!([word(0x2c), word(0x30)], [1, 2], "{what}: own memory");
}

#[test]
fn the_sums_are_right_for_any_quantum() {
    const ROUNDS: u32 = 96;
    let Some(pair) = Pair::new() else { return };
    let mut noise = Noise(3);
    let odd = (0..6).map(|_| 1 + noise.below(2000));
    for quantum in [1, 10, 20, 70, 1_000, 100_000, 2_000_000]
        .into_iter()
        .chain(odd)
    {
        let mut hashes = Vec::new();
        // Twice, so that it is known to be the same again.
        for engine in ENGINES.iter().chain(ENGINES) {
            let what = format!("{engine:?}, turns of {quantum} ns");
            let mut machine = pair.machine(*engine, quantum, ROUNDS);
            run(&mut machine, ENOUGH_NS);
            check(&mut machine, ROUNDS, &what);
            hashes.push(machine.state_hash());
        }
        hashes.dedup();
        assert_eq!(hashes.len(), 1, "turns of {quantum} ns");
    }
}

#[test]
fn a_pair_that_is_cut_and_saved_anywhere_goes_on_as_if_it_were_not() {
    const ROUNDS: u32 = 64;
    let Some(pair) = Pair::new() else { return };
    let mut noise = Noise(11);
    for (quantum, longest) in [(30, 3_000), (700, 9_000), (100_000, 90_000)] {
        let mut plain = pair.machine(ENGINES[0], quantum, ROUNDS);
        run(&mut plain, ENOUGH_NS);
        let mut cut = pair.machine(ENGINES[0], quantum, ROUNDS);
        let done = |machine: &mut Machine| machine.read(SHARED + 0x14, 4) == Ok(2);
        while !done(&mut cut) {
            // At an instant, which is the end of a round, and after a number of instructions, which is anywhere.
            let engine = ENGINES[noise.below(ENGINES.len() as u64) as usize];
            match noise.below(2) {
                0 => run(&mut cut, noise.below(longest)),
                _ => {
                    cut.step(1 + noise.below(longest / 5));
                }
            }
            cut = pair.again(&cut, engine, quantum);
        }
        let left = ENOUGH_NS - cut.now();
        run(&mut cut, left);
        check(&mut cut, ROUNDS, &format!("turns of {quantum} ns"));
        assert_eq!(plain.now(), cut.now());
        assert_eq!(
            plain.state_hash(),
            cut.state_hash(),
            "turns of {quantum} ns"
        );
    }
}

/// Runs to the end of the program, going on from wherever it stops.
fn run_through(machine: &mut Machine, mut stopped: impl FnMut(&mut Machine, usize, Stop)) {
    loop {
        let run = Run {
            pace: Pace::Deterministic,
            no_reboot: false,
            max_time: Some(Duration::from_nanos(ENOUGH_NS - machine.now())),
        };
        match machine.run(run, &mut Typed::default()) {
            End::Stopped(cpu, stop) => stopped(machine, cpu, stop),
            end => break assert_eq!(end, End::TimeUp),
        }
    }
}

#[test]
fn a_pair_that_a_debugger_stops_goes_on_as_if_it_did_not() {
    const ROUNDS: u32 = 64;
    let Some(pair) = Pair::new() else { return };
    let mut noise = Noise(17);
    let words = pair.program.len() as u64 / 4;
    for engine in ENGINES.iter().copied() {
        for quantum in [90, 10_000] {
            let mut plain = pair.machine(engine, quantum, ROUNDS);
            run(&mut plain, ENOUGH_NS);
            for n in 0..4 {
                let mut machine = pair.machine(engine, quantum, ROUNDS);
                let breakpoints = (0..4).map(|_| match (4 * noise.below(words), noise.below(2)) {
                    (at, 0) => Place::Virtual(0xffff_ffff_9fc0_0000 + at),
                    (at, _) => Place::Physical(0x1fc0_0000 + at),
                });
                let breakpoints = breakpoints.collect();
                let on = [Watching::Reads, Watching::Writes, Watching::Accesses];
                let watch = |at| Watch {
                    at,
                    len: 1 + noise.below(8),
                    on: on[noise.below(3) as usize],
                };
                // The lock, a node, and what is counted by interrupts.
                let places = [
                    Place::Virtual(0x8000_1000),
                    Place::Physical(0x1104),
                    Place::Physical(0x1018),
                ];
                let watchpoints = places.map(watch).to_vec();
                assert!(machine.set_stops(Stops {
                    breakpoints,
                    watchpoints
                }));
                let mut count = 0;
                run_through(&mut machine, |machine, cpu, stop| {
                    count += 1;
                    let pc = machine.cpu_at(cpu).expect("a CPU").pc();
                    match stop {
                        Stop::Break(at) => assert_eq!(pc % 0x1000, at.address() % 0x1000),
                        Stop::Watch(watched) => assert_eq!(watched.at >> 12, 0x80001),
                        stop => panic!("{stop:?}"),
                    }
                });
                assert!(count > 0, "{n}");
                assert_eq!(
                    plain.state_hash(),
                    machine.state_hash(),
                    "{engine:?}, turns of {quantum} ns, {n}"
                );
            }
        }
    }
}

#[test]
fn single_steps_of_one_cpu_are_what_it_would_do_anyway() {
    const ROUNDS: u32 = 32;
    let Some(pair) = Pair::new() else { return };
    for engine in ENGINES.iter().copied() {
        let mut plain = pair.machine(engine, 500, ROUNDS);
        run(&mut plain, ENOUGH_NS);
        let mut machine = pair.machine(engine, 500, ROUNDS);
        let executed = |machine: &mut Machine| machine.cpu_at(1).expect("a CPU").instructions();
        let mut before = 0;
        machine.step_cpu(Some(1));
        run_through(&mut machine, |machine, cpu, stop| {
            assert_eq!((cpu, stop), (1, Stop::Limit));
            let now = executed(machine);
            assert!(
                matches!(now - before, 1 | 2),
                "a branch goes with its slot: {}",
                now - before
            );
            before = now;
            machine.step_cpu(Some(1));
        });
        assert_eq!(before, executed(&mut plain));
        assert_eq!(plain.state_hash(), machine.state_hash(), "{engine:?}");
    }
}

#[test]
fn a_debugger_sees_memory_as_each_cpu_does() {
    let Some(pair) = Pair::new() else { return };
    let mut machine = pair.machine(ENGINES[0], 1000, 32);
    run(&mut machine, ENOUGH_NS);
    let hash = machine.state_hash();
    let mut word = [0; 4];
    for (cpu, at, expected) in [
        (0, Place::Virtual(0xbe00_0000), 1),
        (1, Place::Virtual(0xffff_ffff_be00_0000), 2),
        (1, Place::Physical(0x1e00_0000), 2),
        (1, Place::Virtual(0x8000_1080), 32),
    ] {
        machine.peek(cpu, at, &mut word).expect("memory");
        assert_eq!(u32::from_le_bytes(word), expected, "{cpu} {at:?}");
    }
    // Registers, nothing, what is not translated, and the end of memory.
    for at in [
        Place::Virtual(0xbf00_0900),
        Place::Physical(0x1800_0000),
        Place::Virtual(0x1000),
        Place::Physical(0xfffe),
        Place::Physical(u64::MAX),
    ] {
        assert!(machine.peek(0, at, &mut word).is_err(), "{at:?}");
        assert!(machine.poke(0, at, &word).is_err(), "{at:?}");
    }
    assert_eq!(machine.state_hash(), hash);
    // Read-only memory too, and across pages.
    machine
        .poke(1, Place::Virtual(0x8000_1ffe), &[1, 2, 3, 4])
        .expect("memory");
    assert_eq!(machine.read(0x1ffe, 2), Ok(0x0201));
    assert_eq!(machine.read(0x2000, 2), Ok(0x0403));
}
