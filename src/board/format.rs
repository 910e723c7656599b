//! The sections of a board that are the same for every device type, as they are decoded and as the schema has them.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::Value as Json;
use solderless_model::{Size, SlotKind};

use crate::graph::plan::Protocol;

/// `[board]`: what the file is.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct BoardSection {
    /// The board's name, as `solderless run` takes it.
    pub name: String,
    /// One line about the board.
    #[serde(default)]
    pub summary: String,
    /// The board this one starts from: a name, or a file beside this one. Tables are merged, anything else that stands
    /// here too replaces what stands there.
    pub extends: Option<String>,
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
    #[serde(default)]
    pub summary: String,
}

/// `[slot]`: a place where whoever runs the board plugs in something of the host.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct SlotSection {
    /// What can be plugged in.
    pub kind: SlotKind,
    /// What is plugged in if the run does not say.
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
    pub protocol: Protocol,
    /// The largest part of the main memory that a kernel is told of.
    pub low_memory: Size,
    /// The physical address of a 16550's registers, one byte apart, that the firmware's print calls write to.
    pub console: Option<u64>,
    /// What firmware would have set up before a kernel starts: pairs of a physical address and the 32-bit word written
    /// there, lowest byte at the lowest address, in this order.
    #[serde(default)]
    pub setup: Vec<(u64, u32)>,
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
