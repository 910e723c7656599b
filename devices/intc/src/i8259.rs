//! The cascaded pair of Intel 8259A interrupt controllers of a PC's south bridge.
//!
//! Intel 8259A datasheet (231468), and for the pair the Intel 82371AB (PIIX4) datasheet (290562), "Interrupt
//! controller" and "ELCR1/ELCR2": the slave's INT drives the master's IR2, and the ELCR registers choose
//! edge or level for each input.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use solderless_model::acpi::{Node, Said};
use solderless_model::{
    Access, BuildError, BusError, BusKind, Cx, Device, Fitted, Interface, Model, Part, Pin, Pins,
    Placement, PropError, Ranges, Region, State, StateError, Wires, connections,
};

/// Properties of [`I8259`].
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema, Ranges)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct I8259Props {
    /// The pair has edge/level control registers, as in a PCI south bridge; ICW1's level bit (LTIM) is then
    /// ignored. Without them, as on the PC/AT, LTIM makes all inputs of a controller level-sensitive.
    pub elcr: bool,
}

impl Default for I8259Props {
    fn default() -> Self {
        Self { elcr: true }
    }
}

connections! {
    fn connections(props: &I8259Props) on BusKind::Isa;
    region MASTER = Region::ports("master", 2);
    region SLAVE = Region::ports("slave", 2).placed(Placement::Board(0x80));
    region ELCR = Region::ports("elcr", 2).placed(Placement::Board(0x4b0)), if props.elcr;
    input IN[16] = Pins::named("in").inside(&[2], "the second controller's output is there");
    output INT = Pins::named("int");
}

/// The master's input that the slave's INT drives.
const CASCADE: u8 = 2;
/// Inputs that can be level-sensitive (PIIX4, ELCR1 and ELCR2): not the timer, keyboard, cascade, RTC and
/// coprocessor.
const ELCR_WRITABLE: [u8; 2] = [0xf8, 0xde];

const ICW1_IC4: u8 = 1 << 0;
const ICW1_SNGL: u8 = 1 << 1;
const ICW1_LTIM: u8 = 1 << 3;
/// With A0 = 0, marks a write as ICW1.
const ICW1: u8 = 1 << 4;
const ICW4_UPM: u8 = 1 << 0;
const ICW4_AEOI: u8 = 1 << 1;
const ICW4_SFNM: u8 = 1 << 4;
/// With A0 = 0 and no [`ICW1`], marks a write as OCW3; without it, it is OCW2.
const OCW3: u8 = 1 << 3;
const OCW3_RIS: u8 = 1 << 0;
const OCW3_RR: u8 = 1 << 1;
const OCW3_P: u8 = 1 << 2;
const OCW3_SMM: u8 = 1 << 5;
const OCW3_ESMM: u8 = 1 << 6;

/// What the next write with A0 = 1 is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, State)]
enum Init {
    /// OCW1: the sequence is complete, or has never begun.
    #[default]
    Done,
    Icw2,
    Icw3,
    Icw4,
}

/// One 8259A.
#[derive(Debug, Default, State)]
struct Chip {
    #[state(skip = "levels of the inputs, which belong to the wires")]
    lines: u8,
    /// Edge-sense latches: inputs that have risen, and not fallen or been acknowledged since.
    edges: u8,
    imr: u8,
    isr: u8,
    /// The level that has the lowest priority now; the one above it, modulo 8, has the highest.
    lowest: u8,
    icw1: u8,
    icw2: u8,
    icw3: u8,
    icw4: u8,
    init: Init,
    /// Special mask mode.
    smm: bool,
    /// The next read is a poll.
    poll: bool,
    /// A read with A0 = 0 gives ISR instead of IRR.
    read_isr: bool,
    /// Rotate in automatic EOI mode.
    rotate_aeoi: bool,
}

impl Chip {
    fn reset(&mut self, lines: u8, icw3: u8) {
        *self = Self {
            lines,
            icw3,
            lowest: 7,
            ..Self::default()
        };
    }

