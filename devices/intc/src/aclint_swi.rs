//! Machine-level software interrupts of RISC-V's ACLINT, as they are in SiFive's CLINT too.
//!
//! RISC-V Advanced Core Local Interruptor Specification (1.0-rc4), chapter 3 (MSWI): for each hart a register msip of 32 bits, of
//! which bit 0 is the level of its interrupt.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use solderless_model::{
    Access, BuildError, BusError, BusKind, Cx, Device, Interface, Model, Pins, PropError, Ranges,
    Region, State, StateError, Wires, connections, lanes, merge, tree,
};

connections! {
    fn connections(props: &AclintSwiProps) on BusKind::System;
    region REGISTERS = Region::registers("registers", 0x4000);
    output MSIP[] = Pins::named("msip").count(props.num_harts);
}

/// Properties of `riscv.aclint.swi`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema, Ranges)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct AclintSwiProps {
    /// How many harts it has a register for.
    #[schemars(range(min = 1, max = 4095))]
    pub num_harts: u16,
}

impl Default for AclintSwiProps {
    fn default() -> Self {
        Self { num_harts: 1 }
    }
}

/// The registers.
#[derive(Debug, State)]
pub struct AclintSwi {
    #[state(skip = "a property")]
    num_harts: u16,
    msip: Vec<bool>,
}

impl Model for AclintSwi {
    const TYPE: &'static str = "riscv.aclint.swi";
    const SUMMARY: &'static str =
        "Machine-level software interrupts of RISC-V's ACLINT and of SiFive's CLINT";
    type Props = AclintSwiProps;

    fn interface(props: &AclintSwiProps) -> Result<Interface, PropError> {
        let node = tree::Node::new("mswi", &["riscv,aclint-mswi"])
            .interrupts((0..props.num_harts).map(|hart| MSIP.nth(hart)));
        Ok(connections(props).node(node))
    }

    fn build(props: AclintSwiProps, _: Wires<'_>) -> Result<Self, BuildError> {
        let num_harts = props.num_harts;
        Ok(Self {
            num_harts,
            msip: vec![false; num_harts.into()],
        })
    }
}

impl Device for AclintSwi {
    fn reset(&mut self, cx: &mut Cx<'_>) {
        self.msip.fill(false);
        self.update(cx);
    }

    fn read(&mut self, _: &mut Cx<'_>, at: Access) -> Result<u64, BusError> {
        let hart = (at.offset / 4) as usize;
        let high = self.msip.get(hart).copied().unwrap_or(false);
        Ok(lanes(high.into(), at.offset, at.size))
    }

    fn write(&mut self, cx: &mut Cx<'_>, at: Access, value: u64) -> Result<(), BusError> {
        let hart = (at.offset / 4) as usize;
        match self.msip.get_mut(hart) {
            Some(high) => *high = merge((*high).into(), at.offset, at.size, value) & 1 != 0,
            None => cx.guest_error(format_args!("write where no register is")),
        }
        self.update(cx);
        Ok(())
    }

    fn restored(&mut self, cx: &mut Cx<'_>) -> Result<(), StateError> {
        if self.msip.len() != usize::from(self.num_harts) {
            return Err(StateError::new("msip: not one for each hart"));
        }
        self.update(cx);
        Ok(())
    }
}

impl AclintSwi {
    fn update(&self, cx: &mut Cx<'_>) {
        for (hart, high) in (0..).zip(&self.msip) {
            cx.set(MSIP.nth(hart), *high);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use solderless_model::testing::{Bench, Noise, exercise, goes_on_the_same};

    type Swi = Bench<AclintSwi>;

    fn swi() -> Swi {
        Bench::new(AclintSwiProps { num_harts: 3 })
    }

    #[test]
    fn the_lowest_bit_is_the_level() {
        let mut b = swi();
        for (hart, value, high) in [(1, 1, true), (2, 0xffff_fffe, false), (1, 2, false)] {
            assert!(b.write(REGISTERS, 4 * hart, 4, value));
            assert_eq!(b.read(REGISTERS, 4 * hart, 4), Some(high.into()));
            assert_eq!(b.output(MSIP.nth(hart as u16)), high);
        }
        assert!(b.write(REGISTERS, 1, 1, 0xff), "not the lowest byte");
        assert_eq!(b.read(REGISTERS, 0, 4), Some(0));
        assert!(b.write(REGISTERS, 12, 4, 1), "there is no such hart");
        assert_eq!(b.read(REGISTERS, 12, 4), Some(0));
        assert!(b.write(REGISTERS, 0, 4, 1));
        b.reset();
        assert!(!b.output(MSIP));
    }

    fn poke(b: &mut Swi, noise: &mut Noise) -> Option<u64> {
        let offset = noise.below(20);
        match noise.below(2) {
            0 => b.read(REGISTERS, offset, 1),
            _ => Some(b.write(REGISTERS, offset, 1, noise.value()).into()),
        }
    }

    #[test]
    fn random_accesses_and_saved_state() {
        goes_on_the_same(swi, 20, 300, poke);
        exercise(swi);
    }
}
