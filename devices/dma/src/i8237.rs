//! The pair of Intel 8237A DMA controllers of a PC's south bridge, with its page registers.
//!
//! Intel 8237A datasheet (231466), "DMA operation" and "Register description"; for the pair and the pages, Intel
//! 82371AB (PIIX4) datasheet (290562), "DMA controller". The first controller moves bytes on channels 0 to 3,
//! the second moves words on channels 5 to 7, and its channel 4 passes the first one's requests on.
//!
//! A bus here has no DMA cycle in which a device could hand over data, so these transfers exist: those that
//! software requests, in which no device drives or takes the data, and memory to memory. A device's request is
//! shown in the status register, and acknowledged if its channel is in cascade mode, which leaves the
//! transfer to the device.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use solderless_model::{
    Access, BuildError, BusError, BusKind, Cx, Device, Interface, Model, Pin, Pins, Placement,
    PropError, Ranges, Region, State, StateError, Wires, connections,
};

/// Properties of [`I8257`]: it has none.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema, Ranges)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct I8257Props {}

connections! {
    fn connections(_: &I8257Props) on BusKind::Isa;
    region DMA1 = Region::ports("dma1", 0x10);
    region PAGES = Region::ports("pages", 0x10).placed(Placement::Board(0x80));
    region DMA2 = Region::ports("dma2", 0x20).placed(Placement::Board(0xc0));
    input DREQ[8] = Pins::named("dreq").optional().inside(&[4], "the first controller's hold request is there");
    output DACK[8] = Pins::named("dack").optional();
    output TC = Pins::named("tc").optional();
}

/// Registers from here on are the controller's; below are address and count of each channel in turn.
const STATUS_COMMAND: u8 = 0x8;
const REQUEST: u8 = 0x9;
const SINGLE_MASK: u8 = 0xa;
const MODE: u8 = 0xb;
const CLEAR_FLIP_FLOP: u8 = 0xc;
const TEMPORARY_MASTER_CLEAR: u8 = 0xd;
const CLEAR_MASK: u8 = 0xe;
const ALL_MASK: u8 = 0xf;

const COMMAND_MEMORY_TO_MEMORY: u8 = 1 << 0;
const COMMAND_ADDRESS_HOLD: u8 = 1 << 1;
const COMMAND_DISABLE: u8 = 1 << 2;
const COMMAND_ROTATING: u8 = 1 << 4;
const COMMAND_DREQ_LOW: u8 = 1 << 6;
/// Request and single mask registers: set rather than clear the channel's bit.
const SET: u8 = 1 << 2;
const MODE_TYPE: u8 = 3 << 2;
const MODE_WRITE: u8 = 1 << 2;
const MODE_AUTOINIT: u8 = 1 << 4;
const MODE_DECREMENT: u8 = 1 << 5;
const MODE_CASCADE: u8 = 3 << 6;
const ALL: u8 = 0xf;

/// The page register of each channel; channel 4's is the one that refresh would use.
const PAGE_OF: [usize; 8] = [0x7, 0x3, 0x1, 0x2, 0xf, 0xb, 0x9, 0xa];

#[derive(Debug, Default, State)]
struct Channel {
    base_address: u16,
    base_count: u16,
    address: u16,
    /// Transfers left, less one; 0xffff after the last.
    count: u16,
    /// The mode register without the channel.
    mode: u8,
}

impl Channel {
    fn cascade(&self) -> bool {
        self.mode & MODE_CASCADE == MODE_CASCADE
    }

    fn autoinit(&mut self) {
        self.address = self.base_address;
        self.count = self.base_count;
    }

    /// Moves on by one transfer.
    fn step(&mut self, hold: bool) {
        self.count = self.count.wrapping_sub(1);
        if !hold {
            self.address = match self.mode & MODE_DECREMENT {
                0 => self.address.wrapping_add(1),
                _ => self.address.wrapping_sub(1),
            };
        }
    }
}

/// One 8237A.
#[derive(Debug, State)]
struct Controller {
    channels: [Channel; 4],
    command: u8,
    temporary: u8,
    /// One bit a channel: masked, requested by software, terminal count reached.
    mask: u8,
    request: u8,
    tc: u8,
    /// The flip-flop: the next access to an address or count is to the high byte.
    high: bool,
    /// The channel with the lowest priority.
    lowest: u8,
}

