//! A device, and what it can reach.

use std::fmt;

use schemars::JsonSchema;
use serde::Serialize;
use serde::de::DeserializeOwned;
use solderless_memory::Ram;

use crate::pci::PciFunction;
use crate::props::Ranges;
use crate::registers::{Register, Value};
use crate::seen::Question;
use crate::stops::{Place, Stops, Watched};
use crate::{
    BlockFrontend, Cycle, Describe, Engine, EngineInfo, Fitted, Interface, Job, JobId, Medium, On,
    Part, Parts, Persist, Pin, PinLevels, PortId, PropError, RegionId, SlotId, Space, State,
    StateError, Taken, TimerId, Transfer,
};

/// A device type: its properties, what it connects to, and how one is made.
pub trait Model: Device + Describe + Sized + 'static {
    /// The type's name on a board: QEMU's where QEMU has the device.
    const TYPE: &'static str;
    /// Names that the type had before. Boards may still use them, with a warning.
    const OLD_TYPES: &'static [&'static str] = &[];
    /// Names that properties had before, each with that of now.
    const OLD_PROPERTIES: &'static [(&'static str, &'static str)] = &[];
    /// What a guest finds out about a device by more than the reading of its registers.
    const QUESTIONS: &'static [Question] = &[];
    /// One line: what it is and by which datasheet.
    const SUMMARY: &'static str;
    /// The properties a board can set: `#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]`,
    /// each with a doc comment, which becomes its description in schema and documentation.
    type Props: Clone
        + Default
        + DeserializeOwned
        + JsonSchema
        + Ranges
        + Send
        + Serialize
        + Sync
        + 'static;

    /// Regions, ports, pins, slots and parts of a device with these properties.
    ///
    /// # Errors
    /// A value, or a combination of values, that the device cannot have.
    fn interface(props: &Self::Props) -> Result<Interface, PropError>;

    /// Makes the device, not yet reset.
    ///
    /// # Errors
    /// What `interface` cannot know: an image that does not fit, memory that the host refuses.
    fn build(props: Self::Props, wires: Wires<'_>) -> Result<Self, BuildError>;
}

/// A device could not be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BuildError(pub String);

/// What the plan gives a device when it is made.
#[derive(Debug, Clone, Copy)]
pub struct Wires<'a> {
    parts: &'a Parts,
    images: &'a [Option<Vec<u8>>],
}

impl<'a> Wires<'a> {
    /// For the composer: the device's parts, and per slot the image plugged into it.
    pub fn new(parts: &'a Parts, images: &'a [Option<Vec<u8>>]) -> Self {
        Self { parts, images }
    }

    /// Makes a part if the plan has it. There is no other way to make one.
    pub fn fit<T: Part>(&self, make: impl FnOnce() -> T) -> Fitted<T> {
        Fitted(self.parts.has(T::NAME).then(make))
    }

    /// A part that this build has no code for, and the plan does not have.
    ///
    /// # Errors
    /// The plan has it. Its resolver should have refused it.
    pub fn not_built<T: Part>(&self) -> Result<Fitted<T>, BuildError> {
        match self.parts.has(T::NAME) {
            true => Err(BuildError(format!(
                "this program was built without the part {}",
                T::NAME
            ))),
            false => Ok(Fitted(None)),
        }
    }

    /// The image that the user plugged into a slot of kind [`SlotKind::Image`](crate::SlotKind::Image).
    pub fn image(&self, slot: SlotId) -> Option<&'a [u8]> {
        self.images.get(usize::from(slot.0))?.as_deref()
    }

    /// The image that the user plugged into a slot, or nothing, for a memory of `size` bytes.
    ///
    /// # Errors
    /// It is larger than the memory, which `what` names.
    pub fn image_for(&self, slot: SlotId, size: u64, what: &str) -> Result<&'a [u8], BuildError> {
        let image = self.image(slot).unwrap_or_default();
        match image.len() as u64 <= size {
            true => Ok(image),
            false => Err(BuildError(format!(
                "the image has {} bytes, the {what} only {size}",
                image.len()
            ))),
        }
    }
}

