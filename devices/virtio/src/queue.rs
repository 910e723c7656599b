//! Virtqueues, split (Virtio 1.2, section 2.7) and packed (2.8): what the driver offers comes out of one as a [`Chain`] and goes
//! back into it.
//!
//! A ring is the driver's memory and may say anything. What a device cannot make sense of is a [`Lie`]; no ring makes it read more
//! than a queue's size of descriptors and [`MOST_SEGMENTS`] more for one chain.

use solderless_model::{BusError, Cx, State};

/// The ring is packed (6, feature bit 34).
pub const RING_PACKED: u64 = 1 << 34;
/// Both sides say from where on they want to hear of something.
pub const RING_EVENT_IDX: u64 = 1 << 29;
/// Descriptors can stand in a table of their own.
pub const RING_INDIRECT_DESC: u64 = 1 << 28;

/// Descriptors in an indirect table at most, as QEMU has it.
pub const MOST_SEGMENTS: usize = 1024;
/// The most that a queue has; a packed one counts to 32767.
pub const LARGEST: u16 = 1024;

// Descriptor flags.
const NEXT: u16 = 1 << 0;
const WRITE: u16 = 1 << 1;
const INDIRECT: u16 = 1 << 2;
const AVAIL: u16 = 1 << 7;
const USED: u16 = 1 << 15;
/// Bytes of a descriptor.
const DESC: u64 = 16;

// Flags of event suppression in a packed ring.
const EVENT_DISABLE: u16 = 1;
const EVENT_DESC: u16 = 2;
/// Flag of a split ring's driver: no interrupts.
const NO_INTERRUPT: u16 = 1;

/// The driver's ring is no ring: what is wrong with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lie(pub &'static str);

impl From<BusError> for Lie {
    fn from(_: BusError) -> Self {
        Self("it reaches beyond memory")
    }
}

/// A piece of the driver's memory.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, State)]
pub struct Segment {
    at: u64,
    len: u32,
}

/// A buffer that the driver has made available: what the device reads of it, and behind that what it writes.
#[derive(Debug, Clone, Default, PartialEq, Eq, State)]
pub struct Chain {
    /// By which the driver knows it.
    id: u16,
    /// Places that it takes in a packed ring.
    places: u16,
    /// What the device reads.
    pub readable: Vec<Segment>,
    /// What the device writes.
    pub writable: Vec<Segment>,
}

/// Bytes in pieces of memory.
pub fn length(segments: &[Segment]) -> u64 {
    segments.iter().map(|s| u64::from(s.len)).sum()
}

/// Calls with each piece of memory that holds `len` bytes from `at` on, and where in these it is.
fn pieces(
    segments: &[Segment],
    mut at: u64,
    len: usize,
    mut each: impl FnMut(u64, std::ops::Range<usize>) -> Result<(), BusError>,
) -> Result<(), Lie> {
    let mut done = 0;
    for segment in segments {
        let size = u64::from(segment.len);
        if done == len {
            break;
        }
        if at >= size {
            at -= size;
            continue;
        }
        let end = len.min(done + (size - at) as usize);
        each(segment.at.checked_add(at).ok_or(BusError)?, done..end)?;
        (done, at) = (end, 0);
    }
    match done == len {
        true => Ok(()),
        false => Err(Lie("it is shorter than what it is for")),
    }
}

/// Copies out of the driver's memory, from `at` bytes on.
///
/// # Errors
/// It is not as long, or no memory.
pub fn gather(cx: &mut Cx<'_>, segments: &[Segment], at: u64, out: &mut [u8]) -> Result<(), Lie> {
    pieces(segments, at, out.len(), |at, range| {
        cx.dma_read(at, &mut out[range])
    })
}

/// Copies into the driver's memory, from `at` bytes on.
///
/// # Errors
/// It is not as long, or no memory.
pub fn scatter(cx: &mut Cx<'_>, segments: &[Segment], at: u64, data: &[u8]) -> Result<(), Lie> {
    pieces(segments, at, data.len(), |at, range| {
        cx.dma_write(at, &data[range])
    })
}

