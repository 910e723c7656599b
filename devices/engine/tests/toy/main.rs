//! The engine without a real guest: random programs of a toy instruction set leave what a plain interpreter leaves.
//!
//! The toy has what makes engines go wrong: instructions of 1 to 5 bytes at any address, so that they lie across pages, registers and
//! addresses of 64 bits, jumps to computed addresses and into the middle of other instructions, stores into code, exceptions. Any
//! byte is an instruction.

mod isa;
mod plain;

use std::collections::BTreeSet;

use proptest::prelude::*;
use solderless_engine::{Engine, GENERATES};
use solderless_model::memory::Ram;
use solderless_model::testing::Surroundings;
use solderless_model::{
    Cx, DevId, Engine as Choice, EngineInfo, Place, RegionId, Stop, Stops, Watch, Watched, Watching,
};

use isa::{Core, Toy, encode};
use plain::Plain;

/// Bytes of memory.
const MEMORY: u64 = 0x14000;
/// Where programs are: their pages follow one another.
const CODE: u64 = 0x9000;
const CODE_END: u64 = 0xc000;
/// The middle of what they load and store.
const DATA: i32 = 0xd000;

/// A machine with the toy's CPU.
struct Machine {
    core: Core,
    engine: Engine<Toy>,
    around: Surroundings,
    ram: Ram,
}

impl Machine {
    fn new(memory: &[u8], choice: Choice) -> Self {
        let ram = Ram::new(MEMORY).unwrap();
        ram.write(0, memory).unwrap();
        let mut core = Core::new(CODE);
        let mut engine = Engine::default();
        assert!(engine.choose(&mut core, choice));
        let mut around = Surroundings::default();
        around.deadline = u64::MAX;
        around.ram = Some(ram.clone());
        Self {
            core,
            engine,
            around,
            ram,
        }
    }

    fn run(&mut self, limit: u64) -> Stop {
        let mut cx = Cx::new(&mut self.around, DevId(0));
        self.engine.run(&mut self.core, &mut cx, limit)
    }

    fn change_map(&mut self) {
        Cx::new(&mut self.around, DevId(0)).memory_changed(RegionId(0));
    }

    fn memory(&self) -> Vec<u8> {
        let mut memory = vec![0; MEMORY as usize];
        self.ram.read(0, &mut memory).unwrap();
        memory
    }

    fn info(&self) -> EngineInfo {
        self.engine.info()
    }
}

/// Runs a program in pieces, here and in the plain interpreter.
fn compare(memory: &[u8], pieces: &[u64], choice: Choice) -> EngineInfo {
    let mut plain = Plain::new(memory.to_vec(), CODE);
    let mut machine = Machine::new(memory, choice);
    let mut total = 0;
    for (n, piece) in pieces.iter().enumerate() {
        total += piece;
        machine.run(*piece);
        plain.run(*piece);
        let place = format!("{choice:?}, piece {n}, after {total} instructions");
        assert_eq!(machine.core.vcpu.instructions, total, "{place}");
        assert_eq!(machine.core.r, plain.r, "{place}, pc {:#x}", plain.pc);
        assert_eq!(machine.core.pc, plain.pc, "{place}");
        assert!(machine.memory() == plain.memory, "{place}: memory differs");
    }
    machine.info()
}

/// Runs a program in pieces and goes on where it is stopped, here and in the plain interpreter; gives how often it was.
fn compare_stops(memory: &[u8], pieces: &[u64], stops: &Stops, choice: Choice) -> usize {
    let mut plain = Plain::new(memory.to_vec(), CODE);
    let mut expected = Vec::new();
    let total: u64 = pieces.iter().sum();
    for instructions in 0..total {
        let (pc, access) = (plain.pc, plain.access());
        let here = |place: &&Place| place.address() == pc;
        let found = stops.breakpoints.iter().find(here);
        expected.extend(found.map(|place| (instructions, pc, Stop::Break(*place))));
        let meets = |watch: &&Watch| {
            let from = watch.at.address();
            access.is_some_and(|(at, write)| {
                at + 8 > from && at < from + watch.len && watch.on.meets(write)
            })
        };
        if let (Some(watch), Some((at, write))) = (stops.watchpoints.iter().find(meets), access) {
            let watch = *watch;
            expected.push((instructions, pc, Stop::Watch(Watched { watch, at, write })));
        }
        plain.run(1);
    }
    let mut machine = Machine::new(memory, choice);
    machine.engine.set_stops(&mut machine.core, stops);
    let (mut found, mut end) = (Vec::new(), 0);
    for piece in pieces {
        end += piece;
        loop {
            let stop = machine.run(end - machine.core.vcpu.instructions);
            if stop == Stop::Limit {
                break;
            }
            found.push((machine.core.vcpu.instructions, machine.core.pc, stop));
            assert!(found.len() <= expected.len(), "{choice:?}: {stop:?}");
        }
    }
    assert_eq!(found, expected, "{choice:?}");
    assert_eq!(machine.core.vcpu.instructions, total, "{choice:?}");
    assert_eq!(machine.core.r, plain.r, "{choice:?}");
    assert_eq!(machine.core.pc, plain.pc, "{choice:?}");
    assert!(machine.memory() == plain.memory, "{choice:?}: memory");
    found.len()
}

