//! The NMI status and control register of a PC, port 61h, with the speaker that it connects to the interval timer.
//!
//! Intel 82371FB/82371SB datasheet, 290550, "NMISC - NMI status and control register". The speaker is not heard. There is no NMI: SERR# and
//! IOCHK# are never asserted, and the bits that enable them hold what is written.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use solderless_model::{
    Access, BuildError, BusError, BusKind, Cx, Device, Interface, Model, Pins, PropError, Ranges,
    Region, State, StateError, Wires, connections,
};

connections! {
    fn connections(_: &PcSpeakerProps) on BusKind::Isa;
    region NMISC = Region::ports("nmisc", 1);
    input OUT2 = Pins::named("out");
    output GATE2 = Pins::named("gate");
}

/// NMISC: counter 2 runs; its output goes to the speaker; the two enables.
const GATE: u8 = 1 << 0;
const KEPT: u8 = 0x0f;
/// The refresh request, which changes every 15 microseconds; the output of counter 2.
const REFRESH: u8 = 1 << 4;
const OUT: u8 = 1 << 5;
const REFRESH_NS: u64 = 15_085;

/// Properties of `isa-pcspk`: it has none.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema, Ranges)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct PcSpeakerProps {}

/// The register.
#[derive(Debug, State)]
pub struct PcSpeaker {
    nmisc: u8,
}

impl Model for PcSpeaker {
    const TYPE: &'static str = "isa-pcspk";
    const SUMMARY: &'static str =
        "A PC's NMI status and control register (port 61h), with the speaker";
    type Props = PcSpeakerProps;

    fn interface(props: &PcSpeakerProps) -> Result<Interface, PropError> {
        Ok(connections(props).said("SPK", "PNP0800", &[]))
    }

    fn build(_: PcSpeakerProps, _: Wires<'_>) -> Result<Self, BuildError> {
        Ok(Self { nmisc: 0 })
    }
}

impl Device for PcSpeaker {
    fn reset(&mut self, cx: &mut Cx<'_>) {
        self.nmisc = 0;
        self.drive(cx);
    }

    fn read(&mut self, cx: &mut Cx<'_>, _: Access) -> Result<u64, BusError> {
        let refresh = ((cx.now() / REFRESH_NS) & 1) as u8 * REFRESH;
        let out = u8::from(cx.level(OUT2)) * OUT;
        Ok((self.nmisc | refresh | out).into())
    }

    fn write(&mut self, cx: &mut Cx<'_>, _: Access, value: u64) -> Result<(), BusError> {
        self.nmisc = value as u8 & KEPT;
        self.drive(cx);
        Ok(())
    }

    fn restored(&mut self, cx: &mut Cx<'_>) -> Result<(), StateError> {
        self.drive(cx);
        Ok(())
    }
}

impl PcSpeaker {
    fn drive(&self, cx: &mut Cx<'_>) {
        cx.set(GATE2, self.nmisc & GATE != 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use solderless_model::testing::{Bench, exercise};

    #[test]
    fn it_gates_the_counter_and_shows_its_output() {
        let mut b = Bench::<PcSpeaker>::new(PcSpeakerProps {});
        b.reset();
        assert!(!b.output(GATE2));
        assert!(b.write(NMISC, 0, 1, 0xf1));
        assert!(b.output(GATE2));
        assert_eq!(b.read(NMISC, 0, 1), Some(1));
        b.line(OUT2, true);
        assert_eq!(b.read(NMISC, 0, 1), Some(0x21));
        b.around.now += REFRESH_NS;
        assert_eq!(b.read(NMISC, 0, 1), Some(0x31));
        assert!(b.write(NMISC, 0, 1, 0));
        assert!(!b.output(GATE2));
        exercise(|| Bench::<PcSpeaker>::new(PcSpeakerProps {}));
    }
}
