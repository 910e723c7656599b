//! Floating point instructions around the arithmetic in [`crate::fpu`].
//!
//! With Status.FR clear, a 64-bit value is in an even register, whose upper half then is what the odd one above it names.
//! The decoder has made places of register numbers, so that nothing here depends on it.

use solderless_engine::Exit;
use solderless_float::host;
use solderless_model::Cx;

use super::memory::{Done, finish};
use super::{Handler, Mode, Op, after, next};
use crate::core::Core;
use crate::exception::Exception;
use crate::fpu::{self, Fcsr, FpTrap};
use crate::ir::{Fmt, Fp, How, Kind};
use crate::width::Width;

impl<W: Width> Core<W> {
    /// The word at a place.
    #[inline(always)]
    pub fn fpr32(&self, place: u8) -> u32 {
        (self.fpr[usize::from(place >> 1 & 31)] >> (place % 2 * 32)) as u32
    }

    /// Sets the word at a place; the other half of its register stays.
    #[inline(always)]
    pub fn set_fpr32(&mut self, place: u8, value: u32) {
        let shift = place % 2 * 32;
        let register = &mut self.fpr[usize::from(place >> 1 & 31)];
        *register = *register & !(0xffff_ffff << shift) | u64::from(value) << shift;
    }

    #[inline(always)]
    pub(super) fn fpr64(&self, place: u8) -> u64 {
        self.fpr[usize::from(place >> 1 & 31)]
    }

    #[inline(always)]
    pub(super) fn set_fpr64(&mut self, place: u8, value: u64) {
        self.fpr[usize::from(place >> 1 & 31)] = value;
    }

    /// Brings FCSR.Cause up to date.
    pub fn settle_fcsr(&mut self) {
        if let Some(again) = self.fp_due.again.take() {
            again(&mut self.fcsr, self.fp_due.operands);
        }
    }

    /// A control register as CFC1 reads it; those that are not there read as zero.
    fn fp_control(&self, number: u32) -> u32 {
        match number {
            0 => self.identity.fir,
            25 => self.fcsr.fccr(),
            26 => self.fcsr.fexr(),
            28 => self.fcsr.fenr(),
            31 => self.fcsr.0,
            _ => 0,
        }
    }

    fn set_fp_control(&mut self, number: u32, value: u32) -> Result<(), FpTrap> {
        match number {
            25 => {
                self.fcsr.write_fccr(value);
                Ok(())
            }
            26 => self.fcsr.write_fexr(value),
            28 => self.fcsr.write_fenr(value),
            31 => self.fcsr.write(value),
            _ => Ok(()),
        }
    }
}

/// How a value of a Rust type lies in floating point registers.
trait Value: Copy {
    fn get<W: Width>(core: &Core<W>, n: u8) -> Self;
    fn put<W: Width>(core: &mut Core<W>, n: u8, value: Self);
    fn raw(self) -> u64;
    fn from_raw(raw: u64) -> Self;
}

impl Value for u32 {
    #[inline(always)]
    fn get<W: Width>(core: &Core<W>, n: u8) -> Self {
        core.fpr32(n)
    }
    #[inline(always)]
    fn put<W: Width>(core: &mut Core<W>, n: u8, value: Self) {
        core.set_fpr32(n, value);
    }
    #[inline(always)]
    fn raw(self) -> u64 {
        self.into()
    }
    fn from_raw(raw: u64) -> Self {
        raw as u32
    }
}

impl Value for u64 {
    #[inline(always)]
    fn get<W: Width>(core: &Core<W>, n: u8) -> Self {
        core.fpr64(n)
    }
    #[inline(always)]
    fn put<W: Width>(core: &mut Core<W>, n: u8, value: Self) {
        core.set_fpr64(n, value);
    }
    #[inline(always)]
    fn raw(self) -> u64 {
        self
    }
    fn from_raw(raw: u64) -> Self {
        raw
    }
}

/// What brings FCSR up to date with an operation on these operands.
pub type Again = fn(&mut Fcsr, [u64; 2]);

/// The last operation, if FCSR.Cause does not tell of it yet.
///
/// Whether a result is exact costs more to find out than the result. Where Inexact does not trap and its flag is set
/// already, only FCSR.Cause depends on it, and the next operation overwrites that: so it is found out when asked for.
#[derive(Debug, Clone, Copy, Default)]
#[repr(C)]
pub struct Due {
    pub again: Option<Again>,
    pub operands: [u64; 2],
}

