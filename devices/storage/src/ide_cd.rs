//! A CD-ROM drive on an IDE cable: a packet device (ATA/ATAPI-6, T13 1410D, 8.23 and 9.8) with the commands of a drive that reads data
//! (MMC-2, NCITS 333).
//!
//! Without a disc in its slot it is a drive with nothing in it. Left out: audio, sub-channels, several sessions, and DVDs' own
//! structures; an image of a DVD is read like one of a CD.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use solderless_model::{
    BlockFrontend, BuildError, BusKind, Cx, Device, Ide, IdeDevice, Interface, Job, JobId,
    LONGEST_JOB, Model, Outcome, PropError, Ranges, Slot, SlotId, SlotKind, State, StateError,
    Transfer, Tray, Wires, connections,
};

use crate::ata::{ABRT, DRDY, DRQ, DSC, Done, ERR, Flow, Modes, TaskFile, bytes_of, put_text};
use crate::ide_hd::texts;

/// Properties of `ide-cd`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema, Ranges)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct IdeCdProps {
    /// The serial number, at most 20 characters.
    pub serial: String,
    /// The model, at most 40 characters.
    pub model: String,
    /// The revision of its firmware, at most 8 characters.
    pub ver: String,
}

impl Default for IdeCdProps {
    fn default() -> Self {
        Self {
            serial: "SL00001".to_owned(),
            model: "SOLDERLESS CD-ROM".to_owned(),
            ver: "1.0".to_owned(),
        }
    }
}

connections! {
    fn connections(_: &IdeCdProps) on BusKind::Ide;
    slot DRIVE = Slot::new("drive", SlotKind::Block).read_only();
}

/// Bytes of a block of data.
const BLOCK: u64 = 2048;
/// Blocks that are read at once.
const CHUNK: u32 = (LONGEST_JOB as u64 / BLOCK / 2) as u32;
/// Bytes of a packet.
const PACKET: usize = 12;

// Interrupt reason, in the Sector Count register.
const COMMAND: u8 = 1 << 0;
const TO_HOST: u8 = 1 << 1;

/// Sense: key, and additional code with its qualifier.
type Sense = (u8, u16);
const NO_SENSE: Sense = (0, 0);
const NO_MEDIUM: Sense = (2, 0x3a00);
const TRAY_OPEN: Sense = (2, 0x3a02);
const UNREADABLE: Sense = (3, 0x1100);
const BAD_COMMAND: Sense = (5, 0x2000);
const BAD_ADDRESS: Sense = (5, 0x2100);
const BAD_FIELD: Sense = (5, 0x2400);
const LOCKED: Sense = (5, 0x5302);
const CHANGED: Sense = (6, 0x2800);
const RESET: Sense = (6, 0x2900);

/// What is going on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, State)]
enum Task {
    /// Nothing.
    #[default]
    None,
    /// The host sends a packet.
    Packet,
    /// Data goes to the host, or is read for it.
    Read,
    /// Words of IDENTIFY go to the host.
    Tell,
}

/// The device.
#[derive(Debug, State)]
pub struct IdeCd {
    #[state(skip = "properties")]
    props: IdeCdProps,
    #[state(skip = "its jumper, which the cable says with each transfer")]
    number: u8,
    regs: TaskFile,
    modes: Modes,
    task: Task,
    /// By DMA; bytes that the host takes at once otherwise.
    dma: bool,
    limit: u16,
    /// The next block to be read, and how many are left.
    lba: u32,
    left: u32,
    job: Option<JobId>,
    key: u8,
    code: u16,
    /// What is told before the next command that uses the disc, if anything.
    attention: Option<u16>,
    /// What GET EVENT STATUS NOTIFICATION tells: 0 nothing, 1 that the user asks for the disc, 2 a new disc, 3 that it is gone.
    event: u8,
    open: bool,
    /// The host keeps the tray closed.
    locked: bool,
}

impl Model for IdeCd {
    const TYPE: &'static str = "ide-cd";
    const SUMMARY: &'static str = "CD-ROM drive on an IDE cable (ATA/ATAPI-6, MMC-2)";
    type Props = IdeCdProps;

