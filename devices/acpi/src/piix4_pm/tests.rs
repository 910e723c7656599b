#[cfg(any(
    feature = "cpu-hotplug",
    feature = "memory-hotplug",
    feature = "pci-hotplug"
))]
mod hotplug;

use super::*;
use crate::{MemoryModule, SmbusEeprom, SmbusEepromProps};
use proptest::prelude::*;
use solderless_model::testing::Bench;
use solderless_model::{I2cTarget, Parts, RegionId, contents};

/// As on a board that is no PC: no hotplug.
fn plain() -> Piix4PmProps {
    Piix4PmProps {
        acpi_pci_hotplug_with_bridge_support: false,
        acpi_root_pci_hotplug: false,
        memory_hotplug_support: false,
        x_not_migrate_acpi_index: true,
        ..Piix4PmProps::default()
    }
}

/// With every part that this build has.
fn full() -> Piix4PmProps {
    Piix4PmProps {
        acpi_pci_hotplug_with_bridge_support: cfg!(feature = "pci-hotplug"),
        acpi_root_pci_hotplug: cfg!(feature = "pci-hotplug"),
        memory_hotplug_support: cfg!(feature = "memory-hotplug"),
        memory_slots: 2,
        cpu_hotplug_legacy: cfg!(feature = "cpu-hotplug"),
        boot_cpus: 2,
        ..Piix4PmProps::default()
    }
}

fn bench(props: Piix4PmProps) -> Bench<Piix4Pm> {
    Bench::new(props)
}

fn peek(b: &mut Bench<Piix4Pm>, offset: u64, size: u8) -> u64 {
    b.read(PM, offset, size).unwrap()
}

#[test]
fn properties_have_the_names_that_boards_use() {
    let schema = schemars::schema_for!(Piix4PmProps);
    let properties = schema.get("properties").and_then(|p| p.as_object());
    let names: Vec<_> = properties.unwrap().keys().map(String::as_str).collect();
    for name in [
        "smb_io_base",
        "disable_s3",
        "disable_s4",
        "s4_val",
        "acpi-pci-hotplug-with-bridge-support",
        "acpi-root-pci-hotplug",
        "memory-hotplug-support",
        "smm-enabled",
        "smm-compat",
        "x-not-migrate-acpi-index",
    ] {
        assert!(names.contains(&name), "{name} in {names:?}");
    }
    let odd = Piix4PmProps {
        smb_io_base: 0x1108,
        ..plain()
    };
    assert_eq!(
        Piix4Pm::interface(&odd).unwrap_err().property,
        "smb_io_base"
    );
}

#[test]
fn configuration_after_reset_and_what_can_be_written() {
    let mut b = bench(plain());
    for (offset, reset, ones) in [
        (0x00, 0x7113_8086, 0x7113_8086),
        (0x08, 0x0680_0003, 0x0680_0003),
        (0x0c, 0, 0x0000_00ff),
        (0x10, 0, 0),
        (0x2c, 0x1100_1af4, 0x1100_1af4),
        (0x3c, 0x0000_0100, 0x0000_01ff),
        (0x40, 0x0000_0001, 0x0000_ffc1),
        (0x44, 0, 0xffff_ffff),
        (0x58, 0x0200_0000, 0xffff_ffff),
        (0x5c, 0x9000_0000, 0xffff_ffff),
        (0x60, 0x6000_0000, 0xffff_ffff),
        (0x64, 0x9800_0000, 0xffff_ffff),
        (0x7c, 0, 0xffff_ffff),
        (0x80, 0, 0x0000_0001),
        (0x84, 0, 0),
        (0x90, 0x0000_1101, 0x0000_fff1),
        (0xd0, 0x0009_0000, 0xff0f_0000),
        (0xd4, 0, 0x0000_ffff),
    ] {
        assert_eq!(b.config_read(offset, 4), reset, "{offset:#x} after reset");
        b.config_write(offset, 4, u32::MAX);
        assert_eq!(b.config_read(offset, 4), ones, "{offset:#x} written");
    }
    b.reset();
    assert_eq!(b.config_read(0x90, 4), 0x1101);
    assert_eq!(b.config_read(0x06, 2), 0x0280);
}

