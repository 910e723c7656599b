//! Board registers of the MIPS Malta: the FPGA on its CBUS.
//!
//! MIPS Malta User's Manual (MD00048), "CBUS peripherals": switches, display, reset, general-purpose and I²C
//! registers, 32 bits wide in the CPU's byte order and eight bytes apart. The UART at 0x900 is a device
//! of its own that a board puts over this one, and so is the boot flash under the revision word.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use solderless_model::{
    Access, BuildError, BusError, BusKind, Cx, Cycle, Device, Interface, Model, On, Placement,
    Port, PropError, Ranges, Region, Request, Slot, SlotKind, State, Wires, connections, lanes,
    merge,
};

use crate::bitbang::BitBang;

connections! {
    fn connections(_: &MaltaFpgaProps) on BusKind::System;
    region REGISTERS = Region::registers("registers", 1 << 20);
    region REVISION = Region::registers("revision", 4).placed(Placement::View);
    port I2C = Port::new("i2c", BusKind::I2c);
    slot DISPLAY = Slot::new("display", SlotKind::Chardev);
}

const SWITCH: u64 = 0x200;
const STATUS: u64 = 0x208;
const JMPRS: u64 = 0x210;
const LEDBAR: u64 = 0x408;
const ASCIIWORD: u64 = 0x410;
const ASCIIPOS0: u64 = 0x418;
const ASCIIPOS7: u64 = 0x450;
const SOFTRES: u64 = 0x500;
const BRKRES: u64 = 0x508;
const GPOUT: u64 = 0xa00;
const GPINP: u64 = 0xa08;
const I2CINP: u64 = 0xb00;
const I2COE: u64 = 0xb08;
const I2COUT: u64 = 0xb10;
const I2CSEL: u64 = 0xb18;

/// STATUS: the board is ready.
const STATUS_READY: u32 = 1 << 4;
/// STATUS: the CPU runs big-endian.
const STATUS_BIGEND: u32 = 1 << 1;
/// What resets the board when written to SOFTRES.
const GORESET: u32 = 0x42;

/// Bits of the I²C registers.
const SDA: u8 = 1 << 0;
const SCL: u8 = 1 << 1;

/// Properties of `malta-fpga`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema, Ranges)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct MaltaFpgaProps {
    /// The CPU is big-endian: STATUS says so, and words are in that order.
    pub big_endian: bool,
    /// Board and core card, as a word of the boot flash's address space: core card type in bits 15:10, product in 7:4.
    pub revision: u32,
    /// Position of the DIP switch S2.
    pub switch: u8,
    /// Position of the jumpers, as JMPRS shows them.
    pub jumpers: u8,
}

impl Default for MaltaFpgaProps {
    fn default() -> Self {
        Self {
            big_endian: false,
            revision: 0x420,
            switch: 0,
            jumpers: 0,
        }
    }
}

/// The board registers.
#[derive(Debug, State)]
pub struct MaltaFpga {
    #[state(skip = "properties")]
    props: MaltaFpgaProps,
    ledbar: u8,
    /// The eight characters of the display, left to right.
    ascii: [u8; 8],
    brkres: u8,
    gpout: u8,
    /// The lines at the last write to an I²C register.
    i2cinp: u8,
    /// Which lines are outputs. Until it is written both are, though it reads 0: software that has only met
    /// emulators never writes it.
    i2coe: Option<u8>,
    i2cout: u8,
    i2csel: u8,
    bits: BitBang,
}

impl Model for MaltaFpga {
    const TYPE: &'static str = "malta-fpga";
    const SUMMARY: &'static str = "Board registers of the MIPS Malta (MD00048)";
    type Props = MaltaFpgaProps;

    fn interface(props: &MaltaFpgaProps) -> Result<Interface, PropError> {
        Ok(connections(props))
    }

    fn build(props: MaltaFpgaProps, _: Wires<'_>) -> Result<Self, BuildError> {
        Ok(Self::new(props))
    }
}

impl Device for MaltaFpga {
    fn reset(&mut self, _: &mut Cx<'_>) {
        *self = Self::new(self.props.clone());
    }

    fn read(&mut self, _: &mut Cx<'_>, at: Access) -> Result<u64, BusError> {
        let word = if at.region == REGISTERS {
            self.register(at.offset & !3)
        } else {
            self.props.revision
        };
        Ok(lanes(self.ordered(word), at.offset, at.size))
    }

