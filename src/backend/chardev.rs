//! What plugs into a chardev slot.

use std::fs::File;
use std::io::{ErrorKind, IsTerminal, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

use super::outside::{Feed, Gone, To};
use super::terminal::{self, Keys, Typed};
use super::{BackendError, Form, and, read};
use crate::machine::{Event, Sink};

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
}

/// How they are written.
pub(super) const FORMS: &[Form<Chardev>] = &[
    Form {
        name: "console",
        args: "",
        about: "the terminal, or standard input and output",
        parse: |_| Some(Chardev::Stdio),
    },
    Form {
        name: "stdio",
        args: "",
        about: "the same",
        parse: |_| Some(Chardev::Stdio),
    },
    Form {
        name: "null",
        args: "",
        about: "nothing",
        parse: |_| Some(Chardev::Null),
    },
    Form {
        name: "pty",
        args: "",
        about: "a new pseudo-terminal, its name printed",
        parse: |_| Some(Chardev::Pty),
    },
    Form {
        name: "file",
        args: ":PATH",
        about: "output goes to a file",
        parse: |path| (!path.is_empty()).then(|| Chardev::File(path.into())),
    },
    Form {
        name: "unix",
        args: ":PATH[,server]",
        about: "connects to a Unix socket, or listens at it, for one peer after another",
        parse: |rest| socket(rest).map(|(path, server)| Chardev::Unix(path.into(), server)),
    },
    Form {
        name: "tcp",
        args: ":HOST:PORT[,server]",
        about: "connects to a TCP address, or listens at it, for one peer after another",
        parse: |rest| {
            let (address, server) = socket(rest).filter(|(address, _)| address.contains(':'))?;
            Some(Chardev::Tcp(address, server))
        },
    },
];

/// Those from which no commands come. The console is the guest's; the monitor has the same place as `stdio`.
const SILENT: &[&str] = &["console", "null", "file"];

/// Where a socket is, and whether to listen there: QEMU's spelling, but that one never waits for its peer here.
fn socket(rest: &str) -> Option<(String, bool)> {
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
        let name = text.split(':').next().unwrap_or_default();
        let backend = match text {
            "none" => return Ok(Self::Null),
            _ if SILENT.contains(&name) => None,
            _ => read(FORMS, "", text).ok(),
        };
        backend.ok_or_else(|| {
            let forms: Vec<_> = monitor_forms().collect();
            BackendError::new(format!("there are {}", and(&forms)))
        })
    }

    /// Whether a person may sit behind it.
    pub fn is_interactive(&self) -> bool {
        match self {
            Self::Null | Self::File(_) => false,
            Self::Stdio => std::io::stdin().is_terminal(),
            Self::Unix(..) | Self::Tcp(..) | Self::Pty => true,
        }
    }
}

/// How the places are written that the monitor's commands can come from.
pub fn monitor_forms() -> impl Iterator<Item = String> {
    let forms = FORMS.iter().filter(|form| !SILENT.contains(&form.name));
    std::iter::once("none".to_owned()).chain(forms.map(Form::to_string))
}

type Writer = Box<dyn Write + Send>;

/// A sink that may lose its writer, or get one later.
struct Stream(Arc<Mutex<Option<Writer>>>);

impl Sink for Stream {
    fn send(&mut self, bytes: &[u8]) {
        let mut writer = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(w) = &mut *writer
            && let Err(e) = w.write_all(bytes).and_then(|()| w.flush())
            && e.kind() != ErrorKind::WouldBlock
        {
            *writer = None;
        }
    }
}

/// Standard output. When its reader has gone, the run has no purpose left.
struct Stdout(Feed);

impl Sink for Stdout {
    fn send(&mut self, bytes: &[u8]) {
        let mut out = std::io::stdout().lock();
        if out.write_all(bytes).and_then(|()| out.flush()).is_err() {
            let _ = self.0.send(Event::Quit(BROKEN_PIPE));
        }
    }
}

