//! Templates: host code for the frequent instructions, against the engine's assembler.
//!
//! What is frequent is generated: arithmetic, branches, loads and stores that hit the soft TLB, floating point with ordinary
//! numbers. Everything else, and every case that is not quickly done, is left to the interpreter's function for the instruction.

use std::mem::offset_of;

use solderless_engine::host::{Assembler, If, Width};
use solderless_engine::{Emitter as Emission, Frame, Slow, Straight, Templates};

use crate::core::Core;
use crate::exec;
use crate::inst::{Block, Inst, Kind};
use crate::isa::Riscv;

mod alu;
mod flow;
mod fp;
mod memory;
mod system;

/// The engine's emitter, for these templates.
type Emitter<'a, A> = Emission<'a, Riscv, A>;

/// The base of all displacements is this much into the [`Core`], so that the general registers are within a short one.
const BIAS: usize = offset_of!(Core, x) + 128;

/// The displacement of what is at an offset in the [`Core`].
const fn place(offset: usize) -> i32 {
    offset as i32 - BIAS as i32
}

/// The displacement of a general register's place in the core.
const fn home(register: u8) -> i32 {
    register as i32 * 8 - 128
}

/// The registers that compiled code uses most, in that order.
const USUAL: [u8; 16] = [15, 14, 10, 2, 13, 8, 9, 11, 12, 1, 16, 17, 18, 19, 5, 6];

/// What is known while a block is emitted.
#[derive(Debug)]
pub struct Context {
    /// Registers and addresses have 32 bits: those hold theirs sign-extended, these are zero above them.
    rv32: bool,
    /// Instructions can be at odd multiples of two.
    compressed: bool,
    /// There is S mode.
    supervisor: bool,
    /// A CSR was written, perhaps.
    csr_written: bool,
}

// SAFETY: the templates below read and write fields of the `Core` by their displacements, and guest memory by `reach`; they leave by
// the emitter's ways only.
#[allow(unsafe_code, reason = "see the crate's documentation")]
unsafe impl<A: Assembler> Templates<A> for Riscv {
    const FRAME: Frame = Frame {
        bias: BIAS,
        width: Width::W64,
        unit_bits: 1,
        pc: place(offset_of!(Core, pc)),
        vcpu: place(offset_of!(Core, vcpu)),
        home,
        registers: 32,
        zero: Some(0),
        pair: None,
        usual: &USUAL,
    };
    type Known = Context;

    fn known(core: &Core) -> Context {
        Context {
            rv32: core.identity.rv32,
            compressed: core.identity.c,
            supervisor: core.identity.s,
            csr_written: false,
        }
    }

    fn begin(_: &mut Emitter<'_, A>, _: &Block) {}

    fn body(e: &mut Emitter<'_, A>, block: &Block) {
        e.known.csr_written = false;
        fp::check(e, block);
        e.take();
        for inst in &block.insts {
            let done = flow::is_left_to_end(e, inst)
                || alu::emit(e, inst)
                || memory::emit(e, inst)
                || fp::emit(e, inst)
                || system::emit(e, inst);
            if !done {
                e.leave_to_interpreter(exec::op(inst));
                e.known.csr_written |= inst.kind == Kind::Csr;
            }
        }
    }

    fn end(e: &mut Emitter<'_, A>, block: &Block) {
        match block.last() {
            // What ends a block otherwise does not come back.
            Some(last) if last.ends_block() && !flow::is_left_to_end(e, last) => {}
            Some(last) if last.ends_block() => flow::end(e, last),
            _ => e.end_at(block.bytes()),
        }
    }

    fn condition(e: &mut Emitter<'_, A>, block: &Block) -> If {
        block
            .last()
            .map_or(If::Equal, |last| flow::condition(e, last))
    }
}

/// A way to the interpreter for an instruction, and back behind what is generated for it.
fn slow<A: Assembler>(e: &mut Emitter<'_, A>, inst: &Inst) -> Slow {
    e.slow(exec::op(inst))
}
