//! Operands of MMX and SSE, and moves of them.
//!
//! Intel SDM, volume 1, chapters 9 to 12; each instruction in volume 2.

use iced_x86::{Code, Mnemonic};
use solderless_model::Cx;

use super::{Handler, Op, Step};
use crate::core::{Core, DS, RDI, cr0, cr4};
use crate::inst::{Inst, Operand, mask};
use crate::trap::{Fault, vector};

pub fn handler(inst: &Inst) -> Option<Handler> {
    use Mnemonic::*;
    let xmm = matches!(inst.ops[0], Operand::Xmm(_)) || matches!(inst.ops[1], Operand::Xmm(_));
    Some(match inst.mnemonic {
        Movaps | Movapd | Movdqa | Movntps | Movntpd | Movntdq | Movntdqa => whole::<true>,
        Movups | Movupd | Movdqu | Lddqu => whole::<false>,
        Movss => scalar::<4>,
        Movsd if xmm => scalar::<8>,
        Movd | Movq | Movntq => number,
        Movq2dq => number,
        Movdq2q => number,
        Movlps | Movlpd | Movhlps => half::<0>,
        Movhps | Movhpd | Movlhps => half::<1>,
        Movddup | Movsldup | Movshdup => duplicate,
        Movmskps => sign_mask::<4>,
        Movmskpd => sign_mask::<8>,
        Pmovmskb => sign_mask::<1>,
        Maskmovq | Maskmovdqu => masked,
        Pextrb => extract::<1>,
        Pextrw => extract::<2>,
        Pextrd | Extractps => extract::<4>,
        Pextrq => extract::<8>,
        Pinsrb => insert::<1>,
        Pinsrw => insert::<2>,
        Pinsrd => insert::<4>,
        Pinsrq => insert::<8>,
        Insertps => insert_single,
        Movnti => move_number,
        _ => return None,
    })
}

impl Core {
    /// MMX is there, and its registers are from now on.
    ///
    /// # Errors
    /// CR0 says that it is not, or an exception of the x87 unit is pending.
    pub fn has_mmx(&mut self, cx: &mut Cx<'_>) -> Step {
        if self.is(cr0::EM) {
            return Err(Fault::ud().into());
        }
        self.has_fpu()?;
        self.fpu_ready(cx)
    }

    /// SSE is there.
    ///
    /// # Errors
    /// Control registers say that it is not.
    #[inline(always)]
    pub fn has_sse(&self) -> Step {
        match self.sse {
            true => Ok(()),
            false => Err(self.no_sse().into()),
        }
    }

    #[cold]
    fn no_sse(&self) -> Fault {
        match self.is(cr0::EM) || !self.is4(cr4::OSFXSR) {
            true => Fault::ud(),
            false => Fault::plain(vector::NM),
        }
    }

    /// What an instruction with vectors needs.
    ///
    /// # Errors
    /// It is not there.
    #[inline(always)]
    pub fn begin_vector(&mut self, cx: &mut Cx<'_>, op: &Op) -> Step {
        let mmx = |operand: &Operand| matches!(operand, Operand::Mm(_));
        if op.inst.ops.iter().any(mmx) {
            self.begin_mmx(cx, op)
        } else {
            self.has_sse()
        }
    }

    /// The same of one with MMX's registers, and perhaps SSE's.
    #[inline(never)]
    fn begin_mmx(&mut self, cx: &mut Cx<'_>, op: &Op) -> Step {
        let xmm = |operand: &Operand| matches!(operand, Operand::Xmm(_));
        if op.inst.ops.iter().any(xmm) {
            self.has_sse()?;
        }
        self.has_mmx(cx)
    }

    /// An operand; what is above it is zero. Memory of 16 bytes has to be aligned if `aligned` says so.
    ///
    /// # Errors
    /// It is memory, and that cannot be read.
    #[inline(always)]
    pub fn vector(&mut self, cx: &mut Cx<'_>, op: &Op, n: usize, aligned: bool) -> Step<u128> {
        Ok(match op.inst.ops[n] {
            Operand::Xmm(n) => self.fpu.x(n),
            Operand::Mem(16) => {
                let va = self.address(op, 16, false)?;
                if aligned && va & 15 != 0 {
                    return Err(Fault::gp(0).into());
                }
                self.load_16(cx, op, va)?
            }
            Operand::Mm(n) => self.fpu.mm(n).into(),
            Operand::Mem(size) => {
                let va = self.address(op, size, false)?;
                self.load(cx, op, va, size)?.into()
            }
            Operand::Imm => (op.inst.imm & 0xff).into(),
            Operand::Reg(n, size) => self.reg(n, size).into(),
            _ => 0,
        })
    }

