//! The GT-64120's four DMA channels (GT-64120 datasheet, DMA controller and its registers).
//!
//! A channel moves one record at a time, at the end of the time that the record takes, between any addresses
//! that are memory. Demand mode waits for a DMAReq* pin; the controller is modelled with none connected.

use solderless_model::{Cx, TimerId};

use super::{CAUSE_DMA_COMP, CAUSE_DMA_OUT, Gt64120};

/// Timers 4 to 7 end the records of channels 0 to 3.
pub(super) const FIRST_TIMER: u8 = 4;

const COUNT: usize = 0x800;
const SOURCE: usize = 0x810;
const DESTINATION: usize = 0x820;
const NEXT_RECORD: usize = 0x830;
pub(super) const CONTROL: usize = 0x840;
const CURRENT_RECORD: usize = 0x870;

const NON_CHAINED: u32 = 1 << 9;
const INTERRUPT_AT_END: u32 = 1 << 10;
const BLOCK: u32 = 1 << 11;
const ENABLE: u32 = 1 << 12;
const FETCH: u32 = 1 << 13;
const ACTIVE: u32 = 1 << 14;
const ABORT: u32 = 1 << 20;

/// TClk cycles that one read and one write on the internal bus take.
const CLOCKS_PER_BURST: u64 = 10;

/// Nanoseconds that a record takes at least: a chain of empty records that leads back to itself is no more work for the
/// host than for the guest.
const SHORTEST_RECORD: u64 = 1_000;

/// Bytes in a burst: DatTransLim, bits 8:6.
fn burst(control: u32) -> u32 {
    match control >> 6 & 7 {
        5 => 1,
        6 => 2,
        2 => 4,
        1 => 16,
        3 => 32,
        7 => 64,
        _ => 8,
    }
}

/// An address after a burst of `len` bytes: increment, decrement or hold.
fn step(address: u32, len: u32, direction: u32) -> u32 {
    match direction & 3 {
        0 => address.wrapping_add(len),
        1 => address.wrapping_sub(len),
        _ => address,
    }
}

impl Gt64120 {
    fn dma_reg(&mut self, base: usize, n: usize) -> &mut u32 {
        self.reg_mut(base + 4 * n)
    }

    /// The control register of a channel was written; `old` is what it held.
    pub(super) fn dma_controlled(&mut self, cx: &mut Cx<'_>, n: usize, old: u32) {
        let control = self.dma_reg(CONTROL, n);
        *control = *control & !ACTIVE | old & ACTIVE;
        let written = *control;
        *control &= !(FETCH | ABORT);
        if written & ENABLE == 0 || written & ABORT != 0 {
            self.dma_stop(cx, n);
            return;
        }
        if old & ACTIVE == 0 {
            if written & FETCH != 0 && !self.dma_fetch(cx, n) {
                return;
            }
            if written & BLOCK != 0 {
                self.dma_start(cx, n);
            }
        }
    }

    fn dma_start(&mut self, cx: &mut Cx<'_>, n: usize) {
        *self.dma_reg(CONTROL, n) |= ACTIVE;
        let bursts = (*self.dma_reg(COUNT, n)).div_ceil(burst(*self.dma_reg(CONTROL, n)));
        let clocks = CLOCKS_PER_BURST * (u64::from(bursts) + 1);
        let ns = (clocks * 1_000_000_000 / self.tclk).max(SHORTEST_RECORD);
        self.dma_due[n] = Some(cx.now().saturating_add(ns));
        self.arm_dma(cx);
    }

    fn dma_stop(&mut self, cx: &mut Cx<'_>, n: usize) {
        *self.dma_reg(CONTROL, n) &= !ACTIVE;
        self.dma_due[n] = None;
        self.arm_dma(cx);
    }

    /// Arms the timer of every channel that is busy.
    pub(super) fn arm_dma(&self, cx: &mut Cx<'_>) {
        for (timer, due) in (FIRST_TIMER..).map(TimerId).zip(self.dma_due) {
            match due {
                Some(at) => cx.arm(timer, at),
                None => cx.disarm(timer),
            }
        }
    }

    fn dma_fail(&mut self, cx: &mut Cx<'_>, n: usize, what: &str, at: u32) {
        cx.guest_error(format_args!("DMA channel {n} cannot {what} {at:#010x}"));
        self.dma_stop(cx, n);
        self.raise(cx, CAUSE_DMA_OUT);
    }

    /// Loads the record that the next record pointer names: four words in the order of the registers.
    fn dma_fetch(&mut self, cx: &mut Cx<'_>, n: usize) -> bool {
        let at = *self.dma_reg(NEXT_RECORD, n) & !15;
        let mut record = [0; 16];
        if cx.dma_read(u64::from(at), &mut record).is_err() {
            self.dma_fail(cx, n, "fetch a record at", at);
            return false;
        }
        let words = record.as_chunks::<4>().0;
        for (base, word) in [COUNT, SOURCE, DESTINATION, NEXT_RECORD].iter().zip(words) {
            *self.dma_reg(*base, n) = u32::from_le_bytes(*word);
        }
        *self.dma_reg(COUNT, n) &= 0xffff;
        *self.dma_reg(CURRENT_RECORD, n) = at;
        true
    }

    /// The time of a channel's record is over: moves its bytes, then goes on to the next record.
    pub(super) fn dma_done(&mut self, cx: &mut Cx<'_>, n: usize) {
        self.dma_due[n] = None;
        let control = *self.dma_reg(CONTROL, n);
        if control & ACTIVE == 0 {
            return;
        }
        let mut data = [0; 64];
        while *self.dma_reg(COUNT, n) != 0 {
            let (source, destination) = (*self.dma_reg(SOURCE, n), *self.dma_reg(DESTINATION, n));
            let len = burst(control).min(*self.dma_reg(COUNT, n));
            let data = &mut data[..len as usize];
            if cx.dma_read(u64::from(source), data).is_err() {
                return self.dma_fail(cx, n, "read", source);
            }
            if cx.dma_write(u64::from(destination), data).is_err() {
                return self.dma_fail(cx, n, "write", destination);
            }
            *self.dma_reg(SOURCE, n) = step(source, len, control >> 2);
            *self.dma_reg(DESTINATION, n) = step(destination, len, control >> 4);
            *self.dma_reg(COUNT, n) -= len;
        }
        let last = control & NON_CHAINED != 0 || *self.dma_reg(NEXT_RECORD, n) == 0;
        if last {
            self.dma_stop(cx, n);
        } else if self.dma_fetch(cx, n) {
            self.dma_start(cx, n);
        }
        if last || control & INTERRUPT_AT_END == 0 {
            self.raise(cx, CAUSE_DMA_COMP << n);
        }
    }
}