/// Standard output.
pub(super) fn stdout(feed: &Feed) -> Box<dyn Sink> {
    Box::new(Stdout(feed.clone()))
}

struct Nothing;

impl Sink for Nothing {
    fn send(&mut self, _: &[u8]) {}
}

/// Opens a backend; what comes in goes to `feed`. On a terminal the keys switch to the monitor of this number.
pub(super) fn open(
    to: To,
    monitor: Option<usize>,
    name: &str,
    backend: &Chardev,
    feed: &Feed,
) -> Result<Box<dyn Sink>, BackendError> {
    let failed = |what: &str, e: &dyn std::fmt::Display| {
        BackendError::new(format!("{name}: cannot {what}: {e}"))
    };
    let feed = feed.clone();
    Ok(match backend {
        Chardev::Null => Box::new(Nothing),
        Chardev::Stdio => {
            let out = stdout(&feed);
            let raw = terminal::take();
            std::thread::spawn(move || {
                let _ = if raw {
                    read_terminal(to, monitor, &feed)
                } else {
                    feed.opened(to, None)
                        .and_then(|()| read_all(to, &mut std::io::stdin(), &feed))
                        .and_then(|()| feed.closed(to))
                };
            });
            out
        }
        Chardev::File(path) => {
            let file = File::create(path)
                .map_err(|e| failed(&format!("write to {}", path.display()), &e))?;
            Box::new(sink(file))
        }
        Chardev::Unix(path, false) => {
            let stream = UnixStream::connect(path)
                .map_err(|e| failed(&format!("connect to {}", path.display()), &e))?;
            connected(to, stream, UnixStream::try_clone, feed)
                .map_err(|e| failed("use the socket", &e))?
        }
        Chardev::Tcp(address, false) => {
            let stream = TcpStream::connect(address)
                .map_err(|e| failed(&format!("connect to {address}"), &e))?;
            connected(to, stream, TcpStream::try_clone, feed)
                .map_err(|e| failed("use the socket", &e))?
        }
        Chardev::Unix(path, true) => {
            let listener = listen_unix(path)
                .map_err(|e| failed(&format!("listen at {}", path.display()), &e))?;
            serve(
                to,
                feed,
                move || listener.accept().map(|(s, _)| s),
                UnixStream::try_clone,
            )
        }
        Chardev::Tcp(address, true) => {
            let listener = TcpListener::bind(address)
                .map_err(|e| failed(&format!("listen at {address}"), &e))?;
            serve(
                to,
                feed,
                move || listener.accept().map(|(s, _)| s),
                TcpStream::try_clone,
            )
        }
        Chardev::Pty => {
            let (file, path) = open_pty().map_err(|e| failed("open a pseudo-terminal", &e))?;
            eprintln!("{name} is {path}");
            let reader = file
                .try_clone()
                .map_err(|e| failed("open a pseudo-terminal", &e))?;
            std::thread::spawn(move || read_pty(to, reader, &feed));
            Box::new(sink(file))
        }
    })
}

fn sink(writer: impl Write + Send + 'static) -> Stream {
    Stream(Arc::new(Mutex::new(Some(Box::new(writer)))))
}

/// A socket whose last user was killed leaves its name behind; nobody answers there.
fn listen_unix(path: &Path) -> std::io::Result<UnixListener> {
    match UnixListener::bind(path) {
        Err(e) if e.kind() == ErrorKind::AddrInUse && UnixStream::connect(path).is_err() => {
            std::fs::remove_file(path)?;
            UnixListener::bind(path)
        }
        result => result,
    }
}

fn connected<S: Read + Write + Send + 'static>(
    to: To,
    stream: S,
    clone: impl Fn(&S) -> std::io::Result<S>,
    feed: Feed,
) -> std::io::Result<Box<dyn Sink>> {
    let mut reader = clone(&stream)?;
    std::thread::spawn(move || {
        // Nobody is left to tell when the machine has gone.
        let _ = feed
            .opened(to, None)
            .and_then(|()| read_all(to, &mut reader, &feed))
            .and_then(|()| feed.closed(to));
    });
    Ok(Box::new(sink(stream)))
}

