//! Floating point instructions around the arithmetic in [`crate::fpu`].
//!
//! With Status.FR clear, a 64-bit value is in the low halves of an even register and the odd one above it.

use solderless_model::Cx;

use super::memory::{Done, finish};
use super::{Exit, Handler, Mode, Op, after, next};
use crate::core::Core;
use crate::decode::FpMode;
use crate::exception::Exception;
use crate::fpu::{self, Fcsr, FpTrap};
use crate::ir::{Fmt, Fp, How, Kind};

impl Core {
    #[inline(always)]
    fn fpr32(&self, n: u8) -> u32 {
        self.fpr[usize::from(n & 31)] as u32
    }

    #[inline(always)]
    fn set_fpr32(&mut self, n: u8, value: u32) {
        let place = &mut self.fpr[usize::from(n & 31)];
        *place = *place & !0xffff_ffff | u64::from(value);
    }

    #[inline(always)]
    fn fpr64<const FULL: bool>(&self, n: u8) -> u64 {
        match FULL {
            true => self.fpr[usize::from(n & 31)],
            false => u64::from(self.fpr32(n | 1)) << 32 | u64::from(self.fpr32(n & !1)),
        }
    }

    #[inline(always)]
    fn set_fpr64<const FULL: bool>(&mut self, n: u8, value: u64) {
        match FULL {
            true => self.fpr[usize::from(n & 31)] = value,
            false => {
                self.set_fpr32(n & !1, value as u32);
                self.set_fpr32(n | 1, (value >> 32) as u32);
            }
        }
    }

    /// A control register as CFC1 reads it; those that are not there read as zero.
    pub fn fp_control(&self, number: u32) -> u32 {
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
    fn get<const FULL: bool>(core: &Core, n: u8) -> Self;
    fn put<const FULL: bool>(core: &mut Core, n: u8, value: Self);
}

impl Value for u32 {
    #[inline(always)]
    fn get<const FULL: bool>(core: &Core, n: u8) -> Self {
        core.fpr32(n)
    }
    #[inline(always)]
    fn put<const FULL: bool>(core: &mut Core, n: u8, value: Self) {
        core.set_fpr32(n, value);
    }
}

impl Value for u64 {
    #[inline(always)]
    fn get<const FULL: bool>(core: &Core, n: u8) -> Self {
        core.fpr64::<FULL>(n)
    }
    #[inline(always)]
    fn put<const FULL: bool>(core: &mut Core, n: u8, value: Self) {
        core.set_fpr64::<FULL>(n, value);
    }
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
}

fn compute<A: Arithmetic, const FULL: bool>(
    core: &mut Core,
    op: &Op,
    rest: &[Op],
    cx: &mut Cx<'_>,
) -> Exit {
    let mut fcsr = core.fcsr;
    let get = |n: u8| A::From::get::<FULL>(core, n);
    let result = A::compute(&mut fcsr, get(op.b), || get(op.c), || get(op.imm as u8));
    core.fcsr = fcsr;
    match result {
        Ok(value) => {
            A::To::put::<FULL>(core, op.a, value);
            next(core, rest, cx)
        }
        Err(FpTrap) => core.raise(op, Exception::FloatingPoint),
    }
}

macro_rules! arithmetic {
    (unary $($name:ident: $from:ty => $to:ty;)*) => {
        $(arithmetic!(@ $name, $from, $to, fpu::$name, (fs, _ft, _fr), (fs));)*
    };
    (binary $($name:ident: $from:ty;)*) => {
        $(arithmetic!(@ $name, $from, $from, fpu::$name, (fs, ft, _fr), (fs, ft()));)*
    };
    (ternary $($name:ident: $from:ty;)*) => {
        $(arithmetic!(@ $name, $from, $from, fpu::$name, (fs, ft, fr), (fr(), fs, ft()));)*
    };
    (@ $name:ident, $from:ty, $to:ty, $function:path, ($fs:ident, $ft:ident, $fr:ident), ($($operand:expr),*)) => {
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
        }
    };
}

