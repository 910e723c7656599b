//! Block device (Virtio 1.2, section 5.2): a disk. Each request is done by as many jobs as it takes, one after the other, and requests
//! beside one another. Left out: lifetimes, secure erase and zones.

use std::collections::VecDeque;

use solderless_model::{
    Cx, Failure, Job, JobId, LONGEST_JOB, MOST_JOBS, Outcome, PropError, SECTOR, Slot, SlotId,
    SlotKind, State, StateError,
};

use crate::device::{Function, Io, Names, properties};
use crate::queue::{Chain, LARGEST, length};

properties! {
    /// Properties of `virtio-blk-device` and `virtio-blk-pci`.
    BlkProps;
    /// The serial number, at most 20 characters.
    serial: String = String::new(),
    /// How many virtqueues requests come by.
    #[schemars(range(min = 1, max = 8))]
    num_queues: u16 = 1,
    /// The most places of a virtqueue, a power of two.
    #[schemars(range(min = 4, max = 1024))]
    queue_size: u16 = 256,
    /// Bytes of a logical block, a power of two of 512 or more.
    #[serde(rename = "logical_block_size")]
    #[schemars(range(min = 512, max = 4096))]
    logical_block_size: u16 = 512,
    /// Bytes of a physical block, a power of two.
    #[serde(rename = "physical_block_size")]
    #[schemars(range(min = 512, max = 32768))]
    physical_block_size: u16 = 512,
    /// Starts with a write cache, which the driver flushes.
    write_cache: bool = true,
    /// Offers to switch the write cache.
    config_wce: bool = true,
    /// Offers to discard what nobody needs any more.
    discard: bool = true,
    /// Offers to write zeroes.
    write_zeroes: bool = true,
}

// Feature bits (5.2.3).
const SEG_MAX: u64 = 1 << 2;
const GEOMETRY: u64 = 1 << 4;
const RO: u64 = 1 << 5;
const BLK_SIZE: u64 = 1 << 6;
const FLUSH: u64 = 1 << 9;
const TOPOLOGY: u64 = 1 << 10;
const CONFIG_WCE: u64 = 1 << 11;
const MQ: u64 = 1 << 12;
const DISCARD: u64 = 1 << 13;
const WRITE_ZEROES: u64 = 1 << 14;

// Request types (5.2.6).
const T_IN: u32 = 0;
const T_OUT: u32 = 1;
const T_FLUSH: u32 = 4;
const T_GET_ID: u32 = 8;
const T_DISCARD: u32 = 11;
const T_WRITE_ZEROES: u32 = 13;
/// A range is not needed any more, and may hold anything.
const FLAG_UNMAP: u32 = 1;

// Status.
const S_OK: u8 = 0;
const S_IOERR: u8 = 1;
const S_UNSUPP: u8 = 2;

/// Bytes of a request's header, of a range, and of the answer to GET_ID.
const HEADER: u64 = 16;
const ID_BYTES: usize = 20;
/// Offset of `writeback` in the configuration.
const WRITEBACK: usize = 32;
/// Sectors that one request discards, or fills with zeroes, at most.
const MOST_DISCARDED: u32 = 0x3f_ffff;
const MOST_ZEROED: u32 = 1 << 16;

const DRIVE: SlotId = SlotId(0);

/// What is done for a request.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, State)]
enum Task {
    #[default]
    Read,
    Write,
    Zero,
    Discard,
    Flush,
}

/// A request under way.
#[derive(Debug, Clone, Default, State)]
struct Request {
    queue: u16,
    chain: Chain,
    task: Task,
    /// Where on the disk the job works that is under way, and how many bytes are left from there on.
    offset: u64,
    left: u64,
    /// How many bytes of data have been moved.
    moved: u32,
    job: JobId,
}

/// The disk.
#[derive(Debug, State)]
pub struct Blk {
    #[state(skip = "properties")]
    props: BlkProps,
    /// The write cache is on, as far as the driver says.
    writeback: bool,
    /// Writes last before they are done.
    through: bool,
    requests: VecDeque<Request>,
}

impl Function for Blk {
    type Props = BlkProps;
    const NAMES: Names = Names {
        mmio: "virtio-blk-device",
        mmio_summary: "Virtio block device behind an MMIO transport (Virtio 1.2)",
        pci: "virtio-blk-pci",
        pci_summary: "Virtio block device on PCI (Virtio 1.2)",
    };
    const ID: u16 = 2;
    const PCI_CLASS: u32 = 0x01_0000;
    const CONFIG_LEN: u32 = 60;
    const SLOTS: &'static [Slot] = &[Slot::new("drive", SlotKind::Block)];

