//! What plugs into a chardev slot.

use std::fs::File;
use std::io::{ErrorKind, IsTerminal, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, PoisonError};

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

use super::terminal::{self, Keys, Typed};
use crate::machine::{Event, Sink};

/// The status of a program whose output nobody reads any more: 128 + SIGPIPE.
const BROKEN_PIPE: u8 = 141;

/// A chardev backend, as the command line names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Backend {
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

/// A backend that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct BackendError(String);

impl BackendError {
    /// The whole message.
    pub(super) fn new(message: String) -> Self {
        Self(message)
    }
}

impl FromStr for Backend {
    type Err = BackendError;

    fn from_str(text: &str) -> Result<Self, BackendError> {
        let unknown = || {
            BackendError(format!(
                "unknown backend \"{text}\"; there are console, stdio, null, pty, file:PATH, unix:PATH[,server] and tcp:HOST:PORT[,server]"
            ))
        };
        // QEMU's spelling of a listening socket, which never waits for its peer here.
        let socket = |rest: &str| {
            let mut words = rest.split(',');
            let path = words
                .next()
                .filter(|p| !p.is_empty())
                .ok_or_else(unknown)?
                .to_owned();
            let mut server = false;
            for word in words {
                match word {
                    "server" | "server=on" => server = true,
                    "nowait" | "wait=off" => {}
                    _ => return Err(unknown()),
                }
            }
            Ok((path, server))
        };
        match text.split_once(':') {
            None if text == "null" => Ok(Self::Null),
            None if matches!(text, "stdio" | "console") => Ok(Self::Stdio),
            None if text == "pty" => Ok(Self::Pty),
            Some(("file", path)) if !path.is_empty() => Ok(Self::File(path.into())),
            Some(("unix", rest)) => {
                socket(rest).map(|(path, server)| Self::Unix(path.into(), server))
            }
            Some(("tcp", rest)) => socket(rest).map(|(address, server)| Self::Tcp(address, server)),
            _ => Err(unknown()),
        }
    }
}

