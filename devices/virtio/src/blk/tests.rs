use solderless_model::memory::Ram;
use solderless_model::testing::{exercise, goes_on_the_same, step};

use super::*;
use crate::device::NEEDS_RESET;
use crate::queue::{RING_EVENT_IDX, RING_INDIRECT_DESC, RING_PACKED};
use crate::testing::{BUFFER, Device, Driver, REGISTERS, get, lies, offered, put, set_up};

const SECTORS: u64 = 4096;

fn disk(props: BlkProps) -> Device<Blk> {
    let mut b = Device::<Blk>::new(props);
    b.around.disks.insert(
        DRIVE,
        (0..SECTORS * SECTOR).map(|n| (n / 512) as u8).collect(),
    );
    b
}

fn packed() -> BlkProps {
    BlkProps {
        packed: true,
        ..BlkProps::default()
    }
}

fn ram(b: &Device<Blk>) -> Ram {
    b.around.ram.clone().expect("set up")
}

fn bytes(b: &Device<Blk>, at: u64, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    ram(b).read(at, &mut bytes).expect("there");
    bytes
}

/// Where tests put a header and a status.
const HEAD: u64 = BUFFER - 0x100;
const STATUS: u64 = BUFFER - 0x10;

fn header(b: &Device<Blk>, kind: u32, sector: u64) {
    let mut bytes = [0; 16];
    bytes[..4].copy_from_slice(&kind.to_le_bytes());
    bytes[8..].copy_from_slice(&sector.to_le_bytes());
    ram(b).write(HEAD, &bytes).expect("there");
    ram(b).write(STATUS, &[0xee]).expect("there");
}

/// A request to its end: its status, and how much the device says it has written.
fn request(
    b: &mut Device<Blk>,
    driver: &mut Driver,
    kind: u32,
    sector: u64,
    data: &[(u64, u32, bool)],
) -> Option<(u8, u32)> {
    header(b, kind, sector);
    let pieces = [&[(HEAD, 16, false)], data, &[(STATUS, 1, true)]].concat();
    let id = driver.offer(&ram(b), &pieces);
    driver.notify(b);
    b.finish_jobs();
    let (given, written) = driver.given(&ram(b), pieces.len() as u16)?;
    assert_eq!(given, id);
    Some((bytes(b, STATUS, 1)[0], written))
}

#[test]
fn a_driver_finds_the_disk() {
    let mut b = disk(BlkProps::default());
    assert_eq!(
        [get(&mut b, 0), get(&mut b, 4), get(&mut b, 8)],
        [0x7472_6976, 2, 2]
    );
    assert_eq!(get(&mut b, 0x0c), u32::from_le_bytes(*b"QEMU"));
    assert_eq!(get(&mut b, 0x100), SECTORS as u32);
    assert_eq!(b.read(REGISTERS, 0x100 + 34, 2), Some(1), "queues");
    b.around.disks.clear();
    assert_eq!(get(&mut b, 8), 0, "nothing in its slot");
}

#[test]
fn features_are_a_part_of_what_is_offered() {
    let mut b = disk(BlkProps::default());
    let all = offered(&mut b);
    assert_eq!(all & RING_PACKED, 0);
    let taken = |features: u64| {
        let mut b = disk(BlkProps::default());
        for half in 0..2 {
            put(&mut b, 0x24, half);
            put(&mut b, 0x20, (features >> (32 * half)) as u32);
        }
        put(&mut b, 0x70, 11);
        get(&mut b, 0x70) & 8 != 0
    };
    assert!(taken(all));
    assert!(!taken(all | RING_PACKED));
    assert!(!taken(all & !crate::device::VERSION_1));
}