/// One access to a register region.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Access {
    /// The region.
    pub region: RegionId,
    /// Bytes from the start of the region; with `size` it lies within it.
    pub offset: u64,
    /// 1, 2, 4 or 8 bytes, at most the region's `max_width`.
    pub size: u8,
}

/// The value of `size` bytes at `offset` within a 32-bit register of value `register`; `offset` counts
/// from any multiple of four.
pub fn lanes(register: u32, offset: u64, size: u8) -> u64 {
    let shifted = u64::from(register) >> ((offset & 3) * 8);
    if size >= 8 {
        shifted
    } else {
        shifted & ((1 << (size * 8)) - 1)
    }
}

/// A 32-bit register after writing `size` bytes of `value` at `offset` within it.
pub fn merge(register: u32, offset: u64, size: u8, value: u64) -> u32 {
    let mask = if size >= 4 {
        u64::from(u32::MAX)
    } else {
        (1 << (size * 8)) - 1
    };
    let shift = (offset & 3) * 8;
    ((u64::from(register) & !(mask << shift)) | ((value & mask) << shift)) as u32
}

/// Nothing answers at an address, or what is there refuses. A bus turns it into what its kind does: a
/// bus error, all ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("nothing answers at the address")]
pub struct BusError;

/// A device of a running machine.
///
/// Values carry byte lanes: the byte at the lowest address is the lowest byte, whatever the CPU's order.
pub trait Device: Persist {
    /// Power-on or reset button: every register to its reset value, every output driven anew, every region
    /// the device places itself put back. Runs once before the machine starts.
    fn reset(&mut self, cx: &mut Cx<'_>);

    /// Reads a register.
    ///
    /// # Errors
    /// [`BusError`] if the device does not answer the access.
    fn read(&mut self, cx: &mut Cx<'_>, at: Access) -> Result<u64, BusError> {
        let _ = (cx, at);
        Err(BusError)
    }

    /// Writes a register.
    ///
    /// # Errors
    /// [`BusError`] if the device does not answer the access.
    fn write(&mut self, cx: &mut Cx<'_>, at: Access, value: u64) -> Result<(), BusError> {
        let _ = (cx, at, value);
        Err(BusError)
    }

    /// For who calls a device: reads a register, or writes a value to it. The answer to a write is 0.
    ///
    /// # Errors
    /// As of [`Device::read`] and [`Device::write`].
    fn access(&mut self, cx: &mut Cx<'_>, at: Access, write: Option<u64>) -> Result<u64, BusError> {
        match write {
            None => self.read(cx, at),
            Some(value) => self.write(cx, at, value).map(|()| 0),
        }
    }

    /// An input changed its level.
    fn line(&mut self, cx: &mut Cx<'_>, pin: Pin, high: bool) {
        let _ = (cx, pin, high);
    }

    /// A timer armed with [`Cx::arm`] is due.
    fn timer(&mut self, cx: &mut Cx<'_>, id: TimerId) {
        let _ = (cx, id);
    }

    /// The memory behind a region of kind [`RegionKind::Memory`](crate::RegionKind::Memory), as it can be
    /// reached now. After a change call [`Cx::memory_changed`].
    fn memory(&self, region: RegionId) -> Option<Backing> {
        let _ = region;
        None
    }

    /// Answers an interrupt acknowledge cycle on its bus with a vector, or `None` if it does not take part.
    fn interrupt_acknowledge(&mut self, cx: &mut Cx<'_>) -> Option<u8> {
        let _ = cx;
        None
    }

    /// Its face on a PCI bus.
    fn pci(&mut self) -> Option<&mut dyn PciFunction> {
        None
    }

    /// Its face on an I²C bus.
    fn i2c(&mut self) -> Option<&mut dyn I2cTarget> {
        None
    }

    /// The device as a keyboard, if it is one or has one plugged in.
    fn keyboard(&mut self) -> Option<&mut dyn Keys> {
        None
    }

    /// Its face towards the character streams in its slots of kind [`SlotKind::Chardev`](crate::SlotKind::Chardev).
    fn chardev(&mut self) -> Option<&mut dyn CharFrontend> {
        None
    }

    /// Its face towards the networks in its slots of kind [`SlotKind::Netdev`](crate::SlotKind::Netdev).
    fn netdev(&mut self) -> Option<&mut dyn NetFrontend> {
        None
    }

    /// The image with which a slot of kind [`SlotKind::Image`](crate::SlotKind::Image) would have filled its memory as it is now,
    /// of a device that tells what becomes of it ([`Cx::store`]).
    fn image(&self, _slot: SlotId) -> Option<Vec<u8>> {
        None
    }

    /// Its face towards the disks in its slots of kind [`SlotKind::Block`](crate::SlotKind::Block).
    fn blockdev(&mut self) -> Option<&mut dyn BlockFrontend> {
        None
    }

    /// Its face on an IDE cable.
    fn ide(&mut self) -> Option<&mut dyn IdeDevice> {
        None
    }

    /// A device on a bus that this one offers has called for it with [`Cx::call_owner`].
    fn attend(&mut self, cx: &mut Cx<'_>, port: PortId) {
        let _ = (cx, port);
    }

    /// What it shows on its screen now, if it has one.
    fn screen(&self) -> Option<Picture> {
        None
    }

    /// Its face as a CPU.
    fn processor(&mut self) -> Option<&mut dyn Processor> {
        None
    }

    /// State was loaded: recompute what derives from it, and place regions again. Lines are restored by
    /// their owner.
    ///
    /// # Errors
    /// The loaded values contradict one another.
    fn restored(&mut self, cx: &mut Cx<'_>) -> Result<(), StateError> {
        let _ = cx;
        Ok(())
    }
}

/// What is on a screen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Picture {
    /// Pixels of a line.
    pub width: u32,
    /// Lines.
    pub height: u32,
    /// Red, green and blue of each pixel, from the top left on.
    pub rgb: Vec<u8>,
}