    fn check(props: &BlkProps) -> Result<(), PropError> {
        let serial = &props.serial;
        if serial.len() > ID_BYTES || !serial.bytes().all(|b| matches!(b, b' '..=b'~')) {
            let why = format!("at most {ID_BYTES} ASCII characters can be shown");
            return Err(PropError::new("serial", why));
        }
        for (property, value) in [
            ("queue-size", props.queue_size),
            ("logical_block_size", props.logical_block_size),
            ("physical_block_size", props.physical_block_size),
        ] {
            if !value.is_power_of_two() {
                return Err(PropError::new(
                    property,
                    format!("{value} is no power of two"),
                ));
            }
        }
        if props.physical_block_size < props.logical_block_size {
            let why = "a physical block is no shorter than a logical one";
            return Err(PropError::new("physical_block_size", why));
        }
        Ok(())
    }

    fn queues(props: &BlkProps) -> Vec<u16> {
        vec![props.queue_size; props.num_queues.into()]
    }

    fn new(props: &BlkProps) -> Self {
        Self {
            props: props.clone(),
            writeback: props.write_cache,
            through: false,
            requests: VecDeque::new(),
        }
    }

    /// A transport whose slot is empty has nothing behind it.
    fn is_there(&self, cx: &Cx<'_>) -> bool {
        cx.medium(DRIVE).is_some()
    }

    fn features(&self, cx: &Cx<'_>) -> u64 {
        let props = &self.props;
        let read_only = cx.medium(DRIVE).is_some_and(|medium| !medium.writable);
        [
            (SEG_MAX | GEOMETRY | BLK_SIZE | FLUSH | TOPOLOGY, true),
            (RO, read_only),
            (CONFIG_WCE, props.config_wce),
            (MQ, props.num_queues > 1),
            (DISCARD, props.discard && !read_only),
            (WRITE_ZEROES, props.write_zeroes && !read_only),
        ]
        .into_iter()
        .fold(
            0,
            |all, (bits, offered)| if offered { all | bits } else { all },
        )
    }

    fn config(&self, cx: &Cx<'_>, features: u64) -> Vec<u8> {
        let props = &self.props;
        let sectors = cx.medium(DRIVE).map_or(0, |medium| medium.sectors());
        let (heads, track) = (16, 63);
        let cylinders = (sectors / (heads * track)).clamp(2, 16383) as u16;
        let block = u32::from(props.logical_block_size);
        let exponent = (props.physical_block_size / props.logical_block_size).ilog2() as u8;
        let alignment = block / SECTOR as u32;
        let mut config = Vec::with_capacity(60);
        config.extend(sectors.to_le_bytes());
        config.extend(0u32.to_le_bytes()); // size_max
        config.extend((u32::from(props.queue_size) - 2).to_le_bytes());
        config.extend(cylinders.to_le_bytes());
        config.extend([heads as u8, track as u8]);
        config.extend(block.to_le_bytes());
        config.extend([exponent, 0]); // alignment_offset
        config.extend(1u16.to_le_bytes()); // min_io_size
        config.extend(0u32.to_le_bytes()); // opt_io_size
        config.extend([self.writeback.into(), 0]);
        config.extend(props.num_queues.to_le_bytes());
        let most = |bit, most: u32| {
            if features & bit != 0 || features == 0 {
                most
            } else {
                0
            }
        };
        config.extend(most(DISCARD, MOST_DISCARDED / alignment * alignment).to_le_bytes());
        config.extend(most(DISCARD, 1).to_le_bytes());
        config.extend(alignment.to_le_bytes());
        config.extend(most(WRITE_ZEROES, MOST_ZEROED).to_le_bytes());
        config.extend(most(WRITE_ZEROES, 1).to_le_bytes());
        config.extend([1, 0, 0, 0]); // write_zeroes_may_unmap
        config
    }

    fn config_written(&mut self, io: &mut Io<'_, '_>, offset: usize, value: u8) {
        if offset == WRITEBACK && io.features() & CONFIG_WCE != 0 {
            self.writeback = value & 1 != 0;
            self.through = !self.writeback;
        }
    }

