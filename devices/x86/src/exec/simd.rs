//! Integers in vectors: MMX, and what SSE2 to SSE4.2 have added.
//!
//! Intel SDM, volume 2.

use iced_x86::Mnemonic;
use solderless_model::Cx;

use super::{Handler, Op, Step, vector};
use crate::core::{Core, flag};
use crate::inst::Operand;

pub fn handler(mnemonic: Mnemonic) -> Option<Handler> {
    use Mnemonic::*;
    Some(match mnemonic {
        Paddb | Paddw | Paddd | Paddq | Psubb | Psubw | Psubd | Psubq | Paddsb | Paddsw
        | Paddusb | Paddusw | Psubsb | Psubsw | Psubusb | Psubusw | Pmullw | Pmulhw | Pmulhuw
        | Pmuludq | Pmaddwd | Pavgb | Pavgw | Psadbw | Pminub | Pmaxub | Pminsw | Pmaxsw
        | Pcmpeqb | Pcmpeqw | Pcmpeqd | Pcmpgtb | Pcmpgtw | Pcmpgtd | Pand | Pandn | Por | Pxor
        | Andps | Andpd | Andnps | Andnpd | Orps | Orpd | Xorps | Xorpd | Packsswb | Packssdw
        | Packuswb | Punpcklbw | Punpcklwd | Punpckldq | Punpcklqdq | Punpckhbw | Punpckhwd
        | Punpckhdq | Punpckhqdq | Unpcklps | Unpcklpd | Unpckhps | Unpckhpd | Psllw | Pslld
        | Psllq | Psrlw | Psrld | Psrlq | Psraw | Psrad | Pslldq | Psrldq | Pshufb | Phaddw
        | Phaddd | Phaddsw | Phsubw | Phsubd | Phsubsw | Pmaddubsw | Pmulhrsw | Psignb | Psignw
        | Psignd | Pabsb | Pabsw | Pabsd | Palignr | Pshufw | Pshufd | Pshuflw | Pshufhw
        | Shufps | Shufpd | Packusdw | Pmuldq | Pmulld | Pcmpeqq | Pcmpgtq | Pminsb | Pmaxsb
        | Pminuw | Pmaxuw | Pminud | Pmaxud | Pminsd | Pmaxsd | Phminposuw | Pmovsxbw
        | Pmovsxbd | Pmovsxbq | Pmovsxwd | Pmovsxwq | Pmovsxdq | Pmovzxbw | Pmovzxbd | Pmovzxbq
        | Pmovzxwd | Pmovzxwq | Pmovzxdq | Pblendw | Blendps | Blendpd | Mpsadbw => packed,
        Pblendvb => blend_by_xmm0::<1>,
        Blendvps => blend_by_xmm0::<4>,
        Blendvpd => blend_by_xmm0::<8>,
        Ptest => test,
        Pcmpestri | Pcmpestri64 => strings::<true, true>,
        Pcmpestrm | Pcmpestrm64 => strings::<true, false>,
        Pcmpistri => strings::<false, true>,
        Pcmpistrm => strings::<false, false>,
        _ => return None,
    })
}

/// An instruction that makes its first operand of both.
fn packed(core: &mut Core, op: &Op, cx: &mut Cx<'_>) -> Step {
    core.begin_vector(cx, op)?;
    let b = core.vector(cx, op, 1, true)?;
    let (bytes, a) = match op.inst.ops[0] {
        Operand::Mm(n) => (8, core.fpu.mm(n).into()),
        Operand::Xmm(n) => (16, core.fpu.x(n)),
        _ => (16, 0),
    };
    let value = compute(op.inst.mnemonic, a, b, bytes, op.inst.imm as u8);
    core.set_vector(cx, op, 0, value, true)
}

macro_rules! lanes {
    ($($each:ident, $split:ident, $join:ident, $type:ty, $count:literal;)*) => {$(
        /// The elements of a vector.
        #[inline(always)]
        fn $split(a: u128) -> [$type; $count] {
            std::array::from_fn(|n| (a >> (n as u32 * <$type>::BITS)) as $type)
        }

        /// A vector of elements.
        #[inline(always)]
        fn $join(a: [$type; $count]) -> u128 {
            a.iter().rev().fold(0, |all, x| all.checked_shl(<$type>::BITS).unwrap_or(0) | u128::from(*x))
        }

        /// Element by element.
        #[inline(always)]
        fn $each(a: u128, b: u128, f: impl Fn($type, $type) -> $type) -> u128 {
            let (a, b) = ($split(a), $split(b));
            $join(std::array::from_fn(|n| f(a[n], b[n])))
        }
    )*};
}

