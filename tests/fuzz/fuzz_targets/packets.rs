//! From frames to the network of `user`.

#![no_main]

#[path = "../packets.rs"]
mod packets;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    packets::send(input);
});
