//! The keyboard controller of a PC, with a keyboard and a mouse plugged in.
//!
//! Intel 8042 (UPI-42) with the firmware of the IBM PS/2: "IBM Personal System/2 Hardware Interface
//! Technical Reference", "Keyboard and auxiliary device controller". The output buffer holds one byte; what the
//! devices have to say waits in them until it has been read. The input buffer is always empty: every
//! command is done at once.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use solderless_model::acpi::{Node, Said};
use solderless_model::{
    Access, Ask, BuildError, BusError, BusKind, Cx, Device, Interface, Keys, Model, Pins,
    Placement, PropError, Question, Ranges, Region, Request, State, StateError, Wires, connections,
};

use crate::ps2_keyboard::Keyboard;
use crate::ps2_mouse::Mouse;
use crate::scan_codes;

connections! {
    fn connections(_: &I8042Props) on BusKind::Isa;
    region DATA = Region::ports("data", 1);
    region COMMAND = Region::ports("command", 1).placed(Placement::Board(4));
    output KBD_IRQ = Pins::named("kbd-irq");
    output MOUSE_IRQ = Pins::named("mouse-irq");
    output A20 = Pins::named("a20").optional();
}

const STATUS_OUTPUT_FULL: u8 = 1 << 0;
const STATUS_SYSTEM: u8 = 1 << 2;
/// The last write was a command: for the controller's own firmware, which is never behind. Hosts see it set.
const STATUS_COMMAND: u8 = 1 << 3;
const STATUS_UNLOCKED: u8 = 1 << 4;
const STATUS_AUX: u8 = 1 << 5;

const CTR_KBD_INT: u8 = 1 << 0;
const CTR_AUX_INT: u8 = 1 << 1;
const CTR_SYSTEM: u8 = 1 << 2;
const CTR_KBD_DISABLE: u8 = 1 << 4;
const CTR_AUX_DISABLE: u8 = 1 << 5;
const CTR_TRANSLATE: u8 = 1 << 6;

/// Output port: 0 resets the machine.
const OUTPUT_RESET: u8 = 1 << 0;
const OUTPUT_A20: u8 = 1 << 1;
const OUTPUT_KBD_IRQ: u8 = 1 << 4;
const OUTPUT_AUX_IRQ: u8 = 1 << 5;
/// Output port: the clock and data lines of both devices, idle.
const OUTPUT_LINES: u8 = 0xcc;

/// Input port: the keyboard is not locked.
const INPUT_UNLOCKED: u8 = 1 << 7;

const SELF_TEST_PASSED: u8 = 0x55;
const INTERFACE_TEST_PASSED: u8 = 0x00;
const NO_PASSWORD: u8 = 0xf1;

/// Properties of `i8042`: it has none.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema, Ranges)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct I8042Props {}

/// Where the next byte written to the data port goes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, State)]
enum Next {
    #[default]
    Keyboard,
    Ram {
        at: u8,
    },
    OutputPort,
    KeyboardBuffer,
    AuxBuffer,
    Mouse,
}

/// The controller.
#[derive(Debug, State)]
pub struct I8042 {
    keyboard: Keyboard,
    mouse: Mouse,
    /// Byte 0 is the command byte, CTR.
    ram: [u8; 32],
    next: Next,
    /// The output buffer; it keeps its byte when it has been read.
    data: u8,
    full: bool,
    aux: bool,
    /// An answer of the controller itself that waits for the output buffer, and whether it poses as the mouse's.
    answer: Option<(u8, bool)>,
    /// A break prefix was swallowed: the next byte is translated to a break code.
    release: bool,
    self_tested: bool,
    a20: bool,
}

