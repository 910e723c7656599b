//! Where a stream goes or comes from.

use std::fmt;
use std::fs::{self, File};
use std::io::{self, ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::str::FromStr;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{FileType, fstat};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, recv, send};
use rustix::process::{Pid, PidfdFlags, PidfdGetfdFlags, Signal};
use rustix::process::{getpid, kill_process, pidfd_getfd, pidfd_open};

use crate::backend::listen;
use crate::files;
use crate::replace::replace;
use crate::visible::{name, shown};

/// How long a command that gave no good stream has to say that it failed.
const PATIENCE: Duration = Duration::from_secs(2);
/// Time between two looks at a place that takes or gives nothing.
const TICK: Duration = Duration::from_millis(20);
/// Bytes written at once to what is no socket: as many as a pipe that can be written to takes without waiting.
const PIECE: usize = 4096;

/// Bytes read at once.
const READ: usize = 256 << 10;

/// Bytes that a place takes or gives in less time than anybody has patience for: a modem does.
const ENOUGH: usize = 64 << 10;

/// Asked again and again while a stream is on its way to a place, or from one, that is no plain file, with the time in which
/// that has taken or given nothing to speak of: fewer than 64 KiB. An error is the reason to give it up.
pub type Patience<'a> = &'a mut dyn FnMut(Duration) -> io::Result<()>;

/// [`Patience`] without an end.
///
/// # Errors
/// None.
pub fn forever(_: Duration) -> io::Result<()> {
    Ok(())
}

/// A place for a stream, spelt as in QEMU.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Uri {
    /// `file:PATH`.
    File(PathBuf),
    /// `exec:COMMAND`, by the shell; it gets the stream on its standard input, or gives it on its standard output.
    Exec(String),
    /// `unix:PATH`: a save connects to the socket, a load listens at it for one peer.
    Unix(PathBuf),
    /// `tcp:HOST:PORT`, likewise.
    Tcp(String),
    /// `fd:N`: a descriptor that the program was started with.
    Fd(i32),
}

impl FromStr for Uri {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let unknown = || {
            format!(
                "\"{text}\" is no place for a stream; there are file:PATH, exec:COMMAND, unix:PATH, tcp:HOST:PORT and fd:N"
            )
        };
        let (kind, rest) = text
            .split_once(':')
            .filter(|(_, rest)| !rest.is_empty())
            .ok_or_else(unknown)?;
        Ok(match kind {
            "file" => Self::File(rest.into()),
            "exec" => Self::Exec(rest.to_owned()),
            "unix" => Self::Unix(rest.into()),
            "tcp" if rest.contains(':') => Self::Tcp(rest.to_owned()),
            "fd" => Self::Fd(rest.parse().ok().filter(|n| *n >= 0).ok_or_else(unknown)?),
            _ => return Err(unknown()),
        })
    }
}

impl fmt::Display for Uri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "file:{}", shown(path)),
            Self::Exec(command) => write!(f, "exec:{}", name(command)),
            Self::Unix(path) => write!(f, "unix:{}", shown(path)),
            Self::Tcp(address) => write!(f, "tcp:{}", name(address)),
            Self::Fd(number) => write!(f, "fd:{number}"),
        }
    }
}

impl Uri {
    /// Whether a stream becomes a file there, which has to be whole before it has its name.
    pub fn is_plain_file(&self) -> bool {
        let plain = |path: &PathBuf| fs::metadata(path).is_ok_and(|there| there.is_file());
        match self {
            Self::File(path) => plain(path) || !path.exists(),
            _ => false,
        }
    }