/// An operation as a type, so that a function of its own is made for each.
trait Arithmetic {
    type From: Value;
    type To: Value;
    fn compute(
        fcsr: &mut Fcsr,
        fs: Self::From,
        ft: impl FnOnce() -> Self::From,
        fr: impl FnOnce() -> Self::From,
    ) -> Result<Self::To, FpTrap>;

    /// The result, rounded to nearest, if nothing but Inexact can have been raised.
    #[inline(always)]
    fn quick(_fs: Self::From, _ft: impl FnOnce() -> Self::From) -> Option<Self::To> {
        None
    }
}

fn again<A: Arithmetic>(fcsr: &mut Fcsr, [fs, ft]: [u64; 2]) {
    // It does not trap, or it would not be done again.
    let _ = A::compute(
        fcsr,
        A::From::from_raw(fs),
        || A::From::from_raw(ft),
        || A::From::from_raw(0),
    );
}

fn compute<W: Width, A: Arithmetic>(
    core: &mut Core<W>,
    op: &Op<W>,
    rest: &[Op<W>],
    cx: &mut Cx<'_>,
) -> Exit {
    if core.fcsr.inexact_is_noted() {
        let (fs, ft) = (A::From::get(core, op.b), A::From::get(core, op.c));
        if let Some(value) = A::quick(fs, || ft) {
            core.fp_due = Due {
                again: Some(again::<A>),
                operands: [fs.raw(), ft.raw()],
            };
            A::To::put(core, op.a, value);
            return next(core, rest, cx);
        }
    }
    compute_exactly::<W, A>(core, op, rest, cx)
}

#[inline(never)]
fn compute_exactly<W: Width, A: Arithmetic>(
    core: &mut Core<W>,
    op: &Op<W>,
    rest: &[Op<W>],
    cx: &mut Cx<'_>,
) -> Exit {
    core.fp_due.again = None;
    let mut fcsr = core.fcsr;
    let get = |n: u8| A::From::get(core, n);
    let result = A::compute(&mut fcsr, get(op.b), || get(op.c), || get(op.imm as u8));
    core.fcsr = fcsr;
    match result {
        Ok(value) => {
            A::To::put(core, op.a, value);
            next(core, rest, cx)
        }
        Err(FpTrap) => core.raise(op, Exception::FloatingPoint),
    }
}

macro_rules! arithmetic {
    (unary $($name:ident: $from:ty => $to:ty;)*) => {
        $(arithmetic!(@ $name, $from, $to, fpu::$name, (fs, _ft, _fr), (fs));)*
    };
    (binary $($name:ident: $from:ty, $host:ident $operator:tt;)*) => {
        $(arithmetic!(@ $name, $from, $from, fpu::$name, (fs, ft, _fr), (fs, ft()),
            #[inline(always)]
            fn quick(fs: $from, ft: impl FnOnce() -> $from) -> Option<$from> {
                host::plain($host::from_bits(fs) $operator $host::from_bits(ft()))
            }
        );)*
    };
    (ternary $($name:ident: $from:ty;)*) => {
        $(arithmetic!(@ $name, $from, $from, fpu::$name, (fs, ft, fr), (fr(), fs, ft()));)*
    };
    (@ $name:ident, $from:ty, $to:ty, $function:path, ($fs:ident, $ft:ident, $fr:ident), ($($operand:expr),*) $(, $($more:item)+)?) => {
        #[allow(non_camel_case_types, reason = "it is the function of that name, as a type")]
        struct $name;
        impl Arithmetic for $name {
            type From = $from;
            type To = $to;
            #[inline(always)]
            fn compute(
                fcsr: &mut Fcsr,
                $fs: $from,
                $ft: impl FnOnce() -> $from,
                $fr: impl FnOnce() -> $from,
            ) -> Result<$to, FpTrap> {
                $function(fcsr, $($operand),*)
            }
            $($($more)+)?
        }
    };
}

