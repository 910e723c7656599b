//! Virtio over PCI (Virtio 1.2, section 4.1): the modern interface, and the legacy one (4.1.4.10) beside it, as QEMU's devices on a
//! conventional bus have them. The legacy interface is for a little-endian driver. There are no message-signalled interrupts.

use solderless_model::pci::{COMMAND_MASTER, PciConfig, PciFunction, PciId, STATUS};
use solderless_model::{
    Access, BuildError, BusError, BusKind, Cx, Interface, Model, Pins, Placement, PropError,
    Region, RegionId, Slot, Space, State, Wires, connections, lanes,
};

use crate::device::{Common, Function, Transport, Virtio};
use crate::mmio::{high, low};
use crate::queue::Queue;

connections! {
    fn connections(of: (u32, &[Slot])) on BusKind::Pci;
    region LEGACY = Region::registers("legacy", of.0.into()).io().placed(Placement::Device);
    region MODERN = Region::registers("modern", MODERN_SIZE.into()).placed(Placement::Device);
    output INTX = Pins::named("intx");
    slot SLOTS[] = of.1.iter().cloned();
}

/// QEMU's vendor ID for virtio, and its transitional device IDs, by virtio's.
const VENDOR: u16 = 0x1af4;
fn transitional(id: u16) -> u16 {
    match id {
        1 => 0x1000,
        2 => 0x1001,
        3 => 0x1003,
        4 => 0x1005,
        5 => 0x1002,
        9 => 0x1009,
        _ => 0x1040 + id,
    }
}

/// What base address register 4 shows, as QEMU lays it out: the common configuration, the interrupt status, the device's
/// configuration, and where notifications go.
const MODERN_SIZE: u32 = 0x4000;
const COMMON: u64 = 0x0000;
const ISR: u64 = 0x1000;
const DEVICE: u64 = 0x2000;
const NOTIFY: u64 = 0x3000;
const PART: u64 = 0x1000;
/// Bytes from where one queue is notified to the next.
const NOTIFY_STEP: u64 = 4;

// The common configuration (4.1.4.3): words, and registers that are parts of them.
const DEVICE_FEATURE_SELECT: u64 = 0x00;
const DEVICE_FEATURE: u64 = 0x04;
const DRIVER_FEATURE_SELECT: u64 = 0x08;
const DRIVER_FEATURE: u64 = 0x0c;
const MSIX_CONFIG: u64 = 0x10; // and num_queues
const DEVICE_STATUS: u64 = 0x14; // and config_generation, queue_select
const QUEUE_SELECT: u64 = 0x16;
const QUEUE_SIZE: u64 = 0x18; // and queue_msix_vector
const QUEUE_ENABLE: u64 = 0x1c; // and queue_notify_off
const QUEUE_DESC: u64 = 0x20;
const QUEUE_DRIVER: u64 = 0x28;
const QUEUE_DEVICE: u64 = 0x30;
const QUEUE_NOTIFY_DATA: u64 = 0x38; // and queue_reset
const QUEUE_RESET: u64 = 0x3a;
/// There is no such vector.
const NO_VECTOR: u32 = 0xffff;

// The legacy interface.
const LEGACY_DEVICE_FEATURES: u64 = 0;
const LEGACY_DRIVER_FEATURES: u64 = 4;
const LEGACY_QUEUE_ADDRESS: u64 = 8;
const LEGACY_QUEUE_SIZE: u64 = 12; // and queue_select
const LEGACY_QUEUE_SELECT: u64 = 14;
const LEGACY_QUEUE_NOTIFY: u64 = 16; // and device_status, isr_status
const LEGACY_STATUS: u64 = 18;
const LEGACY_ISR: u64 = 19;
const LEGACY_CONFIG: u64 = 20;
/// Requests can be laid out in any way (feature bit 27), which only a legacy driver does not know.
const ANY_LAYOUT: u32 = 1 << 27;
/// Where a legacy driver's queue lies, and how its used ring is aligned.
const LEGACY_PAGE: u64 = 4096;

