//! What CPUs of 64 bits have besides: instructions on 64 bits, the sign of those on 32, segments, and the handler of misses at
//! their addresses.

use solderless_model::memory::Ram;
use solderless_model::registers::Register;
use solderless_model::testing::Bench;
use solderless_model::{Engine, Hertz, Processor};

use super::exceptions::mtc0;
use super::{NOP, i, r};
use crate::{CpuModel64, Mips64Cpu, Props};

/// Where test programs start: ckseg0.
const CODE: u64 = 0xffff_ffff_8000_1000;
const STATUS: usize = 32;
const KX: u64 = 0x80;
const SX: u64 = 0x40;
const UX: u64 = 0x20;
const PX: u64 = 1 << 23;
const USER: u64 = 0x10;
const SUPERVISOR: u64 = 0x08;
const CU1: u64 = 1 << 29;
const FR: u64 = 1 << 26;

struct Rig {
    bench: Bench<Mips64Cpu>,
    ram: Ram,
}

impl Rig {
    fn new(change: impl FnOnce(&mut Props<CpuModel64>)) -> Self {
        let mut props = Props {
            clock: Hertz(1_000_000_000),
            ..Props::default()
        };
        change(&mut props);
        let mut bench = Bench::<Mips64Cpu>::new(props);
        let ram = Ram::new(1 << 21).unwrap();
        bench.around.ram = Some(ram.clone());
        bench.around.deadline = u64::MAX;
        // These tests are compiled twice, under two names.
        if solderless_engine::GENERATES && module_path!().contains("generated") {
            assert!(bench.dev.set_engine(Engine::Jit { after: 1 }));
        }
        let mut rig = Self { bench, ram };
        rig.set(STATUS, 0);
        rig
    }

    fn place(&self, number: usize) -> usize {
        let table = self.bench.dev.registers();
        let known = |r: &Register| r.gdb.is_some_and(|gdb| usize::from(gdb.number) == number);
        table.iter().position(known).unwrap()
    }

    fn set(&mut self, register: usize, value: u64) {
        let place = self.place(register);
        assert!(self.bench.dev.set_register(place, value.into()));
    }

    fn get(&self, register: usize) -> u64 {
        self.bench.dev.register(self.place(register)).unwrap().low()
    }

    fn cp0(&self, register: u32) -> u64 {
        self.bench.dev.cp0(register, 0, self.bench.around.now)
    }

    fn put(&self, at: u64, words: &[u32]) {
        for (n, word) in (0..).zip(words) {
            self.ram.write_u32(at + 4 * n, *word).unwrap();
        }
    }

    fn run(&mut self, instructions: u64) {
        self.bench.with(|d, cx| d.run(cx, instructions));
    }

    /// Executes words, all of them straight, in kernel mode.
    fn execute(&mut self, words: &[u32]) {
        self.put(0x1000, words);
        self.bench.dev.set_pc(CODE);
        self.run(words.len() as u64);
    }

    /// What an instruction makes of $t0 and $t1, in $t2.
    fn result(&mut self, word: u32, t0: u64, t1: u64) -> u64 {
        self.set(8, t0);
        self.set(9, t1);
        self.set(10, 0x5555_6666_7777_8888);
        self.execute(&[word]);
        assert_eq!(self.bench.dev.pc(), CODE + 4, "{word:08x}");
        self.get(10)
    }

    /// Maps a page of 4 KiB for all address spaces.
    fn map(&mut self, va: u64, pa: u64) {
        let lo = pa >> 6 | 7;
        let odd = va >> 12 & 1;
        for (register, value) in [
            (0, va >> 13 & 15),
            (2, if odd == 0 { lo } else { 1 }),
            (3, if odd == 0 { 1 } else { lo }),
            (5, 0),
            (10, va & !0x1fff),
        ] {
            self.set(9, value);
            self.execute(&[mtc0(register, 0) | 1 << 21]);
        }
        self.execute(&[super::TLBWI]);
    }

    /// The code of the exception that a load of $t0 from an address takes, and how far its handler is from the base of all.
    fn fault(&mut self, status: u64, va: u64) -> Option<(u64, u64)> {
        self.set(STATUS, status);
        self.set(9, va);
        // In user mode, code is where that may fetch it.
        let code = match status & (USER | SUPERVISOR) {
            0 => CODE,
            _ => 0x0040_0000,
        };
        self.put(0x1000, &[i(0x23, 9, 8, 0)]);
        self.bench.dev.set_pc(code);
        self.run(1);
        let pc = self.bench.dev.pc();
        let base = 0xffff_ffff_8000_0000;
        self.set(STATUS, 0);
        (pc != code + 4).then(|| (self.cp0(13) >> 2 & 31, pc - base))
    }
}

