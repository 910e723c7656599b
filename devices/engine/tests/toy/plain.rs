//! The toy once more, as plainly as can be: one instruction after the other, from a copy of memory.

use std::collections::BTreeSet;

use crate::isa::VECTOR;

/// A CPU and its memory.
pub struct Plain {
    pub r: [u64; 16],
    pub pc: u64,
    pub memory: Vec<u8>,
    executed: u64,
    /// Pages that were written.
    pub written: BTreeSet<u32>,
}

impl Plain {
    pub fn new(memory: Vec<u8>, pc: u64) -> Self {
        Self {
            r: [0; 16],
            pc,
            memory,
            executed: 0,
            written: BTreeSet::new(),
        }
    }

    pub fn run(&mut self, instructions: u64) {
        for _ in 0..instructions {
            self.step();
            self.executed += 1;
        }
    }

    /// Where the next instruction loads or stores, if it does, and which.
    pub fn access(&self) -> Option<(u64, bool)> {
        let first = self.byte(self.pc).ok()?;
        let b = usize::from(self.byte(self.pc.wrapping_add(1)).ok()? & 15);
        let va = self.r[b].wrapping_add_signed(self.half(self.pc.wrapping_add(2)).ok()?);
        let there = va % 8 == 0 && va < self.memory.len() as u64;
        (matches!(first >> 4, 8 | 9) && there).then_some((va, first >> 4 == 9))
    }

    fn byte(&self, at: u64) -> Result<u8, u64> {
        let byte = usize::try_from(at).ok().and_then(|at| self.memory.get(at));
        byte.copied().ok_or(at)
    }

    fn half(&self, at: u64) -> Result<i64, u64> {
        let bytes = [self.byte(at)?, self.byte(at.wrapping_add(1))?];
        Ok(i16::from_le_bytes(bytes).into())
    }

    fn trap(&mut self, next: u64) {
        self.r[15] = next;
        self.pc = VECTOR;
    }

    fn step(&mut self) {
        if let Err(missing) = self.try_step() {
            self.trap(missing.wrapping_add(1));
        }
    }

    /// One instruction; the address of the byte that is missing of it.
    fn try_step(&mut self) -> Result<(), u64> {
        let pc = self.pc;
        let at = |n: u64| pc.wrapping_add(n);
        let first = self.byte(pc)?;
        let a = usize::from(first & 15);
        let next = match first >> 4 {
            1 => {
                let mut bytes = [0; 4];
                for (n, byte) in bytes.iter_mut().enumerate() {
                    *byte = self.byte(at(1 + n as u64))?;
                }
                self.r[a] = i64::from(i32::from_le_bytes(bytes)) as u64;
                5
            }
            op @ 2..=5 => {
                let both = self.byte(at(1))?;
                let b = self.r[usize::from(both >> 4)];
                let c = self.r[usize::from(both & 15)];
                self.r[a] = match op {
                    2 => b.wrapping_add(c),
                    3 => b ^ c,
                    4 => b.wrapping_mul(c),
                    _ => b.wrapping_sub(c),
                };
                2
            }
            6 => {
                let (b, by) = (self.byte(at(1))?, self.byte(at(2))?);
                self.r[a] = self.r[usize::from(b & 15)] >> (by & 63);
                3
            }
            7 => {
                self.r[a] = !self.r[a];
                1
            }
            op @ 8..=10 => {
                let b = usize::from(self.byte(at(1))? & 15);
                let n = self.half(at(2))?;
                if op == 10 {
                    let taken = self.r[a] != self.r[b];
                    self.pc = match taken {
                        true => pc.wrapping_add_signed(n),
                        false => at(4),
                    };
                    return Ok(());
                }
                let va = self.r[b].wrapping_add_signed(n);
                let place = usize::try_from(va).ok();
                let place = place.filter(|at| at % 8 == 0 && *at < self.memory.len());
                let Some(place) = place else {
                    self.trap(at(4));
                    return Ok(());
                };
                let bytes = &mut self.memory[place..place + 8];
                match op {
                    8 => self.r[a] = u64::from_le_bytes(bytes.try_into().unwrap()),
                    _ => {
                        bytes.copy_from_slice(&self.r[a].to_le_bytes());
                        self.written.insert((place >> 12) as u32);
                    }
                }
                4
            }
            11 => {
                self.pc = pc.wrapping_add_signed(self.half(at(1))?);
                return Ok(());
            }
            12 => {
                self.pc = self.r[a];
                return Ok(());
            }
            13 => {
                self.r[a] = at(1);
                1
            }
            14 => {
                self.trap(at(1));
                return Ok(());
            }
            15 => {
                self.r[a] = self.executed;
                1
            }
            _ => 1,
        };
        self.pc = at(next);
        Ok(())
    }
}
