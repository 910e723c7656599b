use super::*;
use solderless_model::memory::Ram;
use solderless_model::testing::{Bench, exercise};

type Card = Bench<Pcnet>;

const BLOCK: u64 = 0x100;
const RX: u64 = 0x1000;
const TX: u64 = 0x2000;
const BUFFERS: u64 = 0x4000;
const MAC: [u8; 6] = [0x52, 0x54, 0, 0x12, 0x34, 0x56];

fn put(b: &Card, at: u64, bytes: &[u8]) {
    b.around.ram.as_ref().unwrap().write(at, bytes).unwrap();
}

fn get<const N: usize>(b: &Card, at: u64) -> [u8; N] {
    let mut bytes = [0; N];
    b.around.ram.as_ref().unwrap().read(at, &mut bytes).unwrap();
    bytes
}

fn word(b: &Card, at: u64) -> u16 {
    u16::from_le_bytes(get(b, at))
}

/// A card with memory, its registers words.
fn card() -> Card {
    let mut b = Card::new(PcnetProps::default());
    b.around.ram = Some(Ram::new(0x4_0000).unwrap());
    b.config_write(4, 2, 5);
    b
}

fn select(b: &mut Card, number: u16) {
    assert!(b.write(IO, 0x12, 2, number.into()));
}

fn csr(b: &mut Card, number: u16) -> u16 {
    select(b, number);
    b.read(IO, 0x10, 2).unwrap() as u16
}

fn set_csr(b: &mut Card, number: u16, value: u16) {
    select(b, number);
    assert!(b.write(IO, 0x10, 2, value.into()));
}

fn bcr(b: &mut Card, number: u16) -> u16 {
    select(b, number);
    b.read(IO, 0x16, 2).unwrap() as u16
}

fn set_bcr(b: &mut Card, number: u16, value: u16) {
    select(b, number);
    assert!(b.write(IO, 0x16, 2, value.into()));
}

/// Where the parts of a descriptor are, by style: its size, buffer, count, status, and the length of what was received.
fn layout(style: u16) -> [u64; 5] {
    match style {
        0 => [8, 0, 4, 2, 6],
        3 => [16, 8, 4, 6, 0],
        _ => [16, 0, 4, 6, 8],
    }
}

/// Gives a descriptor of a ring to the card.
fn give(b: &Card, style: u16, at: u64, buffer: u64, length: usize, status: u16) {
    let [_, buffer_at, count_at, status_at, _] = layout(style);
    let count = (0x1000 - length as u16) | 0xf000;
    put(b, at + count_at, &count.to_le_bytes());
    if style == 0 {
        put(b, at + buffer_at, &(buffer as u32).to_le_bytes()[..3]);
        put(b, at + 3, &[(status >> 8) as u8]);
    } else {
        put(b, at + buffer_at, &(buffer as u32).to_le_bytes());
        put(b, at + status_at, &status.to_le_bytes());
    }
}

fn status(b: &Card, style: u16, at: u64) -> u16 {
    match style {
        0 => word(b, at + 2) & 0xff00,
        _ => word(b, at + 6),
    }
}

/// Started with rings of four descriptors, those to receive given away.
fn started(style: u16, mode: u16) -> Card {
    let mut b = card();
    set_bcr(&mut b, 20, style);
    let mut block = mode.to_le_bytes().to_vec();
    if style == 0 {
        block.extend(MAC);
        block.extend([0xff; 8]);
        block.extend((RX as u32 | 2 << 29).to_le_bytes());
        block.extend((TX as u32 | 2 << 29).to_le_bytes());
    } else {
        block.extend([2 << 4, 2 << 4]);
        block.extend(MAC);
        block.extend([0, 0]);
        block.extend([0xff; 8]);
        block.extend((RX as u32).to_le_bytes());
        block.extend((TX as u32).to_le_bytes());
    }
    put(&b, BLOCK, &block);
    for n in 0..4 {
        let [size, ..] = layout(style);
        give(&b, style, RX + n * size, BUFFERS + n * 0x800, 0x600, OWN);
    }
    set_csr(&mut b, 1, BLOCK as u16);
    set_csr(&mut b, 2, 0);
    set_csr(&mut b, 0, CSR0_INIT | CSR0_IENA);
    assert_eq!(
        csr(&mut b, 0),
        CSR0_INIT | CSR0_IDON | CSR0_IENA | CSR0_INTR
    );
    assert!(b.output(INTX));
    set_csr(&mut b, 0, CSR0_IDON | CSR0_STRT | CSR0_IENA);
    assert!(!b.output(INTX));
    b
}

fn arrives(b: &mut Card, frame: &[u8]) {
    b.with(|d, cx| d.receive(cx, NETDEV, frame));
}

