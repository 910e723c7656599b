//! The TLB as programs see it.

use solderless_model::Device as _;

use super::exceptions::{mfc0, mtc0};
use super::{CODE, NOP, Rig, TLBWI, i, r};

const T0: u32 = 8;
const T1: u32 = 9;
const TLBP: u32 = 0x4200_0008;
const TLBR: u32 = 0x4200_0001;
const TLBWR: u32 = 0x4200_0006;
const LOAD: u32 = T0 << 21 | 0x23 << 26 | T1 << 16;
const STORE: u32 = T0 << 21 | 0x2b << 26 | T1 << 16;

fn code(rig: &Rig) -> u32 {
    rig.cp0(13, 0) >> 2 & 31
}

/// Executes one load or store at an address and gives what came of it: an exception code, or 0.
fn access(rig: &mut Rig, word: u32, va: u32) -> u32 {
    rig.put(CODE, &[word]);
    rig.set(8, va);
    rig.go(CODE);
    rig.run(1);
    if rig.pc() == CODE + 4 {
        return 0;
    }
    let result = code(rig);
    let status = rig.cp0(12, 0);
    rig.set(32, status & !2);
    result
}

#[test]
fn flags_of_a_page() {
    const VA: u32 = 0x40_0000;
    for (flags, load, store) in [(0, 2, 3), (2, 0, 1), (6, 0, 0)] {
        let mut rig = Rig::new(|_| ());
        rig.map(VA, 0x3000, flags);
        for _ in 0..2 {
            assert_eq!(access(&mut rig, LOAD, VA + 8), load, "{flags}");
            assert_eq!(access(&mut rig, STORE, VA + 8), store, "{flags}");
        }
        assert_eq!(
            access(&mut rig, LOAD, VA + 0x1000),
            2,
            "the page at its side"
        );
    }
    let mut rig = Rig::new(|_| ());
    rig.map(VA, 0x3000, 2);
    access(&mut rig, LOAD, VA);
    assert_eq!(access(&mut rig, STORE, VA), 1);
    rig.map(VA, 0x3000, 6);
    assert_eq!(access(&mut rig, STORE, VA), 0, "it may be written now");
    rig.map(VA, 0x3000, 2);
    assert_eq!(access(&mut rig, STORE, VA), 1, "and now no longer");
    rig.map(VA, 0x4000, 6);
    rig.set(9, 0x1234);
    access(&mut rig, STORE, VA + 4);
    assert_eq!(rig.word(0x4004), 0x1234, "it leads elsewhere");
}

#[test]
fn invalid_and_refill_have_their_vectors() {
    let mut rig = Rig::new(|_| ());
    rig.map(0x40_0000, 0x3000, 0);
    rig.put(CODE, &[LOAD]);
    for (va, vector) in [(0x40_0000, 0x8000_0180), (0x80_0000, 0x8000_0000)] {
        rig.set(8, va);
        rig.set(32, 0);
        rig.go(CODE);
        rig.run(1);
        assert_eq!((rig.pc(), code(&rig)), (vector, 2));
    }
}

#[test]
fn address_spaces() {
    let mut rig = Rig::new(|_| ());
    rig.ram.write_u32(0x3000, 0xa).unwrap();
    rig.ram.write_u32(0x4000, 0xb).unwrap();
    // kseg3 too: what is cached for it must not survive a change of address space.
    for va in [0x40_0000, 0xe000_2000] {
        rig.set_cp0(10, 0, 1);
        rig.map(va, 0x3000, 6);
        rig.set_cp0(10, 0, 2);
        rig.map(va + 0x4000, 0x4000, 7);
        for _ in 0..2 {
            rig.set_cp0(10, 0, 1);
            assert_eq!(access(&mut rig, LOAD, va), 0);
            assert_eq!(rig.get(9), 0xa);
            rig.set_cp0(10, 0, 2);
            assert_eq!(access(&mut rig, LOAD, va), 2, "{va:#x} is of another space");
        }
        rig.set_cp0(10, 0, 3);
        assert_eq!(access(&mut rig, LOAD, va + 0x4000), 0, "global");
        assert_eq!(rig.get(9), 0xb);
    }
}

