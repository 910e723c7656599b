//! Firmware images, which come in either word order.

use solderless_model::boot::BootError;

/// Takes a firmware image as its build made it. A little-endian image for a Malta exists in two forms: in the CPU's order,
/// and with every word turned, as programmers of the real board's big-endian flash want it. Both are taken; the turned words if
/// they have to be.
///
/// # Errors
/// It is code for the other byte order.
pub fn in_order(bytes: &[u8], big_endian: bool) -> Result<Option<Vec<u8>>, BootError> {
    let turned: Vec<u8> = bytes
        .chunks(4)
        .flat_map(|w| w.iter().rev().copied())
        .collect();
    let (here, there) = (
        code_score(bytes, big_endian),
        code_score(&turned, big_endian),
    );
    // Only code that is clearly of the other order counts; anything else is the user's business.
    if there <= 2 * here + 8 {
        return Ok(None);
    }
    // Turned words make code of the other byte order, or code of this one whose text is scrambled.
    if text_score(bytes) > text_score(&turned) {
        let (is, wants) = if big_endian {
            ("little", "big")
        } else {
            ("big", "little")
        };
        return BootError::refuse(format!(
            "the image holds {is}-endian code, but the board's CPU is {wants}-endian"
        ));
    }
    match bytes.len().is_multiple_of(4) {
        true => Ok(Some(turned)),
        false => {
            BootError::refuse("the image's words are turned, but its size is not a multiple of 4")
        }
    }
}

/// How much the start of an image, and a sample of the rest, looks like MIPS code: common opcodes count.
fn code_score(bytes: &[u8], big_endian: bool) -> usize {
    let words = bytes.chunks_exact(4).filter_map(|c| c.try_into().ok());
    let word = |c: [u8; 4]| {
        if big_endian {
            u32::from_be_bytes(c)
        } else {
            u32::from_le_bytes(c)
        }
    };
    let common = |w: &u32| match w >> 26 {
        // lui, addiu, ori, lw, sw with registers that compilers use; j and jal into the boot segments
        0x0f => w >> 21 & 0x1f == 0,
        0x09 | 0x23 | 0x2b => matches!(w >> 21 & 0x1f, 2..=9 | 16..=23 | 28 | 29),
        0x10 => w & 0x7f8 == 0,
        0 => matches!(*w, 0x03e0_0008 | 0x0320_f809),
        _ => false,
    };
    words.map(word).filter(common).count()
}

/// How often pieces of English and of format strings occur; turning words tears them apart.
fn text_score(bytes: &[u8]) -> usize {
    const PIECES: [&[u8]; 12] = [
        b"the ", b"and ", b"for ", b"not ", b"tion", b"ing ", b"with", b"error", b"help", b"%08",
        b"%s ", b": %",
    ];
    PIECES
        .iter()
        .map(|piece| bytes.windows(piece.len()).filter(|w| w == piece).count())
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn firmware_is_taken_in_either_word_order() {
        let code: Vec<u8> = (0..64u32)
            .flat_map(|i| [0x3c08_1234 + i, 0x2508_0001, 0x8fbf_0010, 0x03e0_0008])
            .flat_map(u32::to_le_bytes)
            .chain(*b"type help for the list of commands and their meaning now\0\0\0\0")
            .collect();
        let turned: Vec<u8> = code
            .chunks(4)
            .flat_map(|w| w.iter().rev().copied())
            .collect();
        let big: Vec<u8> = turned[..1024]
            .iter()
            .chain(&code[1024..])
            .copied()
            .collect();
        assert_eq!(in_order(&code, false), Ok(None));
        assert_eq!(in_order(&turned, false), Ok(Some(code.clone())));
        let error = in_order(&big, false).unwrap_err();
        assert!(error.0.contains("big-endian code"));
        assert_eq!(in_order(&big, true), Ok(None));
        let odd = [&turned[..], b"x"].concat();
        let error = in_order(&odd, false).unwrap_err();
        assert!(error.0.contains("multiple of 4"));
    }
}
