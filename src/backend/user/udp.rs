//! Datagrams: a socket of the host's for each port of the guest's.

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, UdpSocket};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use rustix::event::PollFlags;

use super::link::Link;
use super::net::{Fds, failed};
use super::{Transport, User, dns};

/// Sockets at once, those of forwards not counted.
const FLOWS: usize = 256;
/// How long a socket is kept that nothing passes through.
const IDLE: Duration = Duration::from_secs(120);
/// Datagrams that one socket passes on before others have their turn.
const TURN: usize = 32;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Kind {
    /// To anybody.
    Any,
    /// To the host's name server, as which the guest knows the network's.
    Dns,
}

struct Flow {
    socket: UdpSocket,
    used: Instant,
}

pub(super) struct Udp {
    flows: HashMap<(SocketAddrV4, Kind), Flow>,
    /// Ports of the host, each with the guest's port that it leads to.
    forwards: Vec<(UdpSocket, SocketAddrV4)>,
    buffer: Vec<u8>,
}

impl Udp {
    /// # Errors
    /// A port of the host cannot be listened at.
    pub(super) fn new(user: &User) -> Result<Self, String> {
        let mut forwards = Vec::new();
        for forward in &user.forwards {
            if forward.transport == Transport::Udp {
                let socket =
                    UdpSocket::bind(forward.from).and_then(|s| s.set_nonblocking(true).map(|()| s));
                let socket = socket.map_err(|e| failed(forward.from, &e))?;
                forwards.push((socket, forward.to));
            }
        }
        Ok(Self {
            flows: HashMap::new(),
            forwards,
            buffer: vec![0; 1 << 16],
        })
    }

    /// Where the forwards listen.
    pub(super) fn listening(&self) -> impl Iterator<Item = SocketAddr> + '_ {
        self.forwards
            .iter()
            .filter_map(|(s, _)| s.local_addr().ok())
    }

    /// Sends a datagram of the guest's.
    pub(super) fn send(
        &mut self,
        (guest, to): (SocketAddrV4, SocketAddrV4),
        payload: &[u8],
        user: &User,
        now: Instant,
    ) {
        let kind = match *to.ip() == user.dns && to.port() == dns::PORT && !user.restrict {
            true => Kind::Dns,
            false => Kind::Any,
        };
        let at = match kind {
            Kind::Dns => dns::server(),
            Kind::Any => user.outside(to).map(SocketAddr::V4),
        };
        // Who came through a forward is answered through it, restricted or not.
        if let Some((socket, _)) = self.forwards.iter().find(|(_, own)| *own == guest) {
            let back = match *to.ip() == user.host {
                true => SocketAddrV4::new(Ipv4Addr::LOCALHOST, to.port()),
                false => to,
            };
            let _ = socket.send_to(payload, back);
            return;
        }
        let Some(at) = at else { return };
        let key = (guest, kind);
        if !self.flows.contains_key(&key) {
            if self.flows.len() >= FLOWS {
                let oldest = self.flows.iter().min_by_key(|(_, flow)| flow.used);
                if let Some(oldest) = oldest.map(|(key, _)| *key) {
                    self.flows.remove(&oldest);
                }
            }
            let any: SocketAddr = match at {
                SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
                SocketAddr::V6(_) => (std::net::Ipv6Addr::UNSPECIFIED, 0).into(),
            };
            let socket = UdpSocket::bind(any).and_then(|s| s.set_nonblocking(true).map(|()| s));
            let socket = match kind {
                // Nobody else answers for it.
                Kind::Dns => socket.and_then(|s| s.connect(at).map(|()| s)),
                Kind::Any => socket,
            };
            let Ok(socket) = socket else { return };
            self.flows.insert(key, Flow { socket, used: now });
        }
        if let Some(flow) = self.flows.get_mut(&key) {
            flow.used = now;
            let _ = match kind {
                Kind::Dns => flow.socket.send(payload),
                Kind::Any => flow.socket.send_to(payload, at),
            };
        }
    }

    /// Passes on what came for the guest.
    pub(super) fn step(&mut self, link: &mut Link, now: Instant) {
        let Self {
            flows,
            forwards,
            buffer,
        } = self;
        flows.retain(|_, flow| now.saturating_duration_since(flow.used) < IDLE);
        for ((guest, kind), flow) in flows {
            for _ in 0..TURN {
                if link.room() == 0 {
                    return;
                }
                let Ok((length, from)) = flow.socket.recv_from(buffer) else {
                    break;
                };
                flow.used = now;
                let from = match (kind, from) {
                    (Kind::Dns, _) => SocketAddrV4::new(link.user.dns, dns::PORT),
                    (Kind::Any, SocketAddr::V4(from)) => {
                        SocketAddrV4::new(link.user.inside(*from.ip()), from.port())
                    }
                    (Kind::Any, SocketAddr::V6(_)) => continue,
                };
                link.udp(from, *guest, &buffer[..length]);
            }
        }
        for (socket, guest) in forwards {
            for _ in 0..TURN {
                if link.room() == 0 {
                    return;
                }
                let Ok((length, SocketAddr::V4(from))) = socket.recv_from(buffer) else {
                    break;
                };
                let from = SocketAddrV4::new(link.user.inside(*from.ip()), from.port());
                link.udp(from, *guest, &buffer[..length]);
            }
        }
    }

    /// What the thread has to hear of.
    pub(super) fn fds<'a>(&'a self, room: bool, fds: &mut Fds<'a>) {
        if room {
            let flows = self.flows.values().map(|flow| &flow.socket);
            let forwards = self.forwards.iter().map(|(socket, _)| socket);
            fds.extend(flows.chain(forwards).map(|s| (s.as_fd(), PollFlags::IN)));
        }
    }
}
