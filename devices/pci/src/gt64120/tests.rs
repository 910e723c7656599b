//! Tests of the GT-64120 on a bench.

use proptest::prelude::*;
use solderless_model::memory::Ram;
use solderless_model::testing::Bench;

use super::*;

fn gt(big_endian: bool) -> Bench<Gt64120> {
    Bench::new(Gt64120Props {
        big_endian,
        ..Gt64120Props::default()
    })
}

fn get(b: &mut Bench<Gt64120>, offset: u64) -> u32 {
    b.read(ISD, offset, 4).unwrap() as u32
}

fn put(b: &mut Bench<Gt64120>, offset: u64, value: u32) {
    assert!(b.write(ISD, offset, 4, u64::from(value)));
}

fn function(device: u16) -> PciConfig {
    PciConfig::new(PciId {
        vendor: 0x8086,
        device,
        ..PciId::default()
    })
}

#[test]
fn registers_after_reset() {
    for (big_endian, cpu, command) in [(false, 0x1000, 0x0001_0001), (true, 0, 0)] {
        let mut b = gt(big_endian);
        for (offset, value) in [
            (0x000, cpu),
            (0x010, 0x07),
            (0x048, 0x80),
            (0x050, 0x0f),
            (0x068, 0xa0),
            (0x080, 0x790),
            (0x0b8, 0x2f),
            (0x0c0, 0xc000_ffee),
            (0x100, 0x790),
            (0x120, 3),
            (0x45c, 0x386f_ffff),
            (0x850, 0xffff_ffff),
            (0x85c, 0x00ff_ffff),
            (0xc00, command),
            (0xc80, command),
            (0xc18, 0),
            (0xcf8, 0),
            (0x004, 0),
        ] {
            assert_eq!(get(&mut b, offset), value, "{offset:#05x}");
        }
        assert_eq!(b.around.mapped[&ISD], (0x1400_0000, 0x1000, 0));
        assert_eq!(b.around.mapped[&PCI0_IO], (0x1000_0000, 32 << 20, 0));
        assert_eq!(
            b.around.mapped[&PCI0_MEM0],
            (0x1200_0000, 32 << 20, 0x1200_0000)
        );
        assert_eq!(
            b.around.mapped[&PCI0_MEM1],
            (0xf200_0000, 32 << 20, 0xf200_0000)
        );
    }
}

#[test]
fn the_table_lists_each_register_once_and_aligned() {
    let mut seen = std::collections::BTreeSet::new();
    for (offset, reset, writable) in REGISTERS {
        assert!(offset % 4 == 0 && *offset < 0x1000 && seen.insert(offset));
        let fixed = [0x0c0, 0x0c8, 0x120, 0x128, 0x130, 0x138, 0x470];
        assert!(
            reset & !writable == 0 || fixed.contains(offset),
            "{offset:#05x}"
        );
    }
}

#[test]
fn firmware_places_the_windows() {
    let mut b = gt(false);
    for (offset, value) in [
        (0x068, 0xdf),
        (0x048, 0xc0),
        (0x050, 0x40),
        (0x058, 0x80),
        (0x060, 0x3f),
        (0x080, 0xc1),
        (0x088, 0x5e),
    ] {
        put(&mut b, offset, value);
    }
    let placed = [
        (ISD, (0x1be0_0000, 0x1000, 0)),
        (PCI0_IO, (0x1800_0000, 2 << 20, 0)),
        (PCI0_MEM0, (0x1000_0000, 128 << 20, 0x1000_0000)),
        (PCI0_MEM1, (0x1820_0000, 60 << 20, 0x1820_0000)),
    ];
    for (region, place) in placed {
        assert_eq!(b.around.mapped[&region], place);
    }
    assert_eq!(
        [0x0f0, 0x0f8, 0x100].map(|o| get(&mut b, o)),
        [0xc0, 0x80, 0xc1],
        "remaps follow"
    );
    put(&mut b, 0x0f0, 0);
    assert_eq!(
        b.around.mapped[&PCI0_IO],
        (0x1800_0000, 2 << 20, 0),
        "port 0"
    );
    let saved = b.save();
    let mut fresh = gt(false);
    fresh.load(&saved, &b.around);
    for (region, place) in placed {
        assert_eq!(fresh.around.mapped[&region], place);
    }
    b.reset();
    assert_eq!(b.around.mapped[&ISD], (0x1400_0000, 0x1000, 0));
}

