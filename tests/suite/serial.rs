//! Serial input as a guest sees it.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use solderless::compose::{self, Options};
use solderless::machine::{Event, Fittings, Machine, Pace, Run, Sink};

use crate::outside::Typed;

const BOARD: &str = r#"
    [board]
    name = "serial"
    [slot]
    serial0 = { kind = "chardev" }
    [dev.cpu]
    at = "sys"
    [dev.cpu.mips32-cpu]
    clock = "100MHz"
    [dev.boot]
    at = "sys:0x1fc00000"
    [dev.boot.ram]
    size = "4KiB"
    [dev.uart]
    at = "sys:0x18000000"
    irq.intr = "cpu[2]"
    backend.chr = "serial0"
    [dev.uart.serial-mm]
"#;

#[derive(Clone, Default)]
struct Heard(Rc<RefCell<Vec<u8>>>);

impl Sink for Heard {
    fn send(&mut self, bytes: &[u8]) {
        self.0.borrow_mut().extend(bytes);
    }
}

/// What a guest has sent that prints a dot, looks for a character, and sends it back, every 10 ms; and that clears its
/// receiver before and sets MCR, if it is to.
fn ticks(clears: bool, mcr: u8, typed: &[u8], ticks: u64) -> String {
    let loaded = compose::open_text("serial", BOARD, &Options::default());
    let loaded = loaded.unwrap_or_else(|e| panic!("{}", e.render(false)));
    let heard = Heard::default();
    let fittings = Fittings {
        sinks: vec![Some(Box::new(heard.clone()))],
        ..Fittings::default()
    };
    let mut machine = Machine::new(&loaded.plan, fittings).expect("a machine");
    let code = [
        0x3c08_b800,                     // lui   $t0, 0xb800
        0x2409_0007 * u32::from(clears), // addiu $t1, $zero, 7
        0xa109_0002 * u32::from(clears), // sb    $t1, 2($t0)
        0x2409_0000 | u32::from(mcr),    // addiu $t1, $zero, MCR
        0xa109_0004,                     // sb    $t1, 4($t0)
        0x3c0a_0005,                     // tick: lui $t2, 5
        0x1d40_ffff,                     // bgtz  $t2, .
        0x254a_ffff,                     // addiu $t2, $t2, -1
        0x2409_002e,                     // addiu $t1, $zero, '.'
        0xa109_0000,                     // sb    $t1, 0($t0)
        0x9109_0005,                     // lbu   $t1, 5($t0)
        0x3129_0001,                     // andi  $t1, $t1, 1
        0x1120_fff8,                     // beqz  $t1, tick
        0,                               // nop
        0x9109_0000,                     // lbu   $t1, 0($t0)
        0x1000_fff5,                     // b     tick
        0xa109_0000,                     // sb    $t1, 0($t0)
    ];
    let code: Vec<u8> = code.iter().copied().flat_map(u32::to_le_bytes).collect();
    machine.load(0x1fc0_0000, &code).expect("memory");
    let run = Run {
        pace: Pace::Deterministic,
        no_reboot: false,
        // A tick is 2 × 5 × 65536 cycles, and a few.
        max_time: Some(Duration::from_nanos(ticks * 6_553_800)),
    };
    machine.run(run, &mut Typed([Event::Input(0, typed.to_vec())].into()));
    String::from_utf8_lossy(&heard.0.borrow()).into_owned()
}

#[test]
fn a_guest_that_looks_from_a_tick_gets_a_character_each_tick() {
    // Modem outputs say nothing about reception; and without a FIFO it is no different.
    for mcr in [0x00, 0x08, 0x0b] {
        let text = ticks(false, mcr, b"typed", 7);
        assert_eq!(text, ".t.y.p.e.d..", "MCR {mcr:#x}");
        // A pause of 10 ms after the receiver was cleared.
        let text = ticks(true, mcr, b"typed", 8);
        assert_eq!(text, "..t.y.p.e.d..", "MCR {mcr:#x}");
    }
}
