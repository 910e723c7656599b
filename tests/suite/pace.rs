//! Guest time and the wall clock.

use std::time::{Duration, Instant};

use solderless::compose::{self, Options};
use solderless::machine::{End, Fittings, Host, Machine, Message, Pace, Run};

struct Silence;

impl Host for Silence {
    fn poll(&mut self) -> Option<Message> {
        None
    }
    fn wait(&mut self, time: Option<Duration>) -> Option<Message> {
        std::thread::sleep(time.unwrap_or_default());
        None
    }
}

/// A Malta whose CPU has a clock of 1 MHz.
fn slow_malta() -> Machine {
    let options = Options {
        set: vec![
            ("dev.cpu.mips32-cpu.clock".to_owned(), "1MHz".to_owned()),
            ("param.ram".to_owned(), "16MiB".to_owned()),
        ],
        ..Options::default()
    };
    let loaded =
        compose::open(Some("malta"), &options).unwrap_or_else(|e| panic!("{}", e.render(false)));
    Machine::new(&loaded.plan, Fittings::default()).expect("a machine")
}

#[test]
fn a_watched_guest_is_as_fast_as_the_host_while_its_time_is_the_wall_clocks() {
    const TIME: Duration = Duration::from_millis(300);
    let run = |machine: &mut Machine, pace| {
        let run = Run {
            pace,
            no_reboot: false,
            max_time: Some(TIME),
        };
        // Memory is empty: millions of NOP.
        machine.cpu().expect("a CPU").set_pc(0x8000_1000);
        let start = Instant::now();
        assert_eq!(machine.run(run, &mut Silence), End::TimeUp);
        start.elapsed()
    };
    let mut machine = slow_malta();
    let wall = run(&mut machine, Pace::Watched);
    let executed = machine.cpu().expect("a CPU").instructions();
    // At one instruction in a cycle, it would be 300,000.
    assert!(executed > 600_000, "{executed} instructions");
    let ahead = Duration::from_nanos(machine.now()).saturating_sub(wall);
    assert!(ahead < Duration::from_millis(20), "{ahead:?} ahead");
    // And not where time is made of instructions.
    let (before, now) = (executed, machine.now());
    run(&mut machine, Pace::Deterministic);
    let executed = machine.cpu().expect("a CPU").instructions() - before;
    assert!(
        executed.abs_diff((machine.now() - now) / 1000) <= 64,
        "{executed} instructions"
    );
}