#[test]
fn base_registers_place_the_blocks() {
    let mut b = bench(plain());
    assert_eq!(b.around.mapped.get(&SMB), Some(&(0x1100, 16, 0)));
    assert_eq!(b.around.mapped.get(&PM), None);
    b.config_write(0x40, 4, 0x1000);
    assert_eq!(b.around.mapped.get(&PM), None);
    b.config_write(0x80, 1, 1);
    assert_eq!(b.around.mapped.get(&PM), Some(&(0x1000, 64, 0)));
    b.config_write(0x90, 2, 0x2010);
    assert_eq!(b.around.mapped.get(&SMB), Some(&(0x2010, 16, 0)));
    b.config_write(0xd2, 1, 0x08);
    assert_eq!(b.around.mapped.get(&SMB), None);
    b.reset();
    assert_eq!(b.around.mapped.get(&PM), None);
    assert_eq!(b.around.mapped.get(&SMB), Some(&(0x1100, 16, 0)));
}

#[test]
fn the_timer_counts_and_its_top_bit_raises_the_sci() {
    let mut b = bench(plain());
    b.advance(1_000_000_000);
    assert_eq!(peek(&mut b, 8, 4), 3_579_545);
    assert_eq!(peek(&mut b, 9, 1), 3_579_545 >> 8 & 0xff);
    assert!(b.around.timers.is_empty());
    b.write(PM, 2, 2, 1);
    assert_eq!(b.around.timers.get(&TIMER_OVERFLOW), Some(&2_343_484_438));
    b.advance(1_343_484_437);
    assert_eq!((peek(&mut b, 0, 2), b.output(SCI)), (0, false));
    b.advance(1);
    assert!(b.output(SCI));
    assert_eq!(peek(&mut b, 0, 2), 1);
    assert_eq!(peek(&mut b, 8, 4), 1 << 23);
    b.write(PM, 0, 2, 1);
    assert!(!b.output(SCI));
    assert_eq!(peek(&mut b, 0, 2), 0);
    b.advance(2_343_484_438);
    assert!(b.output(SCI), "the bit goes back to 0");
    assert_eq!(peek(&mut b, 8, 4), 0);
    b.write(PM, 2, 2, 0);
    assert!(!b.output(SCI));
    b.around.now = u64::MAX;
    b.write(PM, 0, 4, 0x0001_0001);
    assert_eq!(peek(&mut b, 0, 2), 0);
}

#[test]
fn suspend_types() {
    let disabled = Piix4PmProps {
        disable_s3: 1,
        disable_s4: 1,
        ..plain()
    };
    for (props, value, requests, resumed) in [
        (plain(), 0x2000, vec![Request::PowerOff], 0),
        (plain(), 0x0000, vec![], 0),
        (plain(), 0x2400, vec![Request::Reset], 0x8000),
        (plain(), 0x2800, vec![Request::PowerOff], 0),
        (plain(), 0x2c00, vec![Request::Reset], 0x8000),
        (plain(), 0x3000, vec![], 0),
        (plain(), 0x3400, vec![], 0),
        (plain(), 0x3800, vec![], 0),
        (disabled.clone(), 0x2400, vec![], 0),
        (disabled, 0x2800, vec![], 0),
    ] {
        let mut b = bench(props);
        b.write(PM, 4, 2, value);
        assert_eq!(b.around.requests, requests, "{value:#x}");
        assert_eq!(peek(&mut b, 4, 2), value & 0x1c03, "{value:#x}");
        assert_eq!(peek(&mut b, 0, 2) != 0, value == 0x3000, "{value:#x}");
        b.reset();
        assert_eq!(peek(&mut b, 0, 2), resumed, "{value:#x}");
        b.reset();
        assert_eq!(peek(&mut b, 0, 2), 0);
    }
    let mut b = bench(plain());
    b.write(PM, 5, 1, 0x20);
    assert_eq!(b.around.requests, [Request::PowerOff], "by byte");
}

