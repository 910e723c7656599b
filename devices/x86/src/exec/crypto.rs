//! AES, products without carries, CRC-32 and random numbers.
//!
//! FIPS 197; Intel SDM, volume 2.

use iced_x86::Mnemonic;
use solderless_model::Cx;

use super::{Handler, Op, Step};
use crate::core::Core;
use crate::inst::Operand;

pub fn handler(mnemonic: Mnemonic) -> Option<Handler> {
    use Mnemonic::*;
    Some(match mnemonic {
        Aesenc => round::<true, false>,
        Aesenclast => round::<true, true>,
        Aesdec => round::<false, false>,
        Aesdeclast => round::<false, true>,
        Aesimc => inverse_mix,
        Aeskeygenassist => key,
        Pclmulqdq => product,
        Crc32 => crc,
        _ => return None,
    })
}

/// A product in the field of AES, whose polynomial is x^8 + x^4 + x^3 + x + 1.
const fn times(a: u8, b: u8) -> u8 {
    let (mut a, mut b, mut product) = (a, b, 0);
    while b != 0 {
        if b & 1 != 0 {
            product ^= a;
        }
        a = a << 1 ^ if a & 0x80 != 0 { 0x1b } else { 0 };
        b >>= 1;
    }
    product
}

/// SubBytes (FIPS 197, 5.1.1).
const BOX: [u8; 256] = {
    let mut table = [0; 256];
    let mut n = 0;
    while n < 256 {
        let x = n as u8;
        // The inverse is the 254th power.
        let (mut inverse, mut power, mut k) = (1, x, 1);
        while k < 8 {
            power = times(power, power);
            inverse = times(inverse, power);
            k += 1;
        }
        let s = inverse;
        table[n] =
            s ^ s.rotate_left(1) ^ s.rotate_left(2) ^ s.rotate_left(3) ^ s.rotate_left(4) ^ 0x63;
        n += 1;
    }
    table
};

/// InvSubBytes.
const INVERSE: [u8; 256] = {
    let mut table = [0; 256];
    let mut n = 0;
    while n < 256 {
        table[BOX[n] as usize] = n as u8;
        n += 1;
    }
    table
};

/// MixColumns, or its inverse.
fn mix(state: [u8; 16], factors: [u8; 4]) -> [u8; 16] {
    std::array::from_fn(|n| {
        let column = n / 4 * 4;
        (0..4).fold(0, |sum, k| {
            sum ^ times(state[column + k], factors[(k + 4 - n % 4) % 4])
        })
    })
}

const MIX: [u8; 4] = [2, 3, 1, 1];
const UNMIX: [u8; 4] = [14, 11, 13, 9];

/// A round, or the last one.
fn round<const ENCRYPT: bool, const LAST: bool>(core: &mut Core, op: &Op, cx: &mut Cx<'_>) -> Step {
    core.has_sse()?;
    let key = core.vector(cx, op, 1, true)?;
    let state = core.vector(cx, op, 0, true)?.to_le_bytes();
    let (table, by, factors) = match ENCRYPT {
        true => (&BOX, 4, MIX),
        false => (&INVERSE, 12, UNMIX),
    };
    // Rows are turned by their number of places.
    let turned: [u8; 16] = std::array::from_fn(|n| {
        let row = n % 4;
        table[usize::from(state[(n + by * row) % 16])]
    });
    let mixed = match LAST {
        true => turned,
        false => mix(turned, factors),
    };
    core.set_vector(cx, op, 0, u128::from_le_bytes(mixed) ^ key, true)
}

fn inverse_mix(core: &mut Core, op: &Op, cx: &mut Cx<'_>) -> Step {
    core.has_sse()?;
    let state = core.vector(cx, op, 1, true)?.to_le_bytes();
    core.set_vector(cx, op, 0, u128::from_le_bytes(mix(state, UNMIX)), true)
}

fn key(core: &mut Core, op: &Op, cx: &mut Cx<'_>) -> Step {
    core.has_sse()?;
    let from = core.vector(cx, op, 1, true)?;
    let substituted = |n: u32| {
        let bytes = ((from >> (32 * n)) as u32).to_le_bytes();
        u32::from_le_bytes(bytes.map(|byte| BOX[usize::from(byte)]))
    };
    let constant = op.inst.imm as u32 & 0xff;
    let words = [1, 3].map(substituted);
    let turned = words.map(|word| word.rotate_right(8) ^ constant);
    let all = [words[0], turned[0], words[1], turned[1]];
    let value = all
        .iter()
        .rev()
        .fold(0u128, |value, word| value << 32 | u128::from(*word));
    core.set_vector(cx, op, 0, value, true)
}

fn product(core: &mut Core, op: &Op, cx: &mut Cx<'_>) -> Step {
    core.has_sse()?;
    let b = core.vector(cx, op, 1, true)?;
    let a = core.vector(cx, op, 0, true)?;
    let half = |x: u128, bit: u32| x >> (64 * (op.inst.imm >> bit & 1)) & u128::from(u64::MAX);
    let (a, b) = (half(a, 0), half(b, 4));
    let product = (0..64)
        .filter(|n| b >> n & 1 != 0)
        .fold(0, |sum, n| sum ^ a << n);
    core.set_vector(cx, op, 0, product, true)
}

/// CRC-32C, with bits in the order of iSCSI.
fn crc(core: &mut Core, op: &Op, cx: &mut Cx<'_>) -> Step {
    let value = core.get(cx, op, 1)?;
    let size = match op.inst.ops[1] {
        Operand::Reg(_, size) | Operand::Mem(size) => size,
        _ => 1,
    };
    let old = core.get(cx, op, 0)? as u32;
    let crc = value.to_le_bytes()[..usize::from(size)]
        .iter()
        .fold(old, |crc, byte| {
            (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
                crc >> 1 ^ if crc & 1 != 0 { 0x82f6_3b78 } else { 0 }
            })
        });
    core.put(cx, op, 0, crc.into())
}
