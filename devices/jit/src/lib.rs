//! Memory for generated code, and the way into it and back.
//!
//! This is one of the few crates that may use `unsafe`, and the only one that runs what no compiler has checked. The
//! argument why it is sound has three parts.
//!
//! - **The memory.** No byte is ever writable and executable at one address: the same pages are mapped twice, once to
//!   write and once to execute ([W^X](https://en.wikipedia.org/wiki/W%5EX)). Both mappings are owned by the [`Cache`] and
//!   live as long as it does. All writes are within bounds and happen while no generated code runs, as they need the
//!   cache by `&mut` and running it borrows it.
//! - **The code.** [`Cache::install`] and [`Cache::redirect`] are `unsafe`: who calls them promises that the code keeps to
//!   the contract of [`Cache::enter`].
//! - **The way back.** Generated code calls [`Guest::slow`] through a function with a C calling convention, which makes
//!   references of the two pointers that [`Cache::enter`] made of references, and which are not used by anybody else until
//!   it returns. A panic does not pass through generated code: it aborts.

#![deny(clippy::undocumented_unsafe_blocks)]
#![cfg(all(target_arch = "x86_64", unix))]

use std::ffi::c_void;
use std::io;
use std::marker::PhantomData;
use std::ptr;

use rustix::fs::{MemfdFlags, ftruncate, memfd_create};
use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};

/// What generated code works on.
pub trait Guest {
    /// What it is itself.
    type Core;
    /// What else it needs at hand.
    type World<'a, 'b: 'a>;

    /// Does what generated code leaves to others; `what` and `with` are whatever the code says. What it returns the code knows
    /// how to take.
    fn slow(core: &mut Self::Core, world: &mut Self::World<'_, '_>, what: u32, with: u64) -> u32;
}

/// Generated code for a [`Guest`].
#[derive(Debug)]
pub struct Cache<G> {
    write: *mut u8,
    run: *mut u8,
    size: usize,
    used: usize,
    /// Where what is at the far end starts.
    far: usize,
    guest: PhantomData<fn(&mut G)>,
}

/// What code starts at a multiple of.
const ALIGN: usize = 16;

impl<G: Guest> Cache<G> {
    /// Reserves `size` bytes, of which the host gives those that are used.
    ///
    /// # Errors
    /// The host refuses the memory, or to execute it.
    pub fn new(size: usize) -> io::Result<Self> {
        let file = memfd_create("generated-code", MemfdFlags::CLOEXEC)?;
        ftruncate(&file, size as u64)?;
        let map = |prot| {
            // SAFETY: a new mapping at an address that the host chooses overlaps nothing.
            unsafe { mmap(ptr::null_mut(), size, prot, MapFlags::SHARED, &file, 0) }
        };
        let write = map(ProtFlags::READ | ProtFlags::WRITE)?;
        let run = map(ProtFlags::READ | ProtFlags::EXEC).inspect_err(|_| {
            // SAFETY: it was mapped above, and nobody has a pointer into it.
            let _ = unsafe { munmap(write, size) };
        })?;
        Ok(Self {
            write: write.cast(),
            run: run.cast(),
            size,
            used: 0,
            far: size,
            guest: PhantomData,
        })
    }

    /// Where it is in the host's memory, to execute.
    pub fn base(&self) -> usize {
        self.run as usize
    }

    /// Bytes of code in it.
    pub fn used(&self) -> usize {
        self.used + self.size - self.far
    }

    /// Bytes that are left.
    pub fn left(&self) -> usize {
        self.far - self.used
    }

    /// Where the next code will be, from the base.
    pub fn next(&self) -> u32 {
        self.used as u32
    }

    /// Where the next code of this size at the far end will be, from the base.
    pub fn next_far(&self, len: usize) -> u32 {
        self.far.saturating_sub(len) as u32
    }

    /// The function that generated code calls: `extern "sysv64" fn(guest, world, what: u32, with: u64) -> u32`, with the two pointers that
    /// it was entered with.
    pub fn slow_address() -> usize {
        slow::<G> as *const () as usize
    }

    /// Adds code and says where it is, from the base; `None` if there is no room.
    ///
    /// # Safety
    /// The code, wherever it is entered by [`Cache::enter`] or by a jump that is redirected, keeps to the contract there.
    pub unsafe fn install(&mut self, code: &[u8]) -> Option<u32> {
        if code.len() > self.left() {
            return None;
        }
        let at = self.used;
        // SAFETY: `at` and the length of the code lie within the mapping, which nothing else refers to.
        unsafe { ptr::copy_nonoverlapping(code.as_ptr(), self.write.add(at), code.len()) };
        self.used = (at + code.len()).next_multiple_of(ALIGN).min(self.size);
        Some(at as u32)
    }

    /// Adds code at the far end, which is for what is rarely executed; as [`Cache::install`].
    ///
    /// # Safety
    /// As for [`Cache::install`].
    pub unsafe fn install_far(&mut self, code: &[u8]) -> Option<u32> {
        if code.len() > self.left() {
            return None;
        }
        let at = self.far - code.len();
        // SAFETY: `at` and the length of the code lie within the mapping, which nothing else refers to.
        unsafe { ptr::copy_nonoverlapping(code.as_ptr(), self.write.add(at), code.len()) };
        self.far = at;
        Some(at as u32)
    }

    /// Makes the 32-bit displacement that ends a jump, `site` bytes from the base, lead to `to`.
    ///
    /// # Safety
    /// There is such a displacement, and the code that it leads to goes on as the code around the jump expects.
    pub unsafe fn redirect(&mut self, site: u32, to: u32) {
        let end = site as usize + 4;
        if end > self.size || end > self.used && (site as usize) < self.far {
            return;
        }
        let displacement = to.wrapping_sub(site.wrapping_add(4));
        // SAFETY: the four bytes lie within the mapping; no generated code is running.
        unsafe {
            let at = self.write.add(site as usize).cast::<u32>();
            at.write_unaligned(displacement.to_le());
        }
    }

