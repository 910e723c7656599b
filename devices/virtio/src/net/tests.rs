use solderless_model::memory::Ram;
use solderless_model::testing::exercise;

use super::*;
use crate::queue::RING_EVENT_IDX;
use crate::testing::{BUFFER, Device, Driver, get, lies, offered, set_up};

type Card = Device<VirtioNet>;

fn card() -> Card {
    Card::new(VirtioNetProps::default())
}

/// A card with all features but these, and its queues.
fn running(without: u64) -> (Card, Vec<Driver>) {
    let mut b = card();
    let features = offered(&mut b) & !without;
    let drivers = set_up(&mut b, features, 16);
    (b, drivers)
}

fn ram(b: &Card) -> Ram {
    b.around.ram.clone().expect("set up")
}

fn bytes(b: &Card, at: u64, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    ram(b).read(at, &mut bytes).expect("there");
    bytes
}

fn arrives(b: &mut Card, frame: &[u8]) {
    b.with(|d, cx| {
        use solderless_model::{Device as _, NetFrontend as _};
        let _ = d.netdev();
        if d.can_receive(NETDEV) {
            d.receive(cx, NETDEV, frame);
        }
    });
}

fn frame(to: [u8; 6], len: usize) -> Vec<u8> {
    let mut frame: Vec<u8> = (0..len).map(|n| n as u8).collect();
    frame[..6].copy_from_slice(&to);
    frame[12..14].copy_from_slice(&[8, 0]);
    frame
}

#[test]
fn a_frame_spreads_over_buffers_where_the_driver_takes_that() {
    let (mut b, mut drivers) = running(RING_EVENT_IDX);
    let rx = &mut drivers[RX];
    for n in 0..3 {
        rx.offer(&ram(&b), &[(BUFFER + n * 0x1000, 600, true)]);
    }
    rx.notify(&mut b);
    let sent = frame([1; 6], 1000);
    arrives(&mut b, &sent);
    assert_eq!(rx.given(&ram(&b), 1), Some((0, 600)));
    assert_eq!(rx.given(&ram(&b), 1), Some((1, 412)));
    assert_eq!(bytes(&b, BUFFER + 10, 2), [2, 0]);
    let got = [bytes(&b, BUFFER + 12, 588), bytes(&b, BUFFER + 0x1000, 412)].concat();
    assert_eq!(got, sent);
    assert_eq!(get(&mut b, 0x60), 1);
    // What is left is too little for the longest frame: the host waits.
    use solderless_model::NetFrontend as _;
    assert!(!b.dev.can_receive(NETDEV));
}

#[test]
fn without_that_a_frame_needs_one_buffer() {
    let (mut b, mut drivers) = running(MRG_RXBUF);
    let rx = &mut drivers[RX];
    rx.offer(&ram(&b), &[(BUFFER, 600, true)]);
    rx.notify(&mut b);
    arrives(&mut b, &frame([1; 6], 1000));
    assert_eq!(rx.given(&ram(&b), 1), None);
    arrives(&mut b, &frame([1; 6], 100));
    assert_eq!(rx.given(&ram(&b), 1), Some((0, 112)));
}

#[test]
fn frames_are_sent_and_tcp_is_cut() {
    let (mut b, mut drivers) = running(0);
    let tx = &mut drivers[TX];
    let plain = frame([1; 6], 60);
    ram(&b).write(BUFFER, &[0; HEADER]).unwrap();
    ram(&b).write(BUFFER + 0x100, &plain).unwrap();
    tx.offer(
        &ram(&b),
        &[(BUFFER, 12, false), (BUFFER + 0x100, 60, false)],
    );
    tx.notify(&mut b);
    assert_eq!(b.around.sent[&NETDEV], plain);
    assert_eq!(tx.given(&ram(&b), 2), Some((0, 0)));
    b.around.sent.clear();
    let mut long = frame([1; 6], 54 + 250);
    long[14] = 0x45;
    long[46] = 0x50;
    ram(&b)
        .write(BUFFER, &[1, 1, 54, 0, 100, 0, 34, 0, 16, 0, 0, 0])
        .unwrap();
    ram(&b).write(BUFFER + 0x100, &long).unwrap();
    tx.offer(
        &ram(&b),
        &[(BUFFER, 12, false), (BUFFER + 0x100, 304, false)],
    );
    tx.notify(&mut b);
    assert_eq!(b.around.sent[&NETDEV].len(), 2 * 154 + 104);
}

#[test]
fn a_long_burst_makes_a_pause() {
    let mut b = card();
    let features = offered(&mut b);
    let tx = &mut set_up(&mut b, features, 256)[TX];
    ram(&b).write(BUFFER, &[0; 80]).unwrap();
    for _ in 0..100 {
        tx.offer(&ram(&b), &[(BUFFER, 72, false)]);
    }
    tx.notify(&mut b);
    assert_eq!(b.around.sent[&NETDEV].len(), 64 * 60);
    b.advance(PAUSE);
    assert_eq!(b.around.sent[&NETDEV].len(), 100 * 60);
}

#[test]
fn commands_say_what_is_received() {
    let (mut b, mut drivers) = running(0);
    let mut command = |b: &mut Card, class: u8, command: u8, data: &[u8]| {
        let bytes = [&[class, command], data].concat();
        ram(b).write(BUFFER, &bytes).unwrap();
        let ctrl = &mut drivers[CTRL];
        let len = bytes.len() as u32;
        ctrl.offer(&ram(b), &[(BUFFER, len, false), (BUFFER + 0x800, 1, true)]);
        ctrl.notify(b);
        self::bytes(b, BUFFER + 0x800, 1)[0]
    };
    let group = [1, 0, 0x5e, 0, 0, 1];
    let mine = [2, 0, 0, 0, 0, 9];
    assert_eq!(command(&mut b, 0, 0, &[0]), OK);
    assert_eq!(command(&mut b, 1, 1, &mine), OK);
    let tables = [&[0, 0, 0, 0, 1, 0, 0, 0][..], &group].concat();
    assert_eq!(command(&mut b, 1, 0, &tables), OK);
    assert_eq!(command(&mut b, 2, 0, &[7, 0]), OK);
    for (class, number, data) in [
        (1, 1, &mine[..5]),
        (1, 0, &[9, 0, 0, 0]),
        (2, 0, &[0, 16]),
        (9, 0, &[]),
        (0, 0, &[]),
    ] {
        assert_eq!(
            command(&mut b, class, number, data),
            ERR,
            "{class} {number}"
        );
    }
    let passes = |to: [u8; 6]| b.dev.function.filter.passes(&frame(to, 60), true);
    assert!(passes(mine) && passes(group) && passes([0xff; 6]));
    assert!(!passes([2, 0, 0, 0, 0, 8]) && !passes([1, 0, 0x5e, 0, 0, 2]));
    let mut tagged = frame(mine, 60);
    tagged[12..16].copy_from_slice(&[0x81, 0, 0, 7]);
    assert!(b.dev.function.filter.passes(&tagged, true));
    tagged[15] = 8;
    assert!(!b.dev.function.filter.passes(&tagged, true));
}

#[test]
fn random_accesses_saved_state_and_rings_that_lie() {
    exercise(card);
    exercise(|| {
        let (mut b, mut drivers) = running(0);
        for n in 0..8 {
            drivers[RX].offer(&ram(&b), &[(BUFFER + n * 0x1000, 600, true)]);
        }
        drivers[RX].notify(&mut b);
        b
    });
    lies(card);
}