#[test]
fn probe_read_write() {
    let mut rig = Rig::new(|_| ());
    rig.map(0x40_2000, 0x0555_5000, 6);
    rig.set_cp0(10, 0, 0x40_2000);
    rig.set_cp0(0, 0, 9);
    rig.execute(&[TLBP]);
    assert_eq!(rig.cp0(0, 0), 1);
    rig.set_cp0(2, 0, 0);
    rig.set_cp0(5, 0, 0x6000);
    rig.set_cp0(10, 0, 0);
    rig.execute(&[TLBR]);
    let lo = 0x0555_5000 >> 6 | 6;
    assert_eq!(
        [rig.cp0(10, 0), rig.cp0(2, 0), rig.cp0(3, 0), rig.cp0(5, 0)],
        [0x40_2000, lo, 0, 0]
    );
    rig.set_cp0(10, 0, 0x80_0000);
    rig.execute(&[TLBP]);
    assert_eq!(rig.cp0(0, 0) >> 31, 1, "not found");
}

#[test]
fn random_stays_above_wired() {
    let mut rig = Rig::new(|_| ());
    rig.set_cp0(6, 0, 12);
    assert_eq!(rig.cp0(1, 0), 15, "at the top after a write to Wired");
    let mut seen = 0;
    for n in 0..64 {
        rig.set_cp0(10, 0, 0x40_0000 + n * 0x2000);
        rig.execute(&[TLBWR, mfc0(1, 0)]);
        assert!((12..16).contains(&rig.get(9)));
        rig.execute(&[TLBP]);
        let index = rig.cp0(0, 0);
        assert!((12..16).contains(&index), "{index}");
        seen |= 1 << index;
    }
    assert_eq!(seen, 0xf000, "every one is used");
}

#[test]
fn a_second_match_is_a_machine_check() {
    let mut rig = Rig::new(|_| ());
    rig.map(0x40_0000, 0x3000, 6);
    rig.set_cp0(0, 0, 5);
    rig.put(CODE, &[TLBWI]);
    rig.run(1);
    assert_eq!((rig.pc(), code(&rig)), (0x8000_0180, 24));
    assert_eq!(rig.cp0(12, 0) >> 21 & 1, 1, "Status.TS");
    rig.set(32, 0);
    assert_eq!(
        access(&mut rig, LOAD, 0x40_0000),
        0,
        "the first entry is still good"
    );
}

#[test]
fn error_level_maps_the_lower_half_directly() {
    let mut rig = Rig::new(|_| ());
    rig.ram.write_u32(0x3000, 77).unwrap();
    rig.set(32, 4);
    assert_eq!(access(&mut rig, LOAD, 0x3000), 0);
    assert_eq!(rig.get(9), 77);
    rig.set(32, 0);
    assert_eq!(access(&mut rig, LOAD, 0x3000), 2);
}

#[test]
fn code_runs_where_it_is_mapped() {
    let mut rig = Rig::new(|_| ());
    rig.map(0x40_0000, 0x3000, 2);
    rig.put(0x3000, &[i(0x09, T1, T1, 1), i(0x04, 0, 0, 0xfffe), NOP]);
    rig.put(0x4000, &[i(0x09, T1, T1, 100), i(0x04, 0, 0, 0xfffe), NOP]);
    rig.go(0x40_0000);
    rig.run(30);
    assert_eq!(rig.get(9), 10);
    rig.map(0x40_0000, 0x4000, 2);
    rig.set(9, 0);
    rig.go(0x40_0000);
    rig.run(30);
    assert_eq!(rig.get(9), 1000);
}

#[test]
fn the_kernel_executes_mapped_pages_of_the_lower_half() {
    let mut rig = Rig::new(|_| ());
    rig.map(0x40_0000, 0x3000, 2);
    rig.map(0x40_2000, 0x4000, 2);
    let jump = |register| r(8, register, 0, 0, 0);
    rig.put(0x3000, &[i(0x09, T1, T1, 1), jump(10), NOP]);
    rig.put(0x4000, &[i(0x09, T1, T1, 100), jump(11), NOP]);
    rig.set(10, 0x40_2000);
    rig.set(11, 0x40_0000);
    rig.go(0x40_0000);
    rig.run(60);
    assert_eq!(rig.get(9), 1010);
}