#[test]
fn what_is_computed_on_32_bits_is_extended() {
    let mut rig = Rig::new(|_| ());
    const HIGH: u64 = 0x1234_5678_0000_0000;
    for (word, t0, t1, expected) in [
        (
            r(0x21, 8, 9, 10, 0),
            HIGH | 0x7fff_ffff,
            1,
            0xffff_ffff_8000_0000,
        ),
        // A move that extends.
        (
            r(0x21, 8, 0, 10, 0),
            HIGH | 0x8000_0000,
            0,
            0xffff_ffff_8000_0000,
        ),
        (r(0x23, 8, 9, 10, 0), HIGH, 1, u64::MAX),
        (i(0x09, 8, 10, 0), HIGH | 5, 0, 5),
        (i(0x09, 8, 10, 0xffff), HIGH, 0, u64::MAX),
        (
            r(0x00, 0, 9, 10, 0),
            0,
            HIGH | 0xffff_fffe,
            0xffff_ffff_ffff_fffe,
        ),
        (r(0x02, 0, 9, 10, 4), 0, HIGH | 0xffff_fff0, 0x0fff_ffff),
        (
            r(0x03, 0, 9, 10, 4),
            0,
            HIGH | 0x8000_0000,
            0xffff_ffff_f800_0000,
        ),
        (r(0x04, 8, 9, 10, 0), 31, 1, 0xffff_ffff_8000_0000),
        (i(0x0f, 0, 10, 0x8000), 0, 0, 0xffff_ffff_8000_0000),
        // ext, ins, seb, wsbh, clz, mul
        (0x7d0a_f800, HIGH | 0x8000_0000, 0, 0xffff_ffff_8000_0000),
        (0x7c09_5420, 0, 0x80, 0xffff_ffff_ffff_ff80),
        (0x7c09_50a0, 0, HIGH | 0x0080_0000, 0xffff_ffff_8000_0000),
        (0x710a_5020, HIGH | 1, 0, 31),
        (
            0x7109_5002,
            HIGH | 0x4000_0000,
            HIGH | 2,
            0xffff_ffff_8000_0000,
        ),
        // All of a register.
        (r(0x2a, 8, 9, 10, 0), 1 << 63, 1, 1),
        (r(0x2b, 8, 9, 10, 0), 1, 1 << 63, 1),
        (i(0x0a, 8, 10, 0xffff), 1 << 63, 0, 1),
        (i(0x0b, 8, 10, 0xffff), 1 << 63, 0, 1),
        (r(0x27, 8, 9, 10, 0), HIGH, 1, !HIGH & !1),
        (i(0x0e, 8, 10, 0xffff), HIGH, 0, HIGH | 0xffff),
        (r(0x0a, 8, 9, 10, 0), 7, HIGH, 0x5555_6666_7777_8888),
    ] {
        assert_eq!(
            rig.result(word, t0, t1),
            expected,
            "{word:08x} {t0:x} {t1:x}"
        );
    }
}