    fn interface(props: &IdeCdProps) -> Result<Interface, PropError> {
        texts(&props.serial, &props.model, &props.ver)?;
        Ok(connections(props))
    }

    fn build(props: IdeCdProps, _: Wires<'_>) -> Result<Self, BuildError> {
        Ok(Self {
            props,
            number: 0,
            regs: TaskFile::default(),
            modes: Modes::default(),
            task: Task::None,
            dma: false,
            limit: 0,
            lba: 0,
            left: 0,
            job: None,
            key: 0,
            code: 0,
            attention: None,
            event: 0,
            open: false,
            locked: false,
        })
    }
}

impl Device for IdeCd {
    fn reset(&mut self, _: &mut Cx<'_>) {
        self.regs.power_on();
        self.modes = Modes::default();
        (self.open, self.locked, self.event) = (false, false, 0);
        (self.key, self.code) = NO_SENSE;
        self.attention = Some(RESET.1);
        self.stop();
    }

    fn blockdev(&mut self) -> Option<&mut dyn BlockFrontend> {
        Some(self)
    }

    fn ide(&mut self) -> Option<&mut dyn IdeDevice> {
        Some(self)
    }

    fn restored(&mut self, _: &mut Cx<'_>) -> Result<(), StateError> {
        let whole = self.task != Task::Packet || self.regs.buffer.len() == PACKET;
        match whole && self.lba.checked_add(self.left).is_some() {
            true => self.regs.restored(),
            false => Err(StateError::new("a packet or a place that no disc has")),
        }
    }
}

impl IdeDevice for IdeCd {
    fn transfer(&mut self, cx: &mut Cx<'_>, number: u8, transfer: Ide) -> Option<u64> {
        self.number = number;
        let (answer, done) = self.regs.transfer(number, transfer);
        match done {
            Some(Done::Command(command)) => self.command(command),
            Some(Done::Reset) => self.stop(),
            Some(Done::Data) => self.moved(cx),
            None => {}
        }
        self.regs.show(cx, number);
        answer
    }

    fn dma(&mut self, cx: &mut Cx<'_>, bytes: Transfer<'_>) -> usize {
        let (moved, done) = self.regs.dma(bytes);
        if done.is_some() {
            self.moved(cx);
        }
        self.regs.show(cx, self.number);
        moved
    }
}

impl BlockFrontend for IdeCd {
    fn done(&mut self, cx: &mut Cx<'_>, _: SlotId, id: JobId, outcome: Outcome) {
        if self.job == Some(id) {
            self.job = None;
            match outcome {
                Ok(data) => {
                    let blocks = self.left.min(CHUNK);
                    self.lba += blocks;
                    self.left -= blocks;
                    self.offer(data);
                }
                Err(_) => self.refuse(UNREADABLE),
            }
        }
        self.regs.show(cx, self.number);
    }

    fn tray(&self, _: SlotId) -> Option<Tray> {
        Some(Tray {
            open: self.open,
            locked: self.locked,
        })
    }

    fn medium_changed(&mut self, cx: &mut Cx<'_>, slot: SlotId) {
        let there = cx.medium(slot).is_some();
        self.attention = there.then_some(CHANGED.1);
        self.event = if there { 2 } else { 3 };
        (self.open, self.locked) = (false, false);
    }
}

impl IdeCd {
    fn stop(&mut self) {
        self.task = Task::None;
        (self.job, self.left) = (None, 0);
        self.regs.reset(0x14, 0xeb, 0);
    }

