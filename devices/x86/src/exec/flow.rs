//! Jumps, calls, returns, and software interrupts.

use iced_x86::{Code, Mnemonic};
use solderless_engine::Exit;
use solderless_model::Cx;

use super::{Handler, Leave, Op, Step};
use crate::core::{CS, Core, RCX, RSP, SS, efer, flag};
use crate::inst::{Inst, Operand, is_far, mask};
use crate::segment;
use crate::trap::{Fault, Source, vector};

pub fn handler(inst: &Inst) -> Option<Handler> {
    use Mnemonic::*;
    Some(match inst.mnemonic {
        Jo | Jno | Jb | Jae | Je | Jne | Jbe | Ja | Js | Jns | Jp | Jnp | Jl | Jge | Jle | Jg => {
            branch
        }
        Jmp if is_far(inst.code) => far_jump,
        Call if is_far(inst.code) => far_call,
        Jmp => jump,
        Call => call,
        Ret => ret,
        Retf => far_return,
        Loop => count::<ALWAYS>,
        Loope => count::<WHILE_ZERO>,
        Loopne => count::<WHILE_NOT_ZERO>,
        Jcxz | Jecxz | Jrcxz => jump_if_zero,
        Int => interrupt,
        Int3 => breakpoint,
        Int1 => debug,
        Into => overflow,
        Bound => bound,
        Iret => interrupt_return::<2>,
        Iretd => interrupt_return::<4>,
        Iretq => interrupt_return::<8>,
        Syscall => syscall,
        Sysret | Sysretq => sysret,
        Sysenter => sysenter,
        Sysexit | Sysexitq => sysexit,
        _ => return None,
    })
}

const ALWAYS: u8 = 0;
const WHILE_ZERO: u8 = 1;
const WHILE_NOT_ZERO: u8 = 2;

/// The instruction pointer behind an op.
fn next_ip(core: &Core, op: &Op) -> u64 {
    core.ip_of(core.past(op))
}

/// Goes to where a direct jump leads.
#[inline(always)]
fn jump_there(core: &mut Core, op: &Op) -> Step {
    let ip = next_ip(core, op).wrapping_add(op.inst.imm);
    core.go(op, ip, op.inst.size, true)
}

/// Goes on behind a branch.
#[inline(always)]
fn fall(core: &mut Core, op: &Op) -> Step {
    core.pc = core.past(op);
    Err(Leave::Exit(Exit::Fall))
}

/// Goes on at the CPU's address, which was set.
fn gone() -> Step {
    Err(Leave::Exit(Exit::Goto))
}

fn branch(core: &mut Core, op: &Op, _: &mut Cx<'_>) -> Step {
    match core.condition(op.inst.condition) {
        true => jump_there(core, op),
        false => fall(core, op),
    }
}

fn jump(core: &mut Core, op: &Op, cx: &mut Cx<'_>) -> Step {
    match op.inst.ops[0] {
        Operand::Imm => jump_there(core, op),
        _ => {
            let to = core.get(cx, op, 0)?;
            core.go(op, to, op.inst.size, false)
        }
    }
}

fn call(core: &mut Core, op: &Op, cx: &mut Cx<'_>) -> Step {
    let back = next_ip(core, op);
    let size = op.inst.size;
    let (to, direct) = match op.inst.ops[0] {
        Operand::Imm => (back.wrapping_add(op.inst.imm), true),
        _ => (core.get(cx, op, 0)?, false),
    };
    let old = core.x[usize::from(RSP)];
    core.push(cx, op, size, back)?;
    let gone = core.go(op, to, size, direct);
    if let Err(Leave::Fault(_)) = gone {
        core.x[usize::from(RSP)] = old;
    }
    gone
}

fn ret(core: &mut Core, op: &Op, cx: &mut Cx<'_>) -> Step {
    let size = match op.inst.code {
        Code::Retnw | Code::Retnw_imm16 => 2,
        Code::Retnd | Code::Retnd_imm16 => 4,
        _ => 8,
    };
    let to = core.top(cx, op, size)?;
    let gone = core.go(op, to, size, false);
    if let Err(Leave::Exit(_)) = gone {
        core.drop(u64::from(size) + (op.inst.imm & 0xffff));
    }
    gone
}

/// Where a far jump or call leads: a selector and an offset, and the operand's size.
fn far_target(core: &mut Core, op: &Op, cx: &mut Cx<'_>) -> Step<(u16, u64, u8)> {
    let size = match op.inst.code {
        Code::Jmp_ptr1616 | Code::Call_ptr1616 | Code::Jmp_m1616 | Code::Call_m1616 => 2,
        Code::Jmp_m1664 | Code::Call_m1664 => 8,
        _ => 4,
    };
    if op.inst.ops[0] == Operand::Imm {
        return Ok((op.inst.imm2, op.inst.imm, size));
    }
    let va = core.address(op, size + 2, false)?;
    let offset = core.load(cx, op, va, size)?;
    let selector = core.load(cx, op, core.beside(va, size.into()), 2)?;
    Ok((selector as u16, offset, size))
}