/// Memory behind a region, and what may be done to it without asking the device.
#[derive(Debug, Clone)]
pub struct Backing {
    /// The block.
    pub ram: Ram,
    /// Where in the block the region starts; a multiple of the page size, so that it can be mapped by page.
    pub offset: u64,
    /// How many bytes of the region, from its start, the block holds now; accesses behind them go to the device.
    pub len: u64,
    /// Reads go straight to the block.
    pub readable: bool,
    /// Writes go straight to the block.
    pub writable: bool,
}

impl Backing {
    /// Whether the block holds all bytes of an access to the region.
    pub fn holds(&self, offset: u64, size: u8) -> bool {
        offset.saturating_add(u64::from(size)) <= self.len
    }
}

/// One event on an I²C bus, sent by the bus's controller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum I2c {
    /// Start or repeated start, with the direction bit.
    Start {
        /// The controller will read.
        read: bool,
    },
    /// A byte from the controller.
    Write(u8),
    /// The controller wants a byte.
    Read,
    /// Stop.
    Stop,
}

/// A device that can be addressed on an I²C bus.
pub trait I2cTarget {
    /// Answers one event: `Some` acknowledges, with the byte read for [`I2c::Read`] and 0 otherwise.
    fn event(&mut self, event: I2c) -> Option<u8>;
}

/// One transfer on an IDE cable, as its host starts it (ATA/ATAPI-6, chapter 6 and 9.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ide {
    /// Reads a register: 0 to 7 of the command block, of which 0 has 16 bits, or 8, the alternate status. Only the device that is
    /// selected answers.
    Read(u8),
    /// Writes one: 8 is the device control register. Both devices see it; the answer is that there is one.
    Write(u8, u16),
    /// Looks at the lines: [`IdeSignals`] as a number.
    Signals,
}

