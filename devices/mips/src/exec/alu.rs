//! Arithmetic, logic and shifts.

use solderless_engine::Exit;
use solderless_model::Cx;

use super::pair::{Piece, single};
use super::{Handler, Op, next};
use crate::core::Core;
use crate::exception::Exception;
use crate::ir::{HI, Kind, LO};
use crate::width::Width;

/// Instructions with one result that is computed of two registers and an immediate.
macro_rules! compute {
    ($($name:ident($b:ident, $c:ident, $imm:ident) = $value:expr;)*) => {$(
        pub struct $name;
        impl<W: Width> Piece<W> for $name {
            #[inline(always)]
            fn quick(_: &mut Core<W>, $b: W, $c: W, $imm: u32) -> Option<W> {
                let _ = ($b, $c, $imm);
                Some($value)
            }
        }
    )*};
}

/// The same of the lower 32 bits, with the result's sign above it.
macro_rules! compute_low {
    ($($name:ident($b:ident, $c:ident, $imm:ident) = $value:expr;)*) => {
        compute! {$(
            $name(b, c, imm) = {
                let ($b, $c, $imm) = (b.low(), c.low(), imm);
                let _ = ($b, $c, $imm);
                W::signed($value)
            };
        )*}
    };
}

compute! {
    Li(b, c, imm) = W::signed(imm);
    Move(b, c, imm) = b;
    And(b, c, imm) = b & c;
    Or(b, c, imm) = b | c;
    Xor(b, c, imm) = b ^ c;
    Nor(b, c, imm) = !(b | c);
    Slt(b, c, imm) = (b.cast_signed() < c.cast_signed()).into();
    Sltu(b, c, imm) = (b < c).into();
    Slti(b, c, imm) = (b.cast_signed() < W::signed(imm).cast_signed()).into();
    Sltiu(b, c, imm) = (b < W::signed(imm)).into();
    Andi(b, c, imm) = b & imm.into();
    Ori(b, c, imm) = b | imm.into();
    Xori(b, c, imm) = b ^ imm.into();
    Seb(b, c, imm) = W::signed(b.low() as i8 as u32);
    Seh(b, c, imm) = W::signed(b.low() as i16 as u32);
}

compute_low! {
    Addu(b, c, imm) = b.wrapping_add(c);
    Subu(b, c, imm) = b.wrapping_sub(c);
    Mul(b, c, imm) = b.wrapping_mul(c);
    Sllv(b, c, imm) = b.wrapping_shl(c);
    Srlv(b, c, imm) = b.wrapping_shr(c);
    Srav(b, c, imm) = b.cast_signed().wrapping_shr(c).cast_unsigned();
    Rotrv(b, c, imm) = b.rotate_right(c & 31);
    Addiu(b, c, imm) = b.wrapping_add(imm);
    Sll(b, c, imm) = b.wrapping_shl(imm);
    Srl(b, c, imm) = b.wrapping_shr(imm);
    Sra(b, c, imm) = b.cast_signed().wrapping_shr(imm).cast_unsigned();
    Rotr(b, c, imm) = b.rotate_right(imm & 31);
    Clz(b, c, imm) = b.leading_zeros();
    Clo(b, c, imm) = b.leading_ones();
    Wsbh(b, c, imm) = b.swap_bytes().rotate_left(16);
}

/// The same of 64 bits, of CPUs whose registers have them.
macro_rules! compute_wide {
    ($($name:ident($b:ident, $c:ident, $imm:ident) = $value:expr;)*) => {
        compute! {$(
            $name(b, c, imm) = {
                let ($b, $c, $imm): (u64, u64, u32) = (b.into(), c.into(), imm);
                let _ = ($b, $c, $imm);
                W::cut($value)
            };
        )*}
    };
}

compute_wide! {
    Daddu(b, c, imm) = b.wrapping_add(c);
    Dsubu(b, c, imm) = b.wrapping_sub(c);
    Daddiu(b, c, imm) = b.wrapping_add(imm.cast_signed() as u64);
    Dsllv(b, c, imm) = b.wrapping_shl(c as u32);
    Dsrlv(b, c, imm) = b.wrapping_shr(c as u32);
    Dsrav(b, c, imm) = b.cast_signed().wrapping_shr(c as u32).cast_unsigned();
    Drotrv(b, c, imm) = b.rotate_right(c as u32 & 63);
    Dsll(b, c, imm) = b.wrapping_shl(imm);
    Dsrl(b, c, imm) = b.wrapping_shr(imm);
    Dsra(b, c, imm) = b.cast_signed().wrapping_shr(imm).cast_unsigned();
    Drotr(b, c, imm) = b.rotate_right(imm & 63);
    Dclz(b, c, imm) = b.leading_zeros().into();
    Dclo(b, c, imm) = b.leading_ones().into();
    Dsbh(b, c, imm) = (b & 0x00ff_00ff_00ff_00ff) << 8 | b >> 8 & 0x00ff_00ff_00ff_00ff;
    Dshd(b, c, imm) = {
        let halves = b.rotate_left(32);
        (halves & 0x0000_ffff_0000_ffff) << 16 | halves >> 16 & 0x0000_ffff_0000_ffff
    };
}

