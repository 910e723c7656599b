//! From what a host does on an IDE cable to drives.

#![no_main]

#[path = "../ata.rs"]
mod ata;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|script: &[u8]| {
    ata::run(script);
});
