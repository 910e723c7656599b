//! The device types of this build, and the architectures of its CPUs: the one place that names them.

use std::fmt;

use schemars::Schema;
use serde::Deserialize;
use serde_json::{Map, Value};
use solderless_model::boot::{Architecture, Protocol};
use solderless_model::{
    BuildError, Contents, Device, Interface, Model, Parts, PropError, Question, Ranges, Wires,
};

/// A device type.
pub struct Entry {
    /// The name on a board.
    pub name: &'static str,
    /// The names that it had before.
    pub old_names: &'static [&'static str],
    /// The names that its properties had before, each with that of now.
    pub old_properties: &'static [(&'static str, &'static str)],
    /// One line about it.
    pub summary: &'static str,
    /// The JSON Schema of its properties.
    pub schema: fn() -> Schema,
    /// Its properties with these set and all others at their default, or why they do not decode.
    pub decode: fn(&Value) -> Result<Properties, String>,
    /// Its properties with all at their default.
    pub defaults: fn() -> Properties,
    /// What a property was before it was there; `None` if it has always been there.
    pub before: fn(&str) -> Option<Value>,
    /// See [`Model::QUESTIONS`].
    pub questions: &'static [Question],
    /// What a device saves: see [`solderless_model::contents`].
    pub contents: fn(&Parts, &[u64]) -> Contents,
}

impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

/// The properties of a device: as its model has them, and by name as they are shown.
pub struct Properties {
    typed: Box<dyn Typed>,
    shown: Map<String, Value>,
}

/// The functions of a model over its own properties.
trait Typed: Send + Sync {
    /// See [`Model::interface`].
    fn interface(&self) -> Result<Interface, PropError>;
    /// See [`Model::build`].
    fn build(&self, wires: Wires<'_>) -> Result<Box<dyn Device>, BuildError>;
}

struct Of<M: Model>(M::Props);

impl<M: Model> Typed for Of<M> {
    fn interface(&self) -> Result<Interface, PropError> {
        M::interface(&self.0)
    }

    fn build(&self, wires: Wires<'_>) -> Result<Box<dyn Device>, BuildError> {
        Ok(Box::new(M::build(self.0.clone(), wires)?))
    }
}

impl Properties {
    fn decode<M: Model>(set: &Value) -> Result<Self, String> {
        let props = match set {
            // What TOML has in place of a null.
            Value::Object(all) if all.values().any(is_unset) => {
                let value = |value: &Value| {
                    if is_unset(value) {
                        Value::Null
                    } else {
                        value.clone()
                    }
                };
                let all = all.iter().map(|(name, set)| (name.clone(), value(set)));
                M::Props::deserialize(Value::Object(all.collect()))
            }
            set => M::Props::deserialize(set),
        };
        let props = props.map_err(|e| e.to_string())?;
        match props.in_range() {
            true => Ok(Self::of::<M>(props)),
            false => Err("a number is out of its range".to_owned()),
        }
    }

    fn before<M: Model>(property: &str) -> Option<Value> {
        let histories = M::Props::histories();
        let history = histories.iter().find(|h| h.property == property)?;
        let mut props = M::Props::default();
        (history.put)(&mut props);
        Self::of::<M>(props).get(property).cloned()
    }

    fn of<M: Model>(props: M::Props) -> Self {
        let shown = match serde_json::to_value(&props) {
            Ok(Value::Object(shown)) => shown,
            // None of the types has such properties: a test decodes what is shown.
            _ => Map::new(),
        };
        Self {
            typed: Box::new(Of::<M>(props)),
            shown,
        }
    }

    /// See [`Model::interface`].
    ///
    /// # Errors
    /// As that.
    pub fn interface(&self) -> Result<Interface, PropError> {
        self.typed.interface()
    }

    /// See [`Model::build`].
    ///
    /// # Errors
    /// As that.
    pub fn build(&self, wires: Wires<'_>) -> Result<Box<dyn Device>, BuildError> {
        self.typed.build(wires)
    }

    /// The value of a property; `None` if the type has no such property.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.shown.get(name)
    }

    /// Every property with its value, by name.
    pub fn all(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.shown
            .iter()
            .map(|(name, value)| (name.as_str(), value))
    }

    /// The names of all of them.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.shown.keys().map(String::as_str)
    }

    /// The same as one value.
    pub fn to_json(&self) -> Value {
        Value::Object(self.shown.clone())
    }
}

/// Whether a value is that of a property that is not set: an empty table.
fn is_unset(value: &Value) -> bool {
    value.as_object().is_some_and(Map::is_empty)
}

impl fmt::Debug for Properties {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.shown.fmt(f)
    }
}

impl PartialEq for Properties {
    fn eq(&self, other: &Self) -> bool {
        self.shown == other.shown
    }
}

const fn entry<M: Model>() -> Entry {
    Entry {
        name: M::TYPE,
        old_names: M::OLD_TYPES,
        old_properties: M::OLD_PROPERTIES,
        summary: M::SUMMARY,
        schema: || draft07().into_root_schema_for::<M::Props>(),
        decode: Properties::decode::<M>,
        defaults: || Properties::of::<M>(M::Props::default()),
        before: Properties::before::<M>,
        questions: M::QUESTIONS,
        contents: solderless_model::contents::<M>,
    }
}

