//! A version that is the size of a structure changes with the structure.

use solderless_model::State;

struct Registers([u32; 6]);

#[derive(State)]
struct Uart {
    scr: u8,
    #[state(since = size_of::<Registers>(), default = 0)]
    fcr: u8,
}

fn main() {}