    fn write(&mut self, cx: &mut Cx<'_>, at: Access, value: u64) -> Result<(), BusError> {
        if at.region != REGISTERS {
            cx.guest_error(format_args!("write to the revision word"));
            return Ok(());
        }
        let register = at.offset & !3;
        let old = self.ordered(self.register(register));
        let word = self.ordered(merge(old, at.offset, at.size, value));
        self.store(cx, register, word);
        Ok(())
    }
}

impl MaltaFpga {
    fn new(props: MaltaFpgaProps) -> Self {
        Self {
            props,
            ledbar: 0,
            ascii: *b"        ",
            brkres: 0x0a,
            gpout: 0,
            i2cinp: SCL,
            i2coe: None,
            i2cout: SCL | SDA,
            i2csel: 1,
            bits: BitBang::default(),
        }
    }

    /// A word between the CPU's byte order and that of the bus lanes.
    fn ordered(&self, word: u32) -> u32 {
        if self.props.big_endian {
            word.swap_bytes()
        } else {
            word
        }
    }

    fn register(&self, register: u64) -> u32 {
        match register {
            SWITCH => self.props.switch.into(),
            STATUS if self.props.big_endian => STATUS_READY | STATUS_BIGEND,
            STATUS => STATUS_READY,
            JMPRS => self.props.jumpers.into(),
            LEDBAR => self.ledbar.into(),
            BRKRES => self.brkres.into(),
            GPOUT => self.gpout.into(),
            // Nothing is plugged into the connector but the two I²C lines.
            GPINP if self.i2csel != 0 => self.i2cout.into(),
            I2CINP => self.i2cinp.into(),
            I2COE => self.i2coe.unwrap_or(0).into(),
            I2COUT => self.i2cout.into(),
            I2CSEL => self.i2csel.into(),
            _ => 0,
        }
    }

    fn store(&mut self, cx: &mut Cx<'_>, register: u64, word: u32) {
        let byte = word as u8;
        match register {
            LEDBAR => self.show(cx, byte, self.ascii),
            ASCIIWORD => {
                let digit = |i: u32| b"0123456789ABCDEF"[(word >> (28 - 4 * i) & 15) as usize];
                self.show(cx, self.ledbar, [0, 1, 2, 3, 4, 5, 6, 7].map(digit));
            }
            ASCIIPOS0..=ASCIIPOS7 if register & 7 == 0 => {
                let mut ascii = self.ascii;
                ascii[((register - ASCIIPOS0) / 8) as usize & 7] = byte;
                self.show(cx, self.ledbar, ascii);
            }
            SOFTRES if word == GORESET => cx.request(Request::Reset),
            BRKRES => self.brkres = byte,
            GPOUT => self.gpout = byte,
            I2COE => {
                self.i2coe = Some(byte & (SCL | SDA));
                self.drive_i2c(cx);
            }
            I2COUT => {
                self.i2cout = byte & (SCL | SDA);
                self.drive_i2c(cx);
            }
            I2CSEL => {
                self.i2csel = byte & 1;
                self.drive_i2c(cx);
            }
            _ => {}
        }
    }

    /// Sets the LED bar and the display, and tells whoever watches them: one line of eight LEDs, left to
    /// right from bit 7, and the text.
    fn show(&mut self, cx: &mut Cx<'_>, ledbar: u8, ascii: [u8; 8]) {
        if (ledbar, ascii) == (self.ledbar, self.ascii) {
            return;
        }
        self.ledbar = ledbar;
        self.ascii = ascii;
        let mut line = [b' '; 18];
        for (i, led) in (0..8).rev().zip(&mut line) {
            *led = if ledbar >> i & 1 != 0 { b'*' } else { b'.' };
        }
        for (shown, character) in line.iter_mut().skip(9).zip(ascii) {
            *shown = match character {
                b' '..=b'~' => character,
                _ => b'?',
            };
        }
        line[17] = b'\n';
        cx.send(DISPLAY, &line);
    }

