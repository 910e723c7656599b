//! The UART with FIFOs of PCs and of many boards.
//!
//! National Semiconductor PC16550D, "Universal Asynchronous Receiver/Transmitter with FIFOs", section 8
//! (registers). The core is [`Uart16550`]; `isa-serial` puts it on eight I/O ports, `serial-mm` on
//! memory addresses with a stride.
//!
//! The line is a stream of bytes to and from the host, without a pace of its own: a character is sent
//! the moment it is written, so the transmitter is always empty. INTR is the pin of the bare chip: boards
//! that gate it with OUT2, as the PC does, all have software that sets OUT2.

use std::collections::VecDeque;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use solderless_model::{
    Access, BuildError, BusError, BusKind, CharFrontend, Cx, Device, Interface, Model, Pin, Pins,
    PropError, Ranges, Region, Slot, SlotId, SlotKind, State, StateError, TimerId, Wires,
    connections, tree,
};

connections! {
    fn connections((bus, registers): (BusKind, Region)) on bus;
    region PORTS = registers;
    output INTR = Pins::named("intr");
    slot CHR = Slot::new("chr", SlotKind::Chardev);
}

/// Characters in each FIFO.
const FIFO_DEPTH: usize = 16;
/// How long whoever sends to a receiver that was cleared pauses, in guest ns, unless it interrupts for what it receives:
/// drivers read it once or twice more before they use it, and throw away what they find.
const PAUSE_NS: u64 = 10_000_000;

const RBR_THR_DLL: u8 = 0;
const IER_DLM: u8 = 1;
const IIR_FCR: u8 = 2;
const LCR: u8 = 3;
const MCR: u8 = 4;
const LSR: u8 = 5;
const MSR: u8 = 6;
const SCR: u8 = 7;

const IER_RDI: u8 = 1 << 0;
const IER_THRI: u8 = 1 << 1;
const IER_RLSI: u8 = 1 << 2;
const IER_MSI: u8 = 1 << 3;

const IIR_NONE: u8 = 0x01;
const IIR_MSI: u8 = 0x00;
const IIR_THRI: u8 = 0x02;
const IIR_RDI: u8 = 0x04;
const IIR_RLSI: u8 = 0x06;
const IIR_TIMEOUT: u8 = 0x08;
const IIR_FIFO: u8 = 0xc0;

const FCR_ENABLE: u8 = 1 << 0;
const FCR_CLEAR_RX: u8 = 1 << 1;
const FCR_DMA: u8 = 1 << 3;
const FCR_TRIGGER: u8 = 0xc0;

const LCR_WORD: u8 = 0x03;
const LCR_STOP: u8 = 1 << 2;
const LCR_PARITY: u8 = 1 << 3;
const LCR_DLAB: u8 = 1 << 7;

const MCR_DTR: u8 = 1 << 0;
const MCR_RTS: u8 = 1 << 1;
const MCR_OUT1: u8 = 1 << 2;
const MCR_OUT2: u8 = 1 << 3;
const MCR_LOOP: u8 = 1 << 4;

const LSR_DR: u8 = 1 << 0;
const LSR_OE: u8 = 1 << 1;
const LSR_PE: u8 = 1 << 2;
const LSR_FE: u8 = 1 << 3;
const LSR_BI: u8 = 1 << 4;
const LSR_THRE: u8 = 1 << 5;
const LSR_TEMT: u8 = 1 << 6;
const LSR_FIFO_ERROR: u8 = 1 << 7;
/// Errors that belong to one character.
const LSR_CHARACTER: u8 = LSR_PE | LSR_FE | LSR_BI;
/// Beside the errors of a character: nobody has sent it, as it is a break or came by loopback.
const UNSENT: u8 = 1 << 0;

const MSR_DCTS: u8 = 1 << 0;
const MSR_DDSR: u8 = 1 << 1;
const MSR_TERI: u8 = 1 << 2;
const MSR_DDCD: u8 = 1 << 3;
const MSR_CTS: u8 = 1 << 4;
const MSR_DSR: u8 = 1 << 5;
const MSR_RI: u8 = 1 << 6;
const MSR_DCD: u8 = 1 << 7;
const MSR_DELTAS: u8 = 0x0f;

