//! The SMBus host controller of the PIIX4 (Intel 82371AB datasheet, 290562, section 7.3; protocols: System
//! Management Bus Specification 1.0, chapter 5). The slave side answers other masters on the bus; there are
//! none, so its registers hold what is written to them and no more.

use solderless_model::{BusError, Cx, Cycle, I2c, On, PortId, State, TimerId};

const SMBHSTSTS: u64 = 0x0;
const SMBHSTCNT: u64 = 0x2;
const SMBHSTCMD: u64 = 0x3;
const SMBHSTADD: u64 = 0x4;
const SMBHSTDAT0: u64 = 0x5;
const SMBHSTDAT1: u64 = 0x6;
const SMBBLKDAT: u64 = 0x7;
const SMBSLVCNT: u64 = 0x8;
const SMBSLVEVT: u64 = 0xa;
const SMBSLVEVT_HIGH: u64 = 0xb;

/// Ports that the registers take.
pub(crate) const SIZE: u64 = 0x10;

const HOST_BUSY: u8 = 1 << 0;
const INTER: u8 = 1 << 1;
const DEV_ERR: u8 = 1 << 2;
const FAILED: u8 = 1 << 4;
/// Bits of SMBHSTSTS that are cleared by writing one; bit 3, a lost arbitration, never occurs.
const STATUS_CLEAR: u8 = 0x1e;

const INTEREN: u8 = 1 << 0;
const KILL: u8 = 1 << 1;
const START: u8 = 1 << 6;
/// Bits of SMBHSTCNT that read back.
const CONTROL_KEPT: u8 = 0x1f;

const SLAVE_CONTROL_KEPT: u8 = 0x0f;

/// Bytes that the block protocol moves at most.
const BLOCK: usize = 32;

/// Nanoseconds that a byte and its acknowledge take on a bus of 100 kHz, the fastest that SMBus allows.
const BYTE_NS: u64 = 90_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Protocol {
    Quick,
    Byte,
    ByteData,
    WordData,
    Block,
}

/// A target did not acknowledge.
struct NoAcknowledge;

/// The controller's registers and what it is doing.
#[derive(Debug, State)]
pub(crate) struct SmbusHost {
    #[state(skip = "fixed by the device")]
    port: PortId,
    #[state(skip = "fixed by the device")]
    timer: TimerId,
    status: u8,
    control: u8,
    command: u8,
    address: u8,
    data: [u8; 2],
    block: [u8; BLOCK],
    /// Which byte of `block` SMBBLKDAT shows, 0 to 31.
    index: u8,
    slave_control: u8,
    slave_event: [u8; 2],
    /// When the transaction that is under way will have ended, in guest nanoseconds.
    busy_until: Option<u64>,
}

impl SmbusHost {
    /// A controller that drives `port` and measures transactions with `timer`.
    pub(crate) fn new(port: PortId, timer: TimerId) -> Self {
        Self {
            port,
            timer,
            status: 0,
            control: 0,
            command: 0,
            address: 0,
            data: [0; 2],
            block: [0; BLOCK],
            index: 0,
            slave_control: 0,
            slave_event: [0; 2],
            busy_until: None,
        }
    }

    pub(crate) fn reset(&mut self) {
        *self = Self::new(self.port, self.timer);
    }

    /// Whether it asks for an interrupt.
    pub(crate) fn interrupt(&self) -> bool {
        self.control & INTEREN != 0 && self.status & STATUS_CLEAR != 0
    }

    /// Arms the timer again after a load.
    pub(crate) fn restored(&self, cx: &mut Cx<'_>) {
        if let Some(at) = self.busy_until {
            cx.arm(self.timer, at);
        }
    }

    pub(crate) fn read(&mut self, offset: u64) -> u8 {
        match offset {
            SMBHSTSTS => self.status | (u8::from(self.busy_until.is_some()) * HOST_BUSY),
            SMBHSTCNT => {
                self.index = 0;
                self.control
            }
            SMBHSTCMD => self.command,
            SMBHSTADD => self.address,
            SMBHSTDAT0 | SMBHSTDAT1 => self.data[usize::from(offset == SMBHSTDAT1)],
            SMBBLKDAT => *self.next_of_block(),
            SMBSLVCNT => self.slave_control,
            SMBSLVEVT | SMBSLVEVT_HIGH => self.slave_event[usize::from(offset == SMBSLVEVT_HIGH)],
            // What other masters have sent to the slave side: nothing.
            _ => 0,
        }
    }

