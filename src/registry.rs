//! The device types of this build: the one place that names them.

use std::fmt;

use schemars::Schema;
use serde::Deserialize;
use serde_json::Value;
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

/// A boot protocol.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum Protocol {
    /// MIPS YAMON: argc, argv, envp and memory size in a0 to a3 (MIPS YAMON User's Manual, MD00008).
    Yamon,
    /// Nothing is handed over: the CPU is as a reset leaves it, but for $k0 and that it stands at the kernel's entry.
    None,
}
