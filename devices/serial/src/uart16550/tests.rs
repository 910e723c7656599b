use super::*;
use solderless_model::testing::{Bench, Noise, exercise, goes_on_the_same};

type Com = Bench<IsaSerial>;

fn com() -> Com {
    Bench::new(IsaSerialProps::default())
}

fn get(b: &mut Com, register: u8) -> u8 {
    b.read(PORTS, register.into(), 1).expect("answers") as u8
}

fn put(b: &mut Com, register: u8, value: u8) {
    assert!(b.write(PORTS, register.into(), 1, value.into()));
}

fn type_in(b: &mut Com, bytes: &[u8]) {
    b.with(|d, cx| d.uart.receive(cx, CHR, bytes));
}

#[test]
fn registers_after_reset() {
    let mut b = com();
    for round in 0..2 {
        let values: Vec<u8> = (0..8).map(|r| get(&mut b, r)).collect();
        assert_eq!(values, [0, 0, 1, 0, 8, 0x60, 0xb0, 0], "round {round}");
        put(&mut b, LCR, 0x80);
        assert_eq!((get(&mut b, 0), get(&mut b, 1)), (12, 0));
        for (r, v) in (0..8).zip([0x5a; 8]) {
            put(&mut b, r, v);
        }
        b.reset();
    }
}

#[test]
fn writable_bits() {
    let mut b = com();
    for (register, mask) in [(IER_DLM, 0x0f), (LCR, 0xff), (MCR, 0x1f), (SCR, 0xff)] {
        put(&mut b, register, 0xff);
        assert_eq!(get(&mut b, register), mask, "{register}");
        put(&mut b, register, 0);
        assert_eq!(get(&mut b, register), 0, "{register}");
    }
    put(&mut b, LSR, 0xff);
    assert_eq!(get(&mut b, LSR), 0x60);
}

#[test]
fn the_divisor_latch_hides_three_registers() {
    let mut b = com();
    put(&mut b, LCR, 0x83);
    put(&mut b, 0, 0x34);
    put(&mut b, 1, 0x12);
    assert_eq!((get(&mut b, 0), get(&mut b, 1)), (0x34, 0x12));
    put(&mut b, LCR, 0x03);
    assert_eq!((get(&mut b, 0), get(&mut b, 1)), (0, 0));
    assert!(b.around.sent.is_empty());
}

#[test]
fn transmit_interrupt() {
    let mut b = com();
    put(&mut b, IER_DLM, IER_THRI);
    assert!(
        b.output(INTR),
        "an empty transmitter interrupts when enabled"
    );
    assert_eq!(get(&mut b, IIR_FCR), 0x02);
    assert!(!b.output(INTR), "reading IIR takes it back");
    assert_eq!(get(&mut b, IIR_FCR), 0x01);
    put(&mut b, IER_DLM, IER_THRI);
    assert!(!b.output(INTR), "it was enabled already");
    put(&mut b, IER_DLM, 0);
    put(&mut b, IER_DLM, IER_THRI);
    assert!(b.output(INTR));
    b.around.edges.clear();
    put(&mut b, 0, b'x');
    assert_eq!(b.around.edges, [(INTR, false), (INTR, true)]);
    assert_eq!(b.around.sent[&CHR], b"x");
}

#[test]
fn loopback_fills_the_fifo() {
    let mut b = com();
    put(&mut b, IIR_FCR, 7);
    assert_eq!(get(&mut b, IIR_FCR), 0xc1);
    put(&mut b, MCR, MCR_LOOP);
    for i in 0..=255 {
        put(&mut b, 0, i);
    }
    assert_eq!(b.dev.uart.can_receive(CHR), 0);
    type_in(&mut b, b"lost");
    assert_eq!(get(&mut b, LSR), 0x63, "overrun");
    let mut read = Vec::new();
    while get(&mut b, LSR) & LSR_DR != 0 {
        read.push(get(&mut b, 0));
    }
    assert_eq!(read, (0..16).collect::<Vec<u8>>());
    assert!(b.around.sent.is_empty());
}

#[test]
fn loopback_connects_the_modem_lines() {
    let mut b = com();
    put(&mut b, IER_DLM, IER_MSI);
    for (mcr, msr) in [
        (0x00, 0xb0),
        (0x10, 0x0b),
        (0x11, 0x22),
        (0x12, 0x13),
        (0x14, 0x41),
        (0x18, 0x8c),
        (0x1a, 0x91),
        (0x0a, 0xb2),
    ] {
        put(&mut b, MCR, mcr);
        assert_eq!(b.output(INTR), msr & 0x0f != 0, "MCR {mcr:#x}");
        assert_eq!(get(&mut b, MSR), msr, "MCR {mcr:#x}");
        assert!(!b.output(INTR));
        assert_eq!(get(&mut b, MSR), msr & 0xf0);
    }
}