    fn command(&mut self, command: u8) {
        if self.regs.status & DRQ != 0 {
            self.regs.idle();
        }
        self.task = Task::None;
        self.regs.error = 0;
        self.job = None;
        match command {
            0x08 => {
                // DEVICE RESET.
                let device = self.regs.device & 0x10;
                self.stop();
                self.regs.device = device;
            }
            0x90 => {
                // EXECUTE DEVICE DIAGNOSTIC.
                let device = self.regs.device & 0x10;
                self.stop();
                self.regs.device = device;
                self.regs.interrupt();
            }
            0xa0 => {
                // PACKET.
                self.dma = self.regs.features.current & 1 != 0;
                let [_, mid, high] = self.regs.lba;
                self.limit = u16::from_le_bytes([mid.current, high.current]);
                self.task = Task::Packet;
                self.regs.offer(Flow::Out, vec![0; PACKET], PACKET);
                self.regs.count.set(COMMAND);
            }
            0xa1 => {
                // IDENTIFY PACKET DEVICE.
                self.task = Task::Tell;
                let words = bytes_of(&self.identify());
                self.regs.offer(Flow::In, words, 512);
                self.regs.interrupt();
            }
            0xe0..=0xe3 | 0xe6 | 0xe7 => self.regs.finish(), // STANDBY, IDLE, SLEEP, FLUSH CACHE
            0xe5 => {
                self.regs.count.set(0xff);
                self.regs.finish();
            }
            0xef => {
                // SET FEATURES: transfer modes and what every device takes.
                let known = match self.regs.features.current {
                    0x03 => self.modes.set(self.regs.count.current),
                    0x66 | 0xcc => true,
                    _ => false,
                };
                match known {
                    true => self.regs.finish(),
                    false => self.regs.fail(ABRT),
                }
            }
            0xec => {
                // IDENTIFY DEVICE: refused with the signature.
                self.regs.lba[1].set(0x14);
                self.regs.lba[2].set(0xeb);
                self.regs.fail(ABRT);
            }
            _ => self.regs.fail(ABRT),
        }
    }

    /// The host has moved what was offered or asked for.
    fn moved(&mut self, cx: &mut Cx<'_>) {
        match self.task {
            Task::Packet => {
                let mut packet = [0; PACKET];
                packet.copy_from_slice(&self.regs.buffer[..PACKET]);
                self.regs.idle();
                self.task = Task::None;
                self.packet(cx, packet);
            }
            Task::Read if self.regs.next_block(self.limit().into()) => self.offered(),
            Task::Read if self.left > 0 => self.fetch(cx),
            Task::Read => self.good(),
            Task::Tell | Task::None => {
                self.task = Task::None;
                self.regs.idle();
            }
        }
    }

    /// Bytes that the host takes at once.
    fn limit(&self) -> u16 {
        match self.limit {
            0 | 0xffff => 0xfffe,
            // An odd number is for the last bytes alone.
            limit => (limit & !1).max(2),
        }
    }

    /// A command is done.
    fn good(&mut self) {
        (self.key, self.code) = NO_SENSE;
        self.over(0, 0);
    }

    /// The same, of one that needs nothing else.
    fn well(&mut self) -> Result<(), Sense> {
        self.good();
        Ok(())
    }

    /// A command is refused, or has failed.
    fn refuse(&mut self, (key, code): Sense) {
        (self.key, self.code) = (key, code);
        self.over(key << 4 | if key == 5 { ABRT } else { 0 }, ERR);
    }

    fn over(&mut self, error: u8, status: u8) {
        self.task = Task::None;
        self.left = 0;
        self.regs.finish();
        self.regs.count.set(COMMAND | TO_HOST);
        self.regs.error = error;
        self.regs.status = DRDY | DSC | status;
    }

    /// Sends an answer to the host, cut to the length that the host has room for.
    fn answer(&mut self, mut data: Vec<u8>, room: usize) -> Result<(), Sense> {
        data.truncate(room);
        self.left = 0;
        match data.is_empty() {
            true => self.good(),
            false => self.offer(data),
        }
        Ok(())
    }

    fn offer(&mut self, data: Vec<u8>) {
        self.task = Task::Read;
        let (flow, block) = match self.dma {
            true => (Flow::DmaIn, data.len()),
            false => (Flow::In, self.limit().into()),
        };
        self.regs.offer(flow, data, block);
        self.offered();
    }

    /// The host can move data.
    fn offered(&mut self) {
        self.regs.count.set(TO_HOST);
        if !self.dma {
            let [low, high] = (self.regs.block() as u16).to_le_bytes();
            self.regs.lba[1].set(low);
            self.regs.lba[2].set(high);
            self.regs.interrupt();
        }
    }

