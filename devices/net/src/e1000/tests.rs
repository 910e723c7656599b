use solderless_model::memory::Ram;
use solderless_model::testing::{Bench, exercise};

use super::*;

type Card = Bench<E1000>;

const RX_RING: u64 = 0x1000;
const TX_RING: u64 = 0x2000;
const BUFFERS: u64 = 0x1_0000;
const DATA: u64 = 0x8000;

fn get(b: &mut Card, register: u64) -> u32 {
    b.read(MEMORY, register, 4).expect("answers") as u32
}

fn put(b: &mut Card, register: u64, value: u32) {
    assert!(b.write(MEMORY, register, 4, value.into()));
}

fn ram(b: &Card) -> Ram {
    b.around.ram.clone().expect("memory")
}

fn bytes(b: &Card, at: u64, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    ram(b).read(at, &mut bytes).expect("there");
    bytes
}

/// One that a driver has set up, with rings of eight.
fn card() -> Card {
    let mut b = Card::new(E1000Props::default());
    b.around.ram = Some(Ram::new(1 << 20).expect("memory"));
    b.config_write(0x10, 4, 0x1000_0000);
    b.config_write(0x04, 2, 7);
    for n in 0..8 {
        let buffer: u64 = BUFFERS + n * 0x1000;
        ram(&b)
            .write(RX_RING + DESC * n, &buffer.to_le_bytes())
            .unwrap();
    }
    for (register, value) in [
        (RDBAL, RX_RING as u32),
        (RDLEN, 128),
        (RDT, 7),
        (RCTL, RCTL_EN | RCTL_BAM),
        (TDBAL, TX_RING as u32),
        (TDLEN, 128),
        (TCTL, TCTL_EN | TCTL_PSP),
        (IMS, RXT0 | TXDW),
    ] {
        put(&mut b, register, value);
    }
    b
}

fn frame(to: [u8; 6], len: usize) -> Vec<u8> {
    let mut frame: Vec<u8> = (0..len).map(|n| n as u8).collect();
    frame[..6].copy_from_slice(&to);
    frame[12..14].copy_from_slice(&[8, 0]);
    frame
}

const OWN: [u8; 6] = [0x52, 0x54, 0x00, 0x12, 0x34, 0x56];

fn arrives(b: &mut Card, frame: &[u8]) {
    b.with(|d, cx| d.receive(cx, NETDEV, frame));
}

/// Offers transmit descriptors of three words behind the address' low half, from a place in the ring on.
fn send(b: &mut Card, from: u32, descriptors: &[(u32, u32, u32, u32)]) {
    for (n, (low, high, command, upper)) in (from..).zip(descriptors) {
        let words = [*low, *high, *command, *upper]
            .map(u32::to_le_bytes)
            .concat();
        ram(b).write(TX_RING + DESC * u64::from(n), &words).unwrap();
    }
    put(b, TDT, from + descriptors.len() as u32);
}

#[test]
fn the_eeprom_is_read_by_its_lines_and_by_eerd() {
    let mut b = card();
    let mut sum = 0u16;
    for word in 0..64 {
        put(&mut b, EERD, word << 8 | EERD_START);
        let value = (get(&mut b, EERD) >> 16) as u16;
        sum = sum.wrapping_add(value);
        put(&mut b, EECD, EE_CS);
        let clock = |b: &mut Card, bit: u32| {
            let di = if bit != 0 { EE_DI } else { 0 };
            for sk in [0, EE_SK, 0] {
                put(b, EECD, EE_CS | di | sk);
            }
            u16::from(get(b, EECD) & EE_DO != 0)
        };
        let read = EE_READ << EE_ADDRESS | word;
        (0..9).rev().for_each(|n| {
            clock(&mut b, read >> n & 1);
        });
        let shifted = (0..16).fold(0, |all, _| all << 1 | clock(&mut b, 0));
        assert_eq!(shifted, value, "{word}");
        put(&mut b, EECD, 0);
    }
    assert_eq!(sum, 0xbaba);
    put(&mut b, EERD, EERD_START);
    assert_eq!(get(&mut b, EERD) >> 16, 0x5452);
}

#[test]
fn the_phy_is_marvells_and_its_link_is_up() {
    let mut b = card();
    let mut phy = |register: u32| {
        put(&mut b, MDIC, 1 << 21 | register << 16 | MDIC_READ << 26);
        get(&mut b, MDIC)
    };
    assert_eq!([phy(2) & 0xffff, phy(3) & 0xffff], [0x0141, 0x0c20]);
    assert_eq!(phy(1) & 0x24, 0x24);
    put(&mut b, MDIC, 2 << 21 | MDIC_READ << 26);
    assert_ne!(get(&mut b, MDIC) & MDIC_ERROR, 0);
    assert_eq!(get(&mut b, STATUS) & 0x83, 0x83);
}