arithmetic! { binary
    add_s: u32, f32 +; sub_s: u32, f32 -; mul_s: u32, f32 *; div_s: u32, f32 /;
    add_d: u64, f64 +; sub_d: u64, f64 -; mul_d: u64, f64 *; div_d: u64, f64 /;
}
arithmetic! { ternary
    madd_s: u32; msub_s: u32; nmadd_s: u32; nmsub_s: u32;
    madd_d: u64; msub_d: u64; nmadd_d: u64; nmsub_d: u64;
}
arithmetic! { unary
    sqrt_s: u32 => u32; abs_s: u32 => u32; neg_s: u32 => u32; recip_s: u32 => u32; rsqrt_s: u32 => u32;
    sqrt_d: u64 => u64; abs_d: u64 => u64; neg_d: u64 => u64; recip_d: u64 => u64; rsqrt_d: u64 => u64;
    round_w_s: u32 => u32; trunc_w_s: u32 => u32; ceil_w_s: u32 => u32; floor_w_s: u32 => u32; cvt_w_s: u32 => u32;
    round_w_d: u64 => u32; trunc_w_d: u64 => u32; ceil_w_d: u64 => u32; floor_w_d: u64 => u32; cvt_w_d: u64 => u32;
    round_l_s: u32 => u64; trunc_l_s: u32 => u64; ceil_l_s: u32 => u64; floor_l_s: u32 => u64; cvt_l_s: u32 => u64;
    round_l_d: u64 => u64; trunc_l_d: u64 => u64; ceil_l_d: u64 => u64; floor_l_d: u64 => u64; cvt_l_d: u64 => u64;
    cvt_s_d: u64 => u32; cvt_s_w: u32 => u32; cvt_s_l: u64 => u32;
    cvt_d_s: u32 => u64; cvt_d_w: u32 => u64; cvt_d_l: u64 => u64;
}

/// What brings FCSR up to date with an operation, of those with a rounded result of one or two operands that generated
/// code has.
pub fn due(op: Fp, fmt: Fmt) -> Option<Again> {
    Some(match (op, fmt) {
        (Fp::Add, Fmt::S) => again::<add_s>,
        (Fp::Sub, Fmt::S) => again::<sub_s>,
        (Fp::Mul, Fmt::S) => again::<mul_s>,
        (Fp::Div, Fmt::S) => again::<div_s>,
        (Fp::Sqrt, Fmt::S) => again::<sqrt_s>,
        (Fp::Add, Fmt::D) => again::<add_d>,
        (Fp::Sub, Fmt::D) => again::<sub_d>,
        (Fp::Mul, Fmt::D) => again::<mul_d>,
        (Fp::Div, Fmt::D) => again::<div_d>,
        (Fp::Sqrt, Fmt::D) => again::<sqrt_d>,
        (Fp::ToS, Fmt::D) => again::<cvt_s_d>,
        (Fp::ToW(How::Trunc), Fmt::S) => again::<trunc_w_s>,
        (Fp::ToW(How::Trunc), Fmt::D) => again::<trunc_w_d>,
        _ => return None,
    })
}

fn compare_s<W: Width>(core: &mut Core<W>, op: &Op<W>, rest: &[Op<W>], cx: &mut Cx<'_>) -> Exit {
    core.fp_due.again = None;
    let (fs, ft) = (core.fpr32(op.b), core.fpr32(op.c));
    match fpu::c_cond_s(&mut core.fcsr, op.imm & 15, op.imm >> 4, fs, ft) {
        Ok(()) => next(core, rest, cx),
        Err(FpTrap) => core.raise(op, Exception::FloatingPoint),
    }
}

fn compare_d<W: Width>(core: &mut Core<W>, op: &Op<W>, rest: &[Op<W>], cx: &mut Cx<'_>) -> Exit {
    core.fp_due.again = None;
    let (fs, ft) = (core.fpr64(op.b), core.fpr64(op.c));
    match fpu::c_cond_d(&mut core.fcsr, op.imm & 15, op.imm >> 4, fs, ft) {
        Ok(()) => next(core, rest, cx),
        Err(FpTrap) => core.raise(op, Exception::FloatingPoint),
    }
}

/// Moves between floating point registers, under a condition.
macro_rules! moves {
    ($($name:ident($core:ident, $op:ident) = $holds:expr;)*) => {$(
        fn $name<W: Width, V: Value>($core: &mut Core<W>, $op: &Op<W>, rest: &[Op<W>], cx: &mut Cx<'_>) -> Exit {
            if $holds {
                let value = V::get($core, $op.b);
                V::put($core, $op.a, value);
            }
            next($core, rest, cx)
        }
    )*};
}

moves! {
    mov(core, op) = true;
    mov_false(core, op) = !core.fcsr.cc(op.c.into());
    mov_true(core, op) = core.fcsr.cc(op.c.into());
    mov_zero(core, op) = core.r[op.c].is_zero();
    mov_not_zero(core, op) = !core.r[op.c].is_zero();
}

