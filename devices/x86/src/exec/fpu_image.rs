//! Images in memory of the x87's, MMX's and SSE's registers.
//!
//! Intel SDM, volume 1, 8.1.10 and 10.5.

use iced_x86::{Code, Mnemonic};
use solderless_model::Cx;

use super::{Handler, Op, Step};
use crate::core::{Core, cr0, cr4};
use crate::fpu::{Float80, mxcsr, status};
use crate::inst::Inst;
use crate::trap::{Fault, vector};

pub fn handler(inst: &Inst) -> Option<Handler> {
    use Mnemonic::*;
    Some(match inst.mnemonic {
        Fnstenv => store_environment,
        Fldenv => load_environment,
        Fnsave => save,
        Frstor => restore,
        Fxsave | Fxsave64 => fxsave,
        Fxrstor | Fxrstor64 => fxrstor,
        Ldmxcsr => ldmxcsr,
        Stmxcsr => stmxcsr,
        Emms => emms,
        _ => return None,
    })
}

/// Bytes of an environment of 32 bits, which is the longer one.
const LONGEST: usize = 28;
/// Bytes of the registers behind it.
const REGISTERS: usize = 80;

/// Whether an image has words of 32 bits.
fn wide(op: &Op) -> bool {
    matches!(
        op.inst.code,
        Code::Fnstenv_m28byte
            | Code::Fldenv_m28byte
            | Code::Fnsave_m108byte
            | Code::Frstor_m108byte
    )
}

/// Bytes of an environment.
fn length(op: &Op) -> usize {
    if wide(op) { LONGEST } else { LONGEST / 2 }
}

impl Core {
    fn environment(&self, wide: bool) -> [u8; LONGEST] {
        let fpu = &self.fpu;
        let real = self.paragraphs();
        let linear =
            |segment: u16, offset: u64| (u64::from(segment) << 4).wrapping_add(offset) as u32;
        let (ip, dp) = match real {
            true => (linear(fpu.cs, fpu.ip), linear(fpu.ds, fpu.dp)),
            false => (fpu.ip as u32, fpu.dp as u32),
        };
        let opcode = u32::from(fpu.opcode);
        let words = match (wide, real) {
            (true, true) => [
                ip & 0xffff,
                ip >> 16 << 12 | opcode,
                dp & 0xffff,
                dp >> 16 << 12,
            ],
            (true, false) => [ip, opcode << 16 | u32::from(fpu.cs), dp, fpu.ds.into()],
            (false, true) => [ip, ip >> 16 << 12 | opcode, dp, dp >> 16 << 12],
            (false, false) => [ip, fpu.cs.into(), dp, fpu.ds.into()],
        };
        let unused = if wide { 0xffff_0000 } else { 0 };
        let first = [fpu.control, fpu.status, fpu.tags()].map(|word| u32::from(word) | unused);
        let mut words: Vec<u32> = first.into_iter().chain(words).collect();
        if wide && let Some(last) = words.last_mut() {
            *last |= if real { 0 } else { unused };
        }
        let mut image = [0; LONGEST];
        let size = if wide { 4 } else { 2 };
        for (to, word) in image.chunks_mut(size).zip(words) {
            to.copy_from_slice(&word.to_le_bytes()[..size]);
        }
        image
    }

    fn set_environment(&mut self, image: &[u8], wide: bool) {
        let size = if wide { 4 } else { 2 };
        let mut words = [0u32; 7];
        for (word, from) in words.iter_mut().zip(image.chunks(size)) {
            let mut bytes = [0; 4];
            bytes[..from.len()].copy_from_slice(from);
            *word = u32::from_le_bytes(bytes);
        }
        let real = self.paragraphs();
        let [control, status, tags, ip, cs, dp, ds] = words;
        let fpu = &mut self.fpu;
        fpu.status = status as u16;
        fpu.set_control(control as u16);
        fpu.set_tags(tags as u16);
        if real {
            let high = |word: u32| u64::from(word >> 12 << 16);
            fpu.ip = u64::from(ip & 0xffff) | high(cs);
            fpu.dp = u64::from(dp & 0xffff) | high(ds);
            (fpu.cs, fpu.ds) = (0, 0);
            fpu.opcode = cs as u16 & 0x7ff;
        } else {
            (fpu.ip, fpu.dp) = (ip.into(), dp.into());
            (fpu.cs, fpu.ds) = (cs as u16, ds as u16);
            fpu.opcode = if wide { (cs >> 16) as u16 & 0x7ff } else { 0 };
        }
    }
}

