//! Echo requests: to the network's own addresses they are answered here, others are sent by sockets that the host lets
//! everybody have, where it does.

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::event::PollFlags;
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, ipproto, recvfrom, sendto,
    socket_with,
};
use smoltcp::phy::ChecksumCapabilities;
use smoltcp::wire::{
    Icmpv4DstUnreachable, Icmpv4Packet, Icmpv4Repr, IpProtocol, Ipv4Packet, Ipv4Repr,
};

use super::link::Link;
use super::net::Fds;

/// Sockets at once.
const FLOWS: usize = 32;
/// How long an answer is waited for.
const IDLE: Duration = Duration::from_secs(30);
/// Bytes of a packet that an error quotes.
const QUOTED: usize = 28;

struct Flow {
    socket: OwnedFd,
    used: Instant,
}

#[derive(Default)]
pub(super) struct Ping(HashMap<(Ipv4Addr, u16), Flow>);

/// Sends an ICMP message to the guest.
fn send(link: &mut Link, from: Ipv4Addr, to: Ipv4Addr, message: Icmpv4Repr<'_>) {
    let mut bytes = vec![0; message.buffer_len()];
    let mut out = Icmpv4Packet::new_unchecked(&mut bytes[..]);
    message.emit(&mut out, &ChecksumCapabilities::default());
    link.ip(from, to, IpProtocol::Icmp, &bytes);
}

/// Tells the guest that a packet of its cannot be delivered.
fn unreachable(link: &mut Link, packet: &Ipv4Packet<&[u8]>, reason: Icmpv4DstUnreachable) {
    let Ok(header) = Ipv4Repr::parse(packet, &ChecksumCapabilities::default()) else {
        return;
    };
    let data = packet.payload();
    let data = &data[..data.len().min(QUOTED)];
    let message = Icmpv4Repr::DstUnreachable {
        reason,
        header,
        data,
    };
    send(link, link.user.host, packet.src_addr(), message);
}

impl Ping {
    /// Takes an ICMP message of the guest's; `payload` is what the packet, which may have come in pieces, carries.
    pub(super) fn message(
        &mut self,
        packet: &Ipv4Packet<&[u8]>,
        payload: &[u8],
        link: &mut Link,
        now: Instant,
    ) {
        let (from, to) = (packet.src_addr(), packet.dst_addr());
        let Ok(message) = Icmpv4Packet::new_checked(payload) else {
            return;
        };
        let Ok(Icmpv4Repr::EchoRequest {
            ident,
            seq_no,
            data,
        }) = Icmpv4Repr::parse(&message, &ChecksumCapabilities::default())
        else {
            return;
        };
        if [link.user.host, link.user.dns].contains(&to) {
            let reply = Icmpv4Repr::EchoReply {
                ident,
                seq_no,
                data,
            };
            return send(link, to, from, reply);
        }
        let outside = link.user.outside(SocketAddrV4::new(to, 1));
        let sent = outside.is_some_and(|outside| {
            let Some(flow) = self.flow((from, ident), now) else {
                return false;
            };
            flow.used = now;
            let to = SocketAddr::V4(SocketAddrV4::new(*outside.ip(), 0));
            sendto(&flow.socket, payload, SendFlags::DONTWAIT, &to).is_ok()
        });
        if !sent {
            unreachable(link, packet, Icmpv4DstUnreachable::HostUnreachable);
        }
    }

    fn flow(&mut self, key: (Ipv4Addr, u16), now: Instant) -> Option<&mut Flow> {
        if !self.0.contains_key(&key) {
            if self.0.len() >= FLOWS {
                let oldest = self.0.iter().min_by_key(|(_, flow)| flow.used);
                let oldest = oldest.map(|(key, _)| *key)?;
                self.0.remove(&oldest);
            }
            let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
            let protocol = Some(ipproto::ICMP);
            let socket = socket_with(AddressFamily::INET, SocketType::DGRAM, flags, protocol);
            self.0.insert(
                key,
                Flow {
                    socket: socket.ok()?,
                    used: now,
                },
            );
        }
        self.0.get_mut(&key)
    }

    /// Passes on the answers.
    pub(super) fn step(&mut self, link: &mut Link, now: Instant) {
        self.0
            .retain(|_, flow| now.saturating_duration_since(flow.used) < IDLE);
        let mut buffer = [0; 1 << 16];
        for ((guest, ident), flow) in &mut self.0 {
            while link.room() > 0
                && let Ok((_, length, from)) =
                    recvfrom(&flow.socket, &mut buffer[..], RecvFlags::DONTWAIT)
            {
                let from = from.and_then(|from| SocketAddr::try_from(from).ok());
                let Some(SocketAddr::V4(from)) = from else {
                    continue;
                };
                // The host has given the request an identifier of its own.
                let reply = Icmpv4Packet::new_checked(&buffer[..length]);
                let Ok(Icmpv4Repr::EchoReply { seq_no, data, .. }) =
                    reply.and_then(|r| Icmpv4Repr::parse(&r, &ChecksumCapabilities::ignored()))
                else {
                    continue;
                };
                let reply = Icmpv4Repr::EchoReply {
                    ident: *ident,
                    seq_no,
                    data,
                };
                send(link, *from.ip(), *guest, reply);
            }
        }
    }

    /// What the thread has to hear of.
    pub(super) fn fds<'a>(&'a self, room: bool, fds: &mut Fds<'a>) {
        if room {
            fds.extend(
                self.0
                    .values()
                    .map(|flow| (flow.socket.as_fd(), PollFlags::IN)),
            );
        }
    }
}
