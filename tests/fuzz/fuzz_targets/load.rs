//! From streams to machines.

#![no_main]

#[path = "../stream.rs"]
mod stream;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    // One file for each process, as several can run.
    let path = std::env::temp_dir().join(format!("solderless-fuzz-{}.snap", std::process::id()));
    stream::load(&path, bytes);
});