fn engines() -> Vec<Choice> {
    let mut engines = vec![Choice::Interp];
    if GENERATES {
        engines.extend([1, 3].map(|after| Choice::Jit { after }));
    }
    engines
}

/// An instruction of a random program, before addresses are known.
#[derive(Debug, Clone)]
enum Random {
    /// This one.
    Plain(Vec<u8>),
    /// A branch or jump to the instruction of this number, modulo how many there are; `None` for the registers of a jump.
    To(Option<(u8, u8)>, usize),
    /// A register gets the address of an instruction, and is jumped to.
    Computed(u8, usize),
    /// A store of a register into the code, so many bytes from its start, or beside it.
    Patch(u8, u16),
}

/// Registers that random programs write. The others hold bases of memory and count rounds.
const WRITTEN: std::ops::Range<u8> = 0..10;
const ZERO: u8 = 10;
const JUMP: u8 = 11;
const BASE: u8 = 12;
const ROUNDS: u8 = 13;
const ONE: u8 = 14;

fn random() -> impl Strategy<Value = Random> {
    let written = || WRITTEN;
    let register = || 0..16u8;
    let plain = prop_oneof![
        (written(), any::<i32>()).prop_map(|(a, n)| encode::li(a, n)),
        (0..4u8, written(), register(), register())
            .prop_map(|(op, a, b, c)| encode::alu(op, a, b, c)),
        (written(), register(), 0..128u8).prop_map(|(a, b, by)| encode::shift(a, b, by)),
        written().prop_map(encode::not),
        (written(), -0x800..0x800i16).prop_map(|(a, at)| encode::load(a, BASE, at & !7)),
        (written(), -0x7f8..0x800i16).prop_map(|(a, at)| encode::load(a, BASE, at)),
        (register(), -0x800..0x800i16).prop_map(|(a, at)| encode::store(a, BASE, at & !7)),
        (written(), register(), any::<i16>()).prop_map(|(a, b, at)| encode::load(a, b, at)),
        written().prop_map(encode::count),
        written().prop_map(encode::link),
        Just(encode::nop()),
        Just(encode::trap()),
    ];
    prop_oneof![
        12 => plain.prop_map(Random::Plain),
        2 => (register(), register(), any::<usize>()).prop_map(|(a, b, to)| Random::To(Some((a, b)), to)),
        1 => any::<usize>().prop_map(|to| Random::To(None, to)),
        1 => (written(), any::<usize>()).prop_map(|(a, to)| Random::Computed(a, to)),
        1 => (register(), any::<u16>()).prop_map(|(a, at)| Random::Patch(a, at)),
    ]
}