#[test]
fn the_power_button_raises_the_sci_and_held_cuts_the_power() {
    let mut b = bench(plain());
    assert_eq!(peek(&mut b, 4, 2), 1, "SCI_EN");
    b.write(PM, 2, 2, 0x0100);
    b.line(PWRBTN, true);
    assert!(b.output(SCI));
    b.line(PWRBTN, false);
    assert!(b.output(SCI));
    b.write(PM, 0, 2, 0x0100);
    assert!(!b.output(SCI));
    b.advance(10_000_000_000);
    assert_eq!(b.around.requests, []);
    b.line(PWRBTN, true);
    b.advance(3_999_999_999);
    assert_eq!(b.around.requests, []);
    b.advance(1);
    assert_eq!(b.around.requests, [Request::PowerOff]);
    assert_eq!(peek(&mut b, 0, 2) & 0x0900, 0x0800);
}

#[test]
fn inputs_set_their_status() {
    for (pin, offset, bit) in [
        (RTC, 0x00, 10),
        (THRM, 0x0c, 0),
        (LID, 0x0c, 11),
        (RI, 0x0c, 10),
        (EXTSMI, 0x18, 10),
    ] {
        let mut b = bench(plain());
        b.line(pin, true);
        assert_eq!(peek(&mut b, offset, 2), 1 << bit, "{pin:?}");
        b.write(PM, offset, 2, 1 << bit);
        assert_eq!(peek(&mut b, offset, 2), 0, "{pin:?}");
    }
    let mut b = bench(plain());
    b.line(GPI1, true);
    b.line(GPI.nth(21), true);
    assert_eq!(peek(&mut b, 0x30, 4), 0x0020_0002);
    b.line(GPI1, false);
    assert_eq!(peek(&mut b, 0x0c, 2), 0x0200);
    b.write(PM, 0x0e, 2, 0xffff);
    assert_eq!(peek(&mut b, 0x0c, 4), 0x0f01_0200);
    assert!(b.output(SCI));
    assert_eq!(peek(&mut b, 0x18, 2), 0x0080);
}

#[test]
fn general_outputs() {
    let mut b = bench(plain());
    assert_eq!(peek(&mut b, 0x34, 4), 0x7fff_bfff);
    assert!(b.output(GPO) && !b.output(GPO.nth(14)));
    b.write(PM, 0x35, 1, 0x40);
    assert_eq!(peek(&mut b, 0x34, 4), 0x7fff_40ff);
    assert!(!b.output(GPO.nth(8)) && b.output(GPO.nth(14)));
}

#[test]
fn smi_and_the_firmware_of_a_pc() {
    let mut b = bench(Piix4PmProps {
        smm_enabled: true,
        ..plain()
    });
    assert_eq!(peek(&mut b, 4, 2), 0);
    b.write(APM, 0, 1, 0xf1);
    assert_eq!(peek(&mut b, 4, 2), 1);
    b.write(APM, 0, 1, 0xf0);
    assert_eq!(peek(&mut b, 4, 2), 0);
    b.write(APM, 0, 2, 0x12);
    b.write(APM, 1, 1, 0x34);
    assert_eq!(b.read(APM, 0, 1), Some(0x12));
    assert_eq!(b.read(APM, 1, 1), Some(0x34));
    assert_eq!(peek(&mut b, 0x18, 2), 0, "APMC_EN is clear");
    b.config_write(0x5b, 1, 2);
    b.write(APM, 0, 1, 1);
    assert_eq!(peek(&mut b, 0x18, 2), 0x20);
    b.write(PM, 0x28, 4, 1);
    assert!(!b.output(SMI), "EOS is clear");
    b.write(PM, 0x28, 4, 0x1_0001);
    assert!(b.output(SMI));
    assert_eq!(peek(&mut b, 0x28, 4), 1);
    b.write(PM, 0x18, 2, 0x20);
    assert!(b.output(SMI), "until EOS");
    b.write(PM, 0x28, 4, 0x1_0001);
    assert!(!b.output(SMI));
    // The operating system releases the global lock, and the firmware does.
    b.write(PM, 0x20, 2, 2);
    b.write(PM, 4, 2, 4);
    assert_eq!(peek(&mut b, 0x18, 2), 2);
    assert_eq!(peek(&mut b, 4, 2), 0);
    assert!(b.output(SMI));
    b.write(PM, 0x28, 4, 3);
    assert_eq!(peek(&mut b, 0, 2), 0x20);

    let mut b = bench(plain());
    b.write(APM, 0, 1, 0xf0);
    assert_eq!(peek(&mut b, 4, 2), 1, "nobody to hand over to");
    b.write(APM, 0, 1, 1);
    b.write(PM, 0x28, 4, 0x1_0001);
    assert!(!b.output(SMI));
}

