//! The host's side of generated code: what guests' templates are written against, and who implements it.
//!
//! An [`Assembler`] emits host instructions. What it offers is what templates of guests ask for, in words of no host: three
//! scratch registers, as many registers for the guest's as the host has to spare, operands in memory by a register and a
//! displacement, conditions that the last comparison has set. A host that has no such operand makes several instructions of
//! it. Raw encodings are in the host's files only, and templates name no host.

#[cfg(generator)]
mod x86_64;

#[cfg(generator)]
pub use x86_64::{Assembled, Stubs};

use crate::frame::{Frame, Homes};

/// A host register.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reg(pub u8);

/// The first scratch register: free for every guest instruction, as the next two.
pub const T0: Reg = Reg(0);
/// The second. It holds the number of bits of a shift that is not known.
pub const T1: Reg = Reg(1);
/// The third.
pub const T2: Reg = Reg(2);
/// What points into the guest's registers.
pub const BASE: Reg = Reg(3);

/// The width of a computation. What is computed on 32 bits is zero above them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Width {
    W32,
    W64,
}

/// The size of a value in memory, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Size {
    B1,
    B2,
    B4,
    B8,
}

/// What the bits of a register are that a smaller value leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extend {
    /// Zero.
    Zero,
    /// Its sign, in a register of 32 bits.
    Sign,
    /// Its sign, in a register of 64 bits.
    SignWide,
}

/// A place in the host's memory: a register, the sum of two, and a displacement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mem {
    pub base: Reg,
    pub index: Option<Reg>,
    /// By how many bits the second register is shifted to the left, three at most.
    pub shift: u8,
    pub by: i32,
}

impl Mem {
    /// A displacement from [`BASE`].
    pub const fn field(by: i32) -> Self {
        Self::at(BASE, by)
    }

    /// A displacement from a register.
    pub const fn at(base: Reg, by: i32) -> Self {
        Self {
            base,
            index: None,
            shift: 0,
            by,
        }
    }

    /// The sum of two registers and a displacement.
    pub const fn sum(base: Reg, index: Reg, by: i32) -> Self {
        Self {
            base,
            index: Some(index),
            shift: 0,
            by,
        }
    }
}

/// What an operation changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    Reg(Reg),
    Mem(Mem),
}

/// An operand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operand {
    Reg(Reg),
    Mem(Mem),
    /// A number; of 64 bits it is the sign that fills them.
    Imm(i32),
}

/// A condition that the last comparison or operation has set. The number of one with its last bit inverted is that of its
/// opposite.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum If {
    /// The signed result did not fit.
    Overflow = 0,
    NoOverflow = 1,
    /// The left operand is less than the right one, unsigned; of floating point numbers too.
    Below = 2,
    AboveOrEqual = 3,
    Equal = 4,
    NotEqual = 5,
    BelowOrEqual = 6,
    Above = 7,
    /// The result has its highest bit set.
    Negative = 8,
    NotNegative = 9,
    /// One of the floating point numbers is a NaN.
    Unordered = 10,
    Ordered = 11,
    /// The left operand is less than the right one, signed.
    Less = 12,
    GreaterOrEqual = 13,
    LessOrEqual = 14,
    Greater = 15,
}

impl std::ops::Not for If {
    type Output = Self;
    fn not(self) -> Self {
        match self {
            Self::Overflow => Self::NoOverflow,
            Self::NoOverflow => Self::Overflow,
            Self::Below => Self::AboveOrEqual,
            Self::AboveOrEqual => Self::Below,
            Self::Equal => Self::NotEqual,
            Self::NotEqual => Self::Equal,
            Self::BelowOrEqual => Self::Above,
            Self::Above => Self::BelowOrEqual,
            Self::Negative => Self::NotNegative,
            Self::NotNegative => Self::Negative,
            Self::Unordered => Self::Ordered,
            Self::Ordered => Self::Unordered,
            Self::Less => Self::GreaterOrEqual,
            Self::GreaterOrEqual => Self::Less,
            Self::LessOrEqual => Self::Greater,
            Self::Greater => Self::LessOrEqual,
        }
    }
}

