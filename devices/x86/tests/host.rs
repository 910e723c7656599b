//! The host is the oracle: random instructions of user mode on its CPU, and on the model, side by side.
//!
//! `INSTRUCTIONS` says how many. Flags that the manual leaves undefined are not compared, nor what an instruction has left of a
//! register that it leaves undefined.

#![cfg(all(target_arch = "x86_64", target_os = "linux"))]

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI32, Ordering};

use iced_x86::{
    CpuidFeature, Decoder, DecoderOptions, FlowControl, Instruction, Mnemonic, OpKind, Register,
};
use proptest::test_runner::{RngAlgorithm, TestRng};
use solderless_model::Processor;
use solderless_model::memory::Ram;
use solderless_model::registers::Value;
use solderless_model::testing::Bench;
use solderless_x86::{Props, X86Cpu};

/// Pages that both sides have, at the same addresses.
const CODE: u64 = 0x20_0000;
const DATA: u64 = 0x30_0000;
const DATA_SIZE: u64 = 0x2000;
const PAGE: u64 = 0x1000;

/// Where the model's supervisor has its code, and its page tables behind that.
const SETUP: u64 = 0x7c00;
const TABLES: u64 = 0x1_0000;

/// Registers in the order of their encoding, the flags, and an image of FXSAVE64.
#[repr(C, align(16))]
#[derive(Clone, Copy, PartialEq, Eq)]
struct State {
    registers: [u64; 16],
    flags: u64,
    unused: u64,
    image: Image,
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let image = &self.image;
        let numbers = |all: &[u128]| all.iter().map(|x| format!("{x:032x}")).collect::<Vec<_>>();
        f.debug_struct("State")
            .field("registers", &self.registers)
            .field("flags", &self.flags)
            .field("control", &image.control)
            .field("status", &image.status)
            .field("used", &image.used)
            .field("mxcsr", &image.mxcsr)
            .field("st", &numbers(&image.st))
            .field("xmm", &numbers(&image.xmm))
            .finish()
    }
}

/// What FXSAVE64 writes.
#[repr(C, align(16))]
#[derive(Clone, Copy, PartialEq, Eq)]
struct Image {
    control: u16,
    status: u16,
    used: u16,
    opcode: u16,
    ip: u64,
    dp: u64,
    mxcsr: u32,
    mask: u32,
    st: [u128; 8],
    xmm: [u128; 16],
    rest: [u128; 6],
}

impl Image {
    /// As FNINIT leaves it.
    const NEW: Self = Self {
        control: 0x37f,
        status: 0,
        used: 0,
        opcode: 0,
        ip: 0,
        dp: 0,
        mxcsr: 0x1f80,
        mask: 0xffff,
        st: [0; 8],
        xmm: [0; 16],
        rest: [0; 6],
    };
}

const NAMES: [&str; 16] = [
    "rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi", "r8", "r9", "r10", "r11", "r12", "r13",
    "r14", "r15",
];

/// CF, PF, AF, ZF, SF, DF, OF.
const FLAGS: u64 = 0xcd5;