impl Model for I8042 {
    const TYPE: &'static str = "i8042";
    const QUESTIONS: &'static [Question] = &[
        Question {
            name: "self-test",
            steps: &[
                Ask::Write((COMMAND, 0, 1), 0xaa),
                Ask::Read((DATA, 0, 1)),
                Ask::Write((COMMAND, 0, 1), 0xab),
                Ask::Read((DATA, 0, 1)),
            ],
        },
        Question {
            name: "keyboard",
            steps: &[
                Ask::Write((DATA, 0, 1), 0xf2),
                Ask::Read((DATA, 0, 1)),
                Ask::Read((DATA, 0, 1)),
                Ask::Read((DATA, 0, 1)),
            ],
        },
        Question {
            name: "mouse",
            steps: &[
                Ask::Write((COMMAND, 0, 1), 0xd4),
                Ask::Write((DATA, 0, 1), 0xf2),
                Ask::Read((DATA, 0, 1)),
                Ask::Read((DATA, 0, 1)),
            ],
        },
    ];
    const SUMMARY: &'static str = "PS/2 keyboard controller (Intel 8042) with keyboard and mouse";
    type Props = I8042Props;

    fn interface(props: &I8042Props) -> Result<Interface, PropError> {
        let keyboard = Said {
            name: "KBD",
            hid: "PNP0303",
            regions: true,
            outputs: &[KBD_IRQ],
        };
        let mouse = Said {
            name: "MOU",
            hid: "PNP0F13",
            regions: false,
            outputs: &[MOUSE_IRQ],
        };
        Ok(connections(props).acpi(Node::Devices(vec![keyboard, mouse])))
    }

    fn build(_: I8042Props, _: Wires<'_>) -> Result<Self, BuildError> {
        Ok(Self::new())
    }
}

impl Device for I8042 {
    fn reset(&mut self, cx: &mut Cx<'_>) {
        *self = Self::new();
        self.drive(cx);
    }

    fn read(&mut self, cx: &mut Cx<'_>, at: Access) -> Result<u64, BusError> {
        if at.region != DATA {
            return Ok(self.status().into());
        }
        self.full = false;
        self.aux = false;
        // Both lines go low before the next byte raises one: an edge for each byte.
        self.drive(cx);
        let byte = self.data;
        self.refill(cx);
        Ok(byte.into())
    }

    fn write(&mut self, cx: &mut Cx<'_>, at: Access, value: u64) -> Result<(), BusError> {
        if at.region == DATA {
            self.write_data(cx, value as u8);
        } else {
            self.command(cx, value as u8);
        }
        self.refill(cx);
        Ok(())
    }

    fn keyboard(&mut self) -> Option<&mut dyn Keys> {
        Some(self)
    }

    fn restored(&mut self, cx: &mut Cx<'_>) -> Result<(), StateError> {
        self.keyboard.check()?;
        self.mouse.check()?;
        self.drive(cx);
        Ok(())
    }
}

impl Keys for I8042 {
    fn key(&mut self, cx: &mut Cx<'_>, code: u16, down: bool) {
        self.keyboard.key(code, down);
        self.refill(cx);
    }
}

impl I8042 {
    fn new() -> Self {
        let mut ram = [0; 32];
        ram[0] = CTR_KBD_INT | CTR_AUX_INT;
        Self {
            keyboard: Keyboard::default(),
            mouse: Mouse::default(),
            ram,
            next: Next::Keyboard,
            data: 0,
            full: false,
            aux: false,
            answer: None,
            release: false,
            self_tested: false,
            a20: true,
        }
    }

    /// The keyboard's LEDs; see [`Keyboard::leds`].
    pub fn leds(&self) -> u8 {
        self.keyboard.leds()
    }

    /// Moves the mouse; see [`Mouse::motion`].
    pub fn motion(&mut self, cx: &mut Cx<'_>, dx: i32, dy: i32, dz: i32) {
        self.mouse.motion(dx, dy, dz);
        self.refill(cx);
    }

    /// Presses and lets go mouse buttons; see [`Mouse::buttons`].
    pub fn buttons(&mut self, cx: &mut Cx<'_>, buttons: u8) {
        self.mouse.buttons(buttons);
        self.refill(cx);
    }

    fn ctr(&self) -> u8 {
        self.ram[0]
    }

    fn status(&self) -> u8 {
        let flag = |set: bool, bit: u8| if set { bit } else { 0 };
        STATUS_UNLOCKED
            | STATUS_COMMAND
            | flag(self.full, STATUS_OUTPUT_FULL)
            | flag(self.aux, STATUS_AUX)
            | flag(
                self.self_tested || self.ctr() & CTR_SYSTEM != 0,
                STATUS_SYSTEM,
            )
    }

