//! What all virtio devices have in common (Virtio 1.2, chapter 2): status, features, queues and notifications. A device is a
//! [`Function`], which knows what it is for, behind a [`Transport`], which knows how a driver reaches it.

use std::fmt::Debug;

use schemars::JsonSchema;
use serde::Serialize;
use serde::de::DeserializeOwned;
use solderless_model::pci::PciFunction;
use solderless_model::{
    Access, BlockFrontend, BuildError, BusError, CharFrontend, Cx, Device, JobId, NetFrontend,
    Outcome, PropError, Ranges, Slot, SlotId, SlotKind, State, StateError, TimerId,
};

use crate::queue::{
    Chain, Lie, Queue, RING_EVENT_IDX, RING_INDIRECT_DESC, RING_PACKED, gather, scatter,
};

// Status (2.1).
pub const DRIVER_OK: u8 = 1 << 2;
pub const FEATURES_OK: u8 = 1 << 3;
pub const NEEDS_RESET: u8 = 1 << 6;

/// The driver knows more than the legacy interface (6, feature bit 32).
pub const VERSION_1: u64 = 1 << 32;
/// A queue can be reset by itself (bit 40).
pub const RING_RESET: u64 = 1 << 40;

// Interrupts: something was given back, and the configuration has changed.
pub const ISR_QUEUE: u8 = 1 << 0;
pub const ISR_CONFIG: u8 = 1 << 1;

/// The number of a queue that there is not.
const NO_QUEUE: usize = usize::MAX;

/// What the properties of every device say of its queues.
#[derive(Debug, Clone, Copy)]
pub struct Ring {
    /// Offers the packed format.
    pub packed: bool,
    /// Offers to say from where on to notify.
    pub event_idx: bool,
    /// Takes tables of descriptors.
    pub indirect_desc: bool,
}

impl Ring {
    fn features(self) -> u64 {
        let bit = |offered, bit| if offered { bit } else { 0 };
        bit(self.packed, RING_PACKED)
            | bit(self.event_idx, RING_EVENT_IDX)
            | bit(self.indirect_desc, RING_INDIRECT_DESC)
    }
}

/// Properties of a device.
pub trait Properties:
    Clone + Default + DeserializeOwned + JsonSchema + Ranges + Send + Serialize + Sync + 'static
{
    /// What they say of its queues.
    fn ring(&self) -> Ring;
}