std::arch::global_asm!(
    ".globl oracle_enter",
    "oracle_enter:",
    "push rbx; push rbp; push r12; push r13; push r14; push r15; pushfq",
    "mov [rip + oracle_sp], rsp",
    "mov [rip + oracle_state], rdi",
    "mov [rip + oracle_code], rsi",
    "fxsave64 [rip + oracle_image]",
    "fxrstor64 [rdi + 144]",
    "push qword ptr [rdi + 128]",
    "popfq",
    "mov rax, [rdi]; mov rcx, [rdi + 8]; mov rdx, [rdi + 16]; mov rbx, [rdi + 24]",
    "mov rsp, [rdi + 32]; mov rbp, [rdi + 40]; mov rsi, [rdi + 48]",
    "mov r8, [rdi + 64]; mov r9, [rdi + 72]; mov r10, [rdi + 80]; mov r11, [rdi + 88]",
    "mov r12, [rdi + 96]; mov r13, [rdi + 104]; mov r14, [rdi + 112]; mov r15, [rdi + 120]",
    "mov rdi, [rdi + 56]",
    "jmp qword ptr [rip + oracle_code]",
    ".globl oracle_exit",
    "oracle_exit:",
    "mov [rip + oracle_rdi], rdi",
    "mov rdi, [rip + oracle_state]",
    "mov [rdi], rax; mov [rdi + 8], rcx; mov [rdi + 16], rdx; mov [rdi + 24], rbx",
    "mov [rdi + 32], rsp; mov [rdi + 40], rbp; mov [rdi + 48], rsi",
    "mov [rdi + 64], r8; mov [rdi + 72], r9; mov [rdi + 80], r10; mov [rdi + 88], r11",
    "mov [rdi + 96], r12; mov [rdi + 104], r13; mov [rdi + 112], r14; mov [rdi + 120], r15",
    "mov rax, [rip + oracle_rdi]",
    "mov [rdi + 56], rax",
    "mov rsp, [rip + oracle_sp]",
    "pushfq",
    "pop qword ptr [rdi + 128]",
    "fxsave64 [rdi + 144]",
    "fninit; fxrstor64 [rip + oracle_image]",
    "popfq; pop r15; pop r14; pop r13; pop r12; pop rbp; pop rbx",
    "cld",
    "ret",
    ".pushsection .bss.oracle, \"aw\", @nobits",
    ".balign 16",
    "oracle_image: .skip 512",
    "oracle_sp: .skip 8",
    "oracle_state: .skip 8",
    "oracle_code: .skip 8",
    "oracle_rdi: .skip 8",
    ".popsection",
);

unsafe extern "C" {
    fn oracle_enter(state: *mut State, code: u64);
    fn oracle_exit();
}

/// The signal that the instruction has raised.
static SIGNAL: AtomicI32 = AtomicI32::new(0);

extern "C" fn raised(signal: libc::c_int, _: *mut libc::siginfo_t, context: *mut libc::c_void) {
    // SAFETY: it is the context of a handler with SA_SIGINFO.
    let context = unsafe { &mut *context.cast::<libc::ucontext_t>() };
    let ip = &mut context.uc_mcontext.gregs[libc::REG_RIP as usize];
    let inside = (CODE..CODE + PAGE).contains(&(*ip as u64));
    if !inside {
        eprintln!("signal {signal} at {ip:#x}, which is not the instruction under test");
        // SAFETY: nothing else can be done.
        unsafe { libc::_exit(101) };
    }
    SIGNAL.store(signal, Ordering::Relaxed);
    *ip = oracle_exit as *const () as i64;
    // An instruction may have been stepped to with DF set.
    context.uc_mcontext.gregs[libc::REG_EFL as usize] &= !0x100;
}

/// The host's CPU, with pages at the addresses that the model has them at.
struct Host;

impl Host {
    fn new() -> Self {
        let map = |at: u64, size: u64, protection| {
            // SAFETY: nothing is at these addresses, or the call fails.
            let got = unsafe {
                libc::mmap(
                    at as *mut libc::c_void,
                    size as usize,
                    protection,
                    libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED_NOREPLACE,
                    -1,
                    0,
                )
            };
            assert_eq!(got as u64, at, "the page at {at:#x} is not to be had");
        };
        let data = libc::PROT_READ | libc::PROT_WRITE;
        map(CODE, PAGE, data | libc::PROT_EXEC);
        map(DATA, DATA_SIZE, data);
        let stack = vec![0u8; 1 << 16].leak();
        // SAFETY: the structures are filled as the calls ask for, and the stack is never freed.
        unsafe {
            let stack = libc::stack_t {
                ss_sp: stack.as_mut_ptr().cast(),
                ss_flags: 0,
                ss_size: stack.len(),
            };
            assert_eq!(libc::sigaltstack(&stack, std::ptr::null_mut()), 0);
            for signal in [
                libc::SIGSEGV,
                libc::SIGBUS,
                libc::SIGILL,
                libc::SIGFPE,
                libc::SIGTRAP,
            ] {
                let mut action: libc::sigaction = std::mem::zeroed();
                action.sa_sigaction = raised as *const () as usize;
                action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK | libc::SA_NODEFER;
                assert_eq!(libc::sigaction(signal, &action, std::ptr::null_mut()), 0);
            }
        }
        Self
    }