    fn command(&mut self, cx: &mut Cx<'_>, command: u8) {
        self.next = Next::Keyboard;
        match command {
            0x20..=0x3f => self.answer(self.ram[usize::from(command & 0x1f)]),
            0x60..=0x7f => self.next = Next::Ram { at: command & 0x1f },
            0xa4 => self.answer(NO_PASSWORD),
            0xa7 => self.ram[0] |= CTR_AUX_DISABLE,
            0xa8 => self.ram[0] &= !CTR_AUX_DISABLE,
            0xa9 | 0xab => self.answer(INTERFACE_TEST_PASSED),
            0xaa => {
                self.self_tested = true;
                self.answer(SELF_TEST_PASSED);
            }
            0xad => self.ram[0] |= CTR_KBD_DISABLE,
            0xae => self.ram[0] &= !CTR_KBD_DISABLE,
            0xc0 => self.answer(INPUT_UNLOCKED),
            0xd0 => self.answer(self.output_port()),
            0xd1 => self.next = Next::OutputPort,
            0xd2 => self.next = Next::KeyboardBuffer,
            0xd3 => self.next = Next::AuxBuffer,
            0xd4 => self.next = Next::Mouse,
            // The same as writing the output port with another bit 1.
            0xdd | 0xdf => self.a20 = command == 0xdf,
            // Test inputs: the keyboard's clock, which a disabled interface holds low, and its data line.
            0xe0 => self.answer(if self.ctr() & CTR_KBD_DISABLE == 0 {
                3
            } else {
                2
            }),
            // Bits that are 0 are pulsed low on the output port; only that for reset has an effect that lasts.
            0xf0..=0xff if command & OUTPUT_RESET == 0 => cx.request(Request::Reset),
            0xf0..=0xff => {}
            _ => cx.guest_error(format_args!("{command:#x} is no command")),
        }
    }

    fn write_data(&mut self, cx: &mut Cx<'_>, byte: u8) {
        match std::mem::take(&mut self.next) {
            // Talking to a device enables its interface.
            Next::Keyboard => {
                self.ram[0] &= !CTR_KBD_DISABLE;
                self.keyboard.write(byte);
            }
            Next::Mouse => {
                self.ram[0] &= !CTR_AUX_DISABLE;
                self.mouse.write(byte);
            }
            Next::Ram { at } => self.ram[usize::from(at & 0x1f)] = byte,
            Next::OutputPort => {
                self.a20 = byte & OUTPUT_A20 != 0;
                if byte & OUTPUT_RESET == 0 {
                    cx.request(Request::Reset);
                }
            }
            Next::KeyboardBuffer => self.answer = Some((byte, false)),
            Next::AuxBuffer => self.answer = Some((byte, true)),
        }
    }

    fn output_port(&self) -> u8 {
        OUTPUT_LINES
            | OUTPUT_RESET
            | if self.a20 { OUTPUT_A20 } else { 0 }
            | match (self.full, self.aux) {
                (false, _) => 0,
                (true, false) => OUTPUT_KBD_IRQ,
                (true, true) => OUTPUT_AUX_IRQ,
            }
    }

    fn answer(&mut self, byte: u8) {
        self.answer = Some((byte, false));
    }

    /// Fills the output buffer if it is empty, and drives the outputs.
    fn refill(&mut self, cx: &mut Cx<'_>) {
        if !self.full
            && let Some((byte, aux)) = self.take()
        {
            self.data = byte;
            self.aux = aux;
            self.full = true;
        }
        self.drive(cx);
    }

    /// The next byte for the host, and whether it is the mouse's.
    fn take(&mut self) -> Option<(u8, bool)> {
        if self.answer.is_some() {
            return self.answer.take();
        }
        if self.ctr() & CTR_KBD_DISABLE == 0 {
            while let Some(byte) = self.keyboard.read() {
                if self.ctr() & CTR_TRANSLATE == 0 {
                    return Some((byte, false));
                }
                if byte == 0xf0 {
                    self.release = true;
                } else {
                    let release = std::mem::take(&mut self.release);
                    return Some((scan_codes::translate(byte) | u8::from(release) << 7, false));
                }
            }
        }
        if self.ctr() & CTR_AUX_DISABLE == 0 {
            return self.mouse.read().map(|byte| (byte, true));
        }
        None
    }

