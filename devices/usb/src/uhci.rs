//! USB host controller of the PIIX4, function 2 of the 82371AB (Universal Host Controller Interface Design
//! Guide 1.1; Intel 82371AB datasheet 290562, chapter 6).
//!
//! The root hub has two ports with nothing plugged in. The schedule is walked all the same: a transaction to
//! a device that is not there times out, as on the wire.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use solderless_model::pci::{COMMAND_MASTER, PciConfig, PciFunction, PciId};
use solderless_model::{
    Access, BuildError, BusError, BusKind, Cx, Device, Interface, Model, Pins, Placement,
    PropError, Ranges, Region, Space, State, StateError, TimerId, Wires, connections, lanes, merge,
};

/// The host controller has nothing to set.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema, Ranges)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Piix4UhciProps {}

connections! {
    fn connections(_: &Piix4UhciProps) on BusKind::Pci;
    region IO = Region::ports("io", u64::from(IO_SIZE)).max_width(4).placed(Placement::Device);
    output INTX = Pins::named("intx");
}

const IO_SIZE: u32 = 32;
const FRAME: TimerId = TimerId(0);

const USBCMD: u64 = 0x00;
const USBSTS: u64 = 0x02;
const USBINTR: u64 = 0x04;
const FRNUM: u64 = 0x06;
const FRBASEADD: u64 = 0x08;
const FRBASEADD_HIGH: u64 = 0x0a;
const SOFMOD: u64 = 0x0c;
const PORTSC1: u64 = 0x10;
const PORTSC2: u64 = 0x12;
/// What reads where no register is. Bit 7, which is set in a port register, is clear: drivers count ports by it.
const NO_REGISTER: u16 = 0xff7f;

const CMD_RUN: u16 = 1 << 0;
const CMD_HCRESET: u16 = 1 << 1;
const CMD_GRESET: u16 = 1 << 2;
const CMD_SWDBG: u16 = 1 << 5;
const CMD_WRITABLE: u16 = 0x00ff;

const STS_USBINT: u16 = 1 << 0;
const STS_ERROR: u16 = 1 << 1;
const STS_RESUME: u16 = 1 << 2;
const STS_HOST_ERROR: u16 = 1 << 3;
const STS_PROCESS_ERROR: u16 = 1 << 4;
const STS_HALTED: u16 = 1 << 5;
const STS_CLEARABLE: u16 = 0x003f;

const INTR_TIMEOUT: u16 = 1 << 0;
const INTR_RESUME: u16 = 1 << 1;
const INTR_IOC: u16 = 1 << 2;
const INTR_WRITABLE: u16 = 0x000f;

const FRNUM_MASK: u16 = 0x07ff;
const FRBASEADD_MASK: u32 = 0xffff_f000;
const SOFMOD_MASK: u16 = 0x7f;
const SOFMOD_RESET: u8 = 0x40;

/// Bit 7 always reads 1. Nothing is connected, so connect status, port enable, low speed and the change bits
/// stay 0, and the line status is that of an open port.
const PORT_RESET: u16 = 0x0080;
/// Suspend, port reset and resume detect.
const PORT_WRITABLE: u16 = 0x1240;

/// Legacy support: traps (RW), trap status (cleared by writing 1), interrupt routing.
const LEGSUP: u8 = 0xc0;
const LEGSUP_RESET: u32 = 0x2000;
const LEGSUP_WRITABLE: u32 = 0x20bf;
const LEGSUP_CLEARABLE: u32 = 0x8f00;
const LEGSUP_USB_IRQ_STATUS: u32 = 1 << 12;
const LEGSUP_PIRQ_ENABLE: u32 = 1 << 13;
const SBRN: u8 = 0x60;
/// 48 MHz clock selected.
const MSTAT: u8 = 0x6a;

const LINK_TERMINATE: u32 = 1 << 0;
const LINK_QUEUE: u32 = 1 << 1;