fn far_jump(core: &mut Core, op: &Op, cx: &mut Cx<'_>) -> Step {
    let (selector, offset, _) = far_target(core, op, cx)?;
    let pc = core.pc;
    core.pc = core.past(op);
    if let Err(fault) = core.far_jump(cx, selector, offset) {
        core.pc = pc;
        return Err(fault.into());
    }
    gone()
}

fn far_call(core: &mut Core, op: &Op, cx: &mut Cx<'_>) -> Step {
    let (selector, offset, size) = far_target(core, op, cx)?;
    let back = next_ip(core, op);
    core.far_call(cx, selector, offset, size, back)?;
    gone()
}

fn far_return(core: &mut Core, op: &Op, cx: &mut Cx<'_>) -> Step {
    let size = match op.inst.code {
        Code::Retfw | Code::Retfw_imm16 => 2,
        Code::Retfd | Code::Retfd_imm16 => 4,
        _ => 8,
    };
    core.far_return(cx, size, op.inst.imm & 0xffff)?;
    gone()
}

fn count<const WHAT: u8>(core: &mut Core, op: &Op, _: &mut Cx<'_>) -> Step {
    let size = counter(op.inst.code);
    let left = core.reg(RCX, size).wrapping_sub(1) & mask(size);
    let zero = core.look_at_flags() & flag::ZF != 0;
    let again = left != 0
        && match WHAT {
            WHILE_ZERO => zero,
            WHILE_NOT_ZERO => !zero,
            _ => true,
        };
    let old = core.x[usize::from(RCX)];
    core.set_reg(RCX, size, left);
    match again {
        false => fall(core, op),
        true => {
            let gone = jump_there(core, op);
            if let Err(Leave::Fault(_)) = gone {
                core.x[usize::from(RCX)] = old;
            }
            gone
        }
    }
}

/// Bytes of the counter of LOOP and JCXZ.
fn counter(code: Code) -> u8 {
    match code {
        Code::Jcxz_rel8_16
        | Code::Jcxz_rel8_32
        | Code::Loop_rel8_16_CX
        | Code::Loop_rel8_32_CX
        | Code::Loope_rel8_16_CX
        | Code::Loope_rel8_32_CX
        | Code::Loopne_rel8_16_CX
        | Code::Loopne_rel8_32_CX => 2,
        Code::Jrcxz_rel8_16
        | Code::Jrcxz_rel8_64
        | Code::Loop_rel8_16_RCX
        | Code::Loop_rel8_64_RCX
        | Code::Loope_rel8_16_RCX
        | Code::Loope_rel8_64_RCX
        | Code::Loopne_rel8_16_RCX
        | Code::Loopne_rel8_64_RCX => 8,
        _ => 4,
    }
}

fn jump_if_zero(core: &mut Core, op: &Op, _: &mut Cx<'_>) -> Step {
    match core.reg(RCX, counter(op.inst.code)) {
        0 => jump_there(core, op),
        _ => fall(core, op),
    }
}

/// Goes to the handler of a vector, with the address behind the instruction to return to.
fn software(core: &mut Core, op: &Op, cx: &mut Cx<'_>, vector: u8) -> Step {
    let pc = core.pc;
    core.pc = core.past(op);
    if let Err(fault) = core.deliver(cx, vector, None, Source::Software) {
        core.pc = pc;
        return Err(fault.into());
    }
    gone()
}

fn interrupt(core: &mut Core, op: &Op, cx: &mut Cx<'_>) -> Step {
    if core.virtual8086() && core.iopl() < 3 {
        return Err(Fault::gp(0).into());
    }
    software(core, op, cx, op.inst.imm as u8)
}

fn breakpoint(core: &mut Core, op: &Op, cx: &mut Cx<'_>) -> Step {
    software(core, op, cx, vector::BP)
}

fn debug(core: &mut Core, op: &Op, cx: &mut Cx<'_>) -> Step {
    software(core, op, cx, vector::DB)
}

fn overflow(core: &mut Core, op: &Op, cx: &mut Cx<'_>) -> Step {
    match core.look_at_flags() & flag::OF {
        0 => {
            core.pc = core.past(op);
            gone()
        }
        _ => software(core, op, cx, vector::OF),
    }
}

fn bound(core: &mut Core, op: &Op, cx: &mut Cx<'_>) -> Step {
    let Operand::Reg(n, size) = op.inst.ops[0] else {
        return Err(Fault::ud().into());
    };
    let va = core.address(op, 2 * size, false)?;
    let number = |value: u64| crate::inst::sign_extend(value, size) as i64;
    let low = number(core.load(cx, op, va, size)?);
    let high = number(core.load(cx, op, core.beside(va, size.into()), size)?);
    let index = number(core.reg(n, size));
    match (low..=high).contains(&index) {
        true => {
            core.pc = core.past(op);
            gone()
        }
        false => Err(Fault::plain(vector::BR).into()),
    }
}

