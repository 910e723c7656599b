//! PIIX3 and PIIX4 PCI-to-ISA bridges, function 0 of the 82371SB (Intel 82371FB/82371SB datasheet 290550, chapter 2) and of the
//! 82371AB (Intel 82371AB datasheet 290562, chapter 4).
//!
//! The function decodes I/O subtractively: what no other function or card claims goes to the ISA bus. The
//! devices on that bus (interrupt, DMA and timer controllers, real-time clock) are models of their own. The
//! NMI status and control port 61h and the fast reset port 92h are left unclaimed, as on QEMU's Malta: the
//! board has neither speaker nor NMI, and its guests see all ones there.
//!
//! On a PC the CPU starts at the end of 4 GiB, from a ROM on the ISA bus: the PIIX3 passes the last 16 MiB there, as many as ISA has
//! addresses.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use solderless_model::acpi::{Node, Router};
use solderless_model::pci::{PciConfig, PciFunction, PciId, STATUS};
use solderless_model::{
    Access, BuildError, BusError, BusKind, Cx, Cycle, Device, ISA_MEMORY, ISA_PORTS, Interface,
    Model, On, Pin, Pins, Placement, Port, PropError, Ranges, Region, Request, Space, State,
    StateError, Wires, connections,
};

/// The bridge has nothing to set.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema, Ranges)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Piix4IsaProps {}

connections! {
    fn connections(chip: u8) on BusKind::Pci;
    region ISA_IO = Region::bridge("isa", ISA_PORTS, ISA, Space::Io)
        .io()
        .placed(Placement::Fixed(0))
        .background();
    region RC = Region::ports("rc", 1).placed(Placement::Fixed(0xcf9));
    region ISA_SPACE = Region::bridge("isa-memory", ISA_MEMORY, ISA, Space::Memory)
        .placed(Placement::Fixed(0))
        .background();
    region BIOS = Region::bridge("bios", ISA_MEMORY, ISA, Space::Memory)
        .placed(Placement::Fixed((1 << 32) - ISA_MEMORY))
        .background(), if chip == 3;
    port ISA = Port::new("isa", BusKind::Isa).wait(ISA_WAIT_NS);
    input PIRQ[PIRQ_COUNT as u16] = Pins::named("pirq").optional();
    output IRQ[IRQ_COUNT] = Pins::named("irq");
}

const PIRQ_COUNT: u8 = 4;
const IRQ_COUNT: u16 = 16;

/// One ISA bus access at 8 MHz with its wait states.
const ISA_WAIT_NS: u32 = 1000;

/// PIRQRC[A:D]: bit 7 disables the routing, bits 3:0 are the interrupt.
const PIRQRC: u8 = 0x60;
const PIRQRC_DISABLE: u8 = 0x80;
/// The ISA interrupts that a PIRQ can be routed to: 3 to 7, 9 to 12, 14 and 15.
const ROUTABLE: u16 = 0xdef8;

const RC_SYSTEM_RESET: u8 = 1 << 1;
const RC_RESET_CPU: u8 = 1 << 2;

/// Configuration registers that hold what is written, for functions that are not on the board or wired
/// otherwise: offset, size, value after reset, bits that a write sets. Reset values are those of QEMU 7.2,
/// which has a few where the datasheet reserves the register.
const CONFIG: [(u8, u8, u32, u32); 15] = [
    (0x4c, 1, 0x4d, 0xff),               // IORT
    (0x4e, 2, 0x0003, 0x07ff),           // XBCS
    (0x64, 1, 0x00, 0xff),               // SERIRQC
    (0x69, 1, 0x02, 0xfe),               // TOM
    (0x6a, 2, 0x0000, 0x0080),           // MSTAT
    (0x70, 1, 0x80, 0x00),               // reserved
    (0x76, 2, 0x0c0c, 0x8f8f),           // MBDMA0, MBDMA1
    (0x78, 1, 0x02, 0x00),               // reserved
    (0x80, 1, 0x00, 0x7f),               // APICBASE
    (0x82, 1, 0x00, 0x0f),               // DLC
    (0x90, 2, 0x0000, 0xffff),           // PDMACFG
    (0x92, 4, 0x0000_0000, 0xffc0_ffc0), // DDMABP
    (0xa0, 4, 0x0000_0008, 0),           // reserved
    (0xa8, 1, 0x0f, 0x00),               // reserved
    (0xb0, 4, 0x0000_0000, !0),          // GENCFG
];
const RTCCFG: u8 = 0xcb;