/// An operation of two operands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Binary {
    Add,
    Or,
    And,
    Sub,
    Xor,
    /// A sum with the carry, as it is.
    Adc,
    /// A difference less the carry, as it is.
    Sbb,
    /// A comparison: a subtraction that keeps nothing but the conditions.
    Cmp,
    /// The lower half of the product.
    Mul,
}

/// An operation of one operand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unary {
    /// One more; the carry stays.
    Inc,
    /// One less; the carry stays.
    Dec,
    Not,
    Neg,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shift {
    /// To the left, what leaves comes in again.
    Rol,
    /// The same to the right.
    Ror,
    Shl,
    Shr,
    /// To the right, with the sign.
    Sar,
}

/// A floating point register. There are two, free for every guest instruction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Freg {
    F0,
    F1,
}

/// Floating point arithmetic, with the result in [`Freg::F0`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Float {
    Add,
    Sub,
    Mul,
    Div,
    /// The root of [`Freg::F1`]; the others are of F0 and F1.
    Sqrt,
}

/// What becomes of a product and a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fused {
    /// Their sum.
    Add,
    /// The product less the number.
    Sub,
    /// The number less the product.
    NegatedAdd,
    /// The opposite of their sum.
    NegatedSub,
}

/// A place in code that is jumped to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Label(pub u32);

/// Code, to be put in two places.
#[derive(Debug)]
pub struct Code {
    pub near: Vec<u8>,
    /// What is rarely executed.
    pub far: Vec<u8>,
}

/// Where a value of 64 bits is that a guest has in two halves: in a register of the host, or in one of its floating point
/// registers, which is kept for it.
pub type Pair = Option<Reg>;

/// Emits instructions of the host.
///
/// Unless a method says otherwise it changes no register but those it names, and whether it changes the conditions is not
/// said: only [`binary`](Assembler::binary), [`test`](Assembler::test) and the like set them for use, and only moves,
/// [`add_to`](Assembler::add_to), [`load`](Assembler::load) and [`store`](Assembler::store) leave them as they are, a move of the number 0 to a register
/// excepted.
pub trait Assembler: Sized {
    /// Registers that hold the guest's.
    const HOMES: &'static [Reg];
    /// A word of the stack for anything, within a guest instruction.
    const STACK: Mem;

    /// Nothing emitted yet.
    fn new() -> Self;
    /// Bytes emitted.
    fn here(&self) -> usize;
    fn label(&mut self) -> Label;
    fn bind(&mut self, label: Label);
    /// Where a label is in the code.
    fn place(&self, label: Label) -> usize;
    /// What follows is rarely executed.
    fn far(&mut self);
    fn jump(&mut self, label: Label);
    fn jump_if(&mut self, condition: If, label: Label);
    /// Jumps out of the code, to a place given from the base of the cache; gives the place of the displacement.
    fn jump_out(&mut self, to: u32) -> usize;
    fn jump_out_if(&mut self, condition: If, to: u32) -> usize;
    fn call(&mut self, label: Label);
    fn call_out(&mut self, to: u32);
    /// The code, to be put at `near` from the base of the cache, and what is rarely executed of it so that it ends at `end`.
    fn finish(self, near: u32, end: u32) -> Option<Code>;
    /// Jumps by a table: to the entry for the unit of the page that the address in [`T0`] is in, if that is one of `units` from
    /// `first` on and in the page whose address is in the field `page`, else to `others`.
    fn jump_by_table(&mut self, table: &TableJump);
    /// An entry of such a table: how far it is to one label from another.
    fn distance(&mut self, to: Label, from: Label);

    fn mov(&mut self, width: Width, to: Reg, from: Operand);
    /// A number of 64 bits.
    fn mov_wide(&mut self, to: Reg, value: u64);
    /// Moves if a condition holds.
    fn move_if(&mut self, width: Width, condition: If, to: Reg, from: Reg);
    /// Reads memory.
    fn load(&mut self, size: Size, extend: Extend, to: Reg, from: Mem);
    fn store(&mut self, size: Size, from: Reg, to: Mem);
    /// Writes a number, the sign of which fills 64 bits.
    fn store_imm(&mut self, size: Size, value: i32, to: Mem);
    /// Makes a register's low bytes a whole register.
    fn extend(&mut self, size: Size, extend: Extend, to: Reg, from: Reg);
    /// The address of a place, of 64 bits.
    fn address(&mut self, to: Reg, of: Mem);

