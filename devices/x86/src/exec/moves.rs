//! Moves: between registers, memory, segments and the stack.

use iced_x86::Mnemonic;
use solderless_engine::Exit;
use solderless_model::Cx;

use super::{Handler, Leave, Op, Step};
use crate::core::{CS, Core, DS, ES, FS, GS, RAX, RBP, RBX, RCX, RDX, RSP, SS, flag};
use crate::inst::{Inst, Operand, mask, sign_extend};
use crate::trap::Fault;

pub fn handler(inst: &Inst) -> Option<Handler> {
    use Mnemonic::*;
    Some(match inst.mnemonic {
        Mov => match (inst.ops[0], inst.ops[1]) {
            (Operand::Seg(_), _) => to_segment,
            (Operand::Control(_), _) => super::system::to_control,
            (_, Operand::Control(_)) => super::system::from_control,
            (Operand::Debug(_), _) => super::system::to_debug,
            (_, Operand::Debug(_)) => super::system::from_debug,
            (_, Operand::Seg(_)) => from_segment,
            _ => mov,
        },
        Movzx => mov,
        Movsx | Movsxd => movsx,
        Lea => lea,
        Xchg => xchg,
        Bswap => bswap,
        Cmpxchg8b => cmpxchg_double::<4>,
        Cmpxchg16b => cmpxchg_double::<8>,
        Push => push,
        Pop => pop,
        Pusha => push_all::<2>,
        Pushad => push_all::<4>,
        Popa => pop_all::<2>,
        Popad => pop_all::<4>,
        Pushf => push_flags::<2>,
        Pushfd => push_flags::<4>,
        Pushfq => push_flags::<8>,
        Popf => pop_flags::<2>,
        Popfd => pop_flags::<4>,
        Popfq => pop_flags::<8>,
        Enter => enter,
        Leave => leave,
        Cbw => widen::<1>,
        Cwde => widen::<2>,
        Cdqe => widen::<4>,
        Cwd => spread::<2>,
        Cdq => spread::<4>,
        Cqo => spread::<8>,
        Lahf => lahf,
        Sahf => sahf,
        Salc => salc,
        Xlatb => xlat,
        Les => far_pointer::<ES>,
        Lds => far_pointer::<DS>,
        Lss => far_pointer::<SS>,
        Lfs => far_pointer::<FS>,
        Lgs => far_pointer::<GS>,
        Cmovo | Cmovno | Cmovb | Cmovae | Cmove | Cmovne | Cmovbe | Cmova | Cmovs | Cmovns
        | Cmovp | Cmovnp | Cmovl | Cmovge | Cmovle | Cmovg => cmov,
        Seto | Setno | Setb | Setae | Sete | Setne | Setbe | Seta | Sets | Setns | Setp | Setnp
        | Setl | Setge | Setle | Setg => setcc,
        _ => return None,
    })
}

fn mov(core: &mut Core, op: &Op, cx: &mut Cx<'_>) -> Step {
    let value = core.get(cx, op, 1)?;
    core.put(cx, op, 0, value)
}

fn to_segment(core: &mut Core, op: &Op, cx: &mut Cx<'_>) -> Step {
    let Operand::Seg(n) = op.inst.ops[0] else {
        return Err(Fault::ud().into());
    };
    if n == CS {
        return Err(Fault::ud().into());
    }
    let selector = match op.inst.ops[1] {
        // Two bytes, whatever the operand's size.
        Operand::Mem(_) => {
            let va = core.address(op, 2, false)?;
            core.load(cx, op, va, 2)?
        }
        _ => core.get(cx, op, 1)?,
    };
    Ok(core.load_segment(cx, n, selector as u16)?)
}

fn from_segment(core: &mut Core, op: &Op, cx: &mut Cx<'_>) -> Step {
    let selector = core.get(cx, op, 1)?;
    match op.inst.ops[0] {
        Operand::Mem(_) => {
            let va = core.address(op, 2, true)?;
            core.store(cx, op, va, 2, selector)
        }
        _ => core.put(cx, op, 0, selector),
    }
}