#[test]
fn instructions_on_64_bits() {
    let mut rig = Rig::new(|_| ());
    const A: u64 = 0x0123_4567_89ab_cdef;
    let ext = |function: u32, low: u32, field: u32| {
        0x1f << 26 | 8 << 21 | 10 << 16 | field << 11 | low << 6 | function
    };
    for (word, t0, t1, expected) in [
        (r(0x2d, 8, 9, 10, 0), u64::MAX, 2, 1),
        (r(0x2f, 8, 9, 10, 0), 1, 2, u64::MAX),
        (r(0x2f, 0, 9, 10, 0), 0, 2, 2_u64.wrapping_neg()),
        (r(0x2c, 8, 9, 10, 0), 1 << 40, 1, (1 << 40) + 1),
        (i(0x19, 8, 10, 0xffff), 0, 0, u64::MAX),
        (r(0x38, 0, 9, 10, 4), 0, A, A << 4),
        (r(0x3c, 0, 9, 10, 4), 0, A, A << 36),
        (r(0x3a, 0, 9, 10, 4), 0, A, A >> 4),
        (r(0x3e, 0, 9, 10, 0), 0, A, A >> 32),
        (r(0x3b, 0, 9, 10, 31), 0, 1 << 63, u64::MAX << 32),
        (r(0x3f, 0, 9, 10, 31), 0, 1 << 63, u64::MAX),
        (r(0x3a, 1, 9, 10, 8), 0, A, A.rotate_right(8)),
        (r(0x3e, 1, 9, 10, 8), 0, A, A.rotate_right(40)),
        (r(0x14, 8, 9, 10, 0), 65, A, A << 1),
        (r(0x16, 8, 9, 10, 0), 33, A, A >> 33),
        (r(0x17, 8, 9, 10, 0), 63, 1 << 63, u64::MAX),
        (r(0x16, 8, 9, 10, 1), 12, A, A.rotate_right(12)),
        (0x710a_5024, A, 0, 7),
        (0x710a_5025, !A, 0, 7),
        (0x7c09_50a4, 0, A, 0x2301_6745_ab89_efcd),
        (0x7c09_5164, 0, A, 0xcdef_89ab_4567_0123),
        // dext, dextm, dextu
        (ext(3, 4, 7), A, 0, A >> 4 & 0xff),
        (ext(1, 0, 31), A, 0, A),
        (ext(1, 8, 7), A, 0, A >> 8 & ((1 << 40) - 1)),
        (ext(2, 8, 15), A, 0, A >> 40 & 0xffff),
        // dins, dinsm, dinsu
        (ext(7, 4, 11), A, 0, 0x5555_6666_7777_8ef8),
        (ext(5, 8, 7), A, 0, 0x5555_6689_abcd_ef88),
        (ext(6, 0, 31), A, 0, 0x89ab_cdef_7777_8888),
    ] {
        assert_eq!(
            rig.result(word, t0, t1),
            expected,
            "{word:08x} {t0:x} {t1:x}"
        );
    }
    // dadd, dsub and daddi trap.
    for (word, t0, t1) in [
        (r(0x2c, 8, 9, 10, 0), i64::MAX as u64, 1),
        (r(0x2e, 8, 9, 10, 0), 1 << 63, 1),
        (i(0x18, 8, 10, 1), i64::MAX as u64, 0),
    ] {
        rig.set(8, t0);
        rig.set(9, t1);
        rig.execute(&[word]);
        assert_eq!(rig.cp0(13) >> 2 & 31, 12, "{word:08x}");
        rig.set(STATUS, 0);
    }
}

#[test]
fn products_and_quotients() {
    let mut rig = Rig::new(|_| ());
    const A: u64 = 0xfedc_ba98_7654_3210;
    const B: u64 = 0x0123_4567_89ab_cdef;
    let wide = |a: u64, b: u64| u128::from(a) * u128::from(b);
    let signed = |a: u64, b: u64| (i128::from(a as i64) * i128::from(b as i64)) as u128;
    let parts = |product: u128| ((product >> 64) as u64, product as u64);
    for (function, t0, t1, (hi, lo)) in [
        (0x1d, A, B, parts(wide(A, B))),
        (0x1c, A, B, parts(signed(A, B))),
        (0x1f, A, B, (A % B, A / B)),
        (
            0x1e,
            A,
            B,
            ((A as i64 % B as i64) as u64, (A as i64 / B as i64) as u64),
        ),
        (0x1e, 1 << 63, u64::MAX, (0, 1 << 63)),
        // Of 32 bits, each with its sign.
        (
            0x18,
            0x8000_0000,
            3,
            (0xffff_ffff_ffff_fffe, 0xffff_ffff_8000_0000),
        ),
        (0x19, 0x8000_0000, 3, (1, 0xffff_ffff_8000_0000)),
        (0x1a, 0xffff_fff9, 2, (u64::MAX, 0xffff_ffff_ffff_fffd)),
        (0x1b, 0xffff_ffff, 1, (0, u64::MAX)),
    ] {
        rig.set(8, t0);
        rig.set(9, t1);
        rig.execute(&[r(function, 8, 9, 0, 0)]);
        assert_eq!(
            (rig.get(34), rig.get(33)),
            (hi, lo),
            "{function:x} {t0:x} {t1:x}"
        );
    }
    // madd to what msub leaves.
    for (hi, lo) in [(34, 5), (33, 7)] {
        rig.set(hi, lo);
    }
    rig.set(8, 0xffff_ffff);
    rig.set(9, 2);
    rig.execute(&[0x7109_0000]);
    assert_eq!((rig.get(34), rig.get(33)), (5, 5));
    rig.execute(&[0x7109_0005]);
    assert_eq!((rig.get(34), rig.get(33)), (3, 7));
}

