//! Connections: between the guest and this network by smoltcp, from here on by the host.
//!
//! A connection that the guest opens is opened on the host's side first, and answered when it is known whether that is so.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{IpAddr, Shutdown, SocketAddr, SocketAddrV4, TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use rustix::event::PollFlags;
use rustix::net::{AddressFamily, SocketFlags, SocketType, connect, socket_with, sockopt};
use smoltcp::iface::{Config, Interface, SocketHandle, SocketSet};
use smoltcp::phy::{self, DeviceCapabilities, Medium};
use smoltcp::socket::tcp::{RecvError, Socket, SocketBuffer, State};
use smoltcp::time::{Duration as SmolDuration, Instant as SmolInstant};
use smoltcp::wire::{HardwareAddress, IpAddress, IpCidr, IpEndpoint, Ipv4Cidr};

use super::dns;
use super::link::{Link, MTU};
use super::net::{Fds, failed};
use super::{Transport, User};

/// Connections at once, those being opened included.
const CONNECTIONS: usize = 512;
/// What is kept of a connection, in bytes: on its way to the host, and on its way to the guest.
const TO_HOST: usize = 65535;
const TO_GUEST: usize = 1 << 18;
/// How long a connection may take to open.
const OPENING: Duration = Duration::from_secs(75);
/// How long the guest may leave unanswered what was sent to it.
const SILENCE: SmolDuration = SmolDuration::from_secs(120);

struct Connection {
    handle: SocketHandle,
    guest: SocketAddrV4,
    to: SocketAddrV4,
    host: TcpStream,
    /// The host's side sends no more.
    ended: bool,
    /// The guest sends no more, and the host's side knows it.
    shut: bool,
}

struct Opening {
    guest: SocketAddrV4,
    to: SocketAddrV4,
    host: TcpStream,
    /// The guest's first packet, which is answered when the host's side has.
    syn: Vec<u8>,
    until: Instant,
}

pub(super) struct Tcp {
    interface: Interface,
    sockets: SocketSet<'static>,
    /// Packets of the guest's that smoltcp has not seen.
    come: VecDeque<Vec<u8>>,
    connections: Vec<Connection>,
    openings: Vec<Opening>,
    listeners: Vec<(TcpListener, SocketAddrV4)>,
    start: Instant,
}

/// The guest's wire as smoltcp has it.
struct Wire<'a> {
    come: &'a mut VecDeque<Vec<u8>>,
    link: &'a mut Link,
}

struct Packet(Vec<u8>);

impl phy::RxToken for Packet {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, f: F) -> R {
        f(&self.0)
    }
}

struct Out<'a>(&'a mut Link);

impl phy::TxToken for Out<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, length: usize, f: F) -> R {
        self.0.packet(length, f)
    }
}

impl phy::Device for Wire<'_> {
    type RxToken<'a>
        = Packet
    where
        Self: 'a;
    type TxToken<'a>
        = Out<'a>
    where
        Self: 'a;

    fn receive(&mut self, _: SmolInstant) -> Option<(Packet, Out<'_>)> {
        let packet = self.come.pop_front()?;
        Some((Packet(packet), Out(self.link)))
    }

    fn transmit(&mut self, _: SmolInstant) -> Option<Out<'_>> {
        (self.link.room() > 0).then_some(Out(self.link))
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ip;
        capabilities.max_transmission_unit = MTU;
        capabilities
    }
}

fn endpoint(at: SocketAddrV4) -> IpEndpoint {
    IpEndpoint::new(IpAddress::Ipv4(*at.ip()), at.port())
}

impl Tcp {
    /// # Errors
    /// A port of the host cannot be listened at.
    pub(super) fn new(link: &mut Link) -> Result<Self, String> {
        let mut come = VecDeque::new();
        let user = link.user.clone();
        let mut config = Config::new(HardwareAddress::Ip);
        // Sequence numbers are nothing that the guest's side has to guess.
        config.random_seed = u64::from(std::process::id());
        let mut wire = Wire {
            come: &mut come,
            link,
        };
        let mut interface = Interface::new(config, &mut wire, SmolInstant::ZERO);
        interface.update_ip_addrs(|addresses| {
            let own = Ipv4Cidr::new(user.host, user.prefix);
            let _ = addresses.push(IpCidr::Ipv4(own));
        });
        // It answers for every address that the guest can ask for.
        interface.set_any_ip(true);
        let _ = interface.routes_mut().add_default_ipv4_route(user.host);
        let mut listeners = Vec::new();
        for forward in &user.forwards {
            if forward.transport == Transport::Tcp {
                let listener = TcpListener::bind(forward.from)
                    .and_then(|l| l.set_nonblocking(true).map(|()| l));
                let listener = listener.map_err(|e| failed(forward.from, &e))?;
                listeners.push((listener, forward.to));
            }
        }
        Ok(Self {
            interface,
            sockets: SocketSet::new(Vec::new()),
            come,
            connections: Vec::new(),
            openings: Vec::new(),
            listeners,
            start: Instant::now(),
        })
    }