fn interrupt_return<const SIZE: u8>(core: &mut Core, op: &Op, cx: &mut Cx<'_>) -> Step {
    let pc = core.pc;
    core.pc = core.past(op);
    if let Err(fault) = core.interrupt_return(cx, SIZE) {
        core.pc = pc;
        return Err(fault.into());
    }
    Err(Leave::Exit(Exit::Event))
}

/// SYSCALL, as AMD has it.
fn syscall(core: &mut Core, op: &Op, _: &mut Cx<'_>) -> Step {
    if core.msrs.efer & efer::SCE == 0 || !core.protected() {
        return Err(Fault::ud().into());
    }
    let back = next_ip(core, op);
    let selector = (core.msrs.star >> 32) as u16 & !3;
    core.settle();
    let to;
    if core.long() {
        core.set_reg(RCX, 8, back);
        core.set_reg(11, 8, core.flags & !flag::RF);
        to = match core.is64() {
            true => core.msrs.lstar,
            false => core.msrs.cstar,
        };
        core.flags &= !(core.msrs.fmask | flag::RF);
    } else {
        core.set_reg(RCX, 4, back);
        to = core.msrs.star & 0xffff_ffff;
        core.flags &= !(flag::IF | flag::RF | flag::VM);
    }
    core.flags |= flag::ONE;
    let long = core.long();
    core.set_flat(CS, selector, 0, long);
    core.set_flat(SS, selector.wrapping_add(8), 0, false);
    core.cpl = 0;
    core.mode_changed();
    core.set_rip(to);
    Err(Leave::Exit(Exit::Event))
}

fn sysret(core: &mut Core, op: &Op, _: &mut Cx<'_>) -> Step {
    if core.msrs.efer & efer::SCE == 0 || !core.protected() {
        return Err(Fault::ud().into());
    }
    if core.cpl != 0 {
        return Err(Fault::gp(0).into());
    }
    let wide = op.inst.mnemonic == Mnemonic::Sysretq;
    let to = match wide {
        true => core.reg(RCX, 8),
        false => core.reg(RCX, 4),
    };
    if wide && !crate::mmu::canonical(to) {
        return Err(Fault::gp(0).into());
    }
    let selector = (core.msrs.star >> 48) as u16;
    if core.long() {
        let flags = core.reg(11, 8);
        let there = 0x3c_7fd7;
        core.settle();
        core.flags = flags & there | flag::ONE;
        core.keep_flags();
    } else {
        core.flags |= flag::IF;
    }
    let cs = if wide {
        selector.wrapping_add(16)
    } else {
        selector
    };
    core.set_flat(CS, cs | 3, 3, wide);
    core.set_flat(SS, selector.wrapping_add(8) | 3, 3, false);
    core.cpl = 3;
    core.mode_changed();
    core.set_rip(to);
    Err(Leave::Exit(Exit::Event))
}

fn sysenter(core: &mut Core, _: &Op, _: &mut Cx<'_>) -> Step {
    let selector = core.msrs.sysenter_cs as u16;
    if !core.protected() || segment::null(selector) {
        return Err(Fault::gp(0).into());
    }
    core.settle();
    core.flags &= !(flag::VM | flag::IF | flag::RF);
    let long = core.long();
    core.set_flat(CS, selector & !3, 0, long);
    core.set_flat(SS, (selector & !3).wrapping_add(8), 0, false);
    core.cpl = 0;
    core.mode_changed();
    let size = if long { 8 } else { 4 };
    core.set_reg(RSP, size, core.msrs.sysenter_esp);
    core.set_rip(core.msrs.sysenter_eip & mask(size));
    Err(Leave::Exit(Exit::Event))
}

fn sysexit(core: &mut Core, op: &Op, _: &mut Cx<'_>) -> Step {
    let selector = core.msrs.sysenter_cs as u16 & !3;
    if !core.protected() || core.cpl != 0 || segment::null(selector) {
        return Err(Fault::gp(0).into());
    }
    let wide = op.inst.mnemonic == Mnemonic::Sysexitq;
    let size = if wide { 8 } else { 4 };
    let (to, sp) = (core.reg(crate::core::RDX, size), core.reg(RCX, size));
    if wide && !(crate::mmu::canonical(to) && crate::mmu::canonical(sp)) {
        return Err(Fault::gp(0).into());
    }
    let by = if wide { 32 } else { 16 };
    core.set_flat(CS, selector.wrapping_add(by) | 3, 3, wide);
    core.set_flat(SS, selector.wrapping_add(by + 8) | 3, 3, false);
    core.cpl = 3;
    core.mode_changed();
    core.set_reg(RSP, size, sp);
    core.set_rip(to);
    Err(Leave::Exit(Exit::Event))
}
