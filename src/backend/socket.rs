//! Sockets with names in the file system.

use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::{UnixDatagram, UnixListener};
use std::path::Path;

use rustix::fs::{Mode, fchmod};
use rustix::io::{Errno, ioctl_fionbio};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};
use rustix::net::{bind, connect, socket_with};

/// Connections that may wait until they are accepted.
const BACKLOG: i32 = 16;

/// Listens at a socket.
///
/// # Errors
/// There is something else of this name.
pub fn listen(path: &Path) -> io::Result<UnixListener> {
    let socket = named(path, SocketType::STREAM)?;
    rustix::net::listen(&socket, BACKLOG)?;
    Ok(socket.into())
}

/// A socket that datagrams are sent to.
///
/// # Errors
/// There is something else of this name.
pub(super) fn datagrams(path: &Path) -> io::Result<UnixDatagram> {
    Ok(named(path, SocketType::DGRAM)?.into())
}

/// A socket of this name, for its owner alone.
fn named(path: &Path, kind: SocketType) -> io::Result<OwnedFd> {
    let socket = new(kind)?;
    // The name gets the mode that the socket has: there is no instant at which others may use it.
    fchmod(&socket, Mode::RUSR | Mode::WUSR)?;
    let address = SocketAddrUnix::new(path)?;
    match bind(&socket, &address) {
        Err(Errno::ADDRINUSE) => {}
        result => return result.map(|()| socket).map_err(io::Error::from),
    }
    if !fs::symlink_metadata(path)?.file_type().is_socket() {
        let taken = "there is something of this name that is no socket";
        return Err(io::Error::new(io::ErrorKind::AlreadyExists, taken));
    }
    // One whose last user has ended leaves its name behind, and refuses whoever comes; nothing else does. One that is busy
    // does not, nor one of another kind.
    let visitor = new(SocketType::STREAM)?;
    ioctl_fionbio(&visitor, true)?;
    match connect(&visitor, &address) {
        Err(Errno::CONNREFUSED) => fs::remove_file(path)?,
        _ => return Err(Errno::ADDRINUSE.into()),
    }
    bind(&socket, &address)?;
    Ok(socket)
}

fn new(kind: SocketType) -> io::Result<OwnedFd> {
    let flags = SocketFlags::CLOEXEC;
    Ok(socket_with(AddressFamily::UNIX, kind, flags, None)?)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    #[test]
    fn only_a_socket_that_nobody_has_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let refused = |name: &str| {
            listen(&path(name)).expect_err(name);
            datagrams(&path(name)).expect_err(name);
        };
        fs::write(path("file"), "thesis").unwrap();
        refused("file");
        assert_eq!(fs::read(path("file")).unwrap(), b"thesis");
        fs::create_dir(path("folder")).unwrap();
        refused("folder");
        let _stream = UnixListener::bind(path("stream")).unwrap();
        refused("stream");
        let _datagram = UnixDatagram::bind(path("datagram")).unwrap();
        refused("datagram");
        let other = new(SocketType::SEQPACKET).unwrap();
        bind(&other, &SocketAddrUnix::new(path("packets")).unwrap()).unwrap();
        rustix::net::listen(&other, 1).unwrap();
        refused("packets");
        // Nobody can be told any more, but it is there.
        let full = listen(&path("full")).unwrap();
        rustix::net::listen(&full, 0).unwrap();
        let _visitors: Vec<_> = (0..8)
            .map(|_| {
                let visitor = new(SocketType::STREAM).unwrap();
                ioctl_fionbio(&visitor, true).unwrap();
                let _ = connect(&visitor, &SocketAddrUnix::new(path("full")).unwrap());
                visitor
            })
            .collect();
        refused("full");
        drop(UnixListener::bind(path("left")).unwrap());
        symlink(path("left"), path("link")).unwrap();
        refused("link");
        for name in ["stream", "datagram", "packets", "full", "left", "link"] {
            fs::symlink_metadata(path(name)).expect(name);
        }
        drop(listen(&path("left")).unwrap());
        drop(datagrams(&path("left")).unwrap());
        let mode = |name: &str| fs::metadata(path(name)).unwrap().permissions().mode();
        listen(&path("left")).unwrap();
        assert_eq!(mode("left") & 0o777, 0o600);
        datagrams(&path("new")).unwrap();
        assert_eq!(mode("new") & 0o777, 0o600);
    }
}