#[test]
fn a_remap_replaces_the_bits_above_the_window() {
    let mut b = gt(false);
    put(&mut b, 0x058, 0x80);
    put(&mut b, 0x060, 0x3f);
    put(&mut b, 0x0f8, 0x7c3);
    assert_eq!(
        b.around.mapped[&PCI0_MEM0],
        (0x1000_0000, 128 << 20, 0xf800_0000)
    );
    put(&mut b, 0x060, 0x00);
    assert_eq!(
        b.around.mapped[&PCI0_MEM0],
        (0x1000_0000, 2 << 20, 0xf860_0000)
    );
}

#[test]
fn a_window_with_high_below_low_is_closed() {
    let mut b = gt(false);
    put(&mut b, 0x048, 0xc0);
    assert!(!b.around.mapped.contains_key(&PCI0_IO), "0x40 to 0x0f");
    put(&mut b, 0x050, 0x40);
    assert!(b.around.mapped.contains_key(&PCI0_IO));
}

#[test]
fn registers_are_swapped_while_the_order_is_wrong() {
    for big_endian in [false, true] {
        let mut b = gt(big_endian);
        let right = get(&mut b, 0);
        put(&mut b, 0, right ^ CPU_LITTLE_ENDIAN);
        assert_eq!(get(&mut b, 0x068), 0xa000_0000);
        assert_eq!(b.read(ISD, 0x06b, 1), Some(0xa0));
        assert_eq!(b.read(ISD, 0x06a, 2), Some(0xa000));
        put(&mut b, 0x068, 0xdf00_0000);
        assert_eq!(b.around.mapped[&ISD].0, 0x1be0_0000);
        put(&mut b, 0, right.swap_bytes());
        assert_eq!(get(&mut b, 0x068), 0xdf);
    }
}

#[test]
fn parts_of_a_register_are_written() {
    let mut b = gt(false);
    assert!(b.write(ISD, 0x821, 1, 0x12));
    assert!(b.write(ISD, 0x822, 2, 0x3456));
    assert_eq!(get(&mut b, 0x820), 0x3456_1200);
    assert_eq!(b.read(ISD, 0x823, 1), Some(0x34));
}

#[test]
fn configuration_cycles_reach_functions() {
    let mut b = gt(false);
    b.around
        .functions
        .insert((PCI, 10 << 3 | 2), function(0x7112));
    put(&mut b, 0xcf8, 0x8000_5200);
    assert_eq!(get(&mut b, 0xcfc), 0x7112_8086);
    assert_eq!(b.read(ISD, 0xcfe, 2), Some(0x7112));
    assert_eq!(b.read(ISD, 0xcfd, 1), Some(0x80));
    put(&mut b, 0xcf8, 0x8000_523f);
    assert_eq!(get(&mut b, 0xcf8), 0x8000_523c);
    assert!(b.write(ISD, 0xcfc, 1, 0x0b));
    assert_eq!(get(&mut b, 0xcfc), 0x0b);
    assert_eq!(get(&mut b, 0xc18), 0);
    put(&mut b, 0xcf8, 0x0000_5200);
    assert_eq!(get(&mut b, 0xcfc), u32::MAX, "not enabled");
    assert_eq!(get(&mut b, 0xc18), 0);
}