    fn data(&mut self) -> &mut [u8] {
        // SAFETY: it was mapped, and nothing else refers to it while `self` is borrowed.
        unsafe { std::slice::from_raw_parts_mut(DATA as *mut u8, DATA_SIZE as usize) }
    }

    /// Executes an instruction; gives what it has left, and whether it raised an exception.
    fn run(&mut self, code: &[u8], mut state: State) -> (State, bool) {
        let mut bytes = code.to_vec();
        // jmp [rip]
        bytes.extend([0xff, 0x25, 0, 0, 0, 0]);
        bytes.extend((oracle_exit as *const () as u64).to_le_bytes());
        SIGNAL.store(0, Ordering::Relaxed);
        // SAFETY: the page is executable, and whatever the instruction does, it is one that stays in the pages that
        // registers lead to or raises an exception, behind which `raised` goes on.
        unsafe {
            std::ptr::copy_nonoverlapping(bytes.as_ptr(), CODE as *mut u8, bytes.len());
            oracle_enter(&raw mut state, CODE);
        }
        (state, SIGNAL.load(Ordering::Relaxed) != 0)
    }
}

/// The model in user mode of 64 bits.
struct Model {
    bench: Bench<X86Cpu>,
    ram: Ram,
    places: Vec<usize>,
    /// ST0 to ST7, XMM0 to XMM15.
    stack: Vec<usize>,
    vectors: Vec<usize>,
    /// FCTRL, FSTAT, FTAG, MXCSR.
    control: [usize; 4],
    rip: usize,
    flags: usize,
}

impl Model {
    fn new() -> Self {
        let on = Some(true);
        let props = Props {
            popcnt: on,
            ssse3: on,
            sse4_1: on,
            sse4_2: on,
            aes: on,
            pclmulqdq: on,
            ..Props::default()
        };
        let mut bench = Bench::<X86Cpu>::new(props);
        let ram = Ram::new(4 << 20).expect("memory");
        bench.around.ram = Some(ram.clone());
        let place = |name: &str| bench.dev.named(name).expect("a register");
        let places = NAMES.into_iter().map(place).collect();
        let (rip, flags) = (place("rip"), place("eflags"));
        let stack = (0..8).map(|n| place(&format!("st{n}"))).collect();
        let vectors = (0..16).map(|n| place(&format!("xmm{n}"))).collect();
        let control = ["fctrl", "fstat", "ftag", "mxcsr"].map(place);
        let mut model = Self {
            bench,
            ram,
            places,
            stack,
            vectors,
            control,
            rip,
            flags,
        };
        model.prepare();
        model
    }

