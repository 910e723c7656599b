//! The remote protocol of gdb, as whoever debugs a machine speaks it.

use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;

/// A connection to a gdb server.
#[derive(Debug)]
pub struct Remote {
    /// The connection, for what is no packet.
    pub stream: UnixStream,
    rest: Vec<u8>,
    /// Packets are acknowledged.
    acks: bool,
}

impl Remote {
    /// Agrees that packets are not acknowledged, if the server knows that.
    ///
    /// # Panics
    /// Nobody answers.
    pub fn new(stream: UnixStream) -> Self {
        let mut remote = Self {
            stream,
            rest: Vec::new(),
            acks: true,
        };
        remote.acks = remote.ask("QStartNoAckMode") != "OK";
        remote
    }

    /// Sends a packet.
    ///
    /// # Panics
    /// Nobody is there.
    pub fn send(&mut self, text: &str) {
        let sum = text.bytes().fold(0u8, u8::wrapping_add);
        let packet = format!("${text}#{sum:02x}");
        self.stream.write_all(packet.as_bytes()).expect("it runs");
    }

    /// The next packet.
    ///
    /// # Panics
    /// None comes.
    pub fn answer(&mut self) -> String {
        self.answer_in_time().expect("an answer in time")
    }

    /// The next packet, if it comes in the time that reading from the connection has.
    ///
    /// # Panics
    /// Nobody is there.
    pub fn answer_in_time(&mut self) -> Option<String> {
        let mut buffer = [0; 4096];
        loop {
            let end = self.rest.iter().position(|byte| *byte == b'#');
            if let Some(end) = end.filter(|end| self.rest.len() >= end + 3) {
                let packet: Vec<u8> = self.rest.drain(..end + 3).collect();
                let start = packet.iter().position(|byte| *byte == b'$');
                if self.acks {
                    self.stream.write_all(b"+").expect("it runs");
                }
                return Some(expanded(&packet[start.expect("a packet") + 1..end]));
            }
            match self.stream.read(&mut buffer) {
                Ok(0) => panic!("it has hung up"),
                Ok(length) => self.rest.extend(&buffer[..length]),
                Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                    return None;
                }
                Err(e) => panic!("no answer: {e}"),
            }
        }
    }

    /// Sends a packet, and waits for the next one.
    ///
    /// # Panics
    /// None comes.
    pub fn ask(&mut self, text: &str) -> String {
        self.send(text);
        self.answer()
    }
}

/// A packet with what was left out by run-length encoding.
fn expanded(packet: &[u8]) -> String {
    let mut out: Vec<u8> = Vec::new();
    let mut bytes = packet.iter();
    while let Some(byte) = bytes.next() {
        match (byte, out.last().copied()) {
            (b'*', Some(last)) => {
                let count = bytes.next().expect("a count") - 29;
                out.extend(std::iter::repeat_n(last, count.into()));
            }
            _ => out.push(*byte),
        }
    }
    String::from_utf8(out).expect("text")
}
