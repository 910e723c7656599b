//! A structure within another has a version of its own, which the stream does not carry.

use solderless_model::State;

#[derive(State)]
#[state(version = 2)]
struct Fifo {
    #[state(version = 2)]
    level: u8,
}

fn main() {}