/// The chip, whatever bus it is on. Its line is the slot, and its timer the timer, that have its number.
#[derive(Debug, State)]
pub struct Uart16550 {
    #[state(skip = "property")]
    baudbase: u32,
    #[state(skip = "fixed by the device")]
    number: u8,
    #[state(skip = "fixed by the device")]
    intr: Option<Pin>,
    /// Received characters, each with the LSR error bits that come with it, and `UNSENT`.
    rx: VecDeque<(u8, u8)>,
    ier: u8,
    fcr: u8,
    lcr: u8,
    mcr: u8,
    /// OE and the errors of the character on top, until LSR is read.
    line_errors: u8,
    msr: u8,
    scr: u8,
    divisor: u16,
    /// The transmitter became empty, and neither IIR nor THR has been accessed since.
    thre_pending: bool,
    timeout_pending: bool,
    /// When the characters in the FIFO will have waited for four character times, in guest ns; while there are none, when
    /// the sender's pause ends.
    timeout_at: Option<u64>,
    /// Says nothing. For programs of state version 2 and before, 64 is a guest that wants its input.
    idle_polls: u8,
}

impl Uart16550 {
    /// The only chip of a device, its INTR output 0. Its divisor divides down from `baudbase`, its input clock divided
    /// by 16.
    pub fn new(baudbase: u32) -> Self {
        Self {
            intr: Some(INTR),
            ..Self::numbered(baudbase, 0)
        }
    }

    /// One of several chips of a device, with its number. The device drives what [`Uart16550::intr`] says.
    pub fn numbered(baudbase: u32, number: u8) -> Self {
        Self {
            baudbase,
            number,
            intr: None,
            rx: VecDeque::with_capacity(FIFO_DEPTH),
            ier: 0,
            fcr: 0,
            lcr: 0,
            mcr: MCR_OUT2,
            line_errors: 0,
            msr: MSR_DCD | MSR_DSR | MSR_CTS,
            scr: 0,
            divisor: 12,
            thre_pending: false,
            timeout_pending: false,
            timeout_at: None,
            idle_polls: 64,
        }
    }

    /// Master reset. Beyond table I of the datasheet SCR and the divisor return to their power-on values
    /// too, so that a reset machine equals a fresh one, and OUT2 comes up set, as PC firmware leaves it.
    pub fn reset(&mut self, cx: &mut Cx<'_>) {
        self.give_back(cx);
        *self = Self {
            intr: self.intr,
            ..Self::numbered(self.baudbase, self.number)
        };
        self.drive(cx);
    }

    /// Reads register 0 to 7.
    pub fn read(&mut self, cx: &mut Cx<'_>, register: u8) -> u8 {
        match register {
            RBR_THR_DLL if self.dlab() => self.divisor as u8,
            RBR_THR_DLL => self.read_rbr(cx),
            IER_DLM if self.dlab() => (self.divisor >> 8) as u8,
            IER_DLM => self.ier,
            IIR_FCR => self.read_iir(cx),
            LCR => self.lcr,
            MCR => self.mcr,
            LSR => self.read_lsr(cx),
            MSR => self.read_msr(cx),
            _ => self.scr,
        }
    }

