//! A hard disk on an IDE cable (ATA/ATAPI-6, T13 1410D; SMART and the trim of DATA SET MANAGEMENT as ATA8-ACS has them).
//!
//! It does the General feature set, with 28 and 48-bit addresses and the older cylinders, heads and sectors; PIO, multiword and
//! Ultra DMA; SMART, power management and the write cache. With the cache off a write is done when it would survive a loss of power.
//! Without a disk in its slot it is not on the cable. Left out: queues, security, the Host Protected Area and media locks.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use solderless_model::{
    BlockFrontend, BuildError, BusKind, Cx, Device, Failure, Ide, IdeDevice, Interface, Job, JobId,
    LONGEST_JOB, Medium, Model, Outcome, PropError, Ranges, SECTOR, Slot, SlotId, SlotKind, State,
    StateError, Transfer, Wires, connections,
};

use crate::ata::{ABRT, DRDY, DRQ, DSC, Done, Flow, Modes, TaskFile, bytes_of, put_text};

/// Properties of `ide-hd`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema, Ranges)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct IdeHdProps {
    /// The serial number, at most 20 characters.
    pub serial: String,
    /// The model, at most 40 characters.
    pub model: String,
    /// The revision of its firmware, at most 8 characters.
    pub ver: String,
}

impl Default for IdeHdProps {
    fn default() -> Self {
        Self {
            serial: "SL00001".to_owned(),
            model: "SOLDERLESS HARDDISK".to_owned(),
            ver: "1.0".to_owned(),
        }
    }
}

connections! {
    fn connections(_: &IdeHdProps) on BusKind::Ide;
    slot DRIVE = Slot::new("drive", SlotKind::Block);
}

/// Device: addresses are those of sectors, not of cylinders and heads.
const LBA: u8 = 1 << 6;
// Error.
const IDNF: u8 = 1 << 4;
const UNC: u8 = 1 << 6;
/// Sectors that READ and WRITE MULTIPLE move at once at most.
const MULTIPLE: u8 = 16;
/// What 28 bits of an address reach.
const LBA28: u64 = (1 << 28) - 1;
/// Sectors that are read or written at once.
const CHUNK: u32 = LONGEST_JOB as u32 / SECTOR as u32 / 2;
/// The geometry that the disk says it has, and the most cylinders.
const HEADS: u8 = 16;
const SECTORS: u8 = 63;
const CYLINDERS: u64 = 16383;

/// How a command moves sectors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum By {
    Pio,
    Multiple,
    Dma,
}

/// What a command has still to do.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, State)]
enum Task {
    /// Nothing is going on.
    #[default]
    None,
    /// Sectors go to the host.
    Read,
    /// Sectors come from the host.
    Write,
    /// Sectors are looked at.
    Verify,
    /// What was written is made to last.
    Flush,
    /// Data of its own goes to the host.
    Tell,
    /// A list of what nobody needs any more comes from the host, or is worked off.
    Trim,
    /// Data comes that is not kept.
    Drop,
}

/// The device.
#[derive(Debug, State)]
pub struct IdeHd {
    #[state(skip = "properties")]
    props: IdeHdProps,
    #[state(skip = "its jumper, which the cable says with each transfer")]
    number: u8,
    regs: TaskFile,
    task: Task,
    /// The next sector, and how many are left, those in the buffer not counted.
    lba: u64,
    left: u32,
    /// Sectors that the host moves before the disk has its turn.
    block: u32,
    /// By DMA.
    dma: bool,
    /// What is written has to last before the command is done.
    through: bool,
    /// What it waits for: of a trim the last, as a disk does one job after the other.
    job: Option<JobId>,
    /// The command addresses by cylinder, head and sector, or with 48 bits.
    chs: bool,
    extended: bool,
    /// Set by SET MULTIPLE MODE; 0 is off.
    multiple: u8,
    modes: Modes,
    write_cache: bool,
    look_ahead: bool,
    smart: bool,
    autosave: bool,
    heads: u8,
    sectors: u8,
}