/// A program: `at` bytes into its pages, with a loop around it, and a handler of traps.
fn program(at: u16, rounds: u8, body: &[Random]) -> Vec<u8> {
    let mut memory = vec![0; MEMORY as usize];
    let put = |memory: &mut Vec<u8>, at: usize, bytes: &[u8]| {
        memory[at..at + bytes.len()].copy_from_slice(bytes);
    };
    for (n, byte) in memory[CODE_END as usize..].iter_mut().enumerate() {
        *byte = (n as u8).wrapping_mul(37);
    }
    let start = CODE as usize + usize::from(at) % (CODE_END - CODE - 0x800) as usize;
    // What starts the program, and what goes round.
    let mut head = encode::li(BASE, DATA);
    head.extend(encode::li(ROUNDS, rounds.into()));
    head.extend(encode::li(ONE, 1));
    head.extend(encode::jump_register_by(JUMP, start as i32));
    put(&mut memory, CODE as usize, &head);
    let lengths: Vec<usize> = body
        .iter()
        .map(|random| match random {
            Random::Plain(bytes) => bytes.len(),
            Random::To(Some(_), _) => encode::branch(0, 0, 0).len(),
            Random::To(None, _) => encode::jump(0).len(),
            Random::Computed(..) => encode::jump_register_by(0, 0).len(),
            Random::Patch(..) => encode::store(0, BASE, 0).len(),
        })
        .collect();
    let places: Vec<usize> = lengths
        .iter()
        .scan(start, |next, len| {
            Some(std::mem::replace(next, *next + len))
        })
        .collect();
    let end = places.last().copied().unwrap_or(start) + lengths.last().copied().unwrap_or(0);
    for (random, here) in body.iter().zip(&places) {
        let to = |n: &usize| places[*n % places.len()];
        let by = |n: &usize| (to(n) as i64 - *here as i64) as i16;
        let bytes = match random {
            Random::Plain(bytes) => bytes.clone(),
            Random::To(Some((a, b)), n) => encode::branch(*a, *b, by(n)),
            Random::To(None, n) => encode::jump(by(n)),
            Random::Computed(a, n) => encode::jump_register_by(*a, to(n) as i32),
            Random::Patch(a, at) => {
                let at = start as i32 + i32::from(*at) % 0x100 - DATA;
                encode::store(*a, BASE, at as i16 & !7)
            }
        };
        put(&mut memory, *here, &bytes);
    }
    // Round again as long as there are rounds, then for ever through what follows.
    let mut tail = encode::alu(encode::SUB, ROUNDS, ROUNDS, ONE);
    let back = start as i64 - (end + tail.len()) as i64;
    tail.extend(encode::branch(ROUNDS, ZERO, back as i16));
    tail.extend(encode::jump_register_by(JUMP, start as i32));
    put(&mut memory, end, &tail);
    // The handler goes on behind the instruction that trapped.
    put(
        &mut memory,
        isa::VECTOR as usize,
        &encode::jump_register(15),
    );
    memory
}

/// How many random programs: 400, or what the environment says.
fn cases() -> u32 {
    let asked = std::env::var("TOY_PROGRAMS").ok();
    asked.and_then(|n| n.parse().ok()).unwrap_or(400)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), ..ProptestConfig::default() })]

    #[test]
    fn random_programs_leave_what_a_plain_interpreter_leaves(
        at in any::<u16>(),
        rounds in 1..60u8,
        body in prop::collection::vec(random(), 1..60),
        pieces in prop::collection::vec(prop_oneof![1..4u64, 1..200u64, 200..3000u64], 1..24),
    ) {
        let memory = program(at, rounds, &body);
        for choice in engines() {
            compare(&memory, &pieces, choice);
        }
    }

    #[test]
    fn programs_that_are_stopped_anywhere_do_the_same(
        at in any::<u16>(),
        rounds in 1..60u8,
        body in prop::collection::vec(random(), 1..60),
        pieces in prop::collection::vec(prop_oneof![1..4u64, 1..200u64, 200..3000u64], 1..12),
        breakpoints in prop::collection::vec((0..0x140u64, any::<bool>()), 0..6),
        watchpoints in prop::collection::vec((0..0x1000u64, 1..40u64, 0..3usize), 0..4),
    ) {
        let memory = program(at, rounds, &body);
        let start = CODE + u64::from(at) % (CODE_END - CODE - 0x800);
        let place = |at, physical| if physical { Place::Physical(at) } else { Place::Virtual(at) };
        let on = [Watching::Reads, Watching::Writes, Watching::Accesses];
        let breakpoints = breakpoints.into_iter().map(|(by, physical)| place(start + by, physical));
        let watchpoints = watchpoints.into_iter().map(|(by, len, which)| Watch {
            at: place(DATA as u64 - 0x800 + by, by % 2 == 0),
            len,
            on: on[which],
        });
        let stops = Stops {
            breakpoints: breakpoints.collect(),
            watchpoints: watchpoints.collect(),
        };
        for choice in engines() {
            compare_stops(&memory, &pieces, &stops, choice);
        }
    }

    #[test]
    fn whoever_watches_hears_of_all_stores(
        at in any::<u16>(),
        rounds in 1..60u8,
        body in prop::collection::vec(random(), 1..60),
        // How many instructions, who looks then, and who comes anew.
        pieces in prop::collection::vec((1..2000u64, 0..8u8, 0..4usize, any::<Option<u16>>()), 1..24),
    ) {
        let memory = program(at, rounds, &body);
        for choice in engines() {
            let mut plain = Plain::new(memory.clone(), CODE);
            let mut machine = Machine::new(&memory, choice);
            let ram = machine.ram.clone();
            let mut watchers = [(); 3].map(|()| (ram.dirty(), BTreeSet::new()));
            for (count, look, come, outside) in &pieces {
                if let Some((watcher, known)) = watchers.get_mut(*come) {
                    (*watcher, *known) = (ram.dirty(), BTreeSet::new());
                }
                // So does what others than the CPU write.
                if let Some(at) = outside {
                    let at = u64::from(*at) & !7;
                    plain.memory[at as usize..][..8].copy_from_slice(&[0x75; 8]);
                    plain.written.insert((at >> 12) as u32);
                    ram.write(at, &[0x75; 8]).unwrap();
                }
                machine.run(*count);
                plain.run(*count);
                assert_eq!(machine.core.r, plain.r, "{choice:?}");
                let written = std::mem::take(&mut plain.written);
                for (n, (watcher, known)) in watchers.iter_mut().enumerate() {
                    known.extend(&written);
                    if look >> n & 1 != 0 {
                        assert_eq!(watcher.written(), std::mem::take(known), "{choice:?}: {n}");
                    }
                }
            }
        }
    }

    #[test]
    fn random_bytes_are_a_program_like_any_other(
        bytes in prop::collection::vec(any::<u8>(), 0x400),
        pieces in prop::collection::vec(1..500u64, 1..12),
    ) {
        let mut memory = vec![0; MEMORY as usize];
        // Across the first two pages of code.
        memory[0xae00..0xb200].copy_from_slice(&bytes);
        memory[CODE as usize..][..6].copy_from_slice(&encode::jump_register_by(JUMP, 0xae00));
        memory[isa::VECTOR as usize..][..1].copy_from_slice(&encode::jump_register(15));
        for choice in engines() {
            compare(&memory, &pieces, choice);
        }
    }
}