    /// Has a stream written there by `write`. A file is replaced in one step once its content is on the disk: a save that
    /// is killed, or that fails, leaves what was there. Where the other end can answer, `write` is given the way back.
    ///
    /// # Errors
    /// It cannot be opened or written, `write` fails, the command does, or `patience` is over.
    pub fn write<E: From<io::Error>>(
        &self,
        patience: Patience<'_>,
        write: impl FnOnce(&mut dyn Write, Option<File>) -> Result<u64, E>,
    ) -> Result<u64, E> {
        match self {
            Self::File(path) if fs::metadata(path).is_ok_and(|there| !there.is_file()) => {
                let path = path.clone();
                let open = || File::options().write(true).open(path);
                let pipe = patiently(patience, open)?;
                write(&mut Peer::new(pipe, patience), None)
            }
            Self::File(path) => replace(path, |out| write(out, None)),
            Self::Exec(command) => {
                let mut child = shell(command).stdin(Stdio::piped()).spawn()?;
                let Some(pipe) = child.stdin.take() else {
                    return Err(io::Error::from(ErrorKind::BrokenPipe).into());
                };
                let mut peer = Peer::new(pipe, &mut *patience);
                let result = write(&mut peer, None);
                if peer.given_up {
                    terminate(child);
                    return result;
                }
                drop(peer);
                match ended(&mut child, patience) {
                    Ok(status) if status.success() => result,
                    // A command that fails says itself why.
                    Ok(status) => Err(failed(command, status).into()),
                    Err(e) => {
                        terminate(child);
                        Err(e.into())
                    }
                }
            }
            Self::Unix(path) => {
                let path = path.clone();
                let stream = patiently(patience, || UnixStream::connect(path))?;
                let back = back(&stream)?;
                write(&mut Peer::new(stream, patience), back)
            }
            Self::Tcp(address) => {
                let address = address.clone();
                let stream = patiently(patience, || TcpStream::connect(address))?;
                stream.set_nodelay(true)?;
                let back = back(&stream)?;
                write(&mut Peer::new(stream, patience), back)
            }
            Self::Fd(number) => {
                let file = descriptor(*number)?;
                let back = back(&file)?;
                write(&mut Peer::new(file, patience), back)
            }
        }
    }

    /// Has somebody be able to come from there from now on.
    ///
    /// # Errors
    /// Nobody can be waited for at the socket.
    pub fn arrival(&self) -> io::Result<Arrival> {
        let listener = match self {
            Self::Unix(path) => Some(Listener::Unix(listen(path)?)),
            Self::Tcp(address) => Some(Listener::Tcp(TcpListener::bind(address)?)),
            Self::File(_) | Self::Exec(_) | Self::Fd(_) => None,
        };
        Ok(Arrival {
            uri: self.clone(),
            listener,
        })
    }

    /// Has a stream read from there by `read`; a plain file is better mapped. Where the other end can be answered, `read` is given
    /// the way back.
    ///
    /// # Errors
    /// It cannot be opened or read, `read` fails, the command does, or `patience` is over.
    pub fn read<T, E: From<io::Error>>(
        &self,
        patience: Patience<'_>,
        read: impl FnOnce(&mut dyn Read, Option<File>) -> Result<T, E>,
    ) -> Result<T, E> {
        self.arrival()?.read(patience, read)
    }
}

/// A place that a stream can come from at any moment.
#[derive(Debug)]
pub struct Arrival {
    pub(super) uri: Uri,
    listener: Option<Listener>,
}

#[derive(Debug)]
enum Listener {
    Unix(UnixListener),
    Tcp(TcpListener),
}

impl fmt::Display for Arrival {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.uri.fmt(f)
    }
}

impl Arrival {
    /// Whether somebody has come, or nobody is waited for.
    pub fn has_come(&self) -> bool {
        let now = Timespec::default();
        let ready = |io: &dyn AsFd| {
            let found = poll(&mut [PollFd::new(&io.as_fd(), PollFlags::IN)], Some(&now));
            found.is_ok_and(|ready| ready > 0)
        };
        match &self.listener {
            None => true,
            Some(Listener::Unix(listener)) => ready(listener),
            Some(Listener::Tcp(listener)) => ready(listener),
        }
    }