fn ext<W: Width>(core: &mut Core<W>, op: &Op<W>, rest: &[Op<W>], cx: &mut Cx<'_>) -> Exit {
    core.r[op.a] = W::signed(core.r[op.b].low().wrapping_shr(op.imm) & op.imm2);
    next(core, rest, cx)
}

fn ins<W: Width>(core: &mut Core<W>, op: &Op<W>, rest: &[Op<W>], cx: &mut Cx<'_>) -> Exit {
    let (b, c) = (core.r[op.b].low(), core.r[op.c].low());
    core.r[op.a] = W::signed(c & !op.imm2 | b.wrapping_shl(op.imm) & op.imm2);
    next(core, rest, cx)
}

/// `imm` is the lowest bit, `imm2` the size.
fn dext<W: Width>(core: &mut Core<W>, op: &Op<W>, rest: &[Op<W>], cx: &mut Cx<'_>) -> Exit {
    let b: u64 = core.r[op.b].into();
    let mask = u64::MAX.wrapping_shr(64 - op.imm2);
    core.r[op.a] = W::cut(b.wrapping_shr(op.imm) & mask);
    next(core, rest, cx)
}

fn dins<W: Width>(core: &mut Core<W>, op: &Op<W>, rest: &[Op<W>], cx: &mut Cx<'_>) -> Exit {
    let (b, c): (u64, u64) = (core.r[op.b].into(), core.r[op.c].into());
    let mask = u64::MAX.wrapping_shr(64 - op.imm2).wrapping_shl(op.imm);
    core.r[op.a] = W::cut(c & !mask | b.wrapping_shl(op.imm) & mask);
    next(core, rest, cx)
}

fn movn<W: Width>(core: &mut Core<W>, op: &Op<W>, rest: &[Op<W>], cx: &mut Cx<'_>) -> Exit {
    if !core.r[op.c].is_zero() {
        core.r[op.a] = core.r[op.b];
    }
    next(core, rest, cx)
}

fn movz<W: Width>(core: &mut Core<W>, op: &Op<W>, rest: &[Op<W>], cx: &mut Cx<'_>) -> Exit {
    if core.r[op.c].is_zero() {
        core.r[op.a] = core.r[op.b];
    }
    next(core, rest, cx)
}

/// Functions that trap on overflow.
macro_rules! checked {
    ($($name:ident: $word:ty, |$b:ident, $c:ident, $imm:ident| $value:expr;)*) => {$(
        fn $name<W: Width>(
            core: &mut Core<W>,
            op: &Op<W>,
            rest: &[Op<W>],
            cx: &mut Cx<'_>,
        ) -> Exit {
            let number = |value: W| (value.into() as $word).cast_signed();
            let $b = number(core.r[op.b]);
            let $c = number(core.r[op.c]);
            let $imm = number(W::signed(op.imm));
            let _ = ($c, $imm);
            match $value {
                Some(value) => {
                    core.r[op.a] = W::cut(i64::from(value).cast_unsigned());
                    next(core, rest, cx)
                }
                None => core.raise(op, Exception::Overflow),
            }
        }
    )*};
}

checked! {
    add: u32, |b, c, imm| b.checked_add(c);
    sub: u32, |b, c, imm| b.checked_sub(c);
    addi: u32, |b, c, imm| b.checked_add(imm);
    dadd: u64, |b, c, imm| b.checked_add(c);
    dsub: u64, |b, c, imm| b.checked_sub(c);
    daddi: u64, |b, c, imm| b.checked_add(imm);
}

