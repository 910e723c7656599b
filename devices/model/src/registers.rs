//! The registers of a CPU as those see them who look at it from outside: people, debuggers and tests. A CPU has one table of
//! them, and nobody else knows which there are.

use std::fmt::Write as _;

/// What is in a register: words of 64 bits, the lowest first. What is wider than the register is zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Value([u64; Value::WORDS]);

impl Value {
    const WORDS: usize = 8;
    /// The most bits that a register has.
    pub const BITS: u16 = 64 * Self::WORDS as u16;

    /// A register that is wider than any number.
    pub const fn wide(words: [u64; Self::WORDS]) -> Self {
        Self(words)
    }

    /// Its lowest 64 bits.
    pub const fn low(self) -> u64 {
        self.0[0]
    }

    /// The words of a register of so many bits.
    pub fn words(&self, bits: u16) -> &[u64] {
        &self.0[..usize::from(bits.div_ceil(64)).min(Self::WORDS)]
    }

    /// In hexadecimal, with all digits of a register of so many bits.
    pub fn hex(self, bits: u16) -> String {
        let digits = usize::from(bits.div_ceil(4));
        let mut text: String =
            self.words(bits)
                .iter()
                .rev()
                .fold(String::new(), |mut out, word| {
                    // Writing to a text does not fail.
                    let _ = write!(out, "{word:016x}");
                    out
                });
        text.drain(..text.len().saturating_sub(digits));
        text
    }
}

impl From<u64> for Value {
    fn from(value: u64) -> Self {
        let mut words = [0; Self::WORDS];
        words[0] = value;
        Self(words)
    }
}

impl From<u32> for Value {
    fn from(value: u32) -> Self {
        u64::from(value).into()
    }
}

/// A register in gdb's description of a CPU (gdb's manual, "Target Descriptions").
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gdb {
    /// The feature that it belongs to (`org.gnu.gdb.mips.cpu`), whose name says what registers gdb looks for in it.
    pub feature: &'static str,
    /// Its name there.
    pub name: &'static str,
    /// Its number.
    pub number: u16,
    /// Its type: `int`, `code_ptr`, `ieee_double`.
    pub kind: &'static str,
}

/// A register.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Register {
    /// Its name, in small letters: the assembler's, or the manual's.
    pub name: &'static str,
    /// The name of those it is shown with: `general`.
    pub group: &'static str,
    /// Its width, at most [`Value::BITS`].
    pub bits: u16,
    /// What gdb knows it as, if it does.
    pub gdb: Option<Gdb>,
}

/// Writes the register with a number of a CPU.
pub type Write<C> = fn(&mut C, u16, Value);

/// A register of a CPU whose registers are in a `C`: a row of its table.
#[derive(Debug)]
pub struct Row<C> {
    /// What it is.
    pub register: Register,
    /// Which of those that the functions are for.
    pub index: u16,
    /// Reads it, without the effects of reading.
    pub read: fn(&C, u16) -> Value,
    /// Writes what can be written of it; `None` if that is nothing, or has effects on the machine.
    pub write: Option<Write<C>>,
}

impl<C> Row<C> {
    /// What is in it.
    pub fn value(&self, of: &C) -> Value {
        (self.read)(of, self.index)
    }

    /// Sets what can be written of it; false if that is nothing.
    pub fn set(&self, of: &mut C, value: Value) -> bool {
        let Some(write) = self.write else {
            return false;
        };
        write(of, self.index, value);
        true
    }
}

impl<C> Clone for Row<C> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<C> Copy for Row<C> {}

/// Gdb's description of a CPU: `architecture` as `set architecture` takes it, and of the registers those that gdb knows.
pub fn description(architecture: &str, registers: &[Register]) -> String {
    let mut known: Vec<(&Register, Gdb)> =
        registers.iter().filter_map(|r| Some((r, r.gdb?))).collect();
    known.sort_by_key(|(_, gdb)| gdb.number);
    let mut features: Vec<&str> = Vec::new();
    for (_, gdb) in &known {
        if !features.contains(&gdb.feature) {
            features.push(gdb.feature);
        }
    }
    let mut out = format!(
        "<?xml version=\"1.0\"?>\n<!DOCTYPE target SYSTEM \"gdb-target.dtd\">\n<target version=\"1.0\">\n  <architecture>{architecture}</architecture>\n"
    );
    for feature in features {
        out += &format!("  <feature name=\"{feature}\">\n");
        for (
            register,
            Gdb {
                name, number, kind, ..
            },
        ) in known.iter().filter(|(_, gdb)| gdb.feature == feature)
        {
            let Register { bits, group, .. } = register;
            out += &format!(
                "    <reg name=\"{name}\" bitsize=\"{bits}\" regnum=\"{number}\" type=\"{kind}\" group=\"{group}\"/>\n"
            );
        }
        out += "  </feature>\n";
    }
    out + "</target>\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_have_the_digits_of_their_register() {
        assert_eq!(Value::from(0x12u32).hex(32), "00000012");
        assert_eq!(Value::from(5u32).hex(1), "5");
        assert_eq!(Value::from(0xabc_u64).hex(12), "abc");
        let wide = Value::wide([1, 2, 3, 0, 0, 0, 0, 9]);
        assert_eq!(wide.hex(128), "00000000000000020000000000000001");
        assert_eq!(wide.hex(Value::BITS).len(), 128);
        assert!(wide.hex(Value::BITS).starts_with("0000000000000009"));
        assert_eq!(wide.words(80), [1, 2]);
        assert_eq!(wide.low(), 1);
    }
}
