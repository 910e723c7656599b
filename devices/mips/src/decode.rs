//! The decoder: one instruction word to one [`Inst`], or to a control transfer.
//!
//! MIPS32 and MIPS64 Release 2, MIPS64 Architecture volume II-A (MD00087), tables A.2 to A.24. An encoding that the tables reserve
//! gives [`Kind::Reserved`]. Fields that must be zero are not looked at, except where they tell instructions apart.
//!
//! What most words go through is always inlined: an [`Inst`] that is written field by field and then moved as a whole is waited for.

use crate::ir::{Cond, Fmt, Fp, HI, How, Inst, Kind, LO, SINK, Test};

/// What the floating point unit can do at the moment: part of what a decoded instruction depends on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FpMode {
    /// Status.CU1 is clear.
    Off,
    /// Status.FR is clear: 64-bit values are in even and odd pairs.
    Pairs,
    /// Status.FR is set.
    Full,
}

/// What words are decoded for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Set {
    pub fp: FpMode,
    /// Registers have 64 bits: what is computed on 32 of them is extended.
    pub long: bool,
    /// The instructions on 64 bits are usable.
    pub wide: bool,
    /// Release 1: what Release 2 has brought is reserved.
    pub first: bool,
}

impl Set {
    /// MIPS32 Release 2.
    pub const fn mips32(fp: FpMode) -> Self {
        Self {
            fp,
            long: false,
            wide: false,
            first: false,
        }
    }
}

/// A decoded word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decoded {
    /// No control transfer.
    Plain(Inst),
    /// A branch to `offset` bytes from the delay slot.
    Branch {
        cond: Cond,
        b: u8,
        c: u8,
        link: bool,
        likely: bool,
        offset: u32,
    },
    /// J and JAL, to these low 28 bits.
    Jump { target: u32, link: bool },
    /// JR and JALR; the return address goes to `link`.
    JumpRegister { b: u8, link: u8 },
}

/// How operands are taken from the word.
#[derive(Clone, Copy)]
enum Form {
    /// `rd`, `rs`, `rt`.
    Three,
    /// `rd`, `rt`, `sa`.
    Shift,
    /// `rd`, `rt`, by `rs`.
    ShiftBy,
    /// `rt`, `rs`, signed immediate; `rt` also as second source, for the merging loads.
    Signed,
    /// `rt`, `rs`, unsigned immediate.
    Unsigned,
    /// `rs`, `rt`, signed immediate, nothing written.
    Store,
    /// `rs`, `rt`, nothing written.
    Two,
    /// Nothing.
    None,
}

type Entry = Option<(Kind, Form)>;

const fn table<const N: usize>(entries: &[(usize, Kind, Form)]) -> [Entry; N] {
    let mut table = [None; N];
    let mut i = 0;
    while i < entries.len() {
        table[entries[i].0] = Some((entries[i].1, entries[i].2));
        i += 1;
    }
    table
}

use Form::{None as Bare, Shift, ShiftBy, Signed, Store, Three, Two, Unsigned};

/// By bits 31:26.
const PRIMARY: [Entry; 64] = table(&[
    (0x08, Kind::Addi, Signed),
    (0x09, Kind::Addiu, Signed),
    (0x0a, Kind::Slti, Signed),
    (0x0b, Kind::Sltiu, Signed),
    (0x0c, Kind::Andi, Unsigned),
    (0x0d, Kind::Ori, Unsigned),
    (0x0e, Kind::Xori, Unsigned),
    (0x20, Kind::Lb, Signed),
    (0x21, Kind::Lh, Signed),
    (0x22, Kind::Lwl, Signed),
    (0x23, Kind::Lw, Signed),
    (0x24, Kind::Lbu, Signed),
    (0x25, Kind::Lhu, Signed),
    (0x26, Kind::Lwr, Signed),
    (0x28, Kind::Sb, Store),
    (0x29, Kind::Sh, Store),
    (0x2a, Kind::Swl, Store),
    (0x2b, Kind::Sw, Store),
    (0x2e, Kind::Swr, Store),
    (0x2f, Kind::Cache, Store),
    (0x30, Kind::Ll, Signed),
    (0x33, Kind::Nop, Bare),
    (0x38, Kind::Sc, Signed),
]);

