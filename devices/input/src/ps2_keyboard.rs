//! A PS/2 keyboard of 101 to 105 keys.
//!
//! IBM Personal System/2 Hardware Interface Technical Reference, "Keyboard (101- and 102-key)": commands,
//! the three scan code sets, the 16-byte buffer. It answers at once. Auto-repeat is the host's: a key that
//! is reported down while it is down is a repeat, and goes out if the key repeats.

use std::collections::VecDeque;

use solderless_model::{State, StateError};

use crate::scan_codes::{self, PAUSE};

/// Bytes of scan codes that the keyboard remembers.
const BUFFER: usize = 16;

const ACK: u8 = 0xfa;
const RESEND: u8 = 0xfe;
const SELF_TEST_PASSED: u8 = 0xaa;
const ECHO: u8 = 0xee;
const ID: [u8; 2] = [0xab, 0x83];
/// The lowest command; smaller bytes can only be arguments.
const FIRST_COMMAND: u8 = 0xed;

/// In set 3 a key repeats.
const TYPEMATIC: u8 = 1 << 0;
/// In set 3 a key tells when it is let go.
const BREAK: u8 = 1 << 1;

/// What the next byte from the host is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, State)]
enum Expect {
    #[default]
    Command,
    Leds,
    ScanCodeSet,
    TypematicRate,
    /// Scan codes of set 3 of keys that get this kind, until the next command.
    Keys {
        kind: u8,
    },
}

/// The keyboard.
#[derive(Debug, State)]
pub struct Keyboard {
    /// Answers to commands; they go before scan codes.
    replies: VecDeque<u8>,
    scan_codes: VecDeque<u8>,
    last: u8,
    expect: Expect,
    scanning: bool,
    set: u8,
    leds: u8,
    typematic_rate: u8,
    /// Keys that are down, by their set 1 code: one bit each, those behind 0xe0 in the second half.
    down: [u64; 4],
    /// Per set 3 scan code, whether the key repeats and whether it tells when it is let go.
    kinds: [u8; 256],
}

impl Default for Keyboard {
    fn default() -> Self {
        let mut keyboard = Self {
            replies: VecDeque::new(),
            scan_codes: VecDeque::with_capacity(BUFFER),
            last: 0,
            expect: Expect::Command,
            scanning: true,
            set: 2,
            leds: 0,
            typematic_rate: 0,
            down: [0; 4],
            kinds: [0; 256],
        };
        keyboard.set_defaults();
        keyboard
    }
}

impl Keyboard {
    /// Presses or lets go a key. `code` is the key's scan code of set 1 (0x01 to 0x7f), 0xe000 more if 0xe0
    /// precedes it, or [`PAUSE`]; other numbers do nothing.
    pub fn key(&mut self, code: u16, down: bool) {
        if !scan_codes::is_key(code) {
            return;
        }
        let number = match code {
            // It shares its low byte with the right Control key.
            PAUSE => 0x80,
            _ => usize::from(code & 0x7f | u16::from(code >= 0xe000) << 7),
        };
        let (word, bit) = (number / 64, 1u64 << (number % 64));
        let was_down = self.down.get(word).is_some_and(|keys| keys & bit != 0);
        if let Some(keys) = self.down.get_mut(word) {
            *keys = if down { *keys | bit } else { *keys & !bit };
        }
        if !self.scanning || !(down || was_down) {
            return;
        }
        match self.set {
            1 => self.queue(&scan_codes::set1(code, down)),
            3 => {
                let key = scan_codes::set3(code);
                let kind = self.kinds[usize::from(key)];
                match (key, down) {
                    (0, _) => {}
                    (_, true) if !was_down || kind & TYPEMATIC != 0 => self.queue(&[key]),
                    (_, false) if kind & BREAK != 0 => self.queue(&[0xf0, key]),
                    _ => {}
                }
            }
            _ => self.queue(&scan_codes::set2(code, down)),
        }
    }

    /// The LEDs: bit 0 scroll lock, 1 num lock, 2 caps lock.
    pub fn leds(&self) -> u8 {
        self.leds
    }

    /// A byte from the host.
    pub fn write(&mut self, byte: u8) {
        let expect = std::mem::take(&mut self.expect);
        if expect == Expect::Command || byte >= FIRST_COMMAND {
            return self.command(byte);
        }
        match (expect, byte) {
            (Expect::Leds, 0..8) => self.leds = byte,
            (Expect::TypematicRate, 0..0x80) => self.typematic_rate = byte,
            (Expect::ScanCodeSet, 0) => return self.reply(&[ACK, self.set]),
            (Expect::ScanCodeSet, 1..=3) => {
                self.set = byte;
                self.scan_codes.clear();
            }
            (Expect::Keys { kind }, _) => {
                self.kinds[usize::from(byte)] = kind;
                self.expect = expect;
            }
            _ => {
                // It asks for the argument again.
                self.expect = expect;
                return self.reply(&[RESEND]);
            }
        }
        self.reply(&[ACK]);
    }