// Capabilities (4.1.4): where each stands, and its type.
const CAPABILITY_POINTER: u8 = 0x34;
const VENDOR_SPECIFIC: u32 = 0x09;
const CAPABILITIES: [(u8, u32, u64, u64); 5] = [
    (0x40, 1, COMMON, PART),
    (0x50, 3, ISR, PART),
    (0x60, 4, DEVICE, PART),
    (0x70, 2, NOTIFY, PART),
    (WINDOW, 5, 0, 0),
];
/// Of the notifications, the capability says one word more; the window has its data there.
const MORE: u8 = 16;
/// The capability through which the regions can be reached by configuration accesses alone (4.1.4.9).
const WINDOW: u8 = 0x84;
const WINDOW_DATA: u8 = WINDOW + MORE;

/// The PCI function.
#[derive(Debug, State)]
pub struct Pci {
    config: PciConfig,
}

/// What the legacy interface's base address register decodes.
fn legacy_size<F: Function>() -> u32 {
    (LEGACY_CONFIG as u32 + F::CONFIG_LEN).next_power_of_two()
}

impl<F: Function> Model for Virtio<Pci, F> {
    const TYPE: &'static str = F::NAMES.pci;
    const SUMMARY: &'static str = F::NAMES.pci_summary;
    type Props = F::Props;

    fn interface(props: &F::Props) -> Result<Interface, PropError> {
        F::check(props)?;
        Ok(connections((legacy_size::<F>(), F::SLOTS)))
    }

    fn build(props: F::Props, _: Wires<'_>) -> Result<Self, BuildError> {
        Self::new(&props)
    }
}

impl Transport for Pci {
    fn new<F: Function>() -> Self {
        let id = PciId {
            vendor: VENDOR,
            device: transitional(F::ID),
            revision: 0,
            class: F::PCI_CLASS,
            subsystem: (VENDOR, F::ID),
            header_type: 0,
            interrupt_pin: 1,
        };
        let mut config = PciConfig::new(id)
            .bar(0, Space::Io, legacy_size::<F>(), LEGACY)
            .bar(4, Space::Memory, MODERN_SIZE, MODERN)
            .initial(STATUS, 2, 0x10)
            .initial(CAPABILITY_POINTER, 1, CAPABILITIES[0].0.into());
        let nexts = CAPABILITIES
            .iter()
            .skip(1)
            .map(|next| u32::from(next.0))
            .chain([0]);
        for ((at, kind, offset, len), next) in CAPABILITIES.into_iter().zip(nexts) {
            let size = if kind == 2 || kind == 5 { 20 } else { 16 };
            config = config
                .initial(at, 4, VENDOR_SPECIFIC | next << 8 | size << 16 | kind << 24)
                .initial(at + 4, 4, if kind == 5 { 0 } else { 4 })
                .initial(at + 8, 4, offset as u32)
                .initial(at + 12, 4, len as u32);
            config = match kind {
                2 => config.initial(at + MORE, 4, NOTIFY_STEP as u32),
                5 => config
                    .writable(at + 4, 1, 0xff)
                    .writable(at + 8, 4, u32::MAX)
                    .writable(at + 12, 4, u32::MAX)
                    .writable(at + MORE, 4, u32::MAX),
                _ => config,
            };
        }
        Self { config }
    }

    fn reset(&mut self, cx: &mut Cx<'_>) {
        self.config.reset();
        self.config.apply_bars(cx);
    }

    fn read<F: Function>(
        common: &mut Common<'_, '_, Self, F>,
        at: Access,
    ) -> Result<u64, BusError> {
        Ok(match at.region {
            LEGACY if at.offset >= LEGACY_CONFIG => {
                common.config(at.offset - LEGACY_CONFIG, at.size)
            }
            LEGACY => lanes(legacy_word(common, at), at.offset, at.size),
            _ => match at.offset / PART * PART {
                COMMON => lanes(word(common, at.offset & !3), at.offset, at.size),
                ISR => std::mem::take(&mut common.core.isr).into(),
                DEVICE => common.config(at.offset - DEVICE, at.size),
                _ => 0,
            },
        })
    }

