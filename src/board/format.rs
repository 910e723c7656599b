//! The sections of a board that are the same for every device type, as they are decoded and as the schema has them.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::Value as Json;
use solderless_model::boot::{Architecture, Protocol};
use solderless_model::{Size, SlotKind};

use crate::registry;

/// The tables at the top of a board.
pub const SECTIONS: [&str; 10] = [
    "board", "param", "alias", "defaults", "chip", "dev", "join", "slot", "boot", "allow",
];

/// The tables at the top of a chip's file.
pub const CHIP_SECTIONS: [&str; 10] = [
    "interface",
    "param",
    "port",
    "alias",
    "defaults",
    "chip",
    "dev",
    "join",
    "slot",
    "allow",
];

/// The tables at the top of an overlay.
pub const OVERLAY_SECTIONS: [&str; 10] = [
    "overlay", "param", "alias", "defaults", "chip", "dev", "join", "slot", "boot", "allow",
];

/// The tables at the top of a run file.
pub const RUN_SECTIONS: [&str; 4] = ["run", "param", "backend", "boot"];

/// The keys of a device that are not its type.
pub const KEYS: [&str; 5] = ["at", "map", "irq", "backend", "when"];

/// The keys of a chip on a board.
pub const CHIP_KEYS: [&str; 9] = [
    "use", "at", "when", "irq", "backend", "param", "defaults", "dev", "chip",
];

/// A text on one line, as it is shown everywhere.
fn line<'de, D: Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    let text = String::deserialize(from)?;
    Ok(text.trim().replace(char::is_control, " "))
}

/// `[board]`: what the file is.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct BoardSection {
    /// The board's name, as `solderless run` takes it.
    pub name: String,
    /// One line about the board.
    #[serde(default, deserialize_with = "line")]
    pub summary: String,
    /// The version of the board that this is: `"1"` for `malta@1`. What a saved machine of it holds does not change.
    pub version: Option<String>,
    /// The board this one starts from: a name, or a file beside this one. Tables are merged, anything else that stands
    /// here too replaces what stands there.
    pub extends: Option<String>,
    /// The state version that the board's machines are held to, so that their state can be loaded by programs that know no
    /// later one. A board that is released under a version says it; others have all that there is.
    pub state: Option<std::num::NonZeroU32>,
    /// What the board extended has and this one has not, by path: `"dev.lpt0"`, `"dev.eth0.irq"`,
    /// `"chip.piix4.dev.usb"`.
    #[serde(default)]
    pub delete: Vec<String>,
}

/// `[interface]`: what the file of a chip is.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct InterfaceSection {
    /// The chip's name, as a board's `use` takes it.
    pub name: String,
    /// One line about the chip.
    #[serde(default, deserialize_with = "line")]
    pub summary: String,
    /// The chip this one starts from: a name, or a file beside this one. Merged as boards are.
    pub extends: Option<String>,
    /// What the chip extended has and this one has not, by path.
    #[serde(default)]
    pub delete: Vec<String>,
}

/// `[overlay]`: what an overlay file is.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct OverlaySection {
    /// One line about the overlay.
    #[serde(default, deserialize_with = "line")]
    pub summary: String,
    /// What the board has and is taken away, by path.
    #[serde(default)]
    pub delete: Vec<String>,
}

/// `[run]`: what a run file runs.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct RunSection {
    /// The board: a name, or a file beside this one. The command line may name another.
    pub board: Option<String>,
    /// Overlay files beside this one, the later stronger.
    #[serde(default)]
    pub overlays: Vec<String>,
}

/// `[boot]` of a run file: what is booted. Paths are those of files beside the run file.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct RunBootSection {
    /// Firmware image for the board's flash memory, as its build made it.
    pub firmware: Option<String>,
    /// Kernel or bare-metal program to boot without firmware, an ELF file.
    pub kernel: Option<String>,
    /// Initial RAM disk for the kernel.
    pub initrd: Option<String>,
    /// Command line for the kernel.
    pub append: Option<String>,
}

/// `[chip.NAME]`: a chip on a board, or within another chip.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct ChipSection {
    /// The chip: a name, or a file beside this one.
    #[serde(rename = "use")]
    pub chip: String,
    /// Where the chip sits: `"bus:address"`. What its devices call `chip` is this place.
    pub at: Option<String>,
    /// It is there only if the parameter is `true`, or has the value that `is` says.
    #[serde(rename = "when")]
    _when: Option<WhenSection>,
}

/// A port of a chip: the name by which a board reaches something inside.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub enum PortSection {
    /// A bus that a device of the chip offers: `"isa.isa"`.
    Bus(String),
    /// Inputs of a device of the chip: `"pic[0-15]"`.
    Input(String),
    /// An output of a device of the chip: `"pic.int"`.
    Output(String),
}

/// `when`: the parameter that decides whether something is there.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum WhenSection {
    /// `"param.NAME"`: a parameter that is `true` or `false`.
    Param(String),
    /// A parameter and the value that it has to have.
    Is(WhenIs),
    /// A parameter and the least value that it has to have.
    Min(WhenMin),
}

/// A parameter and the value that it has to have.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct WhenIs {
    /// The parameter's name.
    pub param: String,
    /// The value.
    pub is: Json,
}

