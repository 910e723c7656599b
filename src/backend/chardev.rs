//! What plugs into a chardev slot.

use std::fmt;
use std::fs::File;
use std::io::{ErrorKind, IsTerminal, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

use super::outlet::{Level, PATIENCE};
use super::outside::{Feed, Gone, spawn};
use super::terminal::{self, Keys, Typed};
use super::{BackendError, Form, LOST, Outlet, Wrong, and, read as read_form, say, socket};
use crate::machine::Word;
use crate::visible::{shown, visible};

/// The status of a program whose output nobody reads any more: 128 + SIGPIPE.
const BROKEN_PIPE: u8 = 141;

/// A backend of a character stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Chardev {
    /// Nothing.
    Null,
    /// Standard input and output; a terminal is made raw.
    Stdio,
    /// Output goes to a file, which is made anew.
    File(PathBuf),
    /// A Unix socket: connect to it, or listen at it.
    Unix(PathBuf, bool),
    /// A TCP address: connect to it, or listen at it.
    Tcp(String, bool),
    /// A new pseudo-terminal; its name is printed.
    Pty,
    /// Random characters of the host's.
    Random,
}

impl fmt::Display for Chardev {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let server = |listens: &bool| if *listens { ",server" } else { "" };
        match self {
            Self::Null => f.write_str("null"),
            Self::Stdio => f.write_str("stdio"),
            Self::File(path) => write!(f, "file:{}", shown(path)),
            Self::Unix(path, listens) => write!(f, "unix:{}{}", shown(path), server(listens)),
            Self::Tcp(address, listens) => write!(f, "tcp:{address}{}", server(listens)),
            Self::Pty => f.write_str("pty"),
            Self::Random => f.write_str("random"),
        }
    }
}

/// How they are written.
pub(super) const FORMS: &[Form<Chardev>] = &[
    Form {
        name: "console",
        args: "",
        about: "the terminal, or standard input and output",
        example: "--backend serial1=console",
        options: Vec::new,
        parse: |_| Ok(Chardev::Stdio),
    },
    Form {
        name: "stdio",
        args: "",
        about: "the same",
        example: "--backend serial1=stdio",
        options: Vec::new,
        parse: |_| Ok(Chardev::Stdio),
    },
    Form {
        name: "null",
        args: "",
        about: "nothing",
        example: "--backend serial0=null",
        options: Vec::new,
        parse: |_| Ok(Chardev::Null),
    },
    Form {
        name: "pty",
        args: "",
        about: "a new pseudo-terminal, its name printed",
        example: "--backend serial1=pty",
        options: Vec::new,
        parse: |_| Ok(Chardev::Pty),
    },
    Form {
        name: "file",
        args: ":PATH",
        about: "output goes to a file",
        example: "--backend serial1=file:serial.log",
        options: Vec::new,
        parse: |path| match path {
            "" => Err(Wrong::Form),
            path => Ok(Chardev::File(path.into())),
        },
    },
    Form {
        name: "random",
        args: "",
        about: "random characters of the host's come, for a device that asks for them",
        example: "--backend rng0=random",
        options: Vec::new,
        parse: |_| Ok(Chardev::Random),
    },
    Form {
        name: "unix",
        args: ":PATH[,server]",
        about: "connects to a Unix socket, or listens at it, for one peer after another",
        example: "--backend serial1=unix:serial.sock,server",
        options: Vec::new,
        parse: |rest| {
            let (path, server) = address(rest).ok_or(Wrong::Form)?;
            Ok(Chardev::Unix(path.into(), server))
        },
    },
    Form {
        name: "tcp",
        args: ":HOST:PORT[,server]",
        about: "connects to a TCP address, or listens at it, for one peer after another",
        example: "--backend serial1=tcp::4000,server",
        options: Vec::new,
        parse: |rest| {
            let address = address(rest).filter(|(address, _)| address.contains(':'));
            let (address, server) = address.ok_or(Wrong::Form)?;
            // Nobody else's machine is meant, or let in, where none is named.
            let address = match address.strip_prefix(':') {
                Some(port) => format!("127.0.0.1:{port}"),
                None => address,
            };
            Ok(Chardev::Tcp(address, server))
        },
    },
];

/// Those from which no commands come. The console is the guest's; the monitor has the same place as `stdio`.
const SILENT: &[&str] = &["console", "null", "file", "random"];