    fn binary(&mut self, width: Width, operation: Binary, to: Reg, from: Operand);
    /// An operation on memory of 32 bits, or of 64, with a number.
    fn binary_at(&mut self, width: Width, operation: Binary, to: Mem, by: i32);
    /// The sum of a register and a number, without a condition.
    fn add_to(&mut self, width: Width, to: Reg, base: Reg, by: i32);
    /// The sum of two registers, without a condition.
    fn sum(&mut self, width: Width, to: Reg, left: Reg, right: Reg);
    /// Shifts by a known number, or by that in [`T1`], of which the low bits count that are needed.
    fn shift(&mut self, width: Width, shift: Shift, register: Reg, by: Option<u8>);
    fn not(&mut self, width: Width, register: Reg);
    fn negate(&mut self, width: Width, register: Reg);
    /// Compares the common bits of two registers with zero.
    fn test(&mut self, width: Width, left: Reg, right: Reg);
    /// Compares low bits of a register with zero.
    fn test_low(&mut self, register: Reg, bits: u8);
    /// Compares bits of memory of 32 bits with zero.
    fn test_at(&mut self, of: Mem, bits: i32);
    /// Sets a register to whether a condition holds; it may be none that the condition is about.
    fn set_if(&mut self, condition: If, to: Reg);
    /// The same where the register is zero already.
    fn set_byte_if(&mut self, condition: If, to: Reg);
    /// An operation on a value of this size, not [`Binary::Mul`]. In a register, what is above one or two bytes stays, and above
    /// four it is zero.
    fn arithmetic(&mut self, size: Size, operation: Binary, to: Place, from: Operand);
    /// The same of one operand.
    fn unary(&mut self, size: Size, operation: Unary, to: Place);
    /// The same: shifts as [`shift`](Assembler::shift).
    fn shift_low(&mut self, size: Size, shift: Shift, to: Place, by: Option<u8>);
    /// Moves one or two low bytes of a register; what is above them stays.
    fn merge(&mut self, size: Size, to: Reg, from: Reg);
    /// Keeps the conditions in two bytes of memory, as x86's LAHF and SETO have them in AX: SF, ZF, AF, PF and CF in the upper byte,
    /// OF in the lower one; AF only `with_half`, and clear otherwise. Changes [`T0`], and the conditions unless it is `with_half`.
    fn keep_conditions(&mut self, to: Mem, with_half: bool);
    /// Keeps the conditions of a product: those of the value that was tested, with the bit in [`T2`] as carry and overflow.
    fn keep_product(&mut self, to: Mem);
    /// Has the conditions be those that were kept. Changes [`T0`].
    fn take_conditions(&mut self, from: Mem);
    /// Has the carry be the one that was kept.
    fn take_carry(&mut self, from: Mem);
    /// Reverses the bytes of a value in the low bytes of a register; what is above 16 bits stays.
    fn swap_bytes(&mut self, size: Size, register: Reg);
    /// Reverses the bytes of both halves of 32 bits.
    fn swap_in_halves(&mut self, register: Reg);
    /// The number of zeros above the highest bit in [`T0`], in its place; changes [`T1`].
    fn leading_zeros(&mut self, width: Width);
    /// The number of zeros below the lowest bit in [`T0`], in its place; changes [`T1`].
    fn trailing_zeros(&mut self, width: Width);
    /// The upper half of the product of 128 bits of [`T0`] and [`T1`] in [`T2`]; changes [`T0`].
    fn multiply_high(&mut self, signed: bool);
    /// The quotient of [`T0`] and [`T1`] in [`T0`], the remainder in [`T2`]. The divisor is not zero, and the quotient fits.
    fn divide(&mut self, width: Width, signed: bool);
    /// Makes a value of 64 bits in [`T0`] of the upper half in [`T2`] and the lower one in [`T0`].
    fn join(&mut self);
    /// Inverts a bit of the 64 in [`T0`], or clears it.
    fn bit(&mut self, number: u8, invert: bool);

