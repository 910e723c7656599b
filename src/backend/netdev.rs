//! What plugs into a netdev slot.
//!
//! A wire is a pair of datagram sockets, one frame to a datagram: what QEMU's `-netdev dgram` speaks, so that the other
//! end can be another machine here or one of QEMU's.

use std::fmt;
use std::net::UdpSocket;
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::sync::Arc;

use rustix::net::{SendFlags, send};

use super::outside::{Feed, spawn};
use super::pcap::{Record, Recorded};
use super::user::{self, User};
use super::{BackendError, Form, Wrong, read, socket};
use crate::machine::Sink;
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
    /// A network behind which the host's is.
    User(Box<User>),
    /// One whose frames are written to a file as well.
    Recorded(Box<Netdev>, PathBuf),
}

impl fmt::Display for Netdev {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("null"),
            Self::Udp(own, peer) => write!(f, "udp:{own},peer={peer}"),
            Self::Unix(own, peer) => write!(f, "unix:{},peer={}", shown(own), shown(peer)),
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
        parse: |_| Ok(Netdev::Null),
    },
    Form {
        name: "user",
        args: "[,OPTION=…]",
        about: "the host's network, by address translation: no privilege is needed",
        parse: |words| match User::parse(words) {
            Ok(user) => Ok(Netdev::User(Box::new(user))),
            Err(why) => Err(Wrong::Because(why)),
        },
    },
    Form {
        name: "udp",
        args: ":HOST:PORT,peer=HOST:PORT",
        about: "frames as UDP datagrams: received at the first address, sent to the second",
        parse: |rest| {
            let (own, peer) = ends(rest).ok_or(Wrong::Form)?;
            Ok(Netdev::Udp(own.into(), peer.into()))
        },
    },
    Form {
        name: "unix",
        args: ":PATH,peer=PATH",
        about: "the same with Unix datagram sockets",
        parse: |rest| {
            let (own, peer) = ends(rest).ok_or(Wrong::Form)?;
            Ok(Netdev::Unix(own.into(), peer.into()))
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
            // A socket of its own: a peer that does not read must not hold the machine.
            let to = UnixDatagram::unbound().and_then(|to| to.set_nonblocking(true).map(|()| to));
            let to = to.map_err(|e| failed("make a socket".to_owned(), e))?;
            spawn(name, move || take(|buffer| from.recv(buffer), &feed))?;
            Some(Box::new(Unix(to, peer.clone())))
        }
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

struct Unix(UnixDatagram, PathBuf);

impl Sink for Unix {
    fn send(&mut self, frame: &[u8]) {
        let _ = self.0.send_to(frame, &self.1);
    }
}

/// Passes on every frame, padded to the length that a network has, until nobody wants them.
fn take(receive: impl Fn(&mut [u8]) -> std::io::Result<usize>, feed: &Feed) {
    let mut buffer = [0; 1 << 16];
    // Those for which there is no room wait in the socket, and are lost where that is full.
    while feed.allowance(&|| false).is_some() {
        // An error tells that an earlier frame was lost, because the other end was not there.
        let Ok(length) = receive(&mut buffer) else {
            continue;
        };
        if length < HEADER {
            continue;
        }
        let mut frame = buffer[..length].to_vec();
        frame.resize(length.max(SHORTEST), 0);
        if feed.frame(frame).is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::backend::{Heard, Outside};
    use crate::machine::Event;

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