lanes! {
    each8, split8, join8, u8, 16;
    each16, split16, join16, u16, 8;
    each32, split32, join32, u32, 4;
    each64, split64, join64, u64, 2;
}

/// All ones or none.
macro_rules! all_if {
    ($condition:expr, $type:ty) => {
        if $condition { <$type>::MAX } else { 0 }
    };
}

fn to_i8(value: i32) -> u8 {
    value.clamp(i8::MIN.into(), i8::MAX.into()) as u8
}

fn to_u8(value: i32) -> u8 {
    value.clamp(0, u8::MAX.into()) as u8
}

fn to_i16(value: i32) -> u16 {
    value.clamp(i16::MIN.into(), i16::MAX.into()) as u16
}

fn to_u16(value: i32) -> u16 {
    value.clamp(0, u16::MAX.into()) as u16
}

/// Elements of `a` and then of `b`, made smaller.
macro_rules! pack {
    ($a:ident, $b:ident, $bytes:ident, $split:ident, $join:ident, $signed:ty, $from:literal, $to:ident) => {{
        let count = $bytes / $from;
        let (a, b) = ($split($a), $split($b));
        $join(std::array::from_fn(|n| {
            let value = match n {
                n if n < count => a[n],
                n if n < 2 * count => b[n - count],
                _ => 0,
            };
            $to(i32::from(value as $signed))
        }))
    }};
}

/// Elements of both in turns, from the low or the high half.
macro_rules! unpack {
    ($a:ident, $b:ident, $bytes:ident, $split:ident, $join:ident, $size:literal, $high:literal) => {{
        let first = if $high { $bytes / $size / 2 } else { 0 };
        let (a, b) = ($split($a), $split($b));
        $join(std::array::from_fn(|n| {
            let from = if n % 2 == 0 { &a } else { &b };
            from.get(first + n / 2).copied().unwrap_or(0)
        }))
    }};
}

/// Neighbours of `a` and then of `b`, taken together.
macro_rules! horizontal {
    ($a:ident, $b:ident, $bytes:ident, $split:ident, $join:ident, $size:literal, $f:expr) => {{
        let count = $bytes / $size / 2;
        let (a, b) = ($split($a), $split($b));
        $join(std::array::from_fn(|n| {
            let from = if n < count { &a } else { &b };
            let at = 2 * (n % count);
            $f(from[at], from[at + 1])
        }))
    }};
}

/// Wider elements of the low ones.
macro_rules! widen {
    ($b:ident, $split:ident, $join:ident, $from:ty, $to:ty) => {{
        let b = $split($b);
        $join(std::array::from_fn(|n| b[n] as $from as $to))
    }};
}

fn shift_count(b: u128) -> u32 {
    // All 64 bits of it count.
    u32::try_from(b as u64).unwrap_or(u32::MAX)
}

fn shuffle4<T: Copy>(from: [T; 4], order: u8) -> [T; 4] {
    std::array::from_fn(|n| from[usize::from(order >> (2 * n) & 3)])
}