#[test]
fn requests_are_done_in_both_kinds_of_rings() {
    for props in [BlkProps::default(), packed()] {
        let mut b = disk(props);
        let all = offered(&mut b);
        for features in [all, all & !RING_EVENT_IDX] {
            let mut drivers = set_up(&mut b, features, 8);
            let driver = &mut drivers[0];
            // Around the ring several times.
            for n in 0..20 {
                let read = [(BUFFER, 512, true), (BUFFER + 0x1000, 1024, true)];
                let done = request(&mut b, driver, T_IN, n, &read);
                assert_eq!(done, Some((S_OK, 1537)), "{n}");
                assert_eq!(bytes(&b, BUFFER + 511, 1), [n as u8]);
                assert_eq!(bytes(&b, BUFFER + 0x1000 + 1023, 1), [n as u8 + 2]);
                assert!(b.output(crate::testing::IRQ));
                put(&mut b, 0x64, 3);
                ram(&b).write(BUFFER, &[0xab; 512]).unwrap();
                let write = [(BUFFER, 512, false)];
                assert_eq!(
                    request(&mut b, driver, T_OUT, 100 + n, &write),
                    Some((S_OK, 1))
                );
                let at = (100 + n as usize) * 512;
                assert_eq!(b.around.disks[&DRIVE][at..at + 512], [0xab; 512]);
            }
            assert_eq!(request(&mut b, driver, T_FLUSH, 0, &[]), Some((S_OK, 1)));
        }
    }
}

#[test]
fn a_long_request_is_done_in_pieces() {
    let mut b = disk(BlkProps::default());
    let features = offered(&mut b);
    let mut drivers = set_up(&mut b, features, 8);
    let len = 2 * LONGEST_JOB as u32 - 512 * 300;
    let done = request(&mut b, &mut drivers[0], T_IN, 3, &[(BUFFER, len, true)]);
    assert_eq!((done, b.around.made), (Some((S_OK, len + 1)), 2));
    let expected = b.around.disks[&DRIVE][3 * 512..][..len as usize].to_vec();
    assert!(bytes(&b, BUFFER, len as usize) == expected);
}

#[test]
fn what_cannot_be_is_an_error_and_the_disk_works_on() {
    let mut b = disk(BlkProps::default());
    let features = offered(&mut b);
    let mut drivers = set_up(&mut b, features, 16);
    let driver = &mut drivers[0];
    let one = [(BUFFER, 512, true)];
    for (kind, sector, data, status) in [
        (T_IN, SECTORS, &one[..], S_IOERR),
        (T_IN, u64::MAX, &one, S_IOERR),
        (T_IN, 0, &[(BUFFER, 511, true)], S_IOERR),
        (T_OUT, SECTORS - 1, &[(BUFFER, 1024, false)], S_IOERR),
        (77, 0, &one, S_UNSUPP),
        (T_DISCARD, 0, &[(BUFFER, 17, false)], S_UNSUPP),
    ] {
        let done = request(&mut b, driver, kind, sector, data);
        assert_eq!(done.map(|done| done.0), Some(status), "{kind} {sector}");
    }
    b.around.read_only = true;
    let done = request(&mut b, driver, T_OUT, 0, &[(BUFFER, 512, false)]);
    assert_eq!(done, Some((S_IOERR, 1)));
    assert_ne!(offered(&mut b) & RO, 0);
    // The disk of the host fails.
    header(&b, T_IN, 0);
    driver.offer(
        &ram(&b),
        &[(HEAD, 16, false), (BUFFER, 512, true), (STATUS, 1, true)],
    );
    driver.notify(&mut b);
    b.finish_job(Some(Failure::Io));
    assert_eq!(driver.given(&ram(&b), 3).map(|given| given.1), Some(1));
    assert_eq!(bytes(&b, STATUS, 1), [S_IOERR]);
    assert_eq!(get(&mut b, 0x70) & u32::from(NEEDS_RESET), 0);
}

#[test]
fn it_says_its_serial_number_discards_and_zeroes() {
    let mut b = disk(BlkProps {
        serial: "ABC".to_owned(),
        ..BlkProps::default()
    });
    let features = offered(&mut b);
    let mut drivers = set_up(&mut b, features, 16);
    let driver = &mut drivers[0];
    let done = request(&mut b, driver, T_GET_ID, 0, &[(BUFFER, 20, true)]);
    assert_eq!(done.map(|done| done.0), Some(S_OK));
    assert_eq!(bytes(&b, BUFFER, 4), b"ABC\0");
    for (kind, sector, count) in [(T_DISCARD, 16u64, 4u32), (T_WRITE_ZEROES, 32, 600)] {
        let range = [&sector.to_le_bytes()[..], &count.to_le_bytes(), &[0; 4]].concat();
        ram(&b).write(BUFFER, &range).unwrap();
        let done = request(&mut b, driver, kind, 0, &[(BUFFER, 16, false)]);
        assert_eq!(done, Some((S_OK, 1)), "{kind}");
        let at = sector as usize * 512;
        let len = count as usize * 512;
        assert!(
            b.around.disks[&DRIVE][at..at + len]
                .iter()
                .all(|byte| *byte == 0)
        );
        assert_ne!(b.around.disks[&DRIVE][at - 1], 0);
    }
    let range = [&0u64.to_le_bytes()[..], &1u32.to_le_bytes(), &[2, 0, 0, 0]].concat();
    ram(&b).write(BUFFER, &range).unwrap();
    let done = request(&mut b, driver, T_WRITE_ZEROES, 0, &[(BUFFER, 16, false)]);
    assert_eq!(done, Some((S_UNSUPP, 1)), "a flag that there is not");
}