    fn set_line(&mut self, level: u8, high: bool) {
        let bit = 1 << (level & 7);
        // An input has to stay high until it is acknowledged: falling takes the request back, and the
        // acknowledge that then comes gets the default level 7.
        if high {
            self.lines |= bit;
            self.edges |= bit;
        } else {
            self.lines &= !bit;
            self.edges &= !bit;
        }
    }

    /// Inputs that are level-sensitive: what ELCR says if there is one.
    fn level_sensitive(&self, elcr: Option<u8>) -> u8 {
        let all = self.icw1 & ICW1_LTIM != 0;
        elcr.unwrap_or(if all { 0xff } else { 0 })
    }

    fn irr(&self, elcr: Option<u8>) -> u8 {
        let level_sensitive = self.level_sensitive(elcr);
        (self.lines & level_sensitive) | (self.edges & !level_sensitive)
    }

    /// 0 for the level with the highest priority, 7 for the lowest.
    fn rank(&self, level: u8) -> u8 {
        level.wrapping_sub(self.lowest).wrapping_sub(1) & 7
    }

    /// The level of highest priority among these.
    fn highest(&self, levels: u8) -> Option<u8> {
        let first = self.lowest.wrapping_add(1) & 7;
        let ranked = levels.rotate_right(first.into());
        (ranked != 0).then(|| (ranked.trailing_zeros() as u8 + first) & 7)
    }

    /// In-service levels that count for priority.
    fn serving(&self) -> u8 {
        if self.smm {
            self.isr & !self.imr
        } else {
            self.isr
        }
    }

    /// Whether a slave hangs on this level, as ICW3 says.
    fn has_slave(&self, level: u8) -> bool {
        self.icw1 & ICW1_SNGL == 0 && self.icw3 >> (level & 7) & 1 != 0
    }

    /// The level that INT asks service for. `master` says whether ICW3 is a set of levels here.
    fn request(&self, elcr: Option<u8>, master: bool) -> Option<u8> {
        if self.init != Init::Done {
            return None;
        }
        let level = self.highest(self.irr(elcr) & !self.imr)?;
        let Some(served) = self.highest(self.serving()) else {
            return Some(level);
        };
        // Special fully nested mode lets the slave interrupt its own service.
        let nested =
            level == served && self.icw4 & ICW4_SFNM != 0 && master && self.has_slave(level);
        (nested || self.rank(level) < self.rank(served)).then_some(level)
    }

    /// The end of an acknowledge cycle for this level.
    fn acknowledge(&mut self, level: u8) {
        let bit = 1 << (level & 7);
        self.edges &= !bit;
        if self.icw4 & ICW4_AEOI == 0 {
            self.isr |= bit;
        } else if self.rotate_aeoi {
            self.lowest = level;
        }
    }

    fn write_command(&mut self, value: u8) {
        if value & ICW1 != 0 {
            self.icw1 = value;
            self.init = Init::Icw2;
            self.edges = 0;
            self.imr = 0;
            self.isr = 0;
            self.lowest = 7;
            self.icw3 = 7;
            self.icw4 = 0;
            self.smm = false;
            self.poll = false;
            self.read_isr = false;
            self.rotate_aeoi = false;
        } else if value & OCW3 != 0 {
            if value & OCW3_ESMM != 0 {
                self.smm = value & OCW3_SMM != 0;
            }
            if value & OCW3_P != 0 {
                self.poll = true;
            } else if value & OCW3_RR != 0 {
                self.read_isr = value & OCW3_RIS != 0;
            }
        } else {
            self.write_ocw2(value);
        }
    }

    fn write_ocw2(&mut self, value: u8) {
        let level = value & 7;
        match value >> 5 {
            0 => self.rotate_aeoi = false,
            // In special mask mode a non-specific EOI does not see masked levels.
            1 | 5 => {
                if let Some(served) = self.highest(self.serving()) {
                    self.isr &= !(1 << served);
                    if value >> 5 == 5 {
                        self.lowest = served;
                    }
                }
            }
            3 => self.isr &= !(1 << level),
            4 => self.rotate_aeoi = true,
            6 => self.lowest = level,
            7 => {
                self.isr &= !(1 << level);
                self.lowest = level;
            }
            _ => {}
        }
    }

