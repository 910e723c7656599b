//! Signals: every one that would end the program asks the machine to stop instead, so that the terminal is put back and the
//! machine saved if that was asked for.

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::Duration;

use rustix::process::Signal;
use signal_hook::iterator::Signals as Incoming;
use signal_hook::low_level::emulate_default_handler;

use super::outside::Post;
use super::terminal;
use crate::machine::Word;

/// Those whose default is to end the program and that can be caught: all but SIGKILL, and the faults SIGILL, SIGBUS, SIGFPE
/// and SIGSEGV, after which nothing can go on. SIGPIPE and SIGXFSZ are errors of a write.
const ENDING: &[Signal] = &[
    Signal::HUP,
    Signal::INT,
    Signal::QUIT,
    Signal::TRAP,
    Signal::ABORT,
    Signal::USR1,
    Signal::USR2,
    Signal::ALARM,
    Signal::TERM,
    Signal::STKFLT,
    Signal::XCPU,
    Signal::VTALARM,
    Signal::PROF,
    Signal::IO,
    Signal::POWER,
    Signal::SYS,
];

/// The real-time signals, whose default is the same. The C library keeps those below for itself.
const REAL_TIME: RangeInclusive<i32> = 34..=64;

/// When those are taken over, after the others.
const LATER: Duration = Duration::from_millis(20);

/// What a signal means now.
#[derive(Debug)]
pub(super) struct Signals {
    machine: Arc<AtomicBool>,
    taken: Receiver<std::io::Result<()>>,
}

impl Signals {
    /// Begins to take over the signals that end the program, which takes a moment that the machine can be built in. Before there is a machine one ends it at once. Then one asks the machine to
    /// stop, and a second one ends the program where it is: the machine may be being saved to a place that takes nothing.
    pub(super) fn listen(post: Post) -> std::io::Result<Self> {
        let machine = Arc::new(AtomicBool::new(false));
        let known = machine.clone();
        let (say, taken) = sync_channel(1);
        let watch = move || {
            let numbers = ENDING.iter().chain(&[Signal::CONT, Signal::TSTP]);
            let mut incoming = match Incoming::new(numbers.map(|signal| signal.as_raw())) {
                Ok(incoming) => incoming,
                Err(e) => return drop(say.send(Err(e))),
            };
            let _ = say.send(Ok(()));
            // Nobody waits for these: to take them over takes longer than all the others, and nothing sends them unasked. A guest
            // has begun by then.
            std::thread::sleep(LATER);
            for number in REAL_TIME {
                // Some C libraries keep the first of them too.
                let _ = incoming.add_signal(number);
            }
            for signal in incoming.forever() {
                if signal == Signal::CONT.as_raw() {
                    terminal::resume();
                    continue;
                }
                if signal == Signal::TSTP.as_raw() {
                    terminal::leave();
                    let _ = emulate_default_handler(signal);
                    continue;
                }
                let status = 128 + signal as u8;
                if !known.swap(false, SeqCst) {
                    terminal::restore();
                    std::process::exit(i32::from(status));
                }
                // Nobody hears it where the machine is being saved at the end of its run: that goes on.
                let _ = post.word(Word::Quit(status));
            }
        };
        std::thread::Builder::new()
            .name("signals".to_owned())
            .spawn(watch)?;
        Ok(Self { machine, taken })
    }

    /// Waits until the signals are taken over: before the terminal is.
    pub(super) fn ready(&self) -> std::io::Result<()> {
        // Its thread says so once.
        self.taken.recv().unwrap_or(Ok(()))
    }

    /// There is a machine now.
    pub(super) fn begin(&self) {
        self.machine.store(true, SeqCst);
    }
}