/// Where a socket is, and whether to listen there: QEMU's spelling, but that one never waits for its peer here.
fn address(rest: &str) -> Option<(String, bool)> {
    let mut words = rest.split(',');
    let place = words.next().filter(|place| !place.is_empty())?;
    let mut server = false;
    for word in words {
        match word {
            "server" | "server=on" => server = true,
            "nowait" | "wait=off" => {}
            _ => return None,
        }
    }
    Some((place.to_owned(), server))
}

impl Chardev {
    /// Reads where the monitor's commands come from; `none` is [`Chardev::Null`].
    ///
    /// # Errors
    /// It is nothing that commands can come from; the message has what is.
    pub fn monitor(text: &str) -> Result<Self, BackendError> {
        let name = text.split([':', ',']).next().unwrap_or_default();
        let backend = match text {
            "none" => return Ok(Self::Null),
            _ if SILENT.contains(&name) => None,
            _ => read_form(FORMS, "", text).ok(),
        };
        backend.ok_or_else(|| {
            let forms: Vec<_> = monitor_forms().collect();
            BackendError::new(format!("there are {}", and(&forms)))
        })
    }

    /// Reads where a debugger comes from: one listens there, and on TCP only for this host unless an address is given.
    ///
    /// # Errors
    /// It is nothing that a debugger can come from; the message has what is.
    pub fn debugger(text: &str) -> Result<Self, BackendError> {
        let backend = match text.split_once(':') {
            Some(("tcp", rest)) => address(rest).and_then(|(at, _)| {
                let (host, port) = at.rsplit_once(':')?;
                let host = if host.is_empty() { "127.0.0.1" } else { host };
                port.parse::<u16>().ok()?;
                Some(Self::Tcp(format!("{host}:{port}"), true))
            }),
            Some(("unix", rest)) => address(rest).map(|(path, _)| Self::Unix(path.into(), true)),
            _ => None,
        };
        backend.ok_or_else(|| {
            BackendError::new("there are tcp::PORT, tcp:HOST:PORT and unix:PATH".to_owned())
        })
    }

    /// Whether a person may sit behind it.
    pub fn is_interactive(&self) -> bool {
        match self {
            Self::Null | Self::File(_) | Self::Random => false,
            Self::Stdio => std::io::stdin().is_terminal(),
            Self::Unix(..) | Self::Tcp(..) | Self::Pty => true,
        }
    }
}

impl Chardev {
    /// Reads a stream as QEMU has it: its kind, and its options.
    ///
    /// # Errors
    /// There is none of this kind, or it lacks an option.
    pub fn of_qemu(kind: &str, options: &[(&str, &str)]) -> Result<Self, String> {
        let of = |key: &str| options.iter().find(|(k, _)| *k == key).map(|(_, v)| *v);
        let server = of("server") == Some("on");
        match (kind, of("path"), of("port")) {
            ("stdio", ..) => Ok(Self::Stdio),
            ("null", ..) => Ok(Self::Null),
            ("pty", ..) => Ok(Self::Pty),
            ("file", Some(path), _) => Ok(Self::File(path.into())),
            ("socket", Some(path), _) => Ok(Self::Unix(path.into(), server)),
            ("socket", None, Some(port)) => {
                let host = of("host").filter(|host| !host.is_empty());
                Ok(Self::Tcp(
                    format!("{}:{port}", host.unwrap_or("127.0.0.1")),
                    server,
                ))
            }
            ("file", ..) => Err("a file needs its path".to_owned()),
            ("socket", ..) => Err("a socket needs its path, or its port".to_owned()),
            _ => Err(format!("there is no stream of the kind {kind}")),
        }
    }
}

/// How the places are written that the monitor's commands can come from.
pub fn monitor_forms() -> impl Iterator<Item = String> {
    let forms = FORMS.iter().filter(|form| !SILENT.contains(&form.name));
    std::iter::once("none".to_owned()).chain(forms.map(Form::to_string))
}

