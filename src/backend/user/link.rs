//! The wire to the guest: Ethernet frames, ARP, and IP packets in pieces.

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddrV4};

use smoltcp::phy::ChecksumCapabilities;
use smoltcp::wire::{
    ArpOperation, ArpPacket, ArpRepr, EthernetAddress, EthernetFrame, EthernetProtocol,
    EthernetRepr, IpAddress, IpProtocol, Ipv4Packet, Ipv4Repr, UdpPacket, UdpRepr,
};

use super::User;

/// The longest IP packet in a frame.
pub(super) const MTU: usize = 1500;
const ETHERNET_HEADER: usize = 14;
const IP_HEADER: usize = 20;
const UDP_HEADER: usize = 8;
/// The shortest frame, without its check sequence.
const SHORTEST: usize = 60;
/// Addresses that are known of the guest at most, and frames that wait for one.
const KNOWN: usize = 64;
const HELD: usize = 8;

/// The guest's end of the wire.
pub(super) trait Guest: Send {
    /// How many frames it takes now.
    fn room(&self) -> usize;
    /// Takes a frame; without room it is lost.
    fn frame(&mut self, frame: Vec<u8>);
}

pub(super) struct Link {
    guest: Box<dyn Guest>,
    pub(super) user: User,
    own: EthernetAddress,
    known: HashMap<Ipv4Addr, EthernetAddress>,
    /// Frames for an address that was asked for.
    held: HashMap<Ipv4Addr, Vec<Vec<u8>>>,
    /// The identification of the next packet that is cut into pieces.
    identification: u16,
}

/// A frame for so many bytes, without its header.
fn empty(length: usize) -> Vec<u8> {
    vec![0; (ETHERNET_HEADER + length).max(SHORTEST)]
}

impl Link {
    pub(super) fn new(user: User, guest: Box<dyn Guest>) -> Self {
        let [a, b, c, d] = user.host.octets();
        Self {
            guest,
            user,
            own: EthernetAddress([0x52, 0x55, a, b, c, d]),
            known: HashMap::new(),
            held: HashMap::new(),
            identification: 0,
        }
    }

    /// How many frames the guest takes now.
    pub(super) fn room(&self) -> usize {
        self.guest.room()
    }