/// The function of an operation on values of a format.
pub fn arithmetic<W: Width>(op: Fp, fmt: Fmt) -> Handler<W> {
    match (op, fmt) {
        (Fp::Add, Fmt::S) => compute::<_, add_s>,
        (Fp::Sub, Fmt::S) => compute::<_, sub_s>,
        (Fp::Mul, Fmt::S) => compute::<_, mul_s>,
        (Fp::Div, Fmt::S) => compute::<_, div_s>,
        (Fp::Sqrt, Fmt::S) => compute::<_, sqrt_s>,
        (Fp::Abs, Fmt::S) => compute::<_, abs_s>,
        (Fp::Neg, Fmt::S) => compute::<_, neg_s>,
        (Fp::Recip, Fmt::S) => compute::<_, recip_s>,
        (Fp::Rsqrt, Fmt::S) => compute::<_, rsqrt_s>,
        (Fp::Madd, Fmt::S) => compute::<_, madd_s>,
        (Fp::Msub, Fmt::S) => compute::<_, msub_s>,
        (Fp::Nmadd, Fmt::S) => compute::<_, nmadd_s>,
        (Fp::Nmsub, Fmt::S) => compute::<_, nmsub_s>,
        (Fp::Add, Fmt::D) => compute::<_, add_d>,
        (Fp::Sub, Fmt::D) => compute::<_, sub_d>,
        (Fp::Mul, Fmt::D) => compute::<_, mul_d>,
        (Fp::Div, Fmt::D) => compute::<_, div_d>,
        (Fp::Sqrt, Fmt::D) => compute::<_, sqrt_d>,
        (Fp::Abs, Fmt::D) => compute::<_, abs_d>,
        (Fp::Neg, Fmt::D) => compute::<_, neg_d>,
        (Fp::Recip, Fmt::D) => compute::<_, recip_d>,
        (Fp::Rsqrt, Fmt::D) => compute::<_, rsqrt_d>,
        (Fp::Madd, Fmt::D) => compute::<_, madd_d>,
        (Fp::Msub, Fmt::D) => compute::<_, msub_d>,
        (Fp::Nmadd, Fmt::D) => compute::<_, nmadd_d>,
        (Fp::Nmsub, Fmt::D) => compute::<_, nmsub_d>,
        (Fp::ToW(How::Round), Fmt::S) => compute::<_, round_w_s>,
        (Fp::ToW(How::Trunc), Fmt::S) => compute::<_, trunc_w_s>,
        (Fp::ToW(How::Ceil), Fmt::S) => compute::<_, ceil_w_s>,
        (Fp::ToW(How::Floor), Fmt::S) => compute::<_, floor_w_s>,
        (Fp::ToW(How::Cvt), Fmt::S) => compute::<_, cvt_w_s>,
        (Fp::ToW(How::Round), Fmt::D) => compute::<_, round_w_d>,
        (Fp::ToW(How::Trunc), Fmt::D) => compute::<_, trunc_w_d>,
        (Fp::ToW(How::Ceil), Fmt::D) => compute::<_, ceil_w_d>,
        (Fp::ToW(How::Floor), Fmt::D) => compute::<_, floor_w_d>,
        (Fp::ToW(How::Cvt), Fmt::D) => compute::<_, cvt_w_d>,
        (Fp::ToL(How::Round), Fmt::S) => compute::<_, round_l_s>,
        (Fp::ToL(How::Trunc), Fmt::S) => compute::<_, trunc_l_s>,
        (Fp::ToL(How::Ceil), Fmt::S) => compute::<_, ceil_l_s>,
        (Fp::ToL(How::Floor), Fmt::S) => compute::<_, floor_l_s>,
        (Fp::ToL(How::Cvt), Fmt::S) => compute::<_, cvt_l_s>,
        (Fp::ToL(How::Round), Fmt::D) => compute::<_, round_l_d>,
        (Fp::ToL(How::Trunc), Fmt::D) => compute::<_, trunc_l_d>,
        (Fp::ToL(How::Ceil), Fmt::D) => compute::<_, ceil_l_d>,
        (Fp::ToL(How::Floor), Fmt::D) => compute::<_, floor_l_d>,
        (Fp::ToL(How::Cvt), Fmt::D) => compute::<_, cvt_l_d>,
        (Fp::ToS, Fmt::D) => compute::<_, cvt_s_d>,
        (Fp::ToS, Fmt::W) => compute::<_, cvt_s_w>,
        (Fp::ToS, Fmt::L) => compute::<_, cvt_s_l>,
        (Fp::ToD, Fmt::S) => compute::<_, cvt_d_s>,
        (Fp::ToD, Fmt::W) => compute::<_, cvt_d_w>,
        (Fp::ToD, Fmt::L) => compute::<_, cvt_d_l>,
        (Fp::Compare, Fmt::S) => compare_s,
        (Fp::Compare, Fmt::D) => compare_d,
        (Fp::Mov, Fmt::S) => mov::<_, u32>,
        (Fp::Movf, Fmt::S) => mov_false::<_, u32>,
        (Fp::Movt, Fmt::S) => mov_true::<_, u32>,
        (Fp::Movz, Fmt::S) => mov_zero::<_, u32>,
        (Fp::Movn, Fmt::S) => mov_not_zero::<_, u32>,
        (Fp::Mov, Fmt::D) => mov::<_, u64>,
        (Fp::Movf, Fmt::D) => mov_false::<_, u64>,
        (Fp::Movt, Fmt::D) => mov_true::<_, u64>,
        (Fp::Movz, Fmt::D) => mov_zero::<_, u64>,
        (Fp::Movn, Fmt::D) => mov_not_zero::<_, u64>,
        _ => super::system::reserved,
    }
}