    /// Writes register 0 to 7. LSR and MSR are read-only: what the datasheet allows for factory testing
    /// does nothing.
    pub fn write(&mut self, cx: &mut Cx<'_>, register: u8, value: u8) {
        match register {
            RBR_THR_DLL if self.dlab() => self.divisor = self.divisor & 0xff00 | u16::from(value),
            RBR_THR_DLL => self.write_thr(cx, value),
            IER_DLM if self.dlab() => {
                self.divisor = self.divisor & 0x00ff | u16::from(value) << 8;
            }
            IER_DLM => {
                let enabled = value & !self.ier;
                self.ier = value & (IER_RDI | IER_THRI | IER_RLSI | IER_MSI);
                // Enabling the interrupt while the transmitter is empty raises it.
                self.thre_pending |= enabled & IER_THRI != 0;
                self.drive(cx);
            }
            IIR_FCR => self.write_fcr(cx, value),
            LCR => self.lcr = value,
            MCR => {
                self.mcr = value & (MCR_DTR | MCR_RTS | MCR_OUT1 | MCR_OUT2 | MCR_LOOP);
                self.update_modem();
                self.drive(cx);
            }
            SCR => self.scr = value,
            _ => {}
        }
    }

    /// The timer fired: characters have waited for four character times, or the sender's pause is over.
    pub fn timer(&mut self, cx: &mut Cx<'_>) {
        self.timeout_at = None;
        self.timeout_pending = !self.rx.is_empty();
        self.drive(cx);
    }

    /// State was loaded.
    ///
    /// # Errors
    /// More characters than the receiver can hold.
    pub fn restored(&mut self, cx: &mut Cx<'_>) -> Result<(), StateError> {
        if self.rx.len() > self.depth() {
            return Err(StateError::new(format!(
                "rx holds {} characters, the receiver {}",
                self.rx.len(),
                self.depth()
            )));
        }
        if let Some(at) = self.timeout_at {
            cx.arm(TimerId(self.number), at);
        }
        self.drive(cx);
        Ok(())
    }

    fn dlab(&self) -> bool {
        self.lcr & LCR_DLAB != 0
    }

    fn fifo(&self) -> bool {
        self.fcr & FCR_ENABLE != 0
    }

    fn looped(&self) -> bool {
        self.mcr & MCR_LOOP != 0
    }

    /// Characters that the receiver can hold.
    fn depth(&self) -> usize {
        if self.fifo() { FIFO_DEPTH } else { 1 }
    }

    /// Characters that raise the receive interrupt.
    fn trigger(&self) -> usize {
        if self.fifo() {
            match self.fcr >> 6 {
                0 => 1,
                1 => 4,
                2 => 8,
                _ => 14,
            }
        } else {
            1
        }
    }

    fn read_rbr(&mut self, cx: &mut Cx<'_>) -> u8 {
        let Some((character, _)) = self.rx.pop_front() else {
            return 0;
        };
        self.reveal_errors();
        self.restart_timeout(cx);
        self.drive(cx);
        character
    }

    fn write_thr(&mut self, cx: &mut Cx<'_>, character: u8) {
        // The interrupt goes away with the write and comes back once the character is out: an edge.
        self.thre_pending = false;
        self.drive(cx);
        if self.looped() {
            self.take(character, UNSENT);
            self.restart_timeout(cx);
        } else {
            cx.send(CHR.nth(self.number), &[character]);
        }
        self.thre_pending = true;
        self.drive(cx);
    }

    fn read_iir(&mut self, cx: &mut Cx<'_>) -> u8 {
        let interrupt = self.interrupt();
        if interrupt == IIR_THRI {
            self.thre_pending = false;
            self.drive(cx);
        }
        interrupt | if self.fifo() { IIR_FIFO } else { 0 }
    }

    fn write_fcr(&mut self, cx: &mut Cx<'_>, value: u8) {
        let enabled = value & FCR_ENABLE != 0;
        let clears = enabled != self.fifo() || (enabled && value & FCR_CLEAR_RX != 0);
        // The other bits take effect only together with the enable bit. The transmit FIFO is always empty.
        self.fcr = if enabled {
            value & (FCR_ENABLE | FCR_DMA | FCR_TRIGGER)
        } else {
            0
        };
        if clears {
            self.give_back(cx);
            self.line_errors &= !LSR_CHARACTER;
            self.timeout_pending = false;
            self.arm(cx, PAUSE_NS);
        }
        self.drive(cx);
    }

