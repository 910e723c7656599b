//! Virtio over MMIO, version 2 of its registers (Virtio 1.2, section 4.2).

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use solderless_model::{
    Access, BuildError, BusError, BusKind, Cx, Device, Interface, Model, Pins, PropError, Ranges,
    Region, Slot, State, StateError, Wires, connections, lanes, merge, tree,
};

use crate::device::{Common, Function, Transport, Virtio};

connections! {
    fn connections(slots: &[Slot]) on BusKind::System;
    region REGISTERS = Region::registers("registers", 0x200);
    output IRQ = Pins::named("irq");
    slot SLOTS[] = slots.iter().cloned();
}

const MAGIC_VALUE: u64 = 0x000;
const VERSION: u64 = 0x004;
const DEVICE_ID: u64 = 0x008;
const VENDOR_ID: u64 = 0x00c;
const DEVICE_FEATURES: u64 = 0x010;
const DEVICE_FEATURES_SEL: u64 = 0x014;
const DRIVER_FEATURES: u64 = 0x020;
const DRIVER_FEATURES_SEL: u64 = 0x024;
const QUEUE_SEL: u64 = 0x030;
const QUEUE_NUM_MAX: u64 = 0x034;
const QUEUE_NUM: u64 = 0x038;
const QUEUE_READY: u64 = 0x044;
const QUEUE_NOTIFY: u64 = 0x050;
const INTERRUPT_STATUS: u64 = 0x060;
const INTERRUPT_ACK: u64 = 0x064;
const STATUS: u64 = 0x070;
const QUEUE_DESC_LOW: u64 = 0x080;
const QUEUE_DESC_HIGH: u64 = 0x084;
const QUEUE_DRIVER_LOW: u64 = 0x090;
const QUEUE_DRIVER_HIGH: u64 = 0x094;
const QUEUE_DEVICE_LOW: u64 = 0x0a0;
const QUEUE_DEVICE_HIGH: u64 = 0x0a4;
const SHM_LEN_LOW: u64 = 0x0b0;
const SHM_BASE_HIGH: u64 = 0x0bc;
const QUEUE_RESET: u64 = 0x0c0;
const CONFIG_GENERATION: u64 = 0x0fc;
const CONFIG: u64 = 0x100;

/// QEMU's vendor ID.
const QEMU: u32 = u32::from_le_bytes(*b"QEMU");
/// What a device tree says is taken of the bus: a page, as QEMU's `virt` has it.
const TREE_SIZE: u64 = 0x1000;

/// The transport's registers are all the device's.
#[derive(Debug, State)]
pub struct Mmio {}

/// What a board and a device tree see of a transport.
fn interface(slots: &[Slot]) -> Interface {
    let node = tree::Node::new("virtio_mmio", &["virtio,mmio"]).interrupts([IRQ]);
    connections(slots).node(tree::Node {
        reg: Some(vec![(0, TREE_SIZE)]),
        ..node
    })
}

impl<F: Function> Model for Virtio<Mmio, F> {
    const TYPE: &'static str = F::NAMES.mmio;
    const SUMMARY: &'static str = F::NAMES.mmio_summary;
    type Props = F::Props;

    fn interface(props: &F::Props) -> Result<Interface, PropError> {
        F::check(props)?;
        Ok(interface(F::SLOTS))
    }

    fn build(props: F::Props, _: Wires<'_>) -> Result<Self, BuildError> {
        Self::new(&props)
    }
}

impl Transport for Mmio {
    fn new<F: Function>() -> Self {
        Self {}
    }