/// A parameter and the least value that it has to have.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct WhenMin {
    /// The parameter's name. It is a number, a size or a frequency.
    pub param: String,
    /// The least value.
    pub min: Json,
}

/// What a parameter takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ParamType {
    /// A size in bytes: `"128MiB"`.
    Size,
    /// A frequency: `"100MHz"`.
    Frequency,
    /// An integer.
    Int,
    /// `true` or `false`.
    Bool,
    /// Text.
    String,
}

/// `[param.NAME]`: a value that whoever runs the board can set, and that stands wherever the board says `"${NAME}"`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct ParamSection {
    /// What it takes.
    #[serde(rename = "type")]
    pub kind: ParamType,
    /// Its value if nobody sets it. Without a default it must be set.
    pub default: Option<Json>,
    /// The smallest value allowed.
    pub min: Option<Json>,
    /// The largest value allowed.
    pub max: Option<Json>,
    /// The values allowed.
    #[serde(rename = "enum")]
    pub choices: Option<Vec<Json>>,
    /// One line about it.
    #[serde(default, deserialize_with = "line")]
    pub summary: String,
}

/// `[slot]`: a place where whoever runs the board plugs in something of the host.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct SlotSection {
    /// What can be plugged in.
    pub kind: SlotKind,
    /// What is plugged in if the run does not say: `console` or `null`, for an image `rom:NAME` or `file:PATH`, beside this file.
    pub default: Option<String>,
}

/// `[boot]`: how the board starts what the user names.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct BootSection {
    /// The slot that takes the firmware.
    pub firmware: String,
    /// The device that is the main memory.
    pub memory: String,
    /// The CPU that starts.
    pub cpu: String,
    /// How a kernel gets its arguments.
    pub protocol: ProtocolName,
    /// The largest part of the main memory that a kernel is told of.
    pub low_memory: Size,
    /// The physical address of a 16550's registers, one byte apart, that the firmware's print calls write to.
    pub console: Option<u64>,
    /// What firmware would have set up before a kernel starts: pairs of a physical address and the 32-bit word written
    /// there, lowest byte at the lowest address, in this order.
    #[serde(default)]
    pub setup: Vec<(u64, u32)>,
}

/// The name of a boot protocol that some CPU has.
#[derive(Debug)]
pub struct ProtocolName(pub String);

impl<'de> Deserialize<'de> for ProtocolName {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let name = String::deserialize(from)?;
        let mut all = registry::protocols().into_iter();
        match all.any(|(_, protocol)| protocol.name() == name) {
            true => Ok(Self(name)),
            false => Err(D::Error::custom("unknown boot protocol")),
        }
    }
}

impl JsonSchema for ProtocolName {
    fn schema_name() -> Cow<'static, str> {
        "Protocol".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let all = registry::protocols();
        let choices = all.chunk_by(|(_, a), (_, b)| a.name() == b.name());
        let choices = choices.map(|same| {
            let text = |(architecture, protocol): &(&dyn Architecture, &dyn Protocol)| match same {
                [_] => protocol.summary().to_owned(),
                _ => format!("{}: {}", architecture.title(), protocol.summary()),
            };
            let texts: Vec<_> = same.iter().map(text).collect();
            json_schema!({ "type": "string", "const": same[0].1.name(), "description": texts.join("\n\n") })
        });
        let choices: Vec<_> = choices.collect();
        json_schema!({ "oneOf": choices, "description": "A boot protocol." })
    }
}

/// How the outputs that drive one input act together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum JoinOp {
    /// The input is high while any of them is.
    Or,
}

/// `[join.NAME]`: inputs that several outputs may drive.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct JoinSection {
    /// The inputs, as a line names them: `"pic[9]"`, `"pic[3-7,9]"`.
    pub inputs: String,
    /// How the outputs act together.
    pub op: JoinOp,
}

/// One entry of a device's `map`: a window through which the bus sees a region of the device.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct MapEntry {
    /// Where the window starts: `"bus:address"`.
    pub at: String,
    /// Where in the region it starts. Nothing of the region may be left there: then there is no window.
    #[serde(default)]
    pub offset: Amount,
    /// The longest it may be; otherwise it shows the region to its end.
    pub limit: Option<Amount>,
    /// The region; otherwise the device's first.
    pub view: Option<String>,
    /// It is meant to lie over another device's window.
    #[serde(default)]
    pub over: bool,
    /// The CPU that alone sees it, in place of what all others see there.
    pub cpu: Option<String>,
}

/// A number of bytes, as an integer or with a unit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Amount(pub u64);

impl<'de> Deserialize<'de> for Amount {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct Either;
        impl Visitor<'_> for Either {
            type Value = Amount;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a size such as \"128MiB\" or a number of bytes")
            }
            fn visit_u64<E: Error>(self, bytes: u64) -> Result<Amount, E> {
                Ok(Amount(bytes))
            }
            fn visit_str<E: Error>(self, text: &str) -> Result<Amount, E> {
                text.parse()
                    .map(|Size(bytes)| Amount(bytes))
                    .map_err(E::custom)
            }
        }
        d.deserialize_any(Either)
    }
}

impl JsonSchema for Amount {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        "Amount".into()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let size = Size::json_schema(generator);
        json_schema!({ "anyOf": [size, { "type": "integer", "minimum": 0 }] })
    }
}