impl Controller {
    fn new() -> Self {
        Self {
            channels: Default::default(),
            command: 0,
            temporary: 0,
            mask: ALL,
            request: 0,
            tc: 0,
            high: false,
            lowest: 3,
        }
    }

    fn master_clear(&mut self) {
        self.command = 0;
        self.temporary = 0;
        self.mask = ALL;
        self.request = 0;
        self.tc = 0;
        self.high = false;
    }

    fn enabled(&self) -> bool {
        self.command & COMMAND_DISABLE == 0
    }

    /// Channels that can have the bus: by software to move data, by a device in cascade mode.
    fn ready(&self, dreq: u8) -> u8 {
        let cascade = (0..)
            .zip(&self.channels)
            .fold(0, |bits, (n, c)| bits | u8::from(c.cascade()) << n);
        match self.enabled() {
            // No mask holds up software.
            true => (self.request & !cascade) | (dreq & cascade & !self.mask),
            false => 0,
        }
    }

    /// The channel of highest priority among these.
    fn first(&self, channels: u8) -> Option<u8> {
        let lowest = if self.command & COMMAND_ROTATING != 0 {
            self.lowest
        } else {
            3
        };
        (1..=4)
            .map(|n| lowest.wrapping_add(n) & 3)
            .find(|n| channels >> n & 1 != 0)
    }

    fn read(&mut self, register: u8, dreq: u8) -> u8 {
        match register {
            0..STATUS_COMMAND => {
                let channel = &self.channels[usize::from((register / 2) & 3)];
                let value = if register & 1 == 0 {
                    channel.address
                } else {
                    channel.count
                };
                self.high = !self.high;
                let [low, high] = value.to_le_bytes();
                if self.high { low } else { high }
            }
            STATUS_COMMAND => (dreq | self.request) << 4 | std::mem::take(&mut self.tc),
            TEMPORARY_MASTER_CLEAR => self.temporary,
            ALL_MASK => 0xf0 | self.mask,
            // The others are write-only.
            _ => 0xff,
        }
    }

    fn write(&mut self, register: u8, value: u8) {
        let bit = 1 << (value & 3);
        match register {
            0..STATUS_COMMAND => {
                let channel = &mut self.channels[usize::from((register / 2) & 3)];
                let (base, current) = if register & 1 == 0 {
                    (&mut channel.base_address, &mut channel.address)
                } else {
                    (&mut channel.base_count, &mut channel.count)
                };
                for target in [base, current] {
                    let [mut low, mut high] = target.to_le_bytes();
                    *(if self.high { &mut high } else { &mut low }) = value;
                    *target = u16::from_le_bytes([low, high]);
                }
                self.high = !self.high;
            }
            STATUS_COMMAND => self.command = value,
            REQUEST if value & SET != 0 => self.request |= bit,
            REQUEST => self.request &= !bit,
            SINGLE_MASK if value & SET != 0 => self.mask |= bit,
            SINGLE_MASK => self.mask &= !bit,
            MODE => self.channels[usize::from(value & 3)].mode = value & !3,
            CLEAR_FLIP_FLOP => self.high = false,
            TEMPORARY_MASTER_CLEAR => self.master_clear(),
            CLEAR_MASK => self.mask = 0,
            _ => self.mask = value & ALL,
        }
    }
}

/// Two 8237As and the page registers.
///
/// Inputs `dreq[0-7]` and outputs `dack[0-7]` are high while asserted; channel 4's are inside. `tc` pulses at the end of
/// a transfer.
#[derive(Debug, State)]
pub struct I8257 {
    first: Controller,
    second: Controller,
    pages: [u8; 16],
    /// The channel in cascade mode that has the bus.
    granted: Option<u8>,
}

impl Model for I8257 {
    const TYPE: &'static str = "i8257";
    const SUMMARY: &'static str =
        "Pair of Intel 8237A DMA controllers with page registers, as in the PIIX4";
    type Props = I8257Props;

    fn interface(props: &Self::Props) -> Result<Interface, PropError> {
        Ok(connections(props).said("DMA", "PNP0200", &[]))
    }

