//! Host code for blocks that are executed often. There are no templates yet: the interpreter executes each instruction.

use std::mem::offset_of;

use solderless_engine::host::{Assembler, If, Width};
use solderless_engine::{Emitter, Frame, Straight, Templates};

use crate::core::Core;
use crate::exec;
use crate::inst::Block;
use crate::isa::X86;

const BIAS: usize = offset_of!(Core, x);

fn home(register: u8) -> i32 {
    i32::from(register) * 8
}

/// The registers that compiled code uses most, in that order.
const USUAL: [u8; 16] = [0, 4, 1, 2, 3, 7, 6, 5, 8, 9, 10, 12, 13, 14, 15, 11];

// SAFETY: the interpreter does what there is to do, and there is no other way out than the emitter's.
#[allow(unsafe_code, reason = "see the crate's documentation")]
unsafe impl<A: Assembler> Templates<A> for X86 {
    const FRAME: Frame = Frame {
        bias: BIAS,
        width: Width::W64,
        unit_bits: 0,
        pc: offset_of!(Core, pc) as i32 - BIAS as i32,
        vcpu: offset_of!(Core, vcpu) as i32 - BIAS as i32,
        home,
        registers: 16,
        zero: None,
        pair: None,
        usual: &USUAL,
    };
    type Known = ();

    fn known(_: &Core) {}

    fn begin(_: &mut Emitter<'_, Self, A>, _: &Block) {}

    fn body(e: &mut Emitter<'_, Self, A>, block: &Block) {
        e.take();
        for inst in &block.insts {
            e.leave_to_interpreter(exec::op(inst));
        }
    }

    fn end(e: &mut Emitter<'_, Self, A>, block: &Block) {
        // What ends a block otherwise does not come back.
        if block.last().is_none_or(|last| !last.ends) {
            e.end_at(block.bytes());
        }
    }

    /// No block leaves a condition to its end: branches are the interpreter's.
    fn condition(_: &mut Emitter<'_, Self, A>, _: &Block) -> If {
        If::Equal
    }
}