    /// Sets an operand, all of it.
    ///
    /// # Errors
    /// It is memory, and that cannot be written.
    #[inline(always)]
    pub fn set_vector(
        &mut self,
        cx: &mut Cx<'_>,
        op: &Op,
        n: usize,
        value: u128,
        aligned: bool,
    ) -> Step {
        match op.inst.ops[n] {
            Operand::Xmm(n) => self.fpu.set_x(n, value),
            Operand::Mm(n) => {
                self.fpu.enter_mmx();
                self.fpu.set_mm(n, value as u64);
            }
            Operand::Mem(16) => {
                let va = self.address(op, 16, true)?;
                if aligned && va & 15 != 0 {
                    return Err(Fault::gp(0).into());
                }
                self.store_16(cx, op, va, value)?;
            }
            Operand::Mem(size) => {
                let va = self.address(op, size, true)?;
                self.store(cx, op, va, size, value as u64)?;
            }
            Operand::Reg(n, size) => self.set_reg(n, size, value as u64),
            _ => {}
        }
        // An instruction that reads a register of MMX has taken the x87's as well.
        if op.inst.ops.iter().any(|o| matches!(o, Operand::Mm(_))) {
            self.fpu.enter_mmx();
        }
        Ok(())
    }
}

fn whole<const ALIGNED: bool>(core: &mut Core, op: &Op, cx: &mut Cx<'_>) -> Step {
    core.has_sse()?;
    let value = core.vector(cx, op, 1, ALIGNED)?;
    core.set_vector(cx, op, 0, value, ALIGNED)
}

/// The low bits of a vector.
fn low(bytes: u32) -> u128 {
    match bytes {
        16.. => u128::MAX,
        _ => (1 << (8 * bytes)) - 1,
    }
}

/// MOVSS and MOVSD: from memory they clear what is above.
fn scalar<const SIZE: u8>(core: &mut Core, op: &Op, cx: &mut Cx<'_>) -> Step {
    core.has_sse()?;
    let value = core.vector(cx, op, 1, true)?;
    let value = match (op.inst.ops[0], op.inst.ops[1]) {
        (Operand::Xmm(to), Operand::Xmm(_)) => {
            let low = low(SIZE.into());
            core.fpu.x(to) & !low | value & low
        }
        _ => value,
    };
    core.set_vector(cx, op, 0, value, true)
}

/// MOVD and MOVQ: what is above is cleared.
fn number(core: &mut Core, op: &Op, cx: &mut Cx<'_>) -> Step {
    core.begin_vector(cx, op)?;
    let value = core.vector(cx, op, 1, true)?;
    core.set_vector(cx, op, 0, value & low(8), true)
}

/// MOVNTI.
fn move_number(core: &mut Core, op: &Op, cx: &mut Cx<'_>) -> Step {
    let value = core.get(cx, op, 1)?;
    core.put(cx, op, 0, value)
}

/// Moves to or from the low or high half.
fn half<const HALF: u32>(core: &mut Core, op: &Op, cx: &mut Cx<'_>) -> Step {
    core.has_sse()?;
    let from = core.vector(cx, op, 1, true)?;
    match op.inst.ops[0] {
        Operand::Xmm(to) => {
            let from = match op.inst.mnemonic {
                Mnemonic::Movhlps => from >> 64,
                _ => from & low(8),
            };
            let kept = core.fpu.x(to) & !(low(8) << (64 * HALF));
            core.fpu.set_x(to, kept | from << (64 * HALF));
            Ok(())
        }
        _ => core.set_vector(cx, op, 0, from >> (64 * HALF), true),
    }
}

fn duplicate(core: &mut Core, op: &Op, cx: &mut Cx<'_>) -> Step {
    core.has_sse()?;
    let from = core.vector(cx, op, 1, true)?;
    const EVEN: u128 = 0xffff_ffff_0000_0000_ffff_ffff;
    let value = match op.inst.mnemonic {
        Mnemonic::Movddup => from & low(8) | from << 64,
        Mnemonic::Movsldup => from & EVEN | (from & EVEN) << 32,
        _ => from >> 32 & EVEN | from & EVEN << 32,
    };
    core.set_vector(cx, op, 0, value, true)
}