/// Declares a device's properties: its own, each with its default, and those that all virtio devices have.
macro_rules! properties {
    (
        $(#[$doc:meta])* $name:ident;
        $($(#[$meta:meta])* $field:ident: $ty:ty = $default:expr,)*
    ) => {
        $(#[$doc])*
        #[derive(
            Debug, Clone, serde::Serialize, serde::Deserialize, schemars::JsonSchema,
            solderless_model::Ranges,
        )]
        #[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
        pub struct $name {
            $($(#[$meta])* pub $field: $ty,)*
            /// Offers virtqueues in the packed format.
            pub packed: bool,
            /// Offers that driver and device say from where on in a virtqueue they want to be notified.
            #[serde(rename = "event_idx")]
            pub event_idx: bool,
            /// Takes descriptors in tables of their own.
            #[serde(rename = "indirect_desc")]
            pub indirect_desc: bool,
        }

        impl Default for $name {
            fn default() -> Self {
                Self {
                    $($field: $default,)*
                    packed: false,
                    event_idx: true,
                    indirect_desc: true,
                }
            }
        }

        impl $crate::device::Properties for $name {
            fn ring(&self) -> $crate::device::Ring {
                $crate::device::Ring {
                    packed: self.packed,
                    event_idx: self.event_idx,
                    indirect_desc: self.indirect_desc,
                }
            }
        }
    };
}
pub(crate) use properties;

/// What a device type is called.
#[derive(Debug, Clone, Copy)]
pub struct Names {
    /// Behind the MMIO transport.
    pub mmio: &'static str,
    /// The same in a sentence.
    pub mmio_summary: &'static str,
    /// On a PCI bus.
    pub pci: &'static str,
    /// The same in a sentence.
    pub pci_summary: &'static str,
}

/// What a virtio device is for (chapter 5).
pub trait Function: Debug + State + Sized + 'static {
    /// What a board can set.
    type Props: Properties;
    /// Its types.
    const NAMES: Names;
    /// The device ID.
    const ID: u16;
    /// The class code of its PCI function, as QEMU has it.
    const PCI_CLASS: u32;
    /// Bytes of its configuration.
    const CONFIG_LEN: u32;

    /// Where what it works with on the host plugs in.
    const SLOTS: &'static [Slot];

    /// Refuses properties that it cannot have.
    ///
    /// # Errors
    /// One of them.
    fn check(props: &Self::Props) -> Result<(), PropError> {
        let _ = props;
        Ok(())
    }

    /// The most places of each of its queues.
    fn queues(props: &Self::Props) -> Vec<u16>;

    /// Makes one.
    fn new(props: &Self::Props) -> Self;

    /// Whether there is one for a driver to find.
    fn is_there(&self, cx: &Cx<'_>) -> bool {
        let _ = cx;
        true
    }

    /// What it offers (device-specific feature bits).
    fn features(&self, cx: &Cx<'_>) -> u64;

    /// Its configuration (`features` are those that the driver took).
    fn config(&self, cx: &Cx<'_>, features: u64) -> Vec<u8>;

    /// The driver has written a byte of it.
    fn config_written(&mut self, io: &mut Io<'_, '_>, offset: usize, value: u8) {
        let _ = (io, offset, value);
    }

    /// Back to where it was.
    fn reset(&mut self, cx: &mut Cx<'_>);

    /// The driver has taken features, for good.
    fn negotiated(&mut self, features: u64) {
        let _ = features;
    }

    /// The driver has set up its side.
    fn started(&mut self, io: &mut Io<'_, '_>) {
        let _ = io;
    }

    /// The driver has put something into a queue.
    fn notified(&mut self, io: &mut Io<'_, '_>, queue: usize);

    /// A queue is reset: what was taken from it is no more.
    fn queue_reset(&mut self, queue: usize);

    /// State was loaded.
    ///
    /// # Errors
    /// It cannot be.
    fn restored(&mut self, cx: &mut Cx<'_>, queues: usize) -> Result<(), StateError>;

    /// A job is done.
    fn done(&mut self, io: &mut Io<'_, '_>, id: JobId, outcome: Outcome) {
        let _ = (io, id, outcome);
    }

    /// Another medium is in its slot.
    fn medium_changed(&mut self, io: &mut Io<'_, '_>) {
        let _ = io;
    }

    /// Whether it takes a frame.
    fn takes_frame(&self) -> bool {
        false
    }

    /// Takes one.
    fn frame(&mut self, io: &mut Io<'_, '_>, frame: &[u8]) {
        let _ = (io, frame);
    }

    /// How many characters it takes from a slot.
    fn takes_characters(&self, slot: SlotId) -> usize {
        let _ = slot;
        0
    }

    /// Takes them.
    fn characters(&mut self, io: &mut Io<'_, '_>, slot: SlotId, bytes: &[u8]) {
        let _ = (io, slot, bytes);
    }

    /// A timer is due.
    fn timer(&mut self, io: &mut Io<'_, '_>) {
        let _ = io;
    }
}

/// The state of a device that its transport shows.
#[derive(Debug, State)]
pub struct Core {
    #[state(skip = "properties")]
    ring: Ring,
    #[state(skip = "properties")]
    most: Vec<u16>,
    status: u8,
    /// What the driver took.
    features: u64,
    /// The halves of what is offered and taken that are looked at.
    pub offered_select: u32,
    pub taken_select: u32,
    /// The queue that is looked at.
    pub queue_select: u16,
    queues: Vec<Queue>,
    #[state(skip = "the transport's, which says it before every use")]
    masters: bool,
    /// Pending interrupts.
    pub isr: u8,
    /// Counts the changes of the configuration.
    pub generation: u8,
}

impl Core {
    fn new(ring: Ring, queues: &[u16]) -> Self {
        Self {
            ring,
            most: queues.to_vec(),
            status: 0,
            features: 0,
            offered_select: 0,
            taken_select: 0,
            queue_select: 0,
            queues: queues.iter().map(|most| Queue::new(*most)).collect(),
            masters: true,
            isr: 0,
            generation: 0,
        }
    }

    fn reset(&mut self) {
        self.queues.iter_mut().for_each(Queue::reset);
        (self.status, self.isr, self.features) = (0, 0, 0);
        (self.offered_select, self.taken_select) = (0, 0);
        self.queue_select = 0;
    }

    /// State was loaded: whether it is that of a device like this one.
    fn restored(&mut self) -> bool {
        let queues = self.queues.iter_mut().zip(&self.most);
        queues.for_each(|(queue, most)| queue.set_most(*most));
        let sane = self.queues.iter().all(|queue| queue.is_sane(self.features));
        sane && self.queues.len() == self.most.len()
    }

    /// The status register.
    pub fn status(&self) -> u8 {
        self.status
    }

    /// The features that the driver took.
    pub fn features(&self) -> u64 {
        self.features
    }

    /// How many queues there are.
    pub fn queues(&self) -> usize {
        self.queues.len()
    }

    /// The queue that is looked at.
    pub fn queue(&self) -> Option<&Queue> {
        self.queues.get(usize::from(self.queue_select))
    }

    /// The same, to be set up: while it is not in use.
    pub fn idle_queue(&mut self) -> Option<&mut Queue> {
        let queue = self.queues.get_mut(usize::from(self.queue_select))?;
        (!queue.ready).then_some(queue)
    }

    /// Whether a queue can be used now.
    fn is_live(&self, queue: usize) -> bool {
        let running = self.status & (DRIVER_OK | NEEDS_RESET) == DRIVER_OK;
        running && self.masters && self.queues.get(queue).is_some_and(|queue| queue.ready)
    }

    /// What the driver says cannot be: it has to begin anew (2.1.2).
    fn give_up(&mut self, cx: &mut Cx<'_>, queue: usize, Lie(what): Lie) {
        match queue {
            NO_QUEUE => cx.guest_error(format_args!("what the driver asks for cannot be: {what}")),
            _ => cx.guest_error(format_args!(
                "queue {queue} is not what it should be: {what}"
            )),
        }
        self.status |= NEEDS_RESET;
        self.isr |= ISR_CONFIG;
    }
}

/// A device's way to its driver.
pub struct Io<'a, 'b> {
    core: &'a mut Core,
    /// The machine.
    pub cx: &'a mut Cx<'b>,
}

impl Debug for Io<'_, '_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Io({:?})", self.core)
    }
}

impl Io<'_, '_> {
    /// The features that the driver took.
    pub fn features(&self) -> u64 {
        self.core.features
    }

    /// Whether there is a driver that is at work.
    pub fn is_live(&self, queue: usize) -> bool {
        self.core.is_live(queue)
    }

    /// The next chain in a queue. If there is none, the driver notifies when there is.
    pub fn take(&mut self, queue: usize) -> Option<Chain> {
        if !self.core.is_live(queue) {
            return None;
        }
        let features = self.core.features;
        match self.core.queues.get_mut(queue)?.take(self.cx, features) {
            Ok(chain) => chain,
            Err(lie) => {
                self.core.give_up(self.cx, queue, lie);
                None
            }
        }
    }

    /// Gives a chain back, of which so many bytes were written.
    pub fn give(&mut self, queue: usize, chain: &Chain, written: u32) {
        if !self.core.is_live(queue) {
            return;
        }
        let features = self.core.features;
        let given = match self.core.queues.get_mut(queue) {
            Some(it) => it.give(self.cx, features, chain, written),
            None => Ok(()),
        };
        if let Err(lie) = given {
            self.core.give_up(self.cx, queue, lie);
        }
    }

    /// Reads what a chain has for the device, from `at` bytes on; false if it does not have as much.
    pub fn read(&mut self, chain: &Chain, at: u64, out: &mut [u8]) -> bool {
        let read = gather(self.cx, &chain.readable, at, out);
        self.core.masters && self.believes(read)
    }

    /// Writes what a chain has room for, from `at` bytes on; false if it has not.
    pub fn write(&mut self, chain: &Chain, at: u64, data: &[u8]) -> bool {
        if !self.core.masters {
            return false;
        }
        let written = scatter(self.cx, &chain.writable, at, data);
        self.believes(written)
    }

    fn believes(&mut self, what: Result<(), Lie>) -> bool {
        what.map_err(|lie| self.core.give_up(self.cx, NO_QUEUE, lie))
            .is_ok()
    }

    /// The driver asks for what cannot be: it has to begin anew.
    pub fn refuse(&mut self, why: &'static str) {
        self.core.give_up(self.cx, NO_QUEUE, Lie(why));
    }

    /// The configuration has changed.
    pub fn config_changed(&mut self) {
        self.core.generation = self.core.generation.wrapping_add(1);
        if self.core.status & DRIVER_OK != 0 {
            self.core.isr |= ISR_CONFIG;
        }
    }
}

/// How a driver reaches a device (chapter 4).
pub trait Transport: Debug + State + Sized + 'static {
    /// Makes one for a kind of device, whose configuration is so long.
    fn new<F: Function>() -> Self;
    /// Back to where it was.
    fn reset(&mut self, cx: &mut Cx<'_>);
    /// Reads from a region.
    ///
    /// # Errors
    /// Nothing answers.
    fn read<F: Function>(common: &mut Common<'_, '_, Self, F>, at: Access)
    -> Result<u64, BusError>;
    /// Writes to a region.
    ///
    /// # Errors
    /// Nothing answers.
    fn write<F: Function>(
        common: &mut Common<'_, '_, Self, F>,
        at: Access,
        value: u64,
    ) -> Result<(), BusError>;
    /// Has the interrupt line say what is pending.
    fn drive(&mut self, cx: &mut Cx<'_>, isr: u8);
    /// Places again what it places itself.
    fn restored(&mut self, cx: &mut Cx<'_>);
    /// Its face on a PCI bus.
    fn pci<F: Function>(device: &mut Virtio<Self, F>) -> Option<&mut dyn PciFunction> {
        let _ = device;
        None
    }
    /// Whether the device may reach memory.
    fn masters(&self) -> bool;
}

/// A device behind a transport.
#[derive(Debug, State)]
pub struct Virtio<T, F> {
    pub(crate) transport: T,
    pub(crate) core: Core,
    pub(crate) function: F,
}

/// What a transport shows, with all that it takes to act on it.
#[derive(Debug)]
pub struct Common<'a, 'b, T, F> {
    /// The transport itself.
    pub transport: &'a mut T,
    /// What it shows.
    pub core: &'a mut Core,
    function: &'a mut F,
    /// The machine.
    pub cx: &'a mut Cx<'b>,
}

impl<T: Transport, F: Function> Common<'_, '_, T, F> {
    /// The device ID, 0 if there is nothing to be found.
    pub fn id(&self) -> u16 {
        if self.function.is_there(self.cx) {
            F::ID
        } else {
            0
        }
    }

    /// All that is offered.
    pub fn offered(&self) -> u64 {
        self.function.features(self.cx) | self.core.ring.features() | VERSION_1 | RING_RESET
    }

    /// The half of it that is looked at.
    pub fn offered_half(&self) -> u32 {
        match self.core.offered_select {
            0 => self.offered() as u32,
            1 => (self.offered() >> 32) as u32,
            _ => 0,
        }
    }

    /// The half that is looked at of what the driver took.
    pub fn taken_half(&self) -> u32 {
        match self.core.taken_select {
            0 => self.core.features as u32,
            1 => (self.core.features >> 32) as u32,
            _ => 0,
        }
    }

    /// The driver takes features.
    pub fn take_half(&mut self, value: u32) {
        if self.core.status & FEATURES_OK != 0 {
            return;
        }
        let features = self.core.features;
        let value = u64::from(value);
        self.core.features = match self.core.taken_select {
            0 => features >> 32 << 32 | value,
            1 => features & 0xffff_ffff | value << 32,
            _ => features,
        };
    }

    /// The driver writes the status register; 0 is a reset.
    pub fn set_status(&mut self, value: u8) {
        if value == 0 {
            self.core.reset();
            return self.function.reset(self.cx);
        }
        let before = self.core.status;
        // What was set stays so until a reset.
        let mut status = before | value & !NEEDS_RESET;
        if (status & !before) & FEATURES_OK != 0 {
            let features = self.core.features;
            if features & !self.offered() != 0 || features & VERSION_1 == 0 {
                status &= !FEATURES_OK;
            } else {
                self.function.negotiated(features);
            }
        }
        self.core.status = status;
        if (status & !before) & DRIVER_OK != 0 {
            // A legacy driver says no more than that.
            if status & FEATURES_OK == 0 {
                self.function.negotiated(self.core.features);
            }
            self.with(|function, io| function.started(io));
        }
    }

    /// The driver has set a queue up, or says that it has not.
    pub fn set_ready(&mut self, ready: bool) {
        if !ready {
            return self.reset_queue();
        }
        let features = self.core.features;
        let negotiated = self.core.status & FEATURES_OK != 0;
        let Some(queue) = self.core.idle_queue() else {
            return;
        };
        if negotiated && queue.suits(features) {
            queue.ready = true;
        } else {
            self.cx
                .guest_error(format_args!("a queue of that size, or before the features"));
        }
    }

    /// The driver resets a queue.
    pub fn reset_queue(&mut self) {
        let index = usize::from(self.core.queue_select);
        if let Some(queue) = self.core.queues.get_mut(index) {
            queue.reset();
            self.function.queue_reset(index);
        }
    }

    /// The driver has put something into a queue.
    pub fn notify(&mut self, queue: usize) {
        if self.core.is_live(queue) {
            self.with(|function, io| function.notified(io, queue));
        }
    }

    /// Reads the configuration.
    pub fn config(&self, offset: u64, size: u8) -> u64 {
        let config = self.function.config(self.cx, self.core.features);
        let byte = |at: usize| config.get(at).copied().unwrap_or(0);
        let bytes = (0..usize::from(size)).rev();
        bytes.fold(0, |value, n| {
            value << 8 | u64::from(byte((offset as usize).saturating_add(n)))
        })
    }

    /// Writes it.
    pub fn set_config(&mut self, offset: u64, size: u8, value: u64) {
        for n in 0..u64::from(size) {
            let byte = (value >> (8 * n)) as u8;
            self.with(|function, io| function.config_written(io, (offset + n) as usize, byte));
        }
    }

    fn with(&mut self, call: impl FnOnce(&mut F, &mut Io<'_, '_>)) {
        let mut io = Io {
            core: self.core,
            cx: self.cx,
        };
        call(self.function, &mut io);
    }
}

impl<T: Transport, F: Function> Virtio<T, F> {
    /// Makes one.
    pub(crate) fn new(props: &F::Props) -> Result<Self, BuildError> {
        Ok(Self {
            transport: T::new::<F>(),
            core: Core::new(props.ring(), &F::queues(props)),
            function: F::new(props),
        })
    }

    /// Has the function do something with its queues, and says to the driver what came of it.
    fn with(&mut self, cx: &mut Cx<'_>, call: impl FnOnce(&mut F, &mut Io<'_, '_>)) {
        self.core.masters = self.transport.masters();
        let mut io = Io {
            core: &mut self.core,
            cx,
        };
        call(&mut self.function, &mut io);
        self.settle(cx);
    }

    /// Interrupts, if there is something that the driver wants to hear of.
    pub(crate) fn settle(&mut self, cx: &mut Cx<'_>) {
        self.core.masters = self.transport.masters();
        for index in 0..self.core.queues.len() {
            if !self.core.is_live(index) {
                continue;
            }
            let features = self.core.features;
            match self.core.queues[index].interrupts(cx, features) {
                Ok(true) => self.core.isr |= ISR_QUEUE,
                Ok(false) => {}
                Err(lie) => self.core.give_up(cx, index, lie),
            }
        }
        self.transport.drive(cx, self.core.isr);
    }

    pub(crate) fn common<'a, 'b>(&'a mut self, cx: &'a mut Cx<'b>) -> Common<'a, 'b, T, F> {
        self.core.masters = self.transport.masters();
        Common {
            transport: &mut self.transport,
            core: &mut self.core,
            function: &mut self.function,
            cx,
        }
    }

    fn has(kind: SlotKind) -> bool {
        F::SLOTS.iter().any(|slot| slot.kind == kind)
    }
}

impl<T: Transport, F: Function> Device for Virtio<T, F> {
    fn reset(&mut self, cx: &mut Cx<'_>) {
        self.core.reset();
        self.core.generation = 0;
        self.function.reset(cx);
        self.transport.reset(cx);
        self.transport.drive(cx, 0);
    }

    fn read(&mut self, cx: &mut Cx<'_>, at: Access) -> Result<u64, BusError> {
        let value = T::read(&mut self.common(cx), at);
        self.transport.drive(cx, self.core.isr);
        value
    }

    fn write(&mut self, cx: &mut Cx<'_>, at: Access, value: u64) -> Result<(), BusError> {
        let written = T::write(&mut self.common(cx), at, value);
        self.settle(cx);
        written
    }

    fn timer(&mut self, cx: &mut Cx<'_>, _: TimerId) {
        self.with(cx, |function, io| function.timer(io));
    }

    fn pci(&mut self) -> Option<&mut dyn PciFunction> {
        T::pci(self)
    }

    fn blockdev(&mut self) -> Option<&mut dyn BlockFrontend> {
        (Self::has(SlotKind::Block) || Self::has(SlotKind::Folder)).then_some(self as _)
    }

    fn netdev(&mut self) -> Option<&mut dyn NetFrontend> {
        Self::has(SlotKind::Netdev).then_some(self as _)
    }

    fn chardev(&mut self) -> Option<&mut dyn CharFrontend> {
        Self::has(SlotKind::Chardev).then_some(self as _)
    }

    fn restored(&mut self, cx: &mut Cx<'_>) -> Result<(), StateError> {
        if !self.core.restored() {
            return Err(StateError::new("a virtqueue that the device does not have"));
        }
        self.function.restored(cx, self.core.queues.len())?;
        self.transport.restored(cx);
        self.core.masters = self.transport.masters();
        self.transport.drive(cx, self.core.isr);
        Ok(())
    }
}

impl<T: Transport, F: Function> BlockFrontend for Virtio<T, F> {
    fn done(&mut self, cx: &mut Cx<'_>, _: SlotId, id: JobId, outcome: Outcome) {
        self.with(cx, |function, io| function.done(io, id, outcome));
    }

    fn medium_changed(&mut self, cx: &mut Cx<'_>, _: SlotId) {
        self.with(cx, |function, io| function.medium_changed(io));
    }
}

impl<T: Transport, F: Function> NetFrontend for Virtio<T, F> {
    fn can_receive(&self, _: SlotId) -> bool {
        // One that nobody has set up is on the wire, and takes what nobody gets.
        !self.core.is_live(0) || self.function.takes_frame()
    }

    fn receive(&mut self, cx: &mut Cx<'_>, _: SlotId, frame: &[u8]) {
        self.with(cx, |function, io| function.frame(io, frame));
    }
}

impl<T: Transport, F: Function> CharFrontend for Virtio<T, F> {
    fn can_receive(&self, slot: SlotId) -> usize {
        self.function.takes_characters(slot)
    }

    fn receive(&mut self, cx: &mut Cx<'_>, slot: SlotId, bytes: &[u8]) {
        self.with(cx, |function, io| function.characters(io, slot, bytes));
    }
}