/// The lines that a device drives on an IDE cable.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct IdeSignals {
    /// INTRQ: it interrupts.
    pub intrq: bool,
    /// DMARQ: it is ready for [`IdeDevice::dma`].
    pub dmarq: bool,
}

impl From<IdeSignals> for u64 {
    fn from(signals: IdeSignals) -> Self {
        Self::from(signals.intrq) | Self::from(signals.dmarq) << 1
    }
}

impl From<u64> for IdeSignals {
    fn from(bits: u64) -> Self {
        Self {
            intrq: bits & 1 != 0,
            dmarq: bits & 2 != 0,
        }
    }
}

/// A device on an IDE cable. When its lines change it says so with [`Cx::call_owner`].
pub trait IdeDevice {
    /// Answers a transfer as device 0 or 1, whichever it is on its cable; `None` if it is not the one that answers, or not there.
    fn transfer(&mut self, cx: &mut Cx<'_>, device: u8, transfer: Ide) -> Option<u64>;
    /// Moves data while the host holds DMACK-: at most as much as it asked for. Returns how many bytes it gave or took: none if
    /// it asks for none in this direction.
    fn dma(&mut self, cx: &mut Cx<'_>, bytes: Transfer<'_>) -> usize;
}

/// A device that takes characters from the host.
pub trait CharFrontend {
    /// How many characters the device takes from a slot now. Ask again after it has run: there is no call-back.
    fn can_receive(&self, slot: SlotId) -> usize;
    /// Hands over at most [`CharFrontend::can_receive`] characters.
    fn receive(&mut self, cx: &mut Cx<'_>, slot: SlotId, bytes: &[u8]);
    /// The host asks for a break condition.
    fn receive_break(&mut self, cx: &mut Cx<'_>, slot: SlotId) {
        let _ = (cx, slot);
    }
}

/// A keyboard.
pub trait Keys {
    /// A key is pressed or let go: its scan code of set 1 (0x01 to 0x7f), with 0xe000 added if 0xe0 stands before it. Others do nothing.
    fn key(&mut self, cx: &mut Cx<'_>, code: u16, down: bool);
}

/// A device that takes Ethernet frames from the host.
pub trait NetFrontend {
    /// Whether the device has room for a frame from a slot now. Ask again after it has run: there is no call-back.
    fn can_receive(&self, slot: SlotId) -> bool;
    /// Hands over a frame from its destination address to the end of its data: the host has padded it to at least 60
    /// bytes, and there is no check sequence. A frame longer than the device can take is lost.
    fn receive(&mut self, cx: &mut Cx<'_>, slot: SlotId, frame: &[u8]);
}

/// Why a CPU stopped running.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// [`Cx::now`] has reached [`Cx::deadline`].
    Deadline,
    /// It waits for an interrupt.
    Wait,
    /// It has executed the number of instructions asked for.
    Limit,
    /// The next instruction is at this breakpoint.
    Break(Place),
    /// The next instruction is about to access what is watched.
    Watch(Watched),
}

/// An instruction as text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Disassembled {
    /// As binutils' objdump writes it, with a tab behind the name; what is no instruction is a `.word` or the like.
    pub text: String,
    /// How many bytes it has.
    pub length: u64,
    /// Where it leads, if it says that itself.
    pub target: Option<u64>,
}

/// A CPU.
pub trait Processor {
    /// Runs until the deadline, a wait, or `limit` instructions, advancing guest time with [`Cx::advance`]. A
    /// branch and its delay slot count as two and are not torn apart, so `limit` may be passed by one.
    fn run(&mut self, cx: &mut Cx<'_>, limit: u64) -> Stop;
    /// The CPU rests until it is run the next time: whatever is written to memory meanwhile can end what it has reserved there
    /// by a load-linked. The end of a run does the same.
    fn lend(&mut self, _cx: &mut Cx<'_>) {}
    /// Chooses how instructions are executed from now on; false, with nothing changed, where the engine is not there: not
    /// for this CPU, or not on this host.
    fn set_engine(&mut self, engine: Engine) -> bool {
        engine == Engine::Interp
    }
    /// Has instructions that are for a debugger be calls to the host, by which a program ends the run with a status (MIPS: UHI), or not; false,
    /// with nothing changed, where the CPU has none. What a call may do is no more than [`Cx::request`].
    fn set_semihosting(&mut self, on: bool) -> bool {
        !on
    }
    /// What the engine has done.
    fn engine_info(&self) -> EngineInfo {
        EngineInfo::default()
    }
    /// Has the CPU execute so many instructions in a cycle of its clock from now on, 1 or more, instead of one. It has no other
    /// clock for it: what counts cycles counts as before.
    fn set_pace(&mut self, _per_cycle: f64) {}
    /// Instructions executed since power-on.
    fn instructions(&self) -> u64;
    /// Has the CPU stop where a debugger wants it, from now on. A run that begins where the last one has stopped goes on. False, with
    /// nothing changed, where the CPU cannot. Addresses are as the CPU has them: in [`Stop`] as well.
    fn set_stops(&mut self, stops: &Stops) -> bool {
        stops.is_empty()
    }
    /// The physical address of a virtual one as a debugger sees it: whatever the privilege, and with no effect on the CPU.
    fn look(&self, _va: u64) -> Option<u64> {
        None
    }
    /// What is in a TLB that software fills, entry by entry; `None` of a CPU whose TLB nobody can look into.
    fn tlb(&self) -> Option<Vec<Translation>> {
        None
    }
    /// Keeps what exceptions and interrupts are taken from now on, or keeps them no longer; false, with nothing changed, where it cannot.
    fn trace_exceptions(&mut self, _on: bool) -> bool {
        false
    }
    /// Those that were taken since this was asked last.
    fn exceptions(&mut self) -> Vec<Taken> {
        Vec::new()
    }
    /// What the instruction at a virtual address is, of which these are the first bytes in memory, or more. `None` where they are too
    /// few, or nobody here takes this CPU's instructions apart.
    fn disassemble(&self, _at: u64, _bytes: &[u8]) -> Option<Disassembled> {
        None
    }
    /// Address of the next instruction.
    fn pc(&self) -> u64;
    /// Goes on at another address.
    fn set_pc(&mut self, pc: u64);
    /// What gdb calls the architecture (`set architecture`), for its description of the CPU.
    fn architecture(&self) -> &'static str;
    /// The table of its registers, in the order in which they are shown. It never changes.
    fn registers(&self) -> Vec<Register>;
    /// What is in the register at a place in the table, or `None` if that is behind its end. Nothing happens to the CPU.
    fn register(&self, place: usize) -> Option<Value>;
    /// Sets the register at a place in the table; false if there is none or it cannot be set. What cannot be written of it
    /// stays.
    fn set_register(&mut self, place: usize, value: Value) -> bool;
    /// The place of the register with this name.
    fn named(&self, name: &str) -> Option<usize> {
        self.registers().iter().position(|r| r.name == name)
    }
}

/// A page as an entry of a TLB has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Translation {
    /// The number of the entry, which can have several pages.
    pub entry: usize,
    /// Its first virtual address.
    pub va: u64,
    /// Its first physical address.
    pub pa: u64,
    /// Bytes.
    pub size: u64,
    /// The address space that it is for; `None` for all.
    pub asid: Option<u16>,
    /// What is allowed there and how it is cached, as the architecture's registers have it: `v`, `d`, `c3`.
    pub attributes: String,
}

/// What answers at a page of physical memory, for a CPU's fast path.
#[derive(Debug, Clone)]
pub enum Page {
    /// Memory: the block, the offset of the page in it, and whether writes may go straight to it.
    Memory {
        /// The block.
        ram: Ram,
        /// Offset of the page's first byte in the block.
        offset: u64,
        /// Writes go straight to the block.
        writable: bool,
    },
    /// Something that must be asked for every access.
    Registers,
}

/// Guest time, in nanoseconds, at which a machine ends: 292 years after power-on. Times that a device works out from
/// [`Cx::now`] are far from the end of their type.
pub const END_OF_TIME: u64 = 1 << 63;

/// What a device can ask of the machine as a whole.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, State)]
pub enum Request {
    /// Reset the board.
    #[default]
    Reset,
    /// Cut the power.
    PowerOff,
    /// End the run, with this status of the program.
    #[state(since = 3)]
    Exit(u8),
}

/// The number of a device within its domain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DevId(pub u32);

/// What a machine does for its devices. Implemented by the composer and by [`testing`](crate::testing);
/// devices use [`Cx`], where every operation is described.
#[allow(
    missing_docs,
    reason = "each is described at the method of Cx that calls it"
)]
pub trait Fabric {
    fn now(&self) -> u64;
    fn epoch(&self) -> i64;
    fn arm(&mut self, dev: DevId, id: TimerId, at: Option<u64>);
    fn set(&mut self, dev: DevId, pin: Pin, high: bool);
    fn levels(&self, dev: DevId) -> &PinLevels;
    fn map(&mut self, dev: DevId, region: RegionId, at: u64, size: u64, target: u64);
    fn unmap(&mut self, dev: DevId, region: RegionId);
    fn memory_changed(&mut self, dev: DevId, region: RegionId);
    fn cycle(&mut self, dev: DevId, on: On, cycle: Cycle) -> Result<u64, BusError>;
    fn dma(&mut self, dev: DevId, at: u64, bytes: Transfer<'_>) -> Result<(), BusError>;
    fn burst(&mut self, dev: DevId, port: PortId, device: u8, bytes: Transfer<'_>) -> usize;
    fn call_owner(&mut self, dev: DevId);
    fn page(&self, dev: DevId, at: u64) -> Page;
    fn map_generation(&self) -> u64;
    fn occupied_slots(&mut self, dev: DevId) -> u32;
    fn send(&mut self, dev: DevId, slot: SlotId, bytes: &[u8]);
    fn store(&mut self, dev: DevId, slot: SlotId, offset: u64, bytes: &[u8]);
    fn give_back(&mut self, dev: DevId, slot: SlotId, characters: &[u8]);
    fn medium(&self, dev: DevId, slot: SlotId) -> Option<Medium>;
    fn submit(&mut self, dev: DevId, slot: SlotId, job: Job) -> JobId;
    fn jobs(&self, dev: DevId, slot: SlotId) -> usize;
    fn request(&mut self, request: Request);
    fn advance(&mut self, ns: u64, pc: u64);
    fn deadline(&self) -> u64;
    fn guest_error(&mut self, dev: DevId, what: fmt::Arguments<'_>);
    fn warn(&mut self, dev: DevId, what: fmt::Arguments<'_>);
}

/// A device's view of the machine while one of its methods runs.
pub struct Cx<'a> {
    fabric: &'a mut dyn Fabric,
    dev: DevId,
}

impl fmt::Debug for Cx<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Cx({:?})", self.dev)
    }
}

impl<'a> Cx<'a> {
    /// For the composer: the view of one device.
    pub fn new(fabric: &'a mut dyn Fabric, dev: DevId) -> Self {
        Self { fabric, dev }
    }