    /// As [`Uri::read`].
    ///
    /// # Errors
    /// As there.
    pub fn read<T, E: From<io::Error>>(
        self,
        patience: Patience<'_>,
        read: impl FnOnce(&mut dyn Read, Option<File>) -> Result<T, E>,
    ) -> Result<T, E> {
        match (&self.uri, self.listener) {
            (Uri::Unix(path), Some(Listener::Unix(listener))) => {
                let mut listener = Peer::new(listener, &mut *patience);
                let peer = listener.ready(PollFlags::IN);
                let peer = peer.and_then(|()| listener.io.accept());
                // The name has served its purpose.
                let _ = fs::remove_file(path);
                let peer = peer?.0;
                let back = back(&peer)?;
                read(&mut Peer::reader(peer, patience), back)
            }
            (_, Some(Listener::Tcp(listener))) => {
                let mut listener = Peer::new(listener, &mut *patience);
                listener.ready(PollFlags::IN)?;
                let (peer, _) = listener.io.accept()?;
                peer.set_nodelay(true)?;
                let back = back(&peer)?;
                read(&mut Peer::reader(peer, patience), back)
            }
            (Uri::File(path), _) => read(&mut Peer::reader(files::open(path)?, patience), None),
            (Uri::Exec(command), _) => {
                let mut child = shell(command)
                    .stdin(Stdio::null())
                    .stdout(Stdio::piped())
                    .spawn()?;
                let Some(pipe) = child.stdout.take() else {
                    return Err(io::Error::from(ErrorKind::BrokenPipe).into());
                };
                let mut reader = Peer::reader(pipe, patience);
                let result = read(&mut reader, None);
                if reader.get_ref().given_up {
                    terminate(child);
                    return result;
                }
                drop(reader);
                // What is whole is whole, whatever the command does afterwards; one that fails says itself why.
                let soon: Patience<'_> = &mut |time| match time < PATIENCE {
                    true => Ok(()),
                    false => Err(ErrorKind::TimedOut.into()),
                };
                let failure = match &result {
                    Ok(_) => None,
                    Err(_) => ended(&mut child, soon).ok().filter(|s| !s.success()),
                };
                leave(child);
                match failure {
                    Some(status) => Err(failed(command, status).into()),
                    None => result,
                }
            }
            (Uri::Fd(number), _) => {
                let file = descriptor(*number)?;
                let back = back(&file)?;
                read(&mut Peer::reader(file, patience), back)
            }
            // Each has a listener of its own kind.
            (Uri::Unix(_) | Uri::Tcp(_), _) => Err(io::Error::from(ErrorKind::NotConnected).into()),
        }
    }
}

/// The way back along a socket; there is none along what is no socket.
fn back(io: &impl AsFd) -> io::Result<Option<File>> {
    let copy = io.as_fd().try_clone_to_owned()?;
    Ok(is_socket(&copy).then(|| File::from(copy)))
}

fn is_socket(io: &impl AsFd) -> bool {
    let about = fstat(io);
    about.is_ok_and(|about| FileType::from_raw_mode(about.st_mode) == FileType::Socket)
}

/// The other end of a stream, which may take or give nothing for ever.
pub(super) struct Peer<'a, T> {
    io: T,
    /// It can be tried without waiting, however much is written or read.
    socket: bool,
    patience: Patience<'a>,
    /// How long it was waited for since it had taken or given enough, and what it has since then, in bytes.
    waited: Duration,
    moved: usize,
    /// The patience was over.
    given_up: bool,
}

impl<'a, T: AsFd> Peer<'a, T> {
    pub fn new(io: T, patience: Patience<'a>) -> Self {
        Self {
            socket: is_socket(&io),
            io,
            patience,
            waited: Duration::ZERO,
            moved: 0,
            given_up: false,
        }
    }

