use super::*;
use proptest::prelude::*;
use solderless_model::Cycle;
use solderless_model::testing::{Bench, exercise};

const DATA: u8 = 0;
const ERROR: u8 = 1;
const COUNT: u8 = 2;
const DEVICE: u8 = 6;
const STATUS: u8 = 7;
const CONTROL: u8 = 8;
const READY: u8 = 0x50;
/// Sectors of the disk, and so many that a transfer has several jobs.
const DISK: u64 = 700;

fn content() -> Vec<u8> {
    (0..DISK * SECTOR)
        .map(|n| (n / SECTOR * 7 + n % 251) as u8)
        .collect()
}

fn drive() -> Bench<IdeHd> {
    let mut bench = Bench::new(IdeHdProps::default());
    bench.around.disks.insert(DRIVE, content());
    bench
}

fn ask(b: &mut Bench<IdeHd>, transfer: Ide) -> Option<u64> {
    let device = 0;
    b.cycle(Cycle::Ide { device, transfer })
}

fn read(b: &mut Bench<IdeHd>, register: u8) -> u8 {
    ask(b, Ide::Read(register)).expect("it is selected") as u8
}

fn write(b: &mut Bench<IdeHd>, register: u8, value: u8) {
    ask(b, Ide::Write(register, value.into()));
}

fn interrupts(b: &mut Bench<IdeHd>) -> bool {
    ask(b, Ide::Signals).unwrap() & 1 != 0
}

/// Starts a command with an address of 28 bits, or of 48.
fn command(b: &mut Bench<IdeHd>, code: u8, lba: u64, count: u16, extended: bool) {
    let bytes = lba.to_le_bytes();
    if extended {
        write(b, COUNT, (count >> 8) as u8);
        for place in 0..3 {
            write(b, 3 + place, bytes[usize::from(place) + 3]);
        }
    }
    write(b, COUNT, count as u8);
    for place in 0..3 {
        write(b, 3 + place, bytes[usize::from(place)]);
    }
    let head = if extended { 0 } else { bytes[3] & 15 };
    write(b, DEVICE, 0xe0 | head);
    write(b, STATUS, code);
}

/// Does what the disk waits for, as long as it is busy.
fn work(b: &mut Bench<IdeHd>) {
    while read(b, CONTROL) & 0x80 != 0 && b.finish_job(None) {}
}

/// Moves all data of a command to the host.
fn take(b: &mut Bench<IdeHd>) -> Vec<u8> {
    let mut all = Vec::new();
    loop {
        work(b);
        if ask(b, Ide::Signals).unwrap() & 2 != 0 {
            let mut piece = [0; 1000];
            let moved = b.with(|d, cx| d.dma(cx, Transfer::Read(&mut piece)));
            all.extend(&piece[..moved]);
        } else if read(b, CONTROL) & 8 != 0 {
            let word = ask(b, Ide::Read(DATA)).unwrap() as u16;
            all.extend(word.to_le_bytes());
        } else {
            return all;
        }
    }
}

/// Moves data of a command from the host; how much of it was taken.
fn give(b: &mut Bench<IdeHd>, data: &[u8]) -> usize {
    let mut given = 0;
    loop {
        work(b);
        if ask(b, Ide::Signals).unwrap() & 2 != 0 {
            let piece = &data[given..data.len().min(given + 1000)];
            let moved = b.with(|d, cx| d.dma(cx, Transfer::Write(piece)));
            given += moved;
            assert!(moved > 0, "it asks for more than the command has");
        } else if read(b, CONTROL) & 8 != 0 {
            let word = u16::from_le_bytes([data[given], data[given + 1]]);
            ask(b, Ide::Write(DATA, word));
            given += 2;
        } else {
            return given;
        }
    }
}

fn bytes(first: u64, count: u64) -> std::ops::Range<usize> {
    (first * SECTOR) as usize..((first + count) * SECTOR) as usize
}

#[test]
fn without_a_disk_it_is_not_there() {
    let mut b: Bench<IdeHd> = Bench::new(IdeHdProps::default());
    assert_eq!(ask(&mut b, Ide::Read(STATUS)), None);
    assert_eq!(ask(&mut b, Ide::Write(STATUS, 0xec)), None);
}

#[test]
fn registers_after_a_reset_are_the_signature() {
    let mut b = drive();
    let all: Vec<u8> = (1..9).map(|register| read(&mut b, register)).collect();
    assert_eq!(all, [1, 1, 1, 0, 0, 0, READY, READY]);
    write(&mut b, DEVICE, 0x10);
    assert_eq!(
        ask(&mut b, Ide::Read(STATUS)),
        None,
        "the other is selected"
    );
}

