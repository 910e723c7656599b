//! From texts to plan.

#![no_main]

#[path = "../check.rs"]
mod check;

use libfuzzer_sys::{Corpus, fuzz_target};

fuzz_target!(|text: &str| -> Corpus {
    // One folder for each process, as several can run.
    let folder = std::env::temp_dir().join(format!("solderless-fuzz-{}", std::process::id()));
    if check::plan(&folder, text) {
        Corpus::Keep
    } else {
        Corpus::Reject
    }
});