fn movsx(core: &mut Core, op: &Op, cx: &mut Cx<'_>) -> Step {
    let value = core.get(cx, op, 1)?;
    let size = match op.inst.ops[1] {
        Operand::Reg(_, size) | Operand::Mem(size) => size,
        _ => 1,
    };
    core.put(cx, op, 0, sign_extend(value, size))
}

fn lea(core: &mut Core, op: &Op, cx: &mut Cx<'_>) -> Step {
    // What is relative to RIP is in 64-bit code only, where the linear address is the offset.
    let offset = core.offset(op);
    core.put(cx, op, 0, offset)
}

fn xchg(core: &mut Core, op: &Op, cx: &mut Cx<'_>) -> Step {
    let a = core.get_to_change(cx, op, 0)?;
    let b = core.get_to_change(cx, op, 1)?;
    // Memory first, which may raise an exception.
    let memory = usize::from(matches!(op.inst.ops[1], Operand::Mem(_)));
    let values = [b, a];
    core.put(cx, op, memory, values[memory])?;
    core.put(cx, op, 1 - memory, values[1 - memory])
}

fn bswap(core: &mut Core, op: &Op, cx: &mut Cx<'_>) -> Step {
    let value = core.get(cx, op, 0)?;
    let swapped = match op.inst.size {
        8 => value.swap_bytes(),
        4 => u64::from((value as u32).swap_bytes()),
        // Undefined; CPUs give zero.
        _ => 0,
    };
    core.put(cx, op, 0, swapped)
}

/// CMPXCHG8B and CMPXCHG16B, of halves of so many bytes.
fn cmpxchg_double<const HALF: u8>(core: &mut Core, op: &Op, cx: &mut Cx<'_>) -> Step {
    let va = core.address(op, 2 * HALF, true)?;
    if HALF == 8 && va & 15 != 0 {
        return Err(Fault::gp(0).into());
    }
    core.probe_write(cx, va, 2 * HALF)?;
    let above = core.beside(va, HALF.into());
    let low = core.load_to_change(cx, op, va, HALF)?;
    let high = core.load_to_change(cx, op, above, HALF)?;
    let equal = (core.reg(RAX, HALF), core.reg(RDX, HALF)) == (low, high);
    let (new_low, new_high) = match equal {
        true => (core.reg(RBX, HALF), core.reg(RCX, HALF)),
        false => (low, high),
    };
    core.store(cx, op, va, HALF, new_low)?;
    core.store(cx, op, above, HALF, new_high)?;
    if !equal {
        core.set_reg(RAX, HALF, low);
        core.set_reg(RDX, HALF, high);
    }
    core.set_flags(flag::ZF, if equal { flag::ZF } else { 0 });
    Ok(())
}

/// Bytes that PUSH and POP move.
fn stacked(core: &Core, op: &Op) -> u8 {
    let wide = if core.is64() { 8 } else { 4 };
    match op.inst.ops[0] {
        Operand::Reg(_, size) | Operand::Mem(size) => size,
        _ => match op.inst.code {
            iced_x86::Code::Pushw_ES
            | iced_x86::Code::Pushw_CS
            | iced_x86::Code::Pushw_SS
            | iced_x86::Code::Pushw_DS
            | iced_x86::Code::Pushw_FS
            | iced_x86::Code::Pushw_GS
            | iced_x86::Code::Popw_ES
            | iced_x86::Code::Popw_CS
            | iced_x86::Code::Popw_SS
            | iced_x86::Code::Popw_DS
            | iced_x86::Code::Popw_FS
            | iced_x86::Code::Popw_GS
            | iced_x86::Code::Push_imm16
            | iced_x86::Code::Pushw_imm8 => 2,
            _ => wide,
        },
    }
}

fn push(core: &mut Core, op: &Op, cx: &mut Cx<'_>) -> Step {
    let size = stacked(core, op);
    let value = core.get(cx, op, 0)?;
    core.push(cx, op, size, value)
}

