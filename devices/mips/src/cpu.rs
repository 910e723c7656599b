//! A MIPS32 Release 2 CPU: the cores 4KEc, 24Kc, 24Kf, 34Kf (one thread) and 74Kf.
//!
//! MIPS32 Architecture (MD00083, MD00086, MD00090) and the cores' software user's manuals. The configuration registers
//! advertise what is there and nothing else: [`CpuModel`](crate::CpuModel) says of each core what is left out.
//!
//! Every instruction takes one cycle of `clock`, which is what guest time is made of, unless the machine wants more of them in a
//! cycle. Runs are exact: however a run is
//! cut into slices, by deadlines or by single steps, the same things happen at the same instructions.

use solderless_engine::Engine;
use solderless_model::{
    self as model, BuildError, BusKind, Cx, Device, EngineInfo, Interface, Model, Pin, Processor,
    PropError, State, StateError, Stop, TimerId, Wires,
};

use crate::core::Core;
use crate::cp0::{COUNTER, status};
use crate::fpu::Fcsr;
use crate::isa::Mips;
use crate::model::{Identity, Props};
use crate::victims::Victims;

/// How many bits a physical address has (MIPS32 without PABITS beyond 32, as on all cores modelled).
const PHYSICAL_BITS: u8 = 32;
/// Inputs "ip": pin n is Cause.IPn. 0 and 1 are software's, and no pins.
const IP: u16 = 8;
/// Input "nmi": a rising edge is a non-maskable interrupt.
const NMI: u64 = 1 << IP;

/// The CPU.
#[derive(Debug, State)]
pub struct Mips32Cpu {
    core: Box<Core>,
    #[state(skip = "derived from memory")]
    engine: Engine<Mips>,
}

/// The general registers, as the assembler names them.
const GENERAL: [&str; 32] = [
    "zero", "at", "v0", "v1", "a0", "a1", "a2", "a3", "t0", "t1", "t2", "t3", "t4", "t5", "t6",
    "t7", "s0", "s1", "s2", "s3", "s4", "s5", "s6", "s7", "t8", "t9", "k0", "k1", "gp", "sp", "s8",
    "ra",
];
/// The others that a person looks at, with their gdb numbers.
const SPECIAL: [(&str, usize); 6] = [
    ("pc", 37),
    ("hi", 34),
    ("lo", 33),
    ("status", 32),
    ("cause", 36),
    ("badvaddr", 35),
];
const FPU_REGISTERS: [(&str, usize); 2] = [("fcsr", 70), ("fir", 71)];

impl Model for Mips32Cpu {
    const TYPE: &'static str = "mips32-cpu";
    const SUMMARY: &'static str = "MIPS32 Release 2 CPU: 4KEc, 24Kc, 24Kf, 34Kf, 74Kf";
    type Props = Props;

    fn interface(props: &Props) -> Result<Interface, PropError> {
        Identity::new(props)?;
        Ok(Interface::on(BusKind::System)
            .initiator(PHYSICAL_BITS)
            .inputs("ip", IP)
            .inside(&[0, 1], "software raises these interrupts, in Cause")
            .optional_inputs("nmi", 1)
            .part::<Victims>(&[("victim-tlb", false)], props.victim_tlb))
    }

    fn build(props: Props, wires: Wires<'_>) -> Result<Self, BuildError> {
        let identity = Identity::new(&props).map_err(|e| BuildError(e.to_string()))?;
        Ok(Self {
            core: Core::new(identity, wires.fit(Victims::new)).into(),
            engine: Engine::default(),
        })
    }
}

impl Device for Mips32Cpu {
    fn reset(&mut self, cx: &mut Cx<'_>) {
        let instructions = self.core.vcpu.instructions;
        self.engine.clear(&mut self.core);
        let mut victims = self.core.victims.clone();
        if let Some(victims) = victims.get_mut() {
            *victims = Victims::new();
        }
        let notices = std::mem::take(&mut self.core.notices);
        *self.core = Core::new(self.core.identity, victims);
        self.core.vcpu.instructions = instructions;
        self.core.notices = notices;
        self.core.notices.begin(cx.now());
        self.core.sample(cx);
        // Compare is zero, and is not to match at once.
        self.core.set_count(cx.now(), 1);
        self.core.arm_counter(cx);
    }

    fn line(&mut self, cx: &mut Cx<'_>, _: Pin, _: bool) {
        self.core.sample(cx);
    }

    fn timer(&mut self, cx: &mut Cx<'_>, id: TimerId) {
        if id == COUNTER {
            self.core.counter_matches(cx);
        }
    }