#[test]
fn a_slot_may_miss() {
    let mut rig = Rig::new(|_| ());
    rig.map(0x40_1000, 0x3000, 2);
    rig.put(0x3ffc, &[i(0x04, 0, 0, 5)]);
    rig.go(0x40_1ffc);
    rig.run(1);
    assert_eq!((rig.pc(), code(&rig)), (0x8000_0000, 2));
    assert_eq!(
        (rig.cp0(14, 0), rig.cp0(8, 0), rig.cp0(13, 0) >> 31),
        (0x40_1ffc, 0x40_2000, 1)
    );
    rig.set(32, 0);
    rig.map(0x40_2000, 0x8000, 2);
    rig.put(0x8000, &[i(0x09, 0, T1, 3)]);
    rig.go(0x40_1ffc);
    rig.run(1);
    assert_eq!((rig.pc(), rig.get(9)), (0x40_2014, 3));
}

#[test]
fn a_slot_on_the_next_page_is_that_of_the_page_mapped_now() {
    let mut rig = Rig::new(|_| ());
    rig.map(0x40_1000, 0x3000, 2);
    // A branch to the last word of the page, where there is another one.
    rig.put(0x3ff0, &[i(0x04, 0, 0, 2), NOP, NOP, i(0x04, 0, 0, 5)]);
    rig.put(0x8000, &[i(0x09, 0, T1, 3)]);
    rig.put(0x9000, &[i(0x09, 0, T1, 4)]);
    for (pa, value) in [(0x8000, 3), (0x8000, 3), (0x9000, 4), (0x8000, 3)] {
        rig.map(0x40_2000, pa, 2);
        rig.set(9, 0);
        rig.go(0x40_1ff0);
        rig.run(4);
        assert_eq!((rig.pc(), rig.get(9)), (0x40_2014, value));
    }
}

#[test]
fn changing_the_address_space_within_a_page_of_code() {
    // The code itself is in an address space, and changes it: its page is another one from then on.
    let mut rig = Rig::new(|_| ());
    rig.set_cp0(10, 0, 1);
    rig.map(0x40_0000, 0x3000, 2);
    rig.set_cp0(10, 0, 2);
    rig.execute(&[mtc0(0, 0)]);
    rig.set_cp0(0, 0, 7);
    rig.set_cp0(2, 0, 0x8000 >> 6 | 2);
    rig.set_cp0(10, 0, 0x40_0002);
    rig.execute(&[TLBWI]);
    rig.set_cp0(10, 0, 1);
    rig.put(0x3000, &[mtc0(10, 0), i(0x09, 0, T0, 1)]);
    rig.put(0x8000, &[NOP, i(0x09, 0, T0, 2)]);
    rig.set(9, 2);
    rig.go(0x40_0000);
    rig.run(2);
    assert_eq!(rig.get(8), 2);
}

/// A TLB whose last entry is the one that TLBWR replaces, with a page written by TLBWR and replaced by another one.
fn replaced(victim_tlb: bool) -> Rig {
    let mut rig = Rig::new(|p| p.victim_tlb = victim_tlb);
    rig.set_cp0(6, 0, 15);
    rig.ram.write_u32(0x3000, 0xa).unwrap();
    rig.ram.write_u32(0x4000, 0xb).unwrap();
    write_random(&mut rig, VICTIM, 0x3000, CLEAN);
    assert_eq!(access(&mut rig, LOAD, VICTIM), 0);
    write_random(&mut rig, OTHER, 0x4000, CLEAN);
    assert_eq!(access(&mut rig, LOAD, OTHER), 0);
    rig
}

const VICTIM: u32 = 0x40_0000;
const OTHER: u32 = 0x80_0000;
const CLEAN: u32 = 2;