/// The same of a PIIX3.
const CONFIG_PIIX3: [(u8, u8, u32, u32); 6] = [
    (0x4c, 1, 0x4d, 0xff),     // IORT
    (0x4e, 2, 0x0003, 0x01ff), // XBCS
    (0x69, 1, 0x02, 0xfe),     // TOM
    (0x6a, 2, 0x0000, 0x00d7), // MSTAT
    (0x70, 2, 0x8080, 0xefef), // MBIRQ0, MBIRQ1
    (0x76, 2, 0x0c0c, 0x8787), // MBDMA0, MBDMA1
];

/// Function 0 of a PIIX3 or PIIX4.
#[derive(Debug, State)]
pub struct PiixIsa<const CHIP: u8> {
    config: PciConfig,
    /// PIRQA to PIRQD as they are driven, a bit each.
    pirq: u8,
    /// The reset control register.
    rc: u8,
}

/// Function 0 of a PIIX3.
pub type Piix3Isa = PiixIsa<3>;
/// Function 0 of a PIIX4.
pub type Piix4Isa = PiixIsa<4>;

impl<const CHIP: u8> Model for PiixIsa<CHIP> {
    const TYPE: &'static str = match CHIP {
        3 => "PIIX3",
        _ => "piix4-isa",
    };
    const SUMMARY: &'static str = match CHIP {
        3 => "PIIX3 PCI-to-ISA bridge with interrupt routing (82371SB function 0)",
        _ => "PIIX4 PCI-to-ISA bridge with interrupt routing (82371AB function 0)",
    };
    type Props = Piix4IsaProps;

    fn interface(_: &Piix4IsaProps) -> Result<Interface, PropError> {
        Ok(connections(CHIP).acpi(Node::Router(Router {
            port: ISA,
            input: PIRQ,
            register: PIRQRC,
            count: PIRQ_COUNT,
            choices: ROUTABLE,
            reset: (0xcf9, RC_SYSTEM_RESET | RC_RESET_CPU),
        })))
    }

    fn build(_: Piix4IsaProps, _: Wires<'_>) -> Result<Self, BuildError> {
        let id = PciId {
            vendor: 0x8086,
            device: if CHIP == 3 { 0x7000 } else { 0x7110 },
            revision: 0,
            class: 0x06_0100,
            subsystem: (0x1af4, 0x1100),
            header_type: 0x80,
            interrupt_pin: 0,
        };
        let registers: &[_] = if CHIP == 3 { &CONFIG_PIIX3 } else { &CONFIG };
        let config = registers
            .iter()
            .copied()
            .fold(
                PciConfig::new(id),
                |config, (offset, size, reset, writable)| {
                    config
                        .initial(offset, size, reset)
                        .writable(offset, size, writable)
                },
            )
            .initial(STATUS, 2, 0x0200)
            .clearable(0x6a, 2, 0x8000)
            .writable(RTCCFG, 1, if CHIP == 3 { 0 } else { 0x3f })
            .initial(PIRQRC, 4, 0x8080_8080)
            .writable(PIRQRC, 4, 0x8f8f_8f8f);
        Ok(Self {
            config,
            pirq: 0,
            rc: 0,
        })
    }
}

impl<const CHIP: u8> Device for PiixIsa<CHIP> {
    fn reset(&mut self, cx: &mut Cx<'_>) {
        self.config.reset();
        self.rc = 0;
        self.pirq = pirq_levels(cx);
        self.route(cx);
    }

    fn read(&mut self, _: &mut Cx<'_>, at: Access) -> Result<u64, BusError> {
        match at.region {
            RC => Ok(u64::from(self.rc)),
            _ => Err(BusError),
        }
    }