fn store_environment(core: &mut Core, op: &Op, cx: &mut Cx<'_>) -> Step {
    core.has_fpu()?;
    let length = length(op);
    let va = core.address(op, length as u8, true)?;
    let image = core.environment(wide(op));
    core.store_wide(cx, op, va, &image[..length])?;
    // All exceptions are masked from now on.
    core.fpu.set_control(core.fpu.control | status::EXCEPTIONS);
    core.fpu_settled(cx);
    Ok(())
}

fn load_environment(core: &mut Core, op: &Op, cx: &mut Cx<'_>) -> Step {
    core.has_fpu()?;
    core.fpu_ready(cx)?;
    let length = length(op);
    let va = core.address(op, length as u8, false)?;
    let mut image = [0; LONGEST];
    core.load_wide(cx, op, va, &mut image[..length])?;
    core.set_environment(&image[..length], wide(op));
    core.fpu_settled(cx);
    Ok(())
}

fn save(core: &mut Core, op: &Op, cx: &mut Cx<'_>) -> Step {
    core.has_fpu()?;
    let length = length(op);
    let all = length + REGISTERS;
    let va = core.address(op, all as u8, true)?;
    let mut image = [0; LONGEST + REGISTERS];
    image[..length].copy_from_slice(&core.environment(wide(op))[..length]);
    for n in 0..8u8 {
        let at = length + 10 * usize::from(n);
        image[at..at + 10].copy_from_slice(&core.fpu.st(n).to_le_bytes()[..10]);
    }
    core.store_wide(cx, op, va, &image[..all])?;
    core.fpu.init();
    core.fpu_settled(cx);
    Ok(())
}

fn restore(core: &mut Core, op: &Op, cx: &mut Cx<'_>) -> Step {
    core.has_fpu()?;
    core.fpu_ready(cx)?;
    let length = length(op);
    let all = length + REGISTERS;
    let va = core.address(op, all as u8, false)?;
    let mut image = [0; LONGEST + REGISTERS];
    core.load_wide(cx, op, va, &mut image[..all])?;
    core.set_environment(&image[..length], wide(op));
    let top = core.fpu.top();
    for n in 0..8u8 {
        let at = length + 10 * usize::from(n);
        let mut bytes = [0; 16];
        bytes[..10].copy_from_slice(&image[at..at + 10]);
        core.fpu.r[usize::from(top.wrapping_add(n) & 7)] = u128::from_le_bytes(bytes).into();
    }
    core.fpu_settled(cx);
    Ok(())
}

/// Bytes that FXSAVE writes: those behind them are software's.
const FXSAVE: usize = 416;

/// The address of an image of FXSAVE.
fn place(core: &Core, op: &Op, write: bool) -> Step<u64> {
    if core.is(cr0::EM | cr0::TS) {
        return Err(Fault::plain(vector::NM).into());
    }
    let at = core.address(op, 0, write)?;
    // The last byte of 512 has to be there as well.
    let last = core.offset(op).wrapping_add(511) & crate::inst::mask(op.inst.address_size);
    core.linear(op.inst.memory.segment, last, 1, write)?;
    match at & 15 {
        0 => Ok(at),
        _ => Err(Fault::gp(0).into()),
    }
}

impl Core {
    /// XMM registers that an image has.
    fn xmm_in_image(&self) -> usize {
        match (self.is4(cr4::OSFXSR), self.is64()) {
            (false, _) => 0,
            (_, false) => 8,
            (_, true) => 16,
        }
    }
}