    fn write_data(&mut self, value: u8) {
        let after_icw3 = if self.icw1 & ICW1_IC4 != 0 {
            Init::Icw4
        } else {
            Init::Done
        };
        match self.init {
            Init::Done => self.imr = value,
            Init::Icw2 => {
                self.icw2 = value & 0xf8;
                self.init = if self.icw1 & ICW1_SNGL == 0 {
                    Init::Icw3
                } else {
                    after_icw3
                };
            }
            Init::Icw3 => {
                self.icw3 = value;
                self.init = after_icw3;
            }
            Init::Icw4 => {
                self.icw4 = value;
                self.init = Init::Done;
            }
        }
    }
}

/// The edge/level control registers, of master and slave.
#[derive(Debug, State)]
struct Elcr {
    levels: [u8; 2],
}

impl Part for Elcr {
    const NAME: &'static str = "elcr";
}

/// The master and slave 8259A and their edge/level control.
///
/// Inputs `in[0-15]` are the ISA interrupt lines; `in[2]` is the cascade inside and no pin.
#[derive(Debug, State)]
pub struct I8259 {
    master: Chip,
    slave: Chip,
    elcr: Fitted<Elcr>,
}

impl Model for I8259 {
    const TYPE: &'static str = "isa-i8259";
    const OLD_TYPES: &'static [&'static str] = &["i8259"];
    const SUMMARY: &'static str =
        "Pair of Intel 8259A interrupt controllers with edge/level control, as in the PIIX4";
    type Props = I8259Props;

    fn interface(props: &Self::Props) -> Result<Interface, PropError> {
        let said = Said {
            name: "PIC",
            hid: "PNP0000",
            regions: true,
            outputs: &[],
        };
        let connections = connections(props).acpi(Node::Interrupts(said));
        Ok(connections.part::<Elcr>(&[("elcr", false)], props.elcr))
    }

    fn build(_: Self::Props, wires: Wires<'_>) -> Result<Self, BuildError> {
        Ok(Self {
            master: Chip::default(),
            slave: Chip::default(),
            elcr: wires.fit(|| Elcr { levels: [0; 2] }),
        })
    }
}

impl Device for I8259 {
    fn reset(&mut self, cx: &mut Cx<'_>) {
        let levels = cx.levels(IN, 16);
        // The datasheets leave the registers undefined until ICW1. These let a guest that only acknowledges
        // see vectors 0 to 7 twice.
        self.master
            .reset(levels as u8 & !(1 << CASCADE), 1 << CASCADE);
        self.slave.reset((levels >> 8) as u8, CASCADE);
        if let Some(elcr) = self.elcr.get_mut() {
            elcr.levels = [0; 2];
        }
        self.update(cx);
    }

    fn read(&mut self, cx: &mut Cx<'_>, at: Access) -> Result<u64, BusError> {
        let value = match at.region {
            MASTER => self.read_chip(true, at.offset),
            SLAVE => self.read_chip(false, at.offset),
            ELCR => self.levels(at.offset != 0).ok_or(BusError)?,
            _ => return Err(BusError),
        };
        // A poll is an acknowledge.
        self.update(cx);
        Ok(value.into())
    }

    fn write(&mut self, cx: &mut Cx<'_>, at: Access, value: u64) -> Result<(), BusError> {
        let value = value as u8;
        let chip = match at.region {
            MASTER => &mut self.master,
            SLAVE => &mut self.slave,
            ELCR => return self.write_elcr(cx, at.offset, value),
            _ => return Err(BusError),
        };
        if at.offset == 0 {
            chip.write_command(value);
        } else {
            let initializing = chip.init != Init::Done;
            chip.write_data(value);
            if initializing && chip.init == Init::Done && chip.icw4 & ICW4_UPM == 0 {
                cx.guest_error(format_args!(
                    "MCS-80 mode is asked for; vectors stay those of 8086 mode"
                ));
            }
        }
        self.update(cx);
        Ok(())
    }

