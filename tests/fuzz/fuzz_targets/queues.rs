//! From virtqueues to devices.

#![no_main]

#[path = "../queues.rs"]
mod queues;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    queues::run(input);
});