    /// Reads the next blocks.
    fn fetch(&mut self, cx: &mut Cx<'_>) {
        let job = Job::Read {
            offset: u64::from(self.lba) * BLOCK,
            len: self.left.min(CHUNK) * BLOCK as u32,
        };
        self.task = Task::Read;
        self.regs.busy();
        self.job = Some(cx.submit(DRIVE, job));
    }

    /// How many blocks the disc has.
    fn blocks(&self, cx: &Cx<'_>) -> Result<u32, Sense> {
        match cx.medium(DRIVE) {
            _ if self.open => Err(TRAY_OPEN),
            None => Err(NO_MEDIUM),
            Some(medium) => match u32::try_from(medium.bytes / BLOCK) {
                Ok(0) | Err(_) => Err(UNREADABLE),
                Ok(blocks) => Ok(blocks),
            },
        }
    }

    fn packet(&mut self, cx: &mut Cx<'_>, p: [u8; PACKET]) {
        let short = |at: usize| usize::from(u16::from_be_bytes([p[at], p[at + 1]]));
        let long = |at: usize| u32::from_be_bytes([p[at], p[at + 1], p[at + 2], p[at + 3]]);
        const TEST_UNIT_READY: u8 = 0x00;
        const REQUEST_SENSE: u8 = 0x03;
        const INQUIRY: u8 = 0x12;
        const GET_CONFIGURATION: u8 = 0x46;
        const GET_EVENT_STATUS_NOTIFICATION: u8 = 0x4a;
        let whatever = [
            REQUEST_SENSE,
            INQUIRY,
            GET_CONFIGURATION,
            GET_EVENT_STATUS_NOTIFICATION,
        ];
        if let Some(code) = self.attention.filter(|_| !whatever.contains(&p[0])) {
            self.attention = None;
            return self.refuse((6, code));
        }
        let result = match p[0] {
            TEST_UNIT_READY => self.blocks(cx).and_then(|_| self.well()),
            REQUEST_SENSE => {
                let sense = self.sense();
                self.answer(sense, p[4].into())
            }
            INQUIRY => {
                let inquiry = self.inquiry();
                self.answer(inquiry, p[4].into())
            }
            0x1b => self.start_stop(cx, p[4]),
            0x1e => {
                // PREVENT ALLOW MEDIUM REMOVAL.
                self.locked = p[4] & 1 != 0;
                self.well()
            }
            0x25 => self.blocks(cx).and_then(|blocks| {
                // READ CAPACITY.
                let words = [(blocks - 1).to_be_bytes(), (BLOCK as u32).to_be_bytes()];
                self.answer(words.concat(), 8)
            }),
            0x28 => self.read(cx, long(2), short(7) as u32),
            0xa8 => self.read(cx, long(2), long(6)),
            // READ CD, of which a drive for data has what users' data is.
            0xbe => match p[9] & 0xf8 {
                0x00 => self.blocks(cx).and_then(|_| self.well()),
                0x10 => {
                    let count = u32::from_be_bytes([0, p[6], p[7], p[8]]);
                    self.read(cx, long(2), count)
                }
                _ => Err(BAD_FIELD),
            },
            0x2b => self.blocks(cx).and_then(|blocks| match long(2) < blocks {
                // SEEK.
                true => self.well(),
                false => Err(BAD_ADDRESS),
            }),
            0x43 => self.read_toc(cx, p),
            GET_CONFIGURATION => {
                let there = self.blocks(cx).is_ok();
                self.answer(configuration(there), short(7))
            }
            GET_EVENT_STATUS_NOTIFICATION => match p[1] & 1 {
                0 => Err(BAD_FIELD),
                _ => {
                    let event = self.events(cx, p[4]);
                    self.answer(event, short(7))
                }
            },
            0x51 => self.blocks(cx).and_then(|_| {
                // READ DISC INFORMATION: a disc that is finished, of one session and one track.
                let mut data = vec![0; 34];
                (data[1], data[2], data[3], data[4], data[5], data[6]) = (32, 0x0e, 1, 1, 1, 1);
                data[7] = 0x20;
                self.answer(data, short(7))
            }),
            0x5a => self.mode_sense(p[2], short(7)),
            0xbd => {
                // MECHANISM STATUS.
                let mut data = vec![0; 8];
                data[1] = if self.open { 0x10 } else { 0 };
                data[5] = 1;
                self.answer(data, short(8))
            }
            _ => Err(BAD_COMMAND),
        };
        if let Err(sense) = result {
            self.refuse(sense);
        }
    }

