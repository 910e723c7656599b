//! State of a part that the build lacks is walked.

use solderless_model::{Fitted, State, Wires, not_built};

not_built! {
    Extended: "extended", feature "extended-ram";
    fn read(&self) -> u8;
}

#[derive(State)]
struct Clock {
    extended: Fitted<Extended>,
}

/// The part has no code in this build, and is made all the same.
fn build(wires: Wires<'_>) -> Clock {
    Clock {
        extended: wires.fit(|| Extended { ram: [0; 128] }),
    }
}

fn main() {}