fn mfc1<W: Width>(core: &mut Core<W>, op: &Op<W>, rest: &[Op<W>], cx: &mut Cx<'_>) -> Exit {
    core.r[op.a] = W::signed(core.fpr32(op.c));
    next(core, rest, cx)
}

fn mtc1<W: Width>(core: &mut Core<W>, op: &Op<W>, rest: &[Op<W>], cx: &mut Cx<'_>) -> Exit {
    let value = core.r[op.b].low();
    core.set_fpr32(op.c, value);
    next(core, rest, cx)
}

fn dmfc1<W: Width>(core: &mut Core<W>, op: &Op<W>, rest: &[Op<W>], cx: &mut Cx<'_>) -> Exit {
    core.r[op.a] = W::cut(core.fpr64(op.c));
    next(core, rest, cx)
}

fn dmtc1<W: Width>(core: &mut Core<W>, op: &Op<W>, rest: &[Op<W>], cx: &mut Cx<'_>) -> Exit {
    let value = core.r[op.b].into();
    core.set_fpr64(op.c, value);
    next(core, rest, cx)
}

fn cfc1<W: Width>(core: &mut Core<W>, op: &Op<W>, rest: &[Op<W>], cx: &mut Cx<'_>) -> Exit {
    core.settle_fcsr();
    core.r[op.a] = W::signed(core.fp_control(op.imm));
    next(core, rest, cx)
}

fn ctc1<W: Width>(core: &mut Core<W>, op: &Op<W>, rest: &[Op<W>], cx: &mut Cx<'_>) -> Exit {
    core.settle_fcsr();
    match core.set_fp_control(op.imm, core.r[op.b].low()) {
        Ok(()) => next(core, rest, cx),
        Err(FpTrap) => core.raise(op, Exception::FloatingPoint),
    }
}

fn movf<W: Width>(core: &mut Core<W>, op: &Op<W>, rest: &[Op<W>], cx: &mut Cx<'_>) -> Exit {
    if !core.fcsr.cc(op.c.into()) {
        core.r[op.a] = core.r[op.b];
    }
    next(core, rest, cx)
}

fn movt<W: Width>(core: &mut Core<W>, op: &Op<W>, rest: &[Op<W>], cx: &mut Cx<'_>) -> Exit {
    if core.fcsr.cc(op.c.into()) {
        core.r[op.a] = core.r[op.b];
    }
    next(core, rest, cx)
}

/// The function of an instruction of this family that neither computes nor takes an address.
pub fn handler<W: Width>(kind: Kind) -> Option<Handler<W>> {
    Some(match kind {
        Kind::Mfc1 => mfc1,
        Kind::Mtc1 => mtc1,
        Kind::Dmfc1 => dmfc1,
        Kind::Dmtc1 => dmtc1,
        Kind::Cfc1 => cfc1,
        Kind::Ctc1 => ctc1,
        Kind::Movf => movf,
        Kind::Movt => movt,
        _ => return None,
    })
}