    /// Guest time in nanoseconds since power-on, below [`END_OF_TIME`] but for the length of an instruction. It never goes
    /// back, not even at a reset.
    pub fn now(&self) -> u64 {
        self.fabric.now()
    }

    /// Calendar time at power-on: seconds since 1970-01-01 UTC. Calendar time now is this plus [`Cx::now`].
    pub fn epoch(&self) -> i64 {
        self.fabric.epoch()
    }

    /// Arms one of the device's timers for a point of guest time in nanoseconds, replacing an earlier one. A
    /// point that has passed is due at once. [`Device::timer`] is called; the timer is then no longer armed.
    /// Timers are not state: `restored` arms them again. A reset disarms them all before `reset` is called.
    pub fn arm(&mut self, id: TimerId, at: u64) {
        self.fabric.arm(self.dev, id, Some(at));
    }

    /// Disarms a timer; nothing happens if it was not armed.
    pub fn disarm(&mut self, id: TimerId) {
        self.fabric.arm(self.dev, id, None);
    }

    /// Drives an output. Changes settle, in order, before the CPU goes on.
    pub fn set(&mut self, pin: Pin, high: bool) {
        self.fabric.set(self.dev, pin, high);
    }

    /// The level of an input.
    pub fn level(&self, pin: Pin) -> bool {
        self.fabric.levels(self.dev).get(pin)
    }

