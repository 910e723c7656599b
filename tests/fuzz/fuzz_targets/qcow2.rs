//! From images to disks.

#![no_main]

#[path = "../qcow2.rs"]
mod qcow2;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    // One file for each process, as several can run.
    let path = std::env::temp_dir().join(format!("solderless-fuzz-{}.qcow2", std::process::id()));
    std::fs::write(&path, bytes).expect("a file");
    qcow2::open(&path);
});