fn pop(core: &mut Core, op: &Op, cx: &mut Cx<'_>) -> Step {
    let size = stacked(core, op);
    let value = core.top(cx, op, size)?;
    match op.inst.ops[0] {
        Operand::Seg(n) => {
            core.load_segment(cx, n, value as u16)?;
            core.drop(size.into());
            Ok(())
        }
        Operand::Mem(_) => {
            // The address is computed with the stack pointer as it is afterwards.
            let old = core.x[usize::from(RSP)];
            core.drop(size.into());
            let put = core.put(cx, op, 0, value);
            if put.is_err() {
                core.x[usize::from(RSP)] = old;
            }
            put
        }
        _ => {
            core.drop(size.into());
            core.put(cx, op, 0, value)
        }
    }
}

fn push_all<const SIZE: u8>(core: &mut Core, _: &Op, cx: &mut Cx<'_>) -> Step {
    let mut stack = core.stack();
    for n in 0..8 {
        let value = core.reg(n, SIZE);
        core.push_on(cx, &mut stack, SIZE, value)?;
    }
    core.x[usize::from(RSP)] = stack.sp;
    Ok(())
}

fn pop_all<const SIZE: u8>(core: &mut Core, _: &Op, cx: &mut Cx<'_>) -> Step {
    let mut stack = core.stack();
    let mut values = [0; 8];
    for value in values.iter_mut().rev() {
        *value = core.pop_from(cx, &mut stack, SIZE)?;
    }
    for (n, value) in (0..8).zip(values).filter(|(n, _)| *n != RSP) {
        core.set_reg(n, SIZE, value);
    }
    core.x[usize::from(RSP)] = stack.sp;
    Ok(())
}

fn push_flags<const SIZE: u8>(core: &mut Core, op: &Op, cx: &mut Cx<'_>) -> Step {
    if core.virtual8086() && core.iopl() < 3 {
        return Err(Fault::gp(0).into());
    }
    let flags = core.rflags() & !(flag::VM | flag::RF);
    core.push(cx, op, SIZE, flags)
}

fn pop_flags<const SIZE: u8>(core: &mut Core, op: &Op, cx: &mut Cx<'_>) -> Step {
    let v86 = core.virtual8086();
    if v86 && core.iopl() < 3 {
        return Err(Fault::gp(0).into());
    }
    let value = core.top(cx, op, SIZE)?;
    core.drop(SIZE.into());
    let mut also = 0;
    if core.cpl == 0 || !core.protected() {
        also |= flag::IOPL;
    }
    if core.cpl <= core.iopl() || !core.protected() {
        also |= flag::IF;
    }
    let value = value & !flag::RF;
    core.put_flags(value, SIZE, also | if SIZE == 2 { 0 } else { flag::RF });
    core.pc = core.past(op);
    Err(Leave::Exit(Exit::Event))
}

fn enter(core: &mut Core, op: &Op, cx: &mut Cx<'_>) -> Step {
    use iced_x86::Code;
    let size: u8 = match op.inst.code {
        Code::Enterw_imm16_imm8 => 2,
        Code::Enterd_imm16_imm8 => 4,
        _ => 8,
    };
    let bytes = op.inst.imm & 0xffff;
    let level = op.inst.imm2 % 32;
    let mut stack = core.stack();
    let bp = core.reg(RBP, size);
    core.push_on(cx, &mut stack, size, bp)?;
    let frame = stack.sp;
    if level > 0 {
        let mut from = core.stack();
        from.sp = core.x[usize::from(RBP)];
        for _ in 1..level {
            from.sp = from.sp.wrapping_sub(size.into());
            let mut one = from;
            let value = core.pop_from(cx, &mut one, size)?;
            core.push_on(cx, &mut stack, size, value)?;
        }
        core.push_on(cx, &mut stack, size, frame)?;
    }
    let to = stack.sp.wrapping_sub(bytes) & mask(stack.size);
    // What is below can be written.
    let va = core.linear(SS, to, size, true)?;
    core.probe_write(cx, va, size)?;
    core.set_reg(RBP, size, frame);
    core.set_reg(RSP, stack.size, to);
    Ok(())
}