/// By bits 31:26, of those on 64 bits.
const PRIMARY_WIDE: [Entry; 64] = table(&[
    (0x18, Kind::Daddi, Signed),
    (0x19, Kind::Daddiu, Signed),
    (0x1a, Kind::Ldl, Signed),
    (0x1b, Kind::Ldr, Signed),
    (0x27, Kind::Lwu, Signed),
    (0x2c, Kind::Sdl, Store),
    (0x2d, Kind::Sdr, Store),
    (0x34, Kind::Lld, Signed),
    (0x37, Kind::Ld, Signed),
    (0x3c, Kind::Scd, Signed),
    (0x3f, Kind::Sd, Store),
]);

/// SPECIAL, by bits 5:0.
const SPECIAL: [Entry; 64] = table(&[
    (0x00, Kind::Sll, Shift),
    (0x02, Kind::Srl, Shift),
    (0x03, Kind::Sra, Shift),
    (0x04, Kind::Sllv, ShiftBy),
    (0x06, Kind::Srlv, ShiftBy),
    (0x07, Kind::Srav, ShiftBy),
    (0x0a, Kind::Movz, Three),
    (0x0b, Kind::Movn, Three),
    (0x0c, Kind::Syscall, Bare),
    (0x0d, Kind::Break, Bare),
    (0x0f, Kind::Nop, Bare),
    (0x18, Kind::Mult, Two),
    (0x19, Kind::Multu, Two),
    (0x1a, Kind::Div, Two),
    (0x1b, Kind::Divu, Two),
    (0x20, Kind::Add, Three),
    (0x21, Kind::Addu, Three),
    (0x22, Kind::Sub, Three),
    (0x23, Kind::Subu, Three),
    (0x24, Kind::And, Three),
    (0x25, Kind::Or, Three),
    (0x26, Kind::Xor, Three),
    (0x27, Kind::Nor, Three),
    (0x2a, Kind::Slt, Three),
    (0x2b, Kind::Sltu, Three),
    (0x30, Kind::Trap(Test::Ge), Two),
    (0x31, Kind::Trap(Test::Geu), Two),
    (0x32, Kind::Trap(Test::Lt), Two),
    (0x33, Kind::Trap(Test::Ltu), Two),
    (0x34, Kind::Trap(Test::Eq), Two),
    (0x36, Kind::Trap(Test::Ne), Two),
]);

/// SPECIAL, by bits 5:0, of those on 64 bits. Shifts are apart.
const SPECIAL_WIDE: [Entry; 64] = table(&[
    (0x1c, Kind::Dmult, Two),
    (0x1d, Kind::Dmultu, Two),
    (0x1e, Kind::Ddiv, Two),
    (0x1f, Kind::Ddivu, Two),
    (0x2c, Kind::Dadd, Three),
    (0x2d, Kind::Daddu, Three),
    (0x2e, Kind::Dsub, Three),
    (0x2f, Kind::Dsubu, Three),
]);

/// SPECIAL2, by bits 5:0.
const SPECIAL2: [Entry; 64] = table(&[
    (0x00, Kind::Madd, Two),
    (0x01, Kind::Maddu, Two),
    (0x02, Kind::Mul, Three),
    (0x04, Kind::Msub, Two),
    (0x05, Kind::Msubu, Two),
    (0x20, Kind::Clz, Three),
    (0x21, Kind::Clo, Three),
]);

/// SPECIAL2, by bits 5:0, of those on 64 bits.
const SPECIAL2_WIDE: [Entry; 64] = table(&[(0x24, Kind::Dclz, Three), (0x25, Kind::Dclo, Three)]);

/// DBSHFL, by bits 10:6.
const DBSHFL: [Entry; 32] = table(&[(0x02, Kind::Dsbh, Shift), (0x05, Kind::Dshd, Shift)]);

