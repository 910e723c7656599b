//! What plugs into a netdev slot.
//!
//! A wire is a pair of datagram sockets, one frame to a datagram: what QEMU's `-netdev dgram` speaks; or a stream, in which the length
//! of each frame stands before it, as its `-netdev stream` does. The other end can be another machine here or one of QEMU's. On a
//! wire of one host a frame is lost only where nobody takes it: the machine stands still while the other end is busy, but for no longer
//! than a second.

use std::fmt;
use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::mpsc::{Receiver, channel};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use rtrb::{Producer, RingBuffer};
use rustix::net::{SendFlags, send};

use super::outlet::PATIENCE;
use super::outside::{Feed, spawn};
use super::pcap::{Record, Recorded};
use super::user::{self, User};
use super::{BackendError, Form, Wrong, read, socket, tap};
use crate::machine::{Backlog, Sink};
use crate::visible::shown;

/// The shortest frame on a network, and the shortest that says what it is: the header.
const SHORTEST: usize = 60;
const HEADER: usize = 14;

/// A backend of a network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Netdev {
    /// A network without anybody else.
    Null,
    /// UDP addresses: the own one and the other end's.
    Udp(String, String),
    /// Unix datagram sockets: the own one, which is made, and the other end's.
    Unix(PathBuf, PathBuf),
    /// A stream: where it is, and whether this end waits for the other.
    Stream(Address, bool),
    /// An interface of the host, by its name.
    Tap(String),
    /// A network behind which the host's is.
    User(Box<User>),
    /// One whose frames are written to a file as well.
    Recorded(Box<Netdev>, PathBuf),
}

/// Where the end of a stream is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    /// A host and a port.
    Tcp(String),
    /// A socket with a name in the file system.
    Unix(PathBuf),
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => write!(f, "tcp:{address}"),
            Self::Unix(path) => write!(f, "unix:{}", shown(path)),
        }
    }
}

impl fmt::Display for Netdev {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("null"),
            Self::Udp(own, peer) => write!(f, "udp:{own},peer={peer}"),
            Self::Unix(own, peer) => write!(f, "unix:{},peer={}", shown(own), shown(peer)),
            Self::Stream(address, server) => {
                let server = if *server { ",server" } else { "" };
                write!(f, "stream:{address}{server}")
            }
            Self::Tap(name) => write!(f, "tap:{name}"),
            Self::User(_) => f.write_str("user"),
            Self::Recorded(netdev, path) => write!(f, "{netdev},pcap={}", shown(path)),
        }
    }
}

/// How they are written.
pub(super) const FORMS: &[Form<Netdev>] = &[
    Form {
        name: "null",
        args: "",
        about: "a network with nobody else on it",
        example: "--net null",
        options: Vec::new,
        parse: |_| Ok(Netdev::Null),
    },
    Form {
        name: "user",
        args: "[,OPTION=…]",
        about: "the host's network, by address translation: no privilege is needed",
        example: "--net user,hostfwd=tcp:127.0.0.1:2222-:22",
        options: user::options,
        parse: |words| match User::parse(words) {
            Ok(user) => Ok(Netdev::User(Box::new(user))),
            Err(why) => Err(Wrong::Because(why)),
        },
    },
    Form {
        name: "udp",
        args: ":HOST:PORT,peer=HOST:PORT",
        about: "frames as UDP datagrams: received at the first address, sent to the second",
        example: "--net udp:127.0.0.1:5001,peer=127.0.0.1:5002",
        options: Vec::new,
        parse: |rest| {
            let (own, peer) = ends(rest).ok_or(Wrong::Form)?;
            Ok(Netdev::Udp(own.into(), peer.into()))
        },
    },
    Form {
        name: "unix",
        args: ":PATH,peer=PATH",
        about: "the same with Unix datagram sockets",
        example: "--net unix:a.sock,peer=b.sock",
        options: Vec::new,
        parse: |rest| {
            let (own, peer) = ends(rest).ok_or(Wrong::Form)?;
            Ok(Netdev::Unix(own.into(), peer.into()))
        },
    },
    Form {
        name: "stream",
        args: ":unix:PATH[,server]",
        about: "frames through a connection, to a socket or, with `tcp:HOST:PORT`, a port; `server` waits there for the other end",
        example: "--net stream:unix:wire.sock,server",
        options: Vec::new,
        parse: |rest| {
            let (rest, server) = match rest.strip_suffix(",server") {
                Some(rest) => (rest, true),
                None => (rest, false),
            };
            let address = match rest.split_once(':').ok_or(Wrong::Form)? {
                ("unix", path) if !path.is_empty() => Address::Unix(path.into()),
                ("tcp", to) if to.contains(':') => Address::Tcp(to.into()),
                _ => return Err(Wrong::Form),
            };
            Ok(Netdev::Stream(address, server))
        },
    },
    Form {
        name: "tap",
        args: ":NAME",
        about: "a TAP interface of the host, which is made if there is none and the user may make one",
        example: "--net tap:tap0",
        options: Vec::new,
        parse: |name| match tap::name(name) {
            Ok(()) => Ok(Netdev::Tap(name.into())),
            Err(why) => Err(Wrong::Because(why)),
        },
    },
];

