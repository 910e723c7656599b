//! Serial ports on a PCI card: one, two or four 16550As behind one I/O window and one interrupt.
//!
//! QEMU's documentation "QEMU PCI serial devices" (docs/specs/pci-serial): vendor 1b36, device 0002, 0003 or 0004; base
//! address register 0 shows the chips' registers, eight ports each, in order.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use solderless_model::pci::{PciConfig, PciFunction, PciId};
use solderless_model::{
    Access, BuildError, BusError, BusKind, CharFrontend, Cx, Device, Interface, Model, Pins,
    Placement, PropError, Ranges, Region, Slot, SlotId, SlotKind, Space, State, StateError,
    TimerId, Wires, connections,
};

use crate::Uart16550;

connections! {
    fn connections(slots: &[&'static str]) on BusKind::Pci;
    region PORTS = Region::ports("ports", (REGISTERS * slots.len()) as u64).placed(Placement::Device);
    output INTX = Pins::named("intx");
    slot CHR[] = slots.iter().map(|name| Slot::new(name, SlotKind::Chardev));
}

const REGISTERS: usize = 8;
const BAUDBASE: u32 = 115_200;
/// Class code: a serial port, of the kind that the programming interface names.
const CLASS: u32 = 0x07_0000;

/// Properties of a PCI serial card.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema, Ranges)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct PciSerialProps {
    /// The programming interface in the class code: 2 says 16550.
    #[serde(rename = "prog_if")]
    pub prog_if: u8,
}

impl Default for PciSerialProps {
    fn default() -> Self {
        Self { prog_if: 2 }
    }
}

/// A card with so many ports.
#[derive(Debug, State)]
pub struct PciSerial<const COUNT: usize> {
    config: PciConfig,
    uarts: [Uart16550; COUNT],
}

/// The cards there are: ports, name, summary, device, slots.
macro_rules! cards {
    ($($count:literal, $name:literal, $summary:literal, $device:literal, $slots:expr;)*) => {$(
        impl Model for PciSerial<$count> {
            const TYPE: &'static str = $name;
            const OLD_PROPERTIES: &'static [(&'static str, &'static str)] =
                &[("prog-if", "prog_if")];
            const SUMMARY: &'static str = $summary;
            type Props = PciSerialProps;

            fn interface(_: &PciSerialProps) -> Result<Interface, PropError> {
                Ok(connections(&$slots))
            }

            fn build(props: PciSerialProps, _: Wires<'_>) -> Result<Self, BuildError> {
                Ok(Self::new($device, &props))
            }
        }
    )*};
}
cards! {
    1, "pci-serial", "PC16550D serial port on a PCI card (1b36:0002)", 0x0002, ["chr"];
    2, "pci-serial-2x", "Two PC16550D serial ports on a PCI card (1b36:0003)", 0x0003, ["chr1", "chr2"];
    4, "pci-serial-4x", "Four PC16550D serial ports on a PCI card (1b36:0004)", 0x0004,
        ["chr1", "chr2", "chr3", "chr4"];
}

impl<const COUNT: usize> PciSerial<COUNT> {
    fn new(device: u16, props: &PciSerialProps) -> Self {
        let id = PciId {
            vendor: 0x1b36,
            device,
            revision: 1,
            class: CLASS | u32::from(props.prog_if),
            subsystem: (0x1af4, 0x1100),
            header_type: 0,
            interrupt_pin: 1,
        };
        let window = (REGISTERS * COUNT) as u32;
        Self {
            config: PciConfig::new(id).bar(0, Space::Io, window, PORTS),
            uarts: std::array::from_fn(|n| Uart16550::numbered(BAUDBASE, n as u8)),
        }
    }

    /// The chip that an access reaches, and the register of it.
    fn register(&mut self, at: Access) -> Result<(&mut Uart16550, u8), BusError> {
        let chip = self.uarts.get_mut(at.offset as usize / REGISTERS);
        Ok((chip.ok_or(BusError)?, at.offset as u8 % REGISTERS as u8))
    }

    /// INTA# is asserted while any chip asks for an interrupt.
    fn drive(&mut self, cx: &mut Cx<'_>) {
        let asserted = self.uarts.iter().any(Uart16550::intr);
        cx.set(INTX, self.config.intx(asserted));
    }
}

impl<const COUNT: usize> Device for PciSerial<COUNT> {
    fn reset(&mut self, cx: &mut Cx<'_>) {
        self.config.reset();
        self.config.apply_bars(cx);
        self.uarts.iter_mut().for_each(|uart| uart.reset(cx));
        self.drive(cx);
    }

    fn read(&mut self, cx: &mut Cx<'_>, at: Access) -> Result<u64, BusError> {
        let (uart, register) = self.register(at)?;
        let value = uart.read(cx, register);
        self.drive(cx);
        Ok(value.into())
    }

    fn write(&mut self, cx: &mut Cx<'_>, at: Access, value: u64) -> Result<(), BusError> {
        let (uart, register) = self.register(at)?;
        uart.write(cx, register, value as u8);
        self.drive(cx);
        Ok(())
    }

    fn timer(&mut self, cx: &mut Cx<'_>, TimerId(number): TimerId) {
        if let Some(uart) = self.uarts.get_mut(usize::from(number)) {
            uart.timer(cx);
            self.drive(cx);
        }
    }

    fn pci(&mut self) -> Option<&mut dyn PciFunction> {
        Some(self)
    }

    fn chardev(&mut self) -> Option<&mut dyn CharFrontend> {
        Some(self)
    }

    fn restored(&mut self, cx: &mut Cx<'_>) -> Result<(), StateError> {
        self.config.apply_bars(cx);
        for uart in &mut self.uarts {
            uart.restored(cx)?;
        }
        self.drive(cx);
        Ok(())
    }
}

impl<const COUNT: usize> PciFunction for PciSerial<COUNT> {
    fn config(&mut self) -> &mut PciConfig {
        &mut self.config
    }

    fn config_written(&mut self, cx: &mut Cx<'_>, _: u8, _: u8) {
        self.drive(cx);
    }
}

impl<const COUNT: usize> CharFrontend for PciSerial<COUNT> {
    fn can_receive(&self, slot: SlotId) -> usize {
        self.uarts
            .get(usize::from(slot.0))
            .map_or(0, |uart| uart.can_receive(slot))
    }

    fn receive(&mut self, cx: &mut Cx<'_>, slot: SlotId, bytes: &[u8]) {
        if let Some(uart) = self.uarts.get_mut(usize::from(slot.0)) {
            uart.receive(cx, slot, bytes);
            self.drive(cx);
        }
    }

    fn receive_break(&mut self, cx: &mut Cx<'_>, slot: SlotId) {
        if let Some(uart) = self.uarts.get_mut(usize::from(slot.0)) {
            uart.receive_break(cx, slot);
            self.drive(cx);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use solderless_model::testing::{Bench, exercise};

    type Card = Bench<PciSerial<4>>;

    fn card() -> Card {
        Bench::new(PciSerialProps::default())
    }

    fn get(b: &mut Card, port: u64) -> u64 {
        b.read(PORTS, port, 1).expect("answers")
    }

    fn put(b: &mut Card, port: u64, value: u64) {
        assert!(b.write(PORTS, port, 1, value));
    }

    #[test]
    fn configuration_after_reset() {
        let mut b = card();
        for (offset, value) in [
            (0x00, 0x0004_1b36),
            (0x04, 0),
            (0x08, 0x0700_0201),
            (0x10, 1),
            (0x2c, 0x1100_1af4),
            (0x3c, 0x100),
        ] {
            assert_eq!(b.config_read(offset, 4), value, "{offset:#x}");
        }
        b.config_write(0x10, 4, !0);
        assert_eq!(b.config_read(0x10, 4), 0xffff_ffe1);
        b.config_write(0x10, 4, 0x1040);
        b.config_write(0x04, 2, 1);
        assert_eq!(b.around.mapped[&PORTS], (0x1040, 32, 0));
        let one = Bench::<PciSerial<1>>::new(PciSerialProps { prog_if: 0 });
        assert_eq!(one.interface.regions[0].size, 8);
        assert_eq!(one.interface.slots[0].name, "chr");
    }

    #[test]
    fn each_port_has_its_line_its_registers_and_its_time_out() {
        let mut b = card();
        for n in 0..4 {
            let (base, slot) = (8 * n, CHR.nth(n as u8));
            put(&mut b, base + 7, 0x50 + n);
            put(&mut b, base, u64::from(b'a') + n);
            assert_eq!(b.around.sent[&slot], [b'a' + n as u8]);
            put(&mut b, base + 2, 0xc1);
            put(&mut b, base + 1, 1);
            put(&mut b, base + 4, 0x0b);
            b.with(|d, cx| d.receive(cx, slot, b"x"));
            assert!(!b.output(INTX), "below the trigger level");
            b.advance(50_000_000);
            assert!(b.output(INTX), "after the time-out");
            assert_eq!(get(&mut b, base + 2), 0xcc);
            assert_eq!(get(&mut b, base), u64::from(b'x'));
            assert!(!b.output(INTX));
        }
        let scratch: Vec<u64> = (0..4).map(|n| get(&mut b, 8 * n + 7)).collect();
        assert_eq!(scratch, [0x50, 0x51, 0x52, 0x53]);
    }

    #[test]
    fn the_interrupt_is_shared_and_can_be_disabled() {
        let mut b = card();
        for n in [1, 3] {
            put(&mut b, 8 * n + 1, 2);
        }
        assert!(b.output(INTX));
        assert_eq!(b.config_read(0x06, 2), 0x0008);
        b.config_write(0x04, 2, 0x0400);
        assert!(!b.output(INTX));
        b.config_write(0x04, 2, 0);
        assert_eq!(get(&mut b, 8 + 2), 2);
        assert!(b.output(INTX), "the other still asks");
        assert_eq!(get(&mut b, 24 + 2), 2);
        assert!(!b.output(INTX));
        assert_eq!(b.config_read(0x06, 2), 0);
    }

    #[test]
    fn random_accesses_and_saved_state() {
        exercise(card);
        exercise(|| Bench::<PciSerial<1>>::new(PciSerialProps::default()));
    }
}
