//! Names: those that the network knows by itself are answered here, all others by the host's name server.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4};

use smoltcp::wire::{DnsFlags, DnsPacket, DnsQueryType, DnsQuestion, DnsRcode};

use super::User;
use super::link::Link;

pub(super) const PORT: u16 = 53;
/// Where the host's name server is said.
const RESOLV: &str = "/etc/resolv.conf";
/// How long an answer may be kept, in seconds.
const TTL: u32 = 60;
const HEADER: usize = 12;

/// The host's name server.
pub(super) fn server() -> Option<SocketAddr> {
    let text = std::fs::read_to_string(RESOLV).ok()?;
    let named = text.lines().filter_map(|line| {
        let mut words = line.split_whitespace();
        (words.next()? == "nameserver").then_some(())?;
        words.next()?.parse::<IpAddr>().ok()
    });
    // An address of the old kind is reached by more hosts.
    let mut named: Vec<_> = named.collect();
    named.sort_by_key(IpAddr::is_ipv6);
    named.first().map(|address| SocketAddr::new(*address, PORT))
}

/// Answers a query if it is about a name of the network's own, or if there is nobody else to ask.
pub(super) fn answered(query: &[u8], from: SocketAddrV4, link: &mut Link) -> bool {
    let Some((answer, known)) = answer(query, &link.user) else {
        return false;
    };
    if !known && !link.user.restrict && server().is_some() {
        return false;
    }
    let own = SocketAddrV4::new(link.user.dns, PORT);
    link.udp(own, from, &answer);
    true
}

/// The answer to a query, and whether the name is known; without a known name it says that the server has failed.
fn answer(query: &[u8], user: &User) -> Option<(Vec<u8>, bool)> {
    let packet = DnsPacket::new_checked(query).ok()?;
    if packet.flags().contains(DnsFlags::RESPONSE) || packet.question_count() != 1 {
        return None;
    }
    let (rest, question) = DnsQuestion::parse(packet.payload()).ok()?;
    let length = packet.payload().len() - rest.len();
    let labels: Result<Vec<_>, _> = packet.parse_name(question.name).collect();
    let name = labels.ok()?.join(&b'.').to_ascii_lowercase();
    let known = user.names.iter().find(|(own, _)| own.as_bytes() == name);
    let address = known.map(|(_, address)| *address);
    let address: Option<Ipv4Addr> = address.filter(|_| question.type_ == DnsQueryType::A);
    let mut answer = vec![0; HEADER];
    answer.extend(&packet.payload()[..length]);
    if let Some(address) = address {
        // The name is that of the question.
        answer.extend([0xc0, HEADER as u8, 0, 1, 0, 1]);
        answer.extend(TTL.to_be_bytes());
        answer.extend([0, 4]);
        answer.extend(address.octets());
    }
    let mut out = DnsPacket::new_unchecked(&mut answer[..]);
    out.set_transaction_id(packet.transaction_id());
    let asked = packet.flags() & DnsFlags::RECURSION_DESIRED;
    out.set_flags(DnsFlags::RESPONSE | DnsFlags::RECURSION_AVAILABLE | asked);
    out.set_opcode(packet.opcode());
    out.set_question_count(1);
    out.set_answer_record_count(u16::from(address.is_some()));
    if known.is_none() {
        // The low four bits of the flags.
        answer[3] |= u8::from(DnsRcode::ServFail);
    }
    Some((answer, known.is_some()))
}