/// What an instruction computes of vectors of so many bytes.
fn compute(what: Mnemonic, a: u128, b: u128, bytes: usize, imm: u8) -> u128 {
    use Mnemonic::*;
    let signed8 = |x: u8| i32::from(x as i8);
    let signed16 = |x: u16| i32::from(x as i16);
    match what {
        Paddb => each8(a, b, u8::wrapping_add),
        Paddw => each16(a, b, u16::wrapping_add),
        Paddd => each32(a, b, u32::wrapping_add),
        Paddq => each64(a, b, u64::wrapping_add),
        Psubb => each8(a, b, u8::wrapping_sub),
        Psubw => each16(a, b, u16::wrapping_sub),
        Psubd => each32(a, b, u32::wrapping_sub),
        Psubq => each64(a, b, u64::wrapping_sub),
        Paddsb => each8(a, b, |a, b| to_i8(signed8(a) + signed8(b))),
        Paddsw => each16(a, b, |a, b| to_i16(signed16(a) + signed16(b))),
        Paddusb => each8(a, b, u8::saturating_add),
        Paddusw => each16(a, b, u16::saturating_add),
        Psubsb => each8(a, b, |a, b| to_i8(signed8(a) - signed8(b))),
        Psubsw => each16(a, b, |a, b| to_i16(signed16(a) - signed16(b))),
        Psubusb => each8(a, b, u8::saturating_sub),
        Psubusw => each16(a, b, u16::saturating_sub),
        Pmullw => each16(a, b, u16::wrapping_mul),
        Pmulhw => each16(a, b, |a, b| ((signed16(a) * signed16(b)) >> 16) as u16),
        Pmulhuw => each16(a, b, |a, b| ((u32::from(a) * u32::from(b)) >> 16) as u16),
        Pmulhrsw => each16(a, b, |a, b| {
            ((((signed16(a) * signed16(b)) >> 14) + 1) >> 1) as u16
        }),
        Pmuludq => each64(a, b, |a, b| (a & 0xffff_ffff) * (b & 0xffff_ffff)),
        Pmuldq => each64(a, b, |a, b| {
            (i64::from(a as i32) * i64::from(b as i32)) as u64
        }),
        Pmulld => each32(a, b, u32::wrapping_mul),
        Pmaddwd => {
            let (a, b) = (split16(a), split16(b));
            let product = |n: usize| signed16(a[n]).wrapping_mul(signed16(b[n]));
            join32(std::array::from_fn(|n| {
                product(2 * n).wrapping_add(product(2 * n + 1)) as u32
            }))
        }
        Pmaddubsw => {
            let (a, b) = (split8(a), split8(b));
            let product = |n: usize| i32::from(a[n]) * signed8(b[n]);
            join16(std::array::from_fn(|n| {
                to_i16(product(2 * n) + product(2 * n + 1))
            }))
        }
        Pavgb => each8(a, b, |a, b| ((u32::from(a) + u32::from(b) + 1) >> 1) as u8),
        Pavgw => each16(a, b, |a, b| ((u32::from(a) + u32::from(b) + 1) >> 1) as u16),
        Psadbw => {
            let (a, b) = (split8(a), split8(b));
            join64(std::array::from_fn(|half| {
                (8 * half..8 * half + 8)
                    .map(|n| u64::from(a[n].abs_diff(b[n])))
                    .sum()
            }))
        }
        Mpsadbw => {
            let (a, b) = (split8(a), split8(b));
            let (to, from) = (usize::from(imm >> 2 & 1) * 4, usize::from(imm & 3) * 4);
            join16(std::array::from_fn(|n| {
                (0..4)
                    .map(|k| u16::from(a[to + n + k].abs_diff(b[from + k])))
                    .sum()
            }))
        }
        Pminub => each8(a, b, u8::min),
        Pmaxub => each8(a, b, u8::max),
        Pminsb => each8(a, b, |a, b| (a as i8).min(b as i8) as u8),
        Pmaxsb => each8(a, b, |a, b| (a as i8).max(b as i8) as u8),
        Pminuw => each16(a, b, u16::min),
        Pmaxuw => each16(a, b, u16::max),
        Pminsw => each16(a, b, |a, b| (a as i16).min(b as i16) as u16),
        Pmaxsw => each16(a, b, |a, b| (a as i16).max(b as i16) as u16),
        Pminud => each32(a, b, u32::min),
        Pmaxud => each32(a, b, u32::max),
        Pminsd => each32(a, b, |a, b| (a as i32).min(b as i32) as u32),
        Pmaxsd => each32(a, b, |a, b| (a as i32).max(b as i32) as u32),
        Phminposuw => {
            let all = split16(b).into_iter().zip(0u128..);
            let (value, place) = all.min().unwrap_or_default();
            u128::from(value) | place << 16
        }
        Pcmpeqb => each8(a, b, |a, b| all_if!(a == b, u8)),
        Pcmpeqw => each16(a, b, |a, b| all_if!(a == b, u16)),
        Pcmpeqd => each32(a, b, |a, b| all_if!(a == b, u32)),
        Pcmpeqq => each64(a, b, |a, b| all_if!(a == b, u64)),
        Pcmpgtb => each8(a, b, |a, b| all_if!(a as i8 > b as i8, u8)),
        Pcmpgtw => each16(a, b, |a, b| all_if!(a as i16 > b as i16, u16)),
        Pcmpgtd => each32(a, b, |a, b| all_if!(a as i32 > b as i32, u32)),
        Pcmpgtq => each64(a, b, |a, b| all_if!(a as i64 > b as i64, u64)),
        Pand | Andps | Andpd => a & b,
        Pandn | Andnps | Andnpd => !a & b,
        Por | Orps | Orpd => a | b,
        Pxor | Xorps | Xorpd => a ^ b,
        Packsswb => pack!(a, b, bytes, split16, join8, i16, 2, to_i8),
        Packuswb => pack!(a, b, bytes, split16, join8, i16, 2, to_u8),
        Packssdw => pack!(a, b, bytes, split32, join16, i32, 4, to_i16),
        Packusdw => pack!(a, b, bytes, split32, join16, i32, 4, to_u16),
        Punpcklbw => unpack!(a, b, bytes, split8, join8, 1, false),
        Punpckhbw => unpack!(a, b, bytes, split8, join8, 1, true),
        Punpcklwd => unpack!(a, b, bytes, split16, join16, 2, false),
        Punpckhwd => unpack!(a, b, bytes, split16, join16, 2, true),
        Punpckldq | Unpcklps => unpack!(a, b, bytes, split32, join32, 4, false),
        Punpckhdq | Unpckhps => unpack!(a, b, bytes, split32, join32, 4, true),
        Punpcklqdq | Unpcklpd => unpack!(a, b, bytes, split64, join64, 8, false),
        Punpckhqdq | Unpckhpd => unpack!(a, b, bytes, split64, join64, 8, true),
        Psllw => {
            let by = shift_count(b);
            each16(a, 0, |a, _| a.checked_shl(by).unwrap_or(0))
        }
        Pslld => {
            let by = shift_count(b);
            each32(a, 0, |a, _| a.checked_shl(by).unwrap_or(0))
        }
        Psllq => {
            let by = shift_count(b);
            each64(a, 0, |a, _| a.checked_shl(by).unwrap_or(0))
        }
        Psrlw => {
            let by = shift_count(b);
            each16(a, 0, |a, _| a.checked_shr(by).unwrap_or(0))
        }
        Psrld => {
            let by = shift_count(b);
            each32(a, 0, |a, _| a.checked_shr(by).unwrap_or(0))
        }
        Psrlq => {
            let by = shift_count(b);
            each64(a, 0, |a, _| a.checked_shr(by).unwrap_or(0))
        }
        Psraw => {
            let by = shift_count(b).min(15);
            each16(a, 0, |a, _| ((a as i16) >> by) as u16)
        }
        Psrad => {
            let by = shift_count(b).min(31);
            each32(a, 0, |a, _| ((a as i32) >> by) as u32)
        }
        Pslldq => a.checked_shl(8 * b as u32).unwrap_or(0),
        Psrldq => a.checked_shr(8 * b as u32).unwrap_or(0),
        Palignr => {
            let by = 8 * u32::from(imm);
            let width = 8 * bytes as u32;
            let above = match by {
                by if by >= 2 * width => 0,
                by if by >= width => a >> (by - width),
                by => a.checked_shl(width - by).unwrap_or(0),
            };
            above | if by < width { b >> by } else { 0 }
        }
        Pshufb => {
            let a = split8(a);
            let of = |which: u8| match which & 0x80 {
                0 => a[usize::from(which) & (bytes - 1)],
                _ => 0,
            };
            join8(split8(b).map(of))
        }
        Phaddw => horizontal!(a, b, bytes, split16, join16, 2, u16::wrapping_add),
        Phaddd => horizontal!(a, b, bytes, split32, join32, 4, u32::wrapping_add),
        Phsubw => horizontal!(a, b, bytes, split16, join16, 2, u16::wrapping_sub),
        Phsubd => horizontal!(a, b, bytes, split32, join32, 4, u32::wrapping_sub),
        Phaddsw => horizontal!(a, b, bytes, split16, join16, 2, |a, b| to_i16(
            signed16(a) + signed16(b)
        )),
        Phsubsw => horizontal!(a, b, bytes, split16, join16, 2, |a, b| to_i16(
            signed16(a) - signed16(b)
        )),
        Psignb => each8(a, b, |a, b| match (b as i8).signum() {
            -1 => a.wrapping_neg(),
            0 => 0,
            _ => a,
        }),
        Psignw => each16(a, b, |a, b| match (b as i16).signum() {
            -1 => a.wrapping_neg(),
            0 => 0,
            _ => a,
        }),
        Psignd => each32(a, b, |a, b| match (b as i32).signum() {
            -1 => a.wrapping_neg(),
            0 => 0,
            _ => a,
        }),
        Pabsb => each8(b, 0, |b, _| (b as i8).unsigned_abs()),
        Pabsw => each16(b, 0, |b, _| (b as i16).unsigned_abs()),
        Pabsd => each32(b, 0, |b, _| (b as i32).unsigned_abs()),
        Pshufw | Pshuflw | Pshufhw => {
            let mut all = split16(b);
            let first = if what == Pshufhw { 4 } else { 0 };
            let part = std::array::from_fn(|n| all[first + n]);
            all[first..first + 4].copy_from_slice(&shuffle4(part, imm));
            join16(all)
        }
        Pshufd => join32(shuffle4(split32(b), imm)),
        Shufps => {
            let (low, high) = (shuffle4(split32(a), imm), shuffle4(split32(b), imm));
            join32([low[0], low[1], high[2], high[3]])
        }
        Shufpd => {
            let pick = |from: u128, n: u8| split64(from)[usize::from(imm >> n & 1)];
            join64([pick(a, 0), pick(b, 1)])
        }
        Pmovsxbw => widen!(b, split8, join16, i8, u16),
        Pmovsxbd => widen!(b, split8, join32, i8, u32),
        Pmovsxbq => widen!(b, split8, join64, i8, u64),
        Pmovsxwd => widen!(b, split16, join32, i16, u32),
        Pmovsxwq => widen!(b, split16, join64, i16, u64),
        Pmovsxdq => widen!(b, split32, join64, i32, u64),
        Pmovzxbw => widen!(b, split8, join16, u8, u16),
        Pmovzxbd => widen!(b, split8, join32, u8, u32),
        Pmovzxbq => widen!(b, split8, join64, u8, u64),
        Pmovzxwd => widen!(b, split16, join32, u16, u32),
        Pmovzxwq => widen!(b, split16, join64, u16, u64),
        Pmovzxdq => widen!(b, split32, join64, u32, u64),
        Pblendw => blend(a, b, 16, imm),
        Blendps => blend(a, b, 32, imm),
        _ => blend(a, b, 64, imm),
    }
}

