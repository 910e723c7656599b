//! The debug console of Bochs and QEMU: a port that firmware writes characters to.
//!
//! QEMU, hw/char/debugcon.c as documented with `-device isa-debugcon`; SeaBIOS, docs/Debugging.md. Reading it says that it is there.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use solderless_model::{
    Access, BuildError, BusError, BusKind, Cx, Device, Interface, Model, PropError, Ranges, Region,
    Slot, SlotKind, State, Wires, connections,
};

connections! {
    fn connections(_: &DebugconProps) on BusKind::Isa;
    region PORT = Region::ports("port", 1);
    slot CHR = Slot::new("chr", SlotKind::Chardev);
}

/// Properties of `isa-debugcon`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema, Ranges)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct DebugconProps {
    /// What reading the port gives.
    pub readback: u8,
}

impl Default for DebugconProps {
    fn default() -> Self {
        Self { readback: 0xe9 }
    }
}

/// The port, which holds nothing.
#[derive(Debug, State)]
pub struct Debugcon {
    #[state(skip = "property")]
    readback: u8,
}

impl Model for Debugcon {
    const TYPE: &'static str = "isa-debugcon";
    const SUMMARY: &'static str = "Debug console of Bochs and QEMU: a port for characters";
    type Props = DebugconProps;

    fn interface(props: &DebugconProps) -> Result<Interface, PropError> {
        Ok(connections(props))
    }

    fn build(props: DebugconProps, _: Wires<'_>) -> Result<Self, BuildError> {
        Ok(Self {
            readback: props.readback,
        })
    }
}

impl Device for Debugcon {
    fn reset(&mut self, _: &mut Cx<'_>) {}

    fn read(&mut self, _: &mut Cx<'_>, _: Access) -> Result<u64, BusError> {
        Ok(self.readback.into())
    }

    fn write(&mut self, cx: &mut Cx<'_>, _: Access, value: u64) -> Result<(), BusError> {
        cx.send(CHR, &[value as u8]);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use solderless_model::testing::{Bench, exercise};

    #[test]
    fn characters_go_out_and_a_constant_comes_back() {
        let mut b = Bench::<Debugcon>::new(DebugconProps { readback: 0xe9 });
        for character in *b"hello" {
            assert!(b.write(PORT, 0, 1, character.into()));
        }
        assert_eq!(b.around.sent[&CHR], b"hello");
        assert_eq!(b.read(PORT, 0, 1), Some(0xe9));
        exercise(|| Bench::<Debugcon>::new(DebugconProps::default()));
    }
}