#[test]
fn an_absent_function_is_a_master_abort() {
    // Linux clears the abort bits before each cycle and looks at them afterwards.
    for (address, aborts) in [
        (0x8000_5000, true),
        (0x8000_0100, true),
        (0x8001_0000, true),
        (0x8000_ff00, false),
        (0x8000_0000, false),
    ] {
        let mut b = gt(false);
        put(&mut b, 0xc18, 0xfff3_ffff);
        put(&mut b, 0xcf8, address);
        let value = get(&mut b, 0xcfc);
        let cause = get(&mut b, 0xc18);
        assert_eq!(cause, if aborts { 0x0004_0001 } else { 0 }, "{address:#x}");
        put(&mut b, 0xc18, 0xfff3_ffff);
        assert_eq!(get(&mut b, 0xc18), 0);
        let present = address == 0x8000_0000;
        assert_eq!(value, if present { 0x4620_11ab } else { u32::MAX });
        put(&mut b, 0xcfc, 0);
        assert_eq!(get(&mut b, 0xc18) != 0, aborts, "{address:#x}");
        put(&mut b, 0xcf8, 0x8000_0004);
        assert_eq!(get(&mut b, 0xcfc) >> 29 & 1 != 0, aborts, "status");
    }
}

#[test]
fn function_0_is_the_controller_itself() {
    let mut b = gt(false);
    for (register, value) in [
        (0x00, 0x4620_11ab),
        (0x04, 0x0280_0000),
        (0x08, 0x0600_0010),
        (0x0c, 0),
        (0x10, 0x0000_0008),
        (0x14, 0x0100_0008),
        (0x18, 0x1c00_0000),
        (0x1c, 0x1f00_0000),
        (0x20, 0x1400_0000),
        (0x24, 0x1400_0001),
        (0x2c, 0x1100_1af4),
        (0x30, 0),
        (0x3c, 0x0000_0100),
    ] {
        put(&mut b, 0xcf8, 0x8000_0000 | register);
        assert_eq!(get(&mut b, 0xcfc), value, "{register:#x}");
        if (0x10..0x28).contains(&register) {
            put(&mut b, 0xcfc, u32::MAX);
            assert_eq!(get(&mut b, 0xcfc), value, "{register:#x} is fixed");
        }
    }
    put(&mut b, 0xcf8, 0x8000_0004);
    put(&mut b, 0xcfc, 0x0280_0400);
    assert_eq!(get(&mut b, 0xcfc), 0x0280_0400);
}

/// A big-endian CPU's word has its bytes on the lanes in reverse. The controller's own registers appear
/// reversed to it, the data of other functions' registers in its own order: what Linux expects.
#[test]
fn configuration_data_in_each_byte_order() {
    for (big_endian, command, own, other) in [
        (false, 0x0001_0001, 0x4620_11ab, 0x7112_8086),
        (false, 0, 0x4620_11ab, 0x8680_1271),
        (true, 0, 0x4620_11ab, 0x8680_1271),
        (true, 0x0001_0001, 0x4620_11ab, 0x7112_8086),
    ] {
        let mut b = gt(big_endian);
        b.around
            .functions
            .insert((PCI, 10 << 3 | 2), function(0x7112));
        put(&mut b, 0xc00, command);
        put(&mut b, 0xcf8, 0x8000_0000);
        assert_eq!(get(&mut b, 0xcfc), own);
        put(&mut b, 0xcf8, 0x8000_5200);
        assert_eq!(get(&mut b, 0xcfc), other);
        let swapped = command & 1 == 0;
        let vendor_at = if swapped { 0xcfe } else { 0xcfc };
        let vendor = if swapped { 0x8680 } else { 0x8086 };
        assert_eq!(b.read(ISD, vendor_at, 2), Some(vendor));
        let line_at = if swapped { 0xcff } else { 0xcfc };
        put(&mut b, 0xcf8, 0x8000_523c);
        assert!(b.write(ISD, line_at, 1, 0x0b));
        let line = b.around.functions[&(PCI, 10 << 3 | 2)].get(0x3c, 4);
        assert_eq!(line, 0x0b);
    }
}

