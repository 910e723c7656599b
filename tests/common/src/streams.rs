//! Streams of saved machines that were tampered with.

/// The header's length, and where it says what lies where.
const HEADER: usize = 96;
const EXTENTS: usize = 24;

/// Makes every checksum of a stream right, as far as its lengths lead to them: what is wrong with it otherwise has to be
/// found by those who look at the content.
pub fn reseal(stream: &mut [u8]) {
    if stream.len() < HEADER + 12 {
        return;
    }
    let mut extents = [(0, 0); 3];
    for (n, extent) in extents.iter_mut().enumerate() {
        let at = EXTENTS + 16 * n;
        *extent = (number(stream, at), number(stream, at + 8));
    }
    let sections = extents[1];
    let mut at = sections.0.saturating_add(4);
    let end = sections.0.saturating_add(sections.1).saturating_sub(4);
    while at < end {
        // Path and model, version, payload, checksum.
        let start = at;
        for text in 0..3 {
            at = at.saturating_add(if text == 2 { 4 } else { 0 });
            at = at.saturating_add(8).saturating_add(number(stream, at));
        }
        seal(stream, start, at.saturating_sub(start).saturating_add(4));
        at = at.saturating_add(4);
    }
    for (at, len) in extents {
        seal(stream, at, len);
    }
    seal(stream, 0, HEADER);
    let end = stream.len() - 8;
    seal(stream, 0, end);
}

/// Puts the checksum of all before into the last four bytes of a range.
fn seal(stream: &mut [u8], at: usize, len: usize) {
    let range = at.checked_add(len).and_then(|end| stream.get_mut(at..end));
    if let Some((content, sum)) = range.and_then(|range| range.split_last_chunk_mut::<4>()) {
        *sum = crc32c::crc32c(content).to_le_bytes();
    }
}

/// A number of eight bytes, or the largest where there is none.
fn number(stream: &[u8], at: usize) -> usize {
    let bytes = at.checked_add(8).and_then(|end| stream.get(at..end));
    let bytes = bytes.and_then(|bytes| bytes.try_into().ok());
    bytes.map_or(usize::MAX, |bytes| u64::from_le_bytes(bytes) as usize)
}