struct Descriptor {
    at: u64,
    len: u32,
    /// In a split ring the flags; in a packed one the buffer's id.
    third: u16,
    /// In a split ring the next descriptor; in a packed one the flags.
    fourth: u16,
}

impl Descriptor {
    fn read(cx: &mut Cx<'_>, table: u64, index: u64) -> Result<Self, Lie> {
        let mut bytes = [0; DESC as usize];
        cx.dma_read(place(table, DESC * index)?, &mut bytes)?;
        let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p] = bytes;
        Ok(Self {
            at: u64::from_le_bytes([a, b, c, d, e, f, g, h]),
            len: u32::from_le_bytes([i, j, k, l]),
            third: u16::from_le_bytes([m, n]),
            fourth: u16::from_le_bytes([o, p]),
        })
    }
}

fn place(base: u64, offset: u64) -> Result<u64, Lie> {
    Ok(base.checked_add(offset).ok_or(BusError)?)
}

fn read16(cx: &mut Cx<'_>, base: u64, offset: u64) -> Result<u16, Lie> {
    let mut bytes = [0; 2];
    cx.dma_read(place(base, offset)?, &mut bytes)?;
    Ok(u16::from_le_bytes(bytes))
}

fn write16(cx: &mut Cx<'_>, base: u64, offset: u64, value: u16) -> Result<(), Lie> {
    cx.dma_write(place(base, offset)?, &value.to_le_bytes())?;
    Ok(())
}

/// Whether somebody who wants to hear of `event` is to hear, now that an index has gone from `old` to `new` (2.7.10).
fn passed(event: u16, new: u16, old: u16) -> bool {
    new.wrapping_sub(event).wrapping_sub(1) < new.wrapping_sub(old)
}

/// A queue, as the device sees it.
#[derive(Debug, Clone, Default, State)]
pub struct Queue {
    #[state(skip = "fixed by the device's properties")]
    most: u16,
    /// How many places it has.
    pub size: u16,
    /// It can be used.
    pub ready: bool,
    /// Where its descriptors are.
    pub desc: u64,
    /// Where the driver's area is.
    pub driver: u64,
    /// Where the device's area is.
    pub device: u64,
    /// The next that is taken: it counts on in a split ring, in a packed one it is a place.
    next: u16,
    /// The next that is given back.
    used: u16,
    /// The laps of a packed ring: whether the next is one of an odd lap, and the same of what is given back.
    next_wrap: bool,
    used_wrap: bool,
    /// What `used` was when the driver last heard of it.
    told: Option<u16>,
    /// Something was given back, and whether the driver wants to hear of it was not looked at.
    given: bool,
    /// Chains that are taken and not given back.
    out: u16,
}

impl Queue {
    /// One of at most so many places.
    pub fn new(most: u16) -> Self {
        let mut queue = Self {
            most,
            ..Self::default()
        };
        queue.reset();
        queue
    }

    /// As it is after a reset.
    pub fn reset(&mut self) {
        *self = Self {
            most: self.most,
            size: self.most,
            next_wrap: true,
            used_wrap: true,
            ..Self::default()
        };
    }

    /// How many places it can have.
    pub fn most(&self) -> u16 {
        self.most
    }

    /// Whether what was loaded can be.
    pub fn is_sane(&self, features: u64) -> bool {
        let places = features & RING_PACKED == 0 || self.next.max(self.used) < self.size.max(1);
        places && self.out <= self.most && (!self.ready || self.suits(features))
    }

    /// For a queue that was loaded: the most places that it can have.
    pub fn set_most(&mut self, most: u16) {
        self.most = most;
    }

    /// Whether it can be made ready: a split ring has a power of two of places.
    pub fn suits(&self, features: u64) -> bool {
        let fits = (1..=self.most).contains(&self.size);
        fits && (features & RING_PACKED != 0 || self.size.is_power_of_two())
    }

