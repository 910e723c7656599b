//! Where a stream goes or comes from.

use std::fmt;
use std::fs::File;
use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::str::FromStr;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, PidfdFlags, PidfdGetfdFlags, getpid, pidfd_getfd, pidfd_open};

use crate::replace::replace;

/// How long a command that gave no good stream has to say that it failed.
const PATIENCE: Duration = Duration::from_secs(2);

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
            Self::File(path) => write!(f, "file:{}", path.display()),
            Self::Exec(command) => write!(f, "exec:{command}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::Tcp(address) => write!(f, "tcp:{address}"),
            Self::Fd(number) => write!(f, "fd:{number}"),
        }
    }
}

impl Uri {
    /// Has a stream written there by `write`. A file is replaced in one step once its content is on the disk: a save that
    /// is killed, or that fails, leaves what was there.
    ///
    /// # Errors
    /// It cannot be opened or written, `write` fails, or the command does.
    pub fn write<E: From<io::Error>>(
        &self,
        write: impl FnOnce(&mut dyn Write) -> Result<u64, E>,
    ) -> Result<u64, E> {
        match self {
            Self::File(path) => replace(path, write),
            Self::Exec(command) => {
                let mut child = shell(command).stdin(Stdio::piped()).spawn()?;
                let pipe = child.stdin.take();
                let result = match pipe {
                    Some(mut pipe) => write(&mut pipe),
                    None => Err(io::Error::from(io::ErrorKind::BrokenPipe).into()),
                };
                let status = child.wait()?;
                // A command that fails says itself why.
                match status.success() {
                    true => result,
                    false => Err(failed(command, status).into()),
                }
            }
            Self::Unix(path) => write(&mut UnixStream::connect(path)?),
            Self::Tcp(address) => write(&mut TcpStream::connect(address)?),
            Self::Fd(number) => write(&mut descriptor(*number)?),
        }
    }

    /// Has a stream read from there by `read`; not for [`Uri::File`], which is mapped.
    ///
    /// # Errors
    /// It cannot be opened or read, `read` fails, or the command does.
    pub fn read<T, E: From<io::Error>>(
        &self,
        read: impl FnOnce(&mut dyn Read) -> Result<T, E>,
    ) -> Result<T, E> {
        match self {
            Self::File(path) => read(&mut io::BufReader::new(File::open(path)?)),
            Self::Exec(command) => {
                let mut child = shell(command)
                    .stdin(Stdio::null())
                    .stdout(Stdio::piped())
                    .spawn()?;
                let pipe = child.stdout.take();
                let result = match pipe {
                    Some(pipe) => read(&mut io::BufReader::new(pipe)),
                    None => Err(io::Error::from(io::ErrorKind::BrokenPipe).into()),
                };
                // What is whole is whole, whatever the command does afterwards; one that fails says itself why.
                let failure = match &result {
                    Ok(_) => None,
                    Err(_) => ended(&mut child).filter(|status| !status.success()),
                };
                // Without a thread for it, it is not waited for.
                let _ = thread::Builder::new().spawn(move || child.wait());
                match failure {
                    Some(status) => Err(failed(command, status).into()),
                    None => result,
                }
            }
            Self::Unix(path) => {
                let listener = UnixListener::bind(path)?;
                let peer = listener.accept();
                // The name has served its purpose.
                let _ = std::fs::remove_file(path);
                read(&mut io::BufReader::new(peer?.0))
            }
            Self::Tcp(address) => {
                let (peer, _) = TcpListener::bind(address)?.accept()?;
                read(&mut io::BufReader::new(peer))
            }
            Self::Fd(number) => read(&mut io::BufReader::new(descriptor(*number)?)),
        }
    }
}

fn shell(command: &str) -> Command {
    let mut shell = Command::new("/bin/sh");
    shell.arg("-c").arg(command);
    shell
}

/// How a command ends, if it does soon.
fn ended(child: &mut Child) -> Option<std::process::ExitStatus> {
    let start = Instant::now();
    loop {
        match child.try_wait() {
            Ok(None) if start.elapsed() < PATIENCE => thread::sleep(Duration::from_millis(1)),
            status => return status.ok().flatten(),
        }
    }
}

fn failed(command: &str, status: std::process::ExitStatus) -> io::Error {
    io::Error::other(format!("`{command}` failed ({status})"))
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