/// Of each element, of so many bits, the one of `b` where a bit says so.
fn blend(a: u128, b: u128, bits: u32, which: u8) -> u128 {
    let element = |n: u32| ((1 << bits) - 1) << (bits * n);
    let mask = (0..128 / bits)
        .filter(|n| which >> n & 1 != 0)
        .fold(0, |all, n| all | element(n));
    a & !mask | b & mask
}

/// The same where the highest bit of XMM0's element says so.
fn blend_by_xmm0<const SIZE: u32>(core: &mut Core, op: &Op, cx: &mut Cx<'_>) -> Step {
    core.has_sse()?;
    let b = core.vector(cx, op, 1, true)?;
    let a = core.vector(cx, op, 0, true)?;
    let by = core.fpu.x(0);
    let element = |n: u32| (1u128 << (8 * SIZE)).wrapping_sub(1) << (8 * SIZE * n);
    let mask = (0..16 / SIZE)
        .filter(|n| by >> (8 * SIZE * (n + 1) - 1) & 1 != 0)
        .fold(0, |all, n| all | element(n));
    core.set_vector(cx, op, 0, a & !mask | b & mask, true)
}

fn test(core: &mut Core, op: &Op, cx: &mut Cx<'_>) -> Step {
    core.has_sse()?;
    let b = core.vector(cx, op, 1, true)?;
    let a = core.vector(cx, op, 0, true)?;
    let bit = |zero: bool, bit: u64| if zero { bit } else { 0 };
    let flags = bit(a & b == 0, flag::ZF) | bit(!a & b == 0, flag::CF);
    core.set_flags(flag::ARITHMETIC, flags);
    Ok(())
}