#[test]
fn an_acknowledge_read_returns_the_vector() {
    let mut b = gt(false);
    b.around.vectors.push(0x0c);
    assert_eq!(get(&mut b, 0xc34), 0x0c);
    assert_eq!(get(&mut b, 0xc34), u32::MAX, "nothing answers");
    assert_eq!(get(&mut b, 0xc18), 0x0004_0001);
    assert_eq!(get(&mut b, 0xc30), u32::MAX, "PCI_1 is empty");
    assert_eq!(get(&mut b, 0xc98), 0x0004_0001);
}

#[test]
fn causes_interrupt_by_their_masks() {
    let mut b = gt(false);
    put(&mut b, 0xcf8, 0x8000_5000);
    get(&mut b, 0xcfc);
    assert!(!b.output(INT));
    put(&mut b, 0xc1c, 1 << 18);
    assert!(b.output(INT));
    assert_eq!(get(&mut b, 0xc18), 0x4004_0001);
    put(&mut b, 0xc24, u32::MAX);
    assert_eq!(get(&mut b, 0xc18), 0xc004_0001);
    assert_eq!(get(&mut b, 0xc70), 0x0004_0000);
    put(&mut b, 0xc18, !(1 << 18));
    assert!(!b.output(INT));
    put(&mut b, 0xc18, !(1 << 21));
    assert_eq!(get(&mut b, 0xc18), 0x8020_0001, "a doorbell towards PCI");
    assert!(!b.output(INT));
    put(&mut b, 0xc9c, 1 << 18);
    put(&mut b, 0xcf0, 0x8000_0000);
    put(&mut b, 0xcf4, 0);
    assert!(b.output(INT));
    assert_eq!(get(&mut b, 0xc70), 0x4004_0000, "the high register");
}

#[test]
fn unclaimed_addresses_read_0_and_are_noted() {
    for (address, cause) in [
        (0x1000_0000, 0x0004_0001),
        (0x1300_0000, 0x0004_0001),
        (0x0001_0000, 0),
        (0x1f00_0000, 0),
        (0x1900_0000, 0x0000_0009),
    ] {
        let mut b = gt(false);
        assert_eq!(b.read(UNCLAIMED, address, 4), Some(0));
        assert!(b.write(UNCLAIMED, address, 8, u64::MAX));
        assert_eq!(b.around.errors.len(), 2);
        assert_eq!(get(&mut b, 0xc18), cause, "{address:#x}");
        let latched = if cause == 9 { address as u32 } else { 0 };
        assert_eq!(get(&mut b, 0x070), latched);
    }
    let mut b = gt(false);
    assert_eq!(
        b.read(PCI0_IO, 0, 1),
        None,
        "a bridge is not for the device"
    );
}

#[test]
fn a_timer_reloads_and_a_counter_stops() {
    let mut b = gt(false);
    put(&mut b, 0x850, 9);
    put(&mut b, 0x854, 0xff00_0004);
    assert_eq!(get(&mut b, 0x854), 4, "24 bits");
    put(&mut b, 0xc1c, 0x100);
    put(&mut b, 0x864, 0b0111);
    b.advance(50);
    assert_eq!((get(&mut b, 0x850), get(&mut b, 0x854)), (4, 0));
    assert_eq!(get(&mut b, 0xc18), 0x201);
    b.advance(40);
    assert_eq!(get(&mut b, 0xc18), 0x4000_0301);
    assert!(b.output(INT));
    b.advance(1_000_000_005);
    put(&mut b, 0xc18, 0);
    assert!(!b.output(INT));
    b.advance(4);
    assert!(!b.output(INT));
    b.advance(91);
    assert!(b.output(INT), "once per period");
    put(&mut b, 0x864, 0);
    let stopped = get(&mut b, 0x850);
    put(&mut b, 0xc18, 0);
    b.advance(12_345);
    assert_eq!(get(&mut b, 0x850), stopped);
    assert!(!b.output(INT));
    assert_eq!(get(&mut b, 0xc18) & 0x300, 0, "the counter fired once");
}

