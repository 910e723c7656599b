//! A property says since when it is there, and not what a device was like before.

use solderless_model::Ranges;

#[derive(Clone, Default, Ranges)]
struct Props {
    #[prop(since = 3)]
    loopback: bool,
}

fn main() {}
