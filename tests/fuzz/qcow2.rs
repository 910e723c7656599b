//! What has to hold whatever a qcow2 image is: it is opened or refused, and what is read of it and written to it is done or an error.

use std::fs::File;
use std::path::Path;

use solderless::backend::block::{Header, check};
use solderless::backend::{DiskImage, Mode};

/// Reads an image that may be anything, as far as it goes. Says whether its header and its snapshots could be read.
pub fn open(path: &Path) -> bool {
    let file = File::open(path).expect("it is there");
    let _ = check(&file, &mut |_, _| {});
    let good = Header::read(&file).is_ok_and(|header| header.snapshots(&file).is_ok());
    let mode = Mode {
        write: true,
        ..Mode::default()
    };
    if let Ok(mut image) = DiskImage::open(path, mode) {
        let mut out = [0; 4096];
        for at in [0, 65_536, 1 << 20, image.bytes().saturating_sub(4096)] {
            let _ = image.read(at, &mut out);
            let _ = image.write(at, &out);
        }
        let _ = image.flush();
    }
    good
}