#[test]
fn a_timer_whose_cause_is_set_is_not_armed() {
    let mut b = gt(false);
    put(&mut b, 0x850, 0);
    put(&mut b, 0x864, 0b11);
    b.advance(1_000_000_000);
    assert!(b.around.timers.is_empty());
    assert_eq!(get(&mut b, 0xc18), 0x101);
}

fn with_ram(b: &mut Bench<Gt64120>) -> Ram {
    let ram = Ram::new(0x4_0000).unwrap();
    b.around.ram = Some(ram.clone());
    ram
}

#[test]
fn dma_moves_a_block() {
    for (control, destination, expected) in [
        (0x1a00, 0x200, *b"abcdefghijklmnopqrst"),
        (
            0x1a00 | 6 << 6 | 2 << 4,
            0x200,
            *b"st\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0",
        ),
        (0x1a00 | 5 << 6 | 1 << 4, 0x213, *b"tsrqponmlkjihgfedcba"),
    ] {
        let mut b = gt(false);
        let ram = with_ram(&mut b);
        ram.write(0x100, b"abcdefghijklmnopqrst").unwrap();
        put(&mut b, 0x804, 20);
        put(&mut b, 0x814, 0x100);
        put(&mut b, 0x824, destination);
        put(&mut b, 0x844, control);
        assert_eq!(get(&mut b, 0x844) & 0x4000, 0x4000, "active");
        b.advance(10_000);
        assert_eq!(get(&mut b, 0x844) & 0x4000, 0);
        assert_eq!(get(&mut b, 0x804), 0);
        assert_eq!(get(&mut b, 0xc18), 0x21);
        let mut out = [0; 20];
        ram.read(0x200, &mut out).unwrap();
        assert_eq!(out, expected);
    }
}

#[test]
fn dma_follows_a_chain() {
    let mut b = gt(false);
    let ram = with_ram(&mut b);
    let records: [[u32; 4]; 2] = [[8, 0x1000, 0x2000, 0x110], [4, 0x1100, 0x2008, 0]];
    for (at, word) in (0x100..).step_by(4).zip(records.as_flattened()) {
        ram.write(at, &word.to_le_bytes()).unwrap();
    }
    ram.write(0x1000, b"01234567").unwrap();
    ram.write(0x1100, b"89ab").unwrap();
    put(&mut b, 0x830, 0x100);
    put(&mut b, 0x840, 0x1800 | 1 << 10 | 1 << 13);
    assert_eq!(get(&mut b, 0x870), 0x100);
    let mut fresh = gt(false);
    fresh.around.ram = b.around.ram.clone();
    fresh.load(&b.save(), &b.around);
    fresh.advance(10_000);
    let mut out = [0; 12];
    ram.read(0x2000, &mut out).unwrap();
    assert_eq!(&out, b"0123456789ab");
    assert_eq!(get(&mut fresh, 0xc18), 0x11);
    assert_eq!(get(&mut fresh, 0x870), 0x110);
}

#[test]
fn an_endless_chain_of_empty_records_does_not_flood_the_host() {
    let mut b = Bench::<Gt64120>::new(Gt64120Props {
        tclk: Hertz(1_000_000_000),
        ..Gt64120Props::default()
    });
    let ram = with_ram(&mut b);
    ram.write(0x10c, &0x100u32.to_le_bytes()).unwrap();
    for channel in (0..16).step_by(4) {
        put(&mut b, 0x830 + channel, 0x100);
        put(&mut b, 0x840 + channel, 0x1800 | 1 << 10 | 1 << 13);
    }
    // The bench counts the events.
    b.advance(1_000_000);
    assert_eq!(b.around.timers.len(), 4, "all still run");
    put(&mut b, 0x840, 0);
    assert_eq!(b.around.timers.len(), 3, "one can be stopped");
}