    /// The levels of `count` inputs from one on, one bit each; 64 at most.
    pub fn levels(&self, from: Pin, count: u16) -> u64 {
        self.fabric.levels(self.dev).run(from, count)
    }

    /// Puts a region that the device places itself at an address of its bus, replacing its earlier place. A
    /// bridge maps `size` bytes and shows the child bus from address `target` on; others ignore `target`, and
    /// `size` is cut to the region's.
    pub fn map(&mut self, region: RegionId, at: u64, size: u64, target: u64) {
        self.fabric.map(self.dev, region, at, size, target);
    }

    /// Takes away a region that the device places itself.
    pub fn unmap(&mut self, region: RegionId) {
        self.fabric.unmap(self.dev, region);
    }

    /// What [`Device::memory`] says of a region has changed.
    pub fn memory_changed(&mut self, region: RegionId) {
        self.fabric.memory_changed(self.dev, region);
    }

    /// Runs a cycle on a bus, as its master: a CPU's load or store, a host bridge's configuration cycle. The answer is what
    /// was read, of a write 0.
    ///
    /// # Errors
    /// [`BusError`] if nothing answers.
    pub fn cycle(&mut self, on: On, cycle: Cycle) -> Result<u64, BusError> {
        self.fabric.cycle(self.dev, on, cycle)
    }