arithmetic! { binary
    add_s: u32; sub_s: u32; mul_s: u32; div_s: u32;
    add_d: u64; sub_d: u64; mul_d: u64; div_d: u64;
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

fn compare_s(core: &mut Core, op: &Op, rest: &[Op], cx: &mut Cx<'_>) -> Exit {
    let (fs, ft) = (core.fpr32(op.b), core.fpr32(op.c));
    match fpu::c_cond_s(&mut core.fcsr, op.imm & 15, op.imm >> 4, fs, ft) {
        Ok(()) => next(core, rest, cx),
        Err(FpTrap) => core.raise(op, Exception::FloatingPoint),
    }
}

fn compare_d<const FULL: bool>(core: &mut Core, op: &Op, rest: &[Op], cx: &mut Cx<'_>) -> Exit {
    let (fs, ft) = (core.fpr64::<FULL>(op.b), core.fpr64::<FULL>(op.c));
    match fpu::c_cond_d(&mut core.fcsr, op.imm & 15, op.imm >> 4, fs, ft) {
        Ok(()) => next(core, rest, cx),
        Err(FpTrap) => core.raise(op, Exception::FloatingPoint),
    }
}

/// Moves between floating point registers, under a condition.
macro_rules! moves {
    ($($name:ident($core:ident, $op:ident) = $holds:expr;)*) => {$(
        fn $name<V: Value, const FULL: bool>($core: &mut Core, $op: &Op, rest: &[Op], cx: &mut Cx<'_>) -> Exit {
            if $holds {
                let value = V::get::<FULL>($core, $op.b);
                V::put::<FULL>($core, $op.a, value);
            }
            next($core, rest, cx)
        }
    )*};
}

moves! {
    mov(core, op) = true;
    mov_false(core, op) = !core.fcsr.cc(op.c.into());
    mov_true(core, op) = core.fcsr.cc(op.c.into());
    mov_zero(core, op) = core.r[op.c] == 0;
    mov_not_zero(core, op) = core.r[op.c] != 0;
}

/// The function of an operation on values of a format, with all registers 64 bits wide or in pairs.
pub fn arithmetic(op: Fp, fmt: Fmt, full: bool) -> Handler {
    if full {
        choose::<true>(op, fmt)
    } else {
        choose::<false>(op, fmt)
    }
}

fn choose<const FULL: bool>(op: Fp, fmt: Fmt) -> Handler {
    match (op, fmt) {
        (Fp::Add, Fmt::S) => compute::<add_s, FULL>,
        (Fp::Sub, Fmt::S) => compute::<sub_s, FULL>,
        (Fp::Mul, Fmt::S) => compute::<mul_s, FULL>,
        (Fp::Div, Fmt::S) => compute::<div_s, FULL>,
        (Fp::Sqrt, Fmt::S) => compute::<sqrt_s, FULL>,
        (Fp::Abs, Fmt::S) => compute::<abs_s, FULL>,
        (Fp::Neg, Fmt::S) => compute::<neg_s, FULL>,
        (Fp::Recip, Fmt::S) => compute::<recip_s, FULL>,
        (Fp::Rsqrt, Fmt::S) => compute::<rsqrt_s, FULL>,
        (Fp::Madd, Fmt::S) => compute::<madd_s, FULL>,
        (Fp::Msub, Fmt::S) => compute::<msub_s, FULL>,
        (Fp::Nmadd, Fmt::S) => compute::<nmadd_s, FULL>,
        (Fp::Nmsub, Fmt::S) => compute::<nmsub_s, FULL>,
        (Fp::Add, Fmt::D) => compute::<add_d, FULL>,
        (Fp::Sub, Fmt::D) => compute::<sub_d, FULL>,
        (Fp::Mul, Fmt::D) => compute::<mul_d, FULL>,
        (Fp::Div, Fmt::D) => compute::<div_d, FULL>,
        (Fp::Sqrt, Fmt::D) => compute::<sqrt_d, FULL>,
        (Fp::Abs, Fmt::D) => compute::<abs_d, FULL>,
        (Fp::Neg, Fmt::D) => compute::<neg_d, FULL>,
        (Fp::Recip, Fmt::D) => compute::<recip_d, FULL>,
        (Fp::Rsqrt, Fmt::D) => compute::<rsqrt_d, FULL>,
        (Fp::Madd, Fmt::D) => compute::<madd_d, FULL>,
        (Fp::Msub, Fmt::D) => compute::<msub_d, FULL>,
        (Fp::Nmadd, Fmt::D) => compute::<nmadd_d, FULL>,
        (Fp::Nmsub, Fmt::D) => compute::<nmsub_d, FULL>,
        (Fp::ToW(How::Round), Fmt::S) => compute::<round_w_s, FULL>,
        (Fp::ToW(How::Trunc), Fmt::S) => compute::<trunc_w_s, FULL>,
        (Fp::ToW(How::Ceil), Fmt::S) => compute::<ceil_w_s, FULL>,
        (Fp::ToW(How::Floor), Fmt::S) => compute::<floor_w_s, FULL>,
        (Fp::ToW(How::Cvt), Fmt::S) => compute::<cvt_w_s, FULL>,
        (Fp::ToW(How::Round), Fmt::D) => compute::<round_w_d, FULL>,
        (Fp::ToW(How::Trunc), Fmt::D) => compute::<trunc_w_d, FULL>,
        (Fp::ToW(How::Ceil), Fmt::D) => compute::<ceil_w_d, FULL>,
        (Fp::ToW(How::Floor), Fmt::D) => compute::<floor_w_d, FULL>,
        (Fp::ToW(How::Cvt), Fmt::D) => compute::<cvt_w_d, FULL>,
        (Fp::ToL(How::Round), Fmt::S) => compute::<round_l_s, FULL>,
        (Fp::ToL(How::Trunc), Fmt::S) => compute::<trunc_l_s, FULL>,
        (Fp::ToL(How::Ceil), Fmt::S) => compute::<ceil_l_s, FULL>,
        (Fp::ToL(How::Floor), Fmt::S) => compute::<floor_l_s, FULL>,
        (Fp::ToL(How::Cvt), Fmt::S) => compute::<cvt_l_s, FULL>,
        (Fp::ToL(How::Round), Fmt::D) => compute::<round_l_d, FULL>,
        (Fp::ToL(How::Trunc), Fmt::D) => compute::<trunc_l_d, FULL>,
        (Fp::ToL(How::Ceil), Fmt::D) => compute::<ceil_l_d, FULL>,
        (Fp::ToL(How::Floor), Fmt::D) => compute::<floor_l_d, FULL>,
        (Fp::ToL(How::Cvt), Fmt::D) => compute::<cvt_l_d, FULL>,
        (Fp::ToS, Fmt::D) => compute::<cvt_s_d, FULL>,
        (Fp::ToS, Fmt::W) => compute::<cvt_s_w, FULL>,
        (Fp::ToS, Fmt::L) => compute::<cvt_s_l, FULL>,
        (Fp::ToD, Fmt::S) => compute::<cvt_d_s, FULL>,
        (Fp::ToD, Fmt::W) => compute::<cvt_d_w, FULL>,
        (Fp::ToD, Fmt::L) => compute::<cvt_d_l, FULL>,
        (Fp::Compare, Fmt::S) => compare_s,
        (Fp::Compare, Fmt::D) => compare_d::<FULL>,
        (Fp::Mov, Fmt::S) => mov::<u32, FULL>,
        (Fp::Movf, Fmt::S) => mov_false::<u32, FULL>,
        (Fp::Movt, Fmt::S) => mov_true::<u32, FULL>,
        (Fp::Movz, Fmt::S) => mov_zero::<u32, FULL>,
        (Fp::Movn, Fmt::S) => mov_not_zero::<u32, FULL>,
        (Fp::Mov, Fmt::D) => mov::<u64, FULL>,
        (Fp::Movf, Fmt::D) => mov_false::<u64, FULL>,
        (Fp::Movt, Fmt::D) => mov_true::<u64, FULL>,
        (Fp::Movz, Fmt::D) => mov_zero::<u64, FULL>,
        (Fp::Movn, Fmt::D) => mov_not_zero::<u64, FULL>,
        _ => super::system::reserved,
    }
}

fn mfc1(core: &mut Core, op: &Op, rest: &[Op], cx: &mut Cx<'_>) -> Exit {
    core.r[op.a] = core.fpr32(op.c);
    next(core, rest, cx)
}

fn mtc1(core: &mut Core, op: &Op, rest: &[Op], cx: &mut Cx<'_>) -> Exit {
    core.set_fpr32(op.c, core.r[op.b]);
    next(core, rest, cx)
}

fn mfhc1(core: &mut Core, op: &Op, rest: &[Op], cx: &mut Cx<'_>) -> Exit {
    core.r[op.a] = match core.fp {
        FpMode::Full => (core.fpr64::<true>(op.c) >> 32) as u32,
        _ => core.fpr32(op.c | 1),
    };
    next(core, rest, cx)
}

fn mthc1(core: &mut Core, op: &Op, rest: &[Op], cx: &mut Cx<'_>) -> Exit {
    let value = core.r[op.b];
    match core.fp {
        FpMode::Full => {
            let low = u64::from(core.fpr32(op.c));
            core.set_fpr64::<true>(op.c, u64::from(value) << 32 | low);
        }
        _ => core.set_fpr32(op.c | 1, value),
    }
    next(core, rest, cx)
}

fn cfc1(core: &mut Core, op: &Op, rest: &[Op], cx: &mut Cx<'_>) -> Exit {
    core.r[op.a] = core.fp_control(op.imm);
    next(core, rest, cx)
}

fn ctc1(core: &mut Core, op: &Op, rest: &[Op], cx: &mut Cx<'_>) -> Exit {
    match core.set_fp_control(op.imm, core.r[op.b]) {
        Ok(()) => next(core, rest, cx),
        Err(FpTrap) => core.raise(op, Exception::FloatingPoint),
    }
}

fn movf(core: &mut Core, op: &Op, rest: &[Op], cx: &mut Cx<'_>) -> Exit {
    if !core.fcsr.cc(op.c.into()) {
        core.r[op.a] = core.r[op.b];
    }
    next(core, rest, cx)
}

fn movt(core: &mut Core, op: &Op, rest: &[Op], cx: &mut Cx<'_>) -> Exit {
    if core.fcsr.cc(op.c.into()) {
        core.r[op.a] = core.r[op.b];
    }
    next(core, rest, cx)
}

/// The function of an instruction of this family that neither computes nor takes an address.
pub fn handler(kind: Kind) -> Option<Handler> {
    Some(match kind {
        Kind::Mfc1 => mfc1,
        Kind::Mtc1 => mtc1,
        Kind::Mfhc1 => mfhc1,
        Kind::Mthc1 => mthc1,
        Kind::Cfc1 => cfc1,
        Kind::Ctc1 => ctc1,
        Kind::Movf => movf,
        Kind::Movt => movt,
        _ => return None,
    })
}

/// How an instruction's address is made.
trait Address {
    fn of(core: &Core, op: &Op) -> u32;
}

/// Register and immediate.
struct Offset;
/// Two registers.
struct Indexed;
/// Two registers, made a multiple of eight.
struct Aligned;

impl Address for Offset {
    #[inline(always)]
    fn of(core: &Core, op: &Op) -> u32 {
        core.r[op.b].wrapping_add(op.imm)
    }
}

impl Address for Indexed {
    #[inline(always)]
    fn of(core: &Core, op: &Op) -> u32 {
        core.r[op.b].wrapping_add(core.r[op.imm as u8])
    }
}

impl Address for Aligned {
    #[inline(always)]
    fn of(core: &Core, op: &Op) -> u32 {
        Indexed::of(core, op) & !7
    }
}

fn load32<A: Address, const BIG: bool>(
    core: &mut Core,
    op: &Op,
    rest: &[Op],
    cx: &mut Cx<'_>,
) -> Exit {
    let va = A::of(core, op);
    let done = match core.soft.read_u32(va, core.key(va)) {
        Some(raw) => Ok(Done::Quiet(raw.into())),
        None => core.load(op, cx, va, 4),
    };
    finish!(done, core, op, rest, cx, |raw| {
        let raw = raw as u32;
        core.set_fpr32(op.c, if BIG { raw.swap_bytes() } else { raw });
    })
}

fn store32<A: Address, const BIG: bool>(
    core: &mut Core,
    op: &Op,
    rest: &[Op],
    cx: &mut Cx<'_>,
) -> Exit {
    let va = A::of(core, op);
    let value = core.fpr32(op.c);
    let raw = if BIG { value.swap_bytes() } else { value };
    let key = core.key(va);
    if core.soft.write_u32(va, key, raw) {
        return next(core, rest, cx);
    }
    let done = core.store(op, cx, va, 4, raw.into());
    finish!(done, core, op, rest, cx, |()| {})
}

fn load64<A: Address, const BIG: bool, const FULL: bool>(
    core: &mut Core,
    op: &Op,
    rest: &[Op],
    cx: &mut Cx<'_>,
) -> Exit {
    let va = A::of(core, op);
    let done = match core.soft.read_u64(va, core.key(va)) {
        Some(raw) => Ok(Done::Quiet(raw)),
        None => core.load(op, cx, va, 8),
    };
    finish!(done, core, op, rest, cx, |raw| {
        core.set_fpr64::<FULL>(op.c, if BIG { raw.swap_bytes() } else { raw });
    })
}

fn store64<A: Address, const BIG: bool, const FULL: bool>(
    core: &mut Core,
    op: &Op,
    rest: &[Op],
    cx: &mut Cx<'_>,
) -> Exit {
    let va = A::of(core, op);
    let value = core.fpr64::<FULL>(op.c);
    let raw = if BIG { value.swap_bytes() } else { value };
    let key = core.key(va);
    if core.soft.write_u64(va, key, raw) {
        return next(core, rest, cx);
    }
    let done = core.store(op, cx, va, 8, raw);
    finish!(done, core, op, rest, cx, |()| {})
}

/// The function of a load or store of a floating point register.
pub fn memory(kind: Kind, mode: Mode) -> Option<Handler> {
    if mode.big_endian {
        by_order::<true>(kind, mode.fp)
    } else {
        by_order::<false>(kind, mode.fp)
    }
}

fn by_order<const BIG: bool>(kind: Kind, fp: FpMode) -> Option<Handler> {
    Some(match (kind, fp) {
        (Kind::Lwc1, _) => load32::<Offset, BIG>,
        (Kind::Swc1, _) => store32::<Offset, BIG>,
        (Kind::Lwxc1, _) => load32::<Indexed, BIG>,
        (Kind::Swxc1, _) => store32::<Indexed, BIG>,
        (Kind::Ldc1, FpMode::Full) => load64::<Offset, BIG, true>,
        (Kind::Ldc1, _) => load64::<Offset, BIG, false>,
        (Kind::Sdc1, FpMode::Full) => store64::<Offset, BIG, true>,
        (Kind::Sdc1, _) => store64::<Offset, BIG, false>,
        (Kind::Ldxc1, FpMode::Full) => load64::<Indexed, BIG, true>,
        (Kind::Ldxc1, _) => load64::<Indexed, BIG, false>,
        (Kind::Sdxc1, FpMode::Full) => store64::<Indexed, BIG, true>,
        (Kind::Sdxc1, _) => store64::<Indexed, BIG, false>,
        (Kind::Luxc1, _) => load64::<Aligned, BIG, true>,
        (Kind::Suxc1, _) => store64::<Aligned, BIG, true>,
        _ => return None,
    })
}
