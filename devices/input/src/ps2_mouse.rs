//! A PS/2 mouse with a wheel and five buttons.
//!
//! IBM Personal System/2 Hardware Interface Technical Reference, "Mouse": commands and reports. Microsoft
//! IntelliMouse: the sample rates 200, 100, 80 in a row turn the wheel on (identity 3), 200, 200, 80 then
//! the fourth and fifth button (identity 4). A report is made as soon as the last one has gone; the
//! sample rate is kept but does not slow it down.

use std::collections::VecDeque;

use solderless_model::{State, StateError};

const ACK: u8 = 0xfa;
const RESEND: u8 = 0xfe;
const SELF_TEST_PASSED: u8 = 0xaa;

/// Bytes that can wait for the host: an answer or a report.
const BUFFER: usize = 16;

/// What the next byte from the host is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, State)]
enum Expect {
    #[default]
    Command,
    Resolution,
    SampleRate,
}

/// The mouse.
#[derive(Debug, State)]
pub struct Mouse {
    queue: VecDeque<u8>,
    last: u8,
    expect: Expect,
    /// Reports only when asked (remote mode), not by itself (stream mode).
    remote: bool,
    /// Everything is echoed.
    wrap: bool,
    reporting: bool,
    /// Movement is reported 2:1.
    double: bool,
    resolution: u8,
    sample_rate: u8,
    /// The two sample rates before the last.
    rates: [u8; 2],
    identity: u8,
    buttons: u8,
    reported_buttons: u8,
    dx: i32,
    dy: i32,
    dz: i32,
}

impl Default for Mouse {
    fn default() -> Self {
        Self {
            queue: VecDeque::with_capacity(BUFFER),
            last: 0,
            expect: Expect::Command,
            remote: false,
            wrap: false,
            reporting: false,
            double: false,
            resolution: 2,
            sample_rate: 100,
            rates: [0; 2],
            identity: 0,
            buttons: 0,
            reported_buttons: 0,
            dx: 0,
            dy: 0,
            dz: 0,
        }
    }
}

impl Mouse {
    /// Moves the mouse: counts to the right, away from the user, and of the wheel towards the user.
    pub fn motion(&mut self, dx: i32, dy: i32, dz: i32) {
        self.dx = self.dx.saturating_add(dx);
        self.dy = self.dy.saturating_add(dy);
        self.dz = self.dz.saturating_add(dz);
        self.stream();
    }

    /// Which buttons are down: bit 0 left, 1 right, 2 middle, 3 fourth, 4 fifth.
    pub fn buttons(&mut self, buttons: u8) {
        self.buttons = buttons & 0x1f;
        self.stream();
    }

    /// A byte from the host.
    pub fn write(&mut self, byte: u8) {
        if self.wrap && !matches!(byte, 0xec | 0xff) {
            return self.reply(&[byte]);
        }
        match std::mem::take(&mut self.expect) {
            Expect::Command => self.command(byte),
            Expect::Resolution if byte < 4 => {
                self.resolution = byte;
                self.reply(&[ACK]);
            }
            Expect::SampleRate if byte != 0 && byte <= 200 => {
                self.sample_rate = byte;
                self.identity = match (self.rates, byte, self.identity) {
                    ([200, 100], 80, 0) => 3,
                    ([200, 200], 80, 3) => 4,
                    (_, _, identity) => identity,
                };
                self.rates = [self.rates[1], byte];
                self.reply(&[ACK]);
            }
            Expect::Resolution | Expect::SampleRate => self.reply(&[RESEND]),
        }
    }

    /// The next byte for the host.
    pub fn read(&mut self) -> Option<u8> {
        let byte = self.queue.pop_front()?;
        self.last = byte;
        self.stream();
        Some(byte)
    }

    /// Checks state that was loaded.
    ///
    /// # Errors
    /// More bytes than the mouse can hold.
    pub fn check(&self) -> Result<(), StateError> {
        if self.queue.len() > BUFFER {
            return Err(StateError::new("the mouse holds more than 16 bytes"));
        }
        Ok(())
    }

