//! Guest registers in terms of the host's: what templates use besides the host's [`Assembler`] itself, which [`Asm`] gives
//! access to.
//!
//! The general registers that programs use most are in host registers as long as generated code runs, the others in the CPU's
//! structure. Operations here have the width of the guest's registers.

use std::cell::Cell;
use std::ops::{Deref, DerefMut};

use crate::frame::{Frame, Homes, REGISTERS};
use crate::host::{
    Assembler, Binary, Extend, Label, Mem, Operand, Pair, Reg, Shift, Size, T0, Width,
};

/// Where a value is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Src {
    /// In a host register.
    Reg(Reg),
    /// In memory, at this displacement from [`BASE`](crate::host::BASE).
    Mem(i32),
    /// Known.
    Imm(i32),
}

/// What a home in the host saves where a register is read, in terms of each other: an operand in memory costs little but what it
/// is waited for; and what is written in memory is stored.
const READ: u64 = 2;
const WRITTEN: u64 = 1;
/// What it saves besides where an access waits for the register.
const ADDRESS: u64 = 1;

/// Code in the making.
pub struct Asm<A> {
    host: A,
    pub(crate) frame: &'static Frame,
    /// The place of a general register whose value is in [`T0`] as well, as long as the next instruction is here.
    held: Option<(i32, usize)>,
    /// The host register that the conditions tell of whether it is zero, as long as the next instruction is here.
    tested: Option<(Reg, usize)>,
    /// The general registers in host registers.
    pub(crate) homes: Homes,
    /// How often general registers are used: what a use counts for, and the sums.
    pub(crate) weight: u64,
    pub(crate) uses: [Cell<u64>; REGISTERS],
}

impl<A> Deref for Asm<A> {
    type Target = A;
    fn deref(&self) -> &A {
        &self.host
    }
}

impl<A> DerefMut for Asm<A> {
    fn deref_mut(&mut self) -> &mut A {
        &mut self.host
    }
}

impl<A: Assembler> Asm<A> {
    pub(crate) fn new(frame: &'static Frame, homes: Homes) -> Self {
        Self {
            host: A::new(),
            frame,
            held: None,
            tested: None,
            homes,
            weight: 1,
            uses: [const { Cell::new(0) }; REGISTERS],
        }
    }

    pub(crate) fn finish(self, near: u32, end: u32) -> Option<crate::host::Code> {
        self.host.finish(near, end)
    }

    fn width(&self) -> Width {
        self.frame.width
    }

    fn size(&self) -> Size {
        match self.width() {
            Width::W32 => Size::B4,
            Width::W64 => Size::B8,
        }
    }

    /// Where a general register is.
    pub fn place_of(&self, register: u8) -> Src {
        match self.homes.of(A::HOMES, register) {
            Some(host) => Src::Reg(host),
            None if self.frame.zero == Some(register) => Src::Imm(0),
            None => Src::Mem((self.frame.home)(register)),
        }
    }

    /// Notes that a general register is used, by what its home saves.
    fn note(&self, register: u8, saves: u64) {
        if register < self.frame.registers
            && self.frame.zero != Some(register)
            && let Some(uses) = self.uses.get(usize::from(register))
        {
            uses.set(uses.get().saturating_add(self.weight * saves));
        }
    }

    /// Where a general register is, to be read once.
    pub fn src(&self, register: u8) -> Src {
        self.note(register, READ);
        self.place_of(register)
    }

    /// Where the pair is, for one use of it.
    pub fn pair(&self) -> Pair {
        match self.src(self.frame.pair?) {
            Src::Reg(host) => Some(host),
            _ => None,
        }
    }

    /// Emits what writes a register or none, and leaves the conditions as they are.
    fn writing(&mut self, to: Option<Reg>, emit: impl FnOnce(&mut A)) {
        let here = self.here();
        let held = self.held.filter(|h| h.1 == here && to != Some(T0));
        let tested = self.tested.filter(|t| t.1 == here && to != Some(t.0));
        emit(&mut self.host);
        if self.here() != here {
            self.held = held.map(|(place, _)| (place, self.here()));
            self.tested = tested.map(|(register, _)| (register, self.here()));
        }
    }