    /// Empties the receiver. Characters that the guest has not read are sent again.
    fn give_back(&mut self, cx: &mut Cx<'_>) {
        let sent = self.rx.drain(..).filter(|(_, marks)| marks & UNSENT == 0);
        let sent: Vec<_> = sent.map(|(character, _)| character).collect();
        cx.give_back(CHR.nth(self.number), &sent);
    }

    fn read_lsr(&mut self, cx: &mut Cx<'_>) -> u8 {
        let mut lsr = LSR_THRE | LSR_TEMT | self.line_errors;
        if !self.rx.is_empty() {
            lsr |= LSR_DR;
        }
        let flagged = self.line_errors & LSR_CHARACTER != 0
            || self.rx.iter().any(|(_, marks)| marks & LSR_CHARACTER != 0);
        if flagged && self.fifo() {
            lsr |= LSR_FIFO_ERROR;
        }
        if self.line_errors != 0 {
            self.line_errors = 0;
            self.drive(cx);
        }
        lsr
    }

    fn read_msr(&mut self, cx: &mut Cx<'_>) -> u8 {
        let msr = self.msr;
        if msr & MSR_DELTAS != 0 {
            self.msr &= !MSR_DELTAS;
            self.drive(cx);
        }
        msr
    }

    /// The modem inputs change with MCR in loopback mode; otherwise a terminal is always there.
    fn update_modem(&mut self) {
        let lines = if self.looped() {
            [
                (MCR_RTS, MSR_CTS),
                (MCR_DTR, MSR_DSR),
                (MCR_OUT1, MSR_RI),
                (MCR_OUT2, MSR_DCD),
            ]
            .iter()
            .filter(|(output, _)| self.mcr & output != 0)
            .fold(0, |lines, (_, input)| lines | input)
        } else {
            MSR_DCD | MSR_DSR | MSR_CTS
        };
        let changed = self.msr ^ lines;
        let deltas = [
            (changed & MSR_CTS, MSR_DCTS),
            (changed & MSR_DSR, MSR_DDSR),
            // Only the trailing edge of RI counts.
            (changed & MSR_RI & !lines, MSR_TERI),
            (changed & MSR_DCD, MSR_DDCD),
        ]
        .iter()
        .filter(|(happened, _)| *happened != 0)
        .fold(self.msr & MSR_DELTAS, |deltas, (_, delta)| deltas | delta);
        self.msr = lines | deltas;
    }

    /// A character arrives in the receiver.
    fn take(&mut self, character: u8, marks: u8) {
        if self.rx.len() >= self.depth() {
            self.line_errors |= LSR_OE;
            // A full FIFO keeps what it has; a full buffer register is overwritten.
            if self.fifo() {
                return;
            }
            self.rx.clear();
        }
        self.rx.push_back((character, marks));
        self.reveal_errors();
    }

    /// The errors of the character on top become visible in LSR.
    fn reveal_errors(&mut self) {
        if let Some((_, marks)) = self.rx.front_mut() {
            self.line_errors |= *marks & LSR_CHARACTER;
            *marks &= !LSR_CHARACTER;
        }
    }

    /// A character came or was read: the time-out of section 8.4.1 starts anew.
    fn restart_timeout(&mut self, cx: &mut Cx<'_>) {
        self.timeout_pending = false;
        if self.fifo() && !self.rx.is_empty() {
            self.arm(cx, 4 * self.character_ns());
        } else if self.timeout_at.take().is_some() {
            cx.disarm(TimerId(self.number));
        }
    }

    fn arm(&mut self, cx: &mut Cx<'_>, ns: u64) {
        let at = cx.now().saturating_add(ns);
        self.timeout_at = Some(at);
        cx.arm(TimerId(self.number), at);
    }

    /// How long a character takes on the line, in guest ns.
    fn character_ns(&self) -> u64 {
        let bits = 1
            + 5
            + u64::from(self.lcr & LCR_WORD)
            + u64::from(self.lcr & LCR_PARITY != 0)
            + 1
            + u64::from(self.lcr & LCR_STOP != 0);
        bits * u64::from(self.divisor.max(1)) * 1_000_000_000 / u64::from(self.baudbase.max(1))
    }

