//! The interpreter: each instruction of a block becomes an [`Op`] with the function that executes it.
//!
//! A function does its work and calls the function of the next op in its last act, which optimised builds make a jump;
//! unoptimised ones nest calls, no deeper than a block is long.

use solderless_engine::Exit;
use solderless_model::Cx;

use crate::core::Core;
use crate::inst::{Block, Inst, Kind, SINK};
use crate::trap::Trap;

mod alu;
mod atomic;
mod flow;
mod fp;
mod memory;
mod system;

pub use alu::Alu;
pub use atomic::Amo;
pub use fp::FpOp;
pub use memory::CACHE_BLOCK;

/// Executes one op and all that follow in the block.
pub type Handler = fn(&mut Core, &Op, &[Op], &mut Cx<'_>) -> Exit;

/// An instruction, ready to be executed.
#[derive(Debug, Clone, Copy)]
pub struct Op {
    run: Handler,
    imm: i32,
    raw: u32,
    a: u8,
    b: u8,
    c: u8,
    d: u8,
    /// Bytes from the start of the block.
    at: u16,
    /// Bytes of it; none of what stands for the end of a block.
    size: u8,
    /// Instructions before it in the block.
    index: u8,
}

impl Op {
    /// Whether both are the same instruction at the same place.
    pub fn same(&self, other: &Self) -> bool {
        let key = |o: &Self| {
            let place = (o.at, o.size, o.index);
            (o.imm, o.raw, o.a, o.b, o.c, o.d, place)
        };
        std::ptr::fn_addr_eq(self.run, other.run) && key(self) == key(other)
    }

    /// Bytes from the start of the block, and instructions before it.
    pub fn place(&self) -> (u16, u8) {
        (self.at, self.index)
    }

    /// How far it is from the start of the block to the next instruction.
    fn past(&self) -> u64 {
        u64::from(self.at) + u64::from(self.size)
    }

    const fn nothing(run: Handler) -> Self {
        Self {
            run,
            imm: 0,
            raw: 0,
            a: SINK,
            b: 0,
            c: 0,
            d: 0,
            at: 0,
            size: 0,
            index: 0,
        }
    }
}

/// Goes on with the next op.
#[inline(always)]
fn next(core: &mut Core, rest: &[Op], cx: &mut Cx<'_>) -> Exit {
    match rest {
        [op, rest @ ..] => (op.run)(core, op, rest, cx),
        // The last op of a block does not go on.
        [] => Exit::Event,
    }
}

/// Executes ops from the first one on.
#[inline(always)]
pub fn run(core: &mut Core, ops: &[Op], cx: &mut Cx<'_>) -> Exit {
    next(core, ops, cx)
}

fn done(_: &mut Core, _: &Op, _: &[Op], _: &mut Cx<'_>) -> Exit {
    Exit::Next
}

/// What stands behind a single op.
const DONE: [Op; 1] = [Op::nothing(done)];

/// Executes a single op of a block.
#[inline(always)]
pub fn one(core: &mut Core, op: &Op, cx: &mut Cx<'_>) -> Exit {
    (op.run)(core, op, &DONE, cx)
}

/// Adds the ops of a block.
pub fn lower(block: &Block, ops: &mut Vec<Op>) {
    ops.extend(block.insts.iter().map(op));
    if let Some(last) = block.last()
        && !last.ends_block()
    {
        ops.push(Op {
            at: last.at,
            size: last.size,
            ..Op::nothing(flow::fall)
        });
    }
}

/// Makes an op of an instruction.
pub fn op(inst: &Inst) -> Op {
    let run: Handler = match inst.kind {
        Kind::Registers(alu) => alu.registers(),
        Kind::Number(alu) => alu.number(),
        Kind::Auipc => flow::auipc,
        Kind::Jal => flow::jal,
        Kind::Jalr => flow::jalr,
        Kind::Branch(cond) => flow::branch(cond),
        Kind::Load(load) => memory::load(load),
        Kind::Store(size) => memory::store(size),
        Kind::FpLoad(size) => memory::fp_load(size),
        Kind::FpStore(size) => memory::fp_store(size),
        Kind::LoadReserved(size) => atomic::load_reserved(size),
        Kind::StoreConditional(size) => atomic::store_conditional(size),
        Kind::Amo(amo, size) => amo.handler(size),
        Kind::Fp(fp, double) => fp.handler(double),
        // Memory is in order, and decoded code is never stale.
        Kind::Fence | Kind::FenceI => system::nothing,
        Kind::Csr => system::csr,
        Kind::Ecall => system::ecall,
        Kind::Ebreak => system::ebreak,
        Kind::Mret => system::mret,
        Kind::Sret => system::sret,
        Kind::Wfi => system::wfi,
        Kind::SfenceVma => system::sfence_vma,
        Kind::SfenceInval => system::sfence_inval,
        Kind::Cbo(cbo) => memory::cbo(cbo),
        Kind::Illegal => system::illegal,
    };
    Op {
        run,
        imm: inst.imm,
        raw: inst.raw,
        a: inst.a,
        b: inst.b,
        c: inst.c,
        d: inst.d,
        at: inst.at,
        size: inst.size,
        index: inst.index,
    }
}

impl Core {
    /// Instructions of the block that come after an op.
    #[inline]
    fn rest(&self, op: &Op) -> i64 {
        i64::from(self.vcpu.len) - i64::from(op.index) - 1
    }

    /// Leaves the block behind an op, for another address.
    #[inline]
    fn leave(&mut self, op: &Op, to: u64, exit: Exit) -> Exit {
        self.vcpu.budget += self.rest(op);
        self.pc = to;
        exit
    }

    /// Leaves the block behind an op, because what it did has to be looked at.
    #[inline(never)]
    fn after(&mut self, op: &Op, exit: Exit) -> Exit {
        let to = self.address(self.pc.wrapping_add(op.past()));
        self.leave(op, to, exit)
    }

    /// The address of an op.
    fn pc_of(&self, op: &Op) -> u64 {
        self.address(self.pc.wrapping_add(op.at.into()))
    }

    /// Takes a trap that an instruction raises, which does not retire.
    #[cold]
    #[inline(never)]
    fn raise(&mut self, op: &Op, trap: Trap) -> Exit {
        let pc = self.pc_of(op);
        self.vcpu.budget += self.rest(op);
        self.enter(trap, pc);
        Exit::Goto
    }

    #[cold]
    fn illegal(&mut self, op: &Op) -> Exit {
        self.raise(op, Trap::illegal(op.raw))
    }

    /// Lets the time pass that instructions have taken up to this one.
    fn advance_to(&mut self, op: &Op, cx: &mut Cx<'_>) {
        let pc = self.pc_of(op);
        self.vcpu.advance(self.vcpu.executed(self.rest(op)), pc, cx);
    }
}
