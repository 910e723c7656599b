//! The TFTP server (RFC 1350, with the options of RFC 2347 to 2349): files of one folder, to read.

use std::fs::File;
use std::net::SocketAddrV4;
use std::os::unix::fs::FileExt;
use std::path::{Component, Path};
use std::time::{Duration, Instant};

use super::link::{Link, MTU};

pub(super) const PORT: u16 = 69;
/// Files that are sent at once, at most.
const SESSIONS: usize = 16;
/// After how long a block is sent again, and how often.
const AGAIN: Duration = Duration::from_secs(1);
const TRIES: u32 = 10;
const BLOCK: usize = 512;
/// The longest block: it fits a frame.
const LONGEST: usize = MTU - 20 - 8 - 4;

const READ: u16 = 1;
const WRITE: u16 = 2;
const DATA: u16 = 3;
const ACK: u16 = 4;
const ERROR: u16 = 5;
const OPTIONS: u16 = 6;

const NOT_FOUND: u16 = 1;
const NOT_ALLOWED: u16 = 2;
const ILLEGAL: u16 = 4;

struct Session {
    client: SocketAddrV4,
    file: File,
    length: u64,
    block: usize,
    /// The block that the client has not acknowledged; 0 is the list of options.
    number: u64,
    options: Vec<u8>,
    sent: Instant,
    tries: u32,
}

#[derive(Default)]
pub(super) struct Tftp(Vec<Session>);

impl Session {
    /// The last block is the first that is not full.
    fn last(&self) -> u64 {
        self.length / self.block as u64 + 1
    }

    fn send(&mut self, own: SocketAddrV4, link: &mut Link, now: Instant) {
        self.sent = now;
        self.tries += 1;
        if self.number == 0 {
            return link.udp(own, self.client, &self.options);
        }
        let at = (self.number - 1) * self.block as u64;
        let length = self.length.saturating_sub(at).min(self.block as u64) as usize;
        let mut bytes = vec![0; 4 + length];
        bytes[..2].copy_from_slice(&DATA.to_be_bytes());
        bytes[2..4].copy_from_slice(&(self.number as u16).to_be_bytes());
        match self.file.read_exact_at(&mut bytes[4..], at) {
            Ok(()) => link.udp(own, self.client, &bytes),
            Err(error) => refuse(own, self.client, 0, &error.to_string(), link),
        }
    }
}

fn refuse(own: SocketAddrV4, client: SocketAddrV4, code: u16, why: &str, link: &mut Link) {
    let mut bytes = ERROR.to_be_bytes().to_vec();
    bytes.extend(code.to_be_bytes());
    bytes.extend(why.bytes().take(200));
    bytes.push(0);
    link.udp(own, client, &bytes);
}

/// The file of this name in a folder: nothing above it, and nothing that a link leads out to.
fn find(folder: &Path, name: &str) -> Option<(File, u64)> {
    let inner = Path::new(name.trim_start_matches('/'));
    let plain = inner
        .components()
        .all(|part| matches!(part, Component::Normal(_) | Component::CurDir));
    let folder = folder.canonicalize().ok()?;
    let path = folder.join(inner).canonicalize().ok()?;
    if !plain || !path.starts_with(&folder) || !path.is_file() {
        return None;
    }
    let file = File::open(path).ok()?;
    let length = file.metadata().ok()?.len();
    Some((file, length))
}

impl Tftp {
    /// Takes a client's packet.
    pub(super) fn packet(
        &mut self,
        client: SocketAddrV4,
        bytes: &[u8],
        link: &mut Link,
        now: Instant,
    ) {
        let own = SocketAddrV4::new(link.user.host, PORT);
        let Some((code, rest)) = bytes.split_first_chunk::<2>() else {
            return;
        };
        match u16::from_be_bytes(*code) {
            READ => self.read(client, rest, link, now),
            WRITE => refuse(own, client, NOT_ALLOWED, "files are only read", link),
            ACK => {
                let Some(number) = rest.first_chunk::<2>().map(|n| u16::from_be_bytes(*n)) else {
                    return;
                };
                let place = self.0.iter().position(|s| s.client == client);
                let Some(place) = place else { return };
                let session = &mut self.0[place];
                if session.number as u16 != number {
                    return;
                }
                if session.number >= session.last() {
                    self.0.swap_remove(place);
                    return;
                }
                session.number += 1;
                session.tries = 0;
                session.send(own, link, now);
            }
            ERROR => self.0.retain(|session| session.client != client),
            _ => refuse(own, client, ILLEGAL, "this is not understood", link),
        }
    }

    fn read(&mut self, client: SocketAddrV4, request: &[u8], link: &mut Link, now: Instant) {
        let own = SocketAddrV4::new(link.user.host, PORT);
        let mut words = request
            .split(|byte| *byte == 0)
            .map(String::from_utf8_lossy);
        let name = words.next().unwrap_or_default();
        let mode = words.next().unwrap_or_default().to_ascii_lowercase();
        let Some(folder) = link.user.tftp.clone() else {
            return;
        };
        if mode != "octet" {
            return refuse(own, client, ILLEGAL, "the mode is octet", link);
        }
        let Some((file, length)) = find(&folder, &name) else {
            tracing::debug!("TFTP: there is no {name:?}");
            return refuse(own, client, NOT_FOUND, "there is no such file", link);
        };
        let (mut block, mut options) = (BLOCK, OPTIONS.to_be_bytes().to_vec());
        let mut take = |name: &str, value: String| {
            for text in [name, &value] {
                options.extend(text.bytes());
                options.push(0);
            }
        };
        while let (Some(option), Some(value)) = (words.next(), words.next()) {
            match (&*option.to_ascii_lowercase(), value.parse::<usize>()) {
                ("blksize", Ok(size)) if size >= 8 => {
                    block = size.min(LONGEST);
                    take("blksize", block.to_string());
                }
                ("tsize", Ok(_)) => take("tsize", length.to_string()),
                _ => {}
            }
        }
        self.0.retain(|session| session.client != client);
        if self.0.len() >= SESSIONS {
            self.0.remove(0);
        }
        let mut session = Session {
            client,
            file,
            length,
            block,
            number: u64::from(options.len() == 2),
            options,
            sent: now,
            tries: 0,
        };
        session.send(own, link, now);
        self.0.push(session);
    }

    /// Sends again what was not acknowledged.
    pub(super) fn step(&mut self, link: &mut Link, now: Instant) {
        let own = SocketAddrV4::new(link.user.host, PORT);
        self.0.retain(|session| session.tries < TRIES);
        for session in &mut self.0 {
            if now.saturating_duration_since(session.sent) >= AGAIN {
                session.send(own, link, now);
            }
        }
    }

    /// When there is something to do, if nothing happens before.
    pub(super) fn delay(&self, now: Instant) -> Option<Duration> {
        let sessions = self.0.iter();
        sessions
            .map(|s| (s.sent + AGAIN).saturating_duration_since(now))
            .min()
    }
}