    /// What IIR names: the pending interrupt of highest priority (table III).
    fn interrupt(&self) -> u8 {
        if self.ier & IER_RLSI != 0 && self.line_errors != 0 {
            IIR_RLSI
        } else if self.ier & IER_RDI != 0 && self.timeout_pending {
            IIR_RDI | IIR_TIMEOUT
        } else if self.ier & IER_RDI != 0 && self.rx.len() >= self.trigger() {
            IIR_RDI
        } else if self.ier & IER_THRI != 0 && self.thre_pending {
            IIR_THRI
        } else if self.ier & IER_MSI != 0 && self.msr & MSR_DELTAS != 0 {
            IIR_MSI
        } else {
            IIR_NONE
        }
    }

    /// The level of INTR.
    pub fn intr(&self) -> bool {
        self.interrupt() != IIR_NONE
    }

    fn drive(&self, cx: &mut Cx<'_>) {
        if let Some(pin) = self.intr {
            cx.set(pin, self.intr());
        }
    }
}

/// The sender fills the receiver as soon as there is room, whatever the guest does. Input that is piped in would so be lost
/// while firmware and drivers probe the chip and clear its FIFOs: what was cleared is sent again, after a pause.
impl CharFrontend for Uart16550 {
    fn can_receive(&self, _: SlotId) -> usize {
        let pauses = self.timeout_at.is_some() && self.rx.is_empty() && self.ier & IER_RDI == 0;
        if self.looped() || pauses {
            return 0;
        }
        self.depth().saturating_sub(self.rx.len())
    }

    fn receive(&mut self, cx: &mut Cx<'_>, _: SlotId, bytes: &[u8]) {
        if self.looped() || bytes.is_empty() {
            return;
        }
        for byte in bytes {
            self.take(*byte, 0);
        }
        self.restart_timeout(cx);
        self.drive(cx);
    }

    fn receive_break(&mut self, cx: &mut Cx<'_>, _: SlotId) {
        if self.looped() {
            return;
        }
        self.take(0, LSR_BI | UNSENT);
        self.restart_timeout(cx);
        self.drive(cx);
    }
}

/// Properties of `isa-serial`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema, Ranges)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct IsaSerialProps {
    /// Baud rate at divisor 1: the input clock divided by 16.
    #[schemars(range(min = 1))]
    pub baudbase: u32,
}

impl Default for IsaSerialProps {
    fn default() -> Self {
        Self { baudbase: 115_200 }
    }
}

/// A 16550A on eight ports of an ISA bus: COM1 is at 0x3f8.
#[derive(Debug, State)]
pub struct IsaSerial {
    uart: Uart16550,
}

impl Model for IsaSerial {
    const TYPE: &'static str = "isa-serial";
    const SUMMARY: &'static str = "PC16550D serial port on an ISA bus";
    type Props = IsaSerialProps;

    fn interface(_: &IsaSerialProps) -> Result<Interface, PropError> {
        let connections = connections((BusKind::Isa, Region::ports("ports", 8)));
        Ok(connections.said("COM", "PNP0501", &[INTR]))
    }

    fn build(props: IsaSerialProps, _: Wires<'_>) -> Result<Self, BuildError> {
        Ok(Self {
            uart: Uart16550::new(props.baudbase),
        })
    }
}

impl Device for IsaSerial {
    fn reset(&mut self, cx: &mut Cx<'_>) {
        self.uart.reset(cx);
    }

    fn read(&mut self, cx: &mut Cx<'_>, at: Access) -> Result<u64, BusError> {
        Ok(self.uart.read(cx, (at.offset & 7) as u8).into())
    }

    fn write(&mut self, cx: &mut Cx<'_>, at: Access, value: u64) -> Result<(), BusError> {
        self.uart.write(cx, (at.offset & 7) as u8, value as u8);
        Ok(())
    }

    fn timer(&mut self, cx: &mut Cx<'_>, _: TimerId) {
        self.uart.timer(cx);
    }

