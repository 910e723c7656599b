//! Where a stream goes or comes from.

use std::fmt;
use std::fs::File;
use std::io::{self, BufWriter, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::str::FromStr;

use rustix::fs::{AtFlags, CWD, Mode, OFlags, linkat};
use rustix::process::{Pid, PidfdFlags, PidfdGetfdFlags, getpid, pidfd_getfd, pidfd_open};

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
            Self::File(path) => to_file(path, write),
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
                let status = child.wait()?;
                match result {
                    // A command that fails gives no stream either; it says itself why.
                    Err(_) if !status.success() => Err(failed(command, status).into()),
                    result => result,
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

fn to_file<E: From<io::Error>>(
    path: &Path,
    write: impl FnOnce(&mut dyn Write) -> Result<u64, E>,
) -> Result<u64, E> {
    // A link stays one: what it leads to is replaced.
    let path = std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    match std::fs::metadata(&path) {
        Ok(there) if !there.is_file() => {
            // A device or a pipe; it is no file that could be replaced.
            return write(&mut File::options().write(true).open(&path)?);
        }
        _ => {}
    }
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let mut part = path.clone().into_os_string();
    part.push(format!(".part-{}", std::process::id()));
    let part = PathBuf::from(part);
    // A file without a name leaves nothing behind when the program is killed; not every file system has them.
    let (mode, flags) = (Mode::from_raw_mode(0o666), OFlags::RDWR | OFlags::CLOEXEC);
    let unnamed = rustix::fs::open(folder, flags | OFlags::TMPFILE, mode);
    let named = unnamed.is_err();
    let file = match unnamed {
        Ok(file) => File::from(file),
        Err(_) => File::create(&part)?,
    };
    let finish = || {
        let mut out = BufWriter::with_capacity(0, &file);
        let written = write(&mut out)?;
        drop(out);
        file.sync_all()?;
        if !named {
            let _ = std::fs::remove_file(&part);
            let own = format!("/proc/self/fd/{}", file.as_raw_fd());
            linkat(CWD, own, CWD, &part, AtFlags::SYMLINK_FOLLOW).map_err(io::Error::from)?;
        }
        std::fs::rename(&part, &path)?;
        Ok(written)
    };
    let result = finish();
    if result.is_err() {
        let _ = std::fs::remove_file(&part);
    }
    result
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

    #[test]
    fn a_save_that_fails_leaves_the_old_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x");
        let uri = Uri::File(path.clone());
        let whole = |text: &'static [u8]| uri.write(|out| out.write_all(text).map(|()| 0));
        whole(b"old").unwrap();
        let result: io::Result<u64> = uri.write(|out| {
            out.write_all(b"new")?;
            Err(io::Error::other("no"))
        });
        assert!(result.is_err());
        assert_eq!(std::fs::read(&path).unwrap(), b"old");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
        whole(b"newer").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"newer");
    }
}
