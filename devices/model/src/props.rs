//! Property types that a board writes with a unit.

use std::borrow::Cow;
use std::fmt;
use std::ops::RangeBounds;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Error, Unexpected, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

const BINARY: [(&str, u64); 5] = [
    ("TiB", 1 << 40),
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("B", 1),
];
const DECIMAL: [(&str, u64); 4] = [
    ("GHz", 1_000_000_000),
    ("MHz", 1_000_000),
    ("kHz", 1000),
    ("Hz", 1),
];

/// A number, optionally with a fraction, and a unit of the list. The value must be whole.
fn parse(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let text = text.trim();
    let (number, unit) = units
        .iter()
        .find_map(|(suffix, unit)| text.strip_suffix(suffix).map(|n| (n.trim_end(), *unit)))?;
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let digits = |s: &str| !s.is_empty() && s.bytes().all(|b| b.is_ascii_digit());
    if !digits(whole) || (number.contains('.') && !digits(fraction)) {
        return None;
    }
    let scale = 10u64.checked_pow(u32::try_from(fraction.len()).ok()?)?;
    let value = u128::from(format!("{whole}{fraction}").parse::<u64>().ok()?) * u128::from(unit);
    value
        .is_multiple_of(u128::from(scale))
        .then(|| u64::try_from(value / u128::from(scale)).ok())
        .flatten()
}

fn print(value: u64, units: &[(&str, u64)]) -> String {
    let (suffix, unit) = units
        .iter()
        .find(|(_, unit)| value.is_multiple_of(*unit) && value >= *unit)
        .unwrap_or(&units[units.len() - 1]);
    format!("{}{suffix}", value / unit)
}

macro_rules! quantity {
    ($name:ident, $units:expr, $what:literal, $pattern:literal, $doc:literal) => {
        #[doc = $doc]
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
        pub struct $name(pub u64);

        impl $name {
            /// How it is written, in words.
            pub const FORM: &'static str = $what;
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&print(self.0, &$units))
            }
        }

        impl std::str::FromStr for $name {
            type Err = String;
            fn from_str(text: &str) -> Result<Self, String> {
                parse(text, &$units).map(Self).ok_or_else(|| format!("expected {}", $what))
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
                s.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                struct Text;
                impl Visitor<'_> for Text {
                    type Value = $name;
                    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                        f.write_str($what)
                    }
                    fn visit_str<E: Error>(self, text: &str) -> Result<$name, E> {
                        text.parse().map_err(|_| E::invalid_value(Unexpected::Str(text), &self))
                    }
                }
                d.deserialize_str(Text)
            }
        }

        impl JsonSchema for $name {
            fn inline_schema() -> bool {
                true
            }
            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }
            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({ "type": "string", "pattern": $pattern })
            }
        }
    };
}

quantity!(
    Size,
    BINARY,
    "a size such as \"128MiB\" (units B, KiB, MiB, GiB, TiB)",
    r"^[0-9]+(\.[0-9]+)? ?(B|KiB|MiB|GiB|TiB)$",
    "A size in bytes, written with a binary unit: `\"128MiB\"`."
);
quantity!(
    Hertz,
    DECIMAL,
    "a frequency such as \"100MHz\" (units Hz, kHz, MHz, GHz)",
    r"^[0-9]+(\.[0-9]+)? ?(Hz|kHz|MHz|GHz)$",
    "A frequency in hertz, written with a unit: `\"100MHz\"`."
);

/// Properties that know the ranges of their numbers and of the lengths of their lists, where these are narrower than the
/// Rust types: `#[derive(Ranges)]` takes them from the `#[schemars(…)]` that puts them into the schema.
pub trait Ranges {
    /// Whether every number and every length is in its range.
    fn in_range(&self) -> bool;
    /// The properties that came after the first release of a board, each with what it was before.
    fn histories() -> Vec<History<Self>>
    where
        Self: Sized;
}

/// A property that came later: `#[prop(since = 5, before = false)]` at its field.
#[derive(Debug, Clone, Copy)]
pub struct History<P> {
    /// Its name on a board.
    pub property: &'static str,
    /// The state version of the program that brought it.
    pub since: u32,
    /// Gives it the value of a device that did not have it.
    pub put: fn(&mut P),
}

/// A number that can have a range.
pub trait Bounded {
    /// Whether it is in a range. No number at all is in every range.
    fn within(&self, range: impl RangeBounds<i128>) -> bool;
}

macro_rules! bounded {
    ($($ty:ty),*) => {
        $(impl Bounded for $ty {
            fn within(&self, range: impl RangeBounds<i128>) -> bool {
                range.contains(&i128::from(*self))
            }
        })*
    };
}

bounded!(u8, u16, u32, u64);

impl<T: Bounded> Bounded for Option<T> {
    fn within(&self, range: impl RangeBounds<i128>) -> bool {
        self.as_ref().is_none_or(|number| number.within(range))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_read_and_print() {
        for (text, value, printed) in [
            ("128MiB", 128 << 20, "128MiB"),
            ("1.5 GiB", 3 << 29, "1536MiB"),
            ("0B", 0, "0B"),
            ("4097B", 4097, "4097B"),
        ] {
            assert_eq!(text.parse(), Ok(Size(value)), "{text}");
            assert_eq!(Size(value).to_string(), printed);
        }
        assert_eq!("3.579545MHz".parse(), Ok(Hertz(3_579_545)));
        for bad in [
            "",
            "MiB",
            "12",
            "-1MiB",
            "1.MiB",
            ".5MiB",
            "0.3B",
            "1e3B",
            "99999999999TiB",
            "12 mib",
        ] {
            assert!(bad.parse::<Size>().is_err(), "{bad}");
        }
    }
}