/// The generator of every schema of the program: draft-07, which TOML language servers know best.
pub fn draft07() -> schemars::SchemaGenerator {
    schemars::generate::SchemaSettings::draft07().into_generator()
}

/// Every device type, in the alphabetical order of their names.
pub static TYPES: &[Entry] = &[
    entry::<solderless_pci::Piix3Isa>(),
    entry::<solderless_acpi::Piix4Pm>(),
    entry::<solderless_display::Vga>(),
    entry::<solderless_intc::ApicBus>(),
    entry::<solderless_storage::Pflash>(),
    entry::<solderless_storage::Pflash02>(),
    entry::<solderless_net::E1000>(),
    entry::<solderless_platform::Exit>(),
    entry::<solderless_platform::FwCfg>(),
    entry::<solderless_timer::GoldfishRtc>(),
    entry::<solderless_pci::Gt64120>(),
    entry::<solderless_pci::I440Fx>(),
    entry::<solderless_input::I8042>(),
    entry::<solderless_dma::I8257>(),
    entry::<solderless_storage::IdeCd>(),
    entry::<solderless_storage::IdeHd>(),
    entry::<solderless_platform::Debugcon>(),
    entry::<solderless_intc::I8259>(),
    entry::<solderless_platform::IsaMmio>(),
    entry::<solderless_platform::PcSpeaker>(),
    entry::<solderless_timer::I8254>(),
    entry::<solderless_platform::IsaRom>(),
    entry::<solderless_serial::IsaSerial>(),
    entry::<solderless_platform::MaltaFpga>(),
    entry::<solderless_timer::Mc146818>(),
    entry::<solderless_mips::Mips32Cpu>(),
    entry::<solderless_mips::Mips64Cpu>(),
    entry::<solderless_net::MipsNet>(),
    entry::<solderless_serial::PciSerial<1>>(),
    entry::<solderless_serial::PciSerial<2>>(),
    entry::<solderless_serial::PciSerial<4>>(),
    entry::<solderless_pci::PciSlot>(),
    entry::<solderless_net::Pcnet>(),
    entry::<solderless_storage::Piix3Ide>(),
    entry::<solderless_storage::Piix4Ide>(),
    entry::<solderless_pci::Piix4Isa>(),
    entry::<solderless_usb::Piix4Uhci>(),
    entry::<solderless_platform::Port92>(),
    entry::<solderless_platform::Ram>(),
    entry::<solderless_riscv::RiscvCpu>(),
    entry::<solderless_timer::AclintMtimer>(),
    entry::<solderless_intc::AclintSwi>(),
    entry::<solderless_platform::Rom>(),
    entry::<solderless_serial::SerialMm>(),
    entry::<solderless_intc::Plic>(),
    entry::<solderless_platform::SifiveTest>(),
    entry::<solderless_acpi::SmbusEeprom>(),
    entry::<solderless_virtio::Virtio9pDevice>(),
    entry::<solderless_virtio::Virtio9pPci>(),
    entry::<solderless_virtio::VirtioBlkDevice>(),
    entry::<solderless_virtio::VirtioBlkPci>(),
    entry::<solderless_virtio::VirtioMmio>(),
    entry::<solderless_virtio::VirtioNetDevice>(),
    entry::<solderless_virtio::VirtioNetPci>(),
    entry::<solderless_virtio::VirtioRngDevice>(),
    entry::<solderless_virtio::VirtioRngPci>(),
    entry::<solderless_virtio::VirtioSerialDevice>(),
    entry::<solderless_virtio::VirtioSerialPci>(),
    entry::<solderless_x86::X86Cpu>(),
];

/// The type that had this name before.
pub fn renamed(name: &str) -> Option<&'static Entry> {
    TYPES.iter().find(|e| e.old_names.contains(&name))
}

/// The type with this name.
pub fn find(name: &str) -> Option<&'static Entry> {
    let found = TYPES.binary_search_by(|entry| entry.name.cmp(name));
    found.ok().map(|index| &TYPES[index])
}

/// The architectures of the CPUs among the types.
pub static ARCHITECTURES: &[&dyn Architecture] = &[
    &solderless_mips::boot::Mips,
    &solderless_riscv::boot::Riscv,
    &solderless_x86::boot::X86,
];

/// The architecture with this name.
pub fn architecture(name: &str) -> Option<&'static dyn Architecture> {
    let mut all = ARCHITECTURES.iter().copied();
    all.find(|architecture| architecture.name() == name)
}

/// Every way to start a kernel, those of one name beside each other, each with its architecture.
pub fn protocols() -> Vec<(&'static dyn Architecture, &'static dyn Protocol)> {
    let all = ARCHITECTURES.iter().flat_map(|architecture| {
        let protocols = architecture.protocols().iter();
        protocols.map(move |protocol| (*architecture, *protocol))
    });
    let mut all: Vec<_> = all.collect();
    all.sort_by_key(|(_, protocol)| protocol.name());
    all
}