    fn write<F: Function>(
        common: &mut Common<'_, '_, Self, F>,
        at: Access,
        value: u64,
    ) -> Result<(), BusError> {
        match at.region {
            LEGACY if at.offset >= LEGACY_CONFIG => {
                common.set_config(at.offset - LEGACY_CONFIG, at.size, value);
            }
            LEGACY => legacy_write(common, at.offset, value as u32),
            _ => match at.offset / PART * PART {
                COMMON => write(common, at.offset, value as u32),
                DEVICE => common.set_config(at.offset - DEVICE, at.size, value),
                NOTIFY => common.notify(((at.offset - NOTIFY) / NOTIFY_STEP) as usize),
                _ => {}
            },
        }
        Ok(())
    }

    fn drive(&mut self, cx: &mut Cx<'_>, isr: u8) {
        let level = self.config.intx(isr != 0);
        cx.set(INTX, level);
    }

    fn restored(&mut self, cx: &mut Cx<'_>) {
        self.config.apply_bars(cx);
    }

    fn pci<F: Function>(device: &mut Virtio<Self, F>) -> Option<&mut dyn PciFunction> {
        Some(device)
    }

    fn masters(&self) -> bool {
        self.config.command() & COMMAND_MASTER != 0
    }
}

/// A word of the common configuration.
fn word<F: Function>(common: &mut Common<'_, '_, Pci, F>, offset: u64) -> u32 {
    let core = &*common.core;
    let queue = |of: fn(&Queue) -> u64| core.queue().map_or(0, of);
    let half = |address: u64| match offset & 4 {
        0 => address as u32,
        _ => (address >> 32) as u32,
    };
    match offset {
        DEVICE_FEATURE_SELECT => core.offered_select,
        DEVICE_FEATURE => common.offered_half(),
        DRIVER_FEATURE_SELECT => core.taken_select,
        DRIVER_FEATURE => common.taken_half(),
        MSIX_CONFIG => NO_VECTOR | (core.queues() as u32) << 16,
        DEVICE_STATUS => {
            u32::from(core.status())
                | u32::from(core.generation) << 8
                | u32::from(core.queue_select) << 16
        }
        QUEUE_SIZE => queue(|queue| queue.size.into()) as u32 | NO_VECTOR << 16,
        QUEUE_ENABLE => {
            queue(|queue| queue.ready.into()) as u32 | u32::from(core.queue_select) << 16
        }
        QUEUE_DESC..QUEUE_DRIVER => half(queue(|queue| queue.desc)),
        QUEUE_DRIVER..QUEUE_DEVICE => half(queue(|queue| queue.driver)),
        QUEUE_DEVICE..QUEUE_NOTIFY_DATA => half(queue(|queue| queue.device)),
        // A reset of a queue is over at once.
        _ => 0,
    }
}

/// Writes a register of the common configuration.
fn write<F: Function>(common: &mut Common<'_, '_, Pci, F>, offset: u64, value: u32) {
    let core = &mut *common.core;
    match offset {
        DEVICE_FEATURE_SELECT => core.offered_select = value,
        DRIVER_FEATURE_SELECT => core.taken_select = value,
        DRIVER_FEATURE => common.take_half(value),
        DEVICE_STATUS => common.set_status(value as u8),
        QUEUE_SELECT => core.queue_select = value as u16,
        QUEUE_ENABLE if value & 1 != 0 => common.set_ready(true),
        QUEUE_RESET if value & 1 != 0 => common.reset_queue(),
        _ => {
            let Some(queue) = core.idle_queue() else {
                return;
            };
            let half = if offset & 4 == 0 { low } else { high };
            match offset & !3 {
                QUEUE_SIZE if offset == QUEUE_SIZE => queue.size = value as u16,
                QUEUE_DESC..QUEUE_DRIVER => half(&mut queue.desc, value),
                QUEUE_DRIVER..QUEUE_DEVICE => half(&mut queue.driver, value),
                QUEUE_DEVICE..QUEUE_NOTIFY_DATA => half(&mut queue.device, value),
                _ => {}
            }
        }
    }
}