/// The own end of a network, and the other one.
fn ends(rest: &str) -> Option<(&str, &str)> {
    rest.split_once(",peer=")
        .filter(|(own, peer)| !own.is_empty() && !peer.is_empty())
}

/// What stands before the name of the file that frames are written to.
const RECORD: &str = ",pcap=";

impl Netdev {
    /// Reads a network as a user writes it: in one of the forms, and whatever it is with `,pcap=FILE` behind it.
    pub(super) fn parse(text: &str) -> Result<Self, BackendError> {
        let of = " for a network";
        match text.rsplit_once(RECORD) {
            Some((network, file)) if !file.is_empty() => {
                let network = read(FORMS, of, network)?;
                Ok(Self::Recorded(Box::new(network), file.into()))
            }
            _ => read(FORMS, of, text),
        }
    }
}

/// Opens a backend; the frames that come in go to `feed`. Nothing is plugged in by [`Netdev::Null`].
pub(super) fn open(
    name: &str,
    backend: &Netdev,
    mut feed: Feed,
) -> Result<Option<Box<dyn Sink>>, BackendError> {
    let failed =
        |what: String, e: std::io::Error| BackendError::new(format!("{name}: cannot {what}: {e}"));
    Ok(match backend {
        Netdev::Null => None,
        Netdev::Udp(own, peer) => {
            let socket = UdpSocket::bind(own).map_err(|e| failed(format!("listen at {own}"), e))?;
            socket
                .connect(peer)
                .map_err(|e| failed(format!("send to {peer}"), e))?;
            let socket = Arc::new(socket);
            let from = socket.clone();
            spawn(name, move || take(|buffer| from.recv(buffer), &feed))?;
            Some(Box::new(Udp(socket)))
        }
        Netdev::Unix(own, peer) => {
            let at = || format!("listen at {}", shown(own));
            let from = socket::datagrams(own).map_err(|e| failed(at(), e))?;
            let to = UnixDatagram::unbound();
            let to = to.and_then(|to| to.set_write_timeout(Some(PATIENCE)).map(|()| to));
            let to = to.map_err(|e| failed("make a socket".to_owned(), e))?;
            spawn(name, move || take(|buffer| from.recv(buffer), &feed))?;
            let peer = peer.clone();
            // Nobody may be there yet.
            Some(Box::new(Wire::new(name, move |frame| {
                let _ = to.send_to(frame, &peer);
            })?))
        }
        Netdev::Stream(address, server) => {
            let (post, peers) = channel();
            let what = || format!("{} {address}", Ends::verb(*server));
            let mut ends = Ends::new(address, *server).map_err(|e| failed(what(), e))?;
            // What is sent at once is lost only where there is nobody yet.
            let mut out = ends.there().map_err(|e| failed(what(), e))?;
            spawn(name, move || {
                while let Some(end) = ends.next() {
                    let Ok(out) = end.another() else { continue };
                    if post.send(out).is_err() || read_frames(end, &feed).is_err() {
                        return;
                    }
                }
            })?;
            Some(Box::new(Wire::new(name, move |frame| {
                write_frame(&mut out, &peers, frame);
            })?))
        }
        Netdev::Tap(interface) => Some(tap::open(name, interface, feed)?),
        Netdev::User(network) => Some(Box::new(user::open(name, network, feed)?)),
        Netdev::Recorded(network, file) => {
            let record = Record::create(name, file)?;
            feed.record(record.clone());
            let inner = open(name, network, feed)?;
            Some(Box::new(Recorded::new(inner, record)))
        }
    })
}