const TD_ACTUAL_LENGTH: u32 = 0x7ff;
const TD_TIMEOUT: u32 = 1 << 18;
const TD_STALLED: u32 = 1 << 22;
const TD_ACTIVE: u32 = 1 << 23;
const TD_IOC: u32 = 1 << 24;
const TD_ISOCHRONOUS: u32 = 1 << 25;
const TD_ERROR_COUNT: u32 = 3 << 27;
const TD_ERROR_ONE: u32 = 1 << 27;

const PID_IN: u32 = 0x69;
const PID_OUT: u32 = 0xe1;
const PID_SETUP: u32 = 0x2d;

/// Queue heads and transfer descriptors that fit into a frame: a token and its time-out take at least this
/// share of 12000 bit times.
const ELEMENTS_PER_FRAME: u32 = 128;

/// Why the controller stops by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stop {
    /// The schedule is not memory.
    HostError,
    /// A transfer descriptor that cannot be.
    ProcessError,
    /// One transaction was run in software debug mode.
    Step,
}

/// Function 2 of a PIIX4.
#[derive(Debug, State)]
pub struct Piix4Uhci {
    config: PciConfig,
    usbcmd: u16,
    usbsts: u16,
    usbintr: u16,
    frnum: u16,
    frbaseadd: u32,
    sofmod: u8,
    portsc: [u16; 2],
    /// When the frame under way ends; meaningful while the controller runs.
    frame_end: u64,
}

impl Model for Piix4Uhci {
    const TYPE: &'static str = "piix4-usb-uhci";
    const SUMMARY: &'static str = "PIIX4 USB host controller (82371AB function 2, UHCI 1.1)";
    type Props = Piix4UhciProps;

    fn interface(props: &Piix4UhciProps) -> Result<Interface, PropError> {
        Ok(connections(props))
    }

    fn build(_: Piix4UhciProps, _: Wires<'_>) -> Result<Self, BuildError> {
        let id = PciId {
            vendor: 0x8086,
            device: 0x7112,
            revision: 1,
            class: 0x0c_0300,
            subsystem: (0x1af4, 0x1100),
            header_type: 0,
            interrupt_pin: 4,
        };
        let config = PciConfig::new(id)
            .bar(4, Space::Io, IO_SIZE, IO)
            .initial(SBRN, 1, 0x10)
            .initial(MSTAT, 1, 0x01)
            .initial(LEGSUP, 2, LEGSUP_RESET)
            .writable(LEGSUP, 2, LEGSUP_WRITABLE)
            .clearable(LEGSUP, 2, LEGSUP_CLEARABLE);
        let mut uhci = Self {
            config,
            usbcmd: 0,
            usbsts: 0,
            usbintr: 0,
            frnum: 0,
            frbaseadd: 0,
            sofmod: 0,
            portsc: [0; 2],
            frame_end: 0,
        };
        uhci.reset_registers();
        Ok(uhci)
    }
}

impl Device for Piix4Uhci {
    fn reset(&mut self, cx: &mut Cx<'_>) {
        self.config.reset();
        self.config.apply_bars(cx);
        self.reset_registers();
        self.drive(cx);
    }

    fn read(&mut self, _: &mut Cx<'_>, at: Access) -> Result<u64, BusError> {
        let word = at.offset & !3;
        let both = u32::from(self.register(word)) | u32::from(self.register(word + 2)) << 16;
        Ok(lanes(both, at.offset, at.size))
    }

    fn write(&mut self, cx: &mut Cx<'_>, at: Access, value: u64) -> Result<(), BusError> {
        let word = at.offset & !3;
        let value = merge(0, at.offset, at.size, value);
        let bytes = merge(0, at.offset, at.size, u64::MAX);
        for (half, shift) in [(word, 0), (word + 2, 16)] {
            let bytes = (bytes >> shift) as u16;
            if bytes != 0 {
                self.write_register(cx, half, (value >> shift) as u16, bytes);
            }
        }
        self.drive(cx);
        Ok(())
    }