    fn command(&mut self, byte: u8) {
        match byte {
            0xe6 | 0xe7 => self.double = byte == 0xe7,
            0xe8 => self.expect = Expect::Resolution,
            0xe9 => {
                let [left, right, middle] = [0, 1, 2].map(|i| self.buttons >> i & 1);
                let status = u8::from(self.remote) << 6
                    | u8::from(self.reporting) << 5
                    | u8::from(self.double) << 4
                    | left << 2
                    | middle << 1
                    | right;
                return self.reply(&[ACK, status, self.resolution, self.sample_rate]);
            }
            0xea => self.remote = false,
            0xeb => {
                self.reply(&[ACK]);
                return self.report();
            }
            0xec => self.wrap = false,
            0xee => self.wrap = true,
            0xf0 => self.remote = true,
            0xf2 => return self.reply(&[ACK, self.identity]),
            0xf3 => self.expect = Expect::SampleRate,
            0xf4 | 0xf5 => self.reporting = byte == 0xf4,
            0xf6 => {
                *self = Self {
                    identity: self.identity,
                    buttons: self.buttons,
                    last: self.last,
                    ..Self::default()
                };
            }
            0xfe => return self.reply(&[self.last]),
            0xff => {
                *self = Self {
                    buttons: self.buttons,
                    ..Self::default()
                };
                return self.reply(&[ACK, SELF_TEST_PASSED, self.identity]);
            }
            _ => return self.reply(&[RESEND]),
        }
        if byte != 0xf3 {
            // Only rates that follow one another closely count.
            self.rates = [0; 2];
        }
        self.reply(&[ACK]);
    }

    /// Answers a command, in place of what has not been fetched.
    fn reply(&mut self, bytes: &[u8]) {
        self.queue.clear();
        self.queue.extend(bytes);
    }

    /// In stream mode makes a report if there is something to say and nothing else waits.
    fn stream(&mut self) {
        let news =
            (self.dx, self.dy, self.dz) != (0, 0, 0) || self.buttons != self.reported_buttons;
        if news && self.reporting && !self.remote && !self.wrap && self.queue.is_empty() {
            self.report();
        }
    }

    /// Queues a report and takes its movement off the counters.
    fn report(&mut self) {
        let dx = take(&mut self.dx, 255);
        let dy = take(&mut self.dy, 255);
        self.reported_buttons = self.buttons;
        let scale = |d: i32| {
            if self.double && !self.remote {
                doubled(d)
            } else {
                d
            }
        };
        let (x, y) = (scale(dx), scale(dy));
        let beyond = |d: i32| u8::from(!(-256..=255).contains(&d));
        let first = beyond(y) << 7
            | beyond(x) << 6
            | u8::from(y < 0) << 5
            | u8::from(x < 0) << 4
            | 1 << 3
            | self.buttons & 7;
        self.queue.extend([first, x as u8, y as u8]);
        match self.identity {
            3 => {
                let dz = take(&mut self.dz, 127);
                self.queue.push_back(dz as u8);
            }
            4 => {
                let dz = take(&mut self.dz, 7);
                self.queue
                    .push_back(dz as u8 & 0x0f | self.buttons >> 3 << 4);
            }
            _ => self.dz = 0,
        }
    }
}

/// Takes at most `limit` off a counter, towards zero.
fn take(counter: &mut i32, limit: i32) -> i32 {
    let part = (*counter).clamp(-limit, limit);
    *counter -= part;
    part
}