    fn line(&mut self, cx: &mut Cx<'_>, pin: Pin, high: bool) {
        match pin.0 {
            n @ 0..8 if n != u16::from(CASCADE) => self.master.set_line(n as u8, high),
            n @ 8..16 => self.slave.set_line(n as u8 - 8, high),
            _ => return,
        }
        self.update(cx);
    }

    /// Both INTA cycles. With nothing to serve the master answers with its level 7, the slave with its own, and no
    /// in-service bit is set where the request was missing.
    fn interrupt_acknowledge(&mut self, cx: &mut Cx<'_>) -> Option<u8> {
        let vector = match self.master_request() {
            None => self.master.icw2 | 7,
            Some(level) if self.master.has_slave(level) => {
                self.master.acknowledge(level);
                if self.slave.icw3 & 7 == level {
                    self.acknowledge_slave()
                } else {
                    // No slave knows itself addressed, and the data bus floats.
                    0xff
                }
            }
            Some(level) => {
                self.master.acknowledge(level);
                self.master.icw2 | level
            }
        };
        self.update(cx);
        Some(vector)
    }

    fn restored(&mut self, cx: &mut Cx<'_>) -> Result<(), StateError> {
        let levels = cx.levels(IN, 16);
        self.slave.lines = (levels >> 8) as u8;
        let cascade = u8::from(self.slave_request().is_some()) << CASCADE;
        self.master.lines = (levels as u8 & !(1 << CASCADE)) | cascade;
        self.update(cx);
        Ok(())
    }
}

impl I8259 {
    /// ELCR of the master or the slave.
    fn levels(&self, slave: bool) -> Option<u8> {
        Some(self.elcr.get()?.levels[usize::from(slave)])
    }

    fn write_elcr(&mut self, cx: &mut Cx<'_>, offset: u64, value: u8) -> Result<(), BusError> {
        let slave = usize::from(offset != 0);
        let reserved = value & !ELCR_WRITABLE[slave];
        if reserved != 0 {
            cx.guest_error(format_args!(
                "ELCR{}: bits {reserved:#04x} stay edge-sensitive",
                slave + 1
            ));
        }
        self.elcr.get_mut().ok_or(BusError)?.levels[slave] = value & ELCR_WRITABLE[slave];
        self.update(cx);
        Ok(())
    }

    fn master_request(&self) -> Option<u8> {
        self.master.request(self.levels(false), true)
    }

    fn slave_request(&self) -> Option<u8> {
        self.slave.request(self.levels(true), false)
    }

    fn acknowledge_slave(&mut self) -> u8 {
        match self.slave_request() {
            None => self.slave.icw2 | 7,
            Some(level) => {
                self.slave.acknowledge(level);
                // INT falls with the acknowledge and rises again if there is another request.
                self.master.set_line(CASCADE, false);
                self.slave.icw2 | level
            }
        }
    }

    fn read_chip(&mut self, master: bool, offset: u64) -> u8 {
        let elcr = self.levels(!master);
        let chip = if master {
            &mut self.master
        } else {
            &mut self.slave
        };
        if chip.poll {
            chip.poll = false;
            let Some(level) = chip.request(elcr, master) else {
                return 0;
            };
            chip.acknowledge(level);
            if !master {
                self.master.set_line(CASCADE, false);
            }
            return 0x80 | level;
        }
        match offset {
            0 if chip.read_isr => chip.isr,
            0 => chip.irr(elcr),
            _ => chip.imr,
        }
    }

    /// Drives the cascade and INT after any change.
    fn update(&mut self, cx: &mut Cx<'_>) {
        let cascade = self.slave_request().is_some();
        if cascade != (self.master.lines >> CASCADE & 1 != 0) {
            self.master.set_line(CASCADE, cascade);
        }
        cx.set(INT, self.master_request().is_some());
    }
}

