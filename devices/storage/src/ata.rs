//! What the devices on an IDE cable have in common: registers, and data on its way through them (ATA/ATAPI-6, T13 1410D,
//! chapters 6, 7 and 9).

use solderless_model::{Cx, Ide, IdeSignals, State, StateError, Transfer};

// Status, and the bits of Device and Device Control.
pub const BSY: u8 = 1 << 7;
pub const DRDY: u8 = 1 << 6;
/// Seek complete in older standards; of a packet device, service.
pub const DSC: u8 = 1 << 4;
pub const DRQ: u8 = 1 << 3;
/// Of a packet device: CHK.
pub const ERR: u8 = 1 << 0;
const DEV: u8 = 1 << 4;
const HOB: u8 = 1 << 7;
const SRST: u8 = 1 << 2;
const NIEN: u8 = 1 << 1;

/// Error: the command is not there, or cannot be done.
pub const ABRT: u8 = 1 << 2;

/// Registers by their places in the command block, and behind it that of the control block.
const DATA: u8 = 0;
const FEATURES: u8 = 1;
const SECTOR_COUNT: u8 = 2;
const LBA_LOW: u8 = 3;
const LBA_HIGH: u8 = 5;
const DEVICE: u8 = 6;
const COMMAND: u8 = 7;
const CONTROL: u8 = 8;

/// The data of a command on its way, and by which protocol.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, State)]
pub enum Flow {
    /// None.
    #[default]
    None,
    /// To the host, through the Data register.
    In,
    /// From it.
    Out,
    /// To the host, by DMA.
    DmaIn,
    /// From it.
    DmaOut,
}

/// What the host has done, for the device to go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Done {
    /// It has written a command.
    Command(u8),
    /// It resets both devices.
    Reset,
    /// The data that the device offered or asked for has been moved.
    Data,
}

/// A register that holds what was written and what was written before it (ATA/ATAPI-6, 6.20).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, State)]
pub struct Twice {
    pub current: u8,
    pub previous: u8,
}

impl Twice {
    fn push(&mut self, value: u8) {
        (self.previous, self.current) = (self.current, value);
    }

    pub fn set(&mut self, value: u8) {
        (self.previous, self.current) = (0, value);
    }

    pub fn word(self) -> u16 {
        u16::from_be_bytes([self.previous, self.current])
    }
}

/// The registers of a device, and the data on its way.
#[derive(Debug, Default, State)]
pub struct TaskFile {
    pub features: Twice,
    pub count: Twice,
    /// LBA Low, Mid and High.
    pub lba: [Twice; 3],
    pub device: u8,
    pub error: u8,
    pub status: u8,
    control: u8,
    /// It has something to interrupt for.
    pending: bool,
    pub flow: Flow,
    /// Data to the host, or room for what comes from it.
    pub buffer: Vec<u8>,
    /// How much of it has been moved.
    at: u32,
    /// How much of it is moved before the device has its turn.
    end: u32,
    #[state(skip = "what its cable was told of the state above")]
    told: (bool, bool),
}

impl TaskFile {
    /// The registers after a reset, with the signature of a kind of device (9.12).
    pub fn reset(&mut self, mid: u8, high: u8, status: u8) {
        *self = Self {
            control: self.control & (SRST | NIEN),
            error: 1,
            status,
            told: self.told,
            ..Self::default()
        };
        self.count.set(1);
        self.lba[0].set(1);
        self.lba[1].set(mid);
        self.lba[2].set(high);
    }

    /// Forgets what reset does not reach: for the reset of the whole machine.
    pub fn power_on(&mut self) {
        *self = Self::default();
    }

    /// Refuses a state that the device cannot be in.
    pub fn restored(&self) -> Result<(), StateError> {
        match self.at <= self.end && self.end as usize <= self.buffer.len() {
            true => Ok(()),
            false => Err(StateError::new("more data on its way than there is")),
        }
    }

    fn status(&self) -> u8 {
        match self.control & SRST != 0 {
            true => BSY,
            false => self.status,
        }
    }