    fn reset(&mut self, _: &mut Cx<'_>) {
        self.writeback = self.props.write_cache;
        self.through = false;
        // What the disk still does for them is done; nobody hears of it.
        self.requests.clear();
    }

    /// A driver that knows no flush takes it that what is written lasts (5.2.5.2).
    fn negotiated(&mut self, features: u64) {
        self.through = match features & CONFIG_WCE != 0 {
            true => !self.writeback,
            false => features & FLUSH == 0,
        };
    }

    /// A driver that resets the device and asks again has more done at once than its queues have places: it waits.
    fn notified(&mut self, io: &mut Io<'_, '_>, queue: usize) {
        while io.cx.jobs(DRIVE) < MOST_JOBS
            && let Some(chain) = io.take(queue)
        {
            self.begin(io, queue, chain);
        }
    }

    fn queue_reset(&mut self, queue: usize) {
        self.requests
            .retain(|request| usize::from(request.queue) != queue);
    }

    fn restored(&mut self, _: &mut Cx<'_>, queues: usize) -> Result<(), StateError> {
        let most = queues * usize::from(LARGEST);
        let sane = |request: &Request| {
            usize::from(request.queue) < queues
                && request.chain.is_sane()
                && length(&request.chain.writable) > 0
                && request.offset.checked_add(request.left).is_some()
        };
        match self.requests.len() <= most && self.requests.iter().all(sane) {
            true => Ok(()),
            false => Err(StateError::new("a request that nobody can have made")),
        }
    }

    fn done(&mut self, io: &mut Io<'_, '_>, id: JobId, outcome: Outcome) {
        let waited = io.cx.jobs(DRIVE) + 1 >= MOST_JOBS;
        self.job_done(io, id, outcome);
        for queue in (0..usize::from(self.props.num_queues)).filter(|_| waited) {
            self.notified(io, queue);
        }
    }

    fn medium_changed(&mut self, io: &mut Io<'_, '_>) {
        io.config_changed();
    }
}

impl Request {
    /// How much the job under way does.
    fn piece(&self) -> u64 {
        match self.task {
            Task::Flush => 0,
            Task::Discard => self.left,
            Task::Read | Task::Write | Task::Zero => self.left.min(LONGEST_JOB as u64),
        }
    }
}

impl Blk {
    /// Goes on with the request whose job is done.
    fn job_done(&mut self, io: &mut Io<'_, '_>, id: JobId, outcome: Outcome) {
        let place = self.requests.iter().position(|request| request.job == id);
        let Some(mut request) = place.and_then(|place| self.requests.remove(place)) else {
            return;
        };
        let data = match outcome {
            Ok(data) => data,
            // What cannot be forgotten stays; nobody needs it.
            Err(_) if request.task == Task::Discard => Vec::new(),
            Err(Failure::Io | Failure::NoSpace) => return Self::end(io, &request, S_IOERR),
        };
        if request.task == Task::Read {
            if !io.write(&request.chain, request.moved.into(), &data) {
                return;
            }
            request.moved = request.moved.saturating_add(data.len() as u32);
        }
        let done = request.piece();
        request.offset += done;
        request.left -= done;
        self.go_on(io, request);
    }

    /// Takes up a request.
    fn begin(&mut self, io: &mut Io<'_, '_>, queue: usize, chain: Chain) {
        let mut header = [0; HEADER as usize];
        if length(&chain.writable) == 0 {
            return io.refuse("a request has no room for its status");
        }
        if !io.read(&chain, 0, &mut header) {
            return;
        }
        let [kind, _, low, high] = words(header);
        let sector = u64::from(low) | u64::from(high) << 32;
        let mut request = Request {
            queue: queue as u16,
            chain,
            ..Request::default()
        };
        let (sent, room) = (
            length(&request.chain.readable) - HEADER,
            length(&request.chain.writable) - 1,
        );
        let status = match kind {
            T_IN => self.place(io, &mut request, Task::Read, sector, room),
            T_OUT => self.place(io, &mut request, Task::Write, sector, sent),
            T_FLUSH => {
                request.task = Task::Flush;
                None
            }
            T_GET_ID => {
                let mut text = [0; ID_BYTES];
                let serial = self.props.serial.as_bytes();
                text[..serial.len()].copy_from_slice(serial);
                let text = &text[..ID_BYTES.min(room as usize)];
                if !io.write(&request.chain, 0, text) {
                    return;
                }
                request.moved = text.len() as u32;
                Some(S_OK)
            }
            T_DISCARD => self.range(io, &mut request, Task::Discard, sent),
            T_WRITE_ZEROES => self.range(io, &mut request, Task::Zero, sent),
            _ => Some(S_UNSUPP),
        };
        match status {
            Some(status) => Self::end(io, &request, status),
            None => self.submit(io, request),
        }
    }