fn write_random(rig: &mut Rig, va: u32, pa: u32, flags: u32) {
    for (register, value) in [(2, pa >> 6 | flags), (3, 0), (5, 0), (10, va)] {
        rig.set_cp0(register, 0, value);
    }
    rig.execute(&[TLBWR]);
}

fn probe(rig: &mut Rig, va: u32) {
    rig.set_cp0(10, 0, va);
    rig.execute(&[TLBP]);
    assert_eq!(rig.cp0(0, 0) >> 31, 1, "not found");
}

#[test]
fn a_victim_translates_until_software_could_tell() {
    assert_eq!(access(&mut replaced(false), LOAD, VICTIM), 2);
    type Change = (&'static str, bool, fn(&mut Rig));
    let changes: [Change; 8] = [
        ("nothing", true, |_| ()),
        ("a probe of it", false, |rig| probe(rig, VICTIM + 0x1000)),
        ("a probe of something else", true, |rig| {
            probe(rig, VICTIM + 0x2000);
        }),
        ("its entry is read", false, |rig| {
            rig.set_cp0(0, 0, 15);
            rig.execute(&[TLBR]);
        }),
        ("another entry is read", true, |rig| {
            rig.set_cp0(0, 0, 3);
            rig.execute(&[TLBR]);
        }),
        ("its entry is written", false, |rig| {
            rig.set_cp0(0, 0, 15);
            rig.set_cp0(10, 0, 0xc0_0000);
            rig.execute(&[TLBWI]);
        }),
        ("another entry is written", true, |rig| {
            rig.map(0xc0_0000, 0x5000, CLEAN);
        }),
        ("a large page over it is written", false, |rig| {
            for (register, value) in [(0, 2), (2, 0), (3, 0), (5, 0x1_e000), (10, VICTIM)] {
                rig.set_cp0(register, 0, value);
            }
            rig.execute(&[TLBWI]);
        }),
    ];
    for (what, stays, change) in changes {
        let mut rig = replaced(true);
        assert_eq!(access(&mut rig, LOAD, VICTIM), 0);
        assert_eq!(rig.get(9), 0xa);
        change(&mut rig);
        rig.set_cp0(10, 0, 0);
        let result = access(&mut rig, LOAD, VICTIM);
        assert_eq!(result == 0, stays, "{what}");
    }
}

#[test]
fn a_victim_allows_what_its_entry_did_and_causes_no_exception_of_its_own() {
    let mut rig = replaced(true);
    rig.put(CODE, &[STORE]);
    rig.set(8, VICTIM);
    rig.go(CODE);
    rig.run(1);
    assert_eq!((rig.pc(), code(&rig)), (0x8000_0000, 3), "a refill");
    rig.set(32, 0);
    assert_eq!(
        access(&mut rig, LOAD, VICTIM + 0x1000),
        2,
        "the invalid page at its side"
    );
    rig.set_cp0(10, 0, 1);
    assert_eq!(access(&mut rig, LOAD, VICTIM), 2, "another address space");
}

#[test]
fn a_new_entry_takes_the_place_of_a_victim() {
    let mut rig = replaced(true);
    write_random(&mut rig, VICTIM, 0x4000, CLEAN);
    assert_eq!(access(&mut rig, LOAD, VICTIM), 0);
    assert_eq!(rig.get(9), 0xb);
    assert_eq!(access(&mut rig, LOAD, OTHER), 0, "a victim in its turn");
    // More than there is room for.
    for n in 1..=1000 {
        write_random(&mut rig, VICTIM + n * 0x2000, 0x4000, CLEAN);
    }
    let mut kept = 0;
    for n in 0..=1000 {
        rig.set_cp0(10, 0, 0);
        kept += u32::from(access(&mut rig, LOAD, VICTIM + n * 0x2000) == 0);
    }
    assert_eq!(kept, 1 + 256, "the entry, and victims of 2 MiB");
}

#[test]
fn a_reset_leaves_no_victim() {
    let mut rig = replaced(true);
    rig.bench.with(|d, cx| d.reset(cx));
    rig.set(32, 0x1000_0000);
    assert_eq!(access(&mut rig, LOAD, VICTIM), 2);
}