#[cfg(test)]
mod tests {
    use solderless_model::testing::{Bench, exercise};

    use super::*;

    /// Runs a script of words: `w20=11` writes a port, `r20=11` reads one and expects a value, `up4` and
    /// `down4` drive an input, `ack0f` acknowledges and expects a vector, `int` and `quiet` expect a level of
    /// INT. Inputs are decimal, everything else is hexadecimal.
    fn run(bench: &mut Bench<I8259>, script: &str) {
        for (n, word) in script.split_whitespace().enumerate() {
            let hex = |text: &str| u64::from_str_radix(text, 16).expect("a number");
            let access = |text: &str| {
                let (port, value) = text.split_once('=').expect("a port and a value");
                let (region, offset) = match hex(port) {
                    port @ 0x20..=0x21 => (MASTER, port - 0x20),
                    port @ 0xa0..=0xa1 => (SLAVE, port - 0xa0),
                    port => (ELCR, port - 0x4d0),
                };
                (region, offset, hex(value))
            };
            let at = format!("word {n}, {word}, of {script}");
            if let Some(pin) = word.strip_prefix("up") {
                bench.line(Pin(pin.parse().expect("a pin")), true);
            } else if let Some(pin) = word.strip_prefix("down") {
                bench.line(Pin(pin.parse().expect("a pin")), false);
            } else if let Some(vector) = word.strip_prefix("ack") {
                let got = bench.with(|d, cx| d.interrupt_acknowledge(cx));
                assert_eq!(got.map(u64::from), Some(hex(vector)), "{at}");
            } else if let Some(text) = word.strip_prefix('w') {
                let (region, offset, value) = access(text);
                assert!(bench.write(region, offset, 1, value), "{at}");
            } else if let Some(text) = word.strip_prefix('r') {
                let (region, offset, value) = access(text);
                assert_eq!(bench.read(region, offset, 1), Some(value), "{at}");
            } else {
                assert!(word == "int" || word == "quiet", "{at}");
                assert_eq!(bench.output(INT), word == "int", "{at}");
            }
        }
    }

    /// As Linux does it: vectors 0x00 and 0x08, then `icw4` for both, everything unmasked.
    fn initialized(icw4: u8) -> Bench<I8259> {
        let mut bench = Bench::<I8259>::new(I8259Props::default());
        run(
            &mut bench,
            &format!("w20=11 w21=00 w21=04 w21={icw4:x} wa0=11 wa1=08 wa1=02 wa1={icw4:x}"),
        );
        bench
    }

    fn all(icw4: u8, scripts: &[&str]) {
        for script in scripts {
            run(&mut initialized(icw4), script);
        }
    }

    const NORMAL: u8 = ICW4_UPM;
    const AEOI: u8 = ICW4_UPM | ICW4_AEOI;
    const NESTED: u8 = ICW4_UPM | ICW4_SFNM;

    #[test]
    fn requests_are_served_by_priority() {
        all(
            NORMAL,
            &[
                // Lower priority waits, higher nests, and a line that stays high is no new request.
                "up4 int r20=10 ack04 quiet r20=00 w20=0b r20=10 w20=0a
             up5 quiet up1 int ack01 quiet w20=61 quiet w20=20 int ack05 w20=65 quiet",
                // What the slave serves keeps the rest of the slave waiting for the master's EOI.
                "up12 int r20=04 ra0=10 ack0c quiet w20=0b r20=04 wa0=0b ra0=10
             up8 quiet w20=62 int ack08 wa0=60 w20=62 wa0=64 quiet",
                "up9 up10 ack09 quiet wa0=61 w20=62 int ack0a",
            ],
        );
        all(
            NESTED,
            &["up12 ack0c up3 quiet up8 int ack08 quiet wa0=60 wa0=64 w20=62 int ack03"],
        );
    }

    #[test]
    fn masks() {
        all(
            NORMAL,
            &["w21=ff wa1=5a r21=ff ra1=5a up0 quiet r20=01 w21=fe int ack00"],
        );
    }