    /// The reset control register: a rising RCPU resets, whether hard (SRST set) or only the CPU: the board
    /// has no separate line for the second.
    fn write(&mut self, cx: &mut Cx<'_>, at: Access, value: u64) -> Result<(), BusError> {
        if at.region != RC {
            return Err(BusError);
        }
        let new = value as u8 & (RC_SYSTEM_RESET | RC_RESET_CPU);
        if new & !self.rc & RC_RESET_CPU != 0 {
            cx.request(Request::Reset);
        }
        self.rc = new;
        Ok(())
    }

    fn line(&mut self, cx: &mut Cx<'_>, _: Pin, _: bool) {
        self.pirq = pirq_levels(cx);
        self.route(cx);
    }

    fn interrupt_acknowledge(&mut self, cx: &mut Cx<'_>) -> Option<u8> {
        let vector = cx.cycle(On::Port(ISA), Cycle::Acknowledge);
        vector.ok().map(|vector| vector as u8)
    }

    fn pci(&mut self) -> Option<&mut dyn PciFunction> {
        Some(self)
    }

    fn restored(&mut self, cx: &mut Cx<'_>) -> Result<(), StateError> {
        self.route(cx);
        Ok(())
    }
}

impl<const CHIP: u8> PciFunction for PiixIsa<CHIP> {
    fn config(&mut self) -> &mut PciConfig {
        &mut self.config
    }

    fn config_written(&mut self, cx: &mut Cx<'_>, _: u8, _: u8) {
        self.route(cx);
    }
}

fn pirq_levels(cx: &Cx<'_>) -> u8 {
    cx.levels(PIRQ, PIRQ_COUNT.into()) as u8
}

impl<const CHIP: u8> PiixIsa<CHIP> {
    /// The interrupt that a PIRQ is routed to, as a bit.
    fn target(&self, pirq: u8) -> u16 {
        let route = self.config.get(PIRQRC + pirq, 1) as u8;
        if route & PIRQRC_DISABLE != 0 {
            0
        } else {
            1 << (route & 15) & ROUTABLE
        }
    }