    fn read(&mut self, cx: &mut Cx<'_>, lba: u32, count: u32) -> Result<(), Sense> {
        let blocks = self.blocks(cx)?;
        if lba.checked_add(count).is_none_or(|end| end > blocks) {
            return Err(BAD_ADDRESS);
        }
        (self.lba, self.left) = (lba, count);
        match count {
            0 => self.good(),
            _ => self.fetch(cx),
        }
        Ok(())
    }

    fn start_stop(&mut self, cx: &Cx<'_>, what: u8) -> Result<(), Sense> {
        let (start, load_eject) = (what & 1 != 0, what & 2 != 0);
        match (load_eject, start) {
            (true, false) if self.locked => return Err(LOCKED),
            (true, false) => self.open = true,
            (true, true) => {
                if std::mem::take(&mut self.open) && cx.medium(DRIVE).is_some() {
                    self.event = 2;
                }
            }
            (false, _) => {}
        }
        self.good();
        Ok(())
    }

    fn sense(&mut self) -> Vec<u8> {
        if self.key == 0
            && let Some(code) = self.attention.take()
        {
            (self.key, self.code) = (6, code);
        }
        let mut data = vec![0; 18];
        (data[0], data[2], data[7]) = (0x70, self.key, 10);
        data[12..14].copy_from_slice(&self.code.to_be_bytes());
        data
    }

    fn inquiry(&self) -> Vec<u8> {
        let mut data = vec![0; 36];
        // A CD-ROM whose medium can be removed, of ATAPI.
        (data[0], data[1], data[3], data[4]) = (5, 0x80, 0x21, 31);
        data[8..].fill(b' ');
        // The first word is the vendor's, of which there is room for eight letters.
        let model = self.props.model.as_str();
        let (vendor, product) = model.split_once(' ').unwrap_or(("", model));
        for (at, most, text) in [(8, 8, vendor), (16, 16, product), (32, 4, &self.props.ver)] {
            let len = text.len().min(most);
            data[at..at + len].copy_from_slice(&text.as_bytes()[..len]);
        }
        data
    }

    /// READ TOC: one track of data, and the lead-out.
    fn read_toc(&mut self, cx: &Cx<'_>, p: [u8; PACKET]) -> Result<(), Sense> {
        let blocks = self.blocks(cx)?;
        let minutes = p[1] & 2 != 0;
        let address = |lba: u32| match minutes {
            true => {
                let frames = lba.saturating_add(150);
                [
                    0,
                    (frames / 75 / 60) as u8,
                    (frames / 75 % 60) as u8,
                    (frames % 75) as u8,
                ]
            }
            false => lba.to_be_bytes(),
        };
        let format = match p[2] & 15 {
            0 => p[9] >> 6,
            format => format,
        };
        const LEAD_OUT: u8 = 0xaa;
        let track = |number: u8, lba: u32| [&[0, 0x14, number, 0][..], &address(lba)].concat();
        let mut data = vec![0, 0, 1, 1];
        match (format, p[6]) {
            (0, 0 | 1) => data.extend([track(1, 0), track(LEAD_OUT, blocks)].concat()),
            (0, LEAD_OUT) => data.extend(track(LEAD_OUT, blocks)),
            // Sessions: the first is the last.
            (1, _) => data.extend(track(1, 0)),
            _ => return Err(BAD_FIELD),
        }
        let length = (data.len() - 2) as u16;
        data[..2].copy_from_slice(&length.to_be_bytes());
        self.answer(data, usize::from(u16::from_be_bytes([p[7], p[8]])))
    }