impl Backend {
    /// Whether a person may sit behind it.
    pub fn is_interactive(&self) -> bool {
        match self {
            Self::Null | Self::File(_) => false,
            Self::Stdio => std::io::stdin().is_terminal(),
            Self::Unix(..) | Self::Tcp(..) | Self::Pty => true,
        }
    }
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
struct Stdout(Sender<Event>);

impl Sink for Stdout {
    fn send(&mut self, bytes: &[u8]) {
        let mut out = std::io::stdout().lock();
        if out.write_all(bytes).and_then(|()| out.flush()).is_err() {
            let _ = self.0.send(Event::Quit(BROKEN_PIPE));
        }
    }
}

struct Nothing;

impl Sink for Nothing {
    fn send(&mut self, _: &[u8]) {}
}

/// Opens a backend; what comes in goes to `events`.
pub(super) fn open(
    slot: usize,
    name: &str,
    backend: &Backend,
    events: &Sender<Event>,
) -> Result<Box<dyn Sink>, BackendError> {
    let failed =
        |what: &str, e: &dyn std::fmt::Display| BackendError(format!("{name}: cannot {what}: {e}"));
    let events = events.clone();
    Ok(match backend {
        Backend::Null => Box::new(Nothing),
        Backend::Stdio => {
            let out = Stdout(events.clone());
            let raw = terminal::take();
            std::thread::spawn(move || read_console(slot, raw, &events));
            Box::new(out)
        }
        Backend::File(path) => {
            let file = File::create(path)
                .map_err(|e| failed(&format!("write to {}", path.display()), &e))?;
            Box::new(sink(file))
        }
        Backend::Unix(path, false) => {
            let stream = UnixStream::connect(path)
                .map_err(|e| failed(&format!("connect to {}", path.display()), &e))?;
            connected(slot, stream, UnixStream::try_clone, events)
                .map_err(|e| failed("use the socket", &e))?
        }
        Backend::Tcp(address, false) => {
            let stream = TcpStream::connect(address)
                .map_err(|e| failed(&format!("connect to {address}"), &e))?;
            connected(slot, stream, TcpStream::try_clone, events)
                .map_err(|e| failed("use the socket", &e))?
        }
        Backend::Unix(path, true) => {
            let listener = listen_unix(path)
                .map_err(|e| failed(&format!("listen at {}", path.display()), &e))?;
            serve(
                slot,
                events,
                move || listener.accept().map(|(s, _)| s),
                UnixStream::try_clone,
            )
        }
        Backend::Tcp(address, true) => {
            let listener = TcpListener::bind(address)
                .map_err(|e| failed(&format!("listen at {address}"), &e))?;
            serve(
                slot,
                events,
                move || listener.accept().map(|(s, _)| s),
                TcpStream::try_clone,
            )
        }
        Backend::Pty => {
            let (file, path) = open_pty().map_err(|e| failed("open a pseudo-terminal", &e))?;
            eprintln!("{name} is {path}");
            let reader = file
                .try_clone()
                .map_err(|e| failed("open a pseudo-terminal", &e))?;
            std::thread::spawn(move || read_pty(slot, reader, &events));
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
    slot: usize,
    stream: S,
    clone: impl Fn(&S) -> std::io::Result<S>,
    events: Sender<Event>,
) -> std::io::Result<Box<dyn Sink>> {
    let mut reader = clone(&stream)?;
    std::thread::spawn(move || read_all(slot, &mut reader, &events));
    Ok(Box::new(sink(stream)))
}

/// Takes one peer after another; without one, output is dropped.
fn serve<S: Read + Write + Send + 'static>(
    slot: usize,
    events: Sender<Event>,
    accept: impl Fn() -> std::io::Result<S> + Send + 'static,
    clone: impl Fn(&S) -> std::io::Result<S> + Send + 'static,
) -> Box<dyn Sink> {
    let writer = Arc::new(Mutex::new(None));
    let sink = Stream(writer.clone());
    std::thread::spawn(move || {
        while let Ok(mut stream) = accept() {
            let Ok(copy) = clone(&stream) else { continue };
            *writer.lock().unwrap_or_else(PoisonError::into_inner) = Some(Box::new(copy) as Writer);
            read_all(slot, &mut stream, &events);
            *writer.lock().unwrap_or_else(PoisonError::into_inner) = None;
        }
    });
    Box::new(sink)
}

/// Passes on what comes until its end, or until nobody wants it.
fn read_all(slot: usize, reader: &mut dyn Read, events: &Sender<Event>) {
    let mut buffer = [0; 4096];
    loop {
        match reader.read(&mut buffer) {
            Ok(0) => return,
            Ok(len) => {
                if events
                    .send(Event::Input(slot, buffer[..len].to_vec()))
                    .is_err()
                {
                    return;
                }
            }
            Err(e) if e.kind() == ErrorKind::Interrupted => {}
            Err(_) => return,
        }
    }
}

fn read_console(slot: usize, raw: bool, events: &Sender<Event>) {
    if !raw {
        read_all(slot, &mut std::io::stdin(), events);
        // Nobody is left to tell when the machine has gone.
        let _ = events.send(Event::InputEnd(slot));
        return;
    }
    let (mut keys, mut buffer) = (Keys::default(), [0; 4096]);
    while let Ok(len) = std::io::stdin().read(&mut buffer) {
        if len == 0 {
            return;
        }
        for typed in keys.sort(&buffer[..len]) {
            let event = match typed {
                Typed::Text(text) => Event::Input(slot, text),
                Typed::Break => Event::Break(slot),
                Typed::Quit => Event::Quit(0),
                Typed::Say(text) => {
                    eprint!("{text}");
                    continue;
                }
            };
            if events.send(event).is_err() {
                return;
            }
        }
    }
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

fn read_pty(slot: usize, mut reader: File, events: &Sender<Event>) {
    use rustix::event::{PollFd, PollFlags, poll};
    loop {
        let mut fds = [PollFd::new(&reader, PollFlags::IN)];
        if poll(&mut fds, None).is_err() {
            continue;
        }
        let mut buffer = [0; 4096];
        match reader.read(&mut buffer) {
            Ok(0) => return,
            Ok(len)
                if events
                    .send(Event::Input(slot, buffer[..len].to_vec()))
                    .is_err() =>
            {
                return;
            }
            Ok(_) => {}
            Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
            Err(_) => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn backends_are_named_as_in_qemu() {
        for (text, backend) in [
            ("null", Backend::Null),
            ("console", Backend::Stdio),
            ("stdio", Backend::Stdio),
            ("file:a:b", Backend::File("a:b".into())),
            (
                "unix:/run/x,server,nowait",
                Backend::Unix("/run/x".into(), true),
            ),
            ("unix:x", Backend::Unix("x".into(), false)),
            (
                "tcp:localhost:4000,server=on,wait=off",
                Backend::Tcp("localhost:4000".into(), true),
            ),
        ] {
            assert_eq!(text.parse::<Backend>().unwrap(), backend, "{text}");
        }
        for bad in ["", "file:", "unix:", "tcp:h:1,loud", "stdin", "pty:x"] {
            assert!(bad.parse::<Backend>().is_err(), "{bad}");
        }
    }
}