#[test]
fn it_says_what_it_is() {
    let mut b = drive();
    command(&mut b, 0xec, 0, 0, false);
    assert!(interrupts(&mut b));
    let said = take(&mut b);
    assert_eq!(said.len(), 512);
    let word = |n: usize| u16::from_le_bytes([said[2 * n], said[2 * n + 1]]);
    let text = |words: std::ops::Range<usize>| -> String {
        let bytes = words.flat_map(|n| word(n).to_be_bytes());
        bytes.map(char::from).collect()
    };
    assert_eq!(text(10..20).trim_end(), "SL00001");
    assert_eq!(text(27..47).trim_end(), "SOLDERLESS HARDDISK");
    assert_eq!((word(60), word(61)), (DISK as u16, 0));
    assert_eq!((word(100), word(101)), (DISK as u16, 0));
    let sum = said.iter().fold(0u8, |sum, byte| sum.wrapping_add(*byte));
    assert_eq!((sum, word(255) as u8), (0, 0xa5));
    assert_eq!(read(&mut b, STATUS), READY);
}

#[test]
fn what_is_not_there_is_said_so() {
    let mut b = drive();
    for (code, extended) in [(0x20, false), (0xc8, false), (0x25, true), (0x30, false)] {
        command(&mut b, code, DISK - 1, 2, extended);
        assert_eq!((read(&mut b, STATUS), read(&mut b, ERROR)), (0x51, IDNF));
        assert!(b.around.jobs.is_empty());
    }
    command(&mut b, 0xc4, 0, 1, false);
    assert_eq!(read(&mut b, ERROR), ABRT, "SET MULTIPLE MODE comes first");
    for unknown in [0x00, 0x08, 0xa0, 0xa1, 0xff] {
        command(&mut b, unknown, 0, 1, false);
        assert_eq!((read(&mut b, STATUS), read(&mut b, ERROR)), (0x51, ABRT));
    }
    b.around.read_only = true;
    command(&mut b, 0xca, 0, 1, false);
    assert_eq!(read(&mut b, ERROR), ABRT);
}

#[test]
fn an_error_of_the_host_is_one_of_the_disk() {
    let mut b = drive();
    command(&mut b, 0x25, 0x1_02, 300, true);
    b.finish_job(None);
    let mut first = vec![0; CHUNK as usize * 512];
    assert_eq!(
        b.with(|d, cx| d.dma(cx, Transfer::Read(&mut first))),
        first.len()
    );
    b.finish_job(Some(Failure::Io));
    assert!(interrupts(&mut b));
    assert_eq!((read(&mut b, STATUS), read(&mut b, ERROR)), (0x51, UNC));
    let lba = 0x102 + u64::from(CHUNK);
    assert_eq!(
        [read(&mut b, 3), read(&mut b, 4)],
        [lba as u8, (lba >> 8) as u8]
    );
    command(&mut b, 0xca, 5, 1, false);
    b.with(|d, cx| d.dma(cx, Transfer::Write(&[0; 512])));
    b.finish_job(Some(Failure::NoSpace));
    assert_eq!((read(&mut b, STATUS), read(&mut b, ERROR)), (0x51, ABRT));
    assert_eq!(read(&mut b, 3), 5);
}

#[test]
fn a_write_lasts_before_it_is_done_where_there_is_no_cache() {
    let mut b = drive();
    let last = |b: &mut Bench<IdeHd>| {
        b.with(|d, cx| d.dma(cx, Transfer::Write(&[9; 512])));
        assert!(b.finish_job(None) && !b.around.jobs.is_empty());
        assert!(!interrupts(b), "it waits for the flush");
        assert!(matches!(b.around.jobs[0].2, Job::Flush));
        b.finish_job(None);
        assert!(interrupts(b));
    };
    command(&mut b, 0x3d, 1, 1, true);
    last(&mut b);
    write(&mut b, 1, 0x82);
    write(&mut b, STATUS, 0xef);
    command(&mut b, 0xca, 2, 1, false);
    last(&mut b);
    write(&mut b, 1, 0x02);
    write(&mut b, STATUS, 0xef);
    command(&mut b, 0xca, 2, 1, false);
    b.with(|d, cx| d.dma(cx, Transfer::Write(&[9; 512])));
    b.finish_job(None);
    assert!(interrupts(&mut b) && b.around.jobs.is_empty());
    command(&mut b, 0xea, 0, 0, false);
    assert!(matches!(b.around.jobs[0].2, Job::Flush));
}