    /// Page tables, descriptors, and the way to user mode.
    fn prepare(&mut self) {
        let put = |at: u64, value: u64| self.ram.write_u64(at, value).expect("an address");
        let (pointers, directory, tables) = (TABLES + PAGE, TABLES + 2 * PAGE, TABLES + 3 * PAGE);
        put(TABLES, pointers | 7);
        put(pointers, directory | 7);
        // The first two tables of 2 MiB.
        put(directory, tables | 7);
        put(directory + 8, (tables + PAGE) | 7);
        for page in 0..32 {
            put(tables + 8 * page, (page * PAGE) | 3);
        }
        for page in [CODE, DATA, DATA + PAGE] {
            put(tables + 8 * (page / PAGE), page | 7);
        }
        let gdt = [
            0,
            0x00af_9b00_0000_ffff,
            0,
            0,
            0x00cf_f300_0000_ffff,
            0x00af_fb00_0000_ffff,
        ];
        for (at, descriptor) in (SETUP + 0x108..).step_by(8).zip(gdt) {
            put(at, descriptor);
        }
        let mut real = vec![0xfa, 0x66, 0x0f, 0x01, 0x16, 0x00, 0x7d]; // cli; lgdt [7d00]
        real.extend([0x66, 0xb8, 0x20, 6, 0, 0, 0x0f, 0x22, 0xe0]); // CR4: PAE, OSFXSR, OSXMMEXCPT
        real.extend([0x66, 0xb8, 0, 0, 1, 0, 0x0f, 0x22, 0xd8]); // CR3
        real.extend([0x66, 0xb9, 0x80, 0, 0, 0xc0]); // EFER: LME, NXE
        real.extend([0x66, 0xb8, 0, 9, 0, 0, 0x66, 0x31, 0xd2, 0x0f, 0x30]);
        real.extend([0x66, 0xb8, 0x21, 0, 1, 0x80, 0x0f, 0x22, 0xc0]); // CR0: PG, WP, NE, PE
        real.extend([0x66, 0xea, 0x80, 0x7c, 0, 0, 8, 0]); // jmp 8:7c80
        let mut long = vec![
            0xbc, 0, 0x7c, 0, 0, 0x6a, 0x23, 0x6a, 0, 0x68, 2, 2, 0, 0, 0x6a, 0x2b,
        ];
        long.push(0x68);
        long.extend((CODE as u32).to_le_bytes());
        long.extend([0x48, 0xcf]); // iretq
        self.ram.write(SETUP, &real).expect("an address");
        self.ram.write(SETUP + 0x80, &long).expect("an address");
        self.ram
            .write(SETUP + 0x100, &[47, 0, 8, 0x7d, 0, 0])
            .expect("an address");
        self.enter();
    }

    fn enter(&mut self) {
        self.bench.reset();
        self.bench.around.requests.clear();
        self.bench.around.deadline = u64::MAX;
        let cs = self.bench.dev.named("cs").expect("a register");
        for (place, value) in [(cs, 0), (self.rip, SETUP)] {
            assert!(self.bench.dev.set_register(place, value.into()));
        }
        let pc = |model: &Self| model.bench.dev.pc();
        for _ in 0..100 {
            self.bench.with(|d, cx| d.run(cx, 1));
            if pc(self) == CODE {
                return;
            }
        }
        panic!("no user mode, but {:#x}", pc(self));
    }

    fn set_image(&mut self, image: &Image) {
        let [control, status, tags, mxcsr] = self.control;
        let full = (0..8).fold(0, |all, n| match image.used >> n & 1 {
            0 => all | 3 << (2 * n),
            _ => all,
        });
        let numbers = [
            (control, 0x37f),
            (status, image.status.into()),
            (tags, full),
            (control, image.control.into()),
            (mxcsr, u64::from(image.mxcsr)),
        ];
        for (place, value) in numbers {
            assert!(self.bench.dev.set_register(place, value.into()));
        }
        let stack = self.stack.iter().zip(image.st);
        for (place, value) in stack.chain(self.vectors.iter().zip(image.xmm)) {
            let value = Value::wide([value as u64, (value >> 64) as u64, 0, 0, 0, 0, 0, 0]);
            assert!(self.bench.dev.set_register(*place, value));
        }
    }

    fn get_image(&self, image: &mut Image) {
        let get = |place| self.bench.dev.register(place).expect("a register");
        let wide = |place: &usize| {
            let value = get(*place);
            let words = value.words(128);
            u128::from(words[1]) << 64 | u128::from(words[0])
        };
        let [control, status, tags, mxcsr] = self.control.map(|place| get(place).low());
        image.control = control as u16;
        image.status = status as u16;
        image.used = (0..8).fold(0, |all, n| match tags >> (2 * n) & 3 {
            3 => all,
            _ => all | 1 << n,
        });
        image.mxcsr = mxcsr as u32;
        for (to, place) in image.st.iter_mut().zip(&self.stack) {
            *to = wide(place);
        }
        for (to, place) in image.xmm.iter_mut().zip(&self.vectors) {
            *to = wide(place);
        }
    }