    /// Takes a frame of the guest's; comes back with the IP packet in it, if it is one for this network.
    pub(super) fn take<'f>(&mut self, frame: &'f [u8]) -> Option<Ipv4Packet<&'f [u8]>> {
        let frame = EthernetFrame::new_checked(frame).ok()?;
        let to = frame.dst_addr();
        if to != self.own && !to.is_broadcast() {
            return None;
        }
        match frame.ethertype() {
            EthernetProtocol::Arp => {
                self.arp(frame.payload());
                None
            }
            EthernetProtocol::Ipv4 => {
                let packet = Ipv4Packet::new_checked(frame.payload()).ok()?;
                if packet.version() != 4 || !packet.verify_checksum() {
                    return None;
                }
                self.learn(packet.src_addr(), frame.src_addr());
                // What follows is padding.
                let length = usize::from(packet.total_len());
                Some(Ipv4Packet::new_unchecked(frame.payload().get(..length)?))
            }
            _ => None,
        }
    }

    fn arp(&mut self, packet: &[u8]) {
        let packet = ArpPacket::new_checked(packet);
        let Ok(ArpRepr::EthernetIpv4 {
            operation,
            source_hardware_addr,
            source_protocol_addr,
            target_protocol_addr,
            ..
        }) = packet.and_then(|p| ArpRepr::parse(&p))
        else {
            return;
        };
        self.learn(source_protocol_addr, source_hardware_addr);
        let ours = [self.user.host, self.user.dns];
        if operation == ArpOperation::Request && ours.contains(&target_protocol_addr) {
            self.send_arp(ArpRepr::EthernetIpv4 {
                operation: ArpOperation::Reply,
                source_hardware_addr: self.own,
                source_protocol_addr: target_protocol_addr,
                target_hardware_addr: source_hardware_addr,
                target_protocol_addr: source_protocol_addr,
            });
        }
    }

    /// Notes where an address of the guest's is, and sends what waited for it.
    fn learn(&mut self, address: Ipv4Addr, hardware: EthernetAddress) {
        if !self.user.is_guest(address) || !hardware.is_unicast() {
            return;
        }
        if self.known.len() >= KNOWN && !self.known.contains_key(&address) {
            self.known.clear();
        }
        self.known.insert(address, hardware);
        for frame in self.held.remove(&address).unwrap_or_default() {
            self.send(hardware, EthernetProtocol::Ipv4, frame);
        }
    }

    fn send_arp(&mut self, arp: ArpRepr) {
        let ArpRepr::EthernetIpv4 {
            operation,
            target_hardware_addr,
            ..
        } = arp
        else {
            return;
        };
        let to = match operation {
            ArpOperation::Reply => target_hardware_addr,
            _ => EthernetAddress::BROADCAST,
        };
        let mut frame = empty(arp.buffer_len());
        arp.emit(&mut ArpPacket::new_unchecked(&mut frame[ETHERNET_HEADER..]));
        self.send(to, EthernetProtocol::Arp, frame);
    }

    /// Puts the header in front of what a frame carries, and sends it.
    fn send(&mut self, to: EthernetAddress, protocol: EthernetProtocol, mut frame: Vec<u8>) {
        let header = EthernetRepr {
            src_addr: self.own,
            dst_addr: to,
            ethertype: protocol,
        };
        header.emit(&mut EthernetFrame::new_unchecked(&mut frame[..]));
        self.guest.frame(frame);
    }

    /// Sends an IP packet of so many bytes, at most [`MTU`], to the guest that it names.
    pub(super) fn packet<R>(&mut self, length: usize, fill: impl FnOnce(&mut [u8]) -> R) -> R {
        let mut frame = empty(length);
        let packet = &mut frame[ETHERNET_HEADER..][..length];
        let result = fill(packet);
        let Ok(to) = Ipv4Packet::new_checked(&*packet).map(|packet| packet.dst_addr()) else {
            return result;
        };
        let hardware = match to.is_broadcast() {
            true => Some(EthernetAddress::BROADCAST),
            false => self.known.get(&to).copied(),
        };
        match hardware {
            Some(hardware) => self.send(hardware, EthernetProtocol::Ipv4, frame),
            None if self.user.is_guest(to) => self.hold(to, frame),
            None => {}
        }
        result
    }

    /// Asks where an address is, and keeps a frame until that is known.
    fn hold(&mut self, to: Ipv4Addr, frame: Vec<u8>) {
        if self.held.len() >= KNOWN {
            self.held.clear();
        }
        let held = self.held.entry(to).or_default();
        if held.len() < HELD {
            held.push(frame);
        }
        self.send_arp(ArpRepr::EthernetIpv4 {
            operation: ArpOperation::Request,
            source_hardware_addr: self.own,
            source_protocol_addr: self.user.host,
            target_hardware_addr: EthernetAddress([0; 6]),
            target_protocol_addr: to,
        });
    }

    /// Sends what an IP packet carries, in pieces if it is longer than a frame (RFC 791, section 3.2).
    pub(super) fn ip(
        &mut self,
        from: Ipv4Addr,
        to: Ipv4Addr,
        protocol: IpProtocol,
        payload: &[u8],
    ) {
        // Every piece but the last is a multiple of eight bytes.
        const PIECE: usize = (MTU - IP_HEADER) / 8 * 8;
        let whole = payload.len() <= MTU - IP_HEADER;
        let piece = if whole { payload.len().max(1) } else { PIECE };
        self.identification = self.identification.wrapping_add(1);
        let identification = self.identification;
        let pieces = payload.chunks(piece).enumerate();
        for (index, bytes) in pieces {
            let header = Ipv4Repr {
                src_addr: from,
                dst_addr: to,
                next_header: protocol,
                payload_len: bytes.len(),
                hop_limit: 64,
            };
            let at = index * piece;
            let more = at + bytes.len() < payload.len();
            self.packet(IP_HEADER + bytes.len(), |out| {
                let mut packet = Ipv4Packet::new_unchecked(out);
                header.emit(&mut packet, &ChecksumCapabilities::default());
                if !whole {
                    packet.clear_flags();
                    packet.set_ident(identification);
                    packet.set_more_frags(more);
                    packet.set_frag_offset(at as u16);
                    packet.fill_checksum();
                }
                packet.payload_mut().copy_from_slice(bytes);
            });
        }
    }

    /// Sends a UDP datagram.
    pub(super) fn udp(&mut self, from: SocketAddrV4, to: SocketAddrV4, payload: &[u8]) {
        let header = UdpRepr {
            src_port: from.port(),
            dst_port: to.port(),
        };
        let mut bytes = vec![0; UDP_HEADER + payload.len()];
        if bytes.len() > usize::from(u16::MAX) - IP_HEADER {
            return;
        }
        header.emit(
            &mut UdpPacket::new_unchecked(&mut bytes[..]),
            &IpAddress::Ipv4(*from.ip()),
            &IpAddress::Ipv4(*to.ip()),
            payload.len(),
            |out| out.copy_from_slice(payload),
            &ChecksumCapabilities::default(),
        );
        self.ip(*from.ip(), *to.ip(), IpProtocol::Udp, &bytes);
    }
}
