//! A MIPS CPU: the MIPS32 cores 4KEc, 24Kc, 24Kf, 34Kf (one thread) and 74Kf, and the MIPS64 cores 5Kc, 5Kf, 5KEc, 5KEf, 20Kc
//! and QEMU's of Release 2.
//!
//! MIPS32 and MIPS64 Architecture (MD00082, MD00083, MD00086, MD00087, MD00090, MD00091) and the cores' software user's manuals. The configuration registers
//! advertise what is there and nothing else: [`CpuModel`](crate::CpuModel) says of each core what is left out.
//!
//! Every instruction takes one cycle of `clock`, which is what guest time is made of, unless the machine wants more of them in a
//! cycle. Runs are exact: however a run is
//! cut into slices, by deadlines or by single steps, the same things happen at the same instructions.

use solderless_engine::Engine;
use solderless_model::registers::{Register, Value};
use solderless_model::{
    self as model, BuildError, BusKind, Cpu, Cx, Device, Disassembled, EngineInfo, Interface,
    Model, Pin, Pins, Place, Processor, PropError, State, StateError, Stop, Stops, Taken, TimerId,
    Translation, Wires, connections,
};

use crate::boot;
use crate::core::Core;
use crate::cp0::COUNTER;
use crate::disasm::disassemble;
use crate::isa::Mips;
use crate::model::{CpuModel, CpuModel64, Identity, Models, Props};
use crate::registers;
use crate::tlb::ASID;
use crate::victims::Victims;
use crate::width::Width;

connections! {
    fn connections(_: ()) on BusKind::System;
    // Pin n is Cause.IPn.
    input IP[8] = Pins::named("ip").inside(&[0, 1], "software raises these interrupts, in Cause");
    // A rising edge is a non-maskable interrupt.
    input NMI = Pins::named("nmi").optional();
}

/// A CPU, with registers of a width.
#[derive(Debug, State)]
pub struct MipsCpu<W: Sort> {
    core: Box<Core<W>>,
    #[state(skip = "derived from memory")]
    engine: Engine<Mips<W>>,
}

/// A MIPS32 CPU.
pub type Mips32Cpu = MipsCpu<u32>;
/// A MIPS64 CPU.
pub type Mips64Cpu = MipsCpu<u64>;

/// What the device types of the two widths differ in.
pub trait Sort: Width {
    /// The cores.
    type Models: Models
        + std::fmt::Debug
        + serde::Serialize
        + serde::de::DeserializeOwned
        + schemars::JsonSchema
        + Send
        + Sync
        + 'static;
    /// The device type, and a line about it.
    const NAMES: (&'static str, &'static str);
}

impl Sort for u32 {
    type Models = CpuModel;
    const NAMES: (&'static str, &'static str) = (
        "mips32-cpu",
        "MIPS32 Release 2 CPU: 4KEc, 24Kc, 24Kf, 34Kf, 74Kf",
    );
}

impl Sort for u64 {
    type Models = CpuModel64;
    const NAMES: (&'static str, &'static str) = (
        "mips64-cpu",
        "MIPS64 CPU: 5Kc, 5Kf, 5KEc, 5KEf, 20Kc, MIPS64R2-generic",
    );
}

impl<W: Sort> Model for MipsCpu<W> {
    const TYPE: &'static str = W::NAMES.0;
    const SUMMARY: &'static str = W::NAMES.1;
    type Props = Props<W::Models>;

    fn interface(props: &Self::Props) -> Result<Interface, PropError> {
        let identity = Identity::new(props)?;
        let cpu = Cpu {
            architecture: boot::Mips::NAME,
            bits: if W::WIDE { 64 } else { 32 },
            big_endian: props.big_endian,
        };
        Ok(connections(())
            .processor(cpu, identity.pabits)
            .part::<Victims<W>>(&[("victim-tlb", false)], props.victim_tlb))
    }

    fn build(props: Self::Props, wires: Wires<'_>) -> Result<Self, BuildError> {
        let identity = Identity::new(&props).map_err(|e| BuildError(e.to_string()))?;
        Ok(Self {
            core: Core::new(identity, wires.fit(Victims::new)).into(),
            engine: Engine::default(),
        })
    }
}

impl<W: Sort> Device for MipsCpu<W> {
    fn reset(&mut self, cx: &mut Cx<'_>) {
        let instructions = self.core.vcpu.instructions;
        self.engine.clear(&mut self.core);
        let mut victims = self.core.victims.clone();
        if let Some(victims) = victims.get_mut() {
            *victims = Victims::new();
        }
        let notices = std::mem::take(&mut self.core.notices);
        let halts = std::mem::take(&mut self.core.vcpu.halts);
        let taken = self.core.vcpu.taken.take();
        let semihosting = self.core.semihosting;
        *self.core = Core::new(self.core.identity, victims);
        self.core.vcpu.instructions = instructions;
        self.core.notices = notices;
        self.core.vcpu.halts = halts;
        self.core.vcpu.taken = taken;
        self.core.semihosting = semihosting;
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
        self.core.pins = cx.levels(IP, 8) as u32;
        self.core.notices.left_exception_level(cx.now());
        if self.core.match_at != u64::MAX {
            cx.arm(COUNTER, self.core.match_at);
        }
        Ok(())
    }
}