    fn run(&mut self, code: &[u8], state: State) -> (State, bool) {
        self.ram.write(CODE, code).expect("an address");
        let registers = self.places.clone().into_iter().zip(state.registers);
        let flags = (self.flags, state.flags | 0x200);
        for (place, value) in registers.chain([flags, (self.rip, CODE)]) {
            assert!(self.bench.dev.set_register(place, value.into()));
        }
        self.set_image(&state.image);
        self.bench.with(|d, cx| d.run(cx, 1));
        let raised = !self.bench.around.requests.is_empty();
        let get = |place| self.bench.dev.register(place).expect("a register").low();
        let mut after = state;
        for (to, place) in after.registers.iter_mut().zip(&self.places) {
            *to = get(*place);
        }
        after.flags = get(self.flags);
        self.get_image(&mut after.image);
        if raised {
            self.enter();
        } else {
            let expected = CODE + code.len() as u64;
            assert_eq!(get(self.rip), expected, "{code:02x?}");
        }
        (after, raised)
    }
}

/// Whether both can be asked about an instruction.
fn comparable(raw: &Instruction) -> bool {
    use Mnemonic::*;
    let features = raw.cpuid_features().iter().all(|feature| {
        matches!(
            feature,
            CpuidFeature::INTEL8086
                | CpuidFeature::INTEL186
                | CpuidFeature::INTEL286
                | CpuidFeature::INTEL386
                | CpuidFeature::INTEL486
                | CpuidFeature::X64
                | CpuidFeature::CMOV
                | CpuidFeature::CX8
                | CpuidFeature::CMPXCHG16B
                | CpuidFeature::MULTIBYTENOP
                | CpuidFeature::POPCNT
                | CpuidFeature::FPU
                | CpuidFeature::FPU287
                | CpuidFeature::FPU387
                | CpuidFeature::MMX
                | CpuidFeature::FXSR
                | CpuidFeature::SSE
                | CpuidFeature::SSE2
                | CpuidFeature::SSE3
                | CpuidFeature::SSSE3
                | CpuidFeature::SSE4_1
                | CpuidFeature::SSE4_2
                | CpuidFeature::AES
                | CpuidFeature::PCLMULQDQ
        )
    });
    let segments = (0..raw.op_count()).any(|n| {
        raw.op_kind(n) == OpKind::Register
            && (Register::ES..=Register::GS).contains(&raw.op_register(n))
    });
    let other_segment = matches!(raw.memory_segment(), Register::FS | Register::GS);
    // What leads back to the host is behind the instruction.
    let itself = raw.is_ip_rel_memory_operand();
    features
        && !itself
        && !raw.is_invalid()
        && !segments
        && !other_segment
        && raw.flow_control() == FlowControl::Next
        && !raw.is_privileged()
        && !matches!(
            raw.mnemonic(),
            Lss | Lfs | Lgs | Lar | Lsl | Verr | Verw | Sgdt | Sidt | Sldt | Str | Smsw
                | Popf | Popfq | Wait | Bswap | Rdtsc
                // Processors differ in what they remember of an instruction.
                | Fnstenv | Fldenv | Fnsave | Frstor | Fxsave | Fxsave64 | Fxrstor | Fxrstor64
                // Approximations are a processor's own.
                | Rcpps | Rcpss | Rsqrtps | Rsqrtss
                // No manual has this one.
                | Fstpnce
        )
        // Without the feature LZCNT is another one.
        && !(matches!(raw.mnemonic(), Bsf | Bsr) && raw.has_rep_prefix())
}

/// Random numbers.
struct Dice(TestRng);

