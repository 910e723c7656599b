//! An I²C controller made of two port bits: software moves SCL and SDA, this finds the transfer in them.
//!
//! NXP UM10204 "I²C-bus specification", section 3.1. Both lines are wired-AND: a side lets go (high) or
//! pulls (low). Targets never stretch the clock.

use solderless_model::{I2c, State};

/// What the bits on the bus belong to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, State)]
enum Role {
    /// No transfer, or one that no target takes part in.
    #[default]
    Idle,
    /// The address and direction that follow a start.
    Address,
    /// Bytes to the target.
    Write,
    /// Bytes from the target.
    Read,
}

/// The lines of one bus and the transfer on it.
#[derive(Debug, State)]
pub struct BitBang {
    scl: bool,
    sda: bool,
    /// The target lets go of SDA.
    target_sda: bool,
    role: Role,
    /// The 7-bit address of the target that acknowledged.
    target: Option<u8>,
    /// The byte on its way.
    shift: u8,
    /// Clock pulses in this byte so far; the ninth is the acknowledge.
    clocks: u8,
}

impl Default for BitBang {
    fn default() -> Self {
        Self {
            scl: true,
            sda: true,
            target_sda: true,
            role: Role::Idle,
            target: None,
            shift: 0,
            clocks: 0,
        }
    }
}

impl BitBang {
    /// The level of SDA on the bus.
    pub fn sda(&self) -> bool {
        self.sda && self.target_sda
    }

    /// The controller sets its side of both lines. `bus` takes an event for a 7-bit address, and answers
    /// as [`Cx::i2c`](solderless_model::Cx::i2c).
    pub fn drive(&mut self, scl: bool, sda: bool, mut bus: impl FnMut(u8, I2c) -> Option<u8>) {
        let before = (self.scl, self.sda());
        self.scl = scl;
        self.sda = sda;
        match (before, scl) {
            ((true, true), true) if !sda => {
                self.begin(Role::Address);
            }
            ((true, false), true) if self.sda() => {
                if let Some(target) = self.target.take() {
                    bus(target, I2c::Stop);
                }
                self.begin(Role::Idle);
            }
            ((false, _), true) => self.rise(),
            ((true, _), false) => self.fall(bus),
            _ => {}
        }
    }

    fn begin(&mut self, role: Role) {
        self.role = role;
        self.shift = 0;
        self.clocks = 0;
        self.target_sda = true;
    }

    /// SCL went high: whoever listens takes the bit on SDA.
    fn rise(&mut self) {
        match (self.role, self.clocks) {
            (Role::Idle, _) => return,
            (Role::Address | Role::Write, 0..8) => {
                self.shift = self.shift << 1 | u8::from(self.sda());
            }
            // The controller does not acknowledge: it wants no further byte.
            (Role::Read, 8) if self.sda => self.role = Role::Idle,
            _ => {}
        }
        self.clocks = self.clocks.wrapping_add(1);
    }

    /// SCL went low: whoever talks puts the next bit on SDA.
    fn fall(&mut self, mut bus: impl FnMut(u8, I2c) -> Option<u8>) {
        match (self.role, self.clocks) {
            (Role::Address, 8) => {
                let (address, read) = (self.shift >> 1, self.shift & 1 != 0);
                match bus(address, I2c::Start { read }) {
                    Some(_) => {
                        self.target = Some(address);
                        self.target_sda = false;
                    }
                    None => {
                        self.target = None;
                        self.begin(Role::Idle);
                    }
                }
            }
            (Role::Write, 8) => {
                let taken = self.target.and_then(|t| bus(t, I2c::Write(self.shift)));
                self.target_sda = taken.is_none();
            }
            (Role::Address, 9..) => {
                let read = self.shift & 1 != 0;
                self.begin(if read { Role::Read } else { Role::Write });
                if read {
                    self.fetch(bus);
                }
            }
            (Role::Write, 9..) => self.begin(Role::Write),
            (Role::Read, 9..) => {
                self.begin(Role::Read);
                self.fetch(bus);
            }
            (Role::Read, 8) => self.target_sda = true,
            (Role::Read, clocks @ 1..8) => self.target_sda = self.shift << clocks & 0x80 != 0,
            (Role::Idle, _) => self.target_sda = true,
            _ => {}
        }
    }