    fn timer(&mut self, cx: &mut Cx<'_>, _: TimerId) {
        if self.usbcmd & CMD_RUN == 0 {
            return;
        }
        if self.config.command() & COMMAND_MASTER != 0
            && let Err(stop) = self.walk(cx)
        {
            self.usbcmd &= !CMD_RUN;
            self.usbsts |= STS_HALTED
                | match stop {
                    Stop::HostError => STS_HOST_ERROR,
                    Stop::ProcessError => STS_PROCESS_ERROR,
                    Stop::Step => 0,
                };
        }
        let late = cx.now().saturating_sub(self.frame_end);
        let frames = late / self.frame_ns() + 1;
        self.frnum = self.frnum.wrapping_add(frames as u16) & FRNUM_MASK;
        self.frame_end = self
            .frame_end
            .saturating_add(frames.saturating_mul(self.frame_ns()));
        self.arm(cx);
        self.drive(cx);
    }

    fn pci(&mut self) -> Option<&mut dyn PciFunction> {
        Some(self)
    }

    fn restored(&mut self, cx: &mut Cx<'_>) -> Result<(), StateError> {
        self.config.apply_bars(cx);
        self.arm(cx);
        self.drive(cx);
        Ok(())
    }
}

impl PciFunction for Piix4Uhci {
    fn config(&mut self) -> &mut PciConfig {
        &mut self.config
    }

    fn config_written(&mut self, cx: &mut Cx<'_>, _: u8, _: u8) {
        self.drive(cx);
    }
}

impl Piix4Uhci {
    /// What HCRESET and a global reset do, and power-on.
    fn reset_registers(&mut self) {
        self.usbcmd = 0;
        self.usbsts = STS_HALTED;
        self.usbintr = 0;
        self.frnum = 0;
        self.frbaseadd = 0;
        self.sofmod = SOFMOD_RESET;
        self.portsc = [PORT_RESET; 2];
        self.frame_end = 0;
    }

    /// The 16-bit register at an even offset.
    fn register(&self, offset: u64) -> u16 {
        match offset {
            USBCMD => self.usbcmd,
            USBSTS => self.usbsts,
            USBINTR => self.usbintr,
            FRNUM => self.frnum,
            FRBASEADD => self.frbaseadd as u16,
            FRBASEADD_HIGH => (self.frbaseadd >> 16) as u16,
            SOFMOD => u16::from(self.sofmod),
            PORTSC1 => self.portsc[0],
            PORTSC2 => self.portsc[1],
            _ => NO_REGISTER,
        }
    }

    /// Writes the bytes of a 16-bit register that `bytes` covers.
    fn write_register(&mut self, cx: &mut Cx<'_>, offset: u64, value: u16, bytes: u16) {
        let over = |old: u16, writable: u16| old & !(bytes & writable) | value & bytes & writable;
        let base = |old: u32, shift: u32| {
            let bytes = u32::from(bytes) << shift & FRBASEADD_MASK;
            old & !bytes | u32::from(value) << shift & bytes
        };
        match offset {
            USBCMD => self.command(cx, over(self.usbcmd, CMD_WRITABLE)),
            USBSTS => self.usbsts &= !(value & bytes & STS_CLEARABLE),
            USBINTR => self.usbintr = over(self.usbintr, INTR_WRITABLE),
            FRNUM => self.frnum = over(self.frnum, FRNUM_MASK),
            FRBASEADD => self.frbaseadd = base(self.frbaseadd, 0),
            FRBASEADD_HIGH => self.frbaseadd = base(self.frbaseadd, 16),
            SOFMOD => self.sofmod = over(u16::from(self.sofmod), SOFMOD_MASK) as u8,
            PORTSC1 => self.portsc[0] = over(self.portsc[0], PORT_WRITABLE),
            PORTSC2 => self.portsc[1] = over(self.portsc[1], PORT_WRITABLE),
            _ => cx.guest_error(format_args!("write of reserved register {offset:#04x}")),
        }
    }

    fn command(&mut self, cx: &mut Cx<'_>, new: u16) {
        let was_running = self.usbcmd & CMD_RUN != 0;
        if new & CMD_HCRESET != 0 {
            self.reset_registers();
        } else if new & CMD_GRESET != 0 {
            self.reset_registers();
            self.usbcmd = new & !CMD_RUN;
        } else {
            self.usbcmd = new;
        }
        match (was_running, self.usbcmd & CMD_RUN != 0) {
            (false, true) => {
                self.usbsts &= !STS_HALTED;
                self.frame_end = cx.now().saturating_add(self.frame_ns());
            }
            (true, false) => self.usbsts |= STS_HALTED,
            _ => {}
        }
        self.arm(cx);
    }

