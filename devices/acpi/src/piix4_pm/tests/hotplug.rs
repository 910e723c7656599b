//! The parts' registers, each as far as this build has it.

use super::*;

fn region(b: &Bench<Piix4Pm>, name: &str) -> RegionId {
    let mut regions = b.interface.regions.iter();
    regions.find(|r| r.name == name).expect(name).id
}

#[test]
#[cfg(feature = "pci-hotplug")]
fn pci_hotplug() {
    let mut b = bench(full());
    let (hp, index) = (region(&b, "pcihp"), region(&b, "acpi-index"));
    let plug = |bus, slot| Hotplug::Pci {
        bus,
        slot,
        acpi_index: 77,
    };
    b.write(GPE, 2, 1, 0x02);
    b.with(|d, cx| d.hotplug(cx, plug(3, 5))).unwrap();
    assert!(b.output(SCI));
    assert_eq!(b.read(GPE, 0, 1), Some(2));
    b.write(GPE, 0, 1, 2);
    assert!(!b.output(SCI));
    assert_eq!(b.read(hp, 0, 4), Some(0), "bus 0 is selected");
    b.write(hp, 0x10, 4, 3);
    assert_eq!(b.read(hp, 0x10, 4), Some(3));
    b.write(index, 0, 4, 0xffff_ffe0);
    assert_eq!(
        b.read(index, 0, 1),
        Some(0),
        "all four bytes at once or none"
    );
    assert_eq!(b.read(index, 0, 4), Some(77));
    assert_eq!(b.read(index, 0, 4), Some(0));
    assert_eq!(b.read(hp, 0, 1), Some(0));
    assert_eq!(b.read(hp, 0, 4), Some(1 << 5));
    assert_eq!(b.read(hp, 0, 4), Some(0), "reading takes it away");
    assert_eq!(b.read(hp, 0x0c, 4), Some(0xffff_ffff));

    let place = Place::Pci { bus: 3, slot: 5 };
    b.with(|d, cx| d.hotplug(cx, Hotplug::Unplug(place)))
        .unwrap();
    assert!(b.output(SCI));
    assert_eq!(b.read(hp, 4, 4), Some(1 << 5));
    assert_eq!(b.dev.take_ejected(), []);
    b.write(hp, 8, 1, 1 << 5);
    assert_eq!(b.dev.take_ejected(), []);
    b.write(hp, 8, 4, 0x60);
    assert_eq!(b.read(hp, 4, 4), Some(0));
    assert_eq!(b.dev.take_ejected(), [place], "the lowest alone");
    assert_eq!(b.dev.take_ejected(), []);
    b.write(index, 0, 4, 1 << 5);
    assert_eq!(b.read(index, 0, 4), Some(0), "its number is gone with it");

    b.write(hp, 0x10, 4, 256);
    assert_eq!(b.read(hp, 0x0c, 4), Some(0));
    assert_eq!(
        b.with(|d, cx| d.hotplug(cx, plug(0, 32))),
        Err(HotplugError::NoSuchPlace)
    );
    b.with(|d, cx| d.hotplug(cx, Hotplug::Unplug(place)))
        .unwrap();
    b.reset();
    assert_eq!(b.dev.take_ejected(), [place], "a reset lets go");

    let mut b = bench(Piix4PmProps {
        acpi_root_pci_hotplug: true,
        ..plain()
    });
    let hp = region(&b, "pcihp");
    assert_eq!(
        b.with(|d, cx| d.hotplug(cx, plug(3, 5))),
        Err(HotplugError::NoSuchPlace)
    );
    b.with(|d, cx| d.hotplug(cx, plug(0, 31))).unwrap();
    for _ in 0..2 {
        assert_eq!(b.read(hp, 0, 4), Some(1 << 31), "until it is let go");
    }
    b.write(hp, 8, 4, 1 << 31);
    assert_eq!(b.read(hp, 0, 4), Some(0));
}