    /// GET EVENT STATUS NOTIFICATION: what became of the disc.
    fn events(&mut self, cx: &Cx<'_>, classes: u8) -> Vec<u8> {
        const MEDIA: u8 = 4;
        if classes & 1 << MEDIA == 0 {
            return vec![0, 2, 0x80, 1 << MEDIA];
        }
        let there = cx.medium(DRIVE).is_some() && !self.open;
        let status = u8::from(self.open) | u8::from(there) << 1;
        let event = std::mem::take(&mut self.event);
        vec![0, 6, MEDIA, 1 << MEDIA, event, status, 0, 0]
    }

    fn mode_sense(&mut self, page: u8, room: usize) -> Result<(), Sense> {
        // Saved values are none.
        if page >> 6 == 3 {
            return Err((5, 0x3900));
        }
        let mut data = vec![0; 8];
        let page = page & 0x3f;
        const ALL: u8 = 0x3f;
        if page == 0x01 || page == ALL {
            data.extend([0x01, 6, 0, 5, 0, 0, 0, 0]);
        }
        if page == 0x2a || page == ALL {
            // It reads data in modes 1 and 2, has a tray, and is as fast as 4x.
            let mut capabilities = [0; 22];
            (capabilities[0], capabilities[1]) = (0x2a, 20);
            (capabilities[2], capabilities[4]) = (0x3b, 0x70);
            capabilities[6] = 0x29 | u8::from(self.locked) << 1;
            capabilities[8..10].copy_from_slice(&706_u16.to_be_bytes());
            capabilities[11] = 2;
            capabilities[12..14].copy_from_slice(&512_u16.to_be_bytes());
            capabilities[14..16].copy_from_slice(&706_u16.to_be_bytes());
            data.extend(capabilities);
        }
        if data.len() == 8 {
            return Err(BAD_FIELD);
        }
        let length = (data.len() - 2) as u16;
        data[..2].copy_from_slice(&length.to_be_bytes());
        self.answer(data, room)
    }

    /// IDENTIFY PACKET DEVICE (ATA/ATAPI-6, 8.16).
    fn identify(&self) -> [u16; 256] {
        let mut words = [0; 256];
        // A CD-ROM that can be removed, asks for its packet within 50 µs, of 12 bytes.
        words[0] = 0x85c0;
        put_text(&mut words[10..20], &self.props.serial);
        put_text(&mut words[23..27], &self.props.ver);
        put_text(&mut words[27..47], &self.props.model);
        words[49] = 0x0f00;
        words[50] = 0x4000;
        words[51] = 0x0200;
        words[53] = 0x0006;
        self.modes.put(&mut words);
        words[64] = 0x0003;
        words[65..69].fill(120);
        words[80] = 0x007e;
        // PACKET, DEVICE RESET.
        words[82] = 0x0210;
        (words[83], words[84]) = (0x4000, 0x4000);
        words[85] = 0x0210;
        words[87] = 0x4000;
        words[93] = if self.number == 0 { 0x6001 } else { 0x6100 };
        words
    }
}

/// GET CONFIGURATION: a CD-ROM, with the features that every drive has.
fn configuration(there: bool) -> Vec<u8> {
    const CD_ROM: u16 = 0x0008;
    let mut data = vec![0; 8];
    if there {
        data[6..8].copy_from_slice(&CD_ROM.to_be_bytes());
    }
    // Profile list, core, removable medium, random readable, CD read.
    data.extend([0x00, 0x00, 0x03, 4, 0x00, 0x08, u8::from(there), 0]);
    data.extend([0x00, 0x01, 0x03, 4, 0, 0, 0, 2]);
    data.extend([0x00, 0x03, 0x03, 4, 0x29, 0, 0, 0]);
    data.extend([0x00, 0x10, u8::from(there), 8, 0, 0, 8, 0, 0, 1, 1, 0]);
    data.extend([0x00, 0x1e, u8::from(there), 4, 0, 0, 0, 0]);
    let length = (data.len() - 4) as u32;
    data[..4].copy_from_slice(&length.to_be_bytes());
    data
}

#[cfg(test)]
mod tests {
    use super::*;
    use solderless_model::testing::{Bench, exercise};
    use solderless_model::{Cycle, Failure};