    fn reset(&mut self, _: &mut Cx<'_>) {}

    fn read<F: Function>(
        common: &mut Common<'_, '_, Self, F>,
        at: Access,
    ) -> Result<u64, BusError> {
        if let Some(offset) = at.offset.checked_sub(CONFIG) {
            return Ok(common.config(offset, at.size));
        }
        let queue = common.core.queue();
        let register = match at.offset & !3 {
            MAGIC_VALUE => u32::from_le_bytes(*b"virt"),
            VERSION => 2,
            DEVICE_ID => common.id().into(),
            VENDOR_ID => QEMU,
            DEVICE_FEATURES => common.offered_half(),
            QUEUE_NUM_MAX => queue.map_or(0, |queue| queue.most().into()),
            QUEUE_READY => queue.is_some_and(|queue| queue.ready).into(),
            INTERRUPT_STATUS => common.core.isr.into(),
            STATUS => common.core.status().into(),
            // There is no memory to share.
            SHM_LEN_LOW..=SHM_BASE_HIGH => u32::MAX,
            CONFIG_GENERATION => common.core.generation.into(),
            _ => 0,
        };
        Ok(lanes(register, at.offset, at.size))
    }

    fn write<F: Function>(
        common: &mut Common<'_, '_, Self, F>,
        at: Access,
        value: u64,
    ) -> Result<(), BusError> {
        if let Some(offset) = at.offset.checked_sub(CONFIG) {
            common.set_config(offset, at.size, value);
            return Ok(());
        }
        let value = merge(0, at.offset, at.size, value);
        let core = &mut *common.core;
        match at.offset & !3 {
            DEVICE_FEATURES_SEL => core.offered_select = value,
            DRIVER_FEATURES => common.take_half(value),
            DRIVER_FEATURES_SEL => core.taken_select = value,
            QUEUE_SEL => core.queue_select = u16::try_from(value).unwrap_or(u16::MAX),
            QUEUE_READY => common.set_ready(value & 1 != 0),
            QUEUE_NOTIFY => common.notify(value as usize),
            INTERRUPT_ACK => core.isr &= !(value as u8),
            STATUS => common.set_status(value as u8),
            QUEUE_RESET if value & 1 != 0 => common.reset_queue(),
            offset => {
                if let Some(queue) = core.idle_queue() {
                    match offset {
                        QUEUE_NUM => queue.size = u16::try_from(value).unwrap_or(0),
                        QUEUE_DESC_LOW => low(&mut queue.desc, value),
                        QUEUE_DESC_HIGH => high(&mut queue.desc, value),
                        QUEUE_DRIVER_LOW => low(&mut queue.driver, value),
                        QUEUE_DRIVER_HIGH => high(&mut queue.driver, value),
                        QUEUE_DEVICE_LOW => low(&mut queue.device, value),
                        QUEUE_DEVICE_HIGH => high(&mut queue.device, value),
                        _ => {}
                    }
                }
            }
        }
        Ok(())
    }

    fn drive(&mut self, cx: &mut Cx<'_>, isr: u8) {
        cx.set(IRQ, isr != 0);
    }

    fn restored(&mut self, _: &mut Cx<'_>) {}

    fn masters(&self) -> bool {
        true
    }
}

/// Sets the low half of an address.
pub(crate) fn low(address: &mut u64, half: u32) {
    *address = *address >> 32 << 32 | u64::from(half);
}

/// Sets the high half of an address.
pub(crate) fn high(address: &mut u64, half: u32) {
    *address = *address & 0xffff_ffff | u64::from(half) << 32;
}

/// There is nothing to set at an empty transport.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema, Ranges)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct VirtioMmioProps {}

/// A transport with nothing behind it: a driver finds device ID 0 and looks no further (4.2.2).
#[derive(Debug, State)]
pub struct VirtioMmio {}

impl Model for VirtioMmio {
    const TYPE: &'static str = "virtio-mmio";
    const SUMMARY: &'static str = "Virtio MMIO transport with nothing behind it (Virtio 1.2)";
    type Props = VirtioMmioProps;

    fn interface(_: &VirtioMmioProps) -> Result<Interface, PropError> {
        Ok(interface(&[]))
    }

    fn build(_: VirtioMmioProps, _: Wires<'_>) -> Result<Self, BuildError> {
        Ok(Self {})
    }
}

impl Device for VirtioMmio {
    fn reset(&mut self, cx: &mut Cx<'_>) {
        cx.set(IRQ, false);
    }

    fn read(&mut self, _: &mut Cx<'_>, at: Access) -> Result<u64, BusError> {
        let register = match at.offset & !3 {
            MAGIC_VALUE => u32::from_le_bytes(*b"virt"),
            VERSION => 2,
            VENDOR_ID => QEMU,
            _ => 0,
        };
        Ok(lanes(register, at.offset, at.size))
    }

    fn write(&mut self, _: &mut Cx<'_>, _: Access, _: u64) -> Result<(), BusError> {
        Ok(())
    }

    fn restored(&mut self, cx: &mut Cx<'_>) -> Result<(), StateError> {
        cx.set(IRQ, false);
        Ok(())
    }
}