impl Dice {
    fn number(&mut self) -> u64 {
        use proptest::prelude::Rng;
        self.0.next_u64()
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.number() % limit
    }

    /// Bytes that may be an instruction.
    fn code(&mut self) -> Vec<u8> {
        let mut code = Vec::new();
        for prefix in [0x66, 0x67, 0xf2, 0xf3, 0xf0] {
            if self.below(12) == 0 {
                code.push(prefix);
            }
        }
        if self.below(2) == 0 {
            code.push(0x40 | self.below(16) as u8);
        }
        match self.below(12) {
            0..4 => code.push(0x0f),
            4 => code.extend([0x0f, 0x38]),
            5 => code.extend([0x0f, 0x3a]),
            6..8 => {
                code.push(0xd8 + self.below(8) as u8);
                code.push(self.number() as u8);
            }
            _ => {}
        }
        code.push(self.number() as u8);
        code.push(self.number() as u8);
        code.push(self.number() as u8);
        while code.len() < 15 {
            let byte = if self.below(2) == 0 {
                0
            } else {
                self.number() as u8
            };
            code.push(byte);
        }
        code
    }

    /// A number of the x87's.
    fn extended(&mut self) -> u128 {
        let exponent = match self.below(8) {
            0 => 0,
            1 => 0x7fff,
            2 => 0x3fff + self.below(64),
            3 => self.below(0x8000),
            _ => 0x3fff - 20 + self.below(40),
        };
        let first = u64::from(self.below(16) != 0 && exponent != 0) << 63;
        let fraction = match self.below(4) {
            0 => 0,
            1 => self.number() >> 1 & (u64::MAX << self.below(64)),
            _ => self.number() >> 1,
        };
        let sign = self.below(2) << 15;
        u128::from(sign | exponent) << 64 | u128::from(first | fraction)
    }

    /// What may be in an XMM register: integers, or numbers of one format.
    fn vector(&mut self) -> u128 {
        let any = |dice: &mut Self| u128::from(dice.number()) << 64 | u128::from(dice.number());
        match self.below(4) {
            0 => any(self),
            1 => (0..4).fold(0, |all, _| {
                let exponent = match self.below(8) {
                    0 => 0,
                    1 => 0xff,
                    2 => self.below(256),
                    _ => 107 + self.below(40),
                };
                let fraction = self.number() & 0x7f_ffff & (u64::MAX << self.below(24));
                all << 32 | u128::from(self.below(2) << 31 | exponent << 23 | fraction)
            }),
            2 => (0..2).fold(0, |all, _| {
                let exponent = match self.below(8) {
                    0 => 0,
                    1 => 0x7ff,
                    2 => self.below(2048),
                    _ => 1003 + self.below(40),
                };
                let fraction = self.number() & 0xf_ffff_ffff_ffff & (u64::MAX << self.below(53));
                all << 64 | u128::from(self.below(2) << 63 | exponent << 52 | fraction)
            }),
            _ => any(self) & any(self) & any(self),
        }
    }

    fn image(&mut self) -> Image {
        let top = self.below(8) as u16;
        // Sometimes exceptions are not masked, and none is pending.
        let unmasked = |dice: &mut Self| match dice.below(4) {
            0 => dice.below(64),
            _ => 0,
        };
        let (x87, sse) = (unmasked(self), unmasked(self));
        let raised = self.below(64) & self.number();
        let rounding = self.below(4);
        let precision = [0, 2, 3, 3][self.below(4) as usize];
        Image {
            control: (0x7f & !x87 | precision << 8 | rounding << 10) as u16,
            status: (raised & !x87) as u16 | top << 11,
            used: match self.below(4) {
                0 => self.below(256) as u16,
                _ => 0xff_u16 & !(1 << ((top + 7) & 7)),
            },
            mxcsr: ((0x3f & !sse) << 7
                | raised & !sse
                | self.below(4) << 13
                | (self.below(8) / 7) << 15
                | (self.below(8) / 7) << 6) as u32,
            st: std::array::from_fn(|_| self.extended()),
            xmm: std::array::from_fn(|_| self.vector()),
            ..Image::NEW
        }
    }

