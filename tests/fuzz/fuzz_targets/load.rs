//! Whatever a stream holds, loading it ends with a machine or with a reason.

#![no_main]

use libfuzzer_sys::fuzz_target;
use solderless::board::Options;
use solderless::machine::Fittings;
use solderless::state::{Stream, payload};
use solderless_model::NEWEST;
use solderless_testing::streams::reseal;

fuzz_target!(|data: &[u8]| {
    // Most of what is behind a checksum is only found with a right one.
    let mut bytes = data.to_vec();
    reseal(&mut bytes);
    let Ok(stream) = Stream::read(&mut &bytes[..], &mut |_, _| {}) else {
        return;
    };
    let layout = &stream.description.about.layout;
    for section in &stream.sections {
        if let Some((_, content)) = layout.section(&section.path) {
            let _ = payload::show(section, content);
        }
    }
    let Ok(own) = stream.board(&Options::default()) else {
        return;
    };
    if let Ok(machine) = stream.build(&own.plan, &own.plan, Fittings::default()) {
        let _ = machine.save(NEWEST);
    }
});
