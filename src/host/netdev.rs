//! What plugs into a netdev slot.
//!
//! A network is a pair of datagram sockets, one frame to a datagram: what QEMU's `-netdev dgram` speaks, so that the other
//! end can be another machine here or one of QEMU's.

use std::io::ErrorKind;
use std::net::UdpSocket;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

use super::{BackendError, Feed};
use crate::machine::{Event, Sink};

/// The shortest frame on a network, and the shortest that says what it is: the header.
const SHORTEST: usize = 60;
const HEADER: usize = 14;

/// A netdev backend, as the command line names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NetBackend {
    /// A network without anybody else.
    Null,
    /// UDP addresses: the own one and the other end's.
    Udp(String, String),
    /// Unix datagram sockets: the own one, which is made, and the other end's.
    Unix(PathBuf, PathBuf),
}

impl FromStr for NetBackend {
    type Err = BackendError;

    fn from_str(text: &str) -> Result<Self, BackendError> {
        if text == "null" {
            return Ok(Self::Null);
        }
        let (kind, rest) = text.split_once(':').unwrap_or((text, ""));
        match (kind, rest.split_once(",peer=")) {
            ("udp", Some((own, peer))) if !own.is_empty() && !peer.is_empty() => {
                Ok(Self::Udp(own.to_owned(), peer.to_owned()))
            }
            ("unix", Some((own, peer))) if !own.is_empty() && !peer.is_empty() => {
                Ok(Self::Unix(own.into(), peer.into()))
            }
            _ => Err(BackendError::new(format!(
                "unknown backend \"{text}\" for a network; there are null, udp:HOST:PORT,peer=HOST:PORT and unix:PATH,peer=PATH"
            ))),
        }
    }
}

/// Opens a backend; the frames that come in go to `events`.
pub(super) fn open(
    slot: usize,
    name: &str,
    backend: &NetBackend,
    events: &Feed,
) -> Result<Box<dyn Sink>, BackendError> {
    let failed =
        |what: String, e: std::io::Error| BackendError::new(format!("{name}: cannot {what}: {e}"));
    let events = events.clone();
    Ok(match backend {
        NetBackend::Null => Box::new(Udp(None)),
        NetBackend::Udp(own, peer) => {
            let socket = UdpSocket::bind(own).map_err(|e| failed(format!("listen at {own}"), e))?;
            socket
                .connect(peer)
                .map_err(|e| failed(format!("send to {peer}"), e))?;
            let socket = Arc::new(socket);
            let from = socket.clone();
            std::thread::spawn(move || take(slot, |buffer| from.recv(buffer), &events));
            Box::new(Udp(Some(socket)))
        }
        NetBackend::Unix(own, peer) => {
            let at = || format!("listen at {}", own.display());
            let from = bind(own).map_err(|e| failed(at(), e))?;
            // A socket of its own: a peer that does not read must not hold the machine.
            let to = UnixDatagram::unbound().and_then(|to| to.set_nonblocking(true).map(|()| to));
            let to = to.map_err(|e| failed("make a socket".to_owned(), e))?;
            std::thread::spawn(move || take(slot, |buffer| from.recv(buffer), &events));
            Box::new(Unix(to, peer.clone()))
        }
    })
}

/// A frame that cannot be sent is lost, as on any network: the other end may not be there yet, or may be busy.
struct Udp(Option<Arc<UdpSocket>>);

impl Sink for Udp {
    fn send(&mut self, frame: &[u8]) {
        if let Some(socket) = &self.0 {
            let _ = socket.send(frame);
        }
    }
}

struct Unix(UnixDatagram, PathBuf);

impl Sink for Unix {
    fn send(&mut self, frame: &[u8]) {
        let _ = self.0.send_to(frame, &self.1);
    }
}

/// A socket whose last user has ended leaves its name behind; nobody listens there.
fn bind(path: &Path) -> std::io::Result<UnixDatagram> {
    let live = || {
        UnixDatagram::unbound()
            .and_then(|s| s.connect(path))
            .is_ok()
    };
    match UnixDatagram::bind(path) {
        Err(e) if e.kind() == ErrorKind::AddrInUse && !live() => {
            std::fs::remove_file(path)?;
            UnixDatagram::bind(path)
        }
        result => result,
    }
}

/// Passes on every frame, padded to the length that a network has, until nobody wants them.
fn take(slot: usize, receive: impl Fn(&mut [u8]) -> std::io::Result<usize>, events: &Feed) {
    let mut buffer = [0; 1 << 16];
    loop {
        // An error tells that an earlier frame was lost, because the other end was not there.
        let Ok(length) = receive(&mut buffer) else {
            continue;
        };
        if length < HEADER {
            continue;
        }
        let mut frame = buffer[..length].to_vec();
        frame.resize(length.max(SHORTEST), 0);
        if events.send(Event::Input(slot, frame)).is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::Heard;

    #[test]
    fn backends_are_read() {
        for (text, expected) in [
            ("null", Some(NetBackend::Null)),
            (
                "udp:127.0.0.1:1,peer=h:2",
                Some(NetBackend::Udp("127.0.0.1:1".into(), "h:2".into())),
            ),
            (
                "unix:/a,b,peer=/c",
                Some(NetBackend::Unix("/a,b".into(), "/c".into())),
            ),
            ("udp:127.0.0.1:1", None),
            ("unix:/a,peer=", None),
            ("unix:,peer=/a", None),
            ("tcp:a,peer=b", None),
            ("", None),
        ] {
            assert_eq!(text.parse().ok(), expected, "{text}");
        }
    }

    #[test]
    fn two_ends_exchange_frames() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let (one, other) = (path("one"), path("other"));
        // Left behind by one that has ended.
        drop(UnixDatagram::bind(&one).unwrap());
        let (sender, events) = std::sync::mpsc::channel();
        let feed = Feed(sender);
        let open = |slot, own: &PathBuf, peer: &PathBuf| {
            let backend = NetBackend::Unix(own.clone(), peer.clone());
            super::open(slot, "net", &backend, &feed)
        };
        let mut first = open(1, &one, &other).unwrap();
        first.send(&[1; 20]);
        let mut second = open(2, &other, &one).unwrap();
        first.send(&[2; 13]);
        first.send(&[3; 20]);
        second.send(&[4; 1500]);
        assert!(open(3, &one, &other).is_err(), "it is in use");
        let mut came = [(); 2].map(|()| match events.recv().unwrap() {
            Heard::Event(event) => event,
            Heard::Monitor(..) => panic!("this is no monitor"),
        });
        came.sort_by_key(|event| matches!(event, Event::Input(2, _)));
        let padded = [vec![3; 20], vec![0; 40]].concat();
        assert_eq!(
            came,
            [Event::Input(1, vec![4; 1500]), Event::Input(2, padded)]
        );
    }
}
