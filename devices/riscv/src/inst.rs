//! Decoded instructions, and straight pieces of them.

use solderless_engine::Straight;

use crate::exec::{Alu, Amo, FpOp};

/// Where results go that nobody reads: the number that stands for `x0` as a destination.
pub const SINK: u8 = 32;

/// What a branch asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cond {
    Eq,
    Ne,
    Lt,
    Ge,
    Ltu,
    Geu,
}

/// A load of an integer register.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Load {
    B,
    H,
    W,
    D,
    Bu,
    Hu,
    Wu,
}

/// What a cache-block instruction does (Zicbom, Zicboz).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cbo {
    Inval,
    Clean,
    Flush,
    Zero,
}

/// What an instruction does. On rv32, registers hold their 32 bits sign-extended, so most of its instructions are those that
/// rv64 has for words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `a` = `b` op `c`.
    Registers(Alu),
    /// `a` = `b` op the number; LUI is one of these.
    Number(Alu),
    Auipc,
    Jal,
    Jalr,
    Branch(Cond),
    Load(Load),
    /// A store of so many bytes of `c`.
    Store(u8),
    /// A load of a floating point register of so many bytes.
    FpLoad(u8),
    FpStore(u8),
    /// Of so many bytes, as the others.
    LoadReserved(u8),
    StoreConditional(u8),
    Amo(Amo, u8),
    /// In double precision if this says so, else in single.
    Fp(FpOp, bool),
    Fence,
    FenceI,
    Csr,
    Ecall,
    Ebreak,
    Mret,
    Sret,
    Wfi,
    SfenceVma,
    /// SFENCE.W.INVAL and SFENCE.INVAL.IR.
    SfenceInval,
    Cbo(Cbo),
    Illegal,
}

/// An instruction at its place in a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Inst {
    pub kind: Kind,
    /// The destination, [`SINK`] for `x0`.
    pub a: u8,
    /// The sources: rs1, rs2, rs3.
    pub b: u8,
    pub c: u8,
    pub d: u8,
    pub imm: i32,
    /// Its bits: 16 of a compressed one.
    pub raw: u32,
    /// Bytes of it, and from the start of the block to it.
    pub size: u8,
    pub at: u16,
    /// Instructions before it in the block.
    pub index: u8,
}

impl Inst {
    /// Whether nothing after it in its block would be reached by way of it.
    pub fn ends_block(&self) -> bool {
        matches!(
            self.kind,
            Kind::Jal
                | Kind::Jalr
                | Kind::Branch(_)
                | Kind::Ecall
                | Kind::Ebreak
                | Kind::Mret
                | Kind::Sret
                | Kind::Wfi
                | Kind::Illegal
        )
    }

    /// Whether it goes where a register says, and is neither a call nor a return, by the registers that these use (the
    /// unprivileged ISA, table of return-address prediction hints).
    pub fn is_computed(&self) -> bool {
        let link = |register: u8| matches!(register, 1 | 5);
        self.kind == Kind::Jalr && !link(self.a) && !link(self.b)
    }

    /// How far it is from the start of the block to the next instruction.
    pub fn past(&self) -> u32 {
        u32::from(self.at) + u32::from(self.size)
    }

    /// How far it is from the start of the block to where it jumps.
    pub fn target(&self) -> u32 {
        u32::from(self.at).wrapping_add_signed(self.imm)
    }
}

/// A straight piece of code.
#[derive(Debug)]
pub struct Block {
    pub insts: Vec<Inst>,
}

impl Block {
    pub fn last(&self) -> Option<&Inst> {
        self.insts.last()
    }
}

impl Straight for Block {
    fn instructions(&self) -> u8 {
        self.insts.len() as u8
    }

    fn bytes(&self) -> u32 {
        self.last().map_or(0, Inst::past)
    }

    fn taken(&self) -> Option<u32> {
        let last = self.last()?;
        matches!(last.kind, Kind::Jal | Kind::Branch(_)).then(|| last.target())
    }

    fn followers(&self) -> Vec<u32> {
        let falls = self
            .last()
            .is_none_or(|i| !i.ends_block() || matches!(i.kind, Kind::Branch(_)));
        let past = falls.then(|| self.bytes());
        self.taken().into_iter().chain(past).collect()
    }

    fn is_computed(&self) -> bool {
        self.last().is_some_and(Inst::is_computed)
    }
}