/// Movement at scaling 2:1.
fn doubled(d: i32) -> i32 {
    let size = match d.abs() {
        small @ (0 | 1) => small,
        2 => 1,
        3 => 3,
        4 => 6,
        5 => 9,
        large => 2 * large,
    };
    size * d.signum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drain(m: &mut Mouse) -> Vec<u8> {
        std::iter::from_fn(|| m.read()).collect()
    }

    fn tell(m: &mut Mouse, bytes: &[u8]) -> Vec<u8> {
        let mut heard = Vec::new();
        for byte in bytes {
            m.write(*byte);
            heard.extend(drain(m));
        }
        heard
    }

    const WHEEL: [u8; 6] = [0xf3, 200, 0xf3, 100, 0xf3, 80];
    const FIVE: [u8; 6] = [0xf3, 200, 0xf3, 200, 0xf3, 80];

    #[test]
    fn commands_and_answers() {
        let cases: [(&[u8], &[u8]); 14] = [
            (&[0xff], &[0xfa, 0xaa, 0x00]),
            (&[0xf2], &[0xfa, 0x00]),
            (&[0xe9], &[0xfa, 0x00, 2, 100]),
            (
                &[0xf4, 0xe7, 0xe8, 3, 0xf3, 40, 0xe9],
                &[0xfa, 0xfa, 0xfa, 0xfa, 0xfa, 0xfa, 0xfa, 0x30, 3, 40],
            ),
            (
                &[0xf0, 0xe9, 0xea, 0xe9],
                &[0xfa, 0xfa, 0x40, 2, 100, 0xfa, 0xfa, 0x00, 2, 100],
            ),
            (
                &[0xf4, 0xe7, 0xf6, 0xe9],
                &[0xfa, 0xfa, 0xfa, 0xfa, 0x00, 2, 100],
            ),
            (
                &[0xee, 0x12, 0xf2, 0xec, 0xf2],
                &[0xfa, 0x12, 0xf2, 0xfa, 0xfa, 0x00],
            ),
            (&[0xee, 0xff, 0xf2], &[0xfa, 0xfa, 0xaa, 0x00, 0xfa, 0x00]),
            (&[0xeb], &[0xfa, 0x08, 0, 0]),
            (&[0xf2, 0xfe], &[0xfa, 0x00, 0x00]),
            (&[0xe8, 4], &[0xfa, 0xfe]),
            (&[0xf3, 0], &[0xfa, 0xfe]),
            (&[0x00, 0xe1, 0xf1], &[0xfe; 3]),
            (&[0xf5, 0xe6], &[0xfa; 2]),
        ];
        for (told, heard) in cases {
            assert_eq!(tell(&mut Mouse::default(), told), heard, "{told:x?}");
        }
    }

    #[test]
    fn identities() {
        let identity = |sequence: &[u8]| {
            let mut m = Mouse::default();
            tell(&mut m, sequence);
            tell(&mut m, &[0xf2])[1]
        };
        assert_eq!(identity(&WHEEL), 3);
        assert_eq!(identity(&FIVE), 0, "only after the wheel");
        assert_eq!(identity(&[WHEEL, FIVE].concat()), 4);
        assert_eq!(identity(&[&WHEEL[..], &[0xf6]].concat()), 3);
        assert_eq!(identity(&[&WHEEL[..], &[0xff]].concat()), 0);
        assert_eq!(identity(&[0xf3, 200, 0xf3, 100, 0xf4, 0xf3, 80]), 0);
    }

    #[test]
    fn reports() {
        type Case<'a> = (&'a [u8], (i32, i32, i32), u8, &'a [u8]);
        let cases: [Case<'_>; 9] = [
            (&[], (5, -3, 1), 0, &[0x28, 5, 0xfd]),
            (&[], (-1, 2, 0), 5, &[0x1d, 0xff, 2]),
            (&[], (300, 0, 0), 0, &[0x08, 255, 0, 0x08, 45, 0]),
            (&[], (-300, 0, 0), 0, &[0x18, 1, 0, 0x18, 0xd3, 0]),
            (&[0xe7], (-5, 2, 0), 0, &[0x18, 0xf7, 1]),
            (&[0xe7], (200, 0, 0), 0, &[0x48, 0x90, 0]),
            (&WHEEL, (0, 0, -2), 0, &[0x08, 0, 0, 0xfe]),
            (&WHEEL, (0, 0, 0), 0x18, &[0x08, 0, 0, 0]),
            (&[0xf5], (1, 1, 1), 7, &[]),
        ];
        for (told, (dx, dy, dz), buttons, report) in cases {
            let mut m = Mouse::default();
            tell(&mut m, &[0xf4]);
            tell(&mut m, told);
            m.buttons = buttons;
            m.motion(dx, dy, dz);
            assert_eq!(drain(&mut m), report, "{told:x?}");
        }
        let mut m = Mouse::default();
        tell(&mut m, &[&WHEEL[..], &FIVE, &[0xf4]].concat());
        m.buttons(0x1b);
        m.motion(0, 0, 9);
        assert_eq!(
            drain(&mut m),
            [0x0b, 0, 0, 0x30, 0x0b, 0, 0, 0x37, 0x0b, 0, 0, 0x32]
        );
        m.buttons(0);
        assert_eq!(drain(&mut m), [0x08, 0, 0, 0]);
    }

    #[test]
    fn remote_mode_waits_to_be_asked() {
        let mut m = Mouse::default();
        tell(&mut m, &[0xf4, 0xf0]);
        m.motion(1, 0, 0);
        m.motion(1, i32::MAX, 0);
        m.motion(0, i32::MAX, i32::MIN);
        assert_eq!(drain(&mut m), [0u8; 0]);
        assert_eq!(tell(&mut m, &[0xeb]), [0xfa, 0x08, 2, 255]);
    }
}
