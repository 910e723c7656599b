//! The least of gdb's remote protocol that drives QEMU: memory, registers, go on, step.

use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use solderless_testing::Endian;
use solderless_testing::frame::STATUS;

/// A connection to a stopped QEMU.
#[derive(Debug)]
pub struct Gdb {
    stream: UnixStream,
    endian: Endian,
    /// Bytes received and not yet used.
    rest: Vec<u8>,
}

impl Gdb {
    /// Connects to the socket of `-gdb unix:PATH,server=on`, once it is there.
    pub fn connect(path: &Path, endian: Endian) -> Self {
        let stream = (0..6000).find_map(|_| {
            std::thread::sleep(Duration::from_millis(10));
            UnixStream::connect(path).ok()
        });
        let stream = stream.expect("QEMU listens");
        stream
            .set_read_timeout(Some(Duration::from_secs(30)))
            .expect("a socket");
        let mut gdb = Self {
            stream,
            endian,
            rest: Vec::new(),
        };
        // Steps take interrupts like any other instruction.
        assert_eq!(gdb.ask("Qqemu.sstep=0x1"), "OK");
        gdb
    }

    /// Sends a packet and returns the answer.
    fn ask(&mut self, text: &str) -> String {
        self.send(text);
        self.answer().expect("QEMU answers in time")
    }

    fn send(&mut self, text: &str) {
        let sum = text.bytes().fold(0u8, u8::wrapping_add);
        let packet = format!("${text}#{sum:02x}");
        self.stream.write_all(packet.as_bytes()).expect("QEMU runs");
    }

    /// The next packet, or `None` if it does not come in time.
    fn answer(&mut self) -> Option<String> {
        let mut buffer = [0; 4096];
        loop {
            let end = self
                .rest
                .iter()
                .position(|b| *b == b'#')
                .filter(|end| self.rest.len() >= end + 3);
            if let Some(end) = end {
                let packet: Vec<u8> = self.rest.drain(..end + 3).collect();
                self.stream.write_all(b"+").expect("QEMU runs");
                let start = packet
                    .iter()
                    .position(|b| *b == b'$')
                    .expect("packets start with $");
                return Some(String::from_utf8_lossy(&packet[start + 1..end]).into_owned());
            }
            match self.stream.read(&mut buffer) {
                Ok(0) => panic!("QEMU has ended"),
                Ok(len) => self.rest.extend(&buffer[..len]),
                Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                    return None;
                }
                Err(e) => panic!("QEMU: {e}"),
            }
        }
    }

    /// Writes memory by virtual address.
    pub fn write(&mut self, address: impl Into<u64>, bytes: &[u8]) {
        for (at, part) in (address.into()..).step_by(1024).zip(bytes.chunks(1024)) {
            let hex: String = part.iter().map(|b| format!("{b:02x}")).collect();
            assert_eq!(self.ask(&format!("M{at:x},{:x}:{hex}", part.len())), "OK");
        }
    }

    /// Reads memory by virtual address.
    pub fn read(&mut self, address: impl Into<u64>, len: usize) -> Vec<u8> {
        let address = address.into();
        let mut bytes = Vec::with_capacity(len);
        while bytes.len() < len {
            let part = (len - bytes.len()).min(1024);
            let at = address + bytes.len() as u64;
            bytes.extend(unhex(&self.ask(&format!("m{at:x},{part:x}"))));
        }
        bytes
    }

    /// All registers by gdb's numbers, 32 bits each.
    pub fn registers(&mut self) -> Vec<u32> {
        let answer = self.ask("g");
        let endian = self.endian;
        unhex(&answer)
            .chunks_exact(4)
            .map(|c| endian.word([c[0], c[1], c[2], c[3]]))
            .collect()
    }

    /// Goes on at another address, in kernel mode, in which QEMU also accesses memory for the debugger. It sets the
    /// registers of a MIPS CPU all together or not at all.
    pub fn set_pc(&mut self, pc: u32) {
        let mut registers = self.ask("g");
        for (number, value) in [(32, STATUS), (37, pc)] {
            let hex: String = self
                .endian
                .bytes(value)
                .iter()
                .map(|b| format!("{b:02x}"))
                .collect();
            registers.replace_range(8 * number..8 * (number + 1), &hex);
        }
        assert_eq!(self.ask(&format!("G{registers}")), "OK");
    }

    /// All registers by gdb's numbers, of a CPU of 64 bits.
    pub fn wide_registers(&mut self) -> Vec<u64> {
        let answer = unhex(&self.ask("g"));
        let number = match self.endian {
            Endian::Little => u64::from_le_bytes,
            Endian::Big => u64::from_be_bytes,
        };
        let values = answer.as_chunks().0.iter();
        values.map(|bytes| number(*bytes)).collect()
    }

    /// Sets registers of such a CPU, by their numbers.
    pub fn set_wide_registers(&mut self, values: &[(usize, u64)]) {
        let mut registers = self.ask("g");
        for (number, value) in values {
            let bytes = match self.endian {
                Endian::Little => value.to_le_bytes(),
                Endian::Big => value.to_be_bytes(),
            };
            let hex: String = bytes.iter().map(|b| format!("{b:02x}")).collect();
            registers.replace_range(16 * number..16 * (number + 1), &hex);
        }
        assert_eq!(self.ask(&format!("G{registers}")), "OK");
    }

    /// Stops where the CPU gets to this address.
    pub fn set_breakpoint(&mut self, address: impl Into<u64>) {
        let address = address.into();
        assert_eq!(self.ask(&format!("Z0,{address:x},4")), "OK");
    }

    /// Forgets a breakpoint.
    pub fn clear_breakpoint(&mut self, address: impl Into<u64>) {
        let address = address.into();
        assert_eq!(self.ask(&format!("z0,{address:x},4")), "OK");
    }

    /// Runs to a breakpoint. A program that does not get there is stopped, and its address returned.
    pub fn go(&mut self) -> Result<(), u32> {
        self.send("c");
        let stop = self.answer().unwrap_or_else(|| {
            self.stream.write_all(b"\x03").expect("QEMU runs");
            self.answer().expect("QEMU can be stopped")
        });
        if stop.starts_with("T05") {
            Ok(())
        } else {
            Err(self.registers()[37])
        }
    }

    /// Executes one instruction.
    pub fn step(&mut self) {
        let stop = self.ask("s");
        assert!(stop.starts_with("T05"), "{stop}");
    }
}

fn unhex(text: &str) -> Vec<u8> {
    let digit = |b: u8| (b as char).to_digit(16).expect("hexadecimal digits") as u8;
    text.as_bytes()
        .chunks_exact(2)
        .map(|pair| digit(pair[0]) << 4 | digit(pair[1]))
        .collect()
}
