//! Control and status registers that are read and written without an effect. Everything else is left to the interpreter.

use std::mem::offset_of;

use solderless_engine::Src;
use solderless_engine::host::{Assembler, Binary, If, Mem, T0, T1};

use super::{Emitter, place, slow};
use crate::core::Core;
use crate::csr;
use crate::inst::{Inst, Kind, SINK};

const PRIVILEGE: i32 = place(offset_of!(Core, privilege));

/// Emits an instruction of this family; false if it is of another, or one that is left to the interpreter.
pub fn emit<A: Assembler>(e: &mut Emitter<'_, A>, inst: &Inst) -> bool {
    if inst.kind != Kind::Csr || e.known.rv32 {
        return false;
    }
    let (number, operation) = (inst.raw >> 20, inst.raw >> 12 & 7);
    let Some((at, writable)) = csr::plain(number) else {
        return false;
    };
    let needed = number >> 8 & 3;
    if needed == 1 && !e.known.supervisor {
        return false;
    }
    let at = place(offset_of!(Core, csr) + at);
    let writes = match (operation, inst.b) {
        (1, _) => true,
        // Bits are set or cleared, but none.
        (2 | 3 | 6 | 7, 0) => false,
        _ => return false,
    };
    let writable = match writable {
        _ if !writes => 0,
        csr::Writable::All => -1,
        csr::Writable::Code if e.known.compressed => !1,
        csr::Writable::Code => !3,
        csr::Writable::Nothing => return false,
    };
    let slow = slow(e, inst);
    // In M mode addresses are physical, of which the code knows.
    if e.direct().is_none() {
        // 0, 1 and 3 are the modes.
        let bit = if needed == 3 { 2 } else { 1 };
        e.asm.test_at(Mem::field(PRIVILEGE), bit);
        e.asm.jump_if(If::Equal, slow.from);
    }
    if writes {
        e.asm.set(T1, e.asm.src(inst.b));
        if writable != -1 {
            e.asm.op(Binary::And, T1, Src::Imm(writable));
        }
    }
    if inst.a != SINK {
        let to = e.asm.target(inst.a, T0);
        e.asm.get_field(to, at);
        e.asm.put(inst.a, to);
    }
    if writes {
        e.asm.put_field(at, T1);
    }
    e.back(slow);
    true
}
