//! Arithmetic, logic and shifts.

use solderless_engine::Exit;
use solderless_model::Cx;

use super::pair::{Piece, single};
use super::{Handler, Op, next};
use crate::core::Core;
use crate::exception::Exception;
use crate::ir::{HI, Kind, LO};

/// Instructions with one result that is computed of two registers and an immediate.
macro_rules! compute {
    ($($name:ident($b:ident, $c:ident, $imm:ident) = $value:expr;)*) => {$(
        pub struct $name;
        impl Piece for $name {
            #[inline(always)]
            fn quick(_: &mut Core, $b: u32, $c: u32, $imm: u32) -> Option<u32> {
                let _ = ($b, $c, $imm);
                Some($value)
            }
        }
    )*};
}

compute! {
    Li(b, c, imm) = imm;
    Move(b, c, imm) = b;
    Addu(b, c, imm) = b.wrapping_add(c);
    Subu(b, c, imm) = b.wrapping_sub(c);
    And(b, c, imm) = b & c;
    Or(b, c, imm) = b | c;
    Xor(b, c, imm) = b ^ c;
    Nor(b, c, imm) = !(b | c);
    Slt(b, c, imm) = (b.cast_signed() < c.cast_signed()).into();
    Sltu(b, c, imm) = (b < c).into();
    Mul(b, c, imm) = b.wrapping_mul(c);
    Sllv(b, c, imm) = b.wrapping_shl(c);
    Srlv(b, c, imm) = b.wrapping_shr(c);
    Srav(b, c, imm) = b.cast_signed().wrapping_shr(c).cast_unsigned();
    Rotrv(b, c, imm) = b.rotate_right(c & 31);
    Addiu(b, c, imm) = b.wrapping_add(imm);
    Slti(b, c, imm) = (b.cast_signed() < imm.cast_signed()).into();
    Sltiu(b, c, imm) = (b < imm).into();
    Andi(b, c, imm) = b & imm;
    Ori(b, c, imm) = b | imm;
    Xori(b, c, imm) = b ^ imm;
    Sll(b, c, imm) = b.wrapping_shl(imm);
    Srl(b, c, imm) = b.wrapping_shr(imm);
    Sra(b, c, imm) = b.cast_signed().wrapping_shr(imm).cast_unsigned();
    Rotr(b, c, imm) = b.rotate_right(imm & 31);
    Clz(b, c, imm) = b.leading_zeros();
    Clo(b, c, imm) = b.leading_ones();
    Seb(b, c, imm) = b as i8 as u32;
    Seh(b, c, imm) = b as i16 as u32;
    Wsbh(b, c, imm) = b.swap_bytes().rotate_left(16);
}

fn ext(core: &mut Core, op: &Op, rest: &[Op], cx: &mut Cx<'_>) -> Exit {
    core.r[op.a] = core.r[op.b].wrapping_shr(op.imm) & op.imm2;
    next(core, rest, cx)
}

fn ins(core: &mut Core, op: &Op, rest: &[Op], cx: &mut Cx<'_>) -> Exit {
    core.r[op.a] = core.r[op.c] & !op.imm2 | core.r[op.b].wrapping_shl(op.imm) & op.imm2;
    next(core, rest, cx)
}

fn movn(core: &mut Core, op: &Op, rest: &[Op], cx: &mut Cx<'_>) -> Exit {
    if core.r[op.c] != 0 {
        core.r[op.a] = core.r[op.b];
    }
    next(core, rest, cx)
}

fn movz(core: &mut Core, op: &Op, rest: &[Op], cx: &mut Cx<'_>) -> Exit {
    if core.r[op.c] == 0 {
        core.r[op.a] = core.r[op.b];
    }
    next(core, rest, cx)
}

/// Functions that trap on overflow.
macro_rules! checked {
    ($($name:ident($core:ident, $op:ident) = $value:expr;)*) => {$(
        fn $name($core: &mut Core, $op: &Op, rest: &[Op], cx: &mut Cx<'_>) -> Exit {
            match $value {
                Some(value) => {
                    $core.r[$op.a] = value.cast_unsigned();
                    next($core, rest, cx)
                }
                None => $core.raise($op, Exception::Overflow),
            }
        }
    )*};
}

checked! {
    add(core, op) = core.r[op.b].cast_signed().checked_add(core.r[op.c].cast_signed());
    sub(core, op) = core.r[op.b].cast_signed().checked_sub(core.r[op.c].cast_signed());
    addi(core, op) = core.r[op.b].cast_signed().checked_add(op.imm.cast_signed());
}