/// BSHFL, by bits 10:6.
const BSHFL: [Entry; 32] = table(&[
    (0x02, Kind::Wsbh, Shift),
    (0x10, Kind::Seb, Shift),
    (0x18, Kind::Seh, Shift),
]);

/// REGIMM without its branches, by bits 20:16.
const REGIMM: [Entry; 32] = table(&[
    (0x08, Kind::TrapImm(Test::Ge), Store),
    (0x09, Kind::TrapImm(Test::Geu), Store),
    (0x0a, Kind::TrapImm(Test::Lt), Store),
    (0x0b, Kind::TrapImm(Test::Ltu), Store),
    (0x0c, Kind::TrapImm(Test::Eq), Store),
    (0x0e, Kind::TrapImm(Test::Ne), Store),
    (0x1f, Kind::Synci, Store),
]);

/// COP0 with bit 25 set, by bits 5:0.
const CO: [Entry; 64] = table(&[
    (0x01, Kind::Tlbr, Bare),
    (0x02, Kind::Tlbwi, Bare),
    (0x06, Kind::Tlbwr, Bare),
    (0x08, Kind::Tlbp, Bare),
    (0x18, Kind::Eret, Bare),
    (0x20, Kind::Wait, Bare),
]);

/// COP1X, by bits 5:0: the loads and stores, whose operands are `base`, `index` and a floating point register.
const COP1X: [Entry; 64] = table(&[
    (0x00, Kind::Lwxc1, Bare),
    (0x01, Kind::Ldxc1, Bare),
    (0x05, Kind::Luxc1, Bare),
    (0x08, Kind::Swxc1, Bare),
    (0x09, Kind::Sdxc1, Bare),
    (0x0d, Kind::Suxc1, Bare),
    (0x0f, Kind::Nop, Bare),
]);

/// The fields of a word.
#[derive(Clone, Copy)]
struct Word(u32);

impl Word {
    fn bits(self, low: u32, count: u32) -> u32 {
        self.0 >> low & ((1 << count) - 1)
    }
    fn field(self, low: u32) -> u8 {
        self.bits(low, 5) as u8
    }
    fn opcode(self) -> usize {
        self.bits(26, 6) as usize
    }
    fn rs(self) -> u8 {
        self.field(21)
    }
    fn rt(self) -> u8 {
        self.field(16)
    }
    fn rd(self) -> u8 {
        self.field(11)
    }
    fn sa(self) -> u8 {
        self.field(6)
    }
    fn function(self) -> usize {
        self.bits(0, 6) as usize
    }
    fn signed(self) -> u32 {
        self.0 as u16 as i16 as u32
    }
    fn branch(self) -> u32 {
        self.signed() << 2
    }
}

/// The place a write to register `n` goes to.
fn dest(n: u8) -> u8 {
    if n == 0 { SINK } else { n }
}

#[inline(always)]
fn form(kind: Kind, form: Form, w: Word) -> Inst {
    let inst = Inst::new(kind);
    let (rs, rt, rd) = (w.rs(), w.rt(), w.rd());
    match form {
        Form::Three => Inst {
            a: dest(rd),
            b: rs,
            c: rt,
            ..inst
        },
        Form::Shift => Inst {
            a: dest(rd),
            b: rt,
            imm: w.sa().into(),
            ..inst
        },
        Form::ShiftBy => Inst {
            a: dest(rd),
            b: rt,
            c: rs,
            ..inst
        },
        Form::Signed => Inst {
            a: dest(rt),
            b: rs,
            c: rt,
            imm: w.signed(),
            ..inst
        },
        Form::Unsigned => Inst {
            a: dest(rt),
            b: rs,
            imm: w.0 & 0xffff,
            ..inst
        },
        Form::Store => Inst {
            b: rs,
            c: rt,
            imm: w.signed(),
            ..inst
        },
        Form::Two => Inst {
            b: rs,
            c: rt,
            ..inst
        },
        Form::None => inst,
    }
}

