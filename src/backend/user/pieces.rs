//! IP packets that come in pieces.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use smoltcp::wire::{IpProtocol, Ipv4Packet};

/// Packets that are put together at once, at most.
const OPEN: usize = 16;
/// How long the rest of a packet is waited for (RFC 1122, section 3.3.2).
const PATIENCE: Duration = Duration::from_secs(60);
/// The longest payload of an IP packet.
const LONGEST: usize = u16::MAX as usize - 20;

type Key = (Ipv4Addr, Ipv4Addr, u16, IpProtocol);

struct Open {
    key: Key,
    since: Instant,
    bytes: Vec<u8>,
    /// For every eight bytes, whether they have come.
    come: Vec<bool>,
    /// How long it is, once the last piece has come.
    length: Option<usize>,
}

#[derive(Default)]
pub(super) struct Pieces(VecDeque<Open>);

impl Pieces {
    /// The payload of a packet: at once if it is whole, otherwise when its last missing piece comes.
    pub(super) fn whole<'p>(
        &mut self,
        packet: &Ipv4Packet<&'p [u8]>,
        now: Instant,
    ) -> Option<Cow<'p, [u8]>> {
        let (at, more) = (usize::from(packet.frag_offset()), packet.more_frags());
        let piece = packet.payload();
        if at == 0 && !more {
            return Some(piece.into());
        }
        let end = at + piece.len();
        // A packet of no device would look like this.
        if piece.is_empty() || end > LONGEST || more && !piece.len().is_multiple_of(8) {
            return None;
        }
        let (from, to) = (packet.src_addr(), packet.dst_addr());
        let key = (from, to, packet.ident(), packet.next_header());
        self.0.retain(|open| now - open.since < PATIENCE);
        let place = match self.0.iter().position(|open| open.key == key) {
            Some(place) => place,
            None => {
                if self.0.len() >= OPEN {
                    self.0.pop_front();
                }
                self.0.push_back(Open {
                    key,
                    since: now,
                    bytes: Vec::new(),
                    come: Vec::new(),
                    length: None,
                });
                self.0.len() - 1
            }
        };
        let open = &mut self.0[place];
        if open.bytes.len() < end {
            open.bytes.resize(end, 0);
            open.come.resize(end.div_ceil(8), false);
        }
        open.bytes[at..end].copy_from_slice(piece);
        open.come[at / 8..end.div_ceil(8)].fill(true);
        if !more {
            open.length = Some(end);
        }
        let length = open.length?;
        if open.bytes.len() != length || !open.come.iter().all(|come| *come) {
            return None;
        }
        self.0.remove(place).map(|open| open.bytes.into())
    }
}