#[test]
fn trigger_levels_and_time_out() {
    for (fcr, level) in [(0x01, 1), (0x41, 4), (0x81, 8), (0xc1, 14)] {
        let mut b = com();
        put(&mut b, LCR, 3);
        put(&mut b, IIR_FCR, fcr);
        put(&mut b, IER_DLM, IER_RDI);
        for n in 1..=16 {
            type_in(&mut b, &[n]);
            assert_eq!(b.output(INTR), n >= level, "FCR {fcr:#x}, {n} characters");
        }
        for n in (0..16).rev() {
            assert_eq!(get(&mut b, 0), 16 - n);
            assert_eq!(b.output(INTR), n >= level, "FCR {fcr:#x}, {n} left");
        }
    }
    let mut b = com();
    put(&mut b, LCR, 3);
    put(&mut b, IIR_FCR, 0xc1);
    put(&mut b, IER_DLM, IER_RDI);
    type_in(&mut b, b"ab");
    // 4 characters of 10 bits at 9600 baud.
    b.advance(4_166_663);
    assert!(!b.output(INTR));
    b.advance(1);
    assert!(b.output(INTR));
    assert_eq!(get(&mut b, IIR_FCR), 0xcc);
    assert_eq!(get(&mut b, 0), b'a');
    assert!(!b.output(INTR), "a read starts the time anew");
    b.advance(4_166_664);
    assert_eq!(get(&mut b, IIR_FCR), 0xcc);
    put(&mut b, IIR_FCR, 0xc3);
    b.advance(PAUSE_NS);
    assert_eq!((get(&mut b, IIR_FCR), get(&mut b, LSR)), (0xc1, 0x60));
    assert!(b.around.timers.is_empty());
}

#[test]
fn without_fifo_a_character_is_overwritten() {
    let mut b = com();
    put(&mut b, IER_DLM, IER_RDI | IER_RLSI);
    type_in(&mut b, b"a");
    assert_eq!(get(&mut b, IIR_FCR), 0x04);
    type_in(&mut b, b"b");
    assert_eq!(get(&mut b, IIR_FCR), 0x06);
    assert_eq!(get(&mut b, LSR), 0x63);
    assert_eq!(get(&mut b, IIR_FCR), 0x04);
    assert_eq!(get(&mut b, 0), b'b');
    assert!(!b.output(INTR));
    assert!(b.around.timers.is_empty());
}

#[test]
fn a_break_is_seen_when_its_character_is_on_top() {
    let mut b = com();
    put(&mut b, IIR_FCR, 1);
    put(&mut b, IER_DLM, IER_RLSI);
    type_in(&mut b, b"a");
    b.with(|d, cx| d.uart.receive_break(cx, CHR));
    assert_eq!(
        get(&mut b, LSR),
        0xe1,
        "an error is in the FIFO, but below the top"
    );
    assert!(!b.output(INTR));
    assert_eq!(get(&mut b, 0), b'a');
    assert!(b.output(INTR));
    assert_eq!(get(&mut b, LSR), 0xf1);
    assert_eq!(get(&mut b, LSR), 0x61);
    assert!(!b.output(INTR));
    assert_eq!(get(&mut b, 0), 0);
}

#[test]
fn interrupts_have_priorities() {
    let mut b = com();
    put(&mut b, IER_DLM, 0x0f);
    put(&mut b, MCR, 0x10);
    put(&mut b, MCR, 0x00);
    type_in(&mut b, b"ab");
    assert_eq!(get(&mut b, IIR_FCR), 0x06);
    get(&mut b, LSR);
    assert_eq!(get(&mut b, IIR_FCR), 0x04);
    get(&mut b, 0);
    assert_eq!(get(&mut b, IIR_FCR), 0x02);
    assert_eq!(get(&mut b, IIR_FCR), 0x00);
    get(&mut b, MSR);
    assert_eq!(get(&mut b, IIR_FCR), 0x01);
    assert!(!b.output(INTR));
}

fn room(b: &Com) -> usize {
    b.dev.uart.can_receive(CHR)
}

#[test]
fn input_comes_whatever_the_guest_does() {
    let mut b = com();
    assert_eq!(room(&b), 1, "from power-on");
    for mcr in [0, MCR_OUT2, MCR_DTR | MCR_RTS] {
        put(&mut b, MCR, mcr);
        for c in b"Some output, and a look for input after each character of it." {
            put(&mut b, 0, *c);
            assert_eq!(room(&b), 1, "MCR {mcr:#x}");
            type_in(&mut b, b"i");
            assert_eq!(room(&b), 0);
            assert_eq!(get(&mut b, LSR) & LSR_DR, LSR_DR);
            assert_eq!(get(&mut b, 0), b'i');
        }
    }
    put(&mut b, MCR, MCR_LOOP);
    assert_eq!(room(&b), 0, "the line is not connected");
}