/// Opens a backend; what comes in goes to `feed`. On a terminal the keys switch to the monitor, if there is a way to it.
/// Nothing is plugged in by [`Chardev::Null`]. A new pseudo-terminal's name is put into `pty`.
pub(super) fn open(
    name: &str,
    backend: &Chardev,
    feed: Feed,
    monitor: Option<Feed>,
    pty: &mut Option<String>,
) -> Result<Option<Outlet>, BackendError> {
    let failed = |what: &str, e: &dyn std::fmt::Display| {
        BackendError::new(format!("{name}: cannot {what}: {e}"))
    };
    Ok(Some(match backend {
        Chardev::Null => return Ok(None),
        Chardev::Random => {
            const SOURCE: &str = "/dev/urandom";
            let source = File::open(SOURCE);
            let mut source = source.map_err(|e| failed(&format!("read {SOURCE}"), &e))?;
            spawn(name, move || {
                let _ = read_all(&mut source, &feed);
            })?;
            return Ok(None);
        }
        Chardev::Stdio => {
            let outlet = stdout(name, &feed)?;
            let raw = terminal::take();
            spawn(name, move || {
                // Nobody is left to tell when the machine has gone.
                let _ = match raw {
                    true => read_terminal(&feed, monitor.as_ref()),
                    false => read_all(&mut std::io::stdin(), &feed),
                };
            })?;
            outlet
        }
        Chardev::File(path) => {
            let writing = |e| failed(&format!("write to {}", shown(path)), &e);
            if is_fifo(path) {
                let fifo = Fifo(path.clone(), None);
                plain(name, path, Some(PATIENCE), &feed, fifo)?
            } else {
                let file = File::create(path).map_err(writing)?;
                plain(name, path, None, &feed, file)?
            }
        }
        Chardev::Unix(path, false) => {
            let stream = UnixStream::connect(path)
                .map_err(|e| failed(&format!("connect to {}", shown(path)), &e))?;
            connected(name, stream, feed)?
        }
        Chardev::Tcp(address, false) => {
            let stream = TcpStream::connect(address)
                .map_err(|e| failed(&format!("connect to {address}"), &e))?;
            connected(name, stream, feed)?
        }
        Chardev::Unix(path, true) => {
            let listener = socket::listen(path)
                .map_err(|e| failed(&format!("listen at {}", shown(path)), &e))?;
            serve(name, feed, listener, |l| l.accept().map(|(s, _)| s))?
        }
        Chardev::Tcp(address, true) => {
            let listener = TcpListener::bind(address)
                .map_err(|e| failed(&format!("listen at {address}"), &e))?;
            serve(name, feed, listener, |listener| {
                let (stream, _) = listener.accept()?;
                // A short answer is not kept until the one before it has arrived.
                stream.set_nodelay(true)?;
                Ok(stream)
            })?
        }
        Chardev::Pty => {
            let (file, path) = open_pty().map_err(|e| failed("open a pseudo-terminal", &e))?;
            let mut reader = file
                .try_clone()
                .map_err(|e| failed("open a pseudo-terminal", &e))?;
            let outlet = plain(name, Path::new(&path), Some(PATIENCE), &feed, file)?;
            say(&visible(&format!("{name} is {path}\n")));
            spawn(name, move || {
                let _ = read_all(&mut reader, &feed);
            })?;
            *pty = Some(path);
            outlet
        }
    }))
}

/// Standard output. When its reader has gone, or its disk is full, the run has no purpose left.
fn stdout(name: &str, feed: &Feed) -> Result<Outlet, BackendError> {
    let out = std::io::stdout().as_fd().try_clone_to_owned();
    let out = out
        .map_err(|e| BackendError::new(format!("{name}: cannot write to standard output: {e}")))?;
    let post = feed.post.clone();
    let failed = move |e: std::io::Error| {
        let status = match e.kind() {
            ErrorKind::BrokenPipe => BROKEN_PIPE,
            _ => {
                say(&format!("error: cannot write to standard output: {e}\n"));
                LOST
            }
        };
        let _ = post.word(Word::Quit(status));
    };
    let outlet = Outlet::new(name, None, feed.post.clone(), File::from(out), failed)?;
    Ok(outlet.0)
}

/// A place that output goes to until it takes no more.
fn plain(
    name: &str,
    path: &Path,
    patience: Option<Duration>,
    feed: &Feed,
    out: impl Write + Send + 'static,
) -> Result<Outlet, BackendError> {
    let lost = format!("{name}: cannot write to {}", shown(path));
    let failed = move |e| tracing::warn!("{lost}: {e}; what it sends from here on is lost");
    Ok(Outlet::new(name, patience, feed.post.clone(), out, failed)?.0)
}

fn is_fifo(path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|there| there.file_type().is_fifo())
}