    /// Takes the next chain, if there is one. If not, the driver says when there is.
    ///
    /// # Errors
    /// The ring, or the chain, cannot be.
    pub fn take(&mut self, cx: &mut Cx<'_>, features: u64) -> Result<Option<Chain>, Lie> {
        let taken = match features & RING_PACKED != 0 {
            true => self.take_packed(cx, features)?,
            false => self.take_split(cx, features)?,
        };
        match &taken {
            Some(_) if self.out >= self.size => {
                return Err(Lie("there is more in it than it has places"));
            }
            Some(_) => self.out += 1,
            None => self.await_more(cx, features)?,
        }
        Ok(taken)
    }

    fn take_split(&mut self, cx: &mut Cx<'_>, features: u64) -> Result<Option<Chain>, Lie> {
        let there = read16(cx, self.driver, 2)?.wrapping_sub(self.next);
        if there == 0 {
            return Ok(None);
        }
        if there > self.size {
            return Err(Lie("there is more in it than it has places"));
        }
        let slot = self.next & (self.size - 1);
        let id = read16(cx, self.driver, 4 + 2 * u64::from(slot))?;
        self.next = self.next.wrapping_add(1);
        let mut chain = Chain {
            id,
            places: 1,
            ..Chain::default()
        };
        let (mut table, mut size, mut index) = (self.desc, u64::from(self.size), u64::from(id));
        let mut left = size;
        let mut indirect = false;
        loop {
            if index >= size {
                return Err(Lie("a descriptor is not in its table"));
            }
            if left == 0 {
                return Err(Lie("its descriptors go round in a circle"));
            }
            left -= 1;
            let one = Descriptor::read(cx, table, index)?;
            let flags = one.third;
            if flags & INDIRECT != 0 {
                if indirect || flags & NEXT != 0 {
                    return Err(Lie("a table of descriptors is not the end of it"));
                }
                (table, size, index) = (one.at, table_size(one.len, features)?, 0);
                left = size;
                indirect = true;
                continue;
            }
            chain.add(one.at, one.len, flags & WRITE != 0)?;
            if flags & NEXT == 0 {
                return chain.checked();
            }
            index = one.fourth.into();
        }
    }

    fn take_packed(&mut self, cx: &mut Cx<'_>, features: u64) -> Result<Option<Chain>, Lie> {
        let mut chain = Chain::default();
        let (mut index, mut wrap) = (self.next, self.next_wrap);
        loop {
            let one = Descriptor::read(cx, self.desc, index.into())?;
            let flags = one.fourth;
            if chain.places == 0 {
                let (avail, used) = (flags & AVAIL != 0, flags & USED != 0);
                if avail != wrap || used == wrap {
                    return Ok(None);
                }
            }
            if chain.places == self.size {
                return Err(Lie("its descriptors go round in a circle"));
            }
            chain.places += 1;
            index = index.wrapping_add(1);
            if index >= self.size {
                (index, wrap) = (0, !wrap);
            }
            if flags & INDIRECT != 0 {
                if chain.places > 1 || flags & NEXT != 0 {
                    return Err(Lie("a table of descriptors is not all of it"));
                }
                for n in 0..table_size(one.len, features)? {
                    let inner = Descriptor::read(cx, one.at, n)?;
                    if inner.fourth & INDIRECT != 0 {
                        return Err(Lie("a table of descriptors is in another"));
                    }
                    chain.add(inner.at, inner.len, inner.fourth & WRITE != 0)?;
                }
            } else {
                chain.add(one.at, one.len, flags & WRITE != 0)?;
            }
            if flags & NEXT == 0 {
                chain.id = one.third;
                (self.next, self.next_wrap) = (index, wrap);
                return chain.checked();
            }
        }
    }

    /// Has the driver say when it offers more.
    fn await_more(&mut self, cx: &mut Cx<'_>, features: u64) -> Result<(), Lie> {
        if features & RING_EVENT_IDX == 0 {
            return Ok(());
        }
        if features & RING_PACKED == 0 {
            let at = 4 + 8 * u64::from(self.size);
            return write16(cx, self.device, at, self.next);
        }
        let from = self.next | u16::from(self.next_wrap) << 15;
        write16(cx, self.device, 0, from)?;
        write16(cx, self.device, 2, EVENT_DESC)
    }

