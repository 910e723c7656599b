//! What instructions of user mode do not show: the local APIC, system management mode, address line 20, FERR#.

use solderless_model::memory::Ram;
use solderless_model::testing::Bench;
use solderless_model::{Pin, Pins, Processor, Stop};
use solderless_x86::{Props, X86Cpu};

/// Where real mode begins, and where protected mode does.
const REAL: u64 = 0x7c00;
const PROTECTED: u64 = 0x7e00;
const HANDLER: u64 = 0x7f80;
const HANDLERS_VECTOR: u64 = 0x40;

struct Rig {
    bench: Bench<X86Cpu>,
    ram: Ram,
}

fn pin(all: &[Pins], name: &str) -> Pin {
    let place = all.iter().position(|pins| pins.name == name);
    Pin(place.expect("a pin") as u16)
}

impl Rig {
    /// A CPU that executes this in real mode, from [`REAL`] on.
    fn new(props: Props, code: &[u8]) -> Self {
        let mut bench = Bench::<X86Cpu>::new(props);
        let ram = Ram::new(2 << 20).expect("memory");
        bench.around.ram = Some(ram.clone());
        bench.around.deadline = u64::MAX;
        bench.reset();
        let mut rig = Self { bench, ram };
        rig.put(REAL, code);
        rig.set("cs", 0);
        rig.set("eip", REAL);
        rig
    }

    /// One that goes to protected mode before, with a handler for one vector.
    fn protected(props: Props, code: &[u8], handler: &[u8]) -> Self {
        let mut real = vec![0xfa, 0x0f, 0x01, 0x16, 0x00, 0x7d]; // cli; lgdt [7d00]
        real.extend([0x0f, 0x01, 0x1e, 0x08, 0x7d]); // lidt [7d08]
        real.extend([0x0f, 0x20, 0xc0, 0x0c, 0x01, 0x0f, 0x22, 0xc0]); // CR0.PE
        real.extend([0x66, 0xea, 0x00, 0x7e, 0, 0, 8, 0]); // jmp 8:7e00
        let rig = Self::new(props, &real);
        rig.put(
            0x7d00,
            &[23, 0, 0x10, 0x7d, 0, 0, 0, 0, 0xff, 7, 0, 0x60, 0, 0],
        );
        rig.put(0x7d18, &0x00cf_9b00_0000_ffff_u64.to_le_bytes());
        rig.put(0x7d20, &0x00cf_9300_0000_ffff_u64.to_le_bytes());
        let gate = HANDLER & 0xffff | 8 << 16 | 0x8e00 << 32;
        rig.put(0x6000 + 8 * HANDLERS_VECTOR, &gate.to_le_bytes());
        // mov ax, 16; mov ds, ax; mov ss, ax; mov esp, 9000h
        let mut all = vec![
            0x66, 0xb8, 0x10, 0, 0x8e, 0xd8, 0x8e, 0xd0, 0xbc, 0, 0x90, 0, 0,
        ];
        all.extend(code);
        rig.put(PROTECTED, &all);
        rig.put(HANDLER, handler);
        rig
    }

    fn put(&self, at: u64, bytes: &[u8]) {
        self.ram.write(at, bytes).expect("an address");
    }

    fn byte(&self, at: u64) -> u8 {
        self.ram.read_u8(at).expect("an address")
    }

    fn place(&self, name: &str) -> usize {
        let wide = match name {
            "eip" => "rip".to_owned(),
            name if name.len() == 3 && name.starts_with('e') => format!("r{}", &name[1..]),
            name => name.to_owned(),
        };
        let dev = &self.bench.dev;
        dev.named(name)
            .or_else(|| dev.named(&wide))
            .expect("a register")
    }

    fn set(&mut self, name: &str, value: u64) {
        let place = self.place(name);
        assert!(self.bench.dev.set_register(place, value.into()));
    }

    fn get(&self, name: &str) -> u64 {
        let value = self.bench.dev.register(self.place(name));
        value.expect("a register").low()
    }

    fn run(&mut self, instructions: u64) -> Stop {
        self.bench.with(|d, cx| d.run(cx, instructions))
    }

    fn line(&mut self, name: &str, high: bool) {
        let pin = pin(&self.bench.interface.inputs, name);
        self.bench.line(pin, high);
    }

    fn output(&self, name: &str) -> bool {
        self.bench.output(pin(&self.bench.interface.outputs, name))
    }
}

#[test]
fn an_smi_goes_to_its_handler_and_comes_back() {
    for model in ["pentium3", "qemu64"] {
        let props = props_of(model);
        // inc ax; jmp to it
        let mut rig = Rig::new(props, &[0x40, 0xeb, 0xfd]);
        // mov byte [500h], 0aah; rsm
        rig.put(0x3_8000, &[0xc6, 0x06, 0x00, 0x05, 0xaa, 0x0f, 0xaa]);
        rig.run(11);
        let before = ["eax", "eip", "eflags", "esp", "cs"].map(|name| rig.get(name));
        rig.line("smi", true);
        rig.line("smi", false);
        rig.run(1);
        assert!(rig.output("smiact"), "{model}");
        assert_eq!(rig.byte(0x500), 0xaa);
        assert_eq!(rig.get("cs"), 0x3000);
        rig.run(1);
        assert!(!rig.output("smiact"));
        let after = ["eax", "eip", "eflags", "esp", "cs"].map(|name| rig.get(name));
        assert_eq!(after, before, "{model}");
        rig.run(4);
        assert_eq!(rig.get("eax"), before[0] + 2);
    }
}

