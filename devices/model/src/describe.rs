//! What a type saves, said without an instance of it.

use std::borrow::Cow;
use std::collections::{BTreeSet, VecDeque};
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::state::{Part, State, encoded};
use crate::{NEWEST, Size};

/// A type that can say what an instance of it saves. Derived with `#[derive(State)]`.
pub trait Describe {
    /// What an instance writes to the section that it is in, of a device as `by` has it; `None` if that is nothing: a part has a
    /// section of its own.
    fn describe(by: &mut Describer) -> Option<Type>;
}

/// What the plan says of one device that its state depends on: the names of its parts, and the state version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parts {
    names: BTreeSet<String>,
    version: u32,
}

impl Default for Parts {
    fn default() -> Self {
        Self::from_iter([""; 0])
    }
}

impl Parts {
    /// Whether the part with this name is there.
    pub fn has(&self, name: &str) -> bool {
        self.names.contains(name)
    }

    /// The state version: what a later one has brought is not in the layout.
    pub fn version(&self) -> u32 {
        self.version
    }

    /// The same parts at a state version.
    #[must_use]
    pub fn at(self, version: u32) -> Self {
        Self { version, ..self }
    }
}

impl<S: Into<String>> FromIterator<S> for Parts {
    fn from_iter<I: IntoIterator<Item = S>>(names: I) -> Self {
        Self {
            names: names.into_iter().map(Into::into).collect(),
            version: NEWEST,
        }
    }
}

/// A name: of this program, or read from a stream.
pub type Name = Cow<'static, str>;

/// What a piece of state holds, as a stream carries it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Type {
    /// An integer of this many bits and sign (`u32`, `i64`), or `bool`, a byte.
    Scalar(Name),
    /// Fields one after another, with the structure's name.
    Struct(Name, Vec<Field>),
    /// The number of a variant as `u32`, then its fields; with the enumeration's name.
    Choice(Name, Vec<Variant>),
    /// So many elements.
    Array(Box<Type>, u64),
    /// Their number as `u64`, then the elements.
    Sequence(Box<Type>),
    /// A run-time latch: a `bool`, then the content if it is set.
    Latch(Box<Type>),
    /// A block of guest memory: a size in bytes as `u64`; the content is in the stream's memory. The size, where the board
    /// decides: the nth of a device is what its nth region of kind [`RegionKind::Memory`](crate::RegionKind::Memory) shows.
    Memory(Option<u64>),
}

/// A field of a structure.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Field {
    /// Its name.
    pub name: Name,
    /// What it holds.
    pub content: Type,
    /// The state version that brought it, or its name; 1 is the first.
    #[serde(default = "first", skip_serializing_if = "is_first")]
    pub since: u32,
    /// What it was called before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub was: Option<Name>,
    /// What it is where an earlier stream is loaded, encoded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default: Option<Vec<u8>>,
}

/// A variant of a choice.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Variant {
    /// Its name.
    pub name: Name,
    /// Its fields.
    pub fields: Vec<Field>,
    /// The state version that brought it; 1 is the first.
    #[serde(default = "first", skip_serializing_if = "is_first")]
    pub since: u32,
}

fn first() -> u32 {
    1
}

#[allow(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde calls it with a reference"
)]
fn is_first(version: &u32) -> bool {
    *version == 1
}

impl Field {
    /// A field that has always been there.
    pub fn new(name: impl Into<Name>, content: Type) -> Self {
        Self {
            name: name.into(),
            content,
            since: 1,
            was: None,
            default: None,
        }
    }
}

impl Type {
    /// A structure.
    pub fn structure(name: impl Into<Name>, fields: Vec<Field>) -> Self {
        Self::Struct(name.into(), fields)
    }

    /// Whether a value takes no byte, ever.
    pub fn is_empty(&self) -> bool {
        match self {
            Self::Struct(_, fields) => fields.iter().all(|f| f.content.is_empty()),
            Self::Array(inner, len) => *len == 0 || inner.is_empty(),
            _ => false,
        }
    }

