//! The code that all blocks share: the way in, the ways out, and the call of the interpreter.

use dynasmrt::{DynasmApi, dynasm};
use solderless_jit::Cache;
use solderless_model::memory::PAGE;

use super::asm::{Asm, BIAS, Homes, If, at};
use super::flow;
use crate::core::Core;
use crate::exec::Exit;

/// What the gate returns where the code at an address is not known.
pub const UNKNOWN: u64 = 0x100;
/// Where the budget does not suffice for a block.
pub const BUDGET: u64 = 0x101;
/// Where a block is to be interpreted.
pub const INTERPRET: u64 = 0x102;

/// Where they are, from the start of the cache.
#[derive(Debug, Clone, Copy)]
pub struct Stubs {
    /// The function that enters a block.
    pub gate: u32,
    /// The interpreter is to do what `edx` says, with `eax`, for the block that is `ecx` into its page; returns where the block
    /// goes on.
    pub slow: u32,
    /// The interpreter has been called, and what it returned is in `eax`; does not return.
    pub after: u32,
    /// The page of the code at the address in `eax` is not known.
    pub fetch: u32,
    /// The ways out to what is not known, one for each word of a page.
    unknown: u32,
    /// The ways out at the block that is `eax` into its page.
    pub budget: u32,
    pub interpret: u32,
    /// The end of all of them.
    pub end: u32,
}

/// The stack frame under the saved registers: a word for anything, and the second argument of the gate.
const FRAME: i32 = 24;
const WORLD: i32 = 8;

/// PSHUFD: HI and LO change places.
const SWAP: i8 = 0b11_10_00_01_u8.cast_signed();

impl Stubs {
    /// Puts them into an empty cache.
    pub fn install(cache: &mut Cache<Core>) -> Option<Self> {
        let mut add = |asm: Asm| {
            let code = asm.finish(cache.next(), 0)?;
            // SAFETY: the gate keeps the calling convention, and the others are entered with its frame.
            #[allow(unsafe_code, reason = "see the crate's documentation")]
            unsafe {
                cache.install(&code.near)
            }
        };
        let out = add(way_out(UNKNOWN))?;
        let unknown = add(ways_out(out))?;
        let budget = add(way_out(BUDGET))?;
        let interpret = add(way_out(INTERPRET))?;
        let gate = add(gate())?;
        // This and the lookup need one another.
        let (find, again) = find(out);
        let fetch = add(find)?;
        let lookup = add(lookup(fetch))?;
        let mut asm = Asm::new(Homes::USUAL);
        go_on(&mut asm, lookup);
        let after = add(asm)?;
        let mut asm = Asm::new(Homes::USUAL);
        self::slow(&mut asm, after);
        let slow = add(asm)?;
        // SAFETY: what the jump leads to takes everything as it was when the stub was entered.
        #[allow(unsafe_code, reason = "see the crate's documentation")]
        unsafe {
            cache.redirect(fetch + again as u32, lookup);
        }
        Some(Self {
            gate,
            slow,
            after,
            fetch,
            unknown,
            budget,
            interpret,
            end: cache.next(),
        })
    }

    /// The way out to a word of the page that is not known.
    pub fn unknown(&self, word: u16) -> u32 {
        self.unknown + u32::from(word) * WAY_OUT
    }
}

fn gate() -> Asm {
    let mut asm = Asm::new(Homes::USUAL);
    dynasm!(asm.ops; .arch x64
        ; push rbx
        ; push rbp
        ; push r12
        ; push r13
        ; push r14
        ; push r15
        ; sub rsp, FRAME
        ; mov [rsp + WORLD], rsi
        ; lea rbx, [rdi + BIAS as i32]
        ; mov rax, rdx
    );
    fetch(&mut asm, Homes::USUAL);
    forget_offset(&mut asm);
    dynasm!(asm.ops; .arch x64; jmp rax);
    asm
}

/// Reads what is in host registers while generated code runs.
fn fetch(asm: &mut Asm, homes: Homes) {
    dynasm!(asm.ops; .arch x64
        ; movq xmm15, [rbx + at::HI_LO]
        ; pshufd xmm15, xmm15, SWAP
        ; mov r13, [rbx + at::BUDGET]
        ; mov rbp, [rbx + at::VIEW]
    );
    for (guest, host) in homes.pairs() {
        asm.fill(guest, host);
    }
}