    const DISC: u32 = 200;

    fn content() -> Vec<u8> {
        (0..u64::from(DISC) * BLOCK)
            .map(|n| (n / BLOCK * 3 + n % 253) as u8)
            .collect()
    }

    fn drive() -> Bench<IdeCd> {
        let mut bench = Bench::new(IdeCdProps::default());
        bench.around.disks.insert(DRIVE, content());
        bench
    }

    fn ask(b: &mut Bench<IdeCd>, transfer: Ide) -> u64 {
        let device = 0;
        b.cycle(Cycle::Ide { device, transfer })
            .expect("it is there")
    }

    fn read(b: &mut Bench<IdeCd>, register: u8) -> u8 {
        ask(b, Ide::Read(register)) as u8
    }

    /// Sends a packet, takes what comes back, and the sense key: 0 if all is well.
    fn packet(b: &mut Bench<IdeCd>, packet: &[u8], dma: bool, limit: u16) -> (Vec<u8>, u8) {
        let [low, high] = limit.to_le_bytes();
        for (register, value) in [(1, dma.into()), (4, low), (5, high), (7, 0xa0)] {
            ask(b, Ide::Write(register, value.into()));
        }
        assert_eq!((read(b, 8), read(b, 2)), (0x58, COMMAND));
        let mut whole = [0; PACKET];
        whole[..packet.len()].copy_from_slice(packet);
        for word in whole.chunks_exact(2) {
            ask(b, Ide::Write(0, u16::from_le_bytes([word[0], word[1]])));
        }
        let mut data = Vec::new();
        loop {
            while read(b, 8) & 0x80 != 0 && b.finish_job(None) {}
            let status = read(b, 8);
            if ask(b, Ide::Signals) & 2 != 0 {
                let mut piece = [0; 3000];
                let moved = b.with(|d, cx| d.dma(cx, Transfer::Read(&mut piece)));
                data.extend(&piece[..moved]);
            } else if status & DRQ != 0 {
                assert_eq!(read(b, 2), TO_HOST);
                let count = u16::from_le_bytes([read(b, 4), read(b, 5)]);
                assert!(count > 0 && (count <= limit || limit == 0), "{count}");
                let end = data.len() + usize::from(count);
                while data.len() < end {
                    data.extend((ask(b, Ide::Read(0)) as u16).to_le_bytes());
                }
                data.truncate(end);
            } else {
                assert_eq!(ask(b, Ide::Signals), 1, "it interrupts at the end");
                assert_eq!(read(b, 2), COMMAND | TO_HOST);
                let error = read(b, 1) >> 4;
                assert_eq!(status & ERR != 0, error != 0);
                read(b, 7);
                return (data, error);
            }
        }
    }

    fn ready(b: &mut Bench<IdeCd>) {
        assert_eq!(packet(b, &[0], false, 0), (vec![], 6), "it was switched on");
        let (sense, _) = packet(b, &[3, 0, 0, 0, 18], false, 18);
        assert_eq!((sense[2], sense[12]), (6, 0x29));
    }

    #[test]
    fn blocks_are_read_as_they_are() {
        let mut b = drive();
        ready(&mut b);
        let all = content();
        for (dma, limit, first, count) in [
            (false, 2048, 0, 3),
            (false, 0xffff, 7, 150),
            (false, 999, 198, 2),
            (true, 0, 0, DISC),
            (true, 0, 5, 0),
        ] {
            let [a, z] = [first, first + count].map(|n: u32| n as usize * BLOCK as usize);
            let command = [0x28, 0, 0, 0, 0, first as u8, 0, 0, count as u8];
            let (data, key) = packet(&mut b, &command, dma, limit);
            assert!((data, key) == (all[a..z].to_vec(), 0), "{first} {count}");
        }
        assert_eq!(
            packet(&mut b, &[0x28, 0, 0, 0, 0, 199, 0, 0, 2], true, 0).1,
            5
        );
        assert_eq!(packet(&mut b, &[0x77], true, 0).1, 5);
    }