    /// The next byte for the host.
    pub fn read(&mut self) -> Option<u8> {
        let byte = self
            .replies
            .pop_front()
            .or_else(|| self.scan_codes.pop_front())?;
        self.last = byte;
        Some(byte)
    }

    /// Checks state that was loaded.
    ///
    /// # Errors
    /// More bytes than the keyboard remembers, or a scan code set that it does not have.
    pub fn check(&self) -> Result<(), StateError> {
        if self.scan_codes.len() > BUFFER || self.replies.len() > BUFFER {
            return Err(StateError::new("the keyboard holds more than 16 bytes"));
        }
        if !matches!(self.set, 1..=3) {
            return Err(StateError::new(format!(
                "scan code set {} does not exist",
                self.set
            )));
        }
        Ok(())
    }

    fn command(&mut self, byte: u8) {
        match byte {
            0xed => self.expect = Expect::Leds,
            0xee => return self.reply(&[ECHO]),
            0xf0 => self.expect = Expect::ScanCodeSet,
            0xf2 => return self.reply(&[ACK, ID[0], ID[1]]),
            0xf3 => self.expect = Expect::TypematicRate,
            0xf4 => {
                self.scan_codes.clear();
                self.scanning = true;
            }
            0xf5 | 0xf6 => {
                self.set_defaults();
                self.scanning &= byte == 0xf6;
            }
            0xf7 => self.kinds = [TYPEMATIC; 256],
            0xf8 => self.kinds = [BREAK; 256],
            0xf9 => self.kinds = [0; 256],
            0xfa => self.kinds = [TYPEMATIC | BREAK; 256],
            0xfb => self.expect = Expect::Keys { kind: TYPEMATIC },
            0xfc => self.expect = Expect::Keys { kind: BREAK },
            0xfd => self.expect = Expect::Keys { kind: 0 },
            0xfe => return self.reply(&[self.last]),
            0xff => {
                self.set_defaults();
                self.scanning = true;
                self.leds = 0;
                return self.reply(&[ACK, SELF_TEST_PASSED]);
            }
            _ => return self.reply(&[RESEND]),
        }
        self.reply(&[ACK]);
    }

    fn set_defaults(&mut self) {
        self.scan_codes.clear();
        self.set = 2;
        // 10.9 characters a second after 500 ms.
        self.typematic_rate = 0x2b;
        self.kinds = [TYPEMATIC; 256];
        for key in scan_codes::SET3_MAKE_BREAK {
            self.kinds[usize::from(key)] = BREAK;
        }
        for key in scan_codes::SET3_MAKE_ONLY {
            self.kinds[usize::from(key)] = 0;
        }
    }

    /// Answers a command, in place of what is left of the last answer.
    fn reply(&mut self, bytes: &[u8]) {
        self.replies.clear();
        self.replies.extend(bytes);
    }