#[test]
fn doublewords_in_memory() {
    for big in [false, true] {
        let mut rig = Rig::new(|p| p.big_endian = big);
        let order = |value: u64| if big { value.swap_bytes() } else { value };
        // Words are put as the bus has them.
        let swap = |words: &[u32]| -> Vec<u32> {
            let turned = words.iter().map(|w| if big { w.swap_bytes() } else { *w });
            turned.collect()
        };
        const A: u64 = 0x8123_4567_89ab_cdef;
        rig.ram.write_u64(0x8000, order(A)).unwrap();
        rig.set(9, 0xffff_ffff_8000_8000);
        rig.set(10, 0x1111_2222_3333_4444);
        let low = if big { 4 } else { 0 };
        // ld, lwu, lw, sd; ldl and ldr of the doubleword three bytes on; sdl and sdr.
        let three = if big { (3, 10) } else { (10, 3) };
        rig.ram
            .write_u64(0x8008, order(0x0011_2233_4455_6677))
            .unwrap();
        rig.execute(&swap(&[
            i(0x37, 9, 11, 0),
            i(0x27, 9, 12, low),
            i(0x23, 9, 13, low),
            i(0x3f, 9, 10, 16),
            i(0x1a, 9, 14, three.0),
            i(0x1b, 9, 14, three.1),
            i(0x2c, 9, 10, 32 + three.0),
            i(0x2d, 9, 10, 32 + three.1),
        ]));
        assert_eq!(rig.get(11), A);
        assert_eq!(rig.get(12), 0x89ab_cdef);
        assert_eq!(rig.get(13), 0xffff_ffff_89ab_cdef);
        assert_eq!(
            rig.ram.read_u64(0x8010).unwrap(),
            order(0x1111_2222_3333_4444)
        );
        let expected = match big {
            true => 0x6789_abcd_ef00_1122,
            false => 0x5566_7781_2345_6789,
        };
        assert_eq!(rig.get(14), expected, "{big}");
        assert_eq!(
            rig.ram.read_u64(0x8023).unwrap(),
            order(0x1111_2222_3333_4444)
        );
        // lld, scd, and a misaligned one.
        rig.execute(&swap(&[
            i(0x34, 9, 11, 0),
            r(0x2d, 11, 11, 11, 0),
            i(0x3c, 9, 11, 0),
            i(0x37, 9, 12, 4),
        ]));
        assert_eq!(rig.get(11), 1);
        assert_eq!(rig.ram.read_u64(0x8000).unwrap(), order(A.wrapping_mul(2)));
        assert_eq!(rig.cp0(13) >> 2 & 31, 4, "AdEL");
    }
}

