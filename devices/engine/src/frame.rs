//! Where generated code finds what it works on.

use std::cell::Cell;

use crate::host::{Reg, Width};

/// Registers of a guest that can have homes: their numbers are below this.
pub const REGISTERS: usize = 64;
/// Registers that have homes at most.
const MOST: usize = 16;
/// No register.
const NONE: u8 = u8::MAX;

/// What generated code has to know of a guest's CPU. Places are displacements from [`BASE`](crate::host::BASE).
#[derive(Debug)]
pub struct Frame {
    /// How far into the core [`BASE`](crate::host::BASE) points, so that what is used most is within a short displacement.
    pub bias: usize,
    /// The width of registers and addresses.
    pub width: Width,
    /// Instructions start at multiples of two to the power of this.
    pub unit_bits: u8,
    /// The address of the page of the code, and between blocks of the next instruction.
    pub pc: i32,
    /// The [`Vcpu`](crate::Vcpu).
    pub vcpu: i32,
    /// The place of a general register.
    pub home: fn(u8) -> i32,
    /// Registers with a lower number can have a home in the host.
    pub registers: u8,
    /// The register that reads as zero, and has none.
    pub zero: Option<u8>,
    /// The register that stands for two halves of 64 bits, the upper one first in memory.
    pub pair: Option<u8>,
    /// The registers that are used most. So many of them as the host has registers for are there wherever code does not know what
    /// it came from or leads to.
    pub usual: &'static [u8],
}

/// The guest's registers that are in the host's: their numbers, in the order of the host's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Homes([u8; MOST]);

impl Homes {
    /// The usual ones, for a host that has as many registers.
    pub fn usual(frame: &Frame, hosts: usize) -> Self {
        let mut homes = [NONE; MOST];
        for (home, register) in homes.iter_mut().zip(frame.usual).take(hosts) {
            *home = *register;
        }
        Self(homes)
    }

    /// Those that are used most; as many as possible stay where they usually are.
    pub fn most_used(self, uses: &[Cell<u64>; REGISTERS]) -> Self {
        let used = |r: &u8| uses[usize::from(*r)].get() != 0 || self.0.contains(r);
        let mut order: Vec<u8> = (0..REGISTERS as u8).filter(used).collect();
        // Where there is no difference, the usual ones.
        order.sort_by_key(|r| {
            let uses = uses[usize::from(*r)].get();
            (std::cmp::Reverse(uses), !self.0.contains(r))
        });
        order.truncate(self.0.iter().filter(|r| **r != NONE).count());
        let mut newcomers = order.iter().filter(|r| !self.0.contains(r));
        Self(
            self.0
                .map(|usual| match usual == NONE || order.contains(&usual) {
                    true => usual,
                    false => newcomers.next().copied().unwrap_or(usual),
                }),
        )
    }

    /// The guest's registers and the host's.
    pub fn pairs(self, hosts: &'static [Reg]) -> impl Iterator<Item = (u8, Reg)> {
        let homes = self.0.into_iter().zip(hosts.iter().copied());
        homes.filter(|(register, _)| *register != NONE)
    }

    /// The host's register for a guest's.
    pub fn of(self, hosts: &[Reg], register: u8) -> Option<Reg> {
        let place = self.0.iter().position(|r| *r == register)?;
        hosts.get(place).copied()
    }
}