#[test]
fn without_its_cache_a_write_is_followed_by_a_flush() {
    let mut b = disk(BlkProps::default());
    let features = offered(&mut b);
    let mut drivers = set_up(&mut b, features, 8);
    let write = [(BUFFER, 512, false)];
    request(&mut b, &mut drivers[0], T_OUT, 0, &write);
    assert_eq!(b.around.made, 1);
    b.write(REGISTERS, 0x100 + WRITEBACK as u64, 1, 0);
    request(&mut b, &mut drivers[0], T_OUT, 0, &write);
    assert_eq!(b.around.made, 3);
    // A driver that knows nothing of a cache.
    let mut drivers = set_up(&mut b, features & !(FLUSH | CONFIG_WCE), 8);
    request(&mut b, &mut drivers[0], T_OUT, 0, &write);
    assert_eq!(b.around.made, 5);
}

#[test]
fn descriptors_can_stand_in_a_table() {
    for props in [BlkProps::default(), packed()] {
        let mut b = disk(props);
        let features = offered(&mut b);
        let driver = &mut set_up(&mut b, features, 8)[0];
        header(&b, T_IN, 5);
        let table = BUFFER + 0x8000;
        for (n, (at, len, flags)) in [(HEAD, 16, 1), (BUFFER, 512, 3), (STATUS, 1, 2)]
            .into_iter()
            .enumerate()
        {
            driver.describe(&ram(&b), table, n as u16, (at, len, flags), n as u16 + 1);
        }
        let lap = if features & RING_PACKED == 0 {
            0
        } else {
            1 << 7
        };
        driver.describe(&ram(&b), 0x8000, 0, (table, 48, 4 | lap), 0);
        driver.offer_head(&ram(&b), 0);
        driver.notify(&mut b);
        b.finish_jobs();
        assert_eq!(driver.given(&ram(&b), 1), Some((0, 513)));
        assert_eq!(bytes(&b, BUFFER, 1), [5]);
        // Nobody said that it would use one.
        let driver = &mut set_up(&mut b, features & !RING_INDIRECT_DESC, 8)[0];
        driver.describe(&ram(&b), 0x8000, 0, (table, 48, 4 | lap), 0);
        driver.offer_head(&ram(&b), 0);
        driver.notify(&mut b);
        assert_ne!(get(&mut b, 0x70) & u32::from(NEEDS_RESET), 0);
    }
}

#[test]
fn it_interrupts_from_where_the_driver_wants_to_hear() {
    let mut b = disk(BlkProps::default());
    let features = offered(&mut b);
    let driver = &mut set_up(&mut b, features, 16)[0];
    request(&mut b, driver, T_FLUSH, 0, &[]);
    assert_eq!(get(&mut b, 0x60), 1);
    put(&mut b, 0x64, 1);
    driver.want(&ram(&b), 2);
    request(&mut b, driver, T_FLUSH, 0, &[]);
    assert_eq!(get(&mut b, 0x60), 0, "one before");
    request(&mut b, driver, T_FLUSH, 0, &[]);
    assert_eq!(get(&mut b, 0x60), 1);
}