    fn build(_: Self::Props, _: Wires<'_>) -> Result<Self, BuildError> {
        Ok(Self::new())
    }
}

impl Device for I8257 {
    fn reset(&mut self, cx: &mut Cx<'_>) {
        *self = Self::new();
        self.drive(cx);
    }

    fn read(&mut self, cx: &mut Cx<'_>, at: Access) -> Result<u64, BusError> {
        let (first, second) = self.dreq(cx);
        Ok(u64::from(match at.region {
            DMA1 => self.first.read(at.offset as u8, first),
            // The second controller's registers are two ports apart.
            DMA2 => self.second.read(at.offset as u8 / 2, second),
            PAGES => self.pages[at.offset as usize & 15],
            _ => return Err(BusError),
        }))
    }

    fn write(&mut self, cx: &mut Cx<'_>, at: Access, value: u64) -> Result<(), BusError> {
        let value = value as u8;
        match at.region {
            DMA1 => self.first.write(at.offset as u8, value),
            DMA2 => self.second.write(at.offset as u8 / 2, value),
            PAGES => self.pages[at.offset as usize & 15] = value,
            _ => return Err(BusError),
        }
        self.run(cx);
        Ok(())
    }

    fn line(&mut self, cx: &mut Cx<'_>, _: Pin, _: bool) {
        self.run(cx);
    }

    fn restored(&mut self, cx: &mut Cx<'_>) -> Result<(), StateError> {
        self.drive(cx);
        Ok(())
    }
}

impl I8257 {
    fn new() -> Self {
        Self {
            first: Controller::new(),
            second: Controller::new(),
            pages: [0; 16],
            granted: None,
        }
    }

    /// The DREQ inputs of each controller. Channel 4's is the first controller's hold request.
    fn dreq(&self, cx: &Cx<'_>) -> (u8, u8) {
        let asserted =
            |controller: &Controller, levels: u8| match controller.command & COMMAND_DREQ_LOW {
                0 => levels & ALL,
                _ => !levels & ALL,
            };
        let levels = cx.levels(DREQ, 8) as u8;
        let first = asserted(&self.first, levels);
        let wanted = (first & !self.first.mask) | self.first.request;
        let hold = u8::from(wanted != 0 && self.first.enabled());
        (first, (asserted(&self.second, levels >> 4) & !1) | hold)
    }

    /// Channels of the first controller, then of the second, that can have the bus.
    fn ready(&self, cx: &Cx<'_>) -> (u8, u8) {
        let (first, second) = self.dreq(cx);
        let second = self.second.ready(second);
        // The first controller has the bus only through channel 4 in cascade mode.
        let through = self.second.channels[0].cascade() && second & 1 != 0;
        match (through, self.first.ready(first)) {
            (true, first @ 1..) => (first, second),
            (true, 0) => (0, second & !1),
            (false, _) => (0, second),
        }
    }

    /// The channel that has the bus next.
    fn next(&self, cx: &Cx<'_>) -> Option<u8> {
        match self.ready(cx) {
            (first @ 1.., second) if self.second.first(second) == Some(0) => {
                self.first.first(first)
            }
            (_, second) => Some(self.second.first(second)? + 4),
        }
    }

    /// Gives the bus to one channel after another. A device in cascade mode keeps it until it lets go.
    fn run(&mut self, cx: &mut Cx<'_>) {
        let (first, second) = self.ready(cx);
        let still = |channel: u8| (second << 4 | first) >> (channel & 7) & 1 != 0;
        if !self.granted.is_some_and(still) {
            self.granted = None;
            while let Some(channel) = self.next(cx) {
                if channel < 4 {
                    self.second.lowest = 0;
                }
                let controller = self.controller(channel);
                controller.lowest = channel & 3;
                if controller.channels[usize::from(channel & 3)].cascade() {
                    self.granted = Some(channel);
                    break;
                }
                self.serve(cx, channel);
            }
        }
        self.drive(cx);
    }

    fn controller(&mut self, channel: u8) -> &mut Controller {
        if channel < 4 {
            &mut self.first
        } else {
            &mut self.second
        }
    }