#[inline(always)]
fn entry(entry: Entry, w: Word, set: Set) -> Decoded {
    Decoded::Plain(match entry {
        Some((kind, f)) => simplify(form(kind, f, w), set),
        None => Inst::new(Kind::Reserved),
    })
}

/// An entry, or one of those on 64 bits if they are usable.
#[inline(always)]
fn either(narrow: Entry, wide: Entry, w: Word, set: Set) -> Decoded {
    match narrow {
        None if set.wide => entry(wide, w, set),
        narrow => entry(narrow, w, set),
    }
}

/// Gives the many spellings of doing nothing, moving and loading a constant their own kinds.
#[inline(always)]
fn simplify(inst: Inst, set: Set) -> Inst {
    let Inst {
        kind, a, b, c, imm, ..
    } = inst;
    let quiet = matches!(
        kind,
        Kind::Addu | Kind::Or | Kind::Addiu | Kind::Ori | Kind::Sll | Kind::Subu | Kind::Xor
    );
    // What is computed on 32 bits of 64 is extended, and no move.
    let extends = set.long && matches!(kind, Kind::Addu | Kind::Subu | Kind::Addiu);
    let moved = match extends {
        true => Kind::Sll,
        false => Kind::Move,
    };
    match kind {
        _ if quiet && a == SINK => Inst::new(Kind::Nop),
        Kind::Addu | Kind::Daddu | Kind::Or | Kind::Xor if b == 0 => Inst {
            kind: moved,
            b: c,
            c: 0,
            ..inst
        },
        Kind::Addu | Kind::Daddu | Kind::Or | Kind::Xor | Kind::Subu | Kind::Dsubu if c == 0 => {
            Inst {
                kind: moved,
                ..inst
            }
        }
        Kind::Addiu | Kind::Daddiu | Kind::Ori if b == 0 => Inst {
            kind: Kind::Li,
            c: 0,
            ..inst
        },
        Kind::Addiu | Kind::Daddiu if imm == 0 => Inst {
            kind: moved,
            c: 0,
            ..inst
        },
        Kind::Addiu | Kind::Daddiu => Inst { c: 0, ..inst },
        _ => inst,
    }
}

fn plain(inst: Inst) -> Decoded {
    Decoded::Plain(inst)
}

fn bare(kind: Kind) -> Decoded {
    Decoded::Plain(Inst::new(kind))
}

fn unusable(coprocessor: u32) -> Decoded {
    plain(Inst {
        imm: coprocessor,
        ..Inst::new(Kind::Unusable)
    })
}

/// Decodes a word.
#[inline(always)]
pub fn decode(word: u32, set: Set) -> Decoded {
    let decoded = second(word, set);
    match set.first && is_of_second(Word(word), &decoded) {
        true => bare(Kind::Reserved),
        false => decoded,
    }
}

/// Whether Release 2 has brought an instruction.
#[cold]
fn is_of_second(w: Word, decoded: &Decoded) -> bool {
    let Decoded::Plain(inst) = decoded else {
        return false;
    };
    let halves = w.opcode() == 0x11 && matches!(w.rs(), 0x03 | 0x07);
    halves
        || matches!(
            inst.kind,
            Kind::Rotr
                | Kind::Rotrv
                | Kind::Drotr
                | Kind::Drotrv
                | Kind::Seb
                | Kind::Seh
                | Kind::Wsbh
                | Kind::Dsbh
                | Kind::Dshd
                | Kind::Ext
                | Kind::Dext
                | Kind::Ins
                | Kind::Dins
                | Kind::Di
                | Kind::Ei
                | Kind::Synci
                | Kind::Rdhwr
                | Kind::Shadow
        )
}