    /// Where the forwards listen.
    pub(super) fn listening(&self) -> impl Iterator<Item = SocketAddr> + '_ {
        self.listeners
            .iter()
            .filter_map(|(l, _)| l.local_addr().ok())
    }

    fn now(&self, now: Instant) -> SmolInstant {
        let since = now.saturating_duration_since(self.start);
        SmolInstant::from_micros(since.as_micros() as i64)
    }

    /// Takes a packet of the guest's with a TCP segment between these ends; `first` if it opens a connection.
    pub(super) fn packet(
        &mut self,
        packet: &[u8],
        (guest, to): (SocketAddrV4, SocketAddrV4),
        first: bool,
        user: &User,
    ) {
        let known = |c: &Connection| c.guest == guest && c.to == to;
        if first && !self.connections.iter().any(known) {
            let again = |o: &Opening| o.guest == guest && o.to == to;
            if self.openings.iter().any(again) {
                return;
            }
            if self.connections.len() + self.openings.len() >= CONNECTIONS {
                return;
            }
            if let Some(host) = dial(to, user) {
                return self.openings.push(Opening {
                    guest,
                    to,
                    host,
                    syn: packet.to_vec(),
                    until: Instant::now() + OPENING,
                });
            }
            // Nobody waits for it: smoltcp refuses it.
        }
        self.come.push_back(packet.to_vec());
    }

    fn socket() -> Socket<'static> {
        let buffer = |size| SocketBuffer::new(vec![0; size]);
        let mut socket = Socket::new(buffer(TO_HOST), buffer(TO_GUEST));
        socket.set_nagle_enabled(false);
        socket.set_timeout(Some(SILENCE));
        socket
    }

    /// Lets smoltcp take what has come and send what there is.
    fn turn(&mut self, link: &mut Link, now: Instant) {
        let now = self.now(now);
        let mut wire = Wire {
            come: &mut self.come,
            link,
        };
        self.interface.poll(now, &mut wire, &mut self.sockets);
    }

    /// Goes on with all connections.
    pub(super) fn step(&mut self, link: &mut Link, now: Instant) {
        self.turn(link, now);
        self.open(link, now);
        self.accept(&link.user);
        for connection in &mut self.connections {
            let socket = self.sockets.get_mut::<Socket>(connection.handle);
            pump(connection, socket);
        }
        self.turn(link, now);
        let sockets = &mut self.sockets;
        self.connections.retain(|connection| {
            let socket = sockets.get::<Socket>(connection.handle);
            let over = match socket.state() {
                // The guest's last packet was answered. That it is repeated, because the answer was lost, is answered as well:
                // with a reset, which says the same.
                State::TimeWait | State::Closed => !socket.can_recv(),
                _ => false,
            };
            if over {
                sockets.remove(connection.handle);
            }
            !over
        });
    }

    /// Looks after the connections that are being opened.
    fn open(&mut self, link: &mut Link, now: Instant) {
        let mut index = 0;
        while let Some(opening) = self.openings.get(index) {
            let error = match opening.host.take_error() {
                Ok(None) => match opening.host.peer_addr() {
                    Ok(_) => None,
                    Err(_) if now < opening.until => {
                        index += 1;
                        continue;
                    }
                    Err(error) => Some(error),
                },
                Ok(Some(error)) | Err(error) => Some(error),
            };
            let opening = self.openings.swap_remove(index);
            if let Some(error) = error {
                tracing::debug!("{} refuses: {error}", opening.to);
                // What cannot be reached is refused, so that the guest need not wait for what will not come.
                self.come.push_back(opening.syn);
                continue;
            }
            let mut socket = Self::socket();
            if socket.listen(endpoint(opening.to)).is_err() {
                continue;
            }
            let handle = self.sockets.add(socket);
            self.come.push_back(opening.syn);
            // Before another listens at the same place.
            self.turn(link, now);
            let socket = self.sockets.get::<Socket>(handle);
            if socket.remote_endpoint() != Some(endpoint(opening.guest)) {
                self.sockets.remove(handle);
                continue;
            }
            self.connections.push(Connection {
                handle,
                guest: opening.guest,
                to: opening.to,
                host: opening.host,
                ended: false,
                shut: false,
            });
        }
    }

    /// Takes who wants to get to the guest.
    fn accept(&mut self, user: &User) {
        for (listener, guest) in &self.listeners {
            while self.connections.len() + self.openings.len() < CONNECTIONS
                && let Ok((host, peer)) = listener.accept()
            {
                let SocketAddr::V4(peer) = peer else { continue };
                if host.set_nonblocking(true).is_err() || host.set_nodelay(true).is_err() {
                    continue;
                }
                let from = SocketAddrV4::new(user.inside(*peer.ip()), peer.port());
                let mut socket = Self::socket();
                let context = self.interface.context();
                if let Err(error) = socket.connect(context, endpoint(*guest), endpoint(from)) {
                    tracing::debug!("no way to {guest}: {error}");
                    continue;
                }
                let handle = self.sockets.add(socket);
                self.connections.push(Connection {
                    handle,
                    guest: *guest,
                    to: from,
                    host,
                    ended: false,
                    shut: false,
                });
            }
        }
    }

    /// What the thread has to hear of.
    pub(super) fn fds<'a>(&'a self, room: bool, fds: &mut Fds<'a>) {
        if self.connections.len() + self.openings.len() < CONNECTIONS {
            for (listener, _) in &self.listeners {
                fds.push((listener.as_fd(), PollFlags::IN));
            }
        }
        for opening in &self.openings {
            fds.push((opening.host.as_fd(), PollFlags::OUT));
        }
        for connection in &self.connections {
            let socket = self.sockets.get::<Socket>(connection.handle);
            let mut flags = PollFlags::empty();
            flags.set(
                PollFlags::IN,
                room && !connection.ended && socket.can_send(),
            );
            flags.set(PollFlags::OUT, socket.can_recv());
            if !flags.is_empty() {
                fds.push((connection.host.as_fd(), flags));
            }
        }
    }

    /// When there is something to do, if nothing happens before.
    pub(super) fn delay(&mut self, now: Instant) -> Option<Duration> {
        let openings = self.openings.iter();
        let openings = openings
            .map(|o| o.until.saturating_duration_since(now))
            .min();
        let at = self.now(now);
        let timers = self.interface.poll_delay(at, &self.sockets);
        let timers = timers.map(|d| Duration::from_micros(d.total_micros()));
        openings.into_iter().chain(timers).min()
    }
}

