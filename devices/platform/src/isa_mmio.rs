//! An ISA bus whose I/O ports are seen at memory addresses, and its memory where the board shows that too, without a bridge
//! chip: the board's own decoder turns CPU accesses to the window into cycles of the bus. Boards without PCI have it, and so
//! has QEMU's machine mipssim (`isa_mmio`), whose bus has ports alone.
//!
//! Ports keep their byte lanes. Nothing answers interrupt acknowledge cycles: an interrupt controller on the bus is
//! asked by polling.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use solderless_model::{
    BuildError, BusKind, Cx, Device, ISA_MEMORY, ISA_PORTS, Interface, Model, Placement, Port,
    PropError, Ranges, Region, Space, State, Wires, connections,
};

connections! {
    fn connections(props: &IsaMmioProps) on BusKind::System;
    region IO = Region::bridge("io", ISA_PORTS, ISA, Space::Io);
    region MEMORY = Region::bridge("memory", ISA_MEMORY, ISA, Space::Memory).placed(Placement::View);
    port ISA = Port::new("isa", BusKind::Isa).wait(props.wait_ns);
}

/// Properties of `isa-mmio`.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema, Ranges)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct IsaMmioProps {
    /// Nanoseconds of guest time that an access to a port takes: 1000 on a bus at 8 MHz, 0 on one without a pace.
    pub wait_ns: u32,
}

/// A window of 64 KiB onto the ports of an ISA bus, and one of up to 16 MiB onto its memory.
#[derive(Debug, State)]
pub struct IsaMmio {}

impl Model for IsaMmio {
    const TYPE: &'static str = "isa-mmio";
    const SUMMARY: &'static str = "An ISA bus whose I/O ports are seen at memory addresses";
    type Props = IsaMmioProps;

    fn interface(props: &IsaMmioProps) -> Result<Interface, PropError> {
        Ok(connections(props))
    }

    fn build(_: IsaMmioProps, _: Wires<'_>) -> Result<Self, BuildError> {
        Ok(Self {})
    }
}

impl Device for IsaMmio {
    fn reset(&mut self, _: &mut Cx<'_>) {}
}