fn eeprom(init: &[u8]) -> Box<dyn I2cTarget> {
    Box::new(
        Bench::<SmbusEeprom>::new(SmbusEepromProps {
            init: init.to_vec(),
            ..SmbusEepromProps::default()
        })
        .dev,
    )
}

/// Runs a transaction and returns the status after it.
fn transact(b: &mut Bench<Piix4Pm>, address: u8, command: u8, control: u8) -> u64 {
    b.write(SMB, 0, 1, 0x1e);
    b.write(SMB, 4, 1, u64::from(address));
    b.write(SMB, 3, 1, u64::from(command));
    b.write(SMB, 2, 1, u64::from(control | 0x40));
    assert_eq!(b.read(SMB, 0, 1), Some(1), "busy");
    b.advance(10_000_000);
    b.read(SMB, 0, 1).unwrap()
}

#[test]
fn smbus_protocols() {
    const QUICK: u8 = 0;
    const BYTE: u8 = 1 << 2;
    const BYTE_DATA: u8 = 2 << 2;
    const WORD_DATA: u8 = 3 << 2;
    const BLOCK: u8 = 5 << 2;
    let mut b = bench(plain());
    b.around
        .targets
        .insert((SMBUS, 0x50), eeprom(&[3, 0x11, 0x22, 0x33, 0x44]));
    assert_eq!(transact(&mut b, 0xa0, 0, QUICK), 2);
    assert_eq!(transact(&mut b, 0xa1, 0, QUICK), 2);
    assert_eq!(transact(&mut b, 0xa2, 0, QUICK), 4, "nobody there");
    assert_eq!(transact(&mut b, 0xa1, 1, BYTE_DATA), 2);
    assert_eq!(b.read(SMB, 5, 1), Some(0x11));
    assert_eq!(transact(&mut b, 0xa1, 0, BYTE), 2);
    assert_eq!(b.read(SMB, 5, 1), Some(0x22), "the next one");
    assert_eq!(transact(&mut b, 0xa1, 3, WORD_DATA), 2);
    assert_eq!(b.read(SMB, 5, 2), Some(0x33));
    assert_eq!(b.read(SMB, 6, 1), Some(0x44));
    assert_eq!(transact(&mut b, 0xa1, 0, BLOCK), 2);
    assert_eq!(b.read(SMB, 5, 1), Some(3));
    b.read(SMB, 2, 1);
    for byte in [0x11, 0x22, 0x33] {
        assert_eq!(b.read(SMB, 7, 1), Some(byte));
    }
    assert_eq!(
        transact(&mut b, 0xa1, 1, BLOCK),
        2,
        "a block of 0x11 bytes is possible"
    );
    assert_eq!(
        transact(&mut b, 0xa1, 3, BLOCK),
        4,
        "one of 0x33 bytes is not"
    );

    b.write(SMB, 5, 1, 0xab);
    b.write(SMB, 6, 1, 0xcd);
    assert_eq!(transact(&mut b, 0xa0, 0x10, WORD_DATA), 2);
    b.write(SMB, 5, 1, 2);
    b.read(SMB, 2, 1);
    b.write(SMB, 7, 1, 0xee);
    b.write(SMB, 7, 1, 0xff);
    assert_eq!(transact(&mut b, 0xa0, 0x12, BLOCK), 2);
    assert_eq!(transact(&mut b, 0xa0, 0x10, BYTE), 2, "send byte");
    for byte in [0xab, 0xcd, 2, 0xee, 0xff] {
        assert_eq!(transact(&mut b, 0xa1, 0, BYTE), 2);
        assert_eq!(b.read(SMB, 5, 1), Some(byte));
    }
}