    /// Queues the scan codes of one event, or the overrun code if they do not fit.
    fn queue(&mut self, bytes: &[u8]) {
        if self.scan_codes.len() + bytes.len() < BUFFER {
            self.scan_codes.extend(bytes);
        } else if self.scan_codes.len() < BUFFER {
            let overrun = if self.set == 1 { 0xff } else { 0x00 };
            self.scan_codes
                .extend(std::iter::repeat_n(overrun, BUFFER - self.scan_codes.len()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scan_codes::PRINT_SCREEN;

    fn drain(k: &mut Keyboard) -> Vec<u8> {
        std::iter::from_fn(|| k.read()).collect()
    }

    fn tell(k: &mut Keyboard, bytes: &[u8]) -> Vec<u8> {
        let mut heard = Vec::new();
        for byte in bytes {
            k.write(*byte);
            heard.extend(drain(k));
        }
        heard
    }

    #[test]
    fn commands_and_answers() {
        let cases: [(&[u8], &[u8]); 18] = [
            (&[0xff], &[0xfa, 0xaa]),
            (&[0xf2], &[0xfa, 0xab, 0x83]),
            (&[0xed, 0x07], &[0xfa, 0xfa]),
            (&[0xed, 0x08], &[0xfa, 0xfe]),
            (&[0xed, 0xee], &[0xfa, 0xee]),
            (&[0xee], &[0xee]),
            (&[0xf0, 0x00], &[0xfa, 0xfa, 2]),
            (&[0xf0, 0x01, 0xf0, 0x00], &[0xfa, 0xfa, 0xfa, 0xfa, 1]),
            (
                &[0xf0, 0x04, 0x03, 0xf0, 0x00],
                &[0xfa, 0xfe, 0xfa, 0xfa, 0xfa, 3],
            ),
            (&[0xf3, 0x00], &[0xfa, 0xfa]),
            (&[0xf3, 0x80], &[0xfa, 0xfe]),
            (&[0xf4], &[0xfa]),
            (&[0xf5], &[0xfa]),
            (&[0xf6], &[0xfa]),
            (&[0xf7, 0xf8, 0xf9, 0xfa], &[0xfa; 4]),
            (&[0xfb, 0x1c, 0x1b, 0xf4], &[0xfa; 4]),
            (&[0xf2, 0xfe], &[0xfa, 0xab, 0x83, 0x83]),
            (&[0x00, 0xef, 0xf1], &[0xfe; 3]),
        ];
        for (told, heard) in cases {
            assert_eq!(tell(&mut Keyboard::default(), told), heard, "{told:x?}");
        }
    }

    #[test]
    fn keys_in_three_sets() {
        let a = 0x1e;
        let up = 0xe048;
        let cases: [(u8, u16, &[u8], &[u8]); 11] = [
            (1, a, &[0x1e], &[0x9e]),
            (2, a, &[0x1c], &[0xf0, 0x1c]),
            (3, a, &[0x1c], &[]),
            (1, up, &[0xe0, 0x48], &[0xe0, 0xc8]),
            (2, up, &[0xe0, 0x75], &[0xe0, 0xf0, 0x75]),
            (3, up, &[0x63], &[]),
            (2, 0x41, &[0x83], &[0xf0, 0x83]),
            (3, 0x2a, &[0x12], &[0xf0, 0x12]),
            (
                2,
                PRINT_SCREEN,
                &[0xe0, 0x12, 0xe0, 0x7c],
                &[0xe0, 0xf0, 0x7c, 0xe0, 0xf0, 0x12],
            ),
            (
                2,
                PAUSE,
                &[0xe1, 0x14, 0x77, 0xe1, 0xf0, 0x14, 0xf0, 0x77],
                &[],
            ),
            (1, PAUSE, &[0xe1, 0x1d, 0x45, 0xe1, 0x9d, 0xc5], &[]),
        ];
        for (set, code, make, release) in cases {
            let mut k = Keyboard::default();
            tell(&mut k, &[0xf0, set]);
            k.key(code, false);
            assert_eq!(drain(&mut k), [0u8; 0], "{code:x} was not down");
            k.key(code, true);
            assert_eq!(drain(&mut k), make, "set {set}, {code:x}");
            k.key(code, false);
            assert_eq!(drain(&mut k), release, "set {set}, {code:x}");
        }
    }

    #[test]
    fn kinds_of_keys_in_set_3() {
        for (kind, repeats, breaks) in [
            (0xfb, true, false),
            (0xfc, false, true),
            (0xfd, false, false),
        ] {
            let mut k = Keyboard::default();
            tell(&mut k, &[0xf0, 3, 0xfa, kind, 0x1c, 0xf4]);
            k.key(0x1e, true);
            k.key(0x1e, true);
            assert_eq!(drain(&mut k).len(), 1 + usize::from(repeats));
            k.key(0x1e, false);
            assert_eq!(drain(&mut k).len(), 2 * usize::from(breaks));
            k.key(0x1f, true);
            k.key(0x1f, true);
            k.key(0x1f, false);
            assert_eq!(drain(&mut k), [0x1b, 0x1b, 0xf0, 0x1b]);
        }
    }

    #[test]
    fn a_disabled_keyboard_is_silent() {
        let mut k = Keyboard::default();
        tell(&mut k, &[0xf5]);
        k.key(0x1e, true);
        assert_eq!(drain(&mut k), [0u8; 0]);
        tell(&mut k, &[0xf6]);
        k.key(0x1f, true);
        assert_eq!(
            drain(&mut k),
            [0u8; 0],
            "setting defaults does not enable it"
        );
        tell(&mut k, &[0xf4]);
        k.key(0x20, true);
        assert_eq!(drain(&mut k), [0x23]);
    }

    #[test]
    fn answers_overtake_and_the_buffer_is_bounded() {
        let mut k = Keyboard::default();
        for _ in 0..20 {
            k.key(0x1e, true);
        }
        k.write(0xee);
        let read = drain(&mut k);
        assert_eq!(read.len(), 17);
        assert_eq!(
            (read[0], read[1], read[15], read[16]),
            (0xee, 0x1c, 0x1c, 0)
        );
        for code in [0, 0x80, 0xe000, 0xe100, 0xffff] {
            k.key(code, true);
        }
        assert_eq!(drain(&mut k), [0u8; 0]);
    }
}
