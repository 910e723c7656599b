//! The intermediate form between the decoder and whatever executes it.
//!
//! A [`Block`] is straight code: [`Step`]s, executed in order, and one [`End`]. Delay slots are resolved: a step is
//! executed where it stands, and the end only says where to go on. So a branch becomes its slot followed by a
//! [`End::Branch`] where the slot does not touch what the branch tests, and otherwise a step that latches the condition
//! or target, the slot, and an end that uses the latch. A likely branch is a step that leaves the block if it is not
//! taken. Addresses are offsets from the start of the block, as the same code can be seen at several addresses.
//!
//! This is what an interpreter threads through (`exec`), and what a code generator would take instead.

/// The place that writes to register 0 go to.
pub const SINK: u8 = 34;
/// HI, as a register.
pub const HI: u8 = 32;
/// LO, as a register.
pub const LO: u8 = 33;

/// A condition on two registers, `b` and `c`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cond {
    /// `b == c`.
    Eq,
    /// `b != c`.
    Ne,
    /// `b <= 0`, signed.
    Lez,
    /// `b > 0`, signed.
    Gtz,
    /// `b < 0`, signed.
    Ltz,
    /// `b >= 0`, signed.
    Gez,
    /// Floating point condition code `b` is clear.
    FpFalse,
    /// Floating point condition code `b` is set.
    FpTrue,
}

/// What a trap instruction compares, register with register or with the immediate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Test {
    /// Equal.
    Eq,
    /// Not equal.
    Ne,
    /// Less, signed.
    Lt,
    /// Less, unsigned.
    Ltu,
    /// Greater or equal, signed.
    Ge,
    /// Greater or equal, unsigned.
    Geu,
}

/// A floating point format, with the encoding of the instructions' `fmt` field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fmt {
    /// Single precision.
    S,
    /// Double precision.
    D,
    /// 32-bit integer.
    W,
    /// 64-bit integer.
    L,
}

/// How a conversion to an integer rounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum How {
    /// To nearest.
    Round,
    /// Toward zero.
    Trunc,
    /// Up.
    Ceil,
    /// Down.
    Floor,
    /// As FCSR says.
    Cvt,
}

/// A floating point operation: `a` is the destination, `b` and `c` are the operands, all of them places of floating point
/// registers: the number of the 32-bit word in the register file, that of the lower half for a 64-bit value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fp {
    Add,
    Sub,
    Mul,
    Div,
    Sqrt,
    Abs,
    Mov,
    Neg,
    Recip,
    Rsqrt,
    /// The third operand of this and the next three is `imm`.
    Madd,
    Msub,
    Nmadd,
    Nmsub,
    ToW(How),
    ToL(How),
    ToS,
    ToD,
    /// Condition in bits 3:0 of `imm`, condition code above.
    Compare,
    /// Moves if condition code `c` is clear.
    Movf,
    /// Moves if condition code `c` is set.
    Movt,
    /// Moves if general register `c` is zero.
    Movz,
    /// Moves if general register `c` is not zero.
    Movn,
}

/// What an instruction does. Where nothing else is said: `a` is the general register it writes ([`SINK`] if none), `b`
/// and `c` are those it reads (`rs` and `rt`), `imm` is its immediate, extended to 32 bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Nop,
    /// `a = imm`.
    Li,
    /// `a = b`, also between HI, LO and the others.
    Move,
    /// `a` = address of the block + `imm`.
    Link,
    Add,
    Addu,
    Sub,
    Subu,
    And,
    Or,
    Xor,
    Nor,
    Slt,
    Sltu,
    Mul,
    Sllv,
    Srlv,
    Srav,
    Rotrv,
    Movn,
    Movz,
    /// Moves `b` if condition code `c` is clear.
    Movf,
    /// Moves `b` if condition code `c` is set.
    Movt,
    Addi,
    Addiu,
    Slti,
    Sltiu,
    Andi,
    Ori,
    Xori,
    Sll,
    Srl,
    Sra,
    Rotr,
    Clz,
    Clo,
    Seb,
    Seh,
    Wsbh,
    /// Bits `imm` 4:0 upwards of `b`, under the mask in `imm2`.
    Ext,
    /// `b` shifted left by `imm`, into `c` under the mask in `imm2`.
    Ins,
    /// From here on to `Ddivu`, and loads and stores of doublewords, on 64 bits.
    Dadd,
    Daddu,
    Dsub,
    Dsubu,
    Daddi,
    Daddiu,
    Dsllv,
    Dsrlv,
    Dsrav,
    Drotrv,
    Dsll,
    Dsrl,
    Dsra,
    Drotr,
    Dclz,
    Dclo,
    Dsbh,
    Dshd,
    /// `imm2` bits of `b` from bit `imm` on.
    Dext,
    /// `imm2` bits of `b` into `c` from bit `imm` on.
    Dins,
    Dmult,
    Dmultu,
    Ddiv,
    Ddivu,
    Mult,
    Multu,
    Div,
    Divu,
    Madd,
    Maddu,
    Msub,
    Msubu,
    Lb,
    Lbu,
    Lh,
    Lhu,
    Lw,
    /// Merges into `c`.
    Lwl,
    /// Merges into `c`.
    Lwr,
    Ll,
    Lwu,
    Ld,
    /// Merges into `c`.
    Ldl,
    /// Merges into `c`.
    Ldr,
    Lld,
    Sd,
    Sdl,
    Sdr,
    Scd,
    Sb,
    Sh,
    Sw,
    Swl,
    Swr,
    Sc,
    /// Operation in `c`.
    Cache,
    Synci,
    Trap(Test),
    TrapImm(Test),
    Syscall,
    Break,
    /// No such instruction.
    Reserved,
    /// A coprocessor, `imm`, that is not usable.
    Unusable,
    /// `imm` is register × 8 + select.
    Mfc0,
    /// `imm` as for `Mfc0`.
    Mtc0,
    /// 64 bits of it.
    Dmfc0,
    Dmtc0,
    Di,
    Ei,
    Eret,
    Wait,
    Tlbp,
    Tlbr,
    Tlbwi,
    Tlbwr,
    /// RDPGPR and WRPGPR: a move, for there is shadow set 0 only.
    Shadow,
    /// A reserved encoding of coprocessor 0.
    ReservedCop0,
    /// Hardware register `imm`.
    Rdhwr,
    /// Place of the floating point register in `c` for this and all that follow, except as `Fp` says.
    Mfc1,
    Mtc1,
    Dmfc1,
    Dmtc1,
    /// Control register in `imm`.
    Cfc1,
    /// Control register in `imm`, value in `b`.
    Ctc1,
    Lwc1,
    Swc1,
    Ldc1,
    Sdc1,
    /// Address `b` + register `imm`, and so for the next five.
    Lwxc1,
    Swxc1,
    Ldxc1,
    Sdxc1,
    /// As `Ldxc1`, ignoring the low three bits of the address.
    Luxc1,
    Suxc1,
    Fp(Fp, Fmt),
    /// Keeps the condition for [`End::Latched`].
    Latch(Cond),
    /// Keeps the target in `b` for [`End::LatchedRegister`].
    LatchTarget,
    /// Leaves the block for what follows it unless the condition holds: a likely branch that is not taken.
    Skip(Cond),
    /// The same by the condition that `Latch` kept.
    SkipLatched,
}