    /// For those who read few bytes at a time.
    pub fn reader(io: T, patience: Patience<'a>) -> io::BufReader<Self>
    where
        T: Read,
    {
        io::BufReader::with_capacity(READ, Self::new(io, patience))
    }

    /// Asks whether it is waited for any longer.
    fn ask(&mut self, waited: Duration) -> io::Result<()> {
        let asked = (self.patience)(waited);
        self.given_up |= asked.is_err();
        asked
    }

    /// Has a socket do something that does not wait, as soon as that is possible.
    fn try_until(
        &mut self,
        what: PollFlags,
        mut work: impl FnMut(&T) -> rustix::io::Result<usize>,
    ) -> io::Result<usize> {
        // Whoever gives it up is heard though there was always room.
        self.ask(self.waited)?;
        loop {
            match work(&self.io) {
                Err(Errno::AGAIN) => self.ready(what)?,
                Err(Errno::INTR) => {}
                done => return Ok(done?),
            }
        }
    }

    /// Waits until this is true of it.
    fn ready(&mut self, what: PollFlags) -> io::Result<()> {
        let tick = Timespec {
            tv_sec: 0,
            tv_nsec: i64::from(TICK.subsec_nanos()),
        };
        let start = Instant::now();
        loop {
            let waited = self.waited + start.elapsed();
            self.ask(waited)?;
            match poll(&mut [PollFd::new(&self.io, what)], Some(&tick)) {
                Ok(0) | Err(Errno::INTR) => {}
                Ok(_) => {
                    self.waited = waited;
                    return Ok(());
                }
                Err(e) => return Err(e.into()),
            }
        }
    }

    /// It has taken or given so many bytes.
    fn moved(&mut self, bytes: usize) {
        self.moved += bytes;
        if self.moved >= ENOUGH {
            (self.moved, self.waited) = (0, Duration::ZERO);
        }
    }
}

impl<T: AsFd + Write> Write for Peer<'_, T> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let taken = if self.socket {
            let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
            self.try_until(PollFlags::OUT, |io| send(io, bytes, flags))?
        } else {
            self.ready(PollFlags::OUT)?;
            self.io.write(&bytes[..bytes.len().min(PIECE)])?
        };
        self.moved(taken);
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.io.flush()
    }
}

impl<T: AsFd + Read> Read for Peer<'_, T> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let given = if self.socket {
            let mut get = |io: &T| Ok(recv(io, &mut *bytes, RecvFlags::DONTWAIT)?.1);
            self.try_until(PollFlags::IN, &mut get)?
        } else {
            self.ready(PollFlags::IN)?;
            self.io.read(bytes)?
        };
        self.moved(given);
        Ok(given)
    }
}

/// What `work` comes to. It may take for ever, and is then left to itself.
fn patiently<T: Send + 'static>(
    patience: Patience<'_>,
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    let (sender, receiver) = channel();
    thread::Builder::new().spawn(move || drop(sender.send(work())))?;
    let start = Instant::now();
    loop {
        match receiver.recv_timeout(TICK) {
            Ok(result) => return result,
            Err(RecvTimeoutError::Timeout) => patience(start.elapsed())?,
            Err(RecvTimeoutError::Disconnected) => return Err(ErrorKind::BrokenPipe.into()),
        }
    }
}

fn shell(command: &str) -> Command {
    let mut shell = Command::new("/bin/sh");
    shell.arg("-c").arg(command);
    shell
}

/// How a command ends.
fn ended(child: &mut Child, patience: Patience<'_>) -> io::Result<ExitStatus> {
    let start = Instant::now();
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(status);
        }
        patience(start.elapsed())?;
        thread::sleep(Duration::from_millis(1));
    }
}

/// Ends a command whose stream is given up.
fn terminate(child: Child) {
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    if let Some(pid) = pid {
        let _ = kill_process(pid, Signal::TERM);
    }
    leave(child);
}

/// Has a command end when it likes. Without a thread for it, it is not waited for.
fn leave(mut child: Child) {
    let _ = thread::Builder::new().spawn(move || child.wait());
}

fn failed(command: &str, status: ExitStatus) -> io::Error {
    io::Error::other(format!("`{}` failed ({status})", name(command)))
}