/// A word of the legacy interface.
fn legacy_word<F: Function>(common: &mut Common<'_, '_, Pci, F>, at: Access) -> u32 {
    let reads_isr = (at.offset..at.offset + u64::from(at.size)).contains(&LEGACY_ISR);
    let core = &mut *common.core;
    match at.offset & !3 {
        LEGACY_DEVICE_FEATURES => common.offered() as u32 | ANY_LAYOUT,
        LEGACY_DRIVER_FEATURES => core.features() as u32,
        LEGACY_QUEUE_ADDRESS => {
            let queue = core.queue().filter(|queue| queue.ready);
            queue.map_or(0, |queue| (queue.desc / LEGACY_PAGE) as u32)
        }
        LEGACY_QUEUE_SIZE => {
            let most = core.queue().map_or(0, |queue| u32::from(queue.most()));
            most | u32::from(core.queue_select) << 16
        }
        _ => {
            let pending = match reads_isr {
                true => std::mem::take(&mut core.isr),
                false => core.isr,
            };
            u32::from(core.status()) << 16 | u32::from(pending) << 24
        }
    }
}

/// Writes a register of the legacy interface.
fn legacy_write<F: Function>(common: &mut Common<'_, '_, Pci, F>, offset: u64, value: u32) {
    let core = &mut *common.core;
    match offset {
        LEGACY_DRIVER_FEATURES => {
            core.taken_select = 0;
            common.take_half(value);
        }
        LEGACY_QUEUE_SELECT => core.queue_select = value as u16,
        LEGACY_QUEUE_ADDRESS if value == 0 => common.reset_queue(),
        LEGACY_QUEUE_ADDRESS => {
            if let Some(queue) = core.idle_queue() {
                let size = u64::from(queue.most());
                queue.size = queue.most();
                queue.desc = u64::from(value) * LEGACY_PAGE;
                queue.driver = queue.desc + 16 * size;
                queue.device = (queue.driver + 6 + 2 * size).next_multiple_of(LEGACY_PAGE);
                queue.ready = true;
            }
        }
        LEGACY_QUEUE_NOTIFY => common.notify((value & 0xffff) as usize),
        LEGACY_STATUS => common.set_status(value as u8),
        _ => {}
    }
}

impl<F: Function> PciFunction for Virtio<Pci, F> {
    fn config(&mut self) -> &mut PciConfig {
        &mut self.transport.config
    }

    fn config_read(&mut self, cx: &mut Cx<'_>, offset: u8, _: u8) {
        if let Some(at) = self.window(offset) {
            let value = Pci::read(&mut self.common(cx), at);
            let value = value.map_or(0, |value| value as u32);
            self.transport.config.set(WINDOW_DATA, 4, value);
            self.transport.drive(cx, self.core.isr);
        }
    }

    fn config_written(&mut self, cx: &mut Cx<'_>, offset: u8, _: u8) {
        if let Some(at) = self.window(offset) {
            let value = self.transport.config.get(WINDOW_DATA, at.size);
            let _ = Pci::write(&mut self.common(cx), at, value.into());
        }
        self.settle(cx);
    }
}

impl<F: Function> Virtio<Pci, F> {
    /// What an access to the data of the window reaches.
    fn window(&self, offset: u8) -> Option<Access> {
        let config = &self.transport.config;
        let size = config.get(WINDOW + 12, 4);
        let at = config.get(WINDOW + 8, 4);
        let (region, end): (RegionId, u32) = match config.get(WINDOW + 4, 1) {
            0 => (LEGACY, legacy_size::<F>()),
            4 => (MODERN, MODERN_SIZE),
            _ => return None,
        };
        let fits = matches!(size, 1 | 2 | 4) && at.is_multiple_of(size) && at < end;
        (offset == WINDOW_DATA && fits).then_some(Access {
            region,
            offset: at.into(),
            size: size as u8,
        })
    }
}

#[cfg(test)]
mod tests;
