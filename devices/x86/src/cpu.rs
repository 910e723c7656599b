//! The device: a CPU with its engine.

use solderless_engine::Engine;
use solderless_model::registers::{Register, Value};
use solderless_model::{
    self as model, BuildError, BusKind, Cpu, Cx, Device, EngineInfo, Interface, Model, Pin, Pins,
    Processor, PropError, State, StateError, Stop, Stops, Wires, connections,
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
    const SUMMARY: &'static str = "x86 CPU: 486 to x86-64, integer instructions";
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
        self.core.sample(cx);
    }

    fn line(&mut self, cx: &mut Cx<'_>, pin: Pin, high: bool) {
        if pin == NMI && high {
            self.core.nmi_pending = true;
        }
        self.core.sample(cx);
    }

    fn processor(&mut self) -> Option<&mut dyn Processor> {
        Some(self)
    }

    fn restored(&mut self, cx: &mut Cx<'_>) -> Result<(), StateError> {
        let core = &mut self.core;
        core.vcpu.restored()?;
        core.restored().map_err(StateError::new)?;
        self.engine.clear(core);
        core.sample(cx);
        Ok(())
    }
}

impl Core {
    /// Looks at the inputs.
    pub fn sample(&mut self, cx: &Cx<'_>) {
        self.intr = cx.level(INTR);
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