fn props_of(model: &str) -> Props {
    use solderless_x86::CpuModel;
    let model = match model {
        "pentium3" => CpuModel::Pentium3,
        _ => CpuModel::Qemu64,
    };
    Props {
        model,
        ..Props::default()
    }
}

/// mov dword [address], value
fn store(address: u32, value: u32) -> Vec<u8> {
    let mut code = vec![0xc7, 0x05];
    code.extend(address.to_le_bytes());
    code.extend(value.to_le_bytes());
    code
}

/// inc ebx; EOI; iret
fn handler() -> Vec<u8> {
    let mut code = vec![0x43];
    code.extend(store(0xfee0_00b0, 0));
    code.push(0xcf);
    code
}

#[test]
fn the_local_apics_timer_interrupts() {
    let mut code = store(0xfee0_00f0, 0x1ff);
    code.extend(store(0xfee0_0320, HANDLERS_VECTOR as u32));
    code.extend(store(0xfee0_0380, 1000));
    code.extend([0xfb, 0xf4, 0xeb, 0xfd]); // sti; hlt; jmp to hlt
    let mut rig = Rig::protected(Props::default(), &code, &handler());
    rig.set("ebx", 0);
    assert_eq!(rig.run(100), Stop::Wait);
    assert_eq!(rig.get("ebx"), 0);
    rig.bench.advance(1900);
    assert_eq!(rig.run(100), Stop::Wait);
    assert_eq!(rig.get("ebx"), 0);
    // Ticks of a nanosecond, divided by two.
    rig.bench.advance(200);
    assert_eq!(rig.run(100), Stop::Wait);
    assert_eq!(rig.get("ebx"), 1);
    rig.bench.advance(10_000);
    assert_eq!(rig.run(100), Stop::Wait);
    assert_eq!(rig.get("ebx"), 1);
}

#[test]
fn a_cpu_interrupts_itself_when_its_priority_lets_it() {
    let mut code = store(0xfee0_00f0, 0x1ff);
    code.extend(store(0xfee0_0080, 0x40));
    code.extend(store(0xfee0_0300, 0x4_0000 | HANDLERS_VECTOR as u32));
    code.extend([0xfb, 0x90, 0x89, 0xd9]); // sti; nop; mov ecx, ebx
    code.extend(store(0xfee0_0080, 0x30));
    code.extend([0x90, 0xf4]);
    let mut rig = Rig::protected(Props::default(), &code, &handler());
    rig.set("ebx", 0);
    rig.set("ecx", 7);
    assert_eq!(rig.run(100), Stop::Wait);
    assert_eq!((rig.get("ecx"), rig.get("ebx")), (0, 1));
}

#[test]
fn other_cpus_wait_until_they_are_started() {
    let props = Props {
        apic_id: 1,
        ..Props::default()
    };
    // mov al, 5; hlt
    let mut rig = Rig::new(props, &[]);
    rig.put(0x9000, &[0xb0, 0x05, 0xf4]);
    assert_eq!(rig.run(10), Stop::Wait);
    // What the APIC bus says: INIT, and a start-up interrupt for page 9.
    let mailbox = 0xfee0_1010;
    for message in [0x8000_0500, 0x8000_0609] {
        rig.bench.around.registers.insert(mailbox, message);
        rig.line("apic", true);
        rig.bench.around.registers.insert(mailbox, 0);
        rig.line("apic", false);
    }
    assert_eq!(rig.run(10), Stop::Wait);
    assert_eq!(rig.get("cs"), 0x900);
    assert_eq!(rig.get("eax") & 0xff, 5);
}

#[test]
fn address_line_20_is_closed_once_it_has_been_open() {
    // mov ax, 0ffffh; mov ds, ax; mov byte [10h], bl; hlt
    let code = [0xb8, 0xff, 0xff, 0x8e, 0xd8, 0x88, 0x1e, 0x10, 0x00, 0xf4];
    for (lines, low, high) in [(&[][..], 0, 5), (&[true], 0, 5), (&[true, false], 5, 0)] {
        let mut rig = Rig::new(Props::default(), &code);
        for line in lines {
            rig.line("a20", *line);
        }
        rig.set("ebx", 5);
        assert_eq!(rig.run(10), Stop::Wait);
        assert_eq!((rig.byte(0), rig.byte(0x10_0000)), (low, high), "{lines:?}");
    }
}

#[test]
fn without_ne_an_exception_of_the_x87_is_a_line() {
    let mut code = vec![0xdb, 0xe3, 0xd9, 0x2e, 0x00, 0x06]; // fninit; fldcw [600h]
    code.extend([0xd9, 0xe8, 0xd9, 0xee, 0xde, 0xf9]); // fld1; fldz; fdivp
    code.extend([0x9b, 0xdb, 0xe2]); // fwait; fnclex
    let mut rig = Rig::new(Props::default(), &code);
    rig.put(0x600, &0x37b_u16.to_le_bytes());
    rig.run(5);
    assert!(!rig.output("ferr"));
    rig.run(1);
    assert!(rig.output("ferr"));
    rig.run(1);
    assert!(!rig.output("ferr"));
}