#[test]
fn a_software_reset_ends_what_goes_on() {
    let mut b = drive();
    command(&mut b, 0x25, 0, 300, true);
    write(&mut b, CONTROL, 4);
    assert_eq!(read(&mut b, CONTROL), 0x80);
    write(&mut b, CONTROL, 0);
    assert_eq!(read(&mut b, STATUS), READY);
    assert!(b.finish_job(None));
    assert_eq!(ask(&mut b, Ide::Signals), Some(0), "nobody asked for it");
}

#[test]
fn an_interrupt_is_taken_back_by_a_look_at_the_status() {
    let mut b = drive();
    command(&mut b, 0x10, 0, 0, false);
    write(&mut b, CONTROL, 2);
    assert!(!interrupts(&mut b), "nIEN");
    write(&mut b, CONTROL, 0);
    read(&mut b, CONTROL);
    assert!(
        interrupts(&mut b),
        "the alternate status takes nothing back"
    );
    read(&mut b, STATUS);
    assert!(!interrupts(&mut b));
}

#[test]
fn what_is_trimmed_is_discarded() {
    let mut b = drive();
    write(&mut b, 1, 1);
    command(&mut b, 0x06, 0, 1, true);
    let mut list = [0; 512];
    for (place, range) in [
        (0, 3 | 5 << 48),
        (8, DISK << 1 | 9 << 48),
        (16, 100 | 1 << 48),
    ] {
        list[place..place + 8].copy_from_slice(&u64::to_le_bytes(range));
    }
    assert_eq!(give(&mut b, &list), 512);
    assert_eq!(read(&mut b, STATUS), READY);
    let mut expected = content();
    expected[bytes(3, 5)].fill(0);
    expected[bytes(100, 1)].fill(0);
    assert!(b.around.disks[&DRIVE] == expected);
}

#[test]
fn smart_says_that_all_is_well() {
    let mut b = drive();
    for function in [0xd0, 0xd1, 0xda, 0xd9, 0xd8] {
        write(&mut b, 1, function);
        command(&mut b, 0xb0, 0xc2_4f00, 1, false);
        let said = take(&mut b);
        assert_eq!(read(&mut b, STATUS), READY, "{function:#x}");
        let sum = said.iter().fold(0u8, |sum, byte| sum.wrapping_add(*byte));
        assert_eq!(
            (said.len(), sum),
            (if function < 0xd8 { 512 } else { 0 }, 0)
        );
        assert_eq!([read(&mut b, 4), read(&mut b, 5)], [0x4f, 0xc2]);
    }
    write(&mut b, 1, 0xda);
    command(&mut b, 0xb0, 0, 1, false);
    assert_eq!(read(&mut b, ERROR), ABRT, "without the key");
}

#[test]
fn random_accesses_and_saved_state() {
    exercise(drive);
}

proptest! {
    /// Whatever way sectors are moved, they are those that were meant, whole, in order, and no others.
    #[test]
    fn sectors_are_moved_as_they_are(
        way in 0..10usize,
        first in 0..DISK,
        length in 1..DISK,
        multiple in 0..5u32,
        fill in any::<u8>(),
    ) {
        let length = length.min(DISK - first);
        // Reads, then writes: PIO, multiple, DMA, with 28 bits and with 48.
        let (code, extended) = [
            (0x20, false), (0x24, true), (0xc4, false), (0xc8, false), (0x25, true),
            (0x30, false), (0x34, true), (0xc5, false), (0xca, false), (0x35, true),
        ][way];
        let length = if extended { length } else { length.min(256) };
        let mut b = drive();
        write(&mut b, COUNT, 1 << multiple);
        write(&mut b, STATUS, 0xc6);
        command(&mut b, code, first, length as u16, extended);
        let mut expected = content();
        if way < 5 {
            let all = take(&mut b);
            prop_assert!(all == expected[bytes(first, length)]);
        } else {
            let data: Vec<u8> = (0..length * SECTOR).map(|n| (n / 3) as u8 ^ fill).collect();
            prop_assert_eq!(give(&mut b, &data), data.len());
            expected[bytes(first, length)].copy_from_slice(&data);
        }
        prop_assert!(b.around.disks[&DRIVE] == expected);
        prop_assert_eq!(read(&mut b, STATUS), READY);
    }
}
