//! What has to hold whatever a stream is: loading it ends with a machine or with a reason, and a file is taken like a pipe.

use std::fs::{self, File};
use std::path::Path;

use solderless::compose::Options;
use solderless::machine::Fittings;
use solderless::state::{Stream, payload};
use solderless_model::NEWEST;
use solderless_testing::streams::reseal;

/// Loads a stream as far as it goes, with all its checksums made right; `path` is a file for it. Says whether a machine came of it.
pub fn load(path: &Path, bytes: &[u8]) -> bool {
    // Most of what is behind a checksum is only found with a right one.
    let mut bytes = bytes.to_vec();
    reseal(&mut bytes);
    fs::write(path, &bytes).expect("a file");
    let mapped = Stream::map(&File::open(path).expect("the file"));
    let Ok(stream) = Stream::read(&mut &bytes[..], &mut |_, _| {}) else {
        return false;
    };
    // A stream may have something behind it; a file may not.
    if stream.length == bytes.len() as u64 {
        let mapped = mapped.expect("what can be read can be mapped");
        // What is claimed to be large is not looked at, here as there.
        let mut blocks = stream.sections.iter().flat_map(|s| &s.memory);
        assert!(blocks.any(|block| block.size() > 1 << 20) || mapped.sections == stream.sections);
    }
    let layout = &stream.description.about.layout;
    for section in &stream.sections {
        if let Some((_, content)) = layout.section(&section.path) {
            let _ = payload::show(section, content);
        }
    }
    let Ok(own) = stream.board(&Options::default()) else {
        return false;
    };
    let built = stream.build(&own.plan, &own.plan, Fittings::default());
    built.is_ok_and(|machine| machine.save(NEWEST).is_ok())
}
