//! SiFive's test finisher: software says how it has ended.
//!
//! SiFive's `sifive,test0` of the Freedom platforms, as in its device-tree binding and in Linux's and OpenSBI's drivers: one register of
//! 32 bits, its low half what is to be done and its high half a code.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use solderless_model::{
    Access, BuildError, BusError, BusKind, Cx, Device, Interface, Model, PropError, Ranges, Region,
    Request, State, Wires, connections, tree,
};

connections! {
    fn connections(_: &SifiveTestProps) on BusKind::System;
    region REGISTERS = Region::registers("registers", 0x1000);
}

/// It has failed: the power goes off.
const FAIL: u16 = 0x3333;
/// It has passed: the power goes off.
const PASS: u16 = 0x5555;
/// The board is reset.
const RESET: u16 = 0x7777;

/// Properties of `sifive.test`.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema, Ranges)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct SifiveTestProps {}

/// The register, which holds nothing.
#[derive(Debug, State)]
pub struct SifiveTest {}

impl Model for SifiveTest {
    const TYPE: &'static str = "sifive.test";
    const SUMMARY: &'static str = "SiFive's test finisher: power-off with a status, and reset";
    type Props = SifiveTestProps;

    fn interface(props: &SifiveTestProps) -> Result<Interface, PropError> {
        let mut node = tree::Node::new("test", &["sifive,test1", "sifive,test0", "syscon"]);
        let by = |name, compatible, value: u16| {
            tree::Node::new(name, &[compatible])
                .with("value", u32::from(value))
                .with("offset", 0)
                .with("regmap", tree::Value::Device)
        };
        node.uses = vec![
            by("poweroff", "syscon-poweroff", PASS),
            by("reboot", "syscon-reboot", RESET),
        ];
        Ok(connections(props).node(node))
    }

    fn build(_: SifiveTestProps, _: Wires<'_>) -> Result<Self, BuildError> {
        Ok(Self {})
    }
}

impl Device for SifiveTest {
    fn reset(&mut self, _: &mut Cx<'_>) {}

    fn read(&mut self, _: &mut Cx<'_>, _: Access) -> Result<u64, BusError> {
        Ok(0)
    }

    fn write(&mut self, cx: &mut Cx<'_>, at: Access, value: u64) -> Result<(), BusError> {
        let code = (value >> 16) as u16;
        match (at.offset, value as u16) {
            (0, PASS) => cx.request(Request::PowerOff),
            // A status is a byte, and none but 0 says that all is well.
            (0, FAIL) => cx.request(Request::Exit(u8::try_from(code).unwrap_or(u8::MAX).max(1))),
            (0, RESET) => cx.request(Request::Reset),
            _ => cx.guest_error(format_args!("this asks for nothing")),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use solderless_model::testing::{Bench, exercise};

    #[test]
    fn what_is_written_ends_the_run() {
        for (offset, value, request) in [
            (0, 0x5555, Some(Request::PowerOff)),
            (0, 0x7777, Some(Request::Reset)),
            (0, 0x2a_3333, Some(Request::Exit(42))),
            (0, 0x3333, Some(Request::Exit(1))),
            (0, 0x0100_3333, Some(Request::Exit(255))),
            (0, 0, None),
            (4, 0x5555, None),
        ] {
            let mut b = Bench::<SifiveTest>::new(SifiveTestProps {});
            assert!(b.write(REGISTERS, offset, 4, value));
            assert_eq!(b.around.requests, Vec::from_iter(request), "{value:#x}");
            assert_eq!(b.read(REGISTERS, offset, 4), Some(0));
            assert_eq!(b.around.errors.is_empty(), request.is_some());
        }
        exercise(|| Bench::<SifiveTest>::new(SifiveTestProps {}));
    }
}
