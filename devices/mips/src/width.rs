//! What the width of addresses makes of privileged software's world: where an address leads, and who may use it. MIPS32 is
//! in [`narrow`], MIPS64 in [`wide`].

mod narrow;
mod wide;

use std::fmt::Debug;

use solderless_engine::{CodeAt, Vcpu};
use solderless_model::{Cx, State};

use crate::core::{CodeMode, Core, Key, Level};
use crate::cp0::Cp0;
use crate::exception::Fault;
use crate::exec::{Mode, Op};
use crate::ir::{Block, Step};
use crate::model::Identity;
pub use crate::word::Word;

/// What an address says of where it leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// To this physical one.
    At(u64),
    /// The TLB tells.
    Mapped,
}

/// See the module.
pub trait Width: Word {
    /// XContext, where there is one.
    type XContext: State + Debug + Default;

    /// The bits of an address that EntryHi has.
    fn vpn2(identity: &Identity) -> Self;
    /// The physical address bits of EntryLo0 and EntryLo1, and their flags.
    fn entry_lo(identity: &Identity) -> Self;
    /// The level by Status, but for exception and error level.
    fn level(status: u32) -> Level;
    /// Whether the TLB says what is at an address, but for error level.
    fn mapped(va: Self) -> bool;
    /// Where an address leads in the current mode.
    ///
    /// # Errors
    /// It is not for this mode.
    fn place(cp0: &Cp0<Self>, identity: &Identity, va: Self) -> Result<Place, Fault>;
    /// The same whatever the mode, for one who only looks.
    fn place_for_all(cp0: &Cp0<Self>, identity: &Identity, va: Self) -> Option<Place>;
    /// The physical address that one says of itself, whatever the state of the CPU as long as code's mode is the same.
    fn direct(va: Self) -> Option<u64>;
    /// An address as it is made of a sum: where addresses are `short`, of its lower 32 bits.
    fn address(sum: Self, short: bool) -> Self;
    /// How far the handler of a TLB refill for an address is from the base of vectors.
    fn refill_offset(status: u32, va: Self) -> u32;
    /// Notes the address of a TLB exception in EntryHi and in the registers that point into a page table.
    fn note_miss(cp0: &mut Cp0<Self>, identity: &Identity, va: Self);
    /// XContext, as software reads it.
    fn xcontext(cp0: &Cp0<Self>) -> Self;
    /// Writes what software can of XContext.
    fn set_xcontext(cp0: &mut Cp0<Self>, identity: &Identity, value: Self);

    /// What code of a mode is looked up with.
    fn key_of_code(key: Key, mode: CodeMode) -> u64;
    /// Has the soft TLB be that of the current address space and mode.
    fn select(core: &mut Core<Self>);
    /// Lets a page of memory be accessed directly.
    fn fill(vcpu: &mut Vcpu, va: Self, pa: u64, place: (u32, u64), writable: bool);
    /// Makes a page known that is likely to be accessed next. False if it is not memory.
    fn expect_page(vcpu: &mut Vcpu, cx: &Cx<'_>, code: CodeAt, writable: bool) -> bool;
    /// Forgets a page, in one address space or in all.
    fn forget(vcpu: &mut Vcpu, va: Self, asid: Option<u8>);

    /// One op for two steps, if they are a pair that there is a function for.
    fn pair(one: &Step, two: &Step, mode: Mode) -> Option<Op<Self>>;
    /// One op for the last step of a block and its end.
    fn pair_with_end(last: &Step, block: &Block, mode: Mode) -> Option<Op<Self>>;

    fn read_u8(vcpu: &Vcpu, va: Self) -> Option<u8>;
    fn read_u16(vcpu: &Vcpu, va: Self) -> Option<u16>;
    fn read_u32(vcpu: &Vcpu, va: Self) -> Option<u32>;
    fn read_u64(vcpu: &Vcpu, va: Self) -> Option<u64>;
    fn write_u8(vcpu: &mut Vcpu, va: Self, value: u8) -> bool;
    fn write_u16(vcpu: &mut Vcpu, va: Self, value: u16) -> bool;
    fn write_u32(vcpu: &mut Vcpu, va: Self, value: u32) -> bool;
    fn write_u64(vcpu: &mut Vcpu, va: Self, value: u64) -> bool;
}

/// The accesses that hit the soft TLB for addresses of a width.
macro_rules! accesses {
    ($tlb:ident: $($read:ident, $write:ident, $ty:ty;)*) => {$(
        #[inline(always)]
        fn $read(vcpu: &Vcpu, va: Self) -> Option<$ty> {
            vcpu.$tlb.$read(va)
        }
        #[inline(always)]
        fn $write(vcpu: &mut Vcpu, va: Self, value: $ty) -> bool {
            vcpu.$tlb.$write(va, value)
        }
    )*};
    ($tlb:ident) => {
        accesses! { $tlb:
            read_u8, write_u8, u8;
            read_u16, write_u16, u16;
            read_u32, write_u32, u32;
            read_u64, write_u64, u64;
        }
    };
}
use accesses;