    /// Reads from the memory of the bus the device sits on: [`Cx::cycle`] for a CPU's load.
    ///
    /// # Errors
    /// [`BusError`] if nothing answers.
    pub fn bus_read(&mut self, at: u64, size: u8) -> Result<u64, BusError> {
        self.cycle(On::Own, Cycle::read(Space::Memory, at, size))
    }

    /// Writes to the memory of the bus the device sits on: [`Cx::cycle`] for a CPU's store.
    ///
    /// # Errors
    /// [`BusError`] if nothing answers.
    pub fn bus_write(&mut self, at: u64, size: u8, value: u64) -> Result<(), BusError> {
        self.cycle(On::Own, Cycle::write(Space::Memory, at, size, value))
            .map(|_| ())
    }

    /// Reads guest memory as a bus master: for a PCI function, the system's memory behind the host bridge.
    ///
    /// # Errors
    /// [`BusError`] if not all of it is memory.
    pub fn dma_read(&mut self, at: u64, out: &mut [u8]) -> Result<(), BusError> {
        self.fabric.dma(self.dev, at, Transfer::Read(out))
    }

    /// Writes guest memory as a bus master.
    ///
    /// # Errors
    /// [`BusError`] if not all of it is memory.
    pub fn dma_write(&mut self, at: u64, data: &[u8]) -> Result<(), BusError> {
        self.fabric.dma(self.dev, at, Transfer::Write(data))
    }

    /// Moves data between this device and one on an IDE cable that it offers: [`IdeDevice::dma`]. Returns how many bytes were
    /// moved, none if nobody is there.
    pub fn burst(&mut self, port: PortId, device: u8, bytes: Transfer<'_>) -> usize {
        self.fabric.burst(self.dev, port, device, bytes)
    }

    /// Calls for the device that offers the bus that this one sits on, because a line of that bus has changed:
    /// [`Device::attend`], once whoever is being called now is done and before the CPU goes on.
    pub fn call_owner(&mut self) {
        self.fabric.call_owner(self.dev);
    }

    /// For a CPU: what answers at the page of its bus that holds this address.
    pub fn page(&self, at: u64) -> Page {
        self.fabric.page(self.dev, at)
    }