/// Takes one peer after another; without one, output is dropped.
fn serve<S: Read + Write + Send + 'static>(
    to: To,
    feed: Feed,
    accept: impl Fn() -> std::io::Result<S> + Send + 'static,
    clone: impl Fn(&S) -> std::io::Result<S> + Send + 'static,
) -> Box<dyn Sink> {
    let writer = Arc::new(Mutex::new(None));
    let sink = Stream(writer.clone());
    std::thread::spawn(move || {
        while let Ok(mut stream) = accept() {
            let Ok(copy) = clone(&stream) else { continue };
            // The monitor answers each peer itself: what one has asked is not for the next.
            let served = match to {
                To::Monitor(_) => feed.opened(to, Some(Box::new(self::sink(copy)))),
                To::Slot(_) => {
                    *writer.lock().unwrap_or_else(PoisonError::into_inner) =
                        Some(Box::new(copy) as Writer);
                    Ok(())
                }
            };
            let served = served.and_then(|()| read_all(to, &mut stream, &feed));
            *writer.lock().unwrap_or_else(PoisonError::into_inner) = None;
            // A slot's next peer goes on where this one left off.
            if served.is_err() || matches!(to, To::Monitor(_)) && feed.closed(to).is_err() {
                return;
            }
        }
    });
    Box::new(sink)
}

/// Passes on what comes until its end.
fn read_all(to: To, reader: &mut dyn Read, feed: &Feed) -> Result<(), Gone> {
    let mut buffer = [0; 4096];
    loop {
        match reader.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(len) => feed.text(to, &buffer[..len])?,
            Err(e) if e.kind() == ErrorKind::Interrupted => {}
            Err(_) => return Ok(()),
        }
    }
}

/// Passes on what is typed, and does what the escape key asks for.
fn read_terminal(to: To, monitor: Option<usize>, feed: &Feed) -> Result<(), Gone> {
    let (mut keys, mut buffer) = (Keys::default(), [0; 4096]);
    let mut now = to;
    feed.opened(to, None)?;
    while let Ok(len) = std::io::stdin().read(&mut buffer) {
        if len == 0 {
            break;
        }
        for typed in keys.sort(&buffer[..len]) {
            match (typed, to, monitor) {
                (Typed::Text(text), ..) => feed.text(now, &text)?,
                (Typed::Break, To::Slot(slot), _) => feed.send(Event::Break(slot))?,
                (Typed::Quit, ..) => feed.send(Event::Quit(0))?,
                (Typed::Switch, _, Some(number)) if now == to => {
                    now = To::Monitor(number);
                    feed.opened(now, None)?;
                }
                (Typed::Switch, _, Some(_)) => {
                    feed.closed(now)?;
                    now = to;
                }
                (Typed::Switch, ..) => eprint!("\r\nthere is nothing else on this terminal\r\n"),
                (Typed::Break, To::Monitor(_), _) => {
                    eprint!("\r\nthe console is not on this terminal\r\n");
                }
                (Typed::Say(text), ..) => eprint!("{text}"),
            }
        }
    }
    Ok(())
}

/// A pseudo-terminal's controlling side, which never blocks on writing, and the name of the other side.
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
    rustix::io::ioctl_fionbio(&controller, true)?;
    Ok((File::from(controller), name))
}

fn read_pty(to: To, mut reader: File, feed: &Feed) {
    use rustix::event::{PollFd, PollFlags, poll};
    if feed.opened(to, None).is_err() {
        return;
    }
    loop {
        let mut fds = [PollFd::new(&reader, PollFlags::IN)];
        if poll(&mut fds, None).is_err() {
            continue;
        }
        let mut buffer = [0; 4096];
        match reader.read(&mut buffer) {
            Ok(0) => return,
            Ok(len) if feed.text(to, &buffer[..len]).is_err() => return,
            Ok(_) => {}
            Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
            Err(_) => return,
        }
    }
}
