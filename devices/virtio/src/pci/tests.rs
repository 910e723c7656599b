use solderless_model::memory::Ram;
use solderless_model::testing::{Bench, exercise};
use solderless_model::{Pin, SlotId};

use super::*;
use crate::blk::{Blk, BlkProps};

type Card = Bench<Virtio<Pci, Blk>>;

const MEMORY: u64 = 0x10_0000;
const RING: u64 = 0x1000;
const HEAD: u64 = 0x8000;
const DATA: u64 = 0x9000;

fn card() -> Card {
    let mut b = Card::new(BlkProps::default());
    b.around
        .disks
        .insert(SlotId(0), (0..512 * 64).map(|n| (n / 512) as u8).collect());
    b.around.ram = Some(Ram::new(MEMORY).expect("memory"));
    b.config_write(0x10, 4, 0x1000);
    b.config_write(0x20, 4, 0x1000_0000);
    b.config_write(0x04, 2, 7);
    b
}

fn ram(b: &Card) -> Ram {
    b.around.ram.clone().expect("memory")
}

/// A read of sector 5 in descriptors 0 to 2 of a ring at `RING`, with the driver's area at `driver`.
fn ask(b: &Card, driver: u64) {
    let mut header = [0; 16];
    header[8] = 5;
    ram(b).write(HEAD, &header).unwrap();
    for (n, (at, len, flags)) in [(HEAD, 16u32, 1u16), (DATA, 512, 3), (HEAD + 0x100, 1, 2)]
        .into_iter()
        .enumerate()
    {
        let next = n as u16 + 1;
        let bytes = [
            &at.to_le_bytes()[..],
            &len.to_le_bytes(),
            &flags.to_le_bytes(),
            &next.to_le_bytes(),
        ]
        .concat();
        ram(b).write(RING + 16 * n as u64, &bytes).unwrap();
    }
    ram(b).write(driver, &[0, 0, 1, 0, 0, 0]).unwrap();
}

fn answered(b: &Card) {
    let mut byte = [0];
    ram(b).read(DATA, &mut byte).unwrap();
    assert_eq!(byte, [5]);
    assert!(b.output(Pin(0)));
}

#[test]
fn it_is_qemus_function_with_its_capabilities() {
    let mut b = card();
    assert_eq!(b.config_read(0, 4), 0x1001_1af4);
    assert_eq!(b.config_read(0x2c, 4), 0x0002_1af4);
    assert_eq!(b.config_read(8, 4), 0x0100_0000);
    let mut kinds = Vec::new();
    let mut at = b.config_read(0x34, 1) as u8;
    while at != 0 {
        assert_eq!(b.config_read(at, 1), 9);
        kinds.push(b.config_read(at + 3, 1));
        at = b.config_read(at + 1, 1) as u8;
    }
    assert_eq!(kinds, [1, 3, 4, 2, 5]);
    assert_eq!(b.config_read(0x70 + MORE, 4), 4);
}

#[test]
fn a_modern_driver_reads_a_sector() {
    let mut b = card();
    let mut put = |at: u64, size: u8, value: u64| assert!(b.write(MODERN, at, size, value));
    put(DEVICE_STATUS, 1, 3);
    put(DRIVER_FEATURE_SELECT, 4, 1);
    put(DRIVER_FEATURE, 4, 1);
    put(DEVICE_STATUS, 1, 11);
    put(QUEUE_SELECT, 2, 0);
    put(QUEUE_SIZE, 2, 8);
    put(QUEUE_DESC, 4, RING);
    put(QUEUE_DRIVER, 4, RING + 0x1000);
    put(QUEUE_DEVICE, 4, RING + 0x2000);
    put(QUEUE_ENABLE, 2, 1);
    put(DEVICE_STATUS, 1, 15);
    assert_eq!(b.read(MODERN, DEVICE_STATUS, 1), Some(15));
    ask(&b, RING + 0x1000);
    b.write(MODERN, NOTIFY, 2, 0);
    b.finish_jobs();
    answered(&b);
    assert_eq!(b.read(MODERN, ISR, 1), Some(1));
    assert!(!b.output(Pin(0)), "reading it acknowledges it");
}

#[test]
fn a_legacy_driver_reads_a_sector() {
    let mut b = card();
    assert_eq!(b.read(LEGACY, LEGACY_CONFIG, 4), Some(64));
    let mut put = |at: u64, size: u8, value: u64| assert!(b.write(LEGACY, at, size, value));
    put(LEGACY_STATUS, 1, 3);
    put(LEGACY_DRIVER_FEATURES, 4, 0);
    put(LEGACY_QUEUE_SELECT, 2, 0);
    put(LEGACY_QUEUE_ADDRESS, 4, RING / LEGACY_PAGE);
    put(LEGACY_STATUS, 1, 7);
    assert_eq!(b.read(LEGACY, LEGACY_QUEUE_SIZE, 2), Some(256));
    ask(&b, RING + 256 * 16);
    b.write(LEGACY, LEGACY_QUEUE_NOTIFY, 2, 0);
    b.finish_jobs();
    answered(&b);
    assert_eq!(b.read(LEGACY, LEGACY_ISR, 1), Some(1));
    assert!(!b.output(Pin(0)));
}

#[test]
fn configuration_accesses_alone_reach_its_registers() {
    let mut b = card();
    b.config_write(WINDOW + 4, 1, 4);
    b.config_write(WINDOW + 12, 4, 1);
    b.config_write(WINDOW + 8, 4, DEVICE_STATUS as u32);
    b.config_write(WINDOW_DATA, 1, 3);
    assert_eq!(b.read(MODERN, DEVICE_STATUS, 1), Some(3));
    b.config_write(WINDOW + 8, 4, DEVICE as u32);
    b.config_write(WINDOW + 12, 4, 4);
    assert_eq!(b.config_read(WINDOW_DATA, 4), 64);
}

#[test]
fn it_moves_nothing_before_it_may_be_a_master() {
    let mut b = card();
    b.write(LEGACY, LEGACY_QUEUE_ADDRESS, 4, 1);
    b.write(LEGACY, LEGACY_STATUS, 1, 7);
    ask(&b, RING + 256 * 16);
    b.config_write(0x04, 2, 3);
    b.write(LEGACY, LEGACY_QUEUE_NOTIFY, 2, 0);
    assert!(b.around.jobs.is_empty());
    b.config_write(0x04, 2, 7);
    b.write(LEGACY, LEGACY_QUEUE_NOTIFY, 2, 0);
    assert_eq!(b.around.jobs.len(), 1);
}

#[test]
fn random_accesses_and_saved_state() {
    exercise(card);
}