#[inline(always)]
fn second(word: u32, set: Set) -> Decoded {
    let w = Word(word);
    let fp = set.fp;
    match w.opcode() {
        0x00 => special(w, set),
        0x01 => regimm(w, set),
        0x02 | 0x03 => Decoded::Jump {
            target: w.bits(0, 26) << 2,
            link: w.opcode() == 3,
        },
        op @ (0x04..=0x07 | 0x14..=0x17) => {
            let cond = [Cond::Eq, Cond::Ne, Cond::Lez, Cond::Gtz][op & 3];
            let single = op & 2 != 0;
            if single && w.rt() != 0 {
                return bare(Kind::Reserved);
            }
            Decoded::Branch {
                cond,
                b: w.rs(),
                c: w.rt(),
                link: false,
                likely: op & 0x10 != 0,
                offset: w.branch(),
            }
        }
        0x0f => plain(simplify(
            Inst {
                a: dest(w.rt()),
                imm: word << 16,
                ..Inst::new(Kind::Li)
            },
            set,
        )),
        0x10 => cop0(w, set),
        0x11 if fp == FpMode::Off => unusable(1),
        0x11 => cop1(w, set),
        0x12 | 0x32 | 0x36 | 0x3a | 0x3e => unusable(2),
        0x13 if fp == FpMode::Off => unusable(1),
        0x13 => cop1x(w, fp),
        0x1c => either(SPECIAL2[w.function()], SPECIAL2_WIDE[w.function()], w, set),
        0x1f => special3(w, set),
        op @ (0x31 | 0x35 | 0x39 | 0x3d) => {
            let kind = match op {
                0x31 => Kind::Lwc1,
                0x35 => Kind::Ldc1,
                0x39 => Kind::Swc1,
                _ => Kind::Sdc1,
            };
            match fp {
                FpMode::Off => unusable(1),
                FpMode::Pairs if op & 4 != 0 && w.rt() & 1 != 0 => bare(Kind::Reserved),
                _ => {
                    let fmt = if op & 4 != 0 { Fmt::D } else { Fmt::S };
                    plain(Inst {
                        c: place(w.rt(), fmt, fp),
                        ..form(kind, Form::Store, w)
                    })
                }
            }
        }
        op => either(PRIMARY[op], PRIMARY_WIDE[op], w, set),
    }
}

#[inline(always)]
fn special(w: Word, set: Set) -> Decoded {
    let fp = set.fp;
    let moved = |a: u8, b: u8| {
        plain(Inst {
            a,
            b,
            ..Inst::new(if a == SINK { Kind::Nop } else { Kind::Move })
        })
    };
    match w.function() {
        0x01 if w.bits(17, 1) != 0 => bare(Kind::Reserved),
        0x01 if fp == FpMode::Off => unusable(1),
        0x01 => plain(Inst {
            a: dest(w.rd()),
            b: w.rs(),
            c: w.rt() >> 2,
            ..Inst::new(if w.rt() & 1 != 0 {
                Kind::Movt
            } else {
                Kind::Movf
            })
        }),
        0x02 if w.rs() == 1 => entry(Some((Kind::Rotr, Form::Shift)), w, set),
        0x00 | 0x02 | 0x03 if w.rs() != 0 => bare(Kind::Reserved),
        0x06 if w.sa() == 1 => entry(Some((Kind::Rotrv, Form::ShiftBy)), w, set),
        0x04 | 0x06 | 0x07 if w.sa() != 0 => bare(Kind::Reserved),
        0x08 => Decoded::JumpRegister {
            b: w.rs(),
            link: SINK,
        },
        0x09 => Decoded::JumpRegister {
            b: w.rs(),
            link: dest(w.rd()),
        },
        0x10 => moved(dest(w.rd()), HI),
        0x11 => moved(HI, w.rs()),
        0x12 => moved(dest(w.rd()), LO),
        0x13 => moved(LO, w.rs()),
        0x14 | 0x16 | 0x17 | 0x38 | 0x3a | 0x3b | 0x3c | 0x3e | 0x3f if set.wide => {
            wide_shift(w, set)
        }
        f => either(SPECIAL[f], SPECIAL_WIDE[f], w, set),
    }
}