impl Model for IdeHd {
    const TYPE: &'static str = "ide-hd";
    const SUMMARY: &'static str = "Hard disk on an IDE cable (ATA/ATAPI-6)";
    type Props = IdeHdProps;

    fn interface(props: &IdeHdProps) -> Result<Interface, PropError> {
        texts(&props.serial, &props.model, &props.ver)?;
        Ok(connections(props))
    }

    fn build(props: IdeHdProps, _: Wires<'_>) -> Result<Self, BuildError> {
        Ok(Self {
            props,
            number: 0,
            regs: TaskFile::default(),
            task: Task::None,
            lba: 0,
            left: 0,
            block: 1,
            dma: false,
            through: false,
            job: None,
            chs: false,
            extended: false,
            multiple: 0,
            modes: Modes::default(),
            write_cache: true,
            look_ahead: true,
            smart: true,
            autosave: true,
            heads: HEADS,
            sectors: SECTORS,
        })
    }
}

/// Refuses texts that the words of IDENTIFY have no room for.
pub(crate) fn texts(serial: &str, model: &str, ver: &str) -> Result<(), PropError> {
    for (property, text, most) in [
        ("serial", serial, 20),
        ("model", model, 40),
        ("ver", ver, 8),
    ] {
        if text.len() > most || !text.bytes().all(|b| matches!(b, b' '..=b'~')) {
            return Err(PropError::new(
                property,
                format!("at most {most} ASCII characters can be shown"),
            ));
        }
    }
    Ok(())
}

impl Device for IdeHd {
    fn reset(&mut self, _: &mut Cx<'_>) {
        self.regs.power_on();
        self.multiple = 0;
        self.modes = Modes::default();
        (self.write_cache, self.look_ahead) = (true, true);
        (self.smart, self.autosave) = (true, true);
        (self.heads, self.sectors) = (HEADS, SECTORS);
        self.stop();
    }

    fn blockdev(&mut self) -> Option<&mut dyn BlockFrontend> {
        Some(self)
    }

    fn ide(&mut self) -> Option<&mut dyn IdeDevice> {
        Some(self)
    }

    fn restored(&mut self, _: &mut Cx<'_>) -> Result<(), StateError> {
        let geometry = self.heads > 0 && self.sectors > 0;
        let sane = geometry && self.block > 0 && self.left <= 1 << 16 && self.lba < 1 << 50;
        match sane {
            true => self.regs.restored(),
            false => Err(StateError::new("a geometry or a length that no disk has")),
        }
    }
}

