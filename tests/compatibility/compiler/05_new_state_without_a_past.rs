//! State that is new says since when, and not what an older machine has of it.

use solderless_model::State;

#[derive(State)]
struct Uart {
    scr: u8,
    #[state(since = 3)]
    loopback: bool,
}

fn main() {}
