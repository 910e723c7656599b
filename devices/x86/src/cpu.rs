//! The device: a CPU with its engine.

use solderless_engine::Engine;
use solderless_model::registers::{Register, Value};
use solderless_model::{
    self as model, BuildError, BusKind, Cpu, Cx, Device, EngineInfo, Interface, Model, Pin, Pins,
    Processor, PropError, State, StateError, Stop, Stops, TimerId, Wires, connections,
};

use crate::boot::X86;
use crate::core::Core;
use crate::isa;
use crate::model::{Identity, Props, feature};
use crate::registers;

connections! {
    fn connections(_: &Props) on BusKind::System;
    input INTR = Pins::named("intr").optional();
    input NMI = Pins::named("nmi").optional();
    input APIC = Pins::named("apic").optional();
    input SMI = Pins::named("smi").optional();
    input A20 = Pins::named("a20").optional();
    output FERR = Pins::named("ferr").optional();
    output SMIACT = Pins::named("smiact").optional();
}

/// The CPU.
#[derive(Debug, State)]
pub struct X86Cpu {
    core: Box<Core>,
    #[state(skip = "derived from memory")]
    engine: Engine<isa::X86>,
}

impl Model for X86Cpu {
    const TYPE: &'static str = "x86_64-cpu";
    const SUMMARY: &'static str = "x86 CPU: 486 to x86-64 with SSE4.2";
    type Props = Props;

    fn interface(props: &Props) -> Result<Interface, PropError> {
        let identity = Identity::new(props)?;
        let cpu = Cpu {
            architecture: X86::NAME,
            bits: if identity.has(feature::LM) { 64 } else { 32 },
            big_endian: false,
        };
        Ok(connections(props).processor(cpu, identity.physical_bits()))
    }

    fn build(props: Props, _: Wires<'_>) -> Result<Self, BuildError> {
        let identity = Identity::new(&props).map_err(|e| BuildError(e.to_string()))?;
        Ok(Self {
            core: Core::new(identity).into(),
            engine: Engine::default(),
        })
    }
}

impl Device for X86Cpu {
    fn reset(&mut self, cx: &mut Cx<'_>) {
        let instructions = self.core.vcpu.instructions;
        self.engine.clear(&mut self.core);
        let halts = std::mem::take(&mut self.core.vcpu.halts);
        *self.core = Core::new(self.core.identity);
        self.core.vcpu.instructions = instructions;
        self.core.vcpu.halts = halts;
        cx.set(FERR, false);
        cx.set(SMIACT, false);
        self.core.sample(cx);
    }

    fn line(&mut self, cx: &mut Cx<'_>, pin: Pin, high: bool) {
        if pin == NMI && high {
            self.core.non_maskable();
        }
        self.core.smi_pending |= pin == SMI && high;
        self.core.sample(cx);
    }

    fn timer(&mut self, cx: &mut Cx<'_>, _: TimerId) {
        self.core.apic_timer(cx);
    }

    fn processor(&mut self) -> Option<&mut dyn Processor> {
        Some(self)
    }

    fn restored(&mut self, cx: &mut Cx<'_>) -> Result<(), StateError> {
        let core = &mut self.core;
        core.vcpu.restored()?;
        core.restored().map_err(StateError::new)?;
        self.engine.clear(core);
        core.arm_timer(cx);
        core.sample(cx);
        Ok(())
    }
}

impl Core {
    /// Looks at the inputs.
    pub fn sample(&mut self, cx: &mut Cx<'_>) {
        self.intr = cx.level(INTR);
        if self.has_apic() {
            self.local_inputs(self.intr);
            if cx.level(APIC) {
                self.receive(cx);
            }
        }
        let open = cx.level(A20);
        self.gated |= open;
        if self.a20_closed == (self.gated && !open) {
            return;
        }
        self.a20_closed = !open;
        self.vcpu.forget_pages();
        self.mode_changed();
    }

    /// Drives SMIACT#, by which the host bridge knows what memory is meant, and has that be so before the next access.
    pub fn show_smm(&self, cx: &mut Cx<'_>) {
        cx.set(SMIACT, self.smm);
        // Lines settle behind an access.
        let _ = cx.bus_read(self.smbase.into(), 4);
    }

    /// Drives FERR#, by which boards have the x87's exceptions interrupt.
    pub fn drive_ferr(&self, cx: &mut Cx<'_>, high: bool) {
        cx.set(FERR, high);
    }
}

impl Processor for X86Cpu {
    fn run(&mut self, cx: &mut Cx<'_>, limit: u64) -> Stop {
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

    fn set_stops(&mut self, stops: &Stops) -> bool {
        self.engine.set_stops(&mut self.core, stops);
        true
    }

    fn look(&self, va: u64) -> Option<u64> {
        self.core.look(va)
    }

    fn pc(&self) -> u64 {
        self.core.pc
    }

    fn set_pc(&mut self, pc: u64) {
        self.core.pc = self.core.wrap(pc);
        self.core.halted = false;
    }

    fn architecture(&self) -> &'static str {
        match self.core.has(feature::LM) {
            true => "i386:x86-64",
            false => "i386",
        }
    }

    fn registers(&self) -> Vec<Register> {
        let table = registers::table_of(&self.core.identity).iter();
        table.map(|row| row.register).collect()
    }

    fn register(&self, place: usize) -> Option<Value> {
        let row = registers::table_of(&self.core.identity).get(place)?;
        Some(row.value(&self.core))
    }

    fn set_register(&mut self, place: usize, value: Value) -> bool {
        let row = registers::table_of(&self.core.identity).get(place);
        row.is_some_and(|row| row.set(&mut self.core, value))
    }
}
