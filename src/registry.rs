//! The device types of this build, and the architectures of its CPUs: the one place that names them.

use std::fmt;

use schemars::Schema;
use serde::Deserialize;
use serde_json::Value;
use solderless_model::boot::{Architecture, Protocol};
use solderless_model::{
    BuildError, Device, Interface, Model, Parts, PropError, Ranges, Shape, Wires,
};

/// Makes a device of untyped properties.
pub type Build = fn(&Value, Wires<'_>) -> Result<Box<dyn Device>, BuildError>;

/// A device type, with its model's functions over untyped properties.
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
    pub decode: fn(&Value) -> Result<Value, String>,
    /// See [`Model::interface`]. The properties must have come from `decode`.
    pub interface: fn(&Value) -> Result<Interface, PropError>,
    /// See [`Model::build`]. The properties must have come from `decode`.
    pub build: Build,
    /// See [`solderless_model::State::shape`].
    pub shape: fn(&Parts) -> Shape,
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

fn props<M: Model>(value: &Value) -> Result<M::Props, String> {
    let props = M::Props::deserialize(value).map_err(|e| e.to_string())?;
    match props.in_range() {
        true => Ok(props),
        false => Err("a number is out of its range".to_owned()),
    }
}

const fn entry<M: Model>() -> Entry {
    Entry {
        name: M::TYPE,
        old_names: M::OLD_TYPES,
        old_properties: M::OLD_PROPERTIES,
        summary: M::SUMMARY,
        schema: || draft07().into_root_schema_for::<M::Props>(),
        decode: |v| props::<M>(v).and_then(|p| serde_json::to_value(p).map_err(|e| e.to_string())),
        interface: |v| {
            M::interface(&props::<M>(v).map_err(|reason| PropError {
                property: "",
                reason,
            })?)
        },
        build: |v, wires| {
            Ok(Box::new(M::build(
                props::<M>(v).map_err(BuildError)?,
                wires,
            )?))
        },
        shape: M::shape,
    }
}

/// The generator of every schema of the program: draft-07, which TOML language servers know best.
pub fn draft07() -> schemars::SchemaGenerator {
    schemars::generate::SchemaSettings::draft07().into_generator()
}

/// Every device type, in the alphabetical order of their names.
pub static TYPES: &[Entry] = &[
    entry::<solderless_acpi::Piix4Pm>(),
    entry::<solderless_storage::Pflash>(),
    entry::<solderless_pci::Gt64120>(),
    entry::<solderless_input::I8042>(),
    entry::<solderless_dma::I8257>(),
    entry::<solderless_intc::I8259>(),
    entry::<solderless_platform::IsaMmio>(),
    entry::<solderless_timer::I8254>(),
    entry::<solderless_serial::IsaSerial>(),
    entry::<solderless_platform::MaltaFpga>(),
    entry::<solderless_timer::Mc146818>(),
    entry::<solderless_mips::Mips32Cpu>(),
    entry::<solderless_net::MipsNet>(),
    entry::<solderless_serial::PciSerial<1>>(),
    entry::<solderless_serial::PciSerial<2>>(),
    entry::<solderless_serial::PciSerial<4>>(),
    entry::<solderless_pci::PciSlot>(),
    entry::<solderless_storage::Ide>(),
    entry::<solderless_pci::Piix4Isa>(),
    entry::<solderless_usb::Piix4Uhci>(),
    entry::<solderless_platform::Ram>(),
    entry::<solderless_platform::Rom>(),
    entry::<solderless_serial::SerialMm>(),
    entry::<solderless_acpi::SmbusEeprom>(),
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
pub static ARCHITECTURES: &[&dyn Architecture] = &[&solderless_mips::boot::Mips];

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