    fn drive(&self, cx: &mut Cx<'_>) {
        let keyboard = self.full && !self.aux && self.ctr() & CTR_KBD_INT != 0;
        let mouse = self.full && self.aux && self.ctr() & CTR_AUX_INT != 0;
        cx.set(KBD_IRQ, keyboard);
        cx.set(MOUSE_IRQ, mouse);
        cx.set(A20, self.a20);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use solderless_model::testing::{Bench, Noise, exercise, goes_on_the_same};

    type Controller = Bench<I8042>;

    fn controller() -> Controller {
        Bench::new(I8042Props::default())
    }

    fn data(b: &mut Controller) -> u8 {
        b.read(DATA, 0, 1).expect("answers") as u8
    }

    fn status(b: &mut Controller) -> u8 {
        b.read(COMMAND, 0, 1).expect("answers") as u8
    }

    fn put(b: &mut Controller, value: u8) {
        assert!(b.write(DATA, 0, 1, value.into()));
    }

    fn command(b: &mut Controller, value: u8) {
        assert!(b.write(COMMAND, 0, 1, value.into()));
    }

    fn ask(b: &mut Controller, value: u8) -> u8 {
        command(b, value);
        data(b)
    }

    fn irqs(b: &Controller) -> (bool, bool) {
        (b.output(KBD_IRQ), b.output(MOUSE_IRQ))
    }

    /// Linux 6.1 finds controller, keyboard and mouse.
    #[test]
    fn linux_probes() {
        let mut b = controller();
        assert_eq!(status(&mut b), 0x18);
        command(&mut b, 0xaa);
        assert_eq!(status(&mut b), 0x1d);
        assert_eq!(irqs(&b), (true, false));
        assert_eq!(data(&mut b), 0x55);
        assert_eq!((status(&mut b), irqs(&b)), (0x1c, (false, false)));
        assert_eq!(ask(&mut b, 0x20), 0x03);
        command(&mut b, 0x60);
        put(&mut b, 0x12);
        for byte in [0x5a, 0xa5, 0xf0, 0x56, 0xa4] {
            command(&mut b, 0xd3);
            put(&mut b, byte);
            assert_eq!((status(&mut b), irqs(&b)), (0x3d, (false, true)));
            assert_eq!(data(&mut b), byte);
            assert_eq!((status(&mut b), irqs(&b)), (0x1c, (false, false)));
        }
        command(&mut b, 0xa7);
        assert_eq!(ask(&mut b, 0x20), 0x32);
        command(&mut b, 0xa8);
        assert_eq!(ask(&mut b, 0x20), 0x12);
        command(&mut b, 0x60);
        put(&mut b, 0x03);
        for (told, heard) in [
            (0xff, &[0xfa, 0xaa][..]),
            (0xf2, &[0xfa, 0xab, 0x83]),
            (0xf5, &[0xfa]),
            (0xed, &[0xfa]),
            (0x00, &[0xfa]),
            (0xf3, &[0xfa]),
            (0x00, &[0xfa]),
            (0xf4, &[0xfa]),
        ] {
            put(&mut b, told);
            for byte in heard {
                assert_eq!((status(&mut b), irqs(&b)), (0x1d, (true, false)));
                b.around.edges.clear();
                assert_eq!(data(&mut b), *byte);
                assert_eq!(b.around.edges[0], (KBD_IRQ, false), "an edge for each byte");
            }
            assert_eq!(status(&mut b), 0x1c);
        }
        for (told, heard) in [(0xff, &[0xfa, 0xaa, 0x00][..]), (0xf2, &[0xfa, 0x00])] {
            command(&mut b, 0xd4);
            put(&mut b, told);
            for byte in heard {
                assert_eq!((status(&mut b), irqs(&b)), (0x3d, (false, true)));
                assert_eq!(data(&mut b), *byte);
            }
        }
    }

    #[test]
    fn other_commands() {
        let mut b = controller();
        for (asked, answered) in [
            (0xa4, 0xf1),
            (0xa9, 0x00),
            (0xab, 0x00),
            (0xc0, 0x80),
            (0xd0, 0xcf),
            (0xe0, 0x03),
        ] {
            assert_eq!(ask(&mut b, asked), answered, "{asked:#x}");
        }
        for at in 1..32 {
            command(&mut b, 0x60 + at);
            put(&mut b, at ^ 0x55);
        }
        for at in 1..32 {
            assert_eq!(ask(&mut b, 0x20 + at), at ^ 0x55);
        }
        command(&mut b, 0xd2);
        put(&mut b, 0x1c);
        assert_eq!((status(&mut b), irqs(&b)), (0x19, (true, false)));
        assert_eq!(data(&mut b), 0x1c);
        assert_eq!(data(&mut b), 0x1c, "an empty buffer keeps its byte");
        command(&mut b, 0x60);
        put(&mut b, CTR_SYSTEM);
        assert_eq!(status(&mut b), 0x1c);
        command(&mut b, 0x00);
        assert_eq!(b.around.errors.len(), 1);
    }

    #[test]
    fn the_output_port() {
        let mut b = controller();
        assert!(b.output(A20));
        for (first, second, a20) in [
            (0xd1, 0xcd, false),
            (0xdf, 0, true),
            (0xdd, 0, false),
            (0xd1, 0xcf, true),
        ] {
            command(&mut b, first);
            if first == 0xd1 {
                put(&mut b, second);
            }
            assert_eq!(b.output(A20), a20);
        }
        command(&mut b, 0xff);
        assert!(b.around.requests.is_empty());
        command(&mut b, 0xfe);
        assert_eq!(b.around.requests.len(), 1);
        command(&mut b, 0xd1);
        put(&mut b, 0xce);
        assert_eq!(b.around.requests.len(), 2);
    }

    #[test]
    fn a_disabled_interface_holds_bytes_back() {
        let mut b = controller();
        command(&mut b, 0xad);
        command(&mut b, 0xd4);
        put(&mut b, 0xf4);
        assert_eq!(data(&mut b), 0xfa);
        command(&mut b, 0xa7);
        b.with(|d, cx| Keys::key(d, cx, 0x1e, true));
        b.with(|d, cx| d.motion(cx, 1, 1, 0));
        assert_eq!(status(&mut b) & 1, 0);
        command(&mut b, 0xae);
        assert_eq!(data(&mut b), 0x1c);
        assert_eq!(status(&mut b) & 1, 0);
        command(&mut b, 0xa8);
        assert_eq!([0; 3].map(|_| data(&mut b)), [0x08, 1, 1]);
        command(&mut b, 0xad);
        put(&mut b, 0xee);
        assert_eq!(data(&mut b), 0xee, "talking to it enables it");
    }

    #[test]
    fn translation_to_set_1() {
        let mut b = controller();
        command(&mut b, 0x60);
        put(&mut b, CTR_TRANSLATE);
        for (code, down) in [(0x1e, true), (0x1e, false), (0xe048, true), (0xe048, false)] {
            b.with(|d, cx| Keys::key(d, cx, code, down));
        }
        let mut read = Vec::new();
        while status(&mut b) & 1 != 0 {
            read.push(data(&mut b));
        }
        assert_eq!(read, [0x1e, 0x9e, 0xe0, 0x48, 0xe0, 0xc8]);
        put(&mut b, 0xf2);
        assert_eq!([0; 3].map(|_| data(&mut b)), [0xfa, 0xab, 0x41]);
        assert_eq!(irqs(&b), (false, false));
    }

    fn poke(b: &mut Controller, noise: &mut Noise) -> (Option<u64>, (bool, bool)) {
        let (what, value) = (noise.draw() % 10, noise.draw());
        let mut read = None;
        match what {
            0..3 => read = b.read(DATA, 0, 1),
            3 => read = b.read(COMMAND, 0, 1),
            4 => assert!(b.write(COMMAND, 0, 1, value)),
            5 => assert!(b.write(COMMAND, 0, 1, [0xd4, 0xa8, 0xae, 0x60][value as usize % 4])),
            6 => assert!(b.write(DATA, 0, 1, value)),
            7 => assert!(b.write(DATA, 0, 1, 0xe0 | value)),
            8 => b.with(|d, cx| Keys::key(d, cx, value as u16 & 0xe07f, value >> 20 & 1 != 0)),
            _ => {
                b.with(|d, cx| {
                    d.motion(
                        cx,
                        value as i32 >> 8,
                        (value >> 3) as i8 as i32,
                        (value >> 5) as i8 as i32,
                    )
                });
                b.with(|d, cx| d.buttons(cx, value as u8));
            }
        }
        (read, irqs(b))
    }

    #[test]
    fn random_accesses_and_saved_state() {
        goes_on_the_same(controller, 50, 500, poke);
        exercise(controller);
    }
}