/// Functions whose result is HI (upper half) and LO, from two operands and HI and LO before.
macro_rules! wide {
    ($($name:ident($b:ident, $c:ident, $acc:ident) = $value:expr;)*) => {$(
        fn $name<W: Width>(
            core: &mut Core<W>,
            op: &Op<W>,
            rest: &[Op<W>],
            cx: &mut Cx<'_>,
        ) -> Exit {
            let ($b, $c) = (core.r[op.b].low(), core.r[op.c].low());
            let $acc = u64::from(core.r[HI].low()) << 32 | u64::from(core.r[LO].low());
            let _ = $acc;
            let value: u64 = $value;
            core.r[HI] = W::signed((value >> 32) as u32);
            core.r[LO] = W::signed(value as u32);
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

/// The same of 64 bits: HI, and LO.
macro_rules! wider {
    ($($name:ident($b:ident, $c:ident) = $value:expr;)*) => {$(
        fn $name<W: Width>(
            core: &mut Core<W>,
            op: &Op<W>,
            rest: &[Op<W>],
            cx: &mut Cx<'_>,
        ) -> Exit {
            let ($b, $c): (u64, u64) = (core.r[op.b].into(), core.r[op.c].into());
            let (hi, lo): (u64, u64) = $value;
            core.r[HI] = W::cut(hi);
            core.r[LO] = W::cut(lo);
            next(core, rest, cx)
        }
    )*};
}

fn halves(product: u128) -> (u64, u64) {
    ((product >> 64) as u64, product as u64)
}

wider! {
    dmult(b, c) = {
        let product = i128::from(b.cast_signed()) * i128::from(c.cast_signed());
        halves(product.cast_unsigned())
    };
    dmultu(b, c) = halves(u128::from(b) * u128::from(c));
    ddiv(b, c) = {
        let (n, d) = (b.cast_signed(), c.cast_signed());
        let (quotient, remainder) = match d {
            0 => (if n < 0 { 1 } else { -1 }, n),
            _ => (n.wrapping_div(d), n.wrapping_rem(d)),
        };
        (remainder.cast_unsigned(), quotient.cast_unsigned())
    };
    ddivu(b, c) = (b.checked_rem(c).unwrap_or(b), b.checked_div(c).unwrap_or(u64::MAX));
}

/// The function of an instruction of this family.
pub fn handler<W: Width>(kind: Kind) -> Option<Handler<W>> {
    Some(match kind {
        Kind::Li => single::<_, Li>,
        Kind::Move => single::<_, Move>,
        Kind::Add => add,
        Kind::Addu => single::<_, Addu>,
        Kind::Sub => sub,
        Kind::Subu => single::<_, Subu>,
        Kind::And => single::<_, And>,
        Kind::Or => single::<_, Or>,
        Kind::Xor => single::<_, Xor>,
        Kind::Nor => single::<_, Nor>,
        Kind::Slt => single::<_, Slt>,
        Kind::Sltu => single::<_, Sltu>,
        Kind::Mul => single::<_, Mul>,
        Kind::Sllv => single::<_, Sllv>,
        Kind::Srlv => single::<_, Srlv>,
        Kind::Srav => single::<_, Srav>,
        Kind::Rotrv => single::<_, Rotrv>,
        Kind::Movn => movn,
        Kind::Movz => movz,
        Kind::Addi => addi,
        Kind::Addiu => single::<_, Addiu>,
        Kind::Slti => single::<_, Slti>,
        Kind::Sltiu => single::<_, Sltiu>,
        Kind::Andi => single::<_, Andi>,
        Kind::Ori => single::<_, Ori>,
        Kind::Xori => single::<_, Xori>,
        Kind::Sll => single::<_, Sll>,
        Kind::Srl => single::<_, Srl>,
        Kind::Sra => single::<_, Sra>,
        Kind::Rotr => single::<_, Rotr>,
        Kind::Clz => single::<_, Clz>,
        Kind::Clo => single::<_, Clo>,
        Kind::Seb => single::<_, Seb>,
        Kind::Seh => single::<_, Seh>,
        Kind::Wsbh => single::<_, Wsbh>,
        Kind::Ext => ext,
        Kind::Ins => ins,
        Kind::Dadd => dadd,
        Kind::Daddu => single::<_, Daddu>,
        Kind::Dsub => dsub,
        Kind::Dsubu => single::<_, Dsubu>,
        Kind::Daddi => daddi,
        Kind::Daddiu => single::<_, Daddiu>,
        Kind::Dsllv => single::<_, Dsllv>,
        Kind::Dsrlv => single::<_, Dsrlv>,
        Kind::Dsrav => single::<_, Dsrav>,
        Kind::Drotrv => single::<_, Drotrv>,
        Kind::Dsll => single::<_, Dsll>,
        Kind::Dsrl => single::<_, Dsrl>,
        Kind::Dsra => single::<_, Dsra>,
        Kind::Drotr => single::<_, Drotr>,
        Kind::Dclz => single::<_, Dclz>,
        Kind::Dclo => single::<_, Dclo>,
        Kind::Dsbh => single::<_, Dsbh>,
        Kind::Dshd => single::<_, Dshd>,
        Kind::Dext => dext,
        Kind::Dins => dins,
        Kind::Dmult => dmult,
        Kind::Dmultu => dmultu,
        Kind::Ddiv => ddiv,
        Kind::Ddivu => ddivu,
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