/// A named pipe, whose readers come and go: it is opened where that may wait for one.
struct Fifo(PathBuf, Option<File>);

impl Write for Fifo {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        loop {
            if self.1.is_none() {
                self.1 = Some(File::options().write(true).open(&self.0)?);
            }
            match self.1.as_mut().map(|file| file.write(bytes)) {
                Some(Err(e)) if e.kind() == ErrorKind::BrokenPipe => self.1 = None,
                Some(result) => return result,
                None => {}
            }
        }
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// A connection of either kind of socket.
trait Connection: Read + Write + AsFd + Send + Sync + Sized + 'static {
    fn copy(&self) -> std::io::Result<Self>;
    /// Ends it for every copy; one that is being written to too.
    fn end(&self);
}

impl Connection for UnixStream {
    fn copy(&self) -> std::io::Result<Self> {
        self.try_clone()
    }

    fn end(&self) {
        let _ = self.shutdown(Shutdown::Both);
    }
}

impl Connection for TcpStream {
    fn copy(&self) -> std::io::Result<Self> {
        self.try_clone()
    }

    fn end(&self) {
        let _ = self.shutdown(Shutdown::Both);
    }
}

fn connected(name: &str, mut stream: impl Connection, feed: Feed) -> Result<Outlet, BackendError> {
    let copies = stream.copy().and_then(|one| Ok((one, stream.copy()?)));
    let (copy, last) =
        copies.map_err(|e| BackendError::new(format!("{name}: cannot use the socket: {e}")))?;
    feed.when_over(move || last.end());
    // A peer that leaves takes its output with it.
    let outlet = Outlet::new(name, Some(PATIENCE), feed.post.clone(), copy, |_| {})?;
    spawn(name, move || {
        let _ = read_all(&mut stream, &feed);
    })?;
    Ok(outlet.0)
}

/// Where what is sent goes: to the present peer, or nowhere. The lock is between two threads of the backend.
struct Peer<S>(Arc<Mutex<Option<S>>>);

impl<S: Connection> Peer<S> {
    fn end(&self) {
        let peer = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(peer) = peer.as_ref() {
            peer.end();
        }
    }
}

impl<S> Peer<S> {
    fn set(&self, peer: Option<S>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = peer;
    }
}

impl<S: Write> Write for Peer<S> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let mut peer = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match peer.as_mut().map(|peer| peer.write(bytes)) {
            Some(Ok(written @ 1..)) => Ok(written),
            Some(Err(e)) if e.kind() == ErrorKind::Interrupted => Err(e),
            _ => {
                *peer = None;
                Ok(bytes.len())
            }
        }
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Takes one peer after another; without one, output is dropped.
fn serve<L: AsFd + Send + 'static, S: Connection>(
    name: &str,
    feed: Feed,
    listener: L,
    accept: fn(&L) -> std::io::Result<S>,
) -> Result<Outlet, BackendError> {
    let peer = Peer(Arc::new(Mutex::new(None)));
    let out = Peer(peer.0.clone());
    // One that takes nothing has the other lock, for as long as it likes.
    let ends = Peer(Arc::new(Mutex::new(None)));
    let last = Peer(ends.0.clone());
    let door = listener.as_fd().try_clone_to_owned();
    let door =
        door.map_err(|e| BackendError::new(format!("{name}: cannot use the socket: {e}")))?;
    feed.when_over(move || {
        // Whoever waits there for a peer hears that there will be none.
        let _ = rustix::net::shutdown(&door, rustix::net::Shutdown::Both);
        last.end();
    });
    let (outlet, level) = Outlet::new(name, Some(PATIENCE), feed.post.clone(), out, |_| {})?;
    spawn(name, move || {
        loop {
            let served = match accept(&listener) {
                _ if feed.is_over() => Err(Gone),
                Ok(stream) => attend(stream, [&peer, &ends], &level, &feed, &listener),
                // There may be too many open files; later there may be fewer.
                Err(_) => {
                    std::thread::sleep(Duration::from_millis(100));
                    Ok(())
                }
            };
            if served.is_err() {
                return;
            }
        }
    })?;
    Ok(outlet)
}

