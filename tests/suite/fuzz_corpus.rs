//! What the fuzzer found worth keeping (`tests/fuzz`), without the fuzzer.

#[path = "../fuzz/check.rs"]
mod check;
#[path = "../fuzz/stream.rs"]
pub mod stream;

use std::fs;

#[test]
fn no_text_of_the_corpus_panics() {
    let folder = tempfile::tempdir().unwrap();
    let mut tried = 0;
    for entry in fs::read_dir("tests/fuzz/corpus/plan").unwrap() {
        if let Ok(text) = String::from_utf8(fs::read(entry.unwrap().path()).unwrap()) {
            tried += usize::from(check::plan(folder.path(), &text));
        }
    }
    assert!(tried > 100, "the corpus was not found");
}

#[test]
fn no_stream_of_the_corpus_panics() {
    let folder = tempfile::tempdir().unwrap();
    let mut taken = 0;
    for entry in fs::read_dir("tests/fuzz/corpus/load").unwrap() {
        let bytes = fs::read(entry.unwrap().path()).unwrap();
        taken += usize::from(stream::load(&folder.path().join("x"), &bytes));
    }
    assert!(taken >= 3, "the corpus was not found");
}