fn fxsave(core: &mut Core, op: &Op, cx: &mut Cx<'_>) -> Step {
    let va = place(core, op, true)?;
    let fpu = &core.fpu;
    let mut image = [0; FXSAVE];
    let mut put = |at: usize, bytes: &[u8]| image[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, &fpu.control.to_le_bytes());
    put(2, &fpu.status.to_le_bytes());
    put(4, &[fpu.used]);
    put(6, &fpu.opcode.to_le_bytes());
    let wide = op.inst.mnemonic == Mnemonic::Fxsave64;
    for (at, pointer, segment) in [(8, fpu.ip, fpu.cs), (16, fpu.dp, fpu.ds)] {
        let narrow = pointer & 0xffff_ffff | u64::from(segment) << 32;
        put(at, &if wide { pointer } else { narrow }.to_le_bytes());
    }
    put(24, &fpu.mxcsr.to_le_bytes());
    put(28, &mxcsr::ALL.to_le_bytes());
    for n in 0..8u8 {
        put(32 + 16 * usize::from(n), &fpu.st(n).to_le_bytes());
    }
    for n in 0..core.xmm_in_image() {
        put(160 + 16 * n, &core.fpu.x(n as u8).to_le_bytes());
    }
    let length = 160 + 16 * core.xmm_in_image();
    core.store_wide(cx, op, va, &image[..length])
}

fn fxrstor(core: &mut Core, op: &Op, cx: &mut Cx<'_>) -> Step {
    let va = place(core, op, false)?;
    let mut image = [0; FXSAVE];
    core.load_wide(cx, op, va, &mut image)?;
    let word = |at: usize| u16::from_le_bytes([image[at], image[at + 1]]);
    let long = |at: usize| u32::from(word(at)) | u32::from(word(at + 2)) << 16;
    let number = |at: usize| u64::from(long(at)) | u64::from(long(at + 4)) << 32;
    let xmm = core.xmm_in_image();
    if xmm != 0 && long(24) & !mxcsr::ALL != 0 {
        return Err(Fault::gp(0).into());
    }
    let fpu = &mut core.fpu;
    fpu.status = word(2);
    fpu.set_control(word(0));
    fpu.used = image[4];
    fpu.opcode = word(6) & 0x7ff;
    if op.inst.mnemonic == Mnemonic::Fxrstor64 {
        (fpu.ip, fpu.dp) = (number(8), number(16));
    } else {
        (fpu.ip, fpu.cs) = (long(8).into(), word(12));
        (fpu.dp, fpu.ds) = (long(16).into(), word(20));
    }
    let top = fpu.top();
    for n in 0..8u8 {
        let at = 32 + 16 * usize::from(n);
        fpu.r[usize::from(top.wrapping_add(n) & 7)] = Float80 {
            significand: number(at),
            exponent: word(at + 8),
        };
    }
    if xmm != 0 {
        fpu.mxcsr = long(24);
    }
    for (n, to) in fpu.xmm.iter_mut().enumerate().take(xmm) {
        *to = [number(160 + 16 * n), number(168 + 16 * n)];
    }
    core.fpu_settled(cx);
    Ok(())
}

fn ldmxcsr(core: &mut Core, op: &Op, cx: &mut Cx<'_>) -> Step {
    core.has_sse()?;
    let va = core.address(op, 4, false)?;
    let value = core.load(cx, op, va, 4)? as u32;
    if value & !mxcsr::ALL != 0 {
        return Err(Fault::gp(0).into());
    }
    core.fpu.mxcsr = value;
    Ok(())
}

fn stmxcsr(core: &mut Core, op: &Op, cx: &mut Cx<'_>) -> Step {
    core.has_sse()?;
    let va = core.address(op, 4, true)?;
    core.store(cx, op, va, 4, core.fpu.mxcsr.into())
}

fn emms(core: &mut Core, _: &Op, cx: &mut Cx<'_>) -> Step {
    core.has_mmx(cx)?;
    core.fpu.used = 0;
    core.fpu.set_top(0);
    Ok(())
}