/// Serves one peer to its end. A slot's next one goes on where this one left off; the monitor's begins anew.
fn attend<S: Connection>(
    mut stream: S,
    [peer, ends]: [&Peer<S>; 2],
    level: &Level,
    feed: &Feed,
    listener: &impl AsFd,
) -> Result<(), Gone> {
    let (Ok(copy), Ok(last)) = (stream.copy(), stream.copy()) else {
        return Ok(());
    };
    peer.set(Some(copy));
    ends.set(Some(last));
    feed.opened()?;
    // One that has left, and whose input nobody takes, makes room for another at the door.
    let left = PollFlags::RDHUP | PollFlags::HUP | PollFlags::ERR;
    read(&mut stream, feed, |stream| {
        ready(stream, left) && ready(listener, PollFlags::IN)
    })?;
    if feed.commands() {
        feed.closed()?;
        feed.heard_closed();
    }
    // It has said all it has to say, and may still want its answer.
    level.settle();
    stream.end();
    ends.set(None);
    peer.set(None);
    level.settle();
    Ok(())
}

/// Whether one of these is true of a socket now.
fn ready(socket: &impl AsFd, what: PollFlags) -> bool {
    let now = Timespec::default();
    let mut fds = [PollFd::new(socket, what)];
    poll(&mut fds, Some(&now)).is_ok_and(|ready| ready > 0)
}

/// Passes on what comes until its end.
fn read_all(reader: &mut impl Read, feed: &Feed) -> Result<(), Gone> {
    feed.opened()?;
    read(reader, feed, |_| false)?;
    feed.closed()
}

/// Passes on what comes until its end, or until `give_up` says so where nothing more is taken.
fn read<R: Read>(reader: &mut R, feed: &Feed, give_up: impl Fn(&R) -> bool) -> Result<(), Gone> {
    let mut buffer = [0; 4096];
    while let Some(room) = feed.allowance(&|| give_up(reader)) {
        let room = room.min(buffer.len());
        match reader.read(&mut buffer[..room]) {
            Ok(0) => break,
            Ok(length) => drop(feed.text(&buffer[..length])?),
            Err(e) if e.kind() == ErrorKind::Interrupted => {}
            Err(_) => break,
        }
    }
    Ok(())
}

/// Passes on what is typed, and does what the escape key asks for. It is read even if nothing is taken, for the escape key's
/// sake; what is too much then is lost, with a beep.
fn read_terminal(console: &Feed, monitor: Option<&Feed>) -> Result<(), Gone> {
    let (mut keys, mut buffer) = (Keys::default(), [0; 4096]);
    let mut now = console;
    console.opened()?;
    while let Ok(length) = std::io::stdin().read(&mut buffer) {
        if length == 0 {
            break;
        }
        for typed in keys.sort(&buffer[..length]) {
            match (typed, monitor) {
                (Typed::Text(text), _) => {
                    if !now.text(&text)? {
                        say("\x07");
                    }
                }
                (Typed::Break, _) if console.commands() => {
                    say("\r\nthe console is not on this terminal\r\n");
                }
                (Typed::Break, _) => console.send_break()?,
                (Typed::Quit, _) => console.post.word(Word::Quit(0))?,
                (Typed::Switch, Some(monitor)) if now.commands() => {
                    monitor.closed()?;
                    now = console;
                }
                (Typed::Switch, Some(monitor)) => {
                    now = monitor;
                    monitor.opened()?;
                }
                (Typed::Switch, None) => {
                    say("\r\nthere is nothing else on this terminal\r\n");
                }
                (Typed::Say(text), _) => say(text),
            }
        }
    }
    Ok(())
}

/// A pseudo-terminal's controlling side and the name of the other side.
fn open_pty() -> rustix::io::Result<(File, String)> {
    let controller = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY)?;
    grantpt(&controller)?;
    unlockpt(&controller)?;
    let name = ptsname(&controller, Vec::new())?
        .to_string_lossy()
        .into_owned();
    // The far side starts raw: a guest, not this host, edits lines and echoes. Held open here, it keeps its settings.
    let far = rustix::fs::open(
        name.as_str(),
        rustix::fs::OFlags::RDWR | rustix::fs::OFlags::NOCTTY,
        rustix::fs::Mode::empty(),
    )?;
    let mut settings = rustix::termios::tcgetattr(&far)?;
    settings.make_raw();
    rustix::termios::tcsetattr(&far, rustix::termios::OptionalActions::Now, &settings)?;
    std::mem::forget(far);
    Ok((File::from(controller), name))
}