/// A frame that cannot be sent at once is lost, as on any network: the other end may not be there yet, or may be busy.
struct Udp(Arc<UdpSocket>);

impl Sink for Udp {
    fn send(&mut self, frame: &[u8]) {
        let _ = send(&self.0, frame, SendFlags::DONTWAIT);
    }
}

/// Frames that wait for a wire at most.
const KEPT: usize = 1024;
/// The machine stands still while there is room for fewer: more than what the guest can send before it does.
const MARGIN: usize = 256;

/// The machine's end of a wire, on which a thread puts what waits.
struct Wire {
    frames: Producer<Vec<u8>>,
    /// Frames that were given to the thread, and those that it has done with; they wrap.
    given: usize,
    taken: Arc<AtomicUsize>,
    /// Since when it has taken none, and how many it had taken then.
    stalled: Option<(Instant, usize)>,
    // Dropped after the ring, which the thread then finds abandoned.
    thread: Waker,
}

/// Wakes a thread for the last time.
struct Waker(Thread);

impl Drop for Waker {
    fn drop(&mut self) {
        self.0.unpark();
    }
}

impl Wire {
    fn new(name: &str, mut put: impl FnMut(&[u8]) + Send + 'static) -> Result<Self, BackendError> {
        let (frames, mut waiting) = RingBuffer::<Vec<u8>>::new(KEPT);
        let taken = Arc::new(AtomicUsize::new(0));
        let count = taken.clone();
        let thread = spawn(name, move || {
            loop {
                match waiting.pop() {
                    Ok(frame) => {
                        put(&frame);
                        count.fetch_add(1, SeqCst);
                    }
                    Err(_) if waiting.is_abandoned() => return,
                    Err(_) => thread::park(),
                }
            }
        })?;
        Ok(Self {
            frames,
            given: 0,
            taken,
            stalled: None,
            thread: Waker(thread),
        })
    }
}

impl Sink for Wire {
    fn send(&mut self, frame: &[u8]) {
        // One for which there is no room is lost, as on any network.
        if self.frames.push(frame.to_vec()).is_ok() {
            self.given = self.given.wrapping_add(1);
            self.thread.0.unpark();
        }
    }

    fn wait(&mut self) -> Option<Duration> {
        if self.frames.slots() >= MARGIN {
            self.stalled = None;
            return None;
        }
        let taken = self.taken.load(SeqCst);
        let since = match self.stalled {
            Some((since, before)) if before == taken => since,
            _ => self.stalled.insert((Instant::now(), taken)).0,
        };
        (since.elapsed() < PATIENCE).then_some(Duration::from_millis(1))
    }

    fn backlog(&self) -> Backlog {
        Backlog {
            bytes: self.given.wrapping_sub(self.taken.load(SeqCst)),
            patient: false,
        }
    }
}