/// A loop of three instructions, so many times.
fn counting(rounds: i32) -> Vec<u8> {
    let mut memory = vec![0; MEMORY as usize];
    let mut code = encode::li(1, rounds);
    code.extend(encode::li(2, 1));
    let start = code.len();
    code.extend(encode::alu(encode::ADD, 3, 3, 1));
    code.extend(encode::alu(encode::SUB, 1, 1, 2));
    let back = start as i64 - code.len() as i64;
    code.extend(encode::branch(1, 0, back as i16));
    code.extend(encode::jump(0));
    memory[CODE as usize..][..code.len()].copy_from_slice(&code);
    memory
}

#[test]
fn every_tier_is_reached() {
    let memory = counting(10_000);
    let pieces = [1000, 1000, 7, 20_000, 1, 1, 9000];
    let interpreted = compare(&memory, &pieces, Choice::Interp);
    assert_eq!(interpreted.native.instructions, 0);
    if GENERATES {
        let info = compare(&memory, &pieces, Choice::Jit { after: 2 });
        assert!(info.generated >= 3, "{info:?}");
        assert!(info.loops >= 1, "{info:?}");
        assert!(info.native.instructions > 25_000, "{info:?}");
    }
}

#[test]
fn a_loop_is_stopped_each_time_round() {
    let memory = counting(500);
    // The second of the three instructions, and the last.
    let stops = Stops {
        breakpoints: vec![Place::Virtual(CODE + 12), Place::Physical(CODE + 14)],
        watchpoints: Vec::new(),
    };
    for choice in engines() {
        assert_eq!(
            compare_stops(&memory, &[400, 1100], &stops, choice),
            998,
            "{choice:?}"
        );
    }
}

#[test]
fn code_that_is_written_to_is_decoded_again() {
    // Each round stores another number where it goes next: bytes that are instructions, up to a jump back.
    const AT: i64 = 0x100;
    let mut memory = vec![0; MEMORY as usize];
    let mut code = encode::li(BASE, CODE as i32);
    code.extend(encode::li(ONE, 1));
    let start = code.len() as i64;
    code.extend(encode::alu(encode::ADD, 1, 1, ONE));
    code.extend(encode::store(1, BASE, AT as i16));
    code.extend(encode::jump((AT - code.len() as i64) as i16));
    memory[CODE as usize..][..code.len()].copy_from_slice(&code);
    let back = encode::jump((start - AT - 8) as i16);
    memory[CODE as usize + AT as usize + 8..][..back.len()].copy_from_slice(&back);
    for choice in engines() {
        let info = compare(&memory, &[500, 3, 2000], choice);
        assert!(info.invalidated > 50, "{choice:?}: {info:?}");
    }
}