/// Functions whose result is HI (upper half) and LO, from two operands and HI and LO before.
macro_rules! wide {
    ($($name:ident($b:ident, $c:ident, $acc:ident) = $value:expr;)*) => {$(
        fn $name(core: &mut Core, op: &Op, rest: &[Op], cx: &mut Cx<'_>) -> Exit {
            let ($b, $c) = (core.r[op.b], core.r[op.c]);
            let $acc = u64::from(core.r[HI]) << 32 | u64::from(core.r[LO]);
            let _ = $acc;
            let value: u64 = $value;
            core.r[HI] = (value >> 32) as u32;
            core.r[LO] = value as u32;
            next(core, rest, cx)
        }
    )*};
}

fn signed(b: u32, c: u32) -> u64 {
    (i64::from(b.cast_signed()) * i64::from(c.cast_signed())).cast_unsigned()
}

fn unsigned(b: u32, c: u32) -> u64 {
    u64::from(b) * u64::from(c)
}

/// Remainder and quotient. A division by zero is unpredictable; this is what the hardware's algorithm leaves.
fn divide_signed(b: u32, c: u32) -> u64 {
    let (n, d) = (b.cast_signed(), c.cast_signed());
    let (quotient, remainder) = match d {
        0 => (if n < 0 { 1 } else { -1 }, n),
        _ => (n.wrapping_div(d), n.wrapping_rem(d)),
    };
    u64::from(remainder.cast_unsigned()) << 32 | u64::from(quotient.cast_unsigned())
}

fn divide_unsigned(b: u32, c: u32) -> u64 {
    let quotient = b.checked_div(c).unwrap_or(u32::MAX);
    let remainder = b.checked_rem(c).unwrap_or(b);
    u64::from(remainder) << 32 | u64::from(quotient)
}

wide! {
    mult(b, c, acc) = signed(b, c);
    multu(b, c, acc) = unsigned(b, c);
    madd(b, c, acc) = acc.wrapping_add(signed(b, c));
    maddu(b, c, acc) = acc.wrapping_add(unsigned(b, c));
    msub(b, c, acc) = acc.wrapping_sub(signed(b, c));
    msubu(b, c, acc) = acc.wrapping_sub(unsigned(b, c));
    div(b, c, acc) = divide_signed(b, c);
    divu(b, c, acc) = divide_unsigned(b, c);
}

/// The function of an instruction of this family.
pub fn handler(kind: Kind) -> Option<Handler> {
    Some(match kind {
        Kind::Li => single::<Li>,
        Kind::Move => single::<Move>,
        Kind::Add => add,
        Kind::Addu => single::<Addu>,
        Kind::Sub => sub,
        Kind::Subu => single::<Subu>,
        Kind::And => single::<And>,
        Kind::Or => single::<Or>,
        Kind::Xor => single::<Xor>,
        Kind::Nor => single::<Nor>,
        Kind::Slt => single::<Slt>,
        Kind::Sltu => single::<Sltu>,
        Kind::Mul => single::<Mul>,
        Kind::Sllv => single::<Sllv>,
        Kind::Srlv => single::<Srlv>,
        Kind::Srav => single::<Srav>,
        Kind::Rotrv => single::<Rotrv>,
        Kind::Movn => movn,
        Kind::Movz => movz,
        Kind::Addi => addi,
        Kind::Addiu => single::<Addiu>,
        Kind::Slti => single::<Slti>,
        Kind::Sltiu => single::<Sltiu>,
        Kind::Andi => single::<Andi>,
        Kind::Ori => single::<Ori>,
        Kind::Xori => single::<Xori>,
        Kind::Sll => single::<Sll>,
        Kind::Srl => single::<Srl>,
        Kind::Sra => single::<Sra>,
        Kind::Rotr => single::<Rotr>,
        Kind::Clz => single::<Clz>,
        Kind::Clo => single::<Clo>,
        Kind::Seb => single::<Seb>,
        Kind::Seh => single::<Seh>,
        Kind::Wsbh => single::<Wsbh>,
        Kind::Ext => ext,
        Kind::Ins => ins,
        Kind::Mult => mult,
        Kind::Multu => multu,
        Kind::Div => div,
        Kind::Divu => divu,
        Kind::Madd => madd,
        Kind::Maddu => maddu,
        Kind::Msub => msub,
        Kind::Msubu => msubu,
        _ => return None,
    })
}
