//! Instruction words for stubs, by offset from the reset vector.

use super::word;

/// Registers by their numbers in the o32 convention.
pub mod reg {
    pub const ZERO: u32 = 0;
    pub const V0: u32 = 2;
    pub const A0: u32 = 4;
    pub const A1: u32 = 5;
    pub const A2: u32 = 6;
    pub const A3: u32 = 7;
    pub const T0: u32 = 8;
    pub const T1: u32 = 9;
    pub const T2: u32 = 10;
    pub const T9: u32 = 25;
    pub const K0: u32 = 26;
    pub const SP: u32 = 29;
    pub const RA: u32 = 31;
}

#[derive(Debug, Default)]
pub struct Assembler {
    words: Vec<u32>,
}

impl Assembler {
    pub fn at(&mut self, offset: usize) {
        self.words.resize(self.words.len().max(offset / 4), 0);
    }
    pub fn emit(&mut self, words: impl IntoIterator<Item = u32>) {
        self.words.extend(words);
    }
    pub fn immediate(&mut self, op: u32, rs: u32, rt: u32, value: u32) {
        self.emit([op << 26 | rs << 21 | rt << 16 | value & 0xffff]);
    }
    pub fn li(&mut self, rt: u32, value: u32) {
        self.immediate(0x0f, 0, rt, value >> 16);
        self.immediate(0x0d, rt, rt, value);
    }
    pub fn sw(&mut self, rt: u32, base: u32, offset: u32) {
        self.immediate(0x2b, base, rt, offset);
    }
    pub fn mtc0(&mut self, rt: u32, rd: u32) {
        self.emit([0x10 << 26 | 4 << 21 | rt << 16 | rd << 11]);
    }
    pub fn jr(&mut self, rs: u32) {
        self.emit([rs << 21 | 8]);
    }
    pub fn jalr(&mut self, rs: u32) {
        self.emit([rs << 21 | reg::RA << 11 | 9]);
    }
    pub fn nop(&mut self) {
        self.emit([0]);
    }
    pub fn return_zero(&mut self) {
        self.jr(reg::RA);
        self.emit([reg::V0 << 11 | 0x25]); // or v0, zero, zero
    }
    pub fn bytes(&self, big_endian: bool) -> Vec<u8> {
        let words = self.words.iter();
        words.flat_map(|w| word(*w, big_endian)).collect()
    }
}