/// One end of a stream.
enum End {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl End {
    /// The same, for the thread that writes. A peer that takes nothing for too long is let go.
    fn another(&self) -> io::Result<Self> {
        Ok(match self {
            Self::Tcp(stream) => {
                stream.set_nodelay(true)?;
                stream.set_write_timeout(Some(PATIENCE))?;
                Self::Tcp(stream.try_clone()?)
            }
            Self::Unix(stream) => {
                stream.set_write_timeout(Some(PATIENCE))?;
                Self::Unix(stream.try_clone()?)
            }
        })
    }

    fn read_exact(&mut self, bytes: &mut [u8]) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => stream.read_exact(bytes),
            Self::Unix(stream) => stream.read_exact(bytes),
        }
    }

    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => stream.write_all(bytes),
            Self::Unix(stream) => stream.write_all(bytes),
        }
    }
}

/// Where ends of a stream come from.
enum Ends {
    Tcp(TcpListener),
    Unix(UnixListener),
    /// The one that there is.
    One(Option<End>),
}

impl Ends {
    fn verb(server: bool) -> &'static str {
        if server { "listen at" } else { "connect to" }
    }

    fn new(address: &Address, server: bool) -> io::Result<Self> {
        Ok(match (address, server) {
            (Address::Tcp(to), true) => Self::Tcp(TcpListener::bind(to)?),
            (Address::Tcp(to), false) => Self::One(Some(End::Tcp(TcpStream::connect(to)?))),
            (Address::Unix(path), true) => Self::Unix(socket::listen(path)?),
            (Address::Unix(path), false) => Self::One(Some(End::Unix(UnixStream::connect(path)?))),
        })
    }

    /// The peer that is there already.
    fn there(&self) -> io::Result<Option<End>> {
        match self {
            Self::One(Some(end)) => end.another().map(Some),
            _ => Ok(None),
        }
    }

    /// The next peer; a server has one after the other.
    fn next(&mut self) -> Option<End> {
        match self {
            Self::Tcp(at) => at.accept().ok().map(|(stream, _)| End::Tcp(stream)),
            Self::Unix(at) => at.accept().ok().map(|(stream, _)| End::Unix(stream)),
            Self::One(end) => end.take(),
        }
    }
}

/// Nobody takes what comes any more.
pub(super) struct Ended;

/// Passes on what comes in a stream until its peer goes, or says what cannot be a frame.
fn read_frames(mut from: End, feed: &Feed) -> Result<(), Ended> {
    while feed.allowance(&|| false).is_some() {
        let mut length = [0; 4];
        if from.read_exact(&mut length).is_err() {
            return Ok(());
        }
        let length = u32::from_be_bytes(length) as usize;
        let mut frame = vec![0; length.min(LONGEST)];
        if length > LONGEST || from.read_exact(&mut frame).is_err() {
            return Ok(());
        }
        pass(&frame, feed)?;
    }
    Ok(())
}

/// Puts a frame into the stream of the peer that came last. One that nobody takes is lost.
fn write_frame(out: &mut Option<End>, peers: &Receiver<End>, frame: &[u8]) {
    while let Ok(peer) = peers.try_recv() {
        *out = Some(peer);
    }
    let bytes = [&(frame.len() as u32).to_be_bytes(), frame].concat();
    if out
        .as_mut()
        .is_some_and(|out| out.write_all(&bytes).is_err())
    {
        // Half a frame may be there.
        *out = None;
    }
}

/// The longest frame that comes through a stream.
const LONGEST: usize = 1 << 16;

/// Passes on a frame, padded to the length that a network has.
pub(super) fn pass(frame: &[u8], feed: &Feed) -> Result<(), Ended> {
    if frame.len() < HEADER {
        return Ok(());
    }
    let mut padded = frame.to_vec();
    padded.resize(frame.len().max(SHORTEST), 0);
    feed.frame(padded).map_err(|_| Ended)
}

