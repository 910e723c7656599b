//! Jumps and branches, and addresses of code.

use solderless_engine::Exit;
use solderless_model::Cx;

use super::{Handler, Op, next};
use crate::core::Core;
use crate::inst::Cond;
use crate::trap::{Trap, cause};

/// The end of a block that does not jump.
pub fn fall(core: &mut Core, op: &Op, _: &[Op], _: &mut Cx<'_>) -> Exit {
    core.pc = core.address(core.pc.wrapping_add(op.past()));
    Exit::Fall
}

pub fn auipc(core: &mut Core, op: &Op, rest: &[Op], cx: &mut Cx<'_>) -> Exit {
    let value = core
        .pc
        .wrapping_add(op.at.into())
        .wrapping_add_signed(op.imm.into());
    core.x[op.a] = core.extend(value);
    next(core, rest, cx)
}

/// Goes to an address, if instructions can be there: without C they are at multiples of four.
#[inline(always)]
fn go(core: &mut Core, op: &Op, to: u64, link: bool, exit: Exit) -> Exit {
    let to = core.address(to);
    if to & core.unaligned_code != 0 {
        return core.raise(op, Trap::new(cause::FETCH_MISALIGNED, to));
    }
    if link {
        let past = core.pc.wrapping_add(op.past());
        core.x[op.a] = core.extend(past);
    }
    core.pc = to;
    exit
}

pub fn jal(core: &mut Core, op: &Op, _: &[Op], _: &mut Cx<'_>) -> Exit {
    let to = core.pc.wrapping_add(op.at.into());
    go(
        core,
        op,
        to.wrapping_add_signed(op.imm.into()),
        true,
        Exit::Taken,
    )
}

pub fn jalr(core: &mut Core, op: &Op, _: &[Op], _: &mut Cx<'_>) -> Exit {
    let to = core.x[op.b].wrapping_add_signed(op.imm.into()) & !1;
    go(core, op, to, true, Exit::Goto)
}

macro_rules! branches {
    ($($cond:ident |$b:ident, $c:ident| $taken:expr;)*) => {
        pub fn branch(cond: Cond) -> Handler {
            match cond {
                $(Cond::$cond => {
                    fn run(core: &mut Core, op: &Op, rest: &[Op], cx: &mut Cx<'_>) -> Exit {
                        let ($b, $c) = (core.x[op.b], core.x[op.c]);
                        if $taken {
                            let to = core.pc.wrapping_add(op.at.into());
                            let to = to.wrapping_add_signed(op.imm.into());
                            go(core, op, to, false, Exit::Taken)
                        } else {
                            fall(core, op, rest, cx)
                        }
                    }
                    run
                })*
            }
        }
    };
}

branches! {
    Eq |b, c| b == c;
    Ne |b, c| b != c;
    Lt |b, c| (b as i64) < c as i64;
    Ge |b, c| b as i64 >= c as i64;
    Ltu |b, c| b < c;
    Geu |b, c| b >= c;
}