/// The highest bit of each element.
fn sign_mask<const SIZE: u32>(core: &mut Core, op: &Op, cx: &mut Cx<'_>) -> Step {
    core.begin_vector(cx, op)?;
    let from = core.vector(cx, op, 1, true)?;
    let bits = (0..16 / SIZE).fold(0, |all, n| {
        all | (from >> (8 * SIZE * (n + 1) - 1) & 1) << n
    });
    core.set_vector(cx, op, 0, bits, true)
}

/// MASKMOVQ and MASKMOVDQU: single bytes.
fn masked(core: &mut Core, op: &Op, cx: &mut Cx<'_>) -> Step {
    core.begin_vector(cx, op)?;
    let bytes = core.vector(cx, op, 1, true)?.to_le_bytes();
    let which = core.vector(cx, op, 2, true)?.to_le_bytes();
    let size = op.inst.address_size;
    let segment = match op.inst.memory.segment {
        segment @ 0..6 => segment,
        _ => DS,
    };
    let length = match op.inst.ops[1] {
        Operand::Mm(_) => 8,
        _ => 16,
    };
    for (n, (byte, which)) in (0u64..length).zip(bytes.into_iter().zip(which)) {
        if which & 0x80 != 0 {
            let offset = core.reg(RDI, size).wrapping_add(n) & mask(size);
            let va = core.linear(segment, offset, 1, true)?;
            core.store(cx, op, va, 1, byte.into())?;
        }
    }
    if length == 8 {
        core.fpu.enter_mmx();
    }
    Ok(())
}

/// Elements of an operand.
fn elements(op: &Op, n: usize, size: u32) -> u32 {
    match op.inst.ops[n] {
        Operand::Mm(_) => 8 / size,
        _ => 16 / size,
    }
}

fn extract<const SIZE: u32>(core: &mut Core, op: &Op, cx: &mut Cx<'_>) -> Step {
    core.begin_vector(cx, op)?;
    let from = core.vector(cx, op, 1, true)?;
    let n = op.inst.imm as u32 & (elements(op, 1, SIZE) - 1);
    let value = from >> (8 * SIZE * n) & low(SIZE);
    core.set_vector(cx, op, 0, value, true)
}

fn insert<const SIZE: u32>(core: &mut Core, op: &Op, cx: &mut Cx<'_>) -> Step {
    core.begin_vector(cx, op)?;
    let from = core.vector(cx, op, 1, true)? & low(SIZE);
    let to = core.vector(cx, op, 0, true)?;
    let at = 8 * SIZE * (op.inst.imm as u32 & (elements(op, 0, SIZE) - 1));
    core.set_vector(cx, op, 0, to & !(low(SIZE) << at) | from << at, true)
}

/// INSERTPS.
fn insert_single(core: &mut Core, op: &Op, cx: &mut Cx<'_>) -> Step {
    core.has_sse()?;
    let from = core.vector(cx, op, 1, true)?;
    let imm = op.inst.imm as u32;
    let from = match op.inst.ops[1] {
        Operand::Xmm(_) => from >> (32 * (imm >> 6 & 3)) & low(4),
        _ => from,
    };
    let at = 32 * (imm >> 4 & 3);
    let mut value = core.vector(cx, op, 0, true)? & !(low(4) << at) | from << at;
    for n in 0..4 {
        if imm >> n & 1 != 0 {
            value &= !(low(4) << (32 * n));
        }
    }
    core.set_vector(cx, op, 0, value, true)
}

/// Whether an instruction's memory operand of 16 bytes may be anywhere.
pub fn anywhere(code: Code) -> bool {
    matches!(
        code,
        Code::Pcmpestrm_xmm_xmmm128_imm8
            | Code::Pcmpestrm64_xmm_xmmm128_imm8
            | Code::Pcmpestri_xmm_xmmm128_imm8
            | Code::Pcmpestri64_xmm_xmmm128_imm8
            | Code::Pcmpistrm_xmm_xmmm128_imm8
            | Code::Pcmpistri_xmm_xmmm128_imm8
    )
}
