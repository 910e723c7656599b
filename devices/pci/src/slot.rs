//! A PCI connector (PCI Local Bus Specification 2.2, section 4.4.1).

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use solderless_model::{
    BuildError, BusKind, Cx, Device, Interface, Model, Pins, PropError, Ranges, State, StateError,
    Wires, connections,
};

/// The connector has nothing to set.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema, Ranges)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct PciSlotProps {}

/// A PCI connector without a card: its INTA# to INTD# (`intx[0]` to `intx[3]`) stay quiet and no configuration
/// cycle is answered, as both PRSNT# pins read open. It holds its place on the bus, so that a board shows where
/// cards go and how their interrupts rotate.
#[derive(Debug, State)]
pub struct PciSlot {}

connections! {
    fn connections(_: &PciSlotProps) on BusKind::Pci;
    output INTX[PINS] = Pins::named("intx");
}

const PINS: u16 = 4;

impl PciSlot {
    fn release(cx: &mut Cx<'_>) {
        (0..PINS).for_each(|n| cx.set(INTX.nth(n), false));
    }
}

impl Model for PciSlot {
    const TYPE: &'static str = "pci-slot";
    const SUMMARY: &'static str = "an empty PCI connector (PCI 2.2)";
    type Props = PciSlotProps;

    fn interface(props: &PciSlotProps) -> Result<Interface, PropError> {
        Ok(connections(props))
    }

    fn build(_: PciSlotProps, _: Wires<'_>) -> Result<Self, BuildError> {
        Ok(Self {})
    }
}

impl Device for PciSlot {
    fn reset(&mut self, cx: &mut Cx<'_>) {
        Self::release(cx);
    }

    fn restored(&mut self, cx: &mut Cx<'_>) -> Result<(), StateError> {
        Self::release(cx);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use solderless_model::testing::Bench;

    #[test]
    fn an_empty_connector_is_silent() {
        let mut slot = Bench::<PciSlot>::new(PciSlotProps::default());
        assert!(slot.dev.pci().is_none());
        assert!((0..PINS).all(|n| !slot.output(INTX.nth(n))));
        let saved = slot.save();
        let mut other = Bench::<PciSlot>::new(PciSlotProps::default());
        other.load(&saved, &slot.around);
        assert_eq!(other.save(), saved);
        assert!(other.around.edges.is_empty());
    }
}
