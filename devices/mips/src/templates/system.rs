//! Coprocessor 0: registers that are read and written without an effect, in kernel mode. Everything else is left to the
//! interpreter.

use std::mem::offset_of;

use solderless_engine::Src;
use solderless_engine::host::{self, Assembler, Binary, Extend, Mem, Size, T0, T1};

use super::{Emitter, place, width, word};
use crate::core::Core;
use crate::cp0::{Cp0, reg, status};
use crate::ir::{Inst, Kind};
use crate::width::Width;

/// Where a register is that can be read without more.
struct Plain {
    at: i32,
    /// It has the width of general registers, and not 32 bits.
    whole: bool,
    /// The bits that a write changes, with their sign above them, if that is all it does.
    written: i32,
}

/// The displacement of a field.
macro_rules! field {
    ($($field:ident).+ $([$n:literal])?) => {
        place::<W>(offset_of!(Core<W>, cp0) + offset_of!(Cp0<W>, $($field).+) $(+ size_of::<W>() * $n)?)
    };
}

fn plain<W: Width, A: Assembler>(e: &Emitter<'_, A, W>, number: u32) -> Option<Plain> {
    const ENTRY_LO0: u32 = reg(2, 0);
    const ENTRY_LO1: u32 = reg(3, 0);
    const CONTEXT: u32 = reg(4, 0);
    const PAGE_MASK: u32 = reg(5, 0);
    const BAD_VADDR: u32 = reg(8, 0);
    const ENTRY_HI: u32 = reg(10, 0);
    const STATUS: u32 = reg(12, 0);
    const EPC: u32 = reg(14, 0);
    const XCONTEXT: u32 = reg(20, 0);
    const ERROR_EPC: u32 = reg(30, 0);
    // What has more bits than a number with a sign is left to the interpreter.
    let entry_lo = i32::try_from(e.known.entry_lo).unwrap_or(0);
    let page_mask = Cp0::<W>::PAGE_MASK.cast_signed();
    let (at, whole, written) = match number {
        ENTRY_LO0 => (field!(entry_lo[0]), true, entry_lo),
        ENTRY_LO1 => (field!(entry_lo[1]), true, entry_lo),
        CONTEXT => (field!(context), true, !0x007f_ffff),
        PAGE_MASK => (field!(page_mask), false, page_mask),
        BAD_VADDR => (field!(bad_vaddr), true, 0),
        ENTRY_HI => (field!(entry_hi), true, 0),
        STATUS => (field!(status), false, 0),
        EPC => (field!(epc), true, -1),
        XCONTEXT if W::WIDE => (field!(xcontext), true, 0),
        ERROR_EPC => (field!(error_epc), true, -1),
        _ => return None,
    };
    Some(Plain { at, whole, written })
}

/// Emits an instruction of this family; false if it is of another.
pub fn emit<W: Width, A: Assembler>(e: &mut Emitter<'_, A, W>, inst: &Inst) -> bool {
    if !e.known.kernel {
        return false;
    }
    match inst.kind {
        Kind::Mfc0 | Kind::Dmfc0 => match plain(e, inst.imm) {
            Some(Plain { at, whole, .. }) => {
                let to = e.asm.target(inst.a, T0);
                match whole && (inst.kind == Kind::Dmfc0 || !W::WIDE) {
                    true => e.asm.get_field(to, at),
                    false => e.asm.load(Size::B4, word::<W>(), to, Mem::field(at)),
                }
                e.asm.put(inst.a, to);
            }
            None => return false,
        },
        Kind::Mtc0 | Kind::Dmtc0 => match plain(e, inst.imm) {
            None | Some(Plain { written: 0, .. }) => return false,
            Some(Plain { at, whole, written }) => {
                let cut = W::WIDE && inst.kind == Kind::Mtc0;
                if written == -1 && !cut {
                    let from = e.asm.value(inst.b, T0);
                    e.asm.put_field(at, from);
                    return true;
                }
                match cut {
                    true => {
                        let from = e.asm.src(inst.b);
                        e.asm.set_extended(Size::B4, Extend::SignWide, T0, from);
                    }
                    false => e.asm.set(T0, e.asm.src(inst.b)),
                }
                e.asm.op(Binary::And, T0, Src::Imm(written));
                let (size, width) = match whole && W::WIDE {
                    true => (Size::B8, width::<W>()),
                    false => (Size::B4, host::Width::W32),
                };
                e.asm.load(size, Extend::Zero, T1, Mem::field(at));
                e.asm
                    .binary(width, Binary::And, T1, host::Operand::Imm(!written));
                e.asm.binary(width, Binary::Or, T0, host::Operand::Reg(T1));
                e.asm.store(size, T0, Mem::field(at));
            }
        },
        Kind::Di => {
            let at = field!(status);
            e.asm.load(Size::B4, word::<W>(), T0, Mem::field(at));
            let enabled = Mem::field(at);
            e.asm.binary_at(
                host::Width::W32,
                Binary::And,
                enabled,
                !status::IE.cast_signed(),
            );
            e.asm.put(inst.a, T0);
        }
        _ => return false,
    }
    true
}