    /// Emits what sets the conditions, and writes a register or none.
    fn setting_conditions(&mut self, to: Option<Reg>, emit: impl FnOnce(&mut A)) {
        self.writing(to, emit);
        self.tested = None;
    }

    /// The value of this place is in [`T0`].
    fn holds(&self, place: i32) -> bool {
        self.held == Some((place, self.here()))
    }

    /// A general register in memory has its value in [`T0`] as well.
    pub fn hold(&mut self, register: u8) {
        if let Src::Mem(place) = self.place_of(register) {
            self.held = Some((place, self.here()));
        }
    }

    /// Whether a value is in [`T0`] although its place is in memory.
    pub fn is_held(&self, from: Src) -> bool {
        matches!(from, Src::Mem(place) if self.holds(place))
    }

    /// Where a value can be read.
    fn operand(&self, from: Src) -> Operand {
        match from {
            Src::Reg(from) => Operand::Reg(from),
            Src::Mem(place) if self.holds(place) => Operand::Reg(T0),
            Src::Mem(place) => Operand::Mem(Mem::field(place)),
            Src::Imm(value) => Operand::Imm(value),
        }
    }

    /// Emits an operation.
    pub fn op(&mut self, operation: Binary, to: Reg, from: Src) {
        let (width, from) = (self.width(), self.operand(from));
        let written = (operation != Binary::Cmp).then_some(to);
        self.setting_conditions(written, |host| host.binary(width, operation, to, from));
        if !matches!(operation, Binary::Cmp | Binary::Mul) {
            self.tested = Some((to, self.here()));
        }
    }

    /// Emits an operation on the low 32 bits, whatever the width of registers; what is above them is zero then.
    pub fn op_low(&mut self, operation: Binary, to: Reg, from: Src) {
        let from = self.operand(from);
        let written = (operation != Binary::Cmp).then_some(to);
        self.setting_conditions(written, |host| {
            host.binary(Width::W32, operation, to, from);
        });
    }

    /// Moves the low 32 bits, unless they are there already: what is above them is anything.
    pub fn set_low(&mut self, to: Reg, from: Src) {
        let from = self.operand(from);
        self.setting_conditions(Some(to), |host| host.mov(Width::W32, to, from));
    }

    /// Moves the low bytes, and fills what is above them.
    pub fn set_extended(&mut self, size: Size, extend: Extend, to: Reg, from: Src) {
        match self.operand(from) {
            Operand::Reg(from) => {
                self.setting_conditions(Some(to), |host| host.extend(size, extend, to, from));
            }
            Operand::Mem(from) => self.writing(Some(to), |host| host.load(size, extend, to, from)),
            Operand::Imm(_) => {
                self.set(to, from);
                self.host.extend(size, extend, to, to);
            }
        }
    }

    /// Gives a general register what an operation makes of another one and an operand.
    pub fn combine(&mut self, operation: Binary, a: u8, b: u8, c: Src, commutes: bool) {
        let to = self.target(a, T0);
        if c == Src::Reg(to) {
            if commutes {
                match self.src(b) {
                    Src::Imm(_) => {
                        let b = self.value(b, T0);
                        self.op(operation, to, Src::Reg(b));
                    }
                    b => self.op(operation, to, b),
                }
                self.wrote(a);
                return;
            }
            self.set(T0, self.src(b));
            self.op(operation, T0, c);
            self.put(a, T0);
            return;
        }
        let (b, c) = match c {
            // What is in the scratch register first.
            _ if commutes && self.is_held(c) && self.place_of(b) != Src::Reg(to) => {
                (c, self.src(b))
            }
            _ => (self.src(b), c),
        };
        self.set(to, b);
        self.op(operation, to, c);
        self.put(a, to);
    }