    /// How many bytes a value takes in its section at least, and whether it can take more.
    pub fn size(&self) -> (u64, bool) {
        let fields = |fields: &[Field]| {
            fields.iter().fold((0u64, false), |(size, more), f| {
                let (this, varies) = f.content.size();
                (size.saturating_add(this), more || varies)
            })
        };
        match self {
            Self::Scalar(name) => (scalar_size(name).unwrap_or(0), false),
            Self::Struct(_, inner) => fields(inner),
            Self::Choice(_, variants) => {
                let sizes = variants.iter().map(|v| fields(&v.fields));
                let sizes: Vec<_> = sizes.collect();
                let least = sizes.iter().map(|s| s.0).min().unwrap_or(0);
                let equal = sizes.iter().all(|s| *s == (least, false));
                (least.saturating_add(4), !equal)
            }
            Self::Array(inner, len) => {
                let (size, more) = inner.size();
                (size.saturating_mul(*len), more)
            }
            Self::Sequence(_) => (8, true),
            Self::Latch(_) => (1, true),
            Self::Memory(_) => (8, false),
        }
    }

    /// The sizes of the memories in it, `None` for one that the board does not decide.
    pub fn memories(&self) -> Vec<Option<u64>> {
        let fields = |fields: &[Field]| fields.iter().flat_map(|f| f.content.memories()).collect();
        match self {
            Self::Scalar(_) => Vec::new(),
            Self::Struct(_, inner) => fields(inner),
            Self::Choice(_, variants) => variants.iter().flat_map(|v| fields(&v.fields)).collect(),
            Self::Array(inner, _) | Self::Sequence(inner) | Self::Latch(inner) => inner.memories(),
            Self::Memory(size) => vec![*size],
        }
    }

    /// The newest state version that it needs.
    pub fn version(&self) -> u32 {
        let fields = |fields: &[Field]| {
            let versions = fields.iter().map(|f| f.since.max(f.content.version()));
            versions.max().unwrap_or(1)
        };
        match self {
            Self::Scalar(_) | Self::Memory(_) => 1,
            Self::Struct(_, inner) => fields(inner),
            Self::Choice(_, variants) => {
                let versions = variants.iter().map(|v| v.since.max(fields(&v.fields)));
                versions.max().unwrap_or(1)
            }
            Self::Array(inner, _) | Self::Sequence(inner) | Self::Latch(inner) => inner.version(),
        }
    }

    /// The guest memory in it whose size the board decides, in bytes.
    pub fn memory(&self) -> u64 {
        match self {
            Self::Struct(_, fields) => fields.iter().map(|f| f.content.memory()).sum(),
            Self::Array(inner, len) => inner.memory().saturating_mul(*len),
            Self::Memory(size) => size.unwrap_or(0),
            _ => 0,
        }
    }
}

/// How many bytes a scalar of this name takes; `None` if no scalar has it.
pub fn scalar_size(name: &str) -> Option<u64> {
    Some(match name {
        "bool" | "u8" | "i8" => 1,
        "u16" | "i16" => 2,
        "u32" | "i32" => 4,
        "u64" | "i64" => 8,
        _ => return None,
    })
}

/// A type's name as text: `[u32; 34]`, `Vec<u8>`; a structure's by its name.
impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Scalar(name) | Self::Struct(name, _) => f.write_str(name),
            Self::Choice(name, variants) => {
                let names: Vec<_> = variants.iter().map(|v| &*v.name).collect();
                write!(f, "{name} ({})", names.join(" | "))
            }
            Self::Array(inner, len) => write!(f, "[{inner}; {len}]"),
            Self::Sequence(inner) => write!(f, "Vec<{inner}>"),
            Self::Latch(inner) => write!(f, "Option<{inner}>"),
            Self::Memory(Some(size)) => write!(f, "memory of {}", Size(*size)),
            Self::Memory(None) => f.write_str("memory"),
        }
    }
}

/// The sections of one device: what the path of each has behind the device's, and what it holds.
pub type Contents = Vec<(String, Type)>;

/// What a type saves, and what each part in it does, of a device with these parts. `memories` are the sizes of the device's
/// memories, in the order of its regions.
pub fn contents<T: Describe>(parts: &Parts, memories: &[u64]) -> Contents {
    let mut by = Describer {
        parts: parts.clone(),
        memories: memories.iter().copied().collect(),
        path: String::new(),
        done: Contents::new(),
    };
    by.section::<T>(String::new());
    by.done
}