#[test]
fn a_lie_needs_a_reset() {
    type Lie = fn(&Device<Blk>, &mut Driver);
    let lies: [(&str, Lie); 6] = [
        ("a circle", |b, d| {
            d.describe(&ram(b), 0x8000, 0, (HEAD, 16, 1), 1);
            d.describe(&ram(b), 0x8000, 1, (HEAD, 16, 1), 0);
            d.offer_head(&ram(b), 0);
        }),
        ("beyond memory", |b, d| {
            d.offer(&ram(b), &[(1 << 40, 16, false), (STATUS, 1, true)]);
        }),
        ("no descriptor", |b, d| d.offer_head(&ram(b), 8)),
        ("no status", |b, d| {
            d.offer(&ram(b), &[(HEAD, 16, false)]);
        }),
        ("read behind write", |b, d| {
            d.offer(&ram(b), &[(STATUS, 1, true), (HEAD, 16, false)]);
        }),
        ("more than it has", |b, d| {
            (0..9).for_each(|_| d.offer_head(&ram(b), 0))
        }),
    ];
    for (what, lie) in lies {
        let mut b = disk(BlkProps::default());
        let features = offered(&mut b);
        let mut drivers = set_up(&mut b, features, 8);
        header(&b, T_FLUSH, 0);
        lie(&b, &mut drivers[0]);
        drivers[0].notify(&mut b);
        assert_ne!(get(&mut b, 0x70) & u32::from(NEEDS_RESET), 0, "{what}");
        assert_eq!(get(&mut b, 0x60) & 2, 2, "{what}: the driver hears of it");
        let mut drivers = set_up(&mut b, features, 8);
        let read = request(&mut b, &mut drivers[0], T_IN, 0, &[(BUFFER, 512, true)]);
        assert_eq!(read, Some((S_OK, 513)), "{what}: after a reset");
    }
}

#[test]
fn a_queue_that_is_reset_forgets_its_requests() {
    let mut b = disk(BlkProps::default());
    let features = offered(&mut b);
    let driver = &mut set_up(&mut b, features, 8)[0];
    header(&b, T_IN, 1);
    driver.offer(
        &ram(&b),
        &[(HEAD, 16, false), (BUFFER, 512, true), (STATUS, 1, true)],
    );
    driver.notify(&mut b);
    put(&mut b, 0x30, 0);
    put(&mut b, 0xc0, 1);
    assert_eq!(get(&mut b, 0x44), 0);
    b.finish_jobs();
    assert_eq!(bytes(&b, BUFFER, 1), [0]);
    assert_eq!(driver.given(&ram(&b), 3), None);
}

/// A disk with requests under way, a few of them random.
fn busy(props: BlkProps) -> Device<Blk> {
    let mut b = disk(props);
    let features = offered(&mut b);
    let driver = &mut set_up(&mut b, features, 32)[0];
    for sector in 0..6 {
        header(&b, T_IN, sector);
        driver.offer(
            &ram(&b),
            &[(HEAD, 16, false), (BUFFER, 4096, true), (STATUS, 1, true)],
        );
        driver.notify(&mut b);
    }
    b
}

#[test]
fn random_accesses_and_saved_state() {
    exercise(|| disk(BlkProps::default()));
    for props in [BlkProps::default(), packed()] {
        goes_on_the_same(
            || busy(props.clone()),
            crate::testing::runs() / 4,
            60,
            |b, noise| {
                let answer = step(b, noise);
                put(b, 0x50, 0);
                (answer, bytes(b, BUFFER, 512), b.around.jobs.len())
            },
        );
    }
}

#[test]
fn rings_that_lie_do_no_harm() {
    lies(|| disk(BlkProps::default()));
    lies(|| disk(packed()));
}

#[test]
fn a_driver_that_asks_and_resets_without_end_waits_for_the_disk() {
    let mut b = disk(BlkProps::default());
    let features = offered(&mut b);
    let mut driver = None;
    for _ in 0..12 {
        let driver = driver.insert(set_up(&mut b, features, 256).remove(0));
        header(&b, T_FLUSH, 0);
        for _ in 0..100 {
            driver.offer(&ram(&b), &[(HEAD, 16, false), (STATUS, 1, true)]);
        }
        driver.notify(&mut b);
        assert!(b.around.jobs.len() <= MOST_JOBS);
    }
    assert_eq!(b.around.jobs.len(), MOST_JOBS);
    b.finish_jobs();
    // Nothing of what the last one asked for is left out.
    let mut driver = driver.expect("one");
    for n in 0..100 {
        assert!(driver.given(&ram(&b), 2).is_some(), "{n}");
    }
}