/// One instruction, its operands resolved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Inst {
    /// What it does.
    pub kind: Kind,
    /// Destination.
    pub a: u8,
    /// First source.
    pub b: u8,
    /// Second source.
    pub c: u8,
    /// Immediate.
    pub imm: u32,
    /// Second immediate.
    pub imm2: u32,
}

impl Inst {
    /// An instruction without operands.
    pub const fn new(kind: Kind) -> Self {
        Self {
            kind,
            a: SINK,
            b: 0,
            c: 0,
            imm: 0,
            imm2: 0,
        }
    }

    /// Whether a branch that tests `b` and `c` by `cond` gives the same after this instruction as before it.
    pub fn leaves(&self, cond: Cond, b: u8, c: u8) -> bool {
        match (self.kind, cond) {
            (Kind::Fp(..) | Kind::Ctc1, Cond::FpFalse | Cond::FpTrue) => false,
            (_, Cond::FpFalse | Cond::FpTrue) => true,
            _ => self.leaves_registers(b, c),
        }
    }

    /// Whether neither general register is written.
    pub fn leaves_registers(&self, b: u8, c: u8) -> bool {
        matches!(self.kind, Kind::Fp(..)) || (self.a != b && self.a != c)
    }
}

/// An instruction at its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Step {
    /// What is executed.
    pub inst: Inst,
    /// Instructions from the start of the block.
    pub at: u8,
    /// It is in the delay slot of the instruction before it.
    pub slot: bool,
}

/// Where execution goes after the steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// To the offset `taken` if the condition holds, else to the end of the block.
    Branch {
        cond: Cond,
        b: u8,
        c: u8,
        taken: u32,
    },
    /// The same by the condition that [`Kind::Latch`] kept.
    Latched { taken: u32 },
    /// To the offset `taken`.
    Always { taken: u32 },
    /// To an address within the 256 MiB that hold the last instruction of the block, which is its slot.
    Jump { target: u32 },
    /// To the address in a register.
    Register { b: u8 },
    /// To the address that [`Kind::LatchTarget`] kept.
    LatchedRegister,
    /// To the end of the block.
    Fall,
}

/// A piece of straight code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Block {
    /// What is executed, in order.
    pub steps: Vec<Step>,
    /// Where it goes on.
    pub end: End,
    /// Instructions, the branch included.
    pub len: u8,
}

impl Block {
    /// The offset of what follows it.
    pub fn past(&self) -> u32 {
        u32::from(self.len) * 4
    }

    /// The offset its branch goes to.
    pub fn taken(&self) -> Option<u32> {
        match self.end {
            End::Branch { taken, .. } | End::Latched { taken } | End::Always { taken } => {
                Some(taken)
            }
            _ => None,
        }
    }

    /// The offsets of what may follow it, as far as they are known.
    pub fn followers(&self) -> impl Iterator<Item = u32> {
        let skips = |s: &Step| matches!(s.inst.kind, Kind::Skip(_) | Kind::SkipLatched);
        let falls = match self.end {
            End::Fall | End::Branch { .. } | End::Latched { .. } => true,
            End::Always { .. } => self.steps.iter().any(skips),
            _ => false,
        };
        let past = falls.then(|| self.past());
        self.taken().into_iter().chain(past)
    }

    /// Whether it goes where a register says, and that is neither a call nor a return: there is most often a table of what it
    /// may lead to.
    pub fn is_computed(&self) -> bool {
        const RA: u8 = 31;
        let calls = |s: &Step| s.inst.kind == Kind::Link;
        let returns = |s: &Step| s.inst.kind == Kind::LatchTarget && s.inst.b == RA;
        match self.end {
            End::Register { b } => b != RA && !self.steps.iter().any(calls),
            End::LatchedRegister => !self.steps.iter().any(|s| calls(s) || returns(s)),
            _ => false,
        }
    }
}