    /// Answers a transfer of device 0 or 1 on the cable, and says what the host has done with it.
    pub fn transfer(&mut self, number: u8, transfer: Ide) -> (Option<u64>, Option<Done>) {
        let selected = u8::from(self.device & DEV != 0) == number;
        match transfer {
            Ide::Signals => {
                let signals = self.signals(selected);
                (Some(signals.into()), None)
            }
            Ide::Read(_) if !selected => (None, None),
            Ide::Read(DATA) => {
                let (word, done) = self.read_data();
                (Some(word.into()), done)
            }
            Ide::Read(register) => {
                let value = self.read(register);
                (Some(value.into()), None)
            }
            Ide::Write(register, value) => (Some(0), self.write(register, value, selected)),
        }
    }

    fn read(&mut self, register: u8) -> u8 {
        let old = self.control & HOB != 0;
        let twice = |register: Twice| match old {
            true => register.previous,
            false => register.current,
        };
        match register {
            FEATURES => self.error,
            SECTOR_COUNT => twice(self.count),
            LBA_LOW..=LBA_HIGH => twice(self.lba[usize::from(register - LBA_LOW)]),
            DEVICE => self.device,
            COMMAND => {
                self.pending = false;
                self.status()
            }
            _ => self.status(),
        }
    }

    fn write(&mut self, register: u8, value: u16, selected: bool) -> Option<Done> {
        let byte = value as u8;
        if register == CONTROL {
            let before = std::mem::replace(&mut self.control, byte);
            return (byte & !before & SRST != 0).then_some(Done::Reset);
        }
        self.control &= !HOB;
        if register == DATA {
            return if selected {
                self.write_data(value)
            } else {
                None
            };
        }
        const DEVICE_RESET: u8 = 0x08;
        let reset = register == COMMAND && byte == DEVICE_RESET;
        // A device that is busy or waits for its data does not look.
        if self.status() & BSY != 0 && !reset
            || self.status & DRQ != 0 && register != COMMAND && register != DEVICE
        {
            return None;
        }
        match register {
            FEATURES => self.features.push(byte),
            SECTOR_COUNT => self.count.push(byte),
            LBA_LOW..=LBA_HIGH => self.lba[usize::from(register - LBA_LOW)].push(byte),
            DEVICE => self.device = byte,
            COMMAND if selected => {
                self.pending = false;
                return Some(Done::Command(byte));
            }
            _ => {}
        }
        None
    }

    fn read_data(&mut self) -> (u16, Option<Done>) {
        if self.flow != Flow::In || self.status & DRQ == 0 {
            return (0, None);
        }
        let at = self.at as usize;
        let word = match self.buffer.get(at..at + 2) {
            Some(&[low, high]) => u16::from_le_bytes([low, high]),
            _ => self.buffer.get(at).copied().unwrap_or(0).into(),
        };
        self.at = (self.at + 2).min(self.end);
        (word, self.moved())
    }

    fn write_data(&mut self, word: u16) -> Option<Done> {
        if self.flow != Flow::Out || self.status & DRQ == 0 {
            return None;
        }
        let room = self.at as usize..self.end as usize;
        for (to, from) in self.buffer[room].iter_mut().zip(word.to_le_bytes()) {
            *to = from;
        }
        self.at = (self.at + 2).min(self.end);
        self.moved()
    }

    fn moved(&self) -> Option<Done> {
        (self.at == self.end).then_some(Done::Data)
    }

    /// Moves data by DMA: how many bytes, and whether that was all.
    pub fn dma(&mut self, bytes: Transfer<'_>) -> (usize, Option<Done>) {
        let room = self.at as usize..self.end as usize;
        let moved = match (bytes, self.flow) {
            (Transfer::Read(out), Flow::DmaIn) => {
                let len = out.len().min(room.len());
                out[..len].copy_from_slice(&self.buffer[room.start..room.start + len]);
                len
            }
            (Transfer::Write(data), Flow::DmaOut) => {
                let len = data.len().min(room.len());
                self.buffer[room.start..room.start + len].copy_from_slice(&data[..len]);
                len
            }
            _ => return (0, None),
        };
        self.at += moved as u32;
        (moved, self.moved().filter(|_| moved > 0))
    }