/// Passes on every frame until nobody wants them.
fn take(receive: impl Fn(&mut [u8]) -> io::Result<usize>, feed: &Feed) {
    let mut buffer = [0; 1 << 16];
    // Those for which there is no room wait in the socket.
    while feed.allowance(&|| false).is_some() {
        // An error tells that an earlier frame was lost, because the other end was not there.
        let Ok(length) = receive(&mut buffer) else {
            continue;
        };
        if pass(&buffer[..length], feed).is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::backend::{Heard, Outside, To};
    use crate::machine::Event;

    /// Waits until what was sent is on the wire.
    fn settle(sink: &dyn Sink) {
        while sink.backlog().bytes > 0 {
            thread::yield_now();
        }
    }

    /// Frames that are numbered, from one end to the other and back, all of them in their order.
    fn all_arrive(backends: [Netdev; 2]) {
        const FRAMES: u32 = 100_000;
        let mut outside = Outside::new().unwrap();
        let mut open = |slot, backend: &Netdev| {
            let sink = outside.connect(slot, "net", backend);
            sink.unwrap().expect("it is plugged in")
        };
        let mut sinks = [open(0, &backends[0]), open(1, &backends[1])];
        // A server has its peer once a frame of that has come.
        let (mut sent, mut came) = ([0; 2], [0; 2]);
        while came != [FRAMES; 2] {
            for (end, sink) in sinks.iter_mut().enumerate() {
                let ready = end == 1 || came[0] > 0;
                for _ in 0..64 {
                    if ready && sent[end] < FRAMES && sink.wait().is_none() {
                        sink.send(&[sent[end].to_be_bytes().repeat(25)].concat());
                        sent[end] += 1;
                    }
                }
            }
            while let Some(heard) = outside.poll() {
                let Heard::Event(Event::Input(slot, frame)) = heard else {
                    panic!("{heard:?}");
                };
                assert_eq!(frame, came[slot].to_be_bytes().repeat(25), "{slot}");
                came[slot] += 1;
                outside.taken(To::Slot(slot), 1);
            }
        }
    }

    #[test]
    fn no_frame_is_lost_or_doubled_on_a_wire_of_one_host() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let (one, other) = (path("one"), path("other"));
        all_arrive([
            Netdev::Unix(one.clone(), other.clone()),
            Netdev::Unix(other, one),
        ]);
        let at = || Address::Unix(path("stream"));
        all_arrive([Netdev::Stream(at(), true), Netdev::Stream(at(), false)]);
    }

    #[test]
    fn streams_are_written_as_they_are_shown() {
        for text in [
            "stream:unix:/a",
            "stream:unix:/a,server",
            "stream:tcp:h:1,server",
        ] {
            assert_eq!(Netdev::parse(text).unwrap().to_string(), text);
        }
        for text in ["stream", "stream:unix:", "stream:tcp:1", "stream:x:y"] {
            assert!(Netdev::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn two_ends_exchange_frames() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let (one, other) = (path("one"), path("other"));
        // Left behind by one that has ended.
        drop(UnixDatagram::bind(&one).unwrap());
        let mut outside = Outside::new().unwrap();
        let mut open = |slot, own: &PathBuf, peer: &PathBuf| {
            let backend = Netdev::Unix(own.clone(), peer.clone());
            let sink = outside.connect(slot, "net", &backend)?;
            Ok::<_, BackendError>(sink.expect("it is plugged in"))
        };
        let mut first = open(1, &one, &other).unwrap();
        first.send(&[1; 20]);
        settle(&*first);
        let mut second = open(2, &other, &one).unwrap();
        first.send(&[2; 13]);
        first.send(&[3; 20]);
        second.send(&[4; 1500]);
        assert!(open(3, &one, &other).is_err(), "it is in use");
        let mut came =
            [(); 2].map(
                |()| match outside.wait(Some(Duration::from_secs(60))).unwrap() {
                    Heard::Event(event) => event,
                    other => panic!("{other:?}"),
                },
            );
        came.sort_by_key(|event| matches!(event, Event::Input(2, _)));
        let padded = [vec![3; 20], vec![0; 40]].concat();
        assert_eq!(
            came,
            [Event::Input(1, vec![4; 1500]), Event::Input(2, padded)]
        );
    }
}