    /// Length of a frame: 11936 + SOFMOD bit times of the 12 MHz clock.
    fn frame_ns(&self) -> u64 {
        (11936 + u64::from(self.sofmod)) * 250 / 3
    }

    fn arm(&self, cx: &mut Cx<'_>) {
        if self.usbcmd & CMD_RUN != 0 {
            cx.arm(FRAME, self.frame_end);
        } else {
            cx.disarm(FRAME);
        }
    }

    /// Drives INTD#. The interrupt reaches the pin only if it is not routed to SMI instead.
    fn drive(&mut self, cx: &mut Cx<'_>) {
        let wants =
            |status: u16, enable: u16| self.usbsts & status != 0 && self.usbintr & enable != 0;
        let asserted = wants(STS_USBINT, INTR_IOC)
            || wants(STS_ERROR, INTR_TIMEOUT)
            || wants(STS_RESUME, INTR_RESUME)
            || self.usbsts & (STS_HOST_ERROR | STS_PROCESS_ERROR) != 0;
        let legsup = self.config.get(LEGSUP, 2) & !LEGSUP_USB_IRQ_STATUS;
        let status = if asserted { LEGSUP_USB_IRQ_STATUS } else { 0 };
        self.config.set(LEGSUP, 2, legsup | status);
        let level = self
            .config
            .intx(asserted && legsup & LEGSUP_PIRQ_ENABLE != 0);
        cx.set(INTX, level);
    }

    /// Runs the schedule of the frame under way. As no transaction succeeds, no queue advances: after each
    /// element the walk goes on to the next queue.
    fn walk(&mut self, cx: &mut Cx<'_>) -> Result<(), Stop> {
        let entry = u64::from(self.frbaseadd) + 4 * u64::from(self.frnum & 0x3ff);
        let [mut link] = words(cx, entry)?;
        let mut complete = false;
        for _ in 0..ELEMENTS_PER_FRAME {
            if link & LINK_TERMINATE != 0 {
                break;
            }
            let at = u64::from(link & !15);
            let (td, next) = if link & LINK_QUEUE != 0 {
                let [head, element] = words(cx, at)?;
                if element & LINK_TERMINATE != 0 {
                    link = head;
                    continue;
                }
                if element & LINK_QUEUE != 0 {
                    link = element;
                    continue;
                }
                (u64::from(element & !15), head)
            } else {
                let [next] = words(cx, at)?;
                (at, next)
            };
            link = next;
            if self.transact(cx, td, &mut complete)? && self.usbcmd & CMD_SWDBG != 0 {
                self.usbsts |= if complete { STS_USBINT } else { 0 };
                return Err(Stop::Step);
            }
        }
        self.usbsts |= if complete { STS_USBINT } else { 0 };
        Ok(())
    }

    /// Runs one transfer descriptor if it is active, and says whether it was. An isochronous one is over in any
    /// case; another one is tried again until its error count is used up.
    fn transact(&mut self, cx: &mut Cx<'_>, td: u64, complete: &mut bool) -> Result<bool, Stop> {
        let [mut control, token] = words(cx, td + 4)?;
        if control & TD_ACTIVE == 0 {
            return Ok(false);
        }
        let (pid, length) = (token & 0xff, token >> 21);
        if ![PID_IN, PID_OUT, PID_SETUP].contains(&pid) || (0x500..0x7ff).contains(&length) {
            cx.guest_error(format_args!(
                "transfer descriptor at {td:#x} has PID {pid:#04x} and length field {length:#x}"
            ));
            return Err(Stop::ProcessError);
        }
        if control & TD_ISOCHRONOUS != 0 {
            control &= !TD_ACTIVE;
            if pid == PID_OUT {
                control = control & !TD_ACTUAL_LENGTH | length;
            } else {
                control |= TD_TIMEOUT;
            }
        } else {
            control |= TD_TIMEOUT;
            match control & TD_ERROR_COUNT {
                0 => {}
                TD_ERROR_ONE => {
                    control = control & !(TD_ERROR_COUNT | TD_ACTIVE) | TD_STALLED;
                    self.usbsts |= STS_ERROR;
                }
                _ => control -= TD_ERROR_ONE,
            }
        }
        cx.dma_write(td + 4, &control.to_le_bytes())
            .map_err(|_| Stop::HostError)?;
        *complete |= control & TD_IOC != 0 && control & TD_ACTIVE == 0;
        Ok(true)
    }
}

