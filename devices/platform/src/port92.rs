//! The fast way to reset a PC's CPU and to open its address line 20, port 92h.
//!
//! IBM Personal System/2 Hardware Interface Technical Reference, "System control port A"; QEMU's `port92`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use solderless_model::{
    Access, BuildError, BusError, BusKind, Cx, Device, Interface, Model, Pins, PropError, Ranges,
    Region, Request, State, StateError, Wires, connections,
};

connections! {
    fn connections(_: &Port92Props) on BusKind::Isa;
    region PORT = Region::ports("port", 1);
    output A20 = Pins::named("a20").optional();
}

/// A rising edge resets.
const FAST_INIT: u8 = 1 << 0;
const FAST_A20: u8 = 1 << 1;

/// Properties of `port92`: it has none.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema, Ranges)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Port92Props {}

/// The register.
#[derive(Debug, State)]
pub struct Port92 {
    value: u8,
}

impl Model for Port92 {
    const TYPE: &'static str = "port92";
    const SUMMARY: &'static str = "A PC's system control port A (port 92h): fast reset and A20";
    type Props = Port92Props;

    fn interface(props: &Port92Props) -> Result<Interface, PropError> {
        Ok(connections(props))
    }

    fn build(_: Port92Props, _: Wires<'_>) -> Result<Self, BuildError> {
        Ok(Self { value: 0 })
    }
}

impl Device for Port92 {
    fn reset(&mut self, cx: &mut Cx<'_>) {
        self.value = 0;
        self.drive(cx);
    }

    fn read(&mut self, _: &mut Cx<'_>, _: Access) -> Result<u64, BusError> {
        Ok(self.value.into())
    }

    fn write(&mut self, cx: &mut Cx<'_>, _: Access, value: u64) -> Result<(), BusError> {
        let value = value as u8;
        if value & !self.value & FAST_INIT != 0 {
            cx.request(Request::Reset);
        }
        self.value = value;
        self.drive(cx);
        Ok(())
    }

    fn restored(&mut self, cx: &mut Cx<'_>) -> Result<(), StateError> {
        self.drive(cx);
        Ok(())
    }
}

impl Port92 {
    fn drive(&self, cx: &mut Cx<'_>) {
        cx.set(A20, self.value & FAST_A20 != 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use solderless_model::testing::{Bench, exercise};

    #[test]
    fn it_opens_a20_and_resets_on_an_edge() {
        let mut b = Bench::<Port92>::new(Port92Props {});
        b.reset();
        assert!(b.write(PORT, 0, 1, 2));
        assert!(b.output(A20));
        assert_eq!(b.read(PORT, 0, 1), Some(2));
        assert!(b.around.requests.is_empty());
        assert!(b.write(PORT, 0, 1, 3));
        assert!(b.write(PORT, 0, 1, 3));
        assert_eq!(b.around.requests, [Request::Reset]);
        exercise(|| Bench::<Port92>::new(Port92Props {}));
    }
}