/// Collects what the sections of one device hold, as [`Writer`](crate::Writer) collects the sections.
#[derive(Debug)]
pub struct Describer {
    parts: Parts,
    /// The sizes of the device's memories that have not been come to.
    memories: VecDeque<u64>,
    /// The section that is described, without the device's path.
    path: String,
    done: Contents,
}

impl Describer {
    /// A structure of the fields that `fields` adds.
    pub fn structure(&mut self, name: &'static str, fields: impl FnOnce(&mut Fields<'_>)) -> Type {
        Type::structure(name, self.fields(fields))
    }

    /// One of several variants, of those that the state version has.
    pub fn choice(&mut self, name: &'static str, variants: &[VariantDecl]) -> Type {
        let version = self.parts.version;
        let known = variants.iter().filter(|v| v.since <= version);
        let known = known.map(|v| Variant {
            name: v.name.into(),
            fields: self.fields(v.fields),
            since: v.since,
        });
        Type::Choice(name.into(), known.collect())
    }

    fn fields(&mut self, add: impl FnOnce(&mut Fields<'_>)) -> Vec<Field> {
        let mut fields = Fields {
            by: self,
            done: Vec::new(),
        };
        add(&mut fields);
        fields.done
    }

    /// What elements of a type are, or the content of a latch.
    pub fn inner<T: Describe>(&mut self) -> Box<Type> {
        let nothing = || Type::structure("", Vec::new());
        Box::new(T::describe(self).unwrap_or_else(nothing))
    }

    /// The next memory of the device.
    pub fn memory(&mut self) -> Type {
        Type::Memory(self.memories.pop_front())
    }

    /// A part, if the device has it: a section of its own.
    pub(crate) fn part<T: Part>(&mut self) {
        if self.parts.has(T::NAME) {
            self.section::<T>(format!("{}.{}", self.path, T::NAME));
        }
    }

    fn section<T: Describe>(&mut self, path: String) {
        let outer = std::mem::replace(&mut self.path, path.clone());
        let place = self.done.len();
        // Parts come behind what they are parts of.
        if let Some(content) = T::describe(self) {
            self.done.insert(place, (path, content));
        }
        self.path = outer;
    }
}

/// A variant of a choice, with a function that adds its fields.
#[derive(Debug)]
pub struct VariantDecl {
    /// Its name.
    pub name: &'static str,
    /// The state version that brought it; 1 is the first.
    pub since: u32,
    /// Adds its fields.
    pub fields: fn(&mut Fields<'_>),
}

/// The fields of a structure, or of a variant of a choice.
#[derive(Debug)]
pub struct Fields<'a> {
    by: &'a mut Describer,
    done: Vec<Field>,
}

impl Fields<'_> {
    /// A field that has always been there.
    pub fn field<T: Describe>(&mut self, name: &'static str) {
        self.put::<T>(|content| Field::new(name, content));
    }

    /// The same, if it is a structure, with its fields in its place.
    pub fn flat<T: Describe>(&mut self, name: &'static str) {
        match T::describe(self.by) {
            Some(Type::Struct(_, fields)) => self.done.extend(fields),
            content => self
                .done
                .extend(content.map(|content| Field::new(name, content))),
        }
    }

    /// A field that came with a state version, and is this where an earlier stream does not have it.
    pub fn added<T: State>(&mut self, name: &'static str, since: u32, default: &T) {
        if since <= self.by.parts.version {
            self.put::<T>(|content| Field {
                since,
                default: Some(encoded(default)),
                ..Field::new(name, content)
            });
        }
    }

    /// A field that a state version gave its name; before it had another.
    pub fn renamed<T: Describe>(&mut self, name: &'static str, since: u32, was: &'static str) {
        match since <= self.by.parts.version {
            false => self.field::<T>(was),
            true => self.put::<T>(|content| Field {
                since,
                was: Some(was.into()),
                ..Field::new(name, content)
            }),
        }
    }

    fn put<T: Describe>(&mut self, field: impl FnOnce(Type) -> Field) {
        self.done.extend(T::describe(self.by).map(field));
    }
}