/// A descriptor that this process has, as one of its own.
fn descriptor(number: i32) -> io::Result<File> {
    let me: Pid = getpid();
    let copy = pidfd_open(me, PidfdFlags::empty())
        .and_then(|me| pidfd_getfd(me, number, PidfdGetfdFlags::empty()));
    copy.map(File::from).map_err(|e| {
        io::Error::new(
            io::Error::from(e).kind(),
            format!("descriptor {number}: {e}"),
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes nothing, and gives nothing.
    const STUCK: &str = "exec:exec sleep 600";

    /// Patience for this long.
    fn for_time(most: Duration) -> impl FnMut(Duration) -> io::Result<()> {
        move |time| match time < most {
            true => Ok(()),
            false => Err(io::Error::other("enough")),
        }
    }

    #[test]
    fn who_takes_or_gives_nothing_is_given_up() {
        let folder = tempfile::tempdir().unwrap();
        let fifo = |name: &str| {
            use rustix::fs::{CWD, FileType, Mode, mknodat};
            let path = folder.path().join(name);
            mknodat(CWD, &path, FileType::Fifo, Mode::RWXU, 0).unwrap();
            format!("file:{}", path.display())
        };
        let full = folder.path().join("full");
        let listener = std::os::unix::net::UnixListener::bind(&full).unwrap();
        let most = Duration::from_millis(100);
        let unix = format!("unix:{}", full.display());
        for text in [STUCK, &fifo("out"), &unix] {
            let start = Instant::now();
            let uri: Uri = text.parse().unwrap();
            let result: io::Result<u64> = uri.write(&mut for_time(most), |out, _| {
                out.write_all(&vec![0; 16 << 20]).map(|()| 0)
            });
            assert_eq!(result.unwrap_err().to_string(), "enough", "{text}");
            assert!(start.elapsed() < Duration::from_secs(60), "{text}");
        }
        drop(listener);
        let free = format!("unix:{}", folder.path().join("free").display());
        for text in [STUCK, &fifo("in"), &free, "tcp:127.0.0.1:0"] {
            let uri: Uri = text.parse().unwrap();
            let result = uri.read(&mut for_time(most), |from, _| from.read_exact(&mut [0; 10]));
            assert_eq!(result.unwrap_err().to_string(), "enough", "{text}");
        }
        assert!(!folder.path().join("free").exists(), "a name is left");
        // One that has taken all has not done all.
        let uri: Uri = "exec:cat >/dev/null; exec sleep 600".parse().unwrap();
        let result: io::Result<u64> = uri.write(&mut for_time(most), |out, _| {
            out.write_all(&vec![0; 1 << 20]).map(|()| 0)
        });
        assert_eq!(result.unwrap_err().to_string(), "enough");
    }

    #[test]
    fn who_takes_or_gives_next_to_nothing_is_given_up() {
        let mut soon = for_time(Duration::from_millis(200));
        let uri: Uri = "exec:while head -c 4096 >/dev/null; do sleep 0.05; done"
            .parse()
            .unwrap();
        let result: io::Result<u64> = uri.write(&mut soon, |out, _| {
            out.write_all(&vec![0; 1 << 20]).map(|()| 0)
        });
        assert_eq!(result.unwrap_err().to_string(), "enough");
        let uri: Uri = "exec:while head -c 4096 /dev/zero; do sleep 0.05; done"
            .parse()
            .unwrap();
        let result = uri.read(&mut soon, |from, _| from.read_exact(&mut [0; 1 << 20]));
        assert_eq!(result.unwrap_err().to_string(), "enough");
    }

    #[test]
    fn who_is_slow_and_takes_all_gets_all() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x");
        let uri = format!(
            "exec:for i in 1 2 3 4 5; do head -c 40000; sleep 0.1; done > '{0}'; cat >> '{0}'",
            path.display()
        );
        let uri: Uri = uri.parse().unwrap();
        let content: Vec<u8> = (0..1_000_000u32).map(|n| (n / 7) as u8).collect();
        let most = Duration::from_secs(30);
        let result: io::Result<u64> = uri.write(&mut for_time(most), |out, _| {
            out.write_all(&content).map(|()| 0)
        });
        result.unwrap();
        assert!(fs::read(&path).unwrap() == content);
    }

    #[test]
    fn places_are_named_as_in_qemu() {
        for text in [
            "file:a:b",
            "exec:gzip -c > STATEFILE.gz",
            "unix:/run/x",
            "tcp:localhost:4444",
            "fd:3",
        ] {
            let uri: Uri = text.parse().unwrap();
            assert_eq!(uri.to_string(), text);
        }
        for bad in [
            "",
            "state.snap",
            "file:",
            "tcp:localhost",
            "fd:-1",
            "fd:x",
            "http://x",
        ] {
            assert!(
                bad.parse::<Uri>().unwrap_err().contains("file:PATH"),
                "{bad}"
            );
        }
    }
}