    /// Says where on the disk a request works; if it cannot, what becomes of it.
    fn place(
        &self,
        io: &Io<'_, '_>,
        request: &mut Request,
        task: Task,
        sector: u64,
        bytes: u64,
    ) -> Option<u8> {
        let Some(medium) = io.cx.medium(DRIVE) else {
            return Some(S_IOERR);
        };
        let block = u64::from(self.props.logical_block_size);
        let end = sector.checked_add(bytes / SECTOR);
        let fits = end.is_some_and(|end| end <= medium.sectors());
        let at = sector.checked_mul(SECTOR);
        let whole = bytes.is_multiple_of(block) && at.is_some_and(|at| at.is_multiple_of(block));
        if !fits || !whole || task != Task::Read && !medium.writable {
            return Some(S_IOERR);
        }
        request.task = task;
        (request.offset, request.left) = (sector * SECTOR, bytes);
        (bytes == 0).then_some(S_OK)
    }

    /// The same for a request whose data says where.
    fn range(
        &self,
        io: &mut Io<'_, '_>,
        request: &mut Request,
        task: Task,
        sent: u64,
    ) -> Option<u8> {
        let (bit, most, flags_known) = match task {
            Task::Discard => (DISCARD, MOST_DISCARDED, 0),
            _ => (WRITE_ZEROES, MOST_ZEROED, FLAG_UNMAP),
        };
        // One range at a time is what the configuration says.
        if io.features() & bit == 0 || sent != HEADER {
            return Some(S_UNSUPP);
        }
        let mut range = [0; HEADER as usize];
        if !io.read(&request.chain, HEADER, &mut range) {
            return Some(S_IOERR);
        }
        let [low, high, sectors, flags] = words(range);
        if flags & !flags_known != 0 {
            return Some(S_UNSUPP);
        }
        if sectors > most {
            return Some(S_IOERR);
        }
        let sector = u64::from(low) | u64::from(high) << 32;
        self.place(io, request, task, sector, u64::from(sectors) * SECTOR)
    }

    /// Makes the next job of a request.
    fn submit(&mut self, io: &mut Io<'_, '_>, mut request: Request) {
        let (offset, len) = (request.offset, request.piece());
        let job = match request.task {
            Task::Read => Job::Read {
                offset,
                len: len as u32,
            },
            Task::Write => {
                let mut data = vec![0; len as usize];
                if !io.read(&request.chain, HEADER + u64::from(request.moved), &mut data) {
                    return;
                }
                request.moved = request.moved.saturating_add(len as u32);
                Job::Write { offset, data }
            }
            Task::Zero => Job::Write {
                offset,
                data: vec![0; len as usize],
            },
            Task::Discard => Job::Discard { offset, len },
            Task::Flush => Job::Flush,
        };
        request.job = io.cx.submit(DRIVE, job);
        self.requests.push_back(request);
    }

    /// A job of a request is done.
    fn go_on(&mut self, io: &mut Io<'_, '_>, mut request: Request) {
        if request.left > 0 {
            return self.submit(io, request);
        }
        if self.through && matches!(request.task, Task::Write | Task::Zero) {
            request.task = Task::Flush;
            return self.submit(io, request);
        }
        Self::end(io, &request, S_OK);
    }

    /// Gives a request back.
    fn end(io: &mut Io<'_, '_>, request: &Request, status: u8) {
        let last = length(&request.chain.writable) - 1;
        let read = if request.task == Task::Read {
            request.moved
        } else {
            0
        };
        if io.write(&request.chain, last, &[status]) {
            io.give(request.queue.into(), &request.chain, read + 1);
        }
    }
}

/// The words of a header.
fn words(bytes: [u8; 16]) -> [u32; 4] {
    let (words, _) = bytes.as_chunks::<4>();
    [0, 1, 2, 3].map(|n| u32::from_le_bytes(words[n]))
}

#[cfg(test)]
mod tests;