    #[test]
    fn a_state_in_which_no_drive_is_is_refused() {
        let mut b = drive();
        let mut forged = |task, lba, left| {
            b.with(|d, cx| {
                (d.task, d.lba, d.left) = (task, lba, left);
                d.restored(cx).is_err()
            })
        };
        let found = [
            (Task::Packet, 0, 0),
            (Task::Read, u32::MAX, 1),
            (Task::Read, 5, 6),
        ]
        .map(|(task, lba, left)| forged(task, lba, left));
        assert_eq!(found, [true, true, false]);
    }

    #[test]
    fn it_says_what_it_is_and_what_is_in_it() {
        let mut b = drive();
        ready(&mut b);
        let (inquiry, _) = packet(&mut b, &[0x12, 0, 0, 0, 96], false, 96);
        assert_eq!((inquiry.len(), inquiry[0]), (36, 5));
        assert!(inquiry.ends_with(b"CD-ROM          1.0 "));
        let (capacity, _) = packet(&mut b, &[0x25], false, 8);
        assert_eq!(capacity, [0, 0, 0, 199, 0, 0, 8, 0]);
        let (toc, _) = packet(&mut b, &[0x43, 0, 0, 0, 0, 0, 0, 0, 100], false, 100);
        assert_eq!(toc[..4], [0, 18, 1, 1]);
        assert_eq!(toc[14..], [0xaa, 0, 0, 0, 0, 200]);
        let (toc, _) = packet(&mut b, &[0x43, 2, 0, 0, 0, 0, 0xaa, 0, 12], false, 100);
        assert_eq!(toc[8..], [0, 0, 4, 50]);
    }

    #[test]
    fn the_disc_can_be_changed_and_the_guest_is_told() {
        let mut b = drive();
        ready(&mut b);
        assert_eq!(packet(&mut b, &[0], false, 0).1, 0);
        b.around.disks.clear();
        b.with(|d, cx| d.medium_changed(cx, DRIVE));
        assert_eq!(packet(&mut b, &[0], false, 0).1, 2, "nothing is in it");
        b.around.disks.insert(DRIVE, vec![1; 4096]);
        b.with(|d, cx| d.medium_changed(cx, DRIVE));
        let event = [0x4a, 1, 0, 0, 0x10, 0, 0, 0, 8];
        assert_eq!(packet(&mut b, &event, false, 8).0[4..6], [2, 2]);
        assert_eq!(packet(&mut b, &[0], false, 0).1, 6, "it has changed");
        assert_eq!(packet(&mut b, &[0], false, 0).1, 0);
        assert_eq!(packet(&mut b, &[0x25], false, 8).0[..4], [0, 0, 0, 1]);
        // The tray stays closed while the guest wants it.
        packet(&mut b, &[0x1e, 0, 0, 0, 1], false, 0);
        assert_eq!(packet(&mut b, &[0x1b, 0, 0, 0, 2], false, 0).1, 5);
        packet(&mut b, &[0x1e], false, 0);
        assert_eq!(packet(&mut b, &[0x1b, 0, 0, 0, 2], false, 0).1, 0);
        assert_eq!(packet(&mut b, &[0], false, 0).1, 2, "it is open");
        assert_eq!(packet(&mut b, &[0x1b, 0, 0, 0, 3], false, 0).1, 0);
        assert_eq!(packet(&mut b, &[0], false, 0).1, 0);
    }

    #[test]
    fn a_block_that_cannot_be_read_is_a_medium_error() {
        let mut b = drive();
        ready(&mut b);
        for (register, value) in [(1, 1), (7, 0xa0)] {
            ask(&mut b, Ide::Write(register, value));
        }
        for word in [0x28, 0, 0, 0, 1, 0] {
            ask(&mut b, Ide::Write(0, word));
        }
        // The length is in bytes 7 and 8, so the fifth word has its low half.
        assert!(b.finish_job(Some(Failure::Io)));
        assert_eq!(read(&mut b, 1) >> 4, 3);
    }

    #[test]
    fn random_accesses_and_saved_state() {
        exercise(drive);
        exercise(|| Bench::<IdeCd>::new(IdeCdProps::default()));
    }
}
