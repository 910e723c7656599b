//! A register that ends the run: for programs that test something and have to say how it went.
//!
//! No hardware has it. QEMU's `isa-debug-exit` and SiFive's test finisher are its kin; this one takes the status as it is.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use solderless_model::{
    Access, BuildError, BusError, BusKind, Cx, Device, Interface, Model, PropError, Ranges, Region,
    Request, State, Wires, connections,
};

connections! {
    fn connections(_: &ExitProps) on BusKind::System;
    region STATUS = Region::registers("status", 4);
}

/// Properties of `exit`.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema, Ranges)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct ExitProps {
    /// The register is in the order of a big-endian CPU's words.
    pub big_endian: bool,
}

/// A register of four bytes. Whatever is written there is the status of the program, in its lowest eight bits; it reads as zero.
#[derive(Debug, State)]
pub struct Exit {
    #[state(skip = "a property")]
    big_endian: bool,
}

impl Model for Exit {
    const TYPE: &'static str = "exit";
    const SUMMARY: &'static str =
        "A register that ends the run with the status that is written to it";
    type Props = ExitProps;

    fn interface(props: &ExitProps) -> Result<Interface, PropError> {
        Ok(connections(props))
    }

    fn build(props: ExitProps, _: Wires<'_>) -> Result<Self, BuildError> {
        let ExitProps { big_endian } = props;
        Ok(Self { big_endian })
    }
}

impl Device for Exit {
    fn reset(&mut self, _: &mut Cx<'_>) {}

    fn read(&mut self, _: &mut Cx<'_>, _: Access) -> Result<u64, BusError> {
        Ok(0)
    }

    fn write(&mut self, cx: &mut Cx<'_>, at: Access, value: u64) -> Result<(), BusError> {
        // The highest byte on the bus is the lowest of a big-endian CPU.
        let status = match self.big_endian {
            true => value >> (8 * (u32::from(at.size) - 1)),
            false => value,
        };
        cx.request(Request::Exit(status as u8));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use solderless_model::testing::Bench;

    #[test]
    fn what_is_written_is_the_status() {
        for (big_endian, size, value, status) in [
            (false, 4, 0x0000_0107, 7),
            (false, 1, 3, 3),
            (true, 4, 0x0700_0000, 7),
            (true, 1, 3, 3),
        ] {
            let mut b: Bench<Exit> = Bench::new(ExitProps { big_endian });
            assert_eq!(b.read(STATUS, 0, 4), Some(0));
            assert!(b.write(STATUS, 0, size, value));
            assert_eq!(b.around.requests, [Request::Exit(status)]);
        }
    }
}