    fn fetch(&mut self, mut bus: impl FnMut(u8, I2c) -> Option<u8>) {
        let byte = self.target.and_then(|t| bus(t, I2c::Read));
        self.shift = byte.unwrap_or(0xff);
        self.target_sda = self.shift & 0x80 != 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A bus with one memory of 256 bytes at 0x50, and the events it got.
    #[derive(Default)]
    struct Lab {
        bits: BitBang,
        events: Vec<(u8, I2c)>,
        at: u8,
    }

    impl Lab {
        fn drive(&mut self, scl: bool, sda: bool) -> bool {
            let (events, at) = (&mut self.events, &mut self.at);
            self.bits.drive(scl, sda, |address, event| {
                events.push((address, event));
                if address != 0x50 {
                    return None;
                }
                match event {
                    I2c::Write(byte) => *at = byte,
                    I2c::Read => {
                        *at = at.wrapping_add(1);
                        return Some(at.wrapping_sub(1) ^ 0xa5);
                    }
                    _ => {}
                }
                Some(0)
            });
            self.bits.sda()
        }

        fn start(&mut self) {
            self.drive(self.bits.scl, true);
            self.drive(true, true);
            self.drive(true, false);
            self.drive(false, false);
        }

        fn stop(&mut self) {
            self.drive(false, false);
            self.drive(true, false);
            self.drive(true, true);
        }

        fn clock(&mut self, bit: bool) -> bool {
            self.drive(false, bit);
            let level = self.drive(true, bit);
            self.drive(false, bit);
            level
        }

        /// Sends a byte; true if it is acknowledged.
        fn send(&mut self, byte: u8) -> bool {
            for i in (0..8).rev() {
                self.clock(byte >> i & 1 != 0);
            }
            !self.clock(true)
        }

        fn receive(&mut self, acknowledge: bool) -> u8 {
            let byte = (0..8).fold(0, |byte, _| byte << 1 | u8::from(self.clock(true)));
            self.clock(!acknowledge);
            byte
        }
    }

    #[test]
    fn a_random_read() {
        let mut lab = Lab::default();
        lab.start();
        assert!(lab.send(0xa0));
        assert!(lab.send(0x1f));
        lab.start();
        assert!(lab.send(0xa1));
        assert_eq!(
            [lab.receive(true), lab.receive(true), lab.receive(false)],
            [0x1f ^ 0xa5, 0x20 ^ 0xa5, 0x21 ^ 0xa5]
        );
        lab.stop();
        assert_eq!(
            lab.events,
            [
                (0x50, I2c::Start { read: false }),
                (0x50, I2c::Write(0x1f)),
                (0x50, I2c::Start { read: true }),
                (0x50, I2c::Read),
                (0x50, I2c::Read),
                (0x50, I2c::Read),
                (0x50, I2c::Stop),
            ]
        );
        assert!(lab.bits.sda());
    }

    #[test]
    fn nobody_at_the_address() {
        let mut lab = Lab::default();
        lab.start();
        assert!(!lab.send(0xa4));
        assert!(!lab.send(0x00));
        lab.stop();
        assert_eq!(lab.events, [(0x52, I2c::Start { read: false })]);
        lab.start();
        assert!(lab.send(0xa0), "the bus is free again");
    }

    #[test]
    fn a_read_ends_without_acknowledge() {
        let mut lab = Lab::default();
        lab.start();
        assert!(lab.send(0xa1));
        assert_eq!(lab.receive(false), 0xa5);
        assert_eq!(lab.receive(true), 0xff, "nobody drives SDA");
        lab.stop();
        assert_eq!(lab.events.len(), 3);
        assert_eq!(lab.events[2], (0x50, I2c::Stop));
    }

    #[test]
    fn noise_does_no_harm() {
        let mut lab = Lab::default();
        let mut noise = 1u64;
        for _ in 0..100_000 {
            noise = noise
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            lab.drive(noise >> 40 & 1 != 0, noise >> 50 & 1 != 0);
            assert!(lab.bits.clocks <= 9);
        }
    }
}