/// DSLL and the like. The second triple by immediate is by 32 more.
fn wide_shift(w: Word, set: Set) -> Decoded {
    let f = w.function();
    let by_register = f < 0x18;
    let rotates = if by_register { w.sa() } else { w.rs() };
    let (kind, by) = match (f & 3, rotates, by_register) {
        (0, 0, true) => (Kind::Dsllv, ShiftBy),
        (2, 0, true) => (Kind::Dsrlv, ShiftBy),
        (2, 1, true) => (Kind::Drotrv, ShiftBy),
        (3, 0, true) => (Kind::Dsrav, ShiftBy),
        (0, 0, false) => (Kind::Dsll, Shift),
        (2, 0, false) => (Kind::Dsrl, Shift),
        (2, 1, false) => (Kind::Drotr, Shift),
        (3, 0, false) => (Kind::Dsra, Shift),
        _ => return bare(Kind::Reserved),
    };
    let inst = form(kind, by, w);
    let more = if !by_register && f & 4 != 0 { 32 } else { 0 };
    plain(simplify(
        Inst {
            imm: inst.imm + more,
            ..inst
        },
        set,
    ))
}

fn special3(w: Word, set: Set) -> Decoded {
    let (lsb, field) = (u32::from(w.sa()), u32::from(w.rd()));
    let mask = |width: u32| {
        if width >= 32 {
            u32::MAX
        } else {
            (1 << width) - 1
        }
    };
    match w.function() {
        0x00 if lsb + field < 32 => plain(Inst {
            a: dest(w.rt()),
            b: w.rs(),
            imm: lsb,
            imm2: mask(field + 1),
            ..Inst::new(Kind::Ext)
        }),
        0x04 if field >= lsb => plain(Inst {
            a: dest(w.rt()),
            b: w.rs(),
            c: w.rt(),
            imm: lsb,
            imm2: mask(field - lsb + 1) << lsb,
            ..Inst::new(Kind::Ins)
        }),
        0x20 => entry(BSHFL[usize::from(w.sa())], w, set),
        0x24 if set.wide => entry(DBSHFL[usize::from(w.sa())], w, set),
        // DEXTM, DEXTU, DEXT; DINSM, DINSU, DINS: the size and place, either of which may be 32 more.
        f @ 0x01..=0x03 if set.wide => {
            let size = field + 1 + if f == 0x01 { 32 } else { 0 };
            let lsb = lsb + if f == 0x02 { 32 } else { 0 };
            match lsb + size <= 64 {
                true => plain(Inst {
                    a: dest(w.rt()),
                    b: w.rs(),
                    imm: lsb,
                    imm2: size,
                    ..Inst::new(Kind::Dext)
                }),
                false => bare(Kind::Reserved),
            }
        }
        f @ 0x05..=0x07 if set.wide => {
            let last = field + if f == 0x07 { 0 } else { 32 };
            let lsb = lsb + if f == 0x06 { 32 } else { 0 };
            match last >= lsb {
                true => plain(Inst {
                    a: dest(w.rt()),
                    b: w.rs(),
                    c: w.rt(),
                    imm: lsb,
                    imm2: last - lsb + 1,
                    ..Inst::new(Kind::Dins)
                }),
                false => bare(Kind::Reserved),
            }
        }
        0x3b => plain(Inst {
            a: dest(w.rt()),
            imm: w.rd().into(),
            ..Inst::new(Kind::Rdhwr)
        }),
        _ => bare(Kind::Reserved),
    }
}

fn regimm(w: Word, set: Set) -> Decoded {
    match w.rt() {
        rt @ (0x00..=0x03 | 0x10..=0x13) => Decoded::Branch {
            cond: if rt & 1 != 0 { Cond::Gez } else { Cond::Ltz },
            b: w.rs(),
            c: 0,
            link: rt & 0x10 != 0,
            likely: rt & 2 != 0,
            offset: w.branch(),
        },
        rt => entry(REGIMM[usize::from(rt)], w, set),
    }
}