    /// Gives a chain back, of which so many bytes were written.
    ///
    /// # Errors
    /// The ring is no memory.
    pub fn give(
        &mut self,
        cx: &mut Cx<'_>,
        features: u64,
        chain: &Chain,
        written: u32,
    ) -> Result<(), Lie> {
        self.out = self.out.saturating_sub(1);
        self.given = true;
        if features & RING_PACKED == 0 {
            let slot = self.used & (self.size - 1);
            let mut element = [0; 8];
            element[..4].copy_from_slice(&u32::from(chain.id).to_le_bytes());
            element[4..].copy_from_slice(&written.to_le_bytes());
            cx.dma_write(place(self.device, 4 + 8 * u64::from(slot))?, &element)?;
            self.used = self.used.wrapping_add(1);
            return write16(cx, self.device, 2, self.used);
        }
        let at = DESC * u64::from(self.used);
        let mut element = [0; 6];
        element[..4].copy_from_slice(&written.to_le_bytes());
        element[4..].copy_from_slice(&chain.id.to_le_bytes());
        cx.dma_write(place(self.desc, at + 8)?, &element)?;
        let flags = if self.used_wrap { AVAIL | USED } else { 0 };
        write16(cx, self.desc, at + 14, flags)?;
        self.used = self.used.wrapping_add(chain.places);
        if self.used >= self.size {
            self.used -= self.size;
            self.used_wrap = !self.used_wrap;
            self.told = None;
        }
        Ok(())
    }

    /// Whether the driver is to be interrupted for what was given back since this was asked last.
    ///
    /// # Errors
    /// The ring is no memory.
    pub fn interrupts(&mut self, cx: &mut Cx<'_>, features: u64) -> Result<bool, Lie> {
        if !std::mem::take(&mut self.given) {
            return Ok(false);
        }
        let old = self.told.replace(self.used);
        let since = |event: u16| old.is_none_or(|old| passed(event, self.used, old));
        if features & RING_PACKED != 0 {
            let from = read16(cx, self.driver, 0)?;
            return Ok(match read16(cx, self.driver, 2)? {
                EVENT_DISABLE => false,
                EVENT_DESC if features & RING_EVENT_IDX != 0 => {
                    let lap = if (from >> 15 != 0) == self.used_wrap {
                        0
                    } else {
                        self.size
                    };
                    since((from & 0x7fff).wrapping_sub(lap))
                }
                _ => true,
            });
        }
        if features & RING_EVENT_IDX != 0 {
            let event = read16(cx, self.driver, 4 + 2 * u64::from(self.size))?;
            return Ok(since(event));
        }
        Ok(read16(cx, self.driver, 0)? & NO_INTERRUPT == 0)
    }
}

/// How many descriptors a table of so many bytes has.
fn table_size(len: u32, features: u64) -> Result<u64, Lie> {
    let size = u64::from(len) / DESC;
    let fits = len != 0 && u64::from(len) % DESC == 0 && size <= MOST_SEGMENTS as u64;
    match fits && features & RING_INDIRECT_DESC != 0 {
        true => Ok(size),
        false => Err(Lie("a table of descriptors has no such length")),
    }
}

impl Chain {
    fn add(&mut self, at: u64, len: u32, writable: bool) -> Result<(), Lie> {
        let part = match writable {
            true => &mut self.writable,
            false if self.writable.is_empty() => &mut self.readable,
            false => return Err(Lie("something to read is behind something to write")),
        };
        part.push(Segment { at, len });
        Ok(())
    }

    /// A chain says its length in 32 bits.
    fn checked(self) -> Result<Option<Self>, Lie> {
        match length(&self.readable) + length(&self.writable) <= u64::from(u32::MAX) {
            true => Ok(Some(self)),
            false => Err(Lie("it is longer than a chain can be")),
        }
    }

    /// Whether what was loaded can be.
    pub fn is_sane(&self) -> bool {
        self.readable.len() + self.writable.len() <= MOST_SEGMENTS + usize::from(LARGEST)
            && (1..=LARGEST).contains(&self.places)
            && length(&self.readable) + length(&self.writable) <= u64::from(u32::MAX)
    }
}