    /// Begins to move the buffer: all by DMA, else as much of it as the host moves before the device has its turn.
    pub fn offer(&mut self, flow: Flow, buffer: Vec<u8>, block: usize) {
        (self.buffer, self.flow, self.at, self.end) = (buffer, flow, 0, 0);
        self.next_block(block);
    }

    /// Goes on with the next piece of it; false if there is none.
    pub fn next_block(&mut self, block: usize) -> bool {
        let left = self.buffer.len() - self.at as usize;
        self.end = self.at + left.min(block) as u32;
        self.status = DRDY | DSC | DRQ;
        left > 0
    }

    /// How long the piece is that is moved now.
    pub fn block(&self) -> u32 {
        self.end - self.at
    }

    /// The device works.
    pub fn busy(&mut self) {
        self.flow = Flow::None;
        self.status = BSY;
    }

    /// No data is on its way any more, and the device is ready.
    pub fn idle(&mut self) {
        self.flow = Flow::None;
        (self.buffer, self.at, self.end) = (Vec::new(), 0, 0);
        self.status = DRDY | DSC;
    }

    /// A command is done, and the host hears of it.
    pub fn finish(&mut self) {
        self.idle();
        self.interrupt();
    }

    /// A command has failed for this reason, and the host hears of it.
    pub fn fail(&mut self, error: u8) {
        self.finish();
        self.error = error;
        self.status |= ERR;
    }

    /// There is something to interrupt for.
    pub fn interrupt(&mut self) {
        self.pending = true;
    }

    fn signals(&self, selected: bool) -> IdeSignals {
        IdeSignals {
            intrq: selected && self.pending && self.control & NIEN == 0,
            dmarq: selected
                && matches!(self.flow, Flow::DmaIn | Flow::DmaOut)
                && self.at < self.end,
        }
    }

    /// Tells the cable if a line may have changed.
    pub fn show(&mut self, cx: &mut Cx<'_>, number: u8) {
        let selected = u8::from(self.device & DEV != 0) == number;
        let now = self.signals(selected);
        let now = (now.intrq, now.dmarq);
        if std::mem::replace(&mut self.told, now) != now {
            cx.call_owner();
        }
    }
}

/// Puts a text into the words of what a device says of itself, padded with blanks, the first character of two in the high byte.
pub fn put_text(words: &mut [u16], text: &str) {
    let mut bytes = text.bytes().chain(std::iter::repeat(b' '));
    for word in words {
        let mut next = || bytes.next().unwrap_or(b' ');
        *word = u16::from_be_bytes([next(), next()]);
    }
}

/// The words as the host reads them.
pub fn bytes_of(words: &[u16; 256]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_le_bytes()).collect()
}

/// A transfer mode as SET FEATURES sets it (8.46.2): that of multiword and of Ultra DMA, as IDENTIFY has them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, State)]
pub struct Modes {
    multiword: u8,
    ultra: u8,
}

impl Default for Modes {
    fn default() -> Self {
        Self {
            multiword: 1 << 2,
            ultra: 0,
        }
    }
}

impl Modes {
    /// Modes 0 to 2, and 0 to 5.
    const MULTIWORD: u16 = 0x07;
    const ULTRA: u16 = 0x3f;

    /// Sets the mode; false if there is no such.
    pub fn set(&mut self, mode: u8) -> bool {
        let number = u32::from(mode & 7);
        match mode >> 3 {
            // The mode of PIO is not shown.
            0 | 1 => (),
            4 if number <= 2 => (self.multiword, self.ultra) = (1 << number, 0),
            8 if number <= 5 => (self.multiword, self.ultra) = (0, 1 << number),
            _ => return false,
        }
        true
    }

    /// Words 63 and 88.
    pub fn put(self, words: &mut [u16; 256]) {
        words[63] = u16::from(self.multiword) << 8 | Self::MULTIWORD;
        words[88] = u16::from(self.ultra) << 8 | Self::ULTRA;
    }
}