fn frame(to: [u8; 6], length: usize) -> Vec<u8> {
    let mut frame = to.to_vec();
    frame.extend([2, 0, 0, 0, 0, 1, 8, 0]);
    frame.extend((14..length).map(|n| n as u8));
    frame
}

#[test]
fn it_is_what_malta_has() {
    let mut b = card();
    assert_eq!(b.config_read(0, 4), 0x2000_1022);
    assert_eq!(b.config_read(8, 4), 0x0200_0040);
    let prom: Vec<_> = (0..16).map(|n| b.read(IO, n, 1).unwrap() as u8).collect();
    assert_eq!(prom[..6], MAC);
    assert_eq!((prom[9], &prom[14..]), (0x11, &b"WW"[..]));
    let sum: u16 = MAC.iter().map(|m| u16::from(*m)).sum::<u16>() + 0x11 + 2 * u16::from(b'W');
    assert_eq!(u16::from_le_bytes([prom[12], prom[13]]), sum);
    assert_eq!([csr(&mut b, 88), csr(&mut b, 89)], [0x5003, 0x0262]);
    assert_eq!(
        [csr(&mut b, 12), csr(&mut b, 13), csr(&mut b, 14)],
        [0x5452, 0x1200, 0x5634]
    );
    assert_eq!([csr(&mut b, 0), csr(&mut b, 4)], [0x0004, 0x0115]);
    // A double word switches; the numbers of the registers are elsewhere then.
    assert!(b.write(IO, 0x10, 4, 0));
    assert!(b.write(IO, 0x14, 4, 18));
    assert_eq!(b.read(IO, 0x1c, 4), Some(0x9081));
    assert!(b.write(IO, 0x14, 4, 0));
    assert_eq!(b.read(IO, 0x10, 4), Some(4));
    assert!(b.read(IO, 0x18, 4).is_some());
    assert!(b.dev.dwio(), "a software reset leaves it");
    b.reset();
    assert!(!b.dev.dwio());
}

#[test]
fn its_phy_says_that_there_is_a_link() {
    let mut b = card();
    for (phy, register, value) in [(30, 1, 0x786d), (30, 2, 0), (30, 3, 0x6b60), (1, 1, 0xffff)] {
        set_bcr(&mut b, 33, phy << 5 | register);
        assert_eq!(bcr(&mut b, 34), value);
    }
    assert_eq!(bcr(&mut b, 4), 0x80c0);
}

#[test]
fn frames_are_sent_and_received_in_all_styles() {
    for style in [0, 1, 2, 3] {
        let mut b = started(style, 0);
        let [size, _, _, _, length_at] = layout(style);
        // In two pieces.
        let out = frame([0xff; 6], 100);
        put(&b, 0x8000, &out[..40]);
        put(&b, 0x9000, &out[40..]);
        give(&b, style, TX, 0x8000, 40, OWN | STP);
        give(&b, style, TX + size, 0x9000, 60, OWN | ENP);
        set_csr(&mut b, 0, CSR0_TDMD | CSR0_IENA);
        assert_eq!(b.around.sent[&NETDEV], out, "{style}");
        assert_eq!(
            [
                status(&b, style, TX) & OWN,
                status(&b, style, TX + size) & OWN
            ],
            [0, 0]
        );
        assert_eq!(csr(&mut b, 0) & (CSR0_TINT | CSR0_RINT), CSR0_TINT);
        assert!(b.output(INTX));
        set_csr(&mut b, 0, CSR0_TINT | CSR0_IENA);
        let come = frame(MAC, 61);
        arrives(&mut b, &come);
        assert!(b.output(INTX));
        assert_eq!(csr(&mut b, 0) & CSR0_RINT, CSR0_RINT);
        let flags = status(&b, style, RX);
        let matched = if style == 0 { 0 } else { PAM };
        assert_eq!(flags, STP | ENP | matched, "{style}");
        assert_eq!(word(&b, RX + length_at) & 0xfff, 65);
        let bytes: [u8; 65] = get(&b, BUFFERS);
        assert_eq!(bytes[..61], come);
        assert_eq!(bytes[61..], crc32fast::hash(&come).to_le_bytes());
    }
}

#[test]
fn a_driver_that_only_gives_descriptors_is_served_too() {
    let mut b = started(2, 0);
    put(&b, 0x8000, &frame([0xff; 6], 60));
    give(&b, 2, TX, 0x8000, 60, OWN | STP | ENP);
    assert!(b.around.sent.is_empty());
    b.advance(3_000_000);
    assert_eq!(b.around.sent[&NETDEV].len(), 60);
    set_csr(&mut b, 4, CSR4_DPOLL);
    b.advance(3_000_000);
    give(&b, 2, TX + 16, 0x8000, 60, OWN | STP | ENP);
    b.advance(3_000_000);
    assert_eq!(b.around.sent[&NETDEV].len(), 60, "it was told not to look");
}