    fn register(&mut self) -> u64 {
        match self.below(8) {
            0..3 => DATA + self.below(DATA_SIZE),
            3 => DATA + 16 * self.below(DATA_SIZE / 16),
            4 | 5 => self.below(256),
            6 => self.below(64).wrapping_neg(),
            _ => self.number() >> self.below(64),
        }
    }
}

#[test]
fn instructions_do_what_the_host_does() {
    let count = std::env::var("INSTRUCTIONS").map_or(3000, |n| n.parse().expect("a number"));
    let seed = [std::env::var("SEED").map_or(1, |n| n.parse().expect("a number")); 32];
    let mut dice = Dice(TestRng::from_seed(RngAlgorithm::ChaCha, &seed));
    let (mut host, mut model) = (Host::new(), Model::new());
    for byte in host.data() {
        *byte = dice.number() as u8;
    }
    model.ram.write(DATA, host.data()).expect("an address");
    let mut seen = vec![0u8; DATA_SIZE as usize];
    let mut done = 0;
    let mut quiet = 0;
    let mut differences = BTreeMap::new();
    while done < count {
        let bytes = dice.code();
        let raw = Decoder::with_ip(64, &bytes, CODE, DecoderOptions::NONE).decode();
        if !comparable(&raw) {
            continue;
        }
        let code = &bytes[..raw.len()];
        let mut state = State {
            registers: std::array::from_fn(|_| dice.register()),
            flags: dice.number() & FLAGS | 0x202,
            unused: 0,
            image: dice.image(),
        };
        state.registers[4] = DATA + 0x800 + 8 * dice.below(0x100);
        if raw.is_string_instruction() {
            state.registers[1] = dice.below(16);
        }
        let shift = raw.mnemonic() == Mnemonic::Shld || raw.mnemonic() == Mnemonic::Shrd;
        if shift && state.registers[1] & 0x1f > 15 {
            state.registers[1] &= 0xf;
        }
        // Beyond these the results are undefined.
        let exponent = match raw.mnemonic() {
            Mnemonic::F2xm1 => 0x3ffe,
            Mnemonic::Fyl2xp1 => 0x3ffc,
            _ => 0x7fff,
        };
        if state.image.st[0] >> 64 & 0x7fff > exponent {
            continue;
        }
        if shift && raw.op_kind(2) == OpKind::Immediate8 && raw.immediate8() & 31 > 15 {
            continue;
        }
        let (mut expected, raised) = host.run(code, state);
        let (mut got, also) = model.run(code, state);
        done += 1;
        quiet += u64::from(!raised);
        let mask = FLAGS & !flags_of(&raw);
        expected.flags &= mask;
        got.flags &= mask;
        if raised {
            // What a repeated instruction has done so far is not taken back on either side.
            expected.flags = got.flags;
        }
        // CPUs widen the registers of a repetition with addresses of 32 bits before the first access.
        let low = if raised && raw.is_string_instruction() {
            0xffff_ffff
        } else {
            u64::MAX
        };
        let mut wrong = Vec::new();
        if also != raised {
            wrong.push(format!("an exception: {also}, and not {raised}"));
        }
        for (n, name) in NAMES.into_iter().enumerate() {
            let (got, expected) = (got.registers[n] & low, expected.registers[n] & low);
            if got != expected {
                wrong.push(format!("{name} is {got:#x}, and not {expected:#x}"));
            }
        }
        if got.flags != expected.flags {
            wrong.push(format!(
                "flags are {:#x}, and not {:#x}",
                got.flags, expected.flags
            ));
        }
        if !also && !raised {
            compare_images(&raw, &got.image, &expected.image, &mut wrong);
        }
        model.ram.read(DATA, &mut seen).expect("an address");
        if seen != host.data() {
            wrong.push("memory differs".to_owned());
            model.ram.write(DATA, host.data()).expect("an address");
        }
        if !wrong.is_empty() {
            let name = format!("{:?}", raw.code());
            differences
                .entry(name)
                .or_insert_with(|| format!("{code:02x?}: {} from {state:#x?}", wrong.join("; ")));
        }
    }
    for (code, what) in &differences {
        eprintln!("{code}: {what}");
    }
    assert!(
        differences.is_empty(),
        "{} instructions differ",
        differences.len()
    );
    assert!(quiet > done / 2, "{quiet} of {done} raise no exception");
}

