//! The network's thread: what the guest sends goes to those who know what it is, what they have goes to the guest.

use std::io;
use std::net::{SocketAddr, SocketAddrV4};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::{Duration, Instant};

use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use smoltcp::wire::{IpProtocol, TcpPacket, UdpPacket};

use super::User;
use super::dhcp::{self, Dhcp};
use super::dns;
use super::link::{Guest, Link};
use super::pieces::Pieces;
use super::ping::Ping;
use super::tcp::Tcp;
use super::tftp::{self, Tftp};
use super::udp::Udp;

/// What is waited for: sockets, and what of them.
pub(super) type Fds<'a> = Vec<(BorrowedFd<'a>, PollFlags)>;

/// Frames of the guest's that are taken before the host's side has its turn.
const TURN: usize = 64;
/// The thread looks whether something is old.
const LOOK: Duration = Duration::from_secs(5);

/// A port of the host that cannot be listened at.
pub(super) fn failed(at: SocketAddr, error: &io::Error) -> String {
    format!("cannot listen at {at} for hostfwd: {error}")
}

/// Wakes the thread where it waits for the host's sockets.
#[derive(Debug)]
pub(in crate::backend) struct Wake {
    event: OwnedFd,
    asleep: AtomicBool,
}

impl Wake {
    /// # Errors
    /// The host has no more descriptors.
    pub(super) fn new() -> io::Result<Arc<Self>> {
        let event = eventfd(0, EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC)?;
        Ok(Arc::new(Self {
            event,
            asleep: AtomicBool::new(false),
        }))
    }

    /// There is something to do. It costs nothing while the thread is awake.
    pub(in crate::backend) fn wake(&self) {
        if self.asleep.swap(false, SeqCst) {
            let _ = rustix::io::write(&self.event, &1u64.to_ne_bytes());
        }
    }
}

/// The network behind a guest's wire.
pub(super) struct Net {
    link: Link,
    pieces: Pieces,
    tcp: Tcp,
    udp: Udp,
    dhcp: Dhcp,
    tftp: Tftp,
    ping: Ping,
    wake: Arc<Wake>,
}

impl Net {
    /// Opens what listens on the host.
    ///
    /// # Errors
    /// A port cannot be listened at: a sentence about it.
    pub(super) fn new(user: User, guest: Box<dyn Guest>, wake: Arc<Wake>) -> Result<Self, String> {
        let mut link = Link::new(user, guest);
        Ok(Self {
            udp: Udp::new(&link.user)?,
            tcp: Tcp::new(&mut link)?,
            pieces: Pieces::default(),
            dhcp: Dhcp::default(),
            tftp: Tftp::default(),
            ping: Ping::default(),
            link,
            wake,
        })
    }

    /// Where the host listens for the guest.
    pub(super) fn listening(&self) -> Vec<SocketAddr> {
        self.tcp.listening().chain(self.udp.listening()).collect()
    }

    /// Passes on until `next`, which gives the guest's frames, has no more and never will: `Err`.
    pub(super) fn run(mut self, mut next: impl FnMut() -> Result<Option<Vec<u8>>, ()>) {
        while self.turn(&mut next).is_ok() {}
    }

    /// Takes what the guest has sent, then what the host has, and waits where that was all.
    fn turn(&mut self, next: &mut impl FnMut() -> Result<Option<Vec<u8>>, ()>) -> Result<(), ()> {
        let now = Instant::now();
        for _ in 0..TURN {
            if let Some(frame) = next()? {
                self.frame(&frame, now);
                continue;
            }
            self.step(now);
            self.wake.asleep.store(true, SeqCst);
            // One that came before the guest's side saw that.
            let early = next()?;
            if early.is_none() {
                self.wait();
            }
            self.wake.asleep.store(false, SeqCst);
            if let Some(frame) = early {
                self.frame(&frame, now);
            }
            return Ok(());
        }
        self.step(now);
        Ok(())
    }

    /// Waits until a socket of the host's has something, the guest has, or it is time.
    fn wait(&mut self) {
        let now = Instant::now();
        let delay = self.tcp.delay(now).into_iter().chain(self.tftp.delay(now));
        let delay = delay.min().unwrap_or(LOOK).min(LOOK);
        let room = self.link.room() > 0;
        let mut fds = vec![(self.wake.event.as_fd(), PollFlags::IN)];
        self.tcp.fds(room, &mut fds);
        self.udp.fds(room, &mut fds);
        self.ping.fds(room, &mut fds);
        let mut fds: Vec<_> = fds
            .into_iter()
            .map(|(fd, flags)| PollFd::from_borrowed_fd(fd, flags))
            .collect();
        let time = Timespec {
            tv_sec: delay.as_secs() as i64,
            tv_nsec: i64::from(delay.subsec_nanos()),
        };
        let _ = poll(&mut fds, Some(&time));
        let _ = rustix::io::read(&self.wake.event, &mut [0; 8][..]);
    }

    fn step(&mut self, now: Instant) {
        self.tcp.step(&mut self.link, now);
        self.udp.step(&mut self.link, now);
        self.ping.step(&mut self.link, now);
        self.tftp.step(&mut self.link, now);
    }

    /// Takes a frame of the guest's.
    fn frame(&mut self, frame: &[u8], now: Instant) {
        let Some(packet) = self.link.take(frame) else {
            return;
        };
        let (from, to) = (packet.src_addr(), packet.dst_addr());
        let Some(payload) = self.pieces.whole(&packet, now) else {
            return;
        };
        let guest = self.link.user.is_guest(from);
        match packet.next_header() {
            IpProtocol::Tcp if guest => {
                let Ok(segment) = TcpPacket::new_checked(&payload[..]) else {
                    return;
                };
                let ends = (
                    SocketAddrV4::new(from, segment.src_port()),
                    SocketAddrV4::new(to, segment.dst_port()),
                );
                let first = segment.syn() && !segment.ack();
                // What came in pieces is rarer than rare, and is sent again in smaller ones.
                if !packet.more_frags() && packet.frag_offset() == 0 {
                    self.tcp
                        .packet(packet.into_inner(), ends, first, &self.link.user);
                }
            }
            IpProtocol::Udp => {
                let Ok(datagram) = UdpPacket::new_checked(&payload[..]) else {
                    return;
                };
                if !datagram.verify_checksum(&from.into(), &to.into()) {
                    return;
                }
                let ends = (
                    SocketAddrV4::new(from, datagram.src_port()),
                    SocketAddrV4::new(to, datagram.dst_port()),
                );
                self.datagram(ends, datagram.payload(), guest, now);
            }
            IpProtocol::Icmp if guest => self.ping.message(&packet, &payload, &mut self.link, now),
            _ => {}
        }
    }

    fn datagram(
        &mut self,
        (from, to): (SocketAddrV4, SocketAddrV4),
        payload: &[u8],
        guest: bool,
        now: Instant,
    ) {
        let user = &self.link.user;
        let own = [user.host, user.dns].contains(to.ip());
        if to.port() == dhcp::PORT && (own || to.ip().is_broadcast()) {
            return self.dhcp.message(payload, &mut self.link);
        }
        if !guest {
            return;
        }
        if to.port() == tftp::PORT && *to.ip() == user.host && user.tftp.is_some() {
            return self.tftp.packet(from, payload, &mut self.link, now);
        }
        if to.port() == dns::PORT
            && *to.ip() == user.dns
            && dns::answered(payload, from, &mut self.link)
        {
            return;
        }
        self.udp.send((from, to), payload, &self.link.user, now);
    }
}