    /// Makes code lead to other code: a jump takes the place of its first bytes.
    ///
    /// # Safety
    /// There is code of five bytes or more at `at` that nothing jumps into, and the code at `to` goes on as it would.
    pub unsafe fn replace(&mut self, at: u32, to: u32) {
        const JUMP: u8 = 0xe9;
        if at as usize + 5 > self.used {
            return;
        }
        // SAFETY: the byte lies within the mapping; no generated code is running.
        unsafe { self.write.add(at as usize).write(JUMP) };
        // SAFETY: the displacement is that of the jump, and the caller promises the rest.
        unsafe { self.redirect(at + 1, to) };
    }

    /// Forgets all code but the first `keep` bytes.
    pub fn truncate(&mut self, keep: u32) {
        self.far = self.size;
        self.used = self.used.min((keep as usize).next_multiple_of(ALIGN));
    }

    /// Runs code: calls the function at `gate`, as `extern "sysv64" fn(guest, world, code) -> u64`, with the address of the
    /// code at `at`. Both places are from the base, and what it returns is returned.
    ///
    /// Contract of the code: it keeps the calling convention; reads and writes its own stack, the guest that it is given,
    /// and memory that the guest says it may; and calls nothing but [`Cache::slow_address`].
    pub fn enter(
        &self,
        gate: u32,
        at: u32,
        guest: &mut G::Core,
        world: &mut G::World<'_, '_>,
    ) -> u64 {
        type Gate<G> =
            unsafe extern "sysv64" fn(*mut <G as Guest>::Core, *mut c_void, *const u8) -> u64;
        assert!(
            (gate.max(at) as usize) < self.used,
            "code that was installed"
        );
        // SAFETY: the gate is within the mapping, and there is a function, as `install` was promised.
        let enter: Gate<G> = unsafe { std::mem::transmute(self.run.add(gate as usize)) };
        // SAFETY: within the mapping, see above.
        let code = unsafe { self.run.add(at as usize) };
        // SAFETY: the code keeps to the contract, as `install` was promised; both pointers are of references that are not
        // used while it runs.
        unsafe { enter(guest, ptr::from_mut(world).cast(), code) }
    }
}

extern "sysv64" fn slow<G: Guest>(
    guest: *mut G::Core,
    world: *mut c_void,
    what: u32,
    with: u64,
) -> u32 {
    // SAFETY: generated code passes the pointers that `enter` made of `&mut` references, which are not in use while it
    // runs, and it runs now.
    let (guest, world) = unsafe { (&mut *guest, &mut *world.cast::<G::World<'_, '_>>()) };
    G::slow(guest, world, what, with)
}

impl<G> Drop for Cache<G> {
    fn drop(&mut self) {
        for map in [self.write, self.run] {
            // SAFETY: it is a mapping of this size, and no code runs, as that would borrow the cache.
            let _ = unsafe { munmap(map.cast(), self.size) };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Sum;

    impl Guest for Sum {
        type Core = u32;
        type World<'a, 'b: 'a> = &'a [u32];
        fn slow(sum: &mut u32, world: &mut &[u32], what: u32, with: u64) -> u32 {
            *sum += world[what as usize] + with as u32;
            *sum
        }
    }

    #[test]
    fn code_calls_back_and_is_redirected() {
        let mut cache = Cache::<Sum>::new(1 << 16).unwrap();
        // gate: jmp rdx
        let gate = [0xff, 0xe2];
        // mov edx, 1; mov ecx, 2; mov rax, slow; jmp rax
        let mut call = vec![0xba, 1, 0, 0, 0, 0xb9, 2, 0, 0, 0, 0x48, 0xb8];
        call.extend(Cache::<Sum>::slow_address().to_le_bytes());
        call.extend([0xff, 0xe0]);
        // jmp to itself; mov eax, 7; ret
        let jump = [0xe9, 0xfb, 0xff, 0xff, 0xff];
        let seven_code = [0xb8, 7, 0, 0, 0, 0xc3];
        // SAFETY: each is a function, or jumps to one once it is redirected.
        let [gate, call, jump, seven] = unsafe {
            [&gate[..], &call, &jump, &seven_code].map(|code| cache.install(code).unwrap())
        };
        let mut sum = 1;
        assert_eq!(cache.enter(gate, call, &mut sum, &mut &[2u32, 40][..]), 43);
        assert_eq!(sum, 43);
        // SAFETY: both are functions of no arguments from there on.
        unsafe { cache.redirect(jump + 1, seven) };
        assert_eq!(cache.enter(gate, jump, &mut sum, &mut &[][..]), 7);
        assert_eq!(cache.next_far(seven_code.len()) as usize, (1 << 16) - 6);
        // SAFETY: as above.
        let far = unsafe { cache.install_far(&seven_code) };
        // SAFETY: it is a function of no arguments.
        unsafe { cache.redirect(jump + 1, far.unwrap()) };
        assert_eq!(cache.enter(gate, jump, &mut sum, &mut &[][..]), 7);
        // SAFETY: it does not fit.
        assert_eq!(unsafe { cache.install(&vec![0; 1 << 16]) }, None);
        // SAFETY: nor does this.
        assert_eq!(unsafe { cache.install_far(&vec![0; 1 << 16]) }, None);
        cache.truncate(gate + 2);
        assert_eq!(cache.used(), ALIGN);
    }
}