/// How an instruction's address is made.
trait Address {
    fn of<W: Width>(core: &Core<W>, op: &Op<W>) -> W;
}

/// Register and immediate.
struct Offset;
/// Two registers.
struct Indexed;
/// Two registers, made a multiple of eight.
struct Aligned;

impl Address for Offset {
    #[inline(always)]
    fn of<W: Width>(core: &Core<W>, op: &Op<W>) -> W {
        core.address(op)
    }
}

impl Address for Indexed {
    #[inline(always)]
    fn of<W: Width>(core: &Core<W>, op: &Op<W>) -> W {
        let sum = core.r[op.b].wrapping_add(core.r[op.imm as u8]);
        W::address(sum, core.short)
    }
}

impl Address for Aligned {
    #[inline(always)]
    fn of<W: Width>(core: &Core<W>, op: &Op<W>) -> W {
        Indexed::of(core, op) & !W::from(7)
    }
}

fn load32<W: Width, A: Address, const BIG: bool>(
    core: &mut Core<W>,
    op: &Op<W>,
    rest: &[Op<W>],
    cx: &mut Cx<'_>,
) -> Exit {
    let va = A::of(core, op);
    let done = match W::read_u32(&core.vcpu, va) {
        Some(raw) => Ok(Done::Quiet(raw.into())),
        None => core.load(op, cx, va, 4),
    };
    finish!(done, core, op, rest, cx, |raw| {
        let raw = raw as u32;
        core.set_fpr32(op.c, if BIG { raw.swap_bytes() } else { raw });
    })
}

fn store32<W: Width, A: Address, const BIG: bool>(
    core: &mut Core<W>,
    op: &Op<W>,
    rest: &[Op<W>],
    cx: &mut Cx<'_>,
) -> Exit {
    let va = A::of(core, op);
    let value = core.fpr32(op.c);
    let raw = if BIG { value.swap_bytes() } else { value };
    if W::write_u32(&mut core.vcpu, va, raw) {
        return next(core, rest, cx);
    }
    let done = core.store(op, cx, va, 4, raw.into());
    finish!(done, core, op, rest, cx, |()| {})
}

fn load64<W: Width, A: Address, const BIG: bool>(
    core: &mut Core<W>,
    op: &Op<W>,
    rest: &[Op<W>],
    cx: &mut Cx<'_>,
) -> Exit {
    let va = A::of(core, op);
    let done = match W::read_u64(&core.vcpu, va) {
        Some(raw) => Ok(Done::Quiet(raw)),
        None => core.load(op, cx, va, 8),
    };
    finish!(done, core, op, rest, cx, |raw| {
        core.set_fpr64(op.c, if BIG { raw.swap_bytes() } else { raw });
    })
}

fn store64<W: Width, A: Address, const BIG: bool>(
    core: &mut Core<W>,
    op: &Op<W>,
    rest: &[Op<W>],
    cx: &mut Cx<'_>,
) -> Exit {
    let va = A::of(core, op);
    let value = core.fpr64(op.c);
    let raw = if BIG { value.swap_bytes() } else { value };
    if W::write_u64(&mut core.vcpu, va, raw) {
        return next(core, rest, cx);
    }
    let done = core.store(op, cx, va, 8, raw);
    finish!(done, core, op, rest, cx, |()| {})
}

/// The function of a load or store of a floating point register.
pub fn memory<W: Width>(kind: Kind, mode: Mode) -> Option<Handler<W>> {
    if mode.big_endian {
        by_order::<W, true>(kind)
    } else {
        by_order::<W, false>(kind)
    }
}

fn by_order<W: Width, const BIG: bool>(kind: Kind) -> Option<Handler<W>> {
    Some(match kind {
        Kind::Lwc1 => load32::<_, Offset, BIG>,
        Kind::Swc1 => store32::<_, Offset, BIG>,
        Kind::Lwxc1 => load32::<_, Indexed, BIG>,
        Kind::Swxc1 => store32::<_, Indexed, BIG>,
        Kind::Ldc1 => load64::<_, Offset, BIG>,
        Kind::Sdc1 => store64::<_, Offset, BIG>,
        Kind::Ldxc1 => load64::<_, Indexed, BIG>,
        Kind::Sdxc1 => store64::<_, Indexed, BIG>,
        Kind::Luxc1 => load64::<_, Aligned, BIG>,
        Kind::Suxc1 => store64::<_, Aligned, BIG>,
        _ => return None,
    })
}