    /// For a CPU: changes whenever an answer of [`Cx::page`] may have changed.
    pub fn map_generation(&self) -> u64 {
        self.fabric.map_generation()
    }

    /// For a PCI function: which slots of its bus hold a function, its own among them, one bit each.
    pub fn occupied_slots(&mut self) -> u32 {
        self.fabric.occupied_slots(self.dev)
    }

    /// Sends to the host what is meant for a slot: characters, or one whole frame for a network. It is dropped if
    /// nothing is plugged in.
    pub fn send(&mut self, slot: SlotId, bytes: &[u8]) {
        self.fabric.send(self.dev, slot, bytes);
    }

    /// Says what has become of a part of the memory that the image in a slot of kind [`SlotKind::Image`](crate::SlotKind::Image)
    /// filled. It is kept where the user has asked for that.
    pub fn store(&mut self, slot: SlotId, offset: u64, bytes: &[u8]) {
        self.fabric.store(self.dev, slot, offset, bytes);
    }

    /// Gives back characters from a slot that the device took and the guest has not seen: they come again, before what
    /// has not come yet.
    pub fn give_back(&mut self, slot: SlotId, characters: &[u8]) {
        self.fabric.give_back(self.dev, slot, characters);
    }

    /// What is in a slot of kind [`SlotKind::Block`](crate::SlotKind::Block) now; `None` if nothing is.
    pub fn medium(&self, slot: SlotId) -> Option<Medium> {
        self.fabric.medium(self.dev, slot)
    }

    /// Has the disk in a slot do something. It goes on meanwhile; [`BlockFrontend::done`] is called once it is done, never from
    /// within this call, and also in a machine that was saved before and restored. Jobs of a slot are done one after the other.
    /// A job of a slot with nothing in it, or outside of the medium, fails.
    pub fn submit(&mut self, slot: SlotId, job: Job) -> JobId {
        self.fabric.submit(self.dev, slot, job)
    }

    /// How many jobs of a slot the device has not heard of. One that a guest can have make many leaves it at [`MOST_JOBS`](crate::MOST_JOBS).
    pub fn jobs(&self, slot: SlotId) -> usize {
        self.fabric.jobs(self.dev, slot)
    }

    /// Asks for a reset or power-off of the machine, which happens once the CPU's instruction is done.
    pub fn request(&mut self, request: Request) {
        self.fabric.request(request);
    }

    /// For a CPU: lets guest time pass, up to the instruction at this address.
    pub fn advance(&mut self, ns: u64, pc: u64) {
        self.fabric.advance(ns, pc);
    }

    /// For a CPU: the guest time at which it must return. It may change with every call through this context
    /// other than [`Cx::advance`], and is in the past once a request is pending.
    pub fn deadline(&self) -> u64 {
        self.fabric.deadline()
    }

    /// Logs that the guest did something the device has no sensible answer to, under the device's name, with the access that
    /// it was, and rate-limited. A read or write that nothing answers is logged by the machine.
    pub fn guest_error(&mut self, what: fmt::Arguments<'_>) {
        self.fabric.guest_error(self.dev, what);
    }

    /// Tells the user, whatever is logged, that the guest cannot go on, or not as it was meant. It is for the device to say
    /// it once.
    pub fn warn(&mut self, what: fmt::Arguments<'_>) {
        self.fabric.warn(self.dev, what);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lanes_and_merge_agree() {
        assert_eq!(lanes(0x4433_2211, 0, 4), 0x4433_2211);
        assert_eq!(lanes(0x4433_2211, 6, 2), 0x4433);
        assert_eq!(lanes(0x4433_2211, 3, 1), 0x44);
        assert_eq!(merge(0x4433_2211, 1, 1, 0xffaa), 0x4433_aa11);
        assert_eq!(merge(0x4433_2211, 2, 2, 0xbbaa), 0xbbaa_2211);
        assert_eq!(merge(0, 0, 4, 0x1_2345_6789), 0x2345_6789);
    }
}
