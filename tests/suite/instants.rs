//! Instants at which a save is awkward: between two updates that a device makes only when somebody looks, at the very
//! edge of a timer, while nothing happens, where a run ends by the guest's own wish, at the end of time.

use std::time::Duration;

use solderless::compose::{self, Loaded, Options};
use solderless::machine::{Clock, End, Fittings, Machine, Pace, Run};
use solderless_model::testing::Noise;
use solderless_model::{END_OF_TIME, NEWEST, Persist, Request, Section, Writer};

use crate::outside::Typed;

/// Runs a machine for so many nanoseconds of guest time.
fn run(machine: &mut Machine, ns: u64, no_reboot: bool) -> End {
    let run = Run {
        pace: Pace::Deterministic,
        no_reboot,
        max_time: Some(Duration::from_nanos(ns)),
    };
    machine.run(run, &mut Typed::default())
}

fn loaded() -> Loaded {
    const BOARD: &str = r#"
        [board]
        name = "bench"
        [dev.cpu]
        at = "sys"
        [dev.cpu.mips32-cpu]
        [dev.boot]
        at = "sys:0x1fc00000"
        [dev.boot.ram]
        size = "4KiB"
        [dev.io]
        at = "sys:0x18000000"
        [dev.io.isa-mmio]
        [dev.pit]
        at = "io.isa:0x40"
        irq."out[0]" = "cpu[2]"
        [dev.pit.isa-pit]
        clock = "1MHz"
        [dev.rtc]
        at = "io.isa:0x70"
        irq.irq = "cpu[3]"
        [dev.rtc.mc146818rtc]
    "#;
    let loaded = compose::open_text("bench", BOARD, &Options::default());
    loaded.unwrap_or_else(|e| panic!("{}", e.render(false)))
}

/// What a guest does when it has written its ports: wait for interrupts that it does not take, or loop.
const WAIT: [u32; 3] = [0x4200_0020, 0x1000_fffe, 0];
const LOOP: [u32; 2] = [0x1000_ffff, 0];

/// A machine whose guest writes these bytes to these ports, in order, and then does nothing.
fn machine(loaded: &Loaded, ports: &[(u16, u8)], then: &[u32]) -> Machine {
    let mut machine = Machine::new(&loaded.plan, Fittings::default()).expect("a machine");
    let writes = ports.iter().flat_map(|(port, byte)| {
        let byte = 0x2409_0000 | u32::from(*byte);
        [byte, 0xa109_0000 | u32::from(*port)]
    });
    let lui = [0x3c08_b800];
    let words = lui.into_iter().chain(writes).chain(then.iter().copied());
    let code: Vec<u8> = words.flat_map(u32::to_le_bytes).collect();
    machine.load(0x1fc0_0000, &code).expect("memory");
    machine
}

/// The machine that goes on from a save of another.
fn restored(loaded: &Loaded, sections: &[Section]) -> Machine {
    let machine = Machine::restored(&loaded.plan, Fittings::default(), sections, NEWEST);
    machine.unwrap_or_else(|e| panic!("{e}"))
}

fn again(loaded: &Loaded, machine: &Machine) -> Machine {
    restored(loaded, &machine.save(NEWEST).expect("all"))
}

