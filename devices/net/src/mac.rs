//! Hardware addresses, as a board writes them.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// An Ethernet address of one station (IEEE 802.3, section 3.2.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mac(pub [u8; 6]);

impl Default for Mac {
    /// QEMU's first.
    fn default() -> Self {
        Self([0x52, 0x54, 0x00, 0x12, 0x34, 0x56])
    }
}

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

impl Serialize for Mac {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Mac {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<str>::deserialize(deserializer)?;
        let bad = || Error::custom("expected an address such as \"52:54:00:12:34:56\"");
        let mut bytes = text.split(':').map(|byte| {
            let hex = byte.len() == 2 && byte.bytes().all(|b| b.is_ascii_hexdigit());
            hex.then(|| u8::from_str_radix(byte, 16).ok()).flatten()
        });
        let mut mac = [0; 6];
        for byte in &mut mac {
            *byte = bytes.next().flatten().ok_or_else(bad)?;
        }
        if bytes.next().is_some() {
            return Err(bad());
        }
        // That of a group is nobody's own.
        match mac[0] & 1 == 0 && mac != [0; 6] {
            true => Ok(Self(mac)),
            false => Err(Error::custom("the address is not that of one station")),
        }
    }
}

impl JsonSchema for Mac {
    fn schema_name() -> Cow<'static, str> {
        "Mac".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "An Ethernet address, such as 52:54:00:12:34:56",
            "type": "string",
            "pattern": "^[0-9a-fA-F][02468aceACE](:[0-9a-fA-F]{2}){5}$"
        })
    }
}
