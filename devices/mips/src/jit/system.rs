//! Coprocessor 0: registers that are read and written without an effect, in kernel mode. Everything else is left to the
//! interpreter.

use std::mem::offset_of;

use dynasmrt::{DynasmApi, dynasm};

use super::Emitter;
use super::asm::{Binary, EAX, ECX, RBX, Rm, Src, place};
use crate::core::Core;
use crate::cp0::{Cp0, reg, status};
use crate::ir::{Inst, Kind};

/// The displacement of a field from `rbx`.
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

impl Emitter<'_, '_> {
    /// Emits an instruction of this family; false if it is of another.
    pub fn system(&mut self, inst: &Inst) -> bool {
        if !self.kernel {
            return false;
        }
        match inst.kind {
            Kind::Mfc0 => match plain(inst.imm) {
                Some((at, _)) => {
                    let to = self.asm.target(inst.a, EAX);
                    self.asm.encode(&[0x8b], to, Rm::At(RBX, at));
                    self.asm.put(inst.a, to);
                }
                None => return false,
            },
            Kind::Mtc0 => match plain(inst.imm) {
                None | Some((_, 0)) => return false,
                Some((at, u32::MAX)) => {
                    let from = self.asm.value(inst.b, EAX);
                    self.asm.encode(&[0x89], from, Rm::At(RBX, at));
                }
                Some((at, mask)) => {
                    self.asm.mov(EAX, self.asm.src(inst.b));
                    self.asm
                        .binary(Binary::And, EAX, Src::Imm(mask.cast_signed()));
                    dynasm!(self.asm.ops; .arch x64; mov ecx, [rbx + at]);
                    self.asm
                        .binary(Binary::And, ECX, Src::Imm(!mask.cast_signed()));
                    self.asm.binary(Binary::Or, EAX, Src::Reg(ECX));
                    dynasm!(self.asm.ops; .arch x64; mov [rbx + at], eax);
                }
            },
            Kind::Di => {
                const STATUS: i32 = field!(status);
                dynasm!(self.asm.ops; .arch x64
                    ; mov eax, [rbx + STATUS]
                    ; and DWORD [rbx + STATUS], !status::IE.cast_signed()
                );
                self.asm.put(inst.a, EAX);
            }
            _ => return false,
        }
        true
    }
}
