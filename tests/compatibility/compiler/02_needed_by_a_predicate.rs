//! A predicate decides at run time whether a piece of state is there, and gets another structure than it thinks.

use solderless_model::State;

#[derive(State)]
struct Timer {
    count: u32,
    #[state(needed = |timer: &Clock| timer.running)]
    reload: u32,
}

struct Clock {
    running: bool,
}

fn main() {}