#[test]
fn segments_are_for_who_may_use_them() {
    let mut rig = Rig::new(|_| ());
    rig.map(0x0040_0000, 0x1000);
    rig.map(0x0000_0012_3456_2000, 0x3000);
    rig.map(0x4000_0000_0000_4000, 0x3000);
    rig.map(0xc000_0000_0000_6000, 0x3000);
    rig.map(0xffff_ffff_c000_8000, 0x3000);
    const ADDRESS: Option<(u64, u64)> = Some((4, 0x180));
    const MISS: Option<(u64, u64)> = Some((2, 0));
    const XMISS: Option<(u64, u64)> = Some((2, 0x80));
    for (status, va, expected) in [
        // xuseg
        (0, 0x0000_0012_3456_2000, ADDRESS),
        (UX, 0x0000_0012_3456_2000, None),
        (UX | USER, 0x0000_0012_3456_2000, None),
        (UX, 0x0000_0012_3456_4000, XMISS),
        (0, 0x4000, MISS),
        (UX, 0x4000, XMISS),
        // What has bits beyond SEGBITS.
        (UX, 0x0000_0400_0000_0000, ADDRESS),
        // xsseg
        (SX, 0x4000_0000_0000_4000, None),
        (SX | SUPERVISOR, 0x4000_0000_0000_4000, None),
        (UX, 0x4000_0000_0000_4000, ADDRESS),
        (SX | UX | USER, 0x4000_0000_0000_4000, ADDRESS),
        // xkphys, whatever its caches, up to PABITS
        (KX, 0x9000_0000_0000_3000, None),
        (KX, 0xa800_0000_0000_3000, None),
        (KX, 0x9000_0010_0000_0000, ADDRESS),
        (0, 0x9000_0000_0000_3000, ADDRESS),
        (KX | UX | USER, 0x9000_0000_0000_3000, ADDRESS),
        // xkseg, and its end
        (KX, 0xc000_0000_0000_6000, None),
        (KX, 0xc000_0000_0000_8000, XMISS),
        (0, 0xc000_0000_0000_6000, ADDRESS),
        (KX, 0xc000_03ff_8000_0000, ADDRESS),
        // The segments of 32 bits
        (0, 0xffff_ffff_8000_3000, None),
        (0, 0xffff_ffff_a000_3000, None),
        (USER, 0xffff_ffff_8000_3000, ADDRESS),
        (0, 0xffff_ffff_c000_8000, None),
        (SUPERVISOR, 0xffff_ffff_c000_8000, None),
        (SUPERVISOR, 0xffff_ffff_e000_8000, ADDRESS),
        (0, 0xffff_ffff_e000_8000, MISS),
        (KX, 0xffff_ffff_e000_8000, XMISS),
    ] {
        assert_eq!(rig.fault(status, va), expected, "{status:x} {va:x}");
        if expected == XMISS {
            assert_eq!(rig.cp0(8), va, "BadVAddr");
            assert_eq!(rig.cp0(10), va & 0xc000_03ff_ffff_e000, "EntryHi");
            assert_eq!(rig.cp0(4), va >> 9 & 0x007f_fff0, "Context");
            let page = va >> 13 & ((1 << 29) - 1);
            assert_eq!(rig.cp0(20), va >> 62 << 33 | page << 4, "XContext");
        }
    }
}

#[test]
fn programs_have_64_bits_if_status_says_so() {
    let mut rig = Rig::new(|_| ());
    rig.map(0x0040_0000, 0x1000);
    let daddu = r(0x2d, 8, 8, 10, 0);
    // addu, and a load from what leaves 32 bits.
    let load = i(0x23, 9, 11, 0x7fff);
    for (status, computes, fault) in [
        (USER, false, true),
        (USER | PX, true, true),
        (USER | UX, true, false),
        (SUPERVISOR, true, false),
    ] {
        rig.put(0x1000, &[daddu, load]);
        rig.set(8, 1 << 40);
        rig.set(10, 0);
        rig.set(STATUS, status);
        rig.bench.dev.set_pc(0x0040_0000);
        rig.run(1);
        assert_eq!(rig.get(10) == 1 << 41, computes, "{status:x}");
        if !computes {
            assert_eq!(rig.cp0(13) >> 2 & 31, 10, "RI");
        }
        // A sum that is short wraps.
        rig.set(STATUS, status);
        rig.set(9, 0x7fff_ffff);
        rig.bench.dev.set_pc(0x0040_0004);
        rig.run(1);
        let expected = match fault {
            true => 0xffff_ffff_8000_7ffe,
            false => 0x8000_7ffe,
        };
        assert_eq!(rig.cp0(8), expected, "{status:x}");
        rig.set(STATUS, 0);
    }
}

#[test]
fn registers_of_coprocessor_0_have_64_bits() {
    let mut rig = Rig::new(|_| ());
    let dmtc0 = |register| mtc0(register, 0) | 1 << 21;
    // As QEMU 7.2 has them on a 5KEc.
    for (register, mask) in [
        (2, 0x3fff_ffff),
        (3, 0x3fff_ffff),
        (4, 0xffff_ffff_ff80_0000),
        (5, 0x1fff_e000),
        (8, 0),
        (10, 0xc000_03ff_ffff_e0ff),
        (14, u64::MAX),
        (17, 0),
        (20, 0xffff_fff8_0000_0000),
        (30, u64::MAX),
    ] {
        rig.set(9, u64::MAX);
        rig.execute(&[dmtc0(register)]);
        assert_eq!(rig.cp0(register), mask, "{register}");
        // dmfc0, mfc0
        rig.execute(&[
            0x4020_0000 | 10 << 16 | register << 11,
            0x4000_0000 | 11 << 16 | register << 11,
        ]);
        assert_eq!(rig.get(10), mask, "{register}");
        assert_eq!(rig.get(11), mask as i32 as u64, "{register}");
        // mtc0 extends.
        rig.set(9, 0x8000_0000);
        rig.execute(&[mtc0(register, 0)]);
        assert_eq!(
            rig.cp0(register),
            0xffff_ffff_8000_0000 & mask,
            "{register}"
        );
    }
}