#[test]
fn a_frame_is_received_with_its_check_sequence() {
    let mut b = card();
    arrives(&mut b, &frame(OWN, 40));
    assert!(b.output(INTX));
    let back = bytes(&b, RX_RING + 8, 8);
    assert_eq!(back, [64, 0, 0, 0, DD | RX_EOP | RX_IXSM, 0, 0, 0]);
    assert_eq!(bytes(&b, BUFFERS, 40), frame(OWN, 40));
    assert_eq!(get(&mut b, ICR) & RXT0, RXT0);
    assert!(!b.output(INTX), "reading clears it");
    assert_eq!(get(&mut b, RDH), 1);
    assert_eq!(get(&mut b, 0x4074), 1);
    assert_eq!(get(&mut b, 0x4074), 0, "a statistic is cleared");
    // Small buffers: a frame takes several, and waits until there are as many.
    put(&mut b, RCTL, RCTL_EN | 3 << 16 | RCTL_SECRC);
    arrives(&mut b, &frame(OWN, 600));
    assert_eq!(get(&mut b, RDH), 4);
    assert_eq!(bytes(&b, RX_RING + 3 * DESC + 8, 5), [88, 0, 0, 0, 7]);
    assert!(!b.dev.can_receive(NETDEV));
    put(&mut b, RDT, 3);
    assert!(b.dev.can_receive(NETDEV));
}

#[test]
fn filters_say_what_is_received() {
    let mut b = card();
    let takes = |b: &mut Card, to: [u8; 6]| {
        let before = get(b, RDH);
        arrives(b, &frame(to, 60));
        let tail = (get(b, RDH) + 7) % 8;
        put(b, RDT, tail);
        get(b, RDH) != before
    };
    let (other, group) = ([2, 0, 0, 0, 0, 1], [1, 0, 0x5e, 0, 0, 0xfb]);
    assert!(takes(&mut b, OWN) && takes(&mut b, [0xff; 6]));
    assert!(!takes(&mut b, other) && !takes(&mut b, group));
    let hash = u16::from_le_bytes([0, 0xfb]) >> 4 & 0xfff;
    put(&mut b, MTA + u64::from(hash / 32) * 4, 1 << (hash % 32));
    assert!(takes(&mut b, group));
    put(&mut b, RCTL, RCTL_EN | RCTL_UPE);
    assert!(takes(&mut b, other));
    put(&mut b, RCTL, 0);
    assert!(!takes(&mut b, OWN));
}

#[test]
fn frames_are_sent_by_both_kinds_of_descriptors() {
    let mut b = card();
    let plain = frame([1; 6], 100);
    ram(&b).write(DATA, &plain).unwrap();
    send(
        &mut b,
        0,
        &[
            (DATA as u32, 0, 40, 0),
            (DATA as u32 + 40, 0, 60 | CMD_EOP | CMD_RS, 0),
        ],
    );
    assert_eq!(b.around.sent[&NETDEV], plain);
    assert_eq!(bytes(&b, TX_RING + DESC + 12, 1), [DD]);
    assert_eq!(get(&mut b, TDH), 2);
    assert_eq!(get(&mut b, 0x4080), 1);
    b.around.sent.clear();
    // TCP that is cut: a context, and the packet.
    let mut long = frame([1; 6], 54 + 250);
    (long[14], long[46]) = (0x45, 0x50);
    ram(&b).write(DATA, &long).unwrap();
    let context = (
        14 | 24 << 8,
        34 | 50 << 8,
        CMD_DEXT | CMD_TSE | TUCMD_TCP,
        54 << 8 | 100 << 16,
    );
    let data = (
        DATA as u32,
        0,
        304 | 1 << 20 | CMD_DEXT | CMD_TSE | CMD_EOP | CMD_RS,
        0,
    );
    send(&mut b, 2, &[context, data]);
    assert_eq!(b.around.sent[&NETDEV].len(), 2 * 154 + 104);
    b.around.sent.clear();
    // A checksum that is completed.
    let context = (0, 34 | 50 << 8, CMD_DEXT, 0);
    let data = (
        DATA as u32,
        0,
        100 | 1 << 20 | CMD_DEXT | CMD_EOP,
        POPTS_TXSM,
    );
    send(&mut b, 4, &[context, data]);
    assert_ne!(b.around.sent[&NETDEV][50..52], long[50..52]);
}

#[test]
fn a_vlans_tag_is_put_in_and_taken_out() {
    let mut b = card();
    put(&mut b, CTRL, CTRL_SLU | CTRL_VME);
    ram(&b).write(DATA, &frame([1; 6], 60)).unwrap();
    send(
        &mut b,
        0,
        &[(DATA as u32, 0, 60 | CMD_EOP | CMD_VLE, 5 << 16)],
    );
    let sent = b.around.sent[&NETDEV].clone();
    assert_eq!(sent[12..18], [0x81, 0, 0, 5, 8, 0]);
    let mut tagged = sent;
    tagged[..6].copy_from_slice(&OWN);
    arrives(&mut b, &tagged);
    assert_eq!(
        bytes(&b, RX_RING + 8, 8),
        [64, 0, 0, 0, DD | RX_EOP | RX_IXSM | RX_VP, 0, 5, 0]
    );
}

#[test]
fn a_reset_by_the_driver_clears_all() {
    let mut b = card();
    put(&mut b, CTRL, CTRL_RST);
    assert_eq!(
        (get(&mut b, RCTL), get(&mut b, IMS), get(&mut b, RDLEN)),
        (0, 0, 0)
    );
    assert_eq!(get(&mut b, RA), 0x1200_5452);
}

#[test]
fn random_accesses_and_saved_state() {
    exercise(|| Card::new(E1000Props::default()));
    exercise(card);
}