#[test]
fn smbus_can_be_killed_and_interrupts() {
    let mut b = bench(plain());
    b.write(SMB, 4, 1, 0xa1);
    b.write(SMB, 2, 1, 0x40 | 1);
    assert!(!b.output(SCI));
    b.write(SMB, 2, 1, 3);
    assert_eq!(b.read(SMB, 0, 1), Some(0x10));
    assert!(b.output(SCI), "IRQ 9");
    assert!(b.around.timers.is_empty());
    b.write(SMB, 0, 1, 0x10);
    assert!(!b.output(SCI));
    assert_eq!(transact(&mut b, 0xa1, 0, 1), 4);
    assert!(b.output(SCI));
    b.config_write(0xd2, 1, 1);
    assert!(!b.output(SCI), "routed to SMI");
    assert_eq!(b.around.errors.len(), 0);
    b.write(SMB, 2, 1, 0x40 | 7 << 2);
    assert_eq!(b.read(SMB, 0, 1), Some(4));
    assert_eq!(b.around.errors.len(), 1, "a reserved protocol");
}

#[test]
fn a_part_is_a_section_and_its_ports_or_nothing() {
    for bits in 0..1 << 5 {
        let on = |bit: u32| bits >> bit & 1 != 0;
        let props = Piix4PmProps {
            acpi_root_pci_hotplug: on(0),
            acpi_pci_hotplug_with_bridge_support: on(1),
            x_not_migrate_acpi_index: on(2),
            memory_hotplug_support: on(3),
            cpu_hotplug_legacy: on(4),
            ..full()
        };
        let pci = cfg!(feature = "pci-hotplug");
        let parts = [
            (
                "pcihp",
                on(0) || on(1),
                pci,
                0xae00,
                if on(1) { 0x14 } else { 0x10 },
            ),
            ("acpi-index", on(1) && !on(2), pci, 0xae14, 4),
            (
                "memhp",
                on(3),
                cfg!(feature = "memory-hotplug"),
                0x0a00,
                0x18,
            ),
            ("cpuhp", on(4), cfg!(feature = "cpu-hotplug"), 0xaf00, 0x20),
        ];
        let interface = Piix4Pm::interface(&props).unwrap();
        for (part, (name, present, built, ..)) in interface.parts.iter().zip(parts) {
            let said = (part.name, part.present, part.built);
            assert_eq!(said, (name, present, built), "{props:?}");
        }
        let missing = parts
            .iter()
            .any(|(_, present, built, ..)| *present && !built);
        let made = Piix4Pm::build(props.clone(), Wires::new(&interface.present(), &[]));
        assert_eq!(made.is_err(), missing, "{props:?}");
        if missing {
            continue;
        }
        let b = bench(props);
        let there = parts.iter().filter(|(_, present, ..)| *present);
        let (names, windows): (Vec<_>, Vec<_>) = there
            .map(|(name, _, _, at, size)| {
                let place = Placement::Fixed(*at);
                (format!("dev.{name}"), (*name, place, *size))
            })
            .unzip();
        let sections: Vec<_> = b.save().into_iter().map(|s| s.path).collect();
        assert_eq!(sections[1..], names);
        let regions = b.interface.regions[4..].iter();
        let regions: Vec<_> = regions.map(|r| (r.name, r.place, r.size)).collect();
        assert_eq!(regions, windows);
    }
    assert_eq!(
        bench(plain()).save()[0],
        bench(full()).save()[0],
        "parts leave no trace in the device's own state"
    );
    let shape = format!("{:?}", contents::<Piix4Pm>(&Parts::default(), &[]));
    for word in ["hotplug", "acpi_index", "up", "down"] {
        assert!(!shape.contains(&format!("\"{word}")), "{word}");
    }
    let mut b = bench(plain());
    assert_eq!(b.read(PCI_HOTPLUG, 0, 4), None);
    let refused = b.with(|d, cx| d.hotplug(cx, Hotplug::Cpu { number: 1 }));
    assert_eq!(refused, Err(HotplugError::NoRegisters));
}