/// Reads little-endian words of the schedule.
fn words<const N: usize>(cx: &mut Cx<'_>, at: u64) -> Result<[u32; N], Stop> {
    let mut bytes = [[0; 4]; N];
    cx.dma_read(at, bytes.as_flattened_mut())
        .map_err(|_| Stop::HostError)?;
    Ok(bytes.map(u32::from_le_bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use solderless_model::memory::Ram;
    use solderless_model::testing::Bench;

    const MS: u64 = 1_000_000;
    const LIST: u32 = 0x1000;
    const TD: u64 = 0x3000;
    const QH: u64 = 0x4000;

    /// A controller with memory and bus mastering; `link` is in every entry of the frame list.
    fn uhci(link: u32) -> Bench<Piix4Uhci> {
        let mut b = Bench::<Piix4Uhci>::new(Piix4UhciProps::default());
        b.around.ram = Some(Ram::new(0x1_0000).unwrap());
        for entry in 0..1024 {
            put(&b, u64::from(LIST) + 4 * entry, &[link]);
        }
        b.config_write(4, 2, 5);
        assert!(b.write(IO, FRBASEADD, 4, u64::from(LIST)));
        b
    }

    fn put(b: &Bench<Piix4Uhci>, at: u64, words: &[u32]) {
        let bytes: Vec<u8> = words.iter().flat_map(|w| w.to_le_bytes()).collect();
        b.around.ram.as_ref().unwrap().write(at, &bytes).unwrap();
    }

    fn word(b: &Bench<Piix4Uhci>, at: u64) -> u32 {
        let mut bytes = [0; 4];
        b.around.ram.as_ref().unwrap().read(at, &mut bytes).unwrap();
        u32::from_le_bytes(bytes)
    }

    fn get(b: &mut Bench<Piix4Uhci>, offset: u64) -> u64 {
        b.read(IO, offset, 2).unwrap()
    }

    #[test]
    fn configuration_after_reset() {
        let mut b = Bench::<Piix4Uhci>::new(Piix4UhciProps::default());
        for (offset, value) in [
            (0x00, 0x7112_8086),
            (0x04, 0),
            (0x08, 0x0c03_0001),
            (0x0c, 0),
            (0x20, 1),
            (0x2c, 0x1100_1af4),
            (0x3c, 0x0400),
            (0x60, 0x10),
            (0x68, 0x0001_0000),
            (0xc0, 0x2000),
        ] {
            assert_eq!(b.config_read(offset, 4), value, "{offset:#x}");
        }
        b.config_write(0x20, 4, u32::MAX);
        assert_eq!(b.config_read(0x20, 4), 0xffff_ffe1);
        b.config_write(0x20, 4, 0x1040);
        b.config_write(4, 2, 1);
        assert_eq!(b.around.mapped[&IO], (0x1040, 32, 0));
    }

    #[test]
    fn registers_after_reset() {
        let mut b = Bench::<Piix4Uhci>::new(Piix4UhciProps::default());
        let expected = [
            0, 0x20, 0, 0, 0, 0, 0x40, 0xff7f, 0x80, 0x80, 0xff7f, 0xff7f,
        ];
        for (offset, value) in (0..).step_by(2).zip(expected) {
            assert_eq!(get(&mut b, offset), value, "{offset:#x}");
        }
        assert_eq!(b.read(IO, 0x10, 4), Some(0x0080_0080));
        assert_eq!(b.read(IO, 0x01, 1), Some(0));
    }

    #[test]
    fn registers_keep_what_they_can() {
        let mut b = uhci(1);
        for (offset, size, written, read) in [
            (USBINTR, 2, 0xffff, 0x000f),
            (FRNUM, 2, 0xffff, 0x07ff),
            (SOFMOD, 1, 0xff, 0x7f),
            (FRBASEADD, 4, 0xffff_ffff, 0xffff_f000),
            (FRBASEADD + 1, 1, 0x5a, 0x50),
            (FRBASEADD_HIGH, 2, 0x1234, 0x1234),
            (PORTSC1, 2, 0xffff, 0x12c0),
            (PORTSC2, 2, 0x0000, 0x0080),
            (0x0e, 2, 0x1234, 0xff7f),
            (USBSTS, 2, 0xffff, 0),
        ] {
            assert!(b.write(IO, offset, size, written));
            assert_eq!(b.read(IO, offset, size), Some(read), "{offset:#x}");
        }
        assert_eq!(b.around.errors.len(), 1);
    }

    /// The accesses of Linux: hand-off quirk, start, root hub suspend.
    #[test]
    fn linux_starts_and_suspends_it() {
        let mut b = uhci(1);
        b.config_write(LEGSUP, 2, 0x8f00);
        assert_eq!(b.config_read(LEGSUP, 2), 0);
        assert!(b.write(IO, USBCMD, 2, 2));
        assert_eq!(get(&mut b, USBCMD), 0);
        assert!(b.write(IO, FRBASEADD, 4, u64::from(LIST)));
        assert!(b.write(IO, FRNUM, 2, 0));
        b.config_write(LEGSUP, 2, 0x2000);
        assert_eq!(b.config_read(LEGSUP, 2), 0x2000);
        assert!(b.write(IO, USBCMD, 2, 0xc1));
        assert!(b.write(IO, USBINTR, 2, 0xf));
        assert_eq!(get(&mut b, USBSTS), 0);
        b.advance(16 * MS + MS / 2);
        assert_eq!(get(&mut b, FRNUM), 16);
        assert!(b.write(IO, USBINTR, 2, 2));
        assert!(b.write(IO, USBCMD, 2, 0x48));
        assert_eq!(get(&mut b, USBSTS), 0x20);
        assert!(b.around.timers.is_empty(), "no timer while halted");
        b.advance(100 * MS);
        assert_eq!(get(&mut b, FRNUM), 16);
        assert!(!b.output(INTX));
    }

    #[test]
    fn a_late_frame_counts_all_that_passed() {
        let mut b = uhci(1);
        assert!(b.write(IO, USBCMD, 2, 1));
        b.around.now = 5000 * MS;
        b.advance(0);
        assert_eq!(get(&mut b, FRNUM), 5000 & 0x7ff);
        assert_eq!(b.around.timers[&FRAME], 5001 * MS);
    }

    #[test]
    fn without_bus_mastering_there_is_no_schedule() {
        let mut b = uhci(TD as u32);
        b.config_write(4, 2, 1);
        put(&b, TD, &[1, TD_ACTIVE, PID_IN, 0]);
        assert!(b.write(IO, USBCMD, 2, 1));
        b.advance(10 * MS);
        assert_eq!(word(&b, TD + 4), TD_ACTIVE);
        assert_eq!(get(&mut b, FRNUM), 10);
    }

    /// Control words before and after a number of frames, and the status register then.
    #[test]
    fn transactions_time_out() {
        let three = 3 * TD_ERROR_ONE;
        let stalled = TD_STALLED | TD_TIMEOUT;
        let iso = TD_ISOCHRONOUS | TD_ACTIVE;
        for (control, token, frames, after, status) in [
            (
                three | TD_ACTIVE,
                PID_SETUP,
                1,
                (2 * TD_ERROR_ONE) | TD_ACTIVE | TD_TIMEOUT,
                0,
            ),
            (three | TD_ACTIVE, PID_SETUP, 3, stalled, STS_ERROR),
            (
                three | TD_ACTIVE | TD_IOC,
                PID_IN,
                3,
                stalled | TD_IOC,
                STS_ERROR | STS_USBINT,
            ),
            (TD_ACTIVE, PID_IN, 9, TD_ACTIVE | TD_TIMEOUT, 0),
            (TD_IOC, PID_IN, 2, TD_IOC, 0),
            (
                iso | TD_IOC,
                PID_IN,
                1,
                TD_ISOCHRONOUS | TD_IOC | TD_TIMEOUT,
                STS_USBINT,
            ),
            (iso, PID_OUT | 7 << 21, 1, TD_ISOCHRONOUS | 7, 0),
        ] {
            for queued in [false, true] {
                let mut b = uhci(if queued {
                    QH as u32 | LINK_QUEUE
                } else {
                    TD as u32
                });
                put(&b, QH, &[1, TD as u32]);
                put(&b, TD, &[1, control, token, 0]);
                assert!(b.write(IO, USBINTR, 2, 0xf));
                assert!(b.write(IO, USBCMD, 2, 1));
                b.advance(frames * MS);
                assert_eq!(word(&b, TD + 4), after, "{control:#x} {queued}");
                assert_eq!(
                    get(&mut b, USBSTS),
                    u64::from(status),
                    "{control:#x} {queued}"
                );
                assert_eq!(b.output(INTX), status != 0);
                assert_eq!(word(&b, QH + 4), TD as u32, "the queue stays");
            }
        }
    }

    #[test]
    fn an_interrupt_is_routed_by_the_legacy_register() {
        let mut b = uhci(TD as u32);
        put(&b, TD, &[1, TD_ISOCHRONOUS | TD_ACTIVE | TD_IOC, PID_IN, 0]);
        b.config_write(LEGSUP, 2, 0);
        assert!(b.write(IO, USBINTR, 2, 4));
        assert!(b.write(IO, USBCMD, 2, 1));
        b.advance(MS);
        assert!(!b.output(INTX));
        assert_eq!(b.config_read(LEGSUP, 2), 0x1000);
        b.config_write(LEGSUP, 2, 0x2000);
        assert!(b.output(INTX));
        assert_eq!(b.config_read(6, 2) & 8, 8);
        b.config_write(4, 2, 0x405);
        assert!(!b.output(INTX));
        b.config_write(4, 2, 5);
        assert!(b.write(IO, USBSTS, 2, 1));
        assert!(!b.output(INTX));
        assert_eq!(b.config_read(LEGSUP, 2), 0x2000);
    }

    #[test]
    fn a_bad_schedule_halts_it() {
        for (link, td, status) in [
            (0x8000_0000, [1, 0, 0], STS_HOST_ERROR),
            (0x8000_0002, [1, 0, 0], STS_HOST_ERROR),
            (TD as u32, [1, TD_ACTIVE, 0x5a], STS_PROCESS_ERROR),
            (
                TD as u32,
                [1, TD_ACTIVE, PID_IN | 0x500 << 21],
                STS_PROCESS_ERROR,
            ),
        ] {
            let mut b = uhci(link);
            put(&b, TD, &td);
            assert!(b.write(IO, USBCMD, 2, 1));
            b.advance(2 * MS);
            assert_eq!(get(&mut b, USBSTS), u64::from(status | STS_HALTED));
            assert_eq!(get(&mut b, USBCMD), 0);
            assert!(b.output(INTX), "not maskable");
            assert!(b.around.timers.is_empty());
        }
    }

    #[test]
    fn loops_end_with_the_frame() {
        let mut b = uhci(QH as u32 | LINK_QUEUE);
        put(&b, QH, &[QH as u32 | LINK_QUEUE, QH as u32 | LINK_QUEUE]);
        assert!(b.write(IO, USBCMD, 2, 1));
        b.advance(3 * MS);
        put(&b, QH, &[QH as u32 | LINK_QUEUE, TD as u32]);
        put(&b, TD, &[1, TD_ACTIVE | TD_ERROR_COUNT, PID_IN, 0]);
        b.advance(MS);
        assert_eq!(
            word(&b, TD + 4),
            TD_STALLED | TD_TIMEOUT,
            "reclaimed bandwidth"
        );
        assert_eq!(get(&mut b, FRNUM), 4);
    }

    #[test]
    fn debug_mode_runs_one_transaction() {
        let mut b = uhci(TD as u32);
        put(&b, TD, &[TD as u32 + 32, TD_ACTIVE, PID_IN, 0]);
        put(&b, TD + 32, &[1, TD_ACTIVE, PID_IN, 0]);
        assert!(b.write(IO, USBCMD, 2, u64::from(CMD_RUN | CMD_SWDBG)));
        b.advance(5 * MS);
        assert_eq!(word(&b, TD + 4), TD_ACTIVE | TD_TIMEOUT);
        assert_eq!(word(&b, TD + 36), TD_ACTIVE);
        assert_eq!(get(&mut b, USBSTS), u64::from(STS_HALTED));
    }

    #[test]
    fn resets_stop_it() {
        for (command, left) in [
            (CMD_HCRESET | CMD_RUN, 0),
            (CMD_GRESET | CMD_RUN, CMD_GRESET),
        ] {
            let mut b = uhci(1);
            assert!(b.write(IO, USBCMD, 2, 1));
            assert!(b.write(IO, SOFMOD, 1, 0));
            assert!(b.write(IO, USBCMD, 2, u64::from(command)));
            assert_eq!(get(&mut b, USBCMD), u64::from(left));
            assert_eq!(get(&mut b, USBSTS), 0x20);
            assert_eq!(get(&mut b, SOFMOD), 0x40);
            assert!(b.around.timers.is_empty());
        }
    }

    #[derive(Debug, Clone)]
    enum Step {
        Read(u64, u8),
        Write(u64, u8, u64),
        Config(u8, u8, u32),
        Advance(u64),
    }

    fn step() -> impl Strategy<Value = Step> {
        let access = || (0..32u64, 0..3u8).prop_map(|(at, s)| (at.min(32 - (1 << s)), 1u8 << s));
        let value = prop_oneof![any::<u64>(), Just(1u64), Just(u64::from(LIST))];
        prop_oneof![
            3 => access().prop_map(|(at, size)| Step::Read(at, size)),
            6 => (access(), value).prop_map(|((at, size), v)| Step::Write(at, size, v)),
            2 => Just(Step::Write(USBCMD, 2, 1)),
            2 => (any::<u8>(), 0..3u8, any::<u32>())
                .prop_map(|(at, s, v)| Step::Config(at >> s << s, 1 << s, v)),
            2 => (0..5 * MS).prop_map(Step::Advance),
        ]
    }

    /// Runs accesses and returns everything the guest could see.
    fn run(b: &mut Bench<Piix4Uhci>, steps: &[Step]) -> Vec<u64> {
        let mut seen = Vec::new();
        for step in steps {
            match *step {
                Step::Read(at, size) => seen.push(b.read(IO, at, size).unwrap()),
                Step::Write(at, size, value) => assert!(b.write(IO, at, size, value)),
                Step::Config(at, size, value) => {
                    b.config_write(at, size, value);
                    seen.push(u64::from(b.config_read(at, size)));
                }
                Step::Advance(ns) => b.advance(ns),
            }
            seen.push(u64::from(b.output(INTX)));
        }
        seen
    }

    proptest! {
        #[test]
        fn a_loaded_controller_goes_on_the_same(
            memory in prop::collection::vec(any::<u32>(), 0x400),
            first in prop::collection::vec(step(), 0..60),
            then in prop::collection::vec(step(), 0..60),
        ) {
            let (mut a, mut b) = (uhci(TD as u32), uhci(TD as u32));
            put(&a, TD, &memory);
            run(&mut a, &first);
            let mut content = vec![0; 0x1_0000];
            a.around.ram.as_ref().unwrap().read(0, &mut content).unwrap();
            b.around.ram.as_ref().unwrap().write(0, &content).unwrap();
            b.load(&a.save(), &a.around);
            prop_assert_eq!(a.save(), b.save());
            prop_assert_eq!(&a.around.timers, &b.around.timers);
            prop_assert_eq!(&a.around.mapped, &b.around.mapped);
            prop_assert_eq!(run(&mut a, &then), run(&mut b, &then));
            prop_assert_eq!(a.save(), b.save());
        }
    }
}
