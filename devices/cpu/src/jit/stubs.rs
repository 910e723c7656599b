//! The code that all blocks share: the way in, the ways out, and the call of the interpreter.

use dynasmrt::{DynasmApi, DynasmLabelApi, dynasm};
use solderless_jit::Cache;

use super::asm::{Asm, BIAS, PINNED, Src, at, src};
use super::flow::lookup;
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
    /// The interpreter is to execute the instruction of the site in `edx`; returns where the block goes on.
    pub slow: u32,
    /// The ways out.
    pub unknown: u32,
    pub budget: u32,
    pub interpret: u32,
    /// The end of all of them.
    pub end: u32,
}

/// The stack frame under the saved registers: a word for anything, and the second argument of the gate.
const FRAME: i32 = 24;
const WORLD: i32 = 8;

impl Stubs {
    /// Puts them into an empty cache.
    pub fn install(cache: &mut Cache<Core>) -> Option<Self> {
        let mut add = |asm: Asm| {
            let code = asm.finish(cache.next())?;
            // SAFETY: the gate keeps the calling convention, and the others are entered with its frame.
            #[allow(unsafe_code, reason = "see the crate's documentation")]
            unsafe {
                cache.install(&code)
            }
        };
        let unknown = add(way_out(UNKNOWN))?;
        let budget = add(way_out(BUDGET))?;
        let interpret = add(way_out(INTERPRET))?;
        let gate = add(gate())?;
        let slow = add(slow(unknown))?;
        Some(Self {
            gate,
            slow,
            unknown,
            budget,
            interpret,
            end: cache.next(),
        })
    }
}

fn gate() -> Asm {
    let mut asm = Asm::new();
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
    fetch(&mut asm);
    dynasm!(asm.ops; .arch x64; jmp rax);
    asm
}

/// Reads what is in host registers while generated code runs.
fn fetch(asm: &mut Asm) {
    for (guest, host) in PINNED {
        if let Src::Reg(_) = src(guest) {
            dynasm!(asm.ops; .arch x64; mov Rd(host), [BYTE rbx + home(guest)]);
        }
    }
    dynasm!(asm.ops; .arch x64
        ; mov r12d, [rbx + at::PC]
        ; mov r13, [rbx + at::BUDGET]
        ; mov rbp, [rbx + at::VIEW]
    );
}

/// Writes it back.
fn store(asm: &mut Asm) {
    for (guest, host) in PINNED {
        dynasm!(asm.ops; .arch x64; mov [BYTE rbx + home(guest)], Rd(host));
    }
    dynasm!(asm.ops; .arch x64
        ; mov [rbx + at::PC], r12d
        ; mov [rbx + at::BUDGET], r13
    );
}

/// The displacement of a general register's place in the core.
fn home(register: u8) -> i8 {
    (i32::from(register) * 4 - 64) as i8
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
    let mut asm = Asm::new();
    store(&mut asm);
    dynasm!(asm.ops; .arch x64; mov eax, DWORD why as i32);
    leave(&mut asm);
    asm
}

fn slow(unknown: u32) -> Asm {
    let mut asm = Asm::new();
    let out = asm.label();
    let home = asm.label();
    store(&mut asm);
    // The return address is on the stack; eight bytes more align it.
    dynasm!(asm.ops; .arch x64
        ; lea rdi, [rbx - BIAS as i32]
        ; mov rsi, [rsp + WORLD + 8]
        ; sub rsp, 8
        ; mov rax, QWORD Cache::<Core>::slow_address().cast_signed() as i64
        ; call rax
        ; add rsp, 8
        ; cmp eax, Exit::Next as i32
        ; jne =>out
    );
    fetch(&mut asm);
    dynasm!(asm.ops; .arch x64
        ; ret
        ; =>out
        ; add rsp, 8
        ; cmp eax, Exit::Goto as i32
        ; jne =>home
    );
    // An exception, or a return from one: it goes on elsewhere.
    fetch(&mut asm);
    lookup(&mut asm, unknown);
    asm.bind(home);
    leave(&mut asm);
    asm
}