#[test]
fn the_fpu_moves_64_bits() {
    let mut rig = Rig::new(|_| ());
    rig.set(STATUS, CU1 | FR);
    rig.set(8, 0x8123_4567_89ab_cdef);
    // dmtc1 to f3, dmfc1, mfc1, mfhc1
    rig.execute(&[0x44a8_1800, 0x442a_1800, 0x440b_1800, 0x446c_1800]);
    assert_eq!(rig.get(10), 0x8123_4567_89ab_cdef);
    assert_eq!(rig.get(11), 0xffff_ffff_89ab_cdef);
    assert_eq!(rig.get(12), 0xffff_ffff_8123_4567);
}

#[test]
fn release_1_has_not_what_release_2_has_brought() {
    // rotr, dror, dext, di, ehb and dclz, the last two of which are there.
    let words = [
        r(0x02, 1, 9, 10, 4),
        r(0x3a, 1, 9, 10, 4),
        0x7d0a_3903,
        0x4160_6000,
        0xc0,
        0x710a_5024,
    ];
    for (model, there) in [
        (CpuModel64::M5KEc, [true; 6]),
        (CpuModel64::M5Kc, [false, false, false, false, true, true]),
        (CpuModel64::M20Kc, [false, false, false, false, true, true]),
    ] {
        let mut rig = Rig::new(|p| p.model = model);
        for (word, there) in words.into_iter().zip(there) {
            rig.execute(&[word]);
            let reserved = rig.bench.dev.pc() == 0xffff_ffff_8000_0180;
            assert_eq!(reserved, !there, "{model:?} {word:08x}");
            rig.set(STATUS, 0);
        }
    }
}

#[test]
fn config_says_what_there_is() {
    for (model, prid, config, config1) in [
        (CpuModel64::M5Kc, 0x0001_8100, 0x8000_4082, 0xbe61_3080_u32),
        (CpuModel64::M5Kf, 0x0001_8100, 0x8000_4082, 0xbe61_3081),
        (CpuModel64::M5KEc, 0x0001_8900, 0x8000_4482, 0xbe61_3080),
        (CpuModel64::M20Kc, 0x0001_82a0, 0x8000_408a, 0xdea3_5181),
        (
            CpuModel64::Mips64R2Generic,
            0x0001_0000,
            0x8000_4482,
            0xfea3_5181,
        ),
    ] {
        let rig = Rig::new(|p| p.model = model);
        let config_of = |select| rig.bench.dev.cp0(16, select, 0) as u32;
        assert_eq!(rig.cp0(15), prid, "{model:?}");
        assert_eq!(config_of(0), config, "{model:?}");
        assert_eq!(config_of(1), config1, "{model:?}");
    }
}

#[test]
fn loops_and_jumps_are_at_addresses_of_64_bits() {
    let mut rig = Rig::new(|_| ());
    rig.map(0x0000_0012_3456_2000, 0x4000);
    rig.set(STATUS, UX | KX);
    // Adds $t0 to $t1 as often as $t0 says, by way of a subroutine in the same page.
    rig.put(
        0x4000,
        &[
            r(0x09, 12, 0, 31, 0), // 1: jalr t4
            NOP,
            i(0x19, 8, 8, 0xffff), // daddiu t0, -1
            i(0x05, 8, 0, 0xfffc), // bnez t0, 1b
            NOP,
            i(0x04, 0, 0, 0xffff), // b .
            NOP,
            r(0x08, 31, 0, 0, 0), // jr ra
            r(0x2d, 9, 8, 9, 0),  // daddu t1, t0
        ],
    );
    rig.set(8, 1000);
    rig.set(9, 1 << 40);
    rig.set(12, 0x0000_0012_3456_201c);
    rig.bench.dev.set_pc(0x0000_0012_3456_2000);
    rig.run(7 * 1000 + 100);
    assert_eq!(rig.get(9), (1 << 40) + 500_500);
    assert_eq!(rig.get(31), 0x0000_0012_3456_2008);
}
