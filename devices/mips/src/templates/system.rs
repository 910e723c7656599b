//! Coprocessor 0: registers that are read and written without an effect, in kernel mode. Everything else is left to the
//! interpreter.

use std::mem::offset_of;

use solderless_engine::Src;
use solderless_engine::host::{Assembler, Binary, Mem, T0, T1, Width};

use super::{Emitter, place};
use crate::core::Core;
use crate::cp0::{Cp0, reg, status};
use crate::ir::{Inst, Kind};

/// The displacement of a field.
macro_rules! field {
    ($($field:ident).+ $([$n:literal])?) => {
        place(offset_of!(Core, cp0) + offset_of!(Cp0, $($field).+)) $(+ 4 * $n)?
    };
}

/// Where a register that can be read without more is, and the bits that a write changes, if that is all it does.
fn plain(number: u32) -> Option<(i32, u32)> {
    const ENTRY_LO0: u32 = reg(2, 0);
    const ENTRY_LO1: u32 = reg(3, 0);
    const CONTEXT: u32 = reg(4, 0);
    const PAGE_MASK: u32 = reg(5, 0);
    const BAD_VADDR: u32 = reg(8, 0);
    const ENTRY_HI: u32 = reg(10, 0);
    const STATUS: u32 = reg(12, 0);
    const EPC: u32 = reg(14, 0);
    const ERROR_EPC: u32 = reg(30, 0);
    Some(match number {
        ENTRY_LO0 => (field!(entry_lo[0]), Cp0::ENTRY_LO),
        ENTRY_LO1 => (field!(entry_lo[1]), Cp0::ENTRY_LO),
        CONTEXT => (field!(context), Cp0::PTE_BASE),
        PAGE_MASK => (field!(page_mask), Cp0::PAGE_MASK),
        BAD_VADDR => (field!(bad_vaddr), 0),
        ENTRY_HI => (field!(entry_hi), 0),
        STATUS => (field!(status), 0),
        EPC => (field!(epc), u32::MAX),
        ERROR_EPC => (field!(error_epc), u32::MAX),
        _ => return None,
    })
}

/// Emits an instruction of this family; false if it is of another.
pub fn emit<A: Assembler>(e: &mut Emitter<'_, A>, inst: &Inst) -> bool {
    if !e.known.kernel {
        return false;
    }
    match inst.kind {
        Kind::Mfc0 => match plain(inst.imm) {
            Some((at, _)) => {
                let to = e.asm.target(inst.a, T0);
                e.asm.get_field(to, at);
                e.asm.put(inst.a, to);
            }
            None => return false,
        },
        Kind::Mtc0 => match plain(inst.imm) {
            None | Some((_, 0)) => return false,
            Some((at, u32::MAX)) => {
                let from = e.asm.value(inst.b, T0);
                e.asm.put_field(at, from);
            }
            Some((at, mask)) => {
                e.asm.set(T0, e.asm.src(inst.b));
                e.asm.op(Binary::And, T0, Src::Imm(mask.cast_signed()));
                e.asm.get_field(T1, at);
                e.asm.op(Binary::And, T1, Src::Imm(!mask.cast_signed()));
                e.asm.op(Binary::Or, T0, Src::Reg(T1));
                e.asm.put_field(at, T0);
            }
        },
        Kind::Di => {
            const STATUS: i32 = field!(status);
            e.asm.get_field(T0, STATUS);
            let enabled = Mem::field(STATUS);
            e.asm
                .binary_at(Width::W32, Binary::And, enabled, !status::IE.cast_signed());
            e.asm.put(inst.a, T0);
        }
        _ => return false,
    }
    true
}
