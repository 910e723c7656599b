//! What the fuzzer found worth keeping (`tests/fuzz`), without the fuzzer.

#[path = "../fuzz/ata.rs"]
mod ata;
#[path = "../fuzz/check.rs"]
mod check;
#[path = "../fuzz/packets.rs"]
mod packets;
#[path = "../fuzz/qcow2.rs"]
pub mod qcow2;
#[path = "../fuzz/queues.rs"]
mod queues;
#[path = "../fuzz/stream.rs"]
pub mod stream;

use std::fs;

/// The inputs of a target that are kept.
fn corpus(target: &str) -> impl Iterator<Item = Vec<u8>> {
    let folder = format!("tests/fuzz/corpus/{target}");
    let files = fs::read_dir(folder).expect("the corpus");
    files.map(|file| fs::read(file.unwrap().path()).unwrap())
}

#[test]
fn no_text_of_the_corpus_panics() {
    let folder = tempfile::tempdir().unwrap();
    let mut tried = 0;
    for bytes in corpus("plan") {
        if let Ok(text) = String::from_utf8(bytes) {
            tried += usize::from(check::plan(folder.path(), &text));
        }
    }
    assert!(tried > 100, "the corpus was not found");
}

#[test]
fn no_stream_of_the_corpus_panics() {
    let folder = tempfile::tempdir().unwrap();
    let mut taken = 0;
    for bytes in corpus("load") {
        taken += usize::from(stream::load(&folder.path().join("x"), &bytes));
    }
    assert!(taken >= 3, "the corpus was not found");
}

#[test]
fn no_image_of_the_corpus_panics() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("disk.qcow2");
    for bytes in corpus("qcow2") {
        fs::write(&path, bytes).unwrap();
        qcow2::open(&path);
    }
}

#[test]
fn drives_virtqueues_and_the_network_stand_the_corpus() {
    for (target, least, run) in [
        ("ata", 15, ata::run as fn(&[u8]) -> bool),
        ("queues", 18, queues::run),
        ("packets", 11, packets::send),
    ] {
        let done = corpus(target).filter(|bytes| run(bytes)).count();
        assert!(done >= least, "{target}: {done}");
    }
}