    pub(crate) fn write(&mut self, cx: &mut Cx<'_>, offset: u64, value: u8) {
        match offset {
            SMBHSTSTS => self.status &= !(value & STATUS_CLEAR),
            SMBHSTCNT => {
                self.control = value & CONTROL_KEPT;
                if value & KILL != 0 {
                    self.kill(cx);
                } else if value & START != 0 {
                    self.start(cx);
                }
            }
            SMBHSTCMD => self.command = value,
            SMBHSTADD => self.address = value,
            SMBHSTDAT0 | SMBHSTDAT1 => self.data[usize::from(offset == SMBHSTDAT1)] = value,
            SMBBLKDAT => *self.next_of_block() = value,
            SMBSLVCNT => self.slave_control = value & SLAVE_CONTROL_KEPT,
            SMBSLVEVT | SMBSLVEVT_HIGH => {
                self.slave_event[usize::from(offset == SMBSLVEVT_HIGH)] = value;
            }
            _ => {}
        }
    }

    fn next_of_block(&mut self) -> &mut u8 {
        let at = usize::from(self.index) % BLOCK;
        self.index = (at + 1) as u8 % BLOCK as u8;
        &mut self.block[at]
    }

    fn reading(&self) -> bool {
        self.address & 1 != 0
    }

    fn protocol(&self) -> Option<Protocol> {
        match self.control >> 2 & 7 {
            0 => Some(Protocol::Quick),
            1 => Some(Protocol::Byte),
            2 => Some(Protocol::ByteData),
            3 => Some(Protocol::WordData),
            5 => Some(Protocol::Block),
            _ => None,
        }
    }

    fn start(&mut self, cx: &mut Cx<'_>) {
        if self.busy_until.is_some() {
            cx.guest_error(format_args!("SMBus started while it is busy"));
            return;
        }
        let Some(protocol) = self.protocol() else {
            let code = self.control >> 2 & 7;
            cx.guest_error(format_args!("SMBus protocol {code} is reserved"));
            return;
        };
        let data = match protocol {
            Protocol::Quick => 0,
            Protocol::Byte => 1,
            Protocol::ByteData => 2,
            Protocol::WordData => 3,
            Protocol::Block if self.reading() => 2 + BLOCK as u64,
            Protocol::Block => 2 + u64::from(self.data[0]),
        };
        // The address goes out again when the bus turns around.
        let turns = u64::from(self.reading() && data > 1);
        let end = cx.now().saturating_add((1 + turns + data) * BYTE_NS);
        self.busy_until = Some(end);
        cx.arm(self.timer, end);
    }

    fn kill(&mut self, cx: &mut Cx<'_>) {
        if self.busy_until.take().is_some() {
            cx.disarm(self.timer);
            self.status |= FAILED;
        }
    }

    /// The transaction's time is over: what it did on the bus, and how it ended.
    pub(crate) fn finish(&mut self, cx: &mut Cx<'_>) {
        if self.busy_until.take().is_none() {
            return;
        }
        let ended = self.transfer(cx);
        self.event(cx, I2c::Stop).ok();
        self.status |= match ended {
            Ok(()) => INTER,
            Err(NoAcknowledge) => DEV_ERR,
        };
    }

    fn event(&self, cx: &mut Cx<'_>, event: I2c) -> Result<u8, NoAcknowledge> {
        let address = self.address >> 1;
        cx.cycle(On::Port(self.port), Cycle::I2c { address, event })
            .map(|byte| byte as u8)
            .map_err(|BusError| NoAcknowledge)
    }

    fn transfer(&mut self, cx: &mut Cx<'_>) -> Result<(), NoAcknowledge> {
        let read = self.reading();
        let Some(protocol) = self.protocol() else {
            return Err(NoAcknowledge);
        };
        if protocol == Protocol::Quick || (protocol == Protocol::Byte && read) {
            self.event(cx, I2c::Start { read })?;
        } else {
            self.event(cx, I2c::Start { read: false })?;
            self.event(cx, I2c::Write(self.command))?;
            if read {
                self.event(cx, I2c::Start { read })?;
            }
        }
        match protocol {
            Protocol::Quick => {}
            Protocol::Byte if !read => {}
            Protocol::Byte | Protocol::ByteData => self.move_data(cx, 1)?,
            Protocol::WordData => self.move_data(cx, 2)?,
            Protocol::Block => {
                self.move_data(cx, 1)?;
                let count = usize::from(self.data[0]);
                if !(1..=BLOCK).contains(&count) {
                    cx.guest_error(format_args!("SMBus block of {count} bytes"));
                    return Err(NoAcknowledge);
                }
                for at in 0..count {
                    self.block[at] = self.move_byte(cx, self.block[at])?;
                }
            }
        }
        Ok(())
    }

    fn move_data(&mut self, cx: &mut Cx<'_>, count: usize) -> Result<(), NoAcknowledge> {
        for at in 0..count {
            self.data[at] = self.move_byte(cx, self.data[at])?;
        }
        Ok(())
    }

    /// Moves one byte in the transaction's direction and returns it.
    fn move_byte(&self, cx: &mut Cx<'_>, byte: u8) -> Result<u8, NoAcknowledge> {
        if self.reading() {
            self.event(cx, I2c::Read)
        } else {
            self.event(cx, I2c::Write(byte)).map(|_| byte)
        }
    }
}
