//! Integer arithmetic: what does not touch memory, control flow or privilege.
//!
//! The Unprivileged ISA (20191213), chapters 2, 5 and 7, and the Bit-Manipulation specification (1.0.0). What ends in `w` works
//! on the low 32 bits and gives them sign-extended: RV64's instructions for words, and those that RV32 has in their place.

use solderless_engine::Exit;
use solderless_model::Cx;

use super::{Handler, Op, next};
use crate::core::Core;

fn word(value: u64) -> u64 {
    value as i32 as u64
}

fn bit(number: u64, bits: u64) -> u64 {
    1 << (number & (bits - 1))
}

/// Each operation once: the value of the destination from those of two sources.
macro_rules! operations {
    ($($name:ident |$b:pat_param, $c:pat_param| $value:expr;)*) => {
        /// An operation on integer registers.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Alu { $($name),* }

        impl Alu {
            /// Executes it with two registers.
            pub fn registers(self) -> Handler {
                match self {
                    $(Self::$name => {
                        fn run(core: &mut Core, op: &Op, rest: &[Op], cx: &mut Cx<'_>) -> Exit {
                            let ($b, $c) = (core.x[op.b], core.x[op.c]);
                            core.x[op.a] = $value;
                            next(core, rest, cx)
                        }
                        run
                    })*
                }
            }

            /// Executes it with a register and a number.
            pub fn number(self) -> Handler {
                match self {
                    $(Self::$name => {
                        fn run(core: &mut Core, op: &Op, rest: &[Op], cx: &mut Cx<'_>) -> Exit {
                            let ($b, $c) = (core.x[op.b], i64::from(op.imm) as u64);
                            core.x[op.a] = $value;
                            next(core, rest, cx)
                        }
                        run
                    })*
                }
            }
        }
    };
}

operations! {
    Add |b, c| b.wrapping_add(c);
    Sub |b, c| b.wrapping_sub(c);
    Sll |b, c| b << (c & 63);
    Slt |b, c| u64::from((b as i64) < c as i64);
    Sltu |b, c| u64::from(b < c);
    Xor |b, c| b ^ c;
    Srl |b, c| b >> (c & 63);
    Sra |b, c| (b as i64 >> (c & 63)) as u64;
    Or |b, c| b | c;
    And |b, c| b & c;
    Addw |b, c| word(b.wrapping_add(c));
    Subw |b, c| word(b.wrapping_sub(c));
    Sllw |b, c| word(b << (c & 31));
    Srlw |b, c| word(u64::from(b as u32 >> (c & 31)));
    Sraw |b, c| (b as i32 >> (c & 31)) as u64;

    Mul |b, c| b.wrapping_mul(c);
    Mulh |b, c| ((i128::from(b as i64) * i128::from(c as i64)) >> 64) as u64;
    Mulhsu |b, c| ((i128::from(b as i64) * i128::from(c)) >> 64) as u64;
    Mulhu |b, c| ((u128::from(b) * u128::from(c)) >> 64) as u64;
    Div |b, c| match c {
        0 => u64::MAX,
        _ => (b as i64).wrapping_div(c as i64) as u64,
    };
    Divu |b, c| b.checked_div(c).unwrap_or(u64::MAX);
    Rem |b, c| match c {
        0 => b,
        _ => (b as i64).wrapping_rem(c as i64) as u64,
    };
    Remu |b, c| b.checked_rem(c).unwrap_or(b);
    Mulw |b, c| word(b.wrapping_mul(c));
    Mulhw |b, c| ((i64::from(b as i32) * i64::from(c as i32)) >> 32) as u64;
    Mulhsuw |b, c| ((i64::from(b as i32) * i64::from(c as u32)) >> 32) as u64;
    Mulhuw |b, c| word((u64::from(b as u32) * u64::from(c as u32)) >> 32);
    Divw |b, c| match c as i32 {
        0 => u64::MAX,
        c => (b as i32).wrapping_div(c) as u64,
    };
    Divuw |b, c| (b as u32).checked_div(c as u32).map_or(u64::MAX, |q| word(q.into()));
    Remw |b, c| match c as i32 {
        0 => word(b),
        c => (b as i32).wrapping_rem(c) as u64,
    };
    Remuw |b, c| word((b as u32).checked_rem(c as u32).unwrap_or(b as u32).into());

    Sh1add |b, c| (b << 1).wrapping_add(c);
    Sh2add |b, c| (b << 2).wrapping_add(c);
    Sh3add |b, c| (b << 3).wrapping_add(c);
    AddUw |b, c| u64::from(b as u32).wrapping_add(c);
    Sh1addUw |b, c| (u64::from(b as u32) << 1).wrapping_add(c);
    Sh2addUw |b, c| (u64::from(b as u32) << 2).wrapping_add(c);
    Sh3addUw |b, c| (u64::from(b as u32) << 3).wrapping_add(c);
    SllUw |b, c| u64::from(b as u32) << (c & 63);
    Sh1addw |b, c| word((b << 1).wrapping_add(c));
    Sh2addw |b, c| word((b << 2).wrapping_add(c));
    Sh3addw |b, c| word((b << 3).wrapping_add(c));

    Andn |b, c| b & !c;
    Orn |b, c| b | !c;
    Xnor |b, c| !(b ^ c);
    Clz |b, _| b.leading_zeros().into();
    Ctz |b, _| b.trailing_zeros().into();
    Cpop |b, _| b.count_ones().into();
    Clzw |b, _| (b as u32).leading_zeros().into();
    Ctzw |b, _| (b as u32).trailing_zeros().into();
    Cpopw |b, _| (b as u32).count_ones().into();
    Max |b, c| (b as i64).max(c as i64) as u64;
    Maxu |b, c| b.max(c);
    Min |b, c| (b as i64).min(c as i64) as u64;
    Minu |b, c| b.min(c);
    SextB |b, _| b as i8 as u64;
    SextH |b, _| b as i16 as u64;
    ZextH |b, _| u64::from(b as u16);
    Rol |b, c| b.rotate_left((c & 63) as u32);
    Ror |b, c| b.rotate_right((c & 63) as u32);
    Rolw |b, c| word((b as u32).rotate_left((c & 31) as u32).into());
    Rorw |b, c| word((b as u32).rotate_right((c & 31) as u32).into());
    OrcB |b, _| u64::from_le_bytes(b.to_le_bytes().map(|byte| if byte == 0 { 0 } else { 0xff }));
    OrcBw |b, _| word(u32::from_le_bytes(
        (b as u32).to_le_bytes().map(|byte| if byte == 0 { 0 } else { 0xff }),
    ).into());
    Rev8 |b, _| b.swap_bytes();
    Rev8w |b, _| word((b as u32).swap_bytes().into());

    Bclr |b, c| b & !bit(c, 64);
    Bext |b, c| b >> (c & 63) & 1;
    Binv |b, c| b ^ bit(c, 64);
    Bset |b, c| b | bit(c, 64);
    Bclrw |b, c| word(b & !bit(c, 32));
    Bextw |b, c| b >> (c & 31) & 1;
    Binvw |b, c| word(b ^ bit(c, 32));
    Bsetw |b, c| word(b | bit(c, 32));
}