/// Writes it back.
fn store(asm: &mut Asm, homes: Homes) {
    for (guest, host) in homes.pairs() {
        asm.spill(guest, host);
    }
    dynasm!(asm.ops; .arch x64
        ; pshufd xmm0, xmm15, SWAP
        ; movq [rbx + at::HI_LO], xmm0
        ; mov [rbx + at::BUDGET], r13
    );
}

/// Makes an address that of its page.
fn forget_offset(asm: &mut Asm) {
    dynasm!(asm.ops; .arch x64; and DWORD [rbx + at::PC], !0xfff);
}

fn leave(asm: &mut Asm) {
    dynasm!(asm.ops; .arch x64
        ; add rsp, FRAME
        ; pop r15
        ; pop r14
        ; pop r13
        ; pop r12
        ; pop rbp
        ; pop rbx
        ; ret
    );
}

fn way_out(why: u64) -> Asm {
    let mut asm = Asm::new(Homes::USUAL);
    dynasm!(asm.ops; .arch x64; add [rbx + at::PC], eax);
    store(&mut asm, Homes::USUAL);
    dynasm!(asm.ops; .arch x64; mov eax, DWORD why as i32);
    leave(&mut asm);
    asm
}

/// Bytes of a way out to a word of the page.
const WAY_OUT: u32 = 10;

/// The ways out to each word of a page.
fn ways_out(out: u32) -> Asm {
    let mut asm = Asm::new(Homes::USUAL);
    for offset in (0..PAGE as i32).step_by(4) {
        dynasm!(asm.ops; .arch x64; mov eax, DWORD offset);
        asm.jump_out(out);
    }
    asm
}

fn lookup(fetch: u32) -> Asm {
    let mut asm = Asm::new(Homes::USUAL);
    flow::lookup(&mut asm, fetch);
    asm
}

/// Calls the interpreter; the stack is aligned.
fn call(asm: &mut Asm, homes: Homes, world: i32) {
    store(asm, homes);
    dynasm!(asm.ops; .arch x64
        ; lea rdi, [rbx - BIAS as i32]
        ; mov rsi, [rsp + world]
        ; mov ecx, eax
        ; mov rax, QWORD Cache::<Core>::slow_address().cast_signed() as i64
        ; call rax
    );
}

/// Has the interpreter do what [`Stubs::slow`] says.
pub fn slow(asm: &mut Asm, after: u32) {
    let homes = asm.homes;
    // The return address is on the stack; eight bytes more align it.
    dynasm!(asm.ops; .arch x64; sub rsp, 8; add [rbx + at::PC], ecx);
    call(asm, homes, WORLD + 16);
    let next = asm.label();
    dynasm!(asm.ops; .arch x64; cmp eax, Exit::Next as i32);
    asm.jump_if(If::Equal as u8, next);
    dynasm!(asm.ops; .arch x64; add rsp, 16);
    asm.jump_out(after);
    asm.bind(next);
    fetch(asm, homes);
    forget_offset(asm);
    dynasm!(asm.ops; .arch x64; add rsp, 8; ret);
}

/// Goes on behind a call that does not return to its block: elsewhere after an exception, or a return from one, or out. Gives
/// the place of the displacement of the jump to `lookup`.
fn go_on(asm: &mut Asm, lookup: u32) -> usize {
    let home = asm.label();
    dynasm!(asm.ops; .arch x64; cmp eax, Exit::Goto as i32);
    asm.jump_if(If::NotEqual as u8, home);
    fetch(asm, Homes::USUAL);
    dynasm!(asm.ops; .arch x64; mov eax, [rbx + at::PC]);
    let again = asm.jump_out(lookup);
    asm.bind(home);
    leave(asm);
    again
}

/// The stub for code whose page is not known, and the place of its jump to the lookup.
fn find(unknown: u32) -> (Asm, usize) {
    let mut asm = Asm::new(Homes::USUAL);
    dynasm!(asm.ops; .arch x64
        ; mov [rbx + at::PC], eax
        ; mov edx, DWORD super::FETCH.cast_signed()
    );
    call(&mut asm, Homes::USUAL, WORLD);
    let again = go_on(&mut asm, unknown);
    (asm, again)
}