impl<W: Width> Core<W> {
    /// Looks at the inputs.
    pub fn sample(&mut self, cx: &Cx<'_>) {
        self.pins = cx.levels(IP, 8) as u32;
        let nmi = cx.level(NMI);
        self.nmi |= nmi && !self.nmi_level;
        self.nmi_level = nmi;
    }

    /// Goes on at another address, waiting no more.
    pub fn go_on_at(&mut self, pc: W) {
        self.pc = pc;
        self.waiting = false;
    }
}

impl<W: Sort> MipsCpu<W> {
    /// A register of coprocessor 0 as MFC0, or DMFC0, reads it, but without its effects; `now` is the guest time in ns.
    pub fn cp0(&self, register: u32, select: u32, now: u64) -> W {
        self.core.cp0((register & 31) << 3 | select & 7, now)
    }
}

impl<W: Sort> Processor for MipsCpu<W> {
    fn run(&mut self, cx: &mut Cx<'_>, limit: u64) -> Stop {
        self.core.ll_bit.take_back();
        self.core.tell_nothing_to_execute(cx);
        let stop = self.engine.run(&mut self.core, cx, limit);
        self.core.lend(cx);
        stop
    }

    fn lend(&mut self, cx: &mut Cx<'_>) {
        self.core.lend(cx);
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

    fn set_semihosting(&mut self, on: bool) -> bool {
        self.core.semihosting = on;
        true
    }

    fn engine_info(&self) -> EngineInfo {
        self.engine.info()
    }

    fn set_stops(&mut self, stops: &Stops) -> bool {
        // Who knows MIPS64 may write them sign-extended.
        let short = |at: &mut Place| {
            if let Place::Virtual(at) = at {
                *at = W::cut(*at).into();
            }
        };
        let mut stops = stops.clone();
        stops.breakpoints.iter_mut().for_each(short);
        stops.watchpoints.iter_mut().for_each(|w| short(&mut w.at));
        self.engine.set_stops(&mut self.core, &stops);
        true
    }

    fn look(&self, va: u64) -> Option<u64> {
        self.core.look(W::cut(va))
    }

    /// The valid pages, of which each entry has two.
    fn tlb(&self) -> Option<Vec<Translation>> {
        let entries = (0..self.core.tlb.len()).filter_map(|n| Some((n, self.core.tlb.get(n)?)));
        let pages = entries.flat_map(|(number, entry)| {
            let size = u64::from((entry.mask | 0x1fff) >> 1) + 1;
            let base: u64 = (entry.hi & !W::from(0x1fff)).into();
            let halves = entry.lo.map(Into::<u64>::into).into_iter().zip(0..);
            let valid = halves.filter(|(lo, _)| entry.written && lo & 2 != 0);
            valid.map(move |(lo, half)| Translation {
                entry: number,
                va: base + half * size,
                pa: lo << 6 & !(size - 1),
                size,
                asid: (!entry.global()).then_some((entry.hi.low() & ASID) as u16),
                attributes: format!("v{} c{}", if lo & 4 != 0 { " d" } else { "" }, lo >> 3 & 7),
            })
        });
        Some(pages.collect())
    }

    fn trace_exceptions(&mut self, on: bool) -> bool {
        self.core.vcpu.keep_taken(on);
        true
    }

    fn exceptions(&mut self) -> Vec<Taken> {
        self.core.vcpu.take_taken()
    }

    fn disassemble(&self, at: u64, bytes: &[u8]) -> Option<Disassembled> {
        let bytes = *bytes.first_chunk()?;
        let word = match self.core.identity.big_endian {
            true => u32::from_be_bytes(bytes),
            false => u32::from_le_bytes(bytes),
        };
        Some(disassemble(W::cut(at), word))
    }

    fn pc(&self) -> u64 {
        self.core.pc.into()
    }

    fn set_pc(&mut self, pc: u64) {
        self.core.go_on_at(W::cut(pc));
    }

    fn architecture(&self) -> &'static str {
        match (W::WIDE, self.core.identity.release) {
            (false, _) => "mips",
            (true, 1) => "mips:isa64",
            (true, _) => "mips:isa64r2",
        }
    }

    fn registers(&self) -> Vec<Register> {
        let table = registers::table::<W>(&self.core.identity).iter();
        table.map(|row| row.register).collect()
    }

    fn register(&self, place: usize) -> Option<Value> {
        let row = registers::table::<W>(&self.core.identity).get(place)?;
        Some(row.value(&self.core))
    }

    fn set_register(&mut self, place: usize, value: Value) -> bool {
        let row = registers::table::<W>(&self.core.identity).get(place);
        row.is_some_and(|row| row.set(&mut self.core, value))
    }
}