    fn processor(&mut self) -> Option<&mut dyn Processor> {
        Some(self)
    }

    fn restored(&mut self, cx: &mut Cx<'_>) -> Result<(), StateError> {
        self.core.vcpu.restored()?;
        self.engine.clear(&mut self.core);
        self.core.tlb.restored();
        self.core.mode_changed();
        self.core.pins = cx.levels() as u32 & 0xff;
        self.core.notices.left_exception_level(cx.now());
        if self.core.match_at != u64::MAX {
            cx.arm(COUNTER, self.core.match_at);
        }
        Ok(())
    }
}

impl Core {
    /// Looks at the inputs.
    pub fn sample(&mut self, cx: &Cx<'_>) {
        let levels = cx.levels();
        self.pins = levels as u32 & 0xff;
        let nmi = levels & NMI != 0;
        self.nmi |= nmi && !self.nmi_level;
        self.nmi_level = nmi;
    }
}

impl Mips32Cpu {
    /// A register of coprocessor 0 as MFC0 reads it, but without its effects; `now` is the guest time in ns.
    pub fn cp0(&self, register: u32, select: u32, now: u64) -> u32 {
        self.core.cp0((register & 31) << 3 | select & 7, now)
    }
}

/// The place of a floating point register, as long as they are in pairs.
fn half(register: usize) -> u8 {
    (register / 2 * 4 + register % 2) as u8
}

impl Processor for Mips32Cpu {
    fn run(&mut self, cx: &mut Cx<'_>, limit: u64) -> Stop {
        self.core.tell_nothing_to_execute(cx);
        self.engine.run(&mut self.core, cx, limit)
    }

    fn set_pace(&mut self, per_cycle: f64) {
        self.core.vcpu.set_pace(per_cycle);
    }

    fn instructions(&self) -> u64 {
        self.core.vcpu.instructions
    }

    fn set_engine(&mut self, engine: model::Engine) -> bool {
        self.engine.choose(&mut self.core, engine)
    }

    fn engine_info(&self) -> EngineInfo {
        self.engine.info()
    }

    fn pc(&self) -> u64 {
        self.core.pc.into()
    }

    fn set_pc(&mut self, pc: u64) {
        self.core.pc = pc as u32;
        self.core.waiting = false;
    }

    fn registers(&self) -> Vec<(&'static str, u64)> {
        let cp0 = &self.core.cp0;
        let fpu: &[(&str, usize)] = match self.core.identity.fpu {
            true => &FPU_REGISTERS,
            false => &[],
        };
        let numbered = GENERAL
            .into_iter()
            .zip(0..)
            .chain(SPECIAL)
            .chain(fpu.iter().copied());
        let numbered = numbered.filter_map(|(name, n)| Some((name, self.register(n)?)));
        let others = [
            ("epc", cp0.epc),
            ("errorepc", cp0.error_epc),
            ("entryhi", cp0.entry_hi),
            ("ebase", cp0.ebase),
        ];
        let others = others.map(|(name, value)| (name, u64::from(value)));
        numbered.chain(others).collect()
    }

    fn register(&self, number: usize) -> Option<u64> {
        let core = &self.core;
        Some(match number {
            0..=31 => core.r[number as u8].into(),
            32 => core.cp0.status.into(),
            33 => core.r[crate::ir::LO].into(),
            34 => core.r[crate::ir::HI].into(),
            35 => core.cp0.bad_vaddr.into(),
            36 => core.cause().into(),
            37 => core.pc.into(),
            38..=69 if core.cp0.status & status::FR != 0 => core.fpr[number - 38],
            38..=69 => core.fpr32(half(number - 38)).into(),
            70 => core.fcsr.0.into(),
            71 => core.identity.fir.into(),
            _ => return None,
        })
    }

    fn set_register(&mut self, number: usize, value: u64) -> bool {
        let core = &mut self.core;
        match number {
            1..=31 => core.r[number as u8] = value as u32,
            32 => {
                core.set_status(value as u32);
                core.mode_changed();
            }
            33 => core.r[crate::ir::LO] = value as u32,
            34 => core.r[crate::ir::HI] = value as u32,
            35 => core.cp0.bad_vaddr = value as u32,
            36 => core.cp0.set_cause(value as u32),
            37 => self.set_pc(value),
            38..=69 if core.cp0.status & status::FR != 0 => core.fpr[number - 38] = value,
            38..=69 => {
                core.fpr[number - 38] = core.fpr[number - 38] & !0xffff_ffff | value & 0xffff_ffff
            }
            70 => core.fcsr = Fcsr(value as u32 & Fcsr::WRITABLE),
            _ => return false,
        }
        true
    }
}