    /// Moves, unless it is there already.
    pub fn set(&mut self, to: Reg, from: Src) {
        let (width, from) = (self.width(), self.operand(from));
        match from {
            Operand::Imm(0) => self.setting_conditions(Some(to), |host| host.mov(width, to, from)),
            _ => self.writing(Some(to), |host| host.mov(width, to, from)),
        }
    }

    /// The sum of a register and a number.
    pub fn add_number(&mut self, to: Reg, base: Reg, by: i32) {
        let width = self.width();
        self.writing(Some(to), |host| host.add_to(width, to, base, by));
    }

    /// The sum of two registers.
    pub fn add_registers(&mut self, to: Reg, left: Reg, right: Reg) {
        let width = self.width();
        self.writing(Some(to), |host| host.sum(width, to, left, right));
    }

    /// Shifts by a known number, or by that in [`T1`](crate::host::T1).
    pub fn shift_by(&mut self, shift: Shift, register: Reg, by: Option<u8>) {
        let width = self.width();
        self.host.shift(width, shift, register, by);
    }

    /// Compares a register with zero.
    pub fn test_zero(&mut self, register: Reg) {
        let width = self.width();
        self.setting_conditions(None, |host| host.test(width, register, register));
    }

    /// Tests whether a register is zero, if what has computed it has not told so already. Then [`If::Equal`](crate::host::If::Equal) tells,
    /// and no other condition.
    pub fn test_if_zero(&mut self, register: Reg) {
        if self.tested != Some((register, self.here())) {
            self.test_zero(register);
        }
    }

    /// The value of a general register in a host register, which is `scratch` if it is in none.
    pub fn value(&mut self, register: u8, scratch: Reg) -> Reg {
        match self.src(register) {
            Src::Reg(host) => host,
            from => {
                self.set(scratch, from);
                scratch
            }
        }
    }

    /// The host register to compute a general register's new value in.
    pub fn target(&self, register: u8, scratch: Reg) -> Reg {
        match self.place_of(register) {
            Src::Reg(host) => host,
            _ => scratch,
        }
    }

    /// Notes that a general register is written where it is, in the host register that is its [`target`](Asm::target).
    pub fn wrote(&self, register: u8) {
        self.note(register, WRITTEN);
    }

    /// Notes that a general register that was read is what an access waits for.
    pub fn addresses(&self, register: u8) {
        self.note(register, ADDRESS);
    }

    /// Gives a general register the value in a host register.
    pub fn put(&mut self, register: u8, from: Reg) {
        self.wrote(register);
        match self.place_of(register) {
            Src::Reg(host) => self.set(host, Src::Reg(from)),
            Src::Mem(to) => {
                let size = self.size();
                self.writing(None, |host| host.store(size, from, Mem::field(to)));
                if from == T0 {
                    self.hold(register);
                } else if self.holds(to) {
                    self.held = None;
                }
            }
            Src::Imm(_) => {}
        }
    }

    /// Gives a general register a known value.
    pub fn put_imm(&mut self, register: u8, value: i32) {
        self.wrote(register);
        match self.place_of(register) {
            Src::Reg(host) => self.set(host, Src::Imm(value)),
            Src::Mem(to) => {
                let size = self.size();
                self.host.store_imm(size, value, Mem::field(to));
            }
            Src::Imm(_) => {}
        }
    }

    /// Reads a field of the width of registers.
    pub fn get_field(&mut self, to: Reg, at: i32) {
        let width = self.width();
        self.host.mov(width, to, Operand::Mem(Mem::field(at)));
    }

    /// Writes a field of the width of registers.
    pub fn put_field(&mut self, at: i32, from: Reg) {
        let size = self.size();
        self.host.store(size, from, Mem::field(at));
    }

    /// Who jumps here may have something else in [`T0`].
    pub fn bind(&mut self, label: Label) {
        self.host.bind(label);
        self.held = None;
        self.tested = None;
    }
}