#[test]
fn a_frame_waits_for_a_descriptor() {
    let mut b = started(2, 0);
    for n in 0..4 {
        assert!(b.dev.can_receive(NETDEV));
        arrives(&mut b, &frame(MAC, 60 + n));
    }
    assert!(b.dev.can_receive(NETDEV));
    arrives(&mut b, &frame(MAC, 64));
    assert!(!b.dev.can_receive(NETDEV), "it is full");
    give(&b, 2, RX, BUFFERS, 0x600, OWN);
    b.advance(3_000_000);
    assert!(b.dev.can_receive(NETDEV));
    assert_eq!(word(&b, RX + 8), 68);
    // A reset of the ring drops it.
    arrives(&mut b, &frame(MAC, 64));
    assert!(!b.dev.can_receive(NETDEV));
    set_csr(&mut b, 0, CSR0_STOP);
    assert!(b.dev.can_receive(NETDEV));
    arrives(&mut b, &frame(MAC, 64));
    assert!(b.dev.can_receive(NETDEV), "nobody listens: it is lost");
}

#[test]
fn a_long_frame_takes_several_buffers() {
    let mut b = started(2, 0);
    for n in 0..4 {
        give(&b, 2, RX + 16 * n, BUFFERS + n * 0x800, 256, OWN);
    }
    arrives(&mut b, &frame(MAC, 600));
    let flags = [0, 1, 2, 3].map(|n| status(&b, 2, RX + 16 * n));
    assert_eq!(flags, [STP | PAM, PAM, ENP | PAM, OWN]);
    assert_eq!(word(&b, RX + 32 + 8), 604);
    // One that does not fit.
    arrives(&mut b, &frame(MAC, 600));
    assert_eq!(status(&b, 2, RX + 48), STP | PAM | ERR | OFLO | BUFF);
}

#[test]
fn it_takes_what_is_for_it() {
    let group = [1, 0, 0x5e, 0, 0, 1];
    let hash = (crc(&group) >> 26) as usize;
    for (mode, filter, to, taken) in [
        (0, 0, MAC, Some(PAM)),
        (0, 0, [0xff; 6], Some(BAM)),
        (0, 0, [2, 0, 0, 0, 0, 9], None),
        (0, 0, group, None),
        (0, 1 << hash, group, Some(LAFM)),
        (0, !(1 << hash), group, None),
        (MODE_PROM, 0, [2, 0, 0, 0, 0, 9], Some(0)),
        (MODE_DRCVPA, 0, MAC, None),
        (MODE_DRCVBC, 0, [0xff; 6], None),
        (MODE_DRX, 0, MAC, None),
    ] {
        let mut b = started(2, mode);
        let words = u64::to_le_bytes(filter);
        for n in 0..4 {
            b.dev.csr[LADRF + n] = u16::from_le_bytes([words[2 * n], words[2 * n + 1]]);
        }
        arrives(&mut b, &frame(to, 60));
        let flags = status(&b, 2, RX);
        assert_eq!(
            flags,
            taken.map_or(OWN, |m| STP | ENP | m),
            "{mode:#x} {to:x?}"
        );
    }
}

#[test]
fn what_it_sends_comes_back_in_loopback() {
    let mut b = started(2, MODE_LOOP);
    put(&b, 0x8000, &frame(MAC, 60));
    give(&b, 2, TX, 0x8000, 60, OWN | STP | ENP);
    set_csr(&mut b, 0, CSR0_TDMD);
    assert!(b.around.sent.is_empty());
    assert_eq!(word(&b, RX + 8), 64);
}

#[test]
fn the_software_timer_ends() {
    let mut b = card();
    set_csr(&mut b, 0, CSR0_IENA);
    set_csr(&mut b, 7, CSR7_STINTE);
    set_bcr(&mut b, 31, 100);
    b.advance(1_270_000);
    assert!(!b.output(INTX));
    b.advance(20_000);
    assert!(b.output(INTX));
    set_csr(&mut b, 7, CSR7_STINTE | CSR7_STINT);
    assert!(!b.output(INTX));
    b.advance(1_280_000);
    assert!(b.output(INTX), "it starts again by itself");
}

#[test]
fn memory_that_is_not_there_is_told() {
    let mut b = started(2, 0);
    give(&b, 2, TX, 0x7000_0000, 60, OWN | STP | ENP);
    set_csr(&mut b, 0, CSR0_TDMD | CSR0_IENA);
    assert_eq!(
        csr(&mut b, 0) & (CSR0_MERR | CSR0_ERR),
        CSR0_MERR | CSR0_ERR
    );
    assert!(b.output(INTX));
}

#[test]
fn random_accesses_and_saved_state() {
    exercise(card);
    exercise(|| started(2, 0));
    exercise(|| started(0, MODE_LOOP));
}