/// Starts to connect to where a destination of the guest's is; `None` if it is nowhere.
fn dial(to: SocketAddrV4, user: &User) -> Option<TcpStream> {
    let at = match *to.ip() == user.dns && to.port() == dns::PORT && !user.restrict {
        true => dns::server()?,
        false => SocketAddr::V4(user.outside(to)?),
    };
    let family = match at.ip() {
        IpAddr::V4(_) => AddressFamily::INET,
        IpAddr::V6(_) => AddressFamily::INET6,
    };
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let socket = socket_with(family, SocketType::STREAM, flags, None).ok()?;
    let _ = sockopt::set_tcp_nodelay(&socket, true);
    match connect(&socket, &at) {
        Ok(()) | Err(rustix::io::Errno::INPROGRESS) => Some(socket.into()),
        Err(error) => {
            tracing::debug!("{at}: {error}");
            None
        }
    }
}

/// Passes on what can be, both ways.
fn pump(connection: &mut Connection, socket: &mut Socket<'_>) {
    let mut host = &connection.host;
    while socket.can_recv() {
        let written = socket.recv(|bytes| match host.write(bytes) {
            Ok(count) => (count, Ok(())),
            Err(error) => (0, Err(error)),
        });
        match written {
            Ok(Ok(())) => {}
            Ok(Err(error)) if wait(&error) => break,
            Ok(Err(_)) | Err(RecvError::InvalidState | RecvError::Finished) => {
                // The host's side is gone: so is the guest's, and what it has sent.
                drain(socket);
                socket.abort();
                return;
            }
        }
    }
    let over = matches!(
        socket.state(),
        State::CloseWait | State::Closing | State::LastAck | State::TimeWait
    );
    if over && !connection.shut && !socket.can_recv() {
        let _ = host.shutdown(Shutdown::Write);
        connection.shut = true;
    }
    while !connection.ended && socket.can_send() {
        let read = socket.send(|room| match host.read(room) {
            Ok(count) => (count, Ok(count)),
            Err(error) => (0, Err(error)),
        });
        match read {
            Ok(Ok(0)) => {
                connection.ended = true;
                socket.close();
            }
            Ok(Ok(_)) => {}
            Ok(Err(error)) if wait(&error) => break,
            Ok(Err(_)) | Err(_) => {
                connection.ended = true;
                drain(socket);
                socket.abort();
            }
        }
    }
    if socket.state() == State::Closed && !socket.can_recv() && !connection.ended {
        // The guest has broken it off: the host's side is to see no regular end.
        let _ = sockopt::set_socket_linger(&connection.host, Some(Duration::ZERO));
    }
}

fn drain(socket: &mut Socket<'_>) {
    while socket.can_recv() && socket.recv(|bytes| (bytes.len(), ())).is_ok() {}
}

fn wait(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted)
}