    /// The memory address that a channel's address register stands for.
    fn address(&self, channel: u8, address: u16) -> u64 {
        let page = u64::from(self.pages[PAGE_OF[usize::from(channel & 7)]]);
        match channel {
            0..4 => page << 16 | u64::from(address),
            // Word addresses: the page's lowest bit gives way to the address's highest.
            _ => (page & !1) << 16 | u64::from(address) << 1,
        }
    }

    /// Runs a software-requested transfer to its end.
    fn serve(&mut self, cx: &mut Cx<'_>, channel: u8) {
        let copies = channel == 0 && self.first.command & COMMAND_MEMORY_TO_MEMORY != 0;
        // Memory to memory there is no device to acknowledge.
        cx.set(DACK.nth(channel.into()), !copies);
        let done = if copies {
            self.first.request &= !1;
            self.copy(cx);
            1
        } else {
            self.transfer(cx, channel);
            channel
        };
        let controller = self.controller(done);
        let bit = 1 << (done & 3);
        controller.request &= !bit;
        controller.tc |= bit;
        let current = &mut controller.channels[usize::from(done & 3)];
        if current.mode & MODE_AUTOINIT != 0 {
            current.autoinit();
        } else {
            controller.mask |= bit;
        }
        cx.set(TC, true);
        cx.set(TC, false);
        cx.set(DACK.nth(channel.into()), false);
    }

    /// A transfer between memory and a device, which does not know of it: what goes to memory is a floating
    /// data bus.
    fn transfer(&mut self, cx: &mut Cx<'_>, channel: u8) {
        let floating = [0xff; 2];
        let size = if channel < 4 { 1 } else { 2 };
        let mut failed = None;
        loop {
            let current = &mut self.controller(channel).channels[usize::from(channel & 3)];
            let (address, to_memory) = (current.address, current.mode & MODE_TYPE == MODE_WRITE);
            current.step(false);
            let last = current.count == u16::MAX;
            if to_memory {
                let at = self.address(channel, address);
                if cx.dma_write(at, &floating[..size]).is_err() {
                    failed = failed.or(Some(at));
                }
            }
            if last {
                break;
            }
        }
        report(cx, channel, failed);
    }

    /// Memory to memory: channel 0 reads, channel 1 writes and counts.
    fn copy(&mut self, cx: &mut Cx<'_>) {
        let hold = self.first.command & COMMAND_ADDRESS_HOLD != 0;
        let mut failed = None;
        loop {
            let [source, target, ..] = &mut self.first.channels;
            let (from, to) = (source.address, target.address);
            source.step(hold);
            target.step(false);
            if source.count == u16::MAX && source.mode & MODE_AUTOINIT != 0 {
                source.autoinit();
            }
            let last = target.count == u16::MAX;
            let (from, to) = (self.address(0, from), self.address(1, to));
            // A read that nothing answers leaves the data bus floating.
            let mut byte = [0xff];
            if cx.dma_read(from, &mut byte).is_err() {
                failed = failed.or(Some(from));
            }
            if cx.dma_write(to, &byte).is_err() {
                failed = failed.or(Some(to));
            }
            self.first.temporary = byte[0];
            if last {
                break;
            }
        }
        report(cx, 0, failed);
    }

    /// Drives every output.
    fn drive(&self, cx: &mut Cx<'_>) {
        for channel in 0..8 {
            cx.set(DACK.nth(channel.into()), self.granted == Some(channel));
        }
        cx.set(TC, false);
    }
}

fn report(cx: &mut Cx<'_>, channel: u8, failed: Option<u64>) {
    if let Some(at) = failed {
        cx.guest_error(format_args!("channel {channel}: no memory at {at:#x}"));
    }
}

#[cfg(test)]
mod tests {
    use solderless_model::RegionId;
    use solderless_model::memory::Ram;
    use solderless_model::testing::{Bench, exercise};

    use super::*;

    /// A megabyte of memory behind the pair, and the first controller let through as PC firmware does it.
    fn bench() -> Bench<I8257> {
        let mut bench = Bench::<I8257>::new(I8257Props {});
        bench.around.ram = Some(Ram::new(1 << 20).expect("memory"));
        run(&mut bench, "d6=c0 d4=00");
        bench
    }