#[test]
#[cfg(feature = "memory-hotplug")]
fn memory_hotplug() {
    let mut b = bench(full());
    let hp = region(&b, "memhp");
    let module = MemoryModule {
        address: 0x1_2345_6000,
        size: 0x4000_0000,
        proximity: 7,
    };
    let plug = Hotplug::Memory { slot: 1, module };
    b.with(|d, cx| d.hotplug(cx, plug)).unwrap();
    assert_eq!(
        b.with(|d, cx| d.hotplug(cx, plug)),
        Err(HotplugError::Occupied)
    );
    assert_eq!(b.read(GPE, 0, 1), Some(8));
    assert_eq!(b.read(hp, 0x14, 1), Some(0));
    b.write(hp, 0, 4, 1);
    for (offset, value) in [
        (0x00, 0x2345_6000),
        (0x04, 1),
        (0x08, 0x4000_0000),
        (0x0c, 0),
        (0x10, 7),
        (0x14, 3),
    ] {
        assert_eq!(b.read(hp, offset, 4), Some(value), "{offset:#x}");
    }
    for (offset, size, value) in [(8, 2, 0), (0xb, 1, 0xff), (0x15, 1, 0xff), (4, 1, 1)] {
        assert_eq!(b.read(hp, offset, size), Some(value), "{offset:#x}");
    }
    b.write(hp, 4, 4, 0x103);
    b.write(hp, 8, 4, 0x80);
    assert_eq!(b.dev.memory_ospm_status(1), Some((0x103, 0x80)));
    b.write(hp, 0x14, 1, 2);
    assert_eq!(b.read(hp, 0x14, 1), Some(1));
    let place = Place::Memory { slot: 1 };
    let unplug = Hotplug::Unplug(place);
    b.with(|d, cx| d.hotplug(cx, unplug)).unwrap();
    assert_eq!(b.read(hp, 0x14, 1), Some(5));
    b.write(hp, 0x14, 1, 8);
    assert_eq!(b.read(hp, 0x14, 1), Some(4));
    b.write(hp, 0x14, 1, 4);
    assert_eq!(b.read(hp, 0x14, 1), Some(0));
    assert_eq!(
        b.with(|d, cx| d.hotplug(cx, plug)),
        Err(HotplugError::Occupied),
        "until it is taken out"
    );
    b.write(hp, 0, 1, 2);
    assert_eq!(b.read(hp, 8, 4), Some(0), "no such slot");
    assert_eq!(b.dev.take_ejected(), [place]);
    assert_eq!(
        b.with(|d, cx| d.hotplug(cx, unplug)),
        Err(HotplugError::Empty)
    );
    b.with(|d, cx| d.hotplug(cx, plug)).unwrap();
    b.reset();
    b.write(hp, 0, 4, 1);
    assert_eq!(b.read(hp, 0x14, 1), Some(1), "it stays");
    b.with(|d, cx| d.hotplug(cx, unplug)).unwrap();
    b.reset();
    assert_eq!(b.dev.take_ejected(), [place]);

    let saved = b.save();
    let other = Piix4PmProps {
        memory_slots: 3,
        ..full()
    };
    let mut b = bench(other);
    let mut reader = solderless_model::Reader::new(&saved, solderless_model::NEWEST);
    reader.section("dev", &mut b.dev).unwrap();
    let error = b.with(|d, cx| d.restored(cx)).unwrap_err();
    assert_eq!(error.to_string(), "2 memory slots saved, 3 here");
}

#[test]
#[cfg(feature = "cpu-hotplug")]
fn cpu_hotplug() {
    let mut b = bench(full());
    let hp = region(&b, "cpuhp");
    assert_eq!(b.read(hp, 0, 1), Some(3));
    b.write(GPE, 2, 1, 4);
    b.with(|d, cx| d.hotplug(cx, Hotplug::Cpu { number: 255 }))
        .unwrap();
    assert!(b.output(SCI));
    assert_eq!(b.read(hp, 31, 1), Some(0x80));
    let again = b.with(|d, cx| d.hotplug(cx, Hotplug::Cpu { number: 0 }));
    assert_eq!(again, Err(HotplugError::Occupied));
    b.write(hp, 0, 1, 0);
    b.reset();
    assert_eq!(b.read(hp, 0, 1), Some(3), "read-only");
}
