//! String instructions, alone and repeated.

use iced_x86::Code;
use solderless_engine::Exit;
use solderless_model::Cx;

use super::{Handler, Leave, Op, Step};
use crate::core::{Core, ES, RAX, RCX, RDI, RDX, RSI, flag};

pub fn handler(code: Code) -> Option<Handler> {
    Some(match code {
        Code::Movsb_m8_m8 => string::<MOVS, 1>,
        Code::Movsw_m16_m16 => string::<MOVS, 2>,
        Code::Movsd_m32_m32 => string::<MOVS, 4>,
        Code::Movsq_m64_m64 => string::<MOVS, 8>,
        Code::Cmpsb_m8_m8 => string::<CMPS, 1>,
        Code::Cmpsw_m16_m16 => string::<CMPS, 2>,
        Code::Cmpsd_m32_m32 => string::<CMPS, 4>,
        Code::Cmpsq_m64_m64 => string::<CMPS, 8>,
        Code::Stosb_m8_AL => string::<STOS, 1>,
        Code::Stosw_m16_AX => string::<STOS, 2>,
        Code::Stosd_m32_EAX => string::<STOS, 4>,
        Code::Stosq_m64_RAX => string::<STOS, 8>,
        Code::Lodsb_AL_m8 => string::<LODS, 1>,
        Code::Lodsw_AX_m16 => string::<LODS, 2>,
        Code::Lodsd_EAX_m32 => string::<LODS, 4>,
        Code::Lodsq_RAX_m64 => string::<LODS, 8>,
        Code::Scasb_AL_m8 => string::<SCAS, 1>,
        Code::Scasw_AX_m16 => string::<SCAS, 2>,
        Code::Scasd_EAX_m32 => string::<SCAS, 4>,
        Code::Scasq_RAX_m64 => string::<SCAS, 8>,
        Code::Insb_m8_DX => string::<INS, 1>,
        Code::Insw_m16_DX => string::<INS, 2>,
        Code::Insd_m32_DX => string::<INS, 4>,
        Code::Outsb_DX_m8 => string::<OUTS, 1>,
        Code::Outsw_DX_m16 => string::<OUTS, 2>,
        Code::Outsd_DX_m32 => string::<OUTS, 4>,
        _ => return None,
    })
}

const MOVS: u8 = 0;
const CMPS: u8 = 1;
const STOS: u8 = 2;
const LODS: u8 = 3;
const SCAS: u8 = 4;
const INS: u8 = 5;
const OUTS: u8 = 6;

/// Elements that one execution of a repeated instruction works on at most: then interrupts are looked at.
const PIECE: u32 = 256;

fn string<const WHAT: u8, const SIZE: u8>(core: &mut Core, op: &Op, cx: &mut Cx<'_>) -> Step {
    if matches!(WHAT, INS | OUTS) {
        core.may_use_port(cx, core.reg(RDX, 2) as u16, SIZE)?;
    }
    if !op.inst.rep && !op.inst.repne {
        return element::<WHAT, SIZE>(core, op, cx);
    }
    let count = op.inst.address_size;
    for _ in 0..PIECE {
        let left = core.reg(RCX, count);
        if left == 0 {
            return Ok(());
        }
        element::<WHAT, SIZE>(core, op, cx)?;
        core.set_reg(RCX, count, left - 1);
        if matches!(WHAT, CMPS | SCAS) {
            let equal = core.look_at_flags() & flag::ZF != 0;
            if equal == op.inst.repne {
                return Ok(());
            }
        }
        if core.attention != 0 {
            break;
        }
    }
    if core.reg(RCX, count) == 0 {
        return Ok(());
    }
    // The rest comes when the instruction is executed again.
    core.pc = core.pc_of(op);
    Err(Leave::Exit(Exit::Goto))
}

#[inline(always)]
fn element<const WHAT: u8, const SIZE: u8>(core: &mut Core, op: &Op, cx: &mut Cx<'_>) -> Step {
    let width = op.inst.address_size;
    let source = |core: &Core| {
        let offset = core.reg(RSI, width);
        core.linear(op.inst.memory.segment, offset, SIZE, false)
    };
    let target = |core: &Core, write: bool| core.linear(ES, core.reg(RDI, width), SIZE, write);
    let port = core.reg(RDX, 2) as u16;
    match WHAT {
        MOVS => {
            let from = source(core)?;
            let value = core.load(cx, op, from, SIZE)?;
            let to = target(core, true)?;
            core.store(cx, op, to, SIZE, value)?;
        }
        CMPS => {
            let from = source(core)?;
            let a = core.load(cx, op, from, SIZE)?;
            let to = target(core, false)?;
            let b = core.load(cx, op, to, SIZE)?;
            core.compare(a, b, SIZE);
        }
        STOS => {
            let to = target(core, true)?;
            core.store(cx, op, to, SIZE, core.reg(RAX, SIZE))?;
        }
        LODS => {
            let from = source(core)?;
            let value = core.load(cx, op, from, SIZE)?;
            core.set_reg(RAX, SIZE, value);
        }
        SCAS => {
            let to = target(core, false)?;
            let b = core.load(cx, op, to, SIZE)?;
            core.compare(core.reg(RAX, SIZE), b, SIZE);
        }
        INS => {
            let to = target(core, true)?;
            // Nothing is read that cannot be stored.
            core.probe_write(cx, to, SIZE)?;
            let value = core.port_in(cx, op, port, SIZE);
            core.store(cx, op, to, SIZE, value)?;
        }
        _ => {
            let from = source(core)?;
            let value = core.load(cx, op, from, SIZE)?;
            core.port_out(cx, op, port, SIZE, value);
        }
    }
    let by = match core.flags & flag::DF {
        0 => u64::from(SIZE),
        _ => u64::from(SIZE).wrapping_neg(),
    };
    if matches!(WHAT, MOVS | CMPS | LODS | OUTS) {
        core.set_reg(RSI, width, core.reg(RSI, width).wrapping_add(by));
    }
    if matches!(WHAT, MOVS | CMPS | STOS | SCAS | INS) {
        core.set_reg(RDI, width, core.reg(RDI, width).wrapping_add(by));
    }
    Ok(())
}