    #[test]
    fn special_mask_mode() {
        all(
            NORMAL,
            &[
                // A masked level in service holds nobody up, and a non-specific EOI does not see it.
                "up1 ack01 up6 quiet w21=02 quiet w20=68 int ack06 w20=20 w20=0b r20=02 w20=20 r20=02",
                // Only with ESMM does OCW3 change the mode.
                "up1 ack01 w21=02 w20=68 w20=0a up7 int w20=48 quiet w20=20 int",
            ],
        );
    }

    #[test]
    fn priorities_rotate() {
        all(
            NORMAL,
            &[
                "w20=c3 up0 up4 ack04 w20=20 ack00 w20=20",
                "up0 ack00 w20=a0 down0 up0 up7 ack07 w20=e7 ack00",
                "up3 ack03 w20=43 w20=0b r20=08",
            ],
        );
        all(
            AEOI,
            &[
                "up3 ack03 w20=0b r20=00 down3 up3 up5 ack03 ack05",
                "w20=80 up3 ack03 down3 up3 up5 ack05 ack03
             w20=00 down5 up5 down3 up3 ack05 down5 up5 ack05",
                "up9 up10 ack09 int ack0a quiet",
            ],
        );
    }

    #[test]
    fn missing_requests_get_the_default_level() {
        all(
            NORMAL,
            &["ack07 w20=0b r20=00", "up1 down1 quiet ack07 w20=0b r20=00"],
        );
        // The slave's request goes away between the two acknowledge cycles.
        let mut bench = initialized(NORMAL);
        run(&mut bench, "up9 int");
        bench.dev.slave.imr = 0xff;
        run(&mut bench, "ack0f w20=0b r20=04 wa0=0b ra0=00");
    }

    #[test]
    fn level_sensitive_inputs() {
        all(
            NORMAL,
            &[
                "w4d0=ff r4d0=f8 w4d1=ff r4d1=de
             up10 ack0a wa0=62 w20=62 int ack0a down10 quiet wa0=62 w20=62 quiet",
                // Initialization forgets edges, not levels, and asks for nothing before it is complete.
                "w4d0=20 up0 up5 w20=11 quiet w21=20 w21=04 quiet w21=01 r20=20 int ack25",
                // LTIM is not in charge.
                "w20=19 w21=00 w21=04 w21=01 up0 ack00 w20=20 quiet",
            ],
        );
        let mut bench = Bench::<I8259>::new(I8259Props { elcr: false });
        assert_eq!(bench.interface.regions.len(), 2);
        run(
            &mut bench,
            "w20=19 w21=40 w21=04 w21=01 up0 ack40 quiet w20=20 int down0 quiet",
        );
    }

    #[test]
    fn polling() {
        all(
            NORMAL,
            &["w20=0c r20=00 up9 int w20=0c r20=82 quiet wa0=0c ra1=81 ra1=00 wa0=0b ra0=02"],
        );
    }

    #[test]
    fn the_cascade_follows_icw3() {
        let mut bench = Bench::<I8259>::new(I8259Props::default());
        // A single master answers for its level 2 itself; a slave that is nowhere leaves the bus floating.
        run(
            &mut bench,
            "w20=13 w21=43 w21=01 up8 int ack42 w20=62 down8 quiet",
        );
        run(
            &mut bench,
            "w20=11 w21=00 w21=08 w21=01 up3 ackff w20=63 up8 ack02",
        );
        // The cascade input itself leads nowhere.
        all(NORMAL, &["up2 quiet r20=00"]);
    }

    #[test]
    fn guest_mistakes_are_logged() {
        let bench = initialized(0);
        assert_eq!(bench.around.errors.len(), 2);
        assert!(initialized(NORMAL).around.errors.is_empty());
    }

    #[test]
    fn random_accesses_and_saved_state() {
        for elcr in [true, false] {
            exercise(|| Bench::<I8259>::new(I8259Props { elcr }));
        }
    }
}