    /// Drives every interrupt that a PIRQ can be routed to: the wired OR of the PIRQs that are.
    fn route(&self, cx: &mut Cx<'_>) {
        let high = (0..PIRQ_COUNT)
            .filter(|pirq| self.pirq >> pirq & 1 != 0)
            .fold(0, |high, pirq| high | self.target(pirq));
        for irq in (0..IRQ_COUNT).filter(|irq| ROUTABLE >> irq & 1 != 0) {
            cx.set(IRQ.nth(irq), high >> irq & 1 != 0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use solderless_model::testing::Bench;

    fn bridge() -> Bench<Piix4Isa> {
        Bench::new(Piix4IsaProps::default())
    }

    fn high(bridge: &Bench<Piix4Isa>) -> Vec<u16> {
        (0..IRQ_COUNT)
            .filter(|irq| bridge.output(IRQ.nth(*irq)))
            .collect()
    }

    #[test]
    fn configuration_after_reset() {
        let mut b = bridge();
        for (offset, value) in [
            (0x00, 0x7110_8086),
            (0x04, 0x0200_0000),
            (0x08, 0x0601_0000),
            (0x0c, 0x0080_0000),
            (0x2c, 0x1100_1af4),
            (0x3c, 0),
            (0x4c, 0x0003_004d),
            (0x60, 0x8080_8080),
            (0x64, 0),
            (0x68, 0x0000_0200),
            (0x70, 0x80),
            (0x74, 0x0c0c_0000),
            (0x78, 2),
            (0xa0, 8),
            (0xa8, 15),
            (0xb0, 0),
        ] {
            assert_eq!(b.config_read(offset, 4), value, "{offset:#x}");
        }
    }

    #[test]
    fn what_linux_writes_reads_back() {
        let mut b = bridge();
        for (offset, size, written, read) in [
            (0x04, 4, 0x0200_0400, 0x0200_0400),
            (0x60, 4, 0x0b0b_0a0a, 0x0b0b_0a0a),
            (0x60, 4, 0xffff_ffff, 0x8f8f_8f8f),
            (0x64, 1, 0xc0, 0xc0),
            (0x69, 1, 0xf2, 0xf2),
            (0x82, 1, 0x07, 0x07),
            (0xb0, 4, 0x0001_0000, 0x0001_0000),
            (0x92, 4, 0xffff_ffff, 0xffc0_ffc0),
        ] {
            b.config_write(offset, size, written);
            assert_eq!(b.config_read(offset, size), read, "{offset:#x}");
        }
        b.reset();
        assert_eq!(b.config_read(0x60, 4), 0x8080_8080);
    }

    #[test]
    fn a_pirq_goes_where_it_is_routed() {
        let mut b = bridge();
        b.line(PIRQ.nth(3), true);
        assert_eq!(high(&b), [0u16; 0], "off after reset");
        b.config_write(0x60, 4, 0x0b0b_0a0a);
        assert_eq!(high(&b), [11]);
        b.line(PIRQ.nth(1), true);
        b.line(PIRQ.nth(0), true);
        assert_eq!(high(&b), [10, 11]);
        b.line(PIRQ.nth(1), false);
        assert_eq!(high(&b), [10, 11], "PIRQA still asks for 10");
        b.config_write(0x63, 1, 0x8b);
        assert_eq!(high(&b), [10]);
        for reserved in [0, 1, 2, 8, 13] {
            b.config_write(0x60, 1, reserved);
            assert_eq!(high(&b), [0u16; 0], "{reserved}");
        }
        b.config_write(0x60, 1, 5);
        assert_eq!(high(&b), [5]);
        b.reset();
        assert_eq!(high(&b), [0u16; 0]);
    }

    #[test]
    fn a_rising_rcpu_resets() {
        let mut b = bridge();
        assert!(b.write(RC, 0, 1, 0x02));
        assert_eq!(b.around.requests, []);
        assert!(b.write(RC, 0, 1, 0xff));
        assert_eq!(b.around.requests, [Request::Reset]);
        assert_eq!(b.read(RC, 0, 1), Some(6));
        assert!(b.write(RC, 0, 1, 0x06));
        assert_eq!(b.around.requests.len(), 1, "no edge");
    }

    #[test]
    fn an_acknowledge_cycle_goes_to_isa() {
        let mut b = bridge();
        b.around.vectors.push(0x0b);
        assert_eq!(b.with(|d, cx| d.interrupt_acknowledge(cx)), Some(0x0b));
        assert_eq!(b.with(|d, cx| d.interrupt_acknowledge(cx)), None);
    }

    #[derive(Debug, Clone)]
    enum Step {
        Config(u8, u8, u32),
        Line(u16, bool),
        Reset(u8),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            4 => (any::<u8>(), 0..3u8, any::<u32>())
                .prop_map(|(at, shift, v)| Step::Config(at >> shift << shift, 1 << shift, v)),
            2 => (0x60..0x64u8, any::<u32>()).prop_map(|(at, v)| Step::Config(at, 1, v & 15)),
            2 => (0..4u16, any::<bool>()).prop_map(|(pin, high)| Step::Line(pin, high)),
            1 => any::<u8>().prop_map(Step::Reset),
        ]
    }

    fn run(b: &mut Bench<Piix4Isa>, steps: &[Step]) {
        for step in steps {
            match *step {
                Step::Config(at, size, value) => b.config_write(at, size, value),
                Step::Line(pin, high) => b.line(PIRQ.nth(pin), high),
                Step::Reset(value) => assert!(b.write(RC, 0, 1, u64::from(value))),
            }
        }
    }

    proptest! {
        #[test]
        fn a_loaded_bridge_goes_on_the_same(
            first in prop::collection::vec(step(), 0..60),
            then in prop::collection::vec(step(), 0..60),
        ) {
            let (mut a, mut b) = (bridge(), bridge());
            run(&mut a, &first);
            b.load(&a.save(), &a.around);
            prop_assert_eq!(a.save(), b.save());
            prop_assert_eq!(high(&a), high(&b));
            run(&mut a, &then);
            run(&mut b, &then);
            prop_assert_eq!(a.save(), b.save());
            prop_assert_eq!(high(&a), high(&b));
        }
    }
}