#[test]
fn what_is_cleared_unread_is_sent_again_after_a_pause() {
    let mut b = com();
    put(&mut b, IIR_FCR, 1);
    b.advance(PAUSE_NS);
    assert_eq!(room(&b), 16);
    for (value, depth) in [(7, 16), (0, 1), (1, 16), (3, 16)] {
        let typed = &b"abcdefghijklmnop"[..room(&b)];
        type_in(&mut b, typed);
        b.around.given_back.clear();
        put(&mut b, IIR_FCR, value);
        assert_eq!(b.around.given_back[&CHR], typed, "FCR {value}");
        assert_eq!(get(&mut b, LSR) & LSR_DR, 0, "FCR {value}");
        assert_eq!(room(&b), 0, "FCR {value}: a pause");
        // A driver that interrupts for input has nothing to fear.
        put(&mut b, IER_DLM, IER_RDI);
        assert_eq!(room(&b), depth, "FCR {value}");
        put(&mut b, IER_DLM, 0);
        b.advance(PAUSE_NS - 1);
        assert_eq!(room(&b), 0, "FCR {value}");
        b.advance(1);
        assert_eq!(room(&b), depth, "FCR {value}: no more");
        assert!(b.around.timers.is_empty(), "FCR {value}");
    }
    // Neither a break nor what the guest has sent to itself was typed, and an overrun does not change what was.
    put(&mut b, MCR, MCR_LOOP);
    put(&mut b, 0, b'x');
    put(&mut b, MCR, 0);
    b.with(|d, cx| d.uart.receive_break(cx, CHR));
    assert_eq!(get(&mut b, LSR) & LSR_FIFO_ERROR, LSR_FIFO_ERROR);
    type_in(&mut b, b"typed");
    assert_eq!(get(&mut b, 0), b'x');
    assert_eq!(get(&mut b, LSR) & LSR_BI, LSR_BI);
    b.around.given_back.clear();
    put(&mut b, IIR_FCR, 3);
    assert_eq!(b.around.given_back[&CHR], b"typed");
    // At a reset it comes again too.
    b.advance(PAUSE_NS);
    type_in(&mut b, b"more");
    b.around.given_back.clear();
    b.reset();
    assert_eq!(b.around.given_back[&CHR], b"more");
    assert_eq!(room(&b), 1);
}

#[test]
fn a_stride_and_byte_orders() {
    for (endianness, at4) in [
        (Endianness::Little, 0x0000_00b0),
        (Endianness::Big, 0xb000_0000),
    ] {
        let mut b = Bench::<SerialMm>::new(SerialMmProps {
            regshift: 3,
            baudbase: 230_400,
            endianness,
        });
        assert_eq!(b.interface.regions[0].size, 0x40);
        assert_eq!(b.read(PORTS, 0x30, 4), Some(at4));
        assert_eq!(b.read(PORTS, 0x34, 4), Some(at4));
        assert_eq!(b.read(PORTS, 0x33, 1), Some(0xb0));
        assert_eq!(b.read(PORTS, 0x30, 8).map(|v| v.count_ones()), Some(3));
        let value = |v: u64| {
            if endianness == Endianness::Big {
                v << 24
            } else {
                v
            }
        };
        assert!(b.write(PORTS, 0x38, 4, value(0x5a)));
        assert_eq!(b.read(PORTS, 0x3f, 1), Some(0x5a));
    }
    for (regshift, width) in [(0, 1), (1, 2), (2, 4), (3, 8)] {
        let props = SerialMmProps {
            regshift,
            ..SerialMmProps::default()
        };
        let region = SerialMm::interface(&props).unwrap().regions[0].clone();
        assert_eq!(
            region,
            Region::registers("registers", 8 * width).max_width(width as u8)
        );
    }
}

/// One random thing happens; the answer is all that can be seen from outside.
fn poke(b: &mut Com, noise: &mut Noise) -> (Option<u64>, bool, usize) {
    let (what, register, value) = (noise.draw() % 8, noise.draw() % 8, noise.draw());
    let mut read = None;
    match what {
        0..3 => read = b.read(PORTS, register, 1),
        3..6 => assert!(b.write(PORTS, register, 1, value)),
        6 => {
            let ready = b.dev.uart.can_receive(CHR) + usize::from(value & 0x700 == 0);
            let bytes = vec![value as u8; ready];
            b.with(|d, cx| d.uart.receive(cx, CHR, &bytes));
        }
        _ if value & 1 == 0 => b.with(|d, cx| d.uart.receive_break(cx, CHR)),
        _ => b.advance(value & 0xff_ffff),
    }
    (read, b.output(INTR), b.dev.uart.can_receive(CHR))
}

#[test]
fn random_accesses_and_saved_state() {
    goes_on_the_same(com, 50, 200, poke);
    exercise(com);
}

#[test]
fn too_many_characters_are_refused() {
    let mut b = com();
    b.dev.uart.rx.extend([(0, 0); 17]);
    assert!(b.with(|d, cx| d.restored(cx)).is_err());
}