fn leave(core: &mut Core, op: &Op, cx: &mut Cx<'_>) -> Step {
    use iced_x86::Code;
    let size = match op.inst.code {
        Code::Leavew => 2,
        Code::Leaved => 4,
        _ => 8,
    };
    let from = core.reg(RBP, core.stack_size);
    let va = core.linear(SS, from, size, false)?;
    let value = core.load(cx, op, va, size)?;
    let to = from.wrapping_add(size.into());
    core.set_reg(RSP, core.stack_size, to);
    core.set_reg(RBP, size, value);
    Ok(())
}

/// CBW, CWDE, CDQE: from so many bytes.
fn widen<const FROM: u8>(core: &mut Core, _: &Op, _: &mut Cx<'_>) -> Step {
    let value = sign_extend(core.reg(RAX, FROM), FROM);
    core.set_reg(RAX, 2 * FROM, value);
    Ok(())
}

/// CWD, CDQ, CQO.
fn spread<const SIZE: u8>(core: &mut Core, _: &Op, _: &mut Cx<'_>) -> Step {
    let value = sign_extend(core.reg(RAX, SIZE), SIZE) as i64 >> 63;
    core.set_reg(RDX, SIZE, value as u64);
    Ok(())
}

fn lahf(core: &mut Core, _: &Op, _: &mut Cx<'_>) -> Step {
    if core.is64() && !core.has(crate::model::feature::LAHF_LM) {
        return Err(Fault::ud().into());
    }
    let flags = core.rflags() & 0xff | flag::ONE;
    let ax = core.reg(RAX, 1) | flags << 8;
    core.set_reg(RAX, 2, ax);
    Ok(())
}

fn sahf(core: &mut Core, _: &Op, _: &mut Cx<'_>) -> Step {
    if core.is64() && !core.has(crate::model::feature::LAHF_LM) {
        return Err(Fault::ud().into());
    }
    let ah = core.reg(RAX, 2) >> 8;
    core.set_flags(flag::ARITHMETIC & !flag::OF, ah);
    Ok(())
}

fn salc(core: &mut Core, _: &Op, _: &mut Cx<'_>) -> Step {
    let value = if core.carry() { 0xff } else { 0 };
    core.set_reg(RAX, 1, value);
    Ok(())
}

fn xlat(core: &mut Core, op: &Op, cx: &mut Cx<'_>) -> Step {
    let size = op.inst.address_size;
    let offset = core.reg(RBX, size).wrapping_add(core.reg(RAX, 1)) & mask(size);
    let va = core.linear(op.inst.memory.segment, offset, 1, false)?;
    let value = core.load(cx, op, va, 1)?;
    core.set_reg(RAX, 1, value);
    Ok(())
}

/// LDS and the like.
fn far_pointer<const SEGMENT: u8>(core: &mut Core, op: &Op, cx: &mut Cx<'_>) -> Step {
    let Operand::Reg(n, size) = op.inst.ops[0] else {
        return Err(Fault::ud().into());
    };
    let va = core.address(op, size + 2, false)?;
    let offset = core.load(cx, op, va, size)?;
    let selector = core.load(cx, op, core.beside(va, size.into()), 2)?;
    core.load_segment(cx, SEGMENT, selector as u16)?;
    core.set_reg(n, size, offset);
    Ok(())
}

fn cmov(core: &mut Core, op: &Op, cx: &mut Cx<'_>) -> Step {
    // The source is read, and the destination of 32 bits widened, in any case.
    let value = core.get(cx, op, 1)?;
    let old = core.get(cx, op, 0)?;
    let value = match core.condition(op.inst.condition) {
        true => value,
        false => old,
    };
    core.put(cx, op, 0, value)
}

fn setcc(core: &mut Core, op: &Op, cx: &mut Cx<'_>) -> Step {
    let value = core.condition(op.inst.condition);
    core.put(cx, op, 0, value.into())
}
