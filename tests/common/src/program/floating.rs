//! What programs do with the FPU.

use super::{Insn, Maker, NOP, Random, UNSETTLED, i_type, li, plain, r_type};

/// The opcode of the FPU.
const COP1: u32 = 0x11 << 26;
/// Floating point registers that hold the default NaN of a format, and are not written.
pub(super) const SINGLE_NAN: u32 = 28;
pub(super) const DOUBLE_NAN: u32 = 30;

impl Maker<'_> {
    /// A floating point register; those for doubles and longs come in pairs where FR=0.
    pub(super) fn freg(&mut self, double: bool) -> u32 {
        let f = self.random.below(32);
        if double && !self.fr { f & !1 } else { f }
    }

    /// One to write: not those with the NaNs.
    pub(super) fn freg_dest(&mut self, double: bool) -> u32 {
        loop {
            let f = self.freg(double);
            if f < SINGLE_NAN {
                return f;
            }
        }
    }

    pub(super) fn fcsr(&mut self) -> Vec<Insn> {
        let rt = self.dest();
        // FCCR, FEXR, FENR and FCSR, with zeros where they have no fields.
        let (register, fields) =
            self.random
                .pick(&[(25, 0xff), (26, 0x0003_f07c), (28, 0x0e83), (31, u32::MAX)]);
        // A write of FCCR, which has no causes, makes QEMU look at those that are there.
        let clear = plain(COP1 | r_type(6, 0, 26, 0, 0), "ctc1");
        let mut unit = vec![if register == 25 { clear } else { NOP }];
        unit.extend(li(rt, self.random_fcsr() & fields));
        unit.push(plain(COP1 | r_type(6, rt, register, 0, 0), "ctc1"));
        unit.push(plain(COP1 | r_type(2, rt, register, 0, 0), "cfc1"));
        unit
    }

    /// abs and neg. They are arithmetic where FCSR.ABS2008 is clear: they clear Cause, and a NaN operand is invalid. QEMU
    /// treats them as if it were set, so they get numbers, and a Cause that is clear already.
    pub(super) fn sign(&mut self) -> Vec<Insn> {
        let rt = self.dest();
        let fmt = self.random.pick(&[16, 17]);
        let (fs, fd) = (self.freg_dest(true), self.freg_dest(true));
        let (name, funct) = self.random.pick(&[("abs", 0x05), ("neg", 0x07)]);
        vec![
            plain(i_type(0x09, 0, rt, self.random.word()), "addiu"),
            plain(COP1 | r_type(4, rt, fs, 0, 0), "mtc1"),
            plain(COP1 | r_type(20, 0, fs, fs, 0x10 + fmt), "cvt"),
            plain(COP1 | r_type(fmt, 0, fs, fd, funct), name),
        ]
    }

    /// Rounding mode, flags, condition codes; at times enabled exceptions. FS stays clear: whether it flushes operands
    /// as well as results is each implementation's choice. So does the enable of underflow: with it a tiny result traps
    /// even if it is exact, but not in QEMU.
    pub(super) fn random_fcsr(&mut self) -> u32 {
        let mut fcsr = self.random.word() & 0xfe80_007f;
        if self.random.chance(30) {
            fcsr |= self.random.word() & 0xe80;
        }
        fcsr
    }

    /// Arithmetic whose result may be a NaN. An operation on quiet NaNs gives one of them here, as the architecture
    /// says; QEMU gives its one default NaN, if FCSR.NAN2008 is clear. So a NaN that comes out is replaced by that.
    pub(super) fn arithmetic(&mut self) -> Vec<Insn> {
        // add, sub, mul, div, sqrt, recip, rsqrt; madd, msub, nmadd, nmsub
        const PLAIN: &[u32] = &[0x00, 0x01, 0x02, 0x03, 0x04, 0x15, 0x16];
        const FUSED: &[u32] = &[0x20, 0x28, 0x30, 0x38];
        let double = self.random.chance(50);
        let fmt = if double { 17 } else { 16 };
        let (fs, ft, fd) = (self.freg(double), self.freg(double), self.freg_dest(double));
        let operation = match self.random.below(10) {
            0..=4 => {
                let funct = self.random.pick(PLAIN);
                let ft = if funct < 4 { ft } else { 0 };
                plain(COP1 | r_type(fmt, ft, fs, fd, funct), UNSETTLED)
            }
            5..=7 => {
                let funct = self.random.pick(FUSED);
                let fr = self.freg(double);
                plain(
                    0x13 << 26 | r_type(fr, ft, fs, fd, funct | u32::from(double)),
                    UNSETTLED,
                )
            }
            _ => {
                let from = if double { 16 } else { 17 };
                let fs = self.freg(!double);
                plain(COP1 | r_type(from, 0, fs, fd, 0x10 | fmt), UNSETTLED)
            }
        };
        let nan = if double { DOUBLE_NAN } else { SINGLE_NAN };
        let cc = self.random.below(8);
        vec![
            operation,
            plain(COP1 | r_type(2, self.dest(), 31, 0, 0), UNSETTLED),
            plain(COP1 | r_type(fmt, fd, fd, cc << 2, 0x31), UNSETTLED),
            plain(COP1 | r_type(fmt, cc << 2 | 1, nan, fd, 0x11), "movt"),
        ]
    }

    /// The other instructions of the FPU.
    pub(super) fn fpu(&mut self) -> Insn {
        const TO_INTEGER: &[(&str, u32)] = &[
            ("round.l", 0x08),
            ("trunc.l", 0x09),
            ("ceil.l", 0x0a),
            ("floor.l", 0x0b),
            ("round.w", 0x0c),
            ("trunc.w", 0x0d),
            ("ceil.w", 0x0e),
            ("floor.w", 0x0f),
            ("cvt.w", 0x24),
            ("cvt.l", 0x25),
        ];
        let double = self.random.chance(50);
        let fmt = if double { 17 } else { 16 };
        let (fs, ft, fd) = (self.freg(double), self.freg(double), self.freg_dest(double));
        match self.random.below(13) {
            0..=1 => {
                // Longs exist with FR=1 alone; without it the instruction is reserved.
                let (name, funct) = self.random.pick(TO_INTEGER);
                let long = matches!(funct, 0x08..=0x0b | 0x25);
                plain(COP1 | r_type(fmt, 0, fs, self.freg_dest(long), funct), name)
            }
            2..=3 => {
                let (name, from, to) = self.random.pick(&[
                    ("cvt.s.w", 20, 0x20),
                    ("cvt.s.l", 21, 0x20),
                    ("cvt.d.w", 20, 0x21),
                    ("cvt.d.l", 21, 0x21),
                ]);
                let fs = self.freg(from & 1 == 1);
                plain(
                    COP1 | r_type(from, 0, fs, self.freg_dest(to == 0x21), to),
                    name,
                )
            }
            4..=5 => {
                let cc = self.random.below(8) << 2;
                plain(
                    COP1 | r_type(fmt, ft, fs, cc, 0x30 | self.random.below(16)),
                    "c.cond",
                )
            }
            6 => plain(COP1 | r_type(fmt, 0, fs, fd, 0x06), "mov"),
            7 => {
                let (name, funct) = self.random.pick(&[("movz.fmt", 0x12), ("movn.fmt", 0x13)]);
                plain(COP1 | r_type(fmt, self.source(), fs, fd, funct), name)
            }
            8 => {
                let condition = self.random.below(8) << 2 | self.random.below(2);
                plain(COP1 | r_type(fmt, condition, fs, fd, 0x11), "movcf.fmt")
            }
            9 => plain(
                COP1 | r_type(0, self.dest(), self.freg(false), 0, 0),
                "mfc1",
            ),
            10 => plain(
                COP1 | r_type(4, self.source(), self.freg_dest(false), 0, 0),
                "mtc1",
            ),
            11 => plain(
                COP1 | r_type(3, self.dest(), self.freg(true), 0, 0),
                "mfhc1",
            ),
            _ => plain(
                COP1 | r_type(7, self.source(), self.freg_dest(true), 0, 0),
                "mthc1",
            ),
        }
    }

    /// What a floating point register may hold: doubles, pairs of singles, integers, edges of each.
    pub(super) fn double(&mut self) -> u64 {
        let single = |random: &mut Random| match random.below(4) {
            0 => random.pick(&[
                0u32,
                0x8000_0000,
                0x3f80_0000,
                0xbf80_0000,
                0x7f80_0000,
                0xff80_0000,
                0x7fbf_ffff,
                0x7fc0_0000,
                0x7f7f_ffff,
                1,
                0x0080_0000,
                0x007f_ffff,
                0x4f00_0000,
                0xcf00_0000,
                0x5f00_0000,
            ]),
            1 => (random.below(0x2000) as f32 / 16.0 - 256.0).to_bits(),
            _ => random.word(),
        };
        match self.random.below(6) {
            0 => self.random.pick(&[
                0.0f64.to_bits(),
                (-0.0f64).to_bits(),
                1.0f64.to_bits(),
                f64::INFINITY.to_bits(),
                f64::NEG_INFINITY.to_bits(),
                f64::MAX.to_bits(),
                f64::MIN_POSITIVE.to_bits(),
                1,
                0x000f_ffff_ffff_ffff,
                0x7ff7_ffff_ffff_ffff,
                0x7ff8_0000_0000_0000,
                2_147_483_648.0f64.to_bits(),
                (-9_223_372_036_854_775_808.0f64).to_bits(),
                f64::from(f32::MAX).to_bits(),
            ]),
            1 => (f64::from(self.random.below(0x10000)) / 64.0 - 512.0).to_bits(),
            2 => u64::from(self.random.word()) << 32 | u64::from(self.random.word()),
            3 => i64::from(self.random.below(2000) as i32 - 1000) as u64,
            _ => u64::from(single(self.random)) << 32 | u64::from(single(self.random)),
        }
    }
}
