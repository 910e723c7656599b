//! Privileged instructions, and those that ask the environment for something.

use solderless_engine::Exit;
use solderless_model::Cx;

use super::{Op, next};
use crate::core::Core;
use crate::csr::{Effect, MACHINE, SUPERVISOR, USER, status};
use crate::trap::{Trap, cause};

pub fn nothing(core: &mut Core, _: &Op, rest: &[Op], cx: &mut Cx<'_>) -> Exit {
    next(core, rest, cx)
}

pub fn illegal(core: &mut Core, op: &Op, _: &[Op], _: &mut Cx<'_>) -> Exit {
    core.illegal(op)
}

pub fn ecall(core: &mut Core, op: &Op, _: &[Op], _: &mut Cx<'_>) -> Exit {
    let code = cause::ECALL + core.privilege;
    core.raise(op, Trap::new(code, 0))
}

pub fn ebreak(core: &mut Core, op: &Op, _: &[Op], _: &mut Cx<'_>) -> Exit {
    let pc = core.pc_of(op);
    core.raise(op, Trap::new(cause::BREAKPOINT, pc))
}

pub fn mret(core: &mut Core, op: &Op, _: &[Op], _: &mut Cx<'_>) -> Exit {
    if core.privilege != MACHINE {
        return core.illegal(op);
    }
    core.leave(op, core.pc, Exit::Goto);
    core.machine_return();
    core.exit_for_interrupts(Exit::Goto)
}

pub fn sret(core: &mut Core, op: &Op, _: &[Op], _: &mut Cx<'_>) -> Exit {
    let trapped = core.csr.status & status::TSR != 0;
    if core.privilege == USER || core.privilege == SUPERVISOR && trapped {
        return core.illegal(op);
    }
    core.leave(op, core.pc, Exit::Goto);
    core.supervisor_return();
    core.exit_for_interrupts(Exit::Goto)
}

pub fn wfi(core: &mut Core, op: &Op, _: &[Op], _: &mut Cx<'_>) -> Exit {
    let trapped = core.csr.status & status::TW != 0;
    let allowed = match core.privilege {
        MACHINE => true,
        SUPERVISOR => !trapped,
        _ => !core.identity.s && !trapped,
    };
    if !allowed {
        return core.illegal(op);
    }
    core.waiting = true;
    core.after(op, Exit::Wait)
}

/// Whether SFENCE.VMA and the like are for this mode.
fn may_fence(core: &Core) -> bool {
    match core.privilege {
        MACHINE => true,
        SUPERVISOR => core.csr.status & status::TVM == 0,
        _ => false,
    }
}

/// SFENCE.VMA and SINVAL.VMA. What is forgotten of other address spaces than asked for is found again.
pub fn sfence_vma(core: &mut Core, op: &Op, _: &[Op], _: &mut Cx<'_>) -> Exit {
    if !may_fence(core) {
        return core.illegal(op);
    }
    let va = core.address(core.x[op.b]);
    core.fence((op.b != 0).then_some(va));
    core.after(op, Exit::Goto)
}

/// SFENCE.W.INVAL and SFENCE.INVAL.IR, which order what SINVAL.VMA has done at once.
pub fn sfence_inval(core: &mut Core, op: &Op, rest: &[Op], cx: &mut Cx<'_>) -> Exit {
    if core.privilege == USER {
        return core.illegal(op);
    }
    next(core, rest, cx)
}

/// CSRRW, CSRRS, CSRRC, and the same with a number.
pub fn csr(core: &mut Core, op: &Op, rest: &[Op], cx: &mut Cx<'_>) -> Exit {
    let (number, operation) = (op.raw >> 20, op.raw >> 12 & 7);
    let operand = match operation & 4 {
        0 => core.x[op.b],
        _ => op.b.into(),
    };
    let writes = operation & 3 == 1 || op.b != 0;
    // Time is of interest to few: counters, and what is compared with time.
    let timed = matches!(
        number,
        0xb00..=0xcff | 0x320 | 0x14d | 0x15d | 0x30a | 0x31a
    );
    if timed {
        core.advance_to(op, cx);
    }
    let executed = core.vcpu.executed(core.rest(op)) - 1;
    let executed = core.vcpu.instructions.wrapping_add_signed(executed);
    let read = core.read_csr(number, cx.now(), executed);
    let Some((value, changed)) = read.filter(|_| !writes || number >> 10 != 3) else {
        return core.illegal(op);
    };
    let mut effect = Effect::None;
    if writes {
        let new = match operation & 3 {
            1 => operand,
            2 => changed | operand,
            _ => changed & !operand,
        };
        effect = core.write_csr(number, new, executed, cx);
    }
    core.x[op.a] = value;
    let exit = match effect {
        Effect::None => Exit::Next,
        Effect::Interrupts => core.exit_for_interrupts(Exit::Next),
        Effect::Check => Exit::Event,
    };
    match exit {
        Exit::Next => next(core, rest, cx),
        exit => core.after(op, exit),
    }
}