    /// The lower half of a pair, from [`T0`].
    fn put_low(&mut self, pair: Pair);
    /// The upper half of a pair, from [`T0`], which is changed.
    fn put_high(&mut self, pair: Pair);
    fn get_low(&mut self, to: Reg, pair: Pair);
    fn get_high(&mut self, to: Reg, pair: Pair);
    /// A whole pair, from [`T0`].
    fn put_pair(&mut self, pair: Pair);
    /// Adds [`T0`] to a pair.
    fn add_pair(&mut self, pair: Pair);
    /// Subtracts [`T0`] from a pair.
    fn sub_pair(&mut self, pair: Pair);
    /// Moves a pair from its place in a floating point register to a register, or back.
    fn fill_pair(&mut self, to: Reg);
    fn spill_pair(&mut self, from: Reg);

    fn load_float(&mut self, to: Freg, double: bool, from: Mem);
    fn store_float(&mut self, from: Freg, double: bool, to: Mem);
    fn float(&mut self, operation: Float, double: bool);
    /// [`Freg::F0`] made of [`Freg::F1`]: a double of a single, or a single of a double.
    fn convert(&mut self, to_double: bool);
    /// [`Freg::F0`] becomes its product with [`Freg::F1`], or the opposite of that, and a number added or subtracted, rounded once;
    /// changes [`T0`]. False, and nothing is emitted, if the host has no such instruction.
    fn multiply_add(&mut self, fused: Fused, double: bool, with: Mem) -> bool;
    /// [`Freg::F0`] made of a signed integer.
    fn float_of(&mut self, double: bool, width: Width, from: Operand);
    /// A signed integer in [`T0`], of [`Freg::F0`] without its fraction; the least one if it does not fit.
    fn truncate(&mut self, width: Width, double: bool);
    /// The bits of a floating point register.
    fn float_bits(&mut self, to: Reg, double: bool, from: Freg);
    /// Compares [`Freg::F0`] with memory, or with itself. Then [`If::Below`], [`If::Equal`], [`If::BelowOrEqual`] and, which is to be
    /// asked first, [`If::Unordered`] tell.
    fn compare_float(&mut self, double: bool, with: Option<Mem>);

    /// Writes a guest's register that has a home to its place, or reads it from there.
    fn spill(&mut self, frame: &Frame, register: u8, host: Reg);
    fn fill(&mut self, frame: &Frame, register: u8, host: Reg);
    /// Goes on at the address in [`T0`]: in generated code if there is some, or at `fetch` if its page is not known. The guest's
    /// registers are in their usual homes.
    fn look_up(&mut self, frame: &Frame, fetch: u32);
    /// A function that has the interpreter do what [`T2`] says, with [`T0`], for the block that is [`T1`] into its page. It returns if
    /// the block goes on, else it goes to `after`.
    fn slow(&mut self, frame: &Frame, homes: &Homes, after: u32);

    /// Takes instructions from the budget, or gives them back. Then [`If::Less`] tells that they were too many.
    fn take(&mut self, instructions: u8);
    fn give_back(&mut self, instructions: u8);
    /// Finds the host's address of a guest's: a register and a displacement, or a known one. Gives the place, or goes on at `slow`
    /// if the soft TLB for addresses of this width does not have it, one of the `low` bits is not zero, or the access goes on in
    /// the next page. Changes [`T1`], and [`T2`] where addresses have 64 bits.
    fn reach(&mut self, access: &Reach) -> Mem;
}

/// See [`Assembler::reach`].
#[derive(Debug, Clone, Copy)]
pub struct Reach {
    /// The width of addresses.
    pub width: Width,
    pub base: Reg,
    pub by: i32,
    /// The sum, if it is known, of 32 bits.
    pub known: Option<u32>,
    pub write: bool,
    /// Bits of the address that are to be zero.
    pub low: u8,
    /// Bytes of an access of 64 bits of address that may be unaligned, else 1.
    pub span: u8,
    pub slow: Label,
}

/// See [`Assembler::jump_by_table`].
#[derive(Debug, Clone, Copy)]
pub struct TableJump {
    /// The width of addresses.
    pub width: Width,
    /// Where the address of the page is.
    pub page: Mem,
    /// What a unit is a power of two of, in bytes.
    pub unit_bits: u8,
    pub first: u16,
    pub units: u16,
    pub table: Label,
    pub others: Label,
}