#[test]
fn code_stays_where_the_map_changes_unless_its_memory_has_moved() {
    let memory = counting(1_000_000);
    for choice in engines() {
        let mut machine = Machine::new(&memory, choice);
        let mut plain = Plain::new(memory.clone(), CODE);
        let both = |machine: &mut Machine, plain: &mut Plain| {
            machine.run(6000);
            plain.run(6000);
            assert_eq!(machine.core.r, plain.r, "{choice:?}");
        };
        // Until all code is there. Pieces end at the same instruction of the loop.
        for _ in 0..3 {
            both(&mut machine, &mut plain);
        }
        let before = machine.info();
        machine.change_map();
        both(&mut machine, &mut plain);
        let after = machine.info();
        assert_eq!(
            (before.misses, before.flushes),
            (after.misses, after.flushes),
            "{choice:?}"
        );
        // Other memory is there from now on: it adds another register.
        let other = Ram::new(MEMORY).unwrap();
        let at = CODE as usize + 10 + 1;
        assert_eq!(plain.memory[at], 3 << 4 | 1);
        plain.memory[at] = 3 << 4 | 2;
        other.write(0, &plain.memory).unwrap();
        machine.around.ram = Some(other);
        machine.change_map();
        both(&mut machine, &mut plain);
    }
}

#[test]
fn a_change_of_the_map_leaves_other_code_alone() {
    // Two pages that jump to one another, and a loop in a third.
    let mut memory = vec![0; MEMORY as usize];
    let mut put = |at: usize, code: &[Vec<u8>]| {
        let code = code.concat();
        memory[at..at + code.len()].copy_from_slice(&code);
    };
    let count = |r| encode::alu(encode::ADD, r, r, ONE);
    put(0x5000, &[count(1), encode::jump(0x1000 - 2)]);
    put(0x6000, &[count(2), encode::jump(-0x1000 - 2)]);
    put(0x4000, &[count(3), encode::jump(-2)]);
    for choice in engines() {
        let mut machine = Machine::new(&memory, choice);
        machine.core.r[usize::from(ONE)] = 1;
        let run = |machine: &mut Machine, pc| {
            machine.core.pc = pc;
            machine.run(4000);
        };
        for pc in [0x5000, 0x4000] {
            (0..3).for_each(|_| run(&mut machine, pc));
        }
        let before = machine.info();
        // From the second page on the memory is seen anew from its start, where instructions do nothing.
        machine.around.mirror = Some(0x6000);
        machine.change_map();
        run(&mut machine, 0x4000);
        let after = machine.info();
        assert_eq!(machine.core.r[1..4], [3000, 3000, 8000], "{choice:?}");
        assert_eq!(before.misses, after.misses, "{choice:?}: it was there");
        run(&mut machine, 0x5000);
        assert_eq!(machine.core.r[1..4], [3001, 3000, 8000], "{choice:?}");
        machine.around.mirror = None;
        machine.change_map();
        run(&mut machine, 0x5000);
        assert_eq!(machine.core.r[1..4], [4001, 4000, 8000], "{choice:?}");
        let after = machine.info();
        assert_eq!(before.flushes, after.flushes, "{choice:?}");
    }
}

#[test]
fn code_that_is_seen_at_two_addresses_jumps_to_what_is_beside_it() {
    let mut memory = vec![0; MEMORY as usize];
    let mut put = |at: usize, code: &[Vec<u8>]| {
        let code = code.concat();
        memory[at..at + code.len()].copy_from_slice(&code);
    };
    let count = |r| encode::alu(encode::ADD, r, r, ONE);
    put(0x100, &[count(1), encode::jump(-0x1000 - 2)]);
    put(0x7100, &[count(2), encode::jump_register(5)]);
    // The handler of traps, seen at 0x8800.
    put(0x800, &[count(3), encode::jump_register(6)]);
    for choice in engines() {
        let mut machine = Machine::new(&memory, choice);
        machine.around.mirror = Some(0x8000);
        let core = &mut machine.core;
        (core.r[usize::from(ONE)], core.r[5], core.r[6]) = (1, 0x8100, 0x100);
        core.pc = 0x8100;
        machine.run(4000);
        assert_eq!(machine.core.r[1..4], [1000, 1000, 0], "{choice:?}");
        // Before its first address there is nothing to jump to.
        machine.core.pc = 0x100;
        machine.run(5000);
        assert_eq!(machine.core.r[1..4], [2000, 1000, 1000], "{choice:?}");
        machine.core.pc = 0x8100;
        machine.run(4000);
        assert_eq!(machine.core.r[1..4], [3000, 2000, 1000], "{choice:?}");
    }
}

#[test]
fn time_passes_with_instructions_in_every_tier() {
    for choice in engines() {
        let mut machine = Machine::new(&counting(1_000_000), choice);
        machine.around.deadline = 5_000;
        machine.run(u64::MAX);
        // One instruction each nanosecond.
        assert_eq!(machine.around.now, 5_000, "{choice:?}");
        assert_eq!(machine.core.vcpu.instructions, 5_000, "{choice:?}");
    }
}