    /// A line is pulled low where it is an output, is 0, and the FPGA has the bus.
    fn drive_i2c(&mut self, cx: &mut Cx<'_>) {
        let outputs = self.i2coe.unwrap_or(SCL | SDA);
        let level = |line: u8| self.i2csel == 0 || outputs & line == 0 || self.i2cout & line != 0;
        let (scl, sda) = (level(SCL), level(SDA));
        self.bits.drive(scl, sda, |address, event| {
            let answer = cx.cycle(On::Port(I2C), Cycle::I2c { address, event });
            answer.ok().map(|byte| byte as u8)
        });
        self.i2cinp = if scl { SCL } else { 0 } | if self.bits.sda() { SDA } else { 0 };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use solderless_model::testing::{Bench, Noise, exercise, goes_on_the_same};
    use solderless_model::{I2c, I2cTarget};

    type Fpga = Bench<MaltaFpga>;

    fn fpga(big_endian: bool) -> Fpga {
        Bench::new(MaltaFpgaProps {
            big_endian,
            ..MaltaFpgaProps::default()
        })
    }

    fn put(b: &mut Fpga, register: u64, word: u32) {
        assert!(b.write(REGISTERS, register, 4, word.into()));
    }

    fn get(b: &mut Fpga, register: u64) -> u64 {
        b.read(REGISTERS, register, 4).expect("answers")
    }

    #[test]
    fn registers_after_reset() {
        for round in 0..2 {
            let mut b = fpga(false);
            for _ in 0..round {
                for register in (0..0x1000).step_by(4).filter(|r| *r != SOFTRES) {
                    put(&mut b, register, 0xffff_ffff);
                }
                b.reset();
            }
            for register in (0..0x1000).step_by(4) {
                let expected = match register {
                    STATUS => 0x10,
                    BRKRES => 0x0a,
                    GPINP | I2COUT => 3,
                    I2CINP => 2,
                    I2CSEL => 1,
                    _ => 0,
                };
                assert_eq!(get(&mut b, register), expected, "{register:#x}");
            }
        }
    }

    #[test]
    fn writable_bits() {
        let mut b = fpga(false);
        for (register, mask) in [
            (SWITCH, 0),
            (JMPRS, 0),
            (LEDBAR, 0xff),
            (ASCIIWORD, 0),
            (ASCIIPOS0, 0),
            (BRKRES, 0xff),
            (GPOUT, 0xff),
            (I2COE, 3),
            (I2COUT, 3),
            (I2CSEL, 1),
        ] {
            put(&mut b, register, 0xffff_ffff);
            assert_eq!(get(&mut b, register), mask, "{register:#x}");
        }
        put(&mut b, I2CSEL, 0);
        assert_eq!(get(&mut b, GPINP), 0);
    }

    #[test]
    fn words_follow_the_cpu() {
        for (big_endian, status, revision, low) in [
            (false, 0x0000_0010, 0x0000_0420, 0),
            (true, 0x1200_0000, 0x2004_0000, 3),
        ] {
            let mut b = fpga(big_endian);
            assert_eq!(get(&mut b, STATUS), status);
            assert_eq!(b.read(REVISION, 0, 4), Some(revision));
            assert_eq!(b.read(REVISION, low, 1), Some(0x20));
            assert!(b.write(REVISION, 0, 4, 0));
            assert_eq!(b.read(REVISION, 0, 4), Some(revision));
            assert!(b.write(REGISTERS, LEDBAR + low, 1, 0x5a));
            assert_eq!(b.read(REGISTERS, LEDBAR + low, 1), Some(0x5a));
            let word = if big_endian { 0x4200_0000 } else { 0x42 };
            put(&mut b, SOFTRES, word);
            assert_eq!(b.around.requests, [Request::Reset]);
        }
    }

    #[test]
    fn only_one_word_resets() {
        let mut b = fpga(false);
        for word in [0, 0x41, 0x4200, 0x142, 0x4200_0000] {
            put(&mut b, SOFTRES, word);
        }
        assert!(b.around.requests.is_empty());
        assert_eq!(get(&mut b, SOFTRES), 0);
    }

    #[test]
    fn the_display_is_told_of_changes() {
        let mut b = fpga(false);
        put(&mut b, ASCIIWORD, 0xdead_beef);
        put(&mut b, ASCIIWORD, 0xdead_beef);
        put(&mut b, LEDBAR, 0x81);
        for (i, character) in (0..).zip(b"Linux\x07") {
            put(&mut b, ASCIIPOS0 + 8 * i, (*character).into());
        }
        let sent = String::from_utf8(b.around.sent[&DISPLAY].clone()).unwrap();
        let lines: Vec<&str> = sent.lines().collect();
        assert_eq!(lines.len(), 8);
        assert_eq!(lines[0], "........ DEADBEEF");
        assert_eq!(lines[1], "*......* DEADBEEF");
        assert_eq!(lines[7], "*......* Linux?EF");
        assert_eq!(b.dev.ascii, *b"Linux\x07EF");
    }

    struct Spd(u8);
    impl I2cTarget for Spd {
        fn event(&mut self, event: I2c) -> Option<u8> {
            match event {
                I2c::Write(at) => self.0 = at,
                I2c::Read => {
                    self.0 = self.0.wrapping_add(1);
                    return Some(self.0 ^ 0x5a);
                }
                _ => {}
            }
            Some(0)
        }
    }

    fn with_spd() -> Fpga {
        let mut b = fpga(false);
        b.around.targets.insert((I2C, 0x50), Box::new(Spd(0)));
        b
    }

    /// How software moves the lines: by the output register with both lines enabled or never enabled, or by
    /// the enables with the outputs at 0.
    fn lines(b: &mut Fpga, by_enable: bool, scl: u32, sda: u32) -> u8 {
        let level = scl << 1 | sda;
        if by_enable {
            put(b, I2COE, !level & 3);
        } else {
            put(b, I2COUT, level);
        }
        get(b, I2CINP) as u8
    }

    fn clock(b: &mut Fpga, by_enable: bool, bit: u32) -> u8 {
        lines(b, by_enable, 0, bit);
        let inputs = lines(b, by_enable, 1, bit);
        lines(b, by_enable, 0, bit);
        inputs & SDA
    }

    fn read_byte(b: &mut Fpga, by_enable: bool) -> u8 {
        let mut acknowledges = 0;
        for (byte, restart) in [(0xa0u32, true), (0x07, false), (0xa1, true)] {
            if restart {
                lines(b, by_enable, 1, 1);
                lines(b, by_enable, 1, 0);
            }
            for i in (0..8).rev() {
                clock(b, by_enable, byte >> i & 1);
            }
            acknowledges += u32::from(clock(b, by_enable, 1) == 0);
            lines(b, by_enable, 0, 1);
        }
        assert_eq!(acknowledges, 3);
        let byte = (0..8).fold(0, |byte, _| byte << 1 | clock(b, by_enable, 1));
        clock(b, by_enable, 1);
        lines(b, by_enable, 0, 0);
        lines(b, by_enable, 1, 0);
        assert_eq!(lines(b, by_enable, 1, 1), 3);
        byte
    }

    #[test]
    fn software_reads_the_spd() {
        let mut b = with_spd();
        assert_eq!(read_byte(&mut b, false), 8 ^ 0x5a);
        put(&mut b, I2COE, 3);
        assert_eq!(read_byte(&mut b, false), 8 ^ 0x5a);
        put(&mut b, I2COE, 0);
        put(&mut b, I2COUT, 0);
        assert_eq!(read_byte(&mut b, true), 8 ^ 0x5a);
        put(&mut b, I2CSEL, 0);
        put(&mut b, I2COE, 3);
        assert_eq!(get(&mut b, I2CINP), 3, "the FPGA does not have the bus");
    }

    /// A target without state.
    struct Constant;

    impl I2cTarget for Constant {
        fn event(&mut self, event: I2c) -> Option<u8> {
            Some(if event == I2c::Read { 0x5a } else { 0 })
        }
    }

    fn poke(b: &mut Fpga, noise: &mut Noise) -> Option<u64> {
        let size = 1 << (noise.draw() % 3);
        let offset = (noise.draw() & 0xfff | noise.draw() & 0xf00) & !(u64::from(size) - 1);
        let offset = match noise.draw() % 3 {
            0 => offset,
            _ => I2COE + 8 * (noise.draw() % 3),
        };
        let answer = match noise.draw() % 4 {
            0 => b.read(REGISTERS, offset, size),
            1 => b.read(REVISION, offset & 3 & !(u64::from(size) - 1), size),
            _ => {
                let value = noise.draw();
                b.write(REGISTERS, offset, size, value).then_some(0)
            }
        };
        assert!(answer.is_some(), "{size} bytes at {offset:#x}");
        answer
    }

    #[test]
    fn random_accesses_and_saved_state() {
        let with_target = || {
            let mut b = fpga(false);
            b.around.targets.insert((I2C, 0x50), Box::new(Constant));
            b
        };
        goes_on_the_same(with_target, 20, 300, poke);
        exercise(with_target);
    }
}