    fn port(text: &str) -> (RegionId, u64) {
        match u64::from_str_radix(text, 16).expect("a port") {
            port @ 0..0x10 => (DMA1, port),
            port @ 0x80..0x90 => (PAGES, port - 0x80),
            port => (DMA2, port - 0xc0),
        }
    }

    /// Runs a script: `d6=c0` writes a port and `08?f0` reads one and expects a value, all hexadecimal.
    fn run(bench: &mut Bench<I8257>, script: &str) {
        for word in script.split_whitespace() {
            let value = |text: &str| u64::from_str_radix(text, 16).expect("a value");
            if let Some((at, text)) = word.split_once('=') {
                let (region, offset) = port(at);
                assert!(bench.write(region, offset, 1, value(text)));
            } else {
                let (at, text) = word.split_once('?').expect("a read");
                let (region, offset) = port(at);
                let got = bench.read(region, offset, 1);
                assert_eq!(got, Some(value(text)), "{word} of {script}");
            }
        }
    }

    fn memory(bench: &Bench<I8257>, at: u64, len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len];
        let ram = bench.around.ram.as_ref().expect("memory");
        ram.read(at, &mut bytes).expect("in range");
        bytes
    }

    fn fill(bench: &Bench<I8257>, at: u64, bytes: &[u8]) {
        let ram = bench.around.ram.as_ref().expect("memory");
        ram.write(at, bytes).expect("in range");
    }

    #[test]
    fn registers_after_reset() {
        let mut bench = Bench::<I8257>::new(I8257Props {});
        run(
            &mut bench,
            "08?00 0d?00 0f?ff 0b?ff 00?00 00?00 83?00 d0?00 da?00 de?ff",
        );
    }

    #[test]
    fn the_flip_flop_and_the_stride() {
        run(
            &mut bench(),
            "0c=00 02=34 02=12 03=ff 03=01 02?34 02?12 03?ff 03?01
            02?34 0c=00 02?34 02?12 0d=00 02?34
            d8=00 c4=78 c4=56 c6=aa c6=bb c4?78 c5?56 c6?aa c7?bb",
        );
        run(&mut bench(), "80=11 81=22 8f=33 80?11 81?22 8f?33");
    }

    #[test]
    fn masks() {
        run(
            &mut bench(),
            "0f?ff 0a=02 0f?fb 0a=06 0f?ff 0e=00 0f?f0 0f=35 0f?f5 0d=00 0f?ff de?fe",
        );
    }

    #[test]
    fn software_requests_run_to_terminal_count() {
        let mut bench = bench();
        fill(&bench, 0x2_0ffe, &[1, 2, 3, 4, 5]);
        // Channel 1, block, three bytes to memory, of which nobody drives one.
        run(
            &mut bench,
            "83=02 0b=85 0c=00 02=ff 02=0f 03=02 03=00 09=05
            08?02 08?00 0f?ff 0c=00 02?02 02?10 03?ff 03?ff",
        );
        assert_eq!(memory(&bench, 0x2_0ffe, 5), [1, 0xff, 0xff, 0xff, 5]);
        assert_eq!(
            bench.around.edges,
            [
                (DACK.nth(1), true),
                (TC, true),
                (TC, false),
                (DACK.nth(1), false)
            ]
        );
        // Read transfers take nothing but time; autoinitialization starts over and leaves the mask.
        run(
            &mut bench,
            "0e=00 0b=99 0c=00 02=10 02=00 03=07 03=00 09=05
            08?02 0f?f0 0c=00 02?10 02?00 03?07 03?00",
        );
        // Downwards, and around the end of the page.
        run(
            &mut bench,
            "0b=a5 0c=00 02=00 02=00 03=01 03=00 09=05 0c=00 02?fe 02?ff",
        );
        assert_eq!(memory(&bench, 0x2_0000, 1), [0xff]);
        assert_eq!(memory(&bench, 0x2_ffff, 1), [0xff]);
        assert!(bench.around.errors.is_empty());
    }

    #[test]
    fn words_on_the_second_controller() {
        let mut bench = bench();
        run(
            &mut bench,
            "8b=05 d6=85 d8=00 c4=01 c4=80 c6=01 c6=00 d2=05 d0?02 d8=00 c4?03 c4?80",
        );
        assert_eq!(
            memory(&bench, 0x5_0000, 8),
            [0, 0, 0xff, 0xff, 0xff, 0xff, 0, 0]
        );
        // A whole block, and memory that is not there, is logged once.
        run(&mut bench, "8b=ff d8=00 c6=ff c6=ff d2=05 d0?02");
        assert_eq!(bench.around.errors, ["channel 5: no memory at 0xff0006"]);
    }

    #[test]
    fn memory_to_memory() {
        let mut bench = bench();
        fill(&bench, 0x1000, b"solder");
        run(
            &mut bench,
            "87=00 83=01 08=01 0b=88 0b=85 0c=00 00=00 00=10 01=05 01=00
            02=10 02=00 03=05 03=00 09=04 08?02 0d?72 0c=00 00?06 00?10 02?16 02?00",
        );
        assert_eq!(memory(&bench, 0x1_000f, 8), *b"\0solder\0");
        // With the source held it is a fill, here downwards.
        run(
            &mut bench,
            "08=03 0b=a5 0c=00 00=02 00=10 02=15 02=00 03=03 03=00 09=04 0c=00 00?02 00?10",
        );
        assert_eq!(memory(&bench, 0x1_000f, 8), *b"\0sollll\0");
    }

    #[test]
    fn the_first_controller_works_through_channel_4() {
        for closed in ["d4=04", "d0=04", "d6=00", "08=04"] {
            let mut bench = bench();
            run(&mut bench, closed);
            run(&mut bench, "0b=81 0c=00 02=00 02=00 03=00 03=00 09=05");
            assert_eq!(memory(&bench, 0, 1), [0], "{closed}");
            run(&mut bench, "08?20 d6=c0 d4=00 d0=00 08=00 08?02");
            assert_eq!(memory(&bench, 0, 1), [0], "{closed}: verify writes nothing");
            assert!(bench.around.edges.contains(&(TC, true)), "{closed}");
        }
    }

    #[test]
    fn devices_in_cascade_mode_get_the_bus() {
        let mut bench = bench();
        run(&mut bench, "d6=c1 0b=c2");
        bench.line(DREQ.nth(5), true);
        run(&mut bench, "d0?20");
        assert!(!bench.output(DACK.nth(5)), "masked");
        run(&mut bench, "d4=01");
        assert!(bench.output(DACK.nth(5)));
        // Channel 2 comes before channel 5, but not into its middle; nor does software.
        run(&mut bench, "0a=02 0b=81 09=05");
        bench.line(DREQ.nth(2), true);
        assert!(bench.output(DACK.nth(5)) && !bench.output(DACK.nth(2)));
        run(&mut bench, "08?60 d0?30");
        bench.line(DREQ.nth(5), false);
        assert!(!bench.output(DACK.nth(5)) && bench.output(DACK.nth(2)));
        run(&mut bench, "08?42");
        bench.line(DREQ.nth(2), false);
        assert!(!bench.output(DACK.nth(2)));
        // A device that wants its data moved is shown and waits.
        run(&mut bench, "0b=42 0e=00");
        bench.line(DREQ.nth(2), true);
        assert!(!bench.output(DACK.nth(2)));
        run(&mut bench, "08?40 08=40 08?b0");
    }

    #[test]
    fn priority_rotates_if_asked() {
        let order = |command: &str| {
            let mut bench = bench();
            // Channels 0 to 3 verify one byte each; requests wait while the controller is disabled.
            run(
                &mut bench,
                &format!(
                    "0b=80 0b=81 0b=82 0b=83 08={command} 09=05 08=04 09=04 09=05 09=06 09=07"
                ),
            );
            bench.around.edges.clear();
            run(&mut bench, &format!("08={command}"));
            let acknowledged = bench
                .around
                .edges
                .iter()
                .filter(|(p, high)| *high && *p != TC);
            acknowledged.map(|(pin, _)| pin.0).collect::<Vec<_>>()
        };
        assert_eq!(order("00"), [0, 1, 2, 3]);
        assert_eq!(order("10"), [2, 3, 0, 1]);
    }

    #[test]
    fn random_accesses_and_saved_state() {
        exercise(|| Bench::<I8257>::new(I8257Props {}));
    }
}