/// Whether an instruction's result is the nearest number or the one beside it.
fn transcendental(raw: &Instruction) -> bool {
    use Mnemonic::*;
    matches!(
        raw.mnemonic(),
        Fsin | Fcos | Fsincos | Fptan | Fpatan | F2xm1 | Fyl2x | Fyl2xp1
    )
}

fn compare_images(raw: &Instruction, got: &Image, expected: &Image, wrong: &mut Vec<String>) {
    let mut compare = |name: &str, got: u128, expected: u128| {
        if got != expected {
            wrong.push(format!("{name} is {got:#x}, and not {expected:#x}"));
        }
    };
    let inexact = if transcendental(raw) { 0x230 } else { 0 };
    let left_out = undefined_conditions(raw) | inexact;
    let status = |image: &Image| u128::from(image.status & !left_out);
    compare("control", got.control.into(), expected.control.into());
    compare("status", status(got), status(expected));
    compare("used", got.used.into(), expected.used.into());
    compare("mxcsr", got.mxcsr.into(), expected.mxcsr.into());
    for n in 0..16 {
        compare(&format!("xmm{n}"), got.xmm[n], expected.xmm[n]);
    }
    for n in 0..8 {
        let (got, expected) = (got.st[n] & TEN_BYTES, expected.st[n] & TEN_BYTES);
        if !(transcendental(raw) && got.abs_diff(expected) <= 1) {
            compare(&format!("st{n}"), got, expected);
        }
    }
}

/// An x87 register.
const TEN_BYTES: u128 = (1 << 80) - 1;

/// C0 to C3 as far as an instruction leaves them undefined.
fn undefined_conditions(raw: &Instruction) -> u16 {
    let (c0, c1, c2, c3) = (1 << 8, 1 << 9, 1 << 10, 1 << 14);
    use Mnemonic::*;
    match raw.mnemonic() {
        Fcom | Fcomp | Fcompp | Fucom | Fucomp | Fucompp | Ficom | Ficomp | Ftst | Fxam | Fprem
        | Fprem1 => 0,
        Fsin | Fcos | Fsincos | Fptan => c0 | c3,
        Fnclex => c0 | c1 | c2 | c3,
        mnemonic if format!("{mnemonic:?}").starts_with('F') => c0 | c2 | c3,
        _ => 0,
    }
}

/// The flags that an instruction leaves undefined.
fn flags_of(raw: &Instruction) -> u64 {
    use iced_x86::RflagsBits;
    let mut undefined = raw.rflags_undefined();
    let rotates = matches!(
        raw.mnemonic(),
        Mnemonic::Rol | Mnemonic::Ror | Mnemonic::Rcl | Mnemonic::Rcr
    );
    // Of a rotation by more than 1, OF as well.
    if rotates && !(raw.op_kind(1) == OpKind::Immediate8 && raw.immediate8() == 1) {
        undefined |= RflagsBits::OF;
    }
    let bits = [
        (RflagsBits::CF, 0),
        (RflagsBits::PF, 2),
        (RflagsBits::AF, 4),
        (RflagsBits::ZF, 6),
        (RflagsBits::SF, 7),
        (RflagsBits::OF, 11),
    ];
    let there = bits.iter().filter(|(bit, _)| undefined & bit != 0);
    there.fold(0, |all, (_, at)| all | 1 << at)
}