fn cop0(w: Word, set: Set) -> Decoded {
    let register = Inst {
        a: dest(w.rt()),
        b: w.rt(),
        imm: w.bits(11, 5) << 3 | w.bits(0, 3),
        ..Inst::new(Kind::Mfc0)
    };
    let shadow = |a, b| Inst {
        a: dest(a),
        b,
        ..Inst::new(Kind::Shadow)
    };
    plain(match w.rs() {
        0x00 => register,
        0x01 if set.wide => Inst {
            kind: Kind::Dmfc0,
            ..register
        },
        0x05 if set.wide => Inst {
            kind: Kind::Dmtc0,
            a: SINK,
            ..register
        },
        0x04 => Inst {
            kind: Kind::Mtc0,
            a: SINK,
            ..register
        },
        0x0a => shadow(w.rd(), w.rt()),
        0x0e => shadow(w.rd(), w.rt()),
        0x0b if w.0 & 0xffdf == 0x6000 => Inst {
            kind: if w.0 & 0x20 != 0 { Kind::Ei } else { Kind::Di },
            ..register
        },
        0x10..=0x1f => match CO[w.function()] {
            Some((kind, _)) => Inst::new(kind),
            None => Inst::new(Kind::ReservedCop0),
        },
        _ => Inst::new(Kind::ReservedCop0),
    })
}

fn cop1(w: Word, set: Set) -> Decoded {
    let fp = set.fp;
    let (fmt, rt, fs) = (w.rs(), w.rt(), w.rd());
    let low = place(fs, Fmt::W, fp);
    let high = place(if fp == FpMode::Full { fs } else { fs & !1 }, Fmt::D, fp) + 1;
    let moves = |kind, c| {
        plain(Inst {
            a: if fmt < 4 { dest(rt) } else { SINK },
            b: rt,
            c,
            imm: fs.into(),
            ..Inst::new(kind)
        })
    };
    match fmt {
        0x00 => moves(Kind::Mfc1, low),
        0x01 if set.wide => moves(Kind::Dmfc1, high - 1),
        0x05 if set.wide => moves(Kind::Dmtc1, high - 1),
        0x02 => moves(Kind::Cfc1, 0),
        0x03 => moves(Kind::Mfc1, high),
        0x04 => moves(Kind::Mtc1, low),
        0x06 => moves(Kind::Ctc1, 0),
        0x07 => moves(Kind::Mtc1, high),
        0x08 => Decoded::Branch {
            cond: if rt & 1 != 0 {
                Cond::FpTrue
            } else {
                Cond::FpFalse
            },
            b: rt >> 2,
            c: 0,
            link: false,
            likely: rt & 2 != 0,
            offset: w.branch(),
        },
        0x10 => arithmetic(w, Fmt::S, fp),
        0x11 => arithmetic(w, Fmt::D, fp),
        0x14 => arithmetic(w, Fmt::W, fp),
        0x15 => arithmetic(w, Fmt::L, fp),
        _ => bare(Kind::Reserved),
    }
}

/// What `function` of a format is, and the format of its result.
fn fp_operation(function: usize, fmt: Fmt) -> Option<(Fp, Fmt)> {
    const COMPUTE: [Fp; 8] = [
        Fp::Add,
        Fp::Sub,
        Fp::Mul,
        Fp::Div,
        Fp::Sqrt,
        Fp::Abs,
        Fp::Mov,
        Fp::Neg,
    ];
    const HOW: [How; 4] = [How::Round, How::Trunc, How::Ceil, How::Floor];
    let float = matches!(fmt, Fmt::S | Fmt::D);
    Some(match function {
        0x20 if fmt != Fmt::S => (Fp::ToS, Fmt::S),
        0x21 if fmt != Fmt::D => (Fp::ToD, Fmt::D),
        _ if !float => return None,
        f @ 0x00..=0x07 => (COMPUTE[f], fmt),
        f @ 0x08..=0x0b => (Fp::ToL(HOW[f & 3]), Fmt::L),
        f @ 0x0c..=0x0f => (Fp::ToW(HOW[f & 3]), Fmt::W),
        0x11 => (Fp::Movf, fmt),
        0x12 => (Fp::Movz, fmt),
        0x13 => (Fp::Movn, fmt),
        0x15 => (Fp::Recip, fmt),
        0x16 => (Fp::Rsqrt, fmt),
        0x24 => (Fp::ToW(How::Cvt), Fmt::W),
        0x25 => (Fp::ToL(How::Cvt), Fmt::L),
        0x30..=0x3f => (Fp::Compare, fmt),
        _ => return None,
    })
}