#[test]
fn dma_to_nowhere_is_a_cause() {
    let mut b = gt(false);
    with_ram(&mut b);
    put(&mut b, 0x800, 0x100);
    put(&mut b, 0x810, 0x3_ff80);
    put(&mut b, 0x840, 0x1a00);
    b.advance(100_000);
    assert_eq!(get(&mut b, 0xc18), 0x5);
    assert_eq!(get(&mut b, 0x840) & 0x4000, 0);
    put(&mut b, 0x830, 0xffff_fff0);
    put(&mut b, 0xc18, !5);
    put(&mut b, 0x840, 0x3800);
    assert_eq!(get(&mut b, 0xc18), 0x5, "no record there");
}

#[test]
fn a_clock_must_tick() {
    for bad in [0, 2_000_000_000] {
        let props = Gt64120Props {
            tclk: Hertz(bad),
            ..Gt64120Props::default()
        };
        assert_eq!(Gt64120::interface(&props).unwrap_err().property, "tclk");
    }
}

#[derive(Debug, Clone)]
enum Step {
    Read(u64, u8),
    Write(u64, u8, u64),
    Nowhere(u64),
    Advance(u64),
}

fn step() -> impl Strategy<Value = Step> {
    let place = || {
        prop_oneof![
            3 => 0..0x1000u64,
            1 => prop::sample::select(vec![0u64, 0xcf8, 0xcfc, 0xc18, 0xc1c, 0x850, 0x864, 0x840]),
            1 => prop::sample::select(REGISTERS).prop_map(|(offset, ..)| offset as u64),
        ]
    };
    let access = move || {
        (place(), 0..3u8, any::<bool>()).prop_map(|(at, shift, aligned)| {
            let at = if aligned { at >> shift << shift } else { at };
            (at.min(0x1000 - (1 << shift)), 1u8 << shift)
        })
    };
    let value = prop_oneof![any::<u64>(), 0..0x8000u64, Just(0x8000_5000), Just(0x1a00)];
    prop_oneof![
        4 => access().prop_map(|(at, size)| Step::Read(at, size)),
        6 => (access(), value).prop_map(|((at, size), v)| Step::Write(at, size, v)),
        1 => (0..(512u64 << 20)).prop_map(Step::Nowhere),
        2 => (0..100_000u64).prop_map(Step::Advance),
    ]
}

/// Runs accesses and returns everything the guest could see.
fn run(b: &mut Bench<Gt64120>, steps: &[Step]) -> Vec<Option<u64>> {
    let mut seen = Vec::new();
    for step in steps {
        match *step {
            Step::Read(at, size) => seen.push(b.read(ISD, at, size)),
            Step::Write(at, size, value) => assert!(b.write(ISD, at, size, value)),
            Step::Nowhere(at) => seen.push(b.read(UNCLAIMED, at, 8)),
            Step::Advance(ns) => b.advance(ns),
        }
        seen.push(Some(u64::from(b.output(INT))));
    }
    seen
}

proptest! {
    #[test]
    fn a_loaded_controller_goes_on_the_same(
        big_endian in any::<bool>(),
        first in prop::collection::vec(step(), 0..80),
        then in prop::collection::vec(step(), 0..80),
    ) {
        let (mut a, mut b) = (gt(big_endian), gt(big_endian));
        with_ram(&mut a);
        a.around.functions.insert((PCI, 10 << 3), function(0x7110));
        run(&mut a, &first);
        let ram = with_ram(&mut b);
        let mut content = vec![0; 0x4_0000];
        if let Some(from) = &a.around.ram {
            from.read(0, &mut content).unwrap();
            ram.write(0, &content).unwrap();
        }
        b.around.functions.insert((PCI, 10 << 3), function(0x7110));
        if let Some(f) = a.around.functions.get_mut(&(PCI, 10 << 3)) {
            f.reset();
        }
        b.load(&a.save(), &a.around);
        prop_assert_eq!(a.save(), b.save());
        prop_assert_eq!(&a.around.timers, &b.around.timers);
        prop_assert_eq!(&a.around.mapped, &b.around.mapped);
        prop_assert_eq!(run(&mut a, &then), run(&mut b, &then));
        prop_assert_eq!(a.save(), b.save());
    }
}
