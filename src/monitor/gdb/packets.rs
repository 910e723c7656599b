//! The packets of gdb's remote protocol, taken out of what comes (gdb's manual, "Overview" of the protocol). What is none, is damaged or too
//! long never gets further.

/// The longest packet, in bytes, with what is around it.
pub const MOST: usize = 1 << 15;

/// Something that a debugger has said.
#[derive(Debug, PartialEq, Eq)]
pub enum Packet {
    /// Stop the machine.
    Interrupt,
    /// It did not understand the last answer.
    Again,
    /// A packet, from its `$` to its checksum.
    Whole(Vec<u8>),
    /// One that came damaged.
    Damaged,
    /// One that is longer than it may be.
    Long,
}

/// What has come of a packet.
#[derive(Debug, Default)]
pub struct Packets {
    /// From its `$` on; empty between two packets.
    partial: Vec<u8>,
    /// It is too long to be kept.
    long: bool,
    /// Digits of the checksum that are still to come, from the `#` on.
    digits: Option<u8>,
    /// The last that was said, for whoever asks for it again.
    last: Vec<u8>,
    /// Neither side says that it has understood.
    pub silent: bool,
}

impl Packets {
    /// Takes bytes up to the end of a packet: that, and how many.
    pub fn take(&mut self, bytes: &[u8]) -> (Option<Packet>, usize) {
        for (used, byte) in (1..).zip(bytes) {
            if let Some(packet) = self.byte(*byte) {
                return (Some(packet), used);
            }
        }
        (None, bytes.len())
    }

    fn byte(&mut self, byte: u8) -> Option<Packet> {
        if self.partial.is_empty() {
            match byte {
                b'$' => self.partial.push(byte),
                b'-' => return Some(Packet::Again),
                3 => return Some(Packet::Interrupt),
                // That it has understood, or nothing.
                _ => {}
            }
            return None;
        }
        if self.partial.len() < MOST {
            self.partial.push(byte);
        } else {
            self.long = true;
        }
        self.digits = match (self.digits, byte) {
            (None, b'#') => Some(2),
            // The packet before has lost its end.
            (None, b'$') => {
                self.partial.clear();
                self.partial.push(byte);
                self.long = false;
                None
            }
            (None, _) => None,
            (Some(left), _) => Some(left - 1),
        };
        if self.digits != Some(0) {
            return None;
        }
        self.digits = None;
        let whole = std::mem::take(&mut self.partial);
        if std::mem::take(&mut self.long) {
            return Some(Packet::Long);
        }
        let (content, sum) = (body(&whole), &whole[whole.len() - 2..]);
        let right = format!("{:02x}", checksum(content));
        Some(match sum.eq_ignore_ascii_case(right.as_bytes()) {
            true => Packet::Whole(whole),
            false => Packet::Damaged,
        })
    }

    /// This was said.
    pub fn said(&mut self, what: Vec<u8>) {
        if !what.is_empty() {
            self.last = what;
        }
    }

    /// The last that was said.
    pub fn last(&self) -> &[u8] {
        &self.last
    }
}

/// What is in a packet.
pub fn body(whole: &[u8]) -> &[u8] {
    &whole[1..whole.len() - 3]
}

fn checksum(content: &[u8]) -> u8 {
    content.iter().fold(0, |sum, byte| sum.wrapping_add(*byte))
}

/// A packet with this in it.
pub fn packet(content: &str) -> Vec<u8> {
    format!("${content}#{:02x}", checksum(content.as_bytes())).into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is taken out of this, in pieces of any size.
    fn taken(bytes: &[u8]) -> Vec<Packet> {
        let all = |piece: usize| {
            let (mut packets, mut found) = (Packets::default(), Vec::new());
            for mut rest in bytes.chunks(piece) {
                while !rest.is_empty() {
                    let (packet, used) = packets.take(rest);
                    rest = &rest[used..];
                    found.extend(packet);
                    assert!(packets.partial.len() <= MOST);
                }
            }
            found
        };
        let found = all(bytes.len().max(1));
        assert_eq!(all(1), found);
        found
    }

    #[test]
    fn packets_are_taken_out_of_what_comes() {
        let whole = |content: &str| Packet::Whole(packet(content));
        assert_eq!(
            taken(b"+$g#67\x03hello-$m0,4#fd+"),
            [whole("g"), Packet::Interrupt, Packet::Again, whole("m0,4")]
        );
        assert_eq!(taken(b"$g#68$g#6"), [Packet::Damaged]);
        assert_eq!(taken(b"$lost its end$g#67"), [whole("g")]);
        assert_eq!(taken(b"$#00"), [whole("")]);
        // What is binary can have the byte that interrupts otherwise.
        assert_eq!(taken(b"$X0,1:\x03#22"), [whole("X0,1:\x03")]);
        let long = [
            &packet("g"),
            b"$".as_slice(),
            &[b'm'; 3 * MOST],
            b"#00$g#67",
        ]
        .concat();
        assert_eq!(taken(&long), [whole("g"), Packet::Long, whole("g")]);
    }
}