/// The elements of a text, and how many are valid.
struct Text {
    elements: [i32; 16],
    valid: usize,
}

impl Text {
    /// Of a vector as an immediate says; `length` is what a register says, if one does.
    fn new(from: u128, imm: u8, length: Option<i64>) -> Self {
        let count = if imm & 1 != 0 { 8 } else { 16 };
        let element = |n: usize| match imm & 3 {
            0 => split8(from)[n].into(),
            1 => split16(from)[n & 7].into(),
            2 => (split8(from)[n] as i8).into(),
            _ => (split16(from)[n & 7] as i16).into(),
        };
        let elements: [i32; 16] = std::array::from_fn(element);
        let valid = match length {
            Some(length) => length.unsigned_abs().min(count as u64) as usize,
            None => elements[..count]
                .iter()
                .position(|x| *x == 0)
                .unwrap_or(count),
        };
        Self { elements, valid }
    }
}

/// PCMPESTRI and the like (Intel SDM, volume 2, 4.1).
fn strings<const EXPLICIT: bool, const INDEX: bool>(
    core: &mut Core,
    op: &Op,
    cx: &mut Cx<'_>,
) -> Step {
    core.has_sse()?;
    let b = core.vector(cx, op, 1, !vector::anywhere(op.inst.code))?;
    let a = core.vector(cx, op, 0, true)?;
    let imm = op.inst.imm as u8;
    let wide = matches!(
        op.inst.mnemonic,
        Mnemonic::Pcmpestri64 | Mnemonic::Pcmpestrm64
    );
    let length = |n: u8| match (EXPLICIT, wide) {
        (false, _) => None,
        (_, true) => Some(core.reg(n, 8) as i64),
        (_, false) => Some(i64::from(core.reg(n, 4) as i32)),
    };
    let a = Text::new(a, imm, length(crate::core::RAX));
    let b = Text::new(b, imm, length(crate::core::RDX));
    let count = if imm & 1 != 0 { 8 } else { 16 };
    let there = |text: &Text, n: usize| n < text.valid;
    let equal = |j: usize, i: usize| a.elements[j] == b.elements[i];
    let found = |i: usize| match imm >> 2 & 3 {
        // Any of the first.
        0 => there(&b, i) && (0..a.valid).any(|j| equal(j, i)),
        // Between two of the first.
        1 => {
            let within = |j: usize| (a.elements[j]..=a.elements[j + 1]).contains(&b.elements[i]);
            there(&b, i) && (0..a.valid / 2).any(|pair| within(2 * pair))
        }
        // The same at the same place; both are over at the same place as well.
        2 => match (there(&a, i), there(&b, i)) {
            (true, true) => equal(i, i),
            (first, second) => first == second,
        },
        // The first starts here.
        _ => (0..count - i).all(|j| !there(&a, j) || there(&b, i + j) && equal(j, i + j)),
    };
    let mut bits = (0..count).fold(0u32, |all, i| all | u32::from(found(i)) << i);
    let all = (1u32 << count) - 1;
    match imm >> 4 & 3 {
        1 => bits ^= all,
        3 => bits ^= (1u32 << b.valid) - 1,
        _ => {}
    }
    let high = imm & 0x40 != 0;
    if INDEX {
        let index = match (bits, high) {
            (0, _) => count as u32,
            (_, true) => 31 - bits.leading_zeros(),
            (_, false) => bits.trailing_zeros(),
        };
        core.set_reg(crate::core::RCX, 4, index.into());
    } else {
        let size = if imm & 1 != 0 { 16 } else { 8 };
        let element = |n: usize| ((1u128 << size) - 1) << (size * n);
        let mask = match high {
            true => (0..count)
                .filter(|n| bits >> n & 1 != 0)
                .fold(0, |all, n| all | element(n)),
            false => bits.into(),
        };
        core.fpu.set_x(0, mask);
    }
    let set = |on: bool, bit: u64| if on { bit } else { 0 };
    let flags = set(bits != 0, flag::CF)
        | set(b.valid < count, flag::ZF)
        | set(a.valid < count, flag::SF)
        | set(bits & 1 != 0, flag::OF);
    core.set_flags(flag::ARITHMETIC, flags);
    Ok(())
}