#[test]
fn nothing_depends_on_saves_at_edges_between_updates_and_in_sleep() {
    /// Counter 0 interrupts every 100 µs and counter 1 is a square wave of 18, as a PC's refresh; the clock interrupts 8192
    /// times a second.
    const TIMERS: &[(u16, u8)] = &[
        (0x43, 0x36),
        (0x40, 100),
        (0x40, 0),
        (0x43, 0x56),
        (0x41, 18),
        (0x70, 0x0a),
        (0x71, 0x23),
        (0x70, 0x0b),
        (0x71, 0x42),
    ];
    const END: u64 = 12_000_000;
    let loaded = loaded();
    for (ports, then) in [
        (TIMERS, &WAIT[..]),
        (TIMERS, &LOOP[..]),
        (&[][..], &WAIT[..]),
    ] {
        let mut plain = machine(&loaded, ports, then);
        run(&mut plain, END, false);
        let mut cut = machine(&loaded, ports, then);
        let mut noise = Noise(5);
        while cut.now() < END {
            // Most of them are on a cycle of the timer's clock, and many of these on edges.
            let at = cut.now() + noise.below(200_000);
            let at = at - at % [1, 1000, 50_000][noise.below(3) as usize];
            let ns = at.clamp(cut.now(), END) - cut.now();
            run(&mut cut, ns, false);
            cut = again(&loaded, &cut);
        }
        assert_eq!(plain.now(), cut.now());
        assert_eq!(plain.state_hash(), cut.state_hash());
    }
}

#[test]
fn a_machine_that_is_off_or_resets_is_that_after_a_restore() {
    let loaded = loaded();
    let mut machine = machine(&loaded, &[], &LOOP);
    run(&mut machine, 1000, false);
    machine.request(Request::Reset);
    // Where a reset ends a run, it does so again, with nothing done meanwhile.
    for _ in 0..3 {
        let now = machine.now();
        assert_eq!(run(&mut machine, 1_000_000, true), End::Reset);
        assert_eq!(machine.now(), now);
        machine = again(&loaded, &machine);
    }
    // Elsewhere the machine is reset, once.
    let pc = |machine: &mut Machine| machine.cpu().expect("a CPU").pc() as u32;
    assert_ne!(pc(&mut machine), 0xbfc0_0000);
    assert_eq!(run(&mut machine, 0, false), End::TimeUp);
    assert_eq!(pc(&mut machine), 0xbfc0_0000);
    assert_eq!(run(&mut machine, 1_000_000, true), End::TimeUp);
    machine.request(Request::PowerOff);
    for _ in 0..3 {
        assert_eq!(run(&mut machine, 1_000_000, false), End::PowerOff);
        machine = again(&loaded, &machine);
    }
}

/// The section of a clock that shows this guest time, and is as at power-on otherwise.
fn clock(now: u64) -> Section {
    let mut out = Writer::new(NEWEST);
    out.section(solderless::machine::CLOCK, &Clock::at(now) as &dyn Persist);
    out.finish().expect("all").remove(0)
}

#[test]
fn guest_time_ends_and_does_not_begin_again() {
    let loaded = loaded();
    for (ports, then) in [
        (&[][..], &WAIT[..]),
        (&[][..], &LOOP[..]),
        (&[(0x43, 0x36), (0x40, 100), (0x40, 0)][..], &WAIT[..]),
    ] {
        let mut machine = machine(&loaded, ports, then);
        run(&mut machine, 1000, false);
        let mut sections = machine.save(NEWEST).expect("all");
        let at = sections.iter().position(|s| s.path.ends_with("clock"));
        let at = at.expect("a clock");
        for now in [END_OF_TIME, u64::MAX - 1000, u64::MAX] {
            sections[at] = clock(now);
            let refused = Machine::restored(&loaded.plan, Fittings::default(), &sections, NEWEST);
            let reason = refused.map(drop).unwrap_err().to_string();
            let whole = format!("/clock: now is {now} ns, and guest time ends at");
            assert!(reason.starts_with(&whole), "{reason}");
        }
        // Later by whole periods of the timer, so that its output agrees.
        let later = (END_OF_TIME - 2_000_000 - machine.now()) / 100_000 * 100_000;
        sections[at] = clock(machine.now() + later);
        let mut machine = restored(&loaded, &sections);
        assert_eq!(run(&mut machine, u64::MAX, false), End::TimeUp);
        assert!((END_OF_TIME..END_OF_TIME + 1000).contains(&machine.now()));
        assert_eq!(run(&mut machine, 1000, false), End::TimeUp);
    }
}