#[derive(Debug, Clone)]
enum Op {
    Read(u8, u64, u8),
    Write(u8, u64, u8, u64),
    Config(u8, u8, u32),
    Line(u16, bool),
    Timer(u8),
    Advance(u64),
    Plug(u8, u8),
    Unplug(u8, u8),
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let size = prop::sample::select(vec![1u8, 2, 4]);
    let value = prop_oneof![any::<u64>(), (0u32..64).prop_map(|n| 1 << n), 0u64..32];
    let op = prop_oneof![
        4 => (0u8..8, 0u64..64, size.clone()).prop_map(|(r, o, s)| Op::Read(r, o, s)),
        8 => (0u8..8, 0u64..64, size.clone(), value).prop_map(|(r, o, s, v)| Op::Write(r, o, s, v)),
        2 => (any::<u8>(), size, any::<u32>()).prop_map(|(o, s, v)| Op::Config(o, s, v)),
        1 => (0u16..64, any::<bool>()).prop_map(|(p, h)| Op::Line(p, h)),
        1 => (0u8..5).prop_map(Op::Timer),
        1 => (0u64..1 << 33).prop_map(Op::Advance),
        1 => (0u8..4, 0u8..40).prop_map(|(a, b)| Op::Plug(a, b)),
        1 => (0u8..4, 0u8..40).prop_map(|(a, b)| Op::Unplug(a, b)),
    ];
    prop::collection::vec(op, 0..120)
}

fn run(b: &mut Bench<Piix4Pm>, ops: &[Op]) -> Vec<Option<u64>> {
    let mut answers = Vec::new();
    for op in ops {
        match *op {
            Op::Read(region, offset, size) => answers.push(b.read(RegionId(region), offset, size)),
            Op::Write(region, offset, size, value) => {
                b.write(RegionId(region), offset, size, value);
            }
            Op::Config(offset, size, value) => {
                b.config_write(offset, size, value);
                answers.push(Some(u64::from(b.config_read(offset, 4))));
            }
            Op::Line(pin, high) => b.line(Pin(pin), high),
            Op::Timer(id) => {
                if b.around.timers.remove(&TimerId(id)).is_some() {
                    b.with(|d, cx| d.timer(cx, TimerId(id)));
                }
            }
            Op::Advance(ns) => b.advance(ns),
            Op::Plug(bus, slot) => {
                for change in [
                    Hotplug::Pci {
                        bus,
                        slot,
                        acpi_index: 9,
                    },
                    Hotplug::Memory {
                        slot: bus,
                        module: MemoryModule::default(),
                    },
                    Hotplug::Cpu { number: slot },
                ] {
                    let done = b.with(|d, cx| d.hotplug(cx, change)).is_ok();
                    answers.push(Some(u64::from(done)));
                }
            }
            Op::Unplug(bus, slot) => {
                for place in [Place::Pci { bus, slot }, Place::Memory { slot: bus }] {
                    let _ = b.with(|d, cx| d.hotplug(cx, Hotplug::Unplug(place)));
                }
                answers.push(Some(b.dev.take_ejected().len() as u64));
            }
        }
        for n in 0..2 + GPO_COUNT {
            answers.push(Some(u64::from(b.output(Pin(n)))));
        }
    }
    answers
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn saved_and_loaded_it_goes_on_the_same(
        before in ops(),
        after in ops(),
        hotplug in any::<bool>(),
        smm_enabled in any::<bool>(),
    ) {
        let props = Piix4PmProps { smm_enabled, ..if hotplug { full() } else { plain() } };
        let mut a = bench(props.clone());
        a.around.targets.insert((SMBUS, 0), eeprom(&[4, 5]));
        run(&mut a, &before);
        let saved = a.save();
        let mut b = bench(props);
        b.load(&saved, &a.around);
        prop_assert_eq!(&b.save(), &saved);
        prop_assert_eq!(&a.around.mapped, &b.around.mapped);
        prop_assert_eq!(&a.around.timers, &b.around.timers);
        a.around.targets.clear();
        prop_assert_eq!(run(&mut a, &after), run(&mut b, &after));
    }
}