/// The place of a register with a value of the format, in words: with Status.FR clear, an odd register is the upper half
/// of the even one below it.
fn place(register: u8, fmt: Fmt, fp: FpMode) -> u8 {
    match (fmt, fp) {
        (Fmt::S | Fmt::W, FpMode::Pairs) => register / 2 * 4 + register % 2,
        _ => register * 2,
    }
}

/// Whether a register can hold a value of the format.
fn fits(register: u8, fmt: Fmt, fp: FpMode) -> bool {
    fp == FpMode::Full || matches!(fmt, Fmt::S | Fmt::W) || (fmt == Fmt::D && register & 1 == 0)
}

fn arithmetic(w: Word, fmt: Fmt, fp: FpMode) -> Decoded {
    let (ft, fs, fd) = (w.rt(), w.rd(), w.sa());
    let Some((op, result)) = fp_operation(w.function(), fmt) else {
        return bare(Kind::Reserved);
    };
    let binary = matches!(op, Fp::Add | Fp::Sub | Fp::Mul | Fp::Div | Fp::Compare);
    let compare = op == Fp::Compare;
    if !fits(fs, fmt, fp)
        || (binary && !fits(ft, fmt, fp))
        || (!compare && !fits(fd, result, fp))
        || (compare && fd & 3 != 0)
        || (op == Fp::Movf && ft & 2 != 0)
    {
        return bare(Kind::Reserved);
    }
    let (op, c) = match op {
        Fp::Movf if ft & 1 != 0 => (Fp::Movt, ft >> 2),
        Fp::Movf => (Fp::Movf, ft >> 2),
        Fp::Movz | Fp::Movn => (op, ft),
        op => (op, place(ft, fmt, fp)),
    };
    plain(Inst {
        a: place(fd, result, fp),
        b: place(fs, fmt, fp),
        c,
        imm: w.bits(0, 4) | u32::from(fd >> 2) << 4,
        ..Inst::new(Kind::Fp(op, fmt))
    })
}

fn cop1x(w: Word, fp: FpMode) -> Decoded {
    let (fr, ft, fs, fd) = (w.rs(), w.rt(), w.rd(), w.sa());
    let multiply = match w.function() >> 3 {
        4 => Fp::Madd,
        5 => Fp::Msub,
        6 => Fp::Nmadd,
        7 => Fp::Nmsub,
        _ => {
            let Some((kind, _)) = COP1X[w.function()] else {
                return bare(Kind::Reserved);
            };
            let register = match kind {
                Kind::Lwxc1 | Kind::Ldxc1 | Kind::Luxc1 => fd,
                _ => fs,
            };
            let fmt = match kind {
                Kind::Ldxc1 | Kind::Sdxc1 => Fmt::D,
                Kind::Luxc1 | Kind::Suxc1 => Fmt::L,
                _ => Fmt::S,
            };
            return match fits(register, fmt, fp) {
                true => plain(Inst {
                    b: fr,
                    c: place(register, fmt, fp),
                    imm: ft.into(),
                    ..Inst::new(kind)
                }),
                false => bare(Kind::Reserved),
            };
        }
    };
    let fmt = match w.function() & 7 {
        0 => Fmt::S,
        1 => Fmt::D,
        _ => return bare(Kind::Reserved),
    };
    if ![fr, ft, fs, fd].into_iter().all(|r| fits(r, fmt, fp)) {
        return bare(Kind::Reserved);
    }
    plain(Inst {
        a: place(fd, fmt, fp),
        b: place(fs, fmt, fp),
        c: place(ft, fmt, fp),
        imm: place(fr, fmt, fp).into(),
        ..Inst::new(Kind::Fp(multiply, fmt))
    })
}