    fn chardev(&mut self) -> Option<&mut dyn CharFrontend> {
        Some(&mut self.uart)
    }

    fn restored(&mut self, cx: &mut Cx<'_>) -> Result<(), StateError> {
        self.uart.restored(cx)
    }
}

/// Which end of a word a register's byte sits in.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Endianness {
    /// In the byte at the lowest address of the access.
    #[default]
    Little,
    /// In the byte at the highest address of the access.
    Big,
}

/// Properties of `serial-mm`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema, Ranges)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct SerialMmProps {
    /// Registers are 1 << regshift bytes apart.
    #[schemars(range(min = 0, max = 3))]
    pub regshift: u8,
    /// Baud rate at divisor 1: the input clock divided by 16.
    #[schemars(range(min = 1))]
    pub baudbase: u32,
    /// Where in an access of several bytes the register's byte sits.
    pub endianness: Endianness,
}

impl Default for SerialMmProps {
    fn default() -> Self {
        Self {
            regshift: 0,
            baudbase: 399_193,
            endianness: Endianness::Little,
        }
    }
}

/// A 16550A at memory addresses.
#[derive(Debug, State)]
pub struct SerialMm {
    #[state(skip = "property")]
    regshift: u8,
    #[state(skip = "property")]
    endianness: Endianness,
    uart: Uart16550,
}

impl SerialMm {
    /// How far up in the value of an access the register's byte sits.
    fn shift(&self, at: Access) -> u32 {
        match self.endianness {
            Endianness::Little => 0,
            Endianness::Big => 8 * u32::from(at.size.saturating_sub(1) & 7),
        }
    }

    fn register(&self, at: Access) -> u8 {
        (at.offset >> self.regshift & 7) as u8
    }
}

impl Model for SerialMm {
    const TYPE: &'static str = "serial-mm";
    const SUMMARY: &'static str =
        "PC16550D serial port at memory addresses, with a register stride";
    type Props = SerialMmProps;

    fn interface(props: &SerialMmProps) -> Result<Interface, PropError> {
        // One access, at most as wide as the stride, reaches one register once.
        let stride = 1 << props.regshift;
        let region = Region::registers("registers", 8 << props.regshift).max_width(stride);
        let mut node = tree::Node::new("serial", &["ns16550a"])
            .with("clock-frequency", props.baudbase.saturating_mul(16))
            .interrupts([INTR]);
        if props.regshift != 0 {
            node = node.with("reg-shift", u32::from(props.regshift));
        }
        if props.endianness == Endianness::Big {
            node = node.with("big-endian", tree::Value::Flag);
        }
        Ok(connections((BusKind::System, region)).node(node))
    }

    fn build(props: SerialMmProps, _: Wires<'_>) -> Result<Self, BuildError> {
        Ok(Self {
            regshift: props.regshift,
            endianness: props.endianness,
            uart: Uart16550::new(props.baudbase),
        })
    }
}

impl Device for SerialMm {
    fn reset(&mut self, cx: &mut Cx<'_>) {
        self.uart.reset(cx);
    }

    fn read(&mut self, cx: &mut Cx<'_>, at: Access) -> Result<u64, BusError> {
        let value = self.uart.read(cx, self.register(at));
        Ok(u64::from(value) << self.shift(at))
    }

    fn write(&mut self, cx: &mut Cx<'_>, at: Access, value: u64) -> Result<(), BusError> {
        let byte = (value >> self.shift(at)) as u8;
        self.uart.write(cx, self.register(at), byte);
        Ok(())
    }

    fn timer(&mut self, cx: &mut Cx<'_>, _: TimerId) {
        self.uart.timer(cx);
    }

    fn chardev(&mut self) -> Option<&mut dyn CharFrontend> {
        Some(&mut self.uart)
    }

    fn restored(&mut self, cx: &mut Cx<'_>) -> Result<(), StateError> {
        self.uart.restored(cx)
    }
}

#[cfg(test)]
mod tests;