impl IdeDevice for IdeHd {
    fn transfer(&mut self, cx: &mut Cx<'_>, number: u8, transfer: Ide) -> Option<u64> {
        let medium = cx.medium(DRIVE)?;
        self.number = number;
        let (answer, done) = self.regs.transfer(number, transfer);
        match done {
            Some(Done::Command(command)) => self.command(cx, medium, command),
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

impl BlockFrontend for IdeHd {
    fn done(&mut self, cx: &mut Cx<'_>, _: SlotId, id: JobId, outcome: Outcome) {
        if self.job == Some(id) {
            self.job = None;
            match outcome {
                Ok(data) => self.worked(cx, data),
                // What cannot be forgotten stays; nobody needs it.
                Err(_) if self.task == Task::Trim => self.end(),
                Err(failure) => self.failed(failure),
            }
        }
        self.regs.show(cx, self.number);
    }
}

impl IdeHd {
    /// A software reset, or that of the machine: what is going on ends.
    fn stop(&mut self) {
        self.task = Task::None;
        (self.job, self.left) = (None, 0);
        self.block = 1;
        self.regs.reset(0, 0, DRDY | DSC);
    }

    fn command(&mut self, cx: &mut Cx<'_>, medium: Medium, command: u8) {
        if self.regs.status & DRQ != 0 {
            self.regs.idle();
        }
        self.task = Task::None;
        self.regs.error = 0;
        self.job = None;
        self.extended = false;
        match command {
            0x10..=0x1f | 0x70..=0x7f => self.regs.finish(), // RECALIBRATE, SEEK
            0x20 | 0x21 => self.access(cx, medium, Task::Read, By::Pio, false),
            0x24 => self.access(cx, medium, Task::Read, By::Pio, true),
            0x25 => self.access(cx, medium, Task::Read, By::Dma, true),
            0x27 => self.native_max(medium, true),
            0x29 => self.access(cx, medium, Task::Read, By::Multiple, true),
            0x30 | 0x31 => self.access(cx, medium, Task::Write, By::Pio, false),
            0x34 => self.access(cx, medium, Task::Write, By::Pio, true),
            0x35 => self.access(cx, medium, Task::Write, By::Dma, true),
            0x39 => self.access(cx, medium, Task::Write, By::Multiple, true),
            0x3d => self.forced(cx, medium, By::Dma), // WRITE DMA FUA EXT
            0xce => self.forced(cx, medium, By::Multiple), // WRITE MULTIPLE FUA EXT
            0x40 | 0x41 => self.access(cx, medium, Task::Verify, By::Pio, false),
            0x42 => self.access(cx, medium, Task::Verify, By::Pio, true),
            0x06 => self.data_set_management(),
            0x90 => {
                // EXECUTE DEVICE DIAGNOSTIC.
                let control = self.regs.device;
                self.stop();
                self.regs.device = control & 0x10;
                self.regs.interrupt();
            }
            0x91 => self.initialize_device_parameters(),
            0xb0 => self.smart(),
            0xc4 => self.access(cx, medium, Task::Read, By::Multiple, false),
            0xc5 => self.access(cx, medium, Task::Write, By::Multiple, false),
            0xc6 => self.set_multiple_mode(),
            0xc8 | 0xc9 => self.access(cx, medium, Task::Read, By::Dma, false),
            0xca | 0xcb => self.access(cx, medium, Task::Write, By::Dma, false),
            0xe4 => self.tell(vec![0; SECTOR as usize]), // READ BUFFER
            0xe8 => {
                // WRITE BUFFER: what nobody reads is not kept.
                self.task = Task::Drop;
                self.regs
                    .offer(Flow::Out, vec![0; SECTOR as usize], SECTOR as usize);
            }
            0x94..=0x97 | 0x99 | 0xe0..=0xe3 | 0xe6 => self.regs.finish(), // STANDBY, IDLE, SLEEP
            0x98 | 0xe5 => {
                // CHECK POWER MODE: active or idle.
                self.regs.count.set(0xff);
                self.regs.finish();
            }
            0xe7 | 0xea => self.flush(cx, Task::Flush),
            0xec => {
                let words = self.identify(medium);
                self.tell(bytes_of(&words));
            }
            0xef => self.set_features(),
            0xf8 => self.native_max(medium, false),
            _ => self.regs.fail(ABRT),
        }
    }

    /// The sectors that a command names: the first, and how many. `None` if they are not there.
    fn extent(&mut self, medium: Medium, extended: bool) -> Option<(u64, u32)> {
        let regs = &self.regs;
        let [low, mid, high] = regs.lba;
        let bits = |of: [u8; 3]| {
            of.iter()
                .rev()
                .fold(0, |all, byte| all << 8 | u64::from(*byte))
        };
        let now = bits([low.current, mid.current, high.current]);
        let head = u64::from(regs.device & 15);
        let (most, count) = match extended {
            true => (1 << 16, regs.count.word().into()),
            false => (1 << 8, u32::from(regs.count.current)),
        };
        let count = if count == 0 { most } else { count };
        (self.extended, self.chs) = (extended, regs.device & LBA == 0);
        let first = if extended {
            self.chs = false;
            bits([low.previous, mid.previous, high.previous]) << 24 | now
        } else if self.chs {
            let cylinder = u64::from(mid.current) | u64::from(high.current) << 8;
            let track = cylinder * u64::from(self.heads) + head;
            track * u64::from(self.sectors) + u64::from(low.current).checked_sub(1)?
        } else {
            head << 24 | now
        };
        let end = first + u64::from(count);
        (end <= medium.sectors()).then_some((first, count))
    }

    /// Says in the registers which sector it was.
    fn set_address(&mut self, lba: u64) {
        let regs = &mut self.regs;
        if self.chs {
            let track = lba / u64::from(self.sectors);
            let cylinder = (track / u64::from(self.heads)) as u16;
            regs.lba[0].set((lba % u64::from(self.sectors)) as u8 + 1);
            regs.lba[1].set(cylinder as u8);
            regs.lba[2].set((cylinder >> 8) as u8);
            regs.device = regs.device & 0xf0 | (track % u64::from(self.heads)) as u8;
            return;
        }
        let bytes = lba.to_le_bytes();
        for (place, register) in regs.lba.iter_mut().enumerate() {
            register.set(bytes[place]);
            if self.extended {
                register.previous = bytes[place + 3];
            }
        }
        if !self.extended {
            regs.device = regs.device & 0xf0 | bytes[3] & 15;
        }
    }

    /// Reads, writes or verifies sectors.
    fn access(&mut self, cx: &mut Cx<'_>, medium: Medium, task: Task, by: By, extended: bool) {
        if by == By::Multiple && self.multiple == 0 || task == Task::Write && !medium.writable {
            return self.regs.fail(ABRT);
        }
        let Some((first, count)) = self.extent(medium, extended) else {
            return self.regs.fail(IDNF);
        };
        self.task = task;
        (self.lba, self.left) = (first, count);
        self.dma = by == By::Dma;
        self.through = !self.write_cache;
        self.block = match by {
            By::Pio => 1,
            By::Multiple => self.multiple.into(),
            By::Dma => CHUNK,
        };
        match task {
            Task::Write => self.collect(),
            _ => self.fetch(cx),
        }
    }

    /// Writes what has to last before the command is done.
    fn forced(&mut self, cx: &mut Cx<'_>, medium: Medium, by: By) {
        self.access(cx, medium, Task::Write, by, true);
        self.through = true;
    }

    /// How many sectors are read or written next.
    fn chunk(&self) -> u32 {
        self.left.min(CHUNK)
    }

    fn submit(&mut self, cx: &mut Cx<'_>, job: Job) {
        self.regs.busy();
        self.job = Some(cx.submit(DRIVE, job));
    }

    /// Reads the next sectors.
    fn fetch(&mut self, cx: &mut Cx<'_>) {
        let job = Job::Read {
            offset: self.lba * SECTOR,
            len: self.chunk() * SECTOR as u32,
        };
        self.submit(cx, job);
    }

    /// Asks the host for the next sectors.
    fn collect(&mut self) {
        let buffer = vec![0; self.chunk() as usize * SECTOR as usize];
        let flow = if self.dma { Flow::DmaOut } else { Flow::Out };
        self.regs.offer(flow, buffer, self.block_bytes());
    }

    fn block_bytes(&self) -> usize {
        self.block as usize * SECTOR as usize
    }

    fn flush(&mut self, cx: &mut Cx<'_>, task: Task) {
        self.task = task;
        self.submit(cx, Job::Flush);
    }

    /// Sends data of its own to the host.
    fn tell(&mut self, data: Vec<u8>) {
        self.task = Task::Tell;
        self.regs.offer(Flow::In, data, SECTOR as usize);
        self.regs.interrupt();
    }

    /// The host has moved what was offered or asked for.
    fn moved(&mut self, cx: &mut Cx<'_>) {
        let block = self.block_bytes();
        if matches!(self.task, Task::Read | Task::Write) && self.regs.next_block(block) {
            return self.regs.interrupt();
        }
        match self.task {
            Task::Read if self.left > 0 => self.fetch(cx),
            Task::Read => {
                self.task = Task::None;
                self.regs.idle();
                if self.dma {
                    self.regs.interrupt();
                }
            }
            Task::Write => {
                let data = std::mem::take(&mut self.regs.buffer);
                self.regs.idle();
                let offset = self.lba * SECTOR;
                self.submit(cx, Job::Write { offset, data });
            }
            Task::Trim => {
                let list = std::mem::take(&mut self.regs.buffer);
                self.trim(cx, &list);
            }
            Task::Drop => {
                self.task = Task::None;
                self.regs.finish();
            }
            Task::Tell | Task::None | Task::Verify | Task::Flush => {
                self.task = Task::None;
                self.regs.idle();
            }
        }
    }

    /// The host's disk has done what it was asked for.
    fn worked(&mut self, cx: &mut Cx<'_>, data: Vec<u8>) {
        match self.task {
            Task::Read => {
                self.step();
                let flow = if self.dma { Flow::DmaIn } else { Flow::In };
                let block = self.block_bytes();
                self.regs.offer(flow, data, block);
                if !self.dma {
                    self.regs.interrupt();
                }
            }
            Task::Verify => {
                self.step();
                match self.left {
                    0 => self.end(),
                    _ => self.fetch(cx),
                }
            }
            Task::Write => {
                self.step();
                match (self.left, self.through) {
                    (0, true) => self.flush(cx, Task::Flush),
                    (0, false) => self.end(),
                    _ => {
                        self.collect();
                        if !self.dma {
                            self.regs.interrupt();
                        }
                    }
                }
            }
            _ => self.end(),
        }
    }

    fn step(&mut self) {
        let chunk = self.chunk();
        self.lba += u64::from(chunk);
        self.left -= chunk;
    }

    fn end(&mut self) {
        self.task = Task::None;
        self.regs.finish();
    }

    /// It could not.
    fn failed(&mut self, _: Failure) {
        let error = match self.task {
            Task::Read | Task::Verify => UNC,
            _ => ABRT,
        };
        if matches!(self.task, Task::Read | Task::Verify | Task::Write) {
            self.set_address(self.lba);
        }
        self.task = Task::None;
        self.regs.fail(error);
    }

    fn native_max(&mut self, medium: Medium, extended: bool) {
        (self.extended, self.chs) = (extended, false);
        let last = medium.sectors() - 1;
        self.set_address(if extended { last } else { last.min(LBA28) });
        self.regs.finish();
    }

    fn initialize_device_parameters(&mut self) {
        let heads = (self.regs.device & 15) + 1;
        match self.regs.count.current {
            0 => self.regs.fail(ABRT),
            sectors => {
                (self.heads, self.sectors) = (heads, sectors);
                self.regs.finish();
            }
        }
    }

    fn set_multiple_mode(&mut self) {
        let count = self.regs.count.current;
        if count > MULTIPLE || count != 0 && !count.is_power_of_two() {
            return self.regs.fail(ABRT);
        }
        self.multiple = count;
        self.regs.finish();
    }

    fn set_features(&mut self) {
        match self.regs.features.current {
            0x02 => self.write_cache = true,
            0x82 => self.write_cache = false,
            0xaa => self.look_ahead = true,
            0x55 => self.look_ahead = false,
            0x03 => {
                if !self.modes.set(self.regs.count.current) {
                    return self.regs.fail(ABRT);
                }
            }
            // Whether a software reset brings the defaults back: here it never does.
            0x66 | 0xcc => {}
            _ => return self.regs.fail(ABRT),
        }
        self.regs.finish();
    }

    /// Trim: a sector of ranges, each of 48 bits of an address and 16 of a length.
    fn data_set_management(&mut self) {
        const TRIM: u8 = 1;
        if self.regs.features.current != TRIM || self.regs.count.word() != 1 {
            return self.regs.fail(ABRT);
        }
        self.task = Task::Trim;
        let length = SECTOR as usize;
        self.regs.offer(Flow::DmaOut, vec![0; length], length);
    }

    fn trim(&mut self, cx: &mut Cx<'_>, list: &[u8]) {
        self.regs.busy();
        let sectors = cx.medium(DRIVE).map_or(0, |medium| medium.sectors());
        for range in list.chunks_exact(8) {
            let range = range
                .iter()
                .rev()
                .fold(0, |all, byte| all << 8 | u64::from(*byte));
            let (first, count) = (range & ((1 << 48) - 1), range >> 48);
            if count > 0 && first + count <= sectors {
                let (offset, len) = (first * SECTOR, count * SECTOR);
                self.job = Some(cx.submit(DRIVE, Job::Discard { offset, len }));
            }
        }
        if self.job.is_none() {
            self.end();
        }
    }

    fn smart(&mut self) {
        let key = [self.regs.lba[1].current, self.regs.lba[2].current];
        let function = self.regs.features.current;
        const ENABLE: u8 = 0xd8;
        if key != [0x4f, 0xc2] || !self.smart && function != ENABLE {
            return self.regs.fail(ABRT);
        }
        match function {
            0xd0 => return self.tell(smart_data(self.autosave)),
            0xd1 => return self.tell(smart_thresholds()),
            0xd2 => match self.regs.count.current {
                0x00 => self.autosave = false,
                0xf1 => self.autosave = true,
                _ => return self.regs.fail(ABRT),
            },
            // SAVE ATTRIBUTE VALUES, EXECUTE OFF-LINE IMMEDIATE: there is nothing to find, and it has been found.
            0xd3 | 0xd4 => {}
            // READ LOG: the directory, the error log and that of self-tests are empty.
            0xd5 => {
                let log = self.regs.lba[0].current;
                return match (log, self.regs.count.current) {
                    (0 | 1 | 6, 1) => {
                        let mut data = vec![0; SECTOR as usize];
                        data[0] = 1;
                        checksum(&mut data);
                        self.tell(data)
                    }
                    _ => self.regs.fail(ABRT),
                };
            }
            ENABLE => self.smart = true,
            0xd9 => self.smart = false,
            // RETURN STATUS: no threshold was exceeded, which the registers say already.
            0xda => {}
            _ => return self.regs.fail(ABRT),
        }
        self.regs.finish();
    }

    /// IDENTIFY DEVICE (8.15).
    fn identify(&self, medium: Medium) -> [u16; 256] {
        let sectors = medium.sectors();
        let track = u64::from(HEADS) * u64::from(SECTORS);
        let cylinders = |heads: u8, per_track: u8| -> u16 {
            let cylinder = u64::from(heads) * u64::from(per_track);
            (sectors / cylinder).clamp(1, CYLINDERS) as u16
        };
        let now = cylinders(self.heads, self.sectors);
        let reached = u64::from(now) * u64::from(self.heads) * u64::from(self.sectors);
        let mut words = [0; 256];
        words[0] = 0x0040;
        words[1] = (sectors / track).clamp(1, CYLINDERS) as u16;
        words[3] = HEADS.into();
        words[6] = SECTORS.into();
        put_text(&mut words[10..20], &self.props.serial);
        put_text(&mut words[23..27], &self.props.ver);
        put_text(&mut words[27..47], &self.props.model);
        words[47] = 0x8000 | u16::from(MULTIPLE);
        // IORDY, LBA, DMA.
        words[49] = 0x0f00;
        words[50] = 0x4000;
        words[51] = 0x0200;
        words[53] = 0x0007;
        (words[54], words[55], words[56]) = (now, self.heads.into(), self.sectors.into());
        put(&mut words[57..59], reached);
        words[59] = match self.multiple {
            0 => 0,
            count => 0x0100 | u16::from(count),
        };
        put(&mut words[60..62], sectors.min(LBA28));
        self.modes.put(&mut words);
        words[64] = 0x0003;
        words[65..69].fill(120);
        // Versions 4 to 7.
        words[80] = 0x00f0;
        // NOP aside: SMART, power management, write cache, look-ahead, READ and WRITE BUFFER.
        const SETS: u16 = 0x3069;
        words[82] = SETS;
        // FLUSH CACHE and its EXT, 48 bits of an address.
        words[83] = 0x7400;
        // WRITE DMA FUA EXT.
        words[84] = 0x4040;
        let off = [(self.smart, 0), (self.write_cache, 5), (self.look_ahead, 6)];
        words[85] = off
            .iter()
            .filter(|(on, _)| !on)
            .fold(SETS, |sets, (_, bit)| sets & !(1 << bit));
        words[86] = 0x3400;
        words[87] = 0x4040;
        // Device 0 or 1 by its jumper, with the cable of 80 wires.
        words[93] = if self.number == 0 { 0x6001 } else { 0x6100 };
        put(&mut words[100..104], sectors);
        // Trims of one sector of ranges.
        words[105] = 1;
        words[169] = 1;
        words[255] = 0x00a5;
        let sum: u8 = bytes_of(&words)
            .iter()
            .fold(0, |sum: u8, byte| sum.wrapping_add(*byte));
        words[255] |= u16::from(sum.wrapping_neg()) << 8;
        words
    }
}

/// A number in words, the lowest first.
fn put(words: &mut [u16], value: u64) {
    for (place, word) in words.iter_mut().enumerate() {
        *word = (value >> (16 * place)) as u16;
    }
}

/// Attributes that a disk without wear has: number, flags, value and worst, raw value, threshold.
const ATTRIBUTES: [(u8, u16, u8, u64, u8); 4] = [
    (1, 0x000b, 100, 0, 6),  // read error rate
    (5, 0x0033, 100, 0, 36), // reallocated sectors
    (9, 0x0032, 100, 1, 0),  // power-on hours
    (12, 0x0032, 100, 0, 0), // power cycles
];

fn smart_data(autosave: bool) -> Vec<u8> {
    let mut data = vec![0; SECTOR as usize];
    data[0] = 0x01;
    for (place, (number, flags, value, raw, _)) in ATTRIBUTES.into_iter().enumerate() {
        let entry = &mut data[2 + 12 * place..14 + 12 * place];
        entry[0] = number;
        entry[1..3].copy_from_slice(&flags.to_le_bytes());
        (entry[3], entry[4]) = (value, value);
        entry[5..11].copy_from_slice(&raw.to_le_bytes()[..6]);
    }
    data[362] = if autosave { 0x82 } else { 0x02 };
    // Off-line and self-tests can be asked for, attributes are saved.
    data[367] = 0x11;
    data[368] = 0x03;
    data[370] = 0x01;
    (data[372], data[373]) = (2, 54);
    checksum(&mut data);
    data
}

fn smart_thresholds() -> Vec<u8> {
    let mut data = vec![0; SECTOR as usize];
    data[0] = 0x01;
    for (place, (number, _, _, _, threshold)) in ATTRIBUTES.into_iter().enumerate() {
        (data[2 + 12 * place], data[3 + 12 * place]) = (number, threshold);
    }
    checksum(&mut data);
    data
}

/// The last byte makes the sum of all zero.
fn checksum(data: &mut [u8]) {
    let sum = data.iter().fold(0, |sum: u8, byte| sum.wrapping_add(*byte));
    if let Some(last) = data.last_mut() {
        *last = last.wrapping_sub(sum);
    }
}

#[cfg(test)]
mod tests;
