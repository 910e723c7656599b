//! What a device saves: written and read by its fields.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;

use solderless_memory::{Ram, Reservation};

use crate::describe::{Describe, Describer, Type};

/// An instance that can be saved and loaded. Derived with `#[derive(State)]`; written by hand only for the leaves below.
pub trait Persist {
    /// Writes the state, as [`Describe::describe`] says it.
    fn save(&self, out: &mut Writer);
    /// Reads what [`Persist::save`] wrote.
    ///
    /// # Errors
    /// The stream is short, or holds a value that this type cannot have. The instance may then be
    /// partly overwritten: load into a fresh one.
    fn load(&mut self, from: &mut Reader<'_>) -> Result<(), StateError>;
}

/// State: it can be described without an instance, and one can be saved and loaded.
pub trait State: Describe + Persist {}

impl<T: Describe + Persist> State for T {}

/// The state version of a machine that no board pins: all that its models have.
pub const NEWEST: u32 = u32::MAX;

/// Why a stream was not loaded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct StateError {
    path: Vec<&'static str>,
    reason: String,
}

impl fmt::Display for StateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for name in self.path.iter().rev() {
            write!(f, "{name}: ")?;
        }
        f.write_str(&self.reason)
    }
}

impl StateError {
    /// An error with its reason, a phrase without a capital or full stop.
    pub fn new(reason: impl Into<String>) -> Self {
        Self {
            path: Vec::new(),
            reason: reason.into(),
        }
    }

    /// A variant number that the type does not have.
    pub fn variant(name: &str, tag: u32) -> Self {
        Self::new(format!("{name} has no variant {tag}"))
    }

    /// The same error, seen from the structure that has the field.
    #[must_use]
    pub fn inside(mut self, field: &'static str) -> Self {
        self.path.push(field);
        self
    }
}

/// One section of saved state: a device, or a part of one.
#[derive(Debug, Clone)]
pub struct Section {
    /// The device's path, and the part's name behind it: `pm`, `pm.pcihp`.
    pub path: String,
    /// The encoded fields.
    pub payload: Vec<u8>,
    /// The blocks of guest memory among the fields: the machine's own, so they change when it runs on.
    pub memory: Vec<Ram>,
}

impl PartialEq for Section {
    fn eq(&self, other: &Self) -> bool {
        self.path == other.path
            && self.payload == other.payload
            && self.memory.len() == other.memory.len()
            && self
                .memory
                .iter()
                .zip(&other.memory)
                .all(|(a, b)| a.equals(b))
    }
}

const CODEC: bincode::config::Configuration<
    bincode::config::LittleEndian,
    bincode::config::Fixint,
> = bincode::config::standard().with_fixed_int_encoding();

/// State outside of any section.
pub(crate) fn encoded(state: &dyn Persist) -> Vec<u8> {
    let mut out = Writer::default();
    out.section("", state);
    out.sections.pop().map_or_else(Vec::new, |s| s.payload)
}

/// Collects the sections of a machine's state.
#[derive(Debug)]
pub struct Writer {
    sections: Vec<Section>,
    current: usize,
    version: u32,
    lost: Option<StateError>,
}

impl Default for Writer {
    fn default() -> Self {
        Self::new(NEWEST)
    }
}

impl Writer {
    /// A writer of a state version.
    pub fn new(version: u32) -> Self {
        Self {
            sections: Vec::new(),
            current: 0,
            version,
            lost: None,
        }
    }

    /// Writes one device's section, and its parts' sections behind it.
    pub fn section(&mut self, path: &str, state: &dyn Persist) {
        let outer = self.current;
        self.current = self.sections.len();
        self.sections.push(Section {
            path: path.to_owned(),
            payload: Vec::new(),
            memory: Vec::new(),
        });
        state.save(self);
        self.current = outer;
    }

    fn part(&mut self, name: &str, state: &dyn Persist) {
        let path = format!(
            "{}.{name}",
            self.sections.get(self.current).map_or("", |s| &s.path)
        );
        self.section(&path, state);
    }

    /// The sections written, in order; those of devices without state are left out.
    ///
    /// # Errors
    /// Something has a value that the state version cannot hold.
    pub fn finish(mut self) -> Result<Vec<Section>, StateError> {
        self.sections.retain(|s| !s.payload.is_empty());
        match self.lost {
            Some(lost) => Err(lost),
            None => Ok(self.sections),
        }
    }

    /// For `#[derive(State)]`: writes a field that came with a state version. An earlier one does without, as long as
    /// the field has the value that loading such a stream gives it.
    pub fn added(
        &mut self,
        name: &'static str,
        since: u32,
        field: &dyn Persist,
        default: &dyn Persist,
    ) {
        if self.version >= since {
            field.save(self);
        } else if encoded(field) != encoded(default) {
            self.lose(name, since);
        }
    }

    /// For `#[derive(State)]`: notes that a variant is saved that came with a state version.
    pub fn variant(&mut self, name: &'static str, since: u32) {
        if self.version < since {
            self.lose(name, since);
        }
    }

    fn lose(&mut self, name: &str, since: u32) {
        let path = self.sections.get(self.current).map_or("", |s| &s.path);
        let lost = StateError::new(format!(
            "{path}: {name} has a value that state version {} cannot hold; a board of state version {since} can",
            self.version
        ));
        self.lost.get_or_insert(lost);
    }

    fn bytes(&mut self, bytes: &[u8]) {
        if let Some(section) = self.sections.get_mut(self.current) {
            section.payload.extend_from_slice(bytes);
        }
    }

    fn value(&mut self, value: impl bincode::Encode) {
        if let Some(section) = self.sections.get_mut(self.current) {
            // Encoding an integer into memory has no way to fail.
            let _ = bincode::encode_into_std_write(value, &mut section.payload, CODEC);
        }
    }
}

/// Gives back the sections that a [`Writer`] collected.
#[derive(Debug)]
pub struct Reader<'a> {
    sections: BTreeMap<&'a str, &'a Section>,
    path: String,
    rest: &'a [u8],
    memory: &'a [Ram],
    version: u32,
}

impl<'a> Reader<'a> {
    /// A reader over sections of a state version. What is loaded takes over their memory blocks.
    pub fn new(sections: &'a [Section], version: u32) -> Self {
        Self {
            sections: sections.iter().map(|s| (s.path.as_str(), s)).collect(),
            path: String::new(),
            rest: &[],
            memory: &[],
            version,
        }
    }

    /// Loads one device's section and those of its parts; every byte must be used.
    ///
    /// # Errors
    /// The section is missing although the device has state, too short or too long, or holds an impossible value.
    pub fn section(&mut self, path: &str, state: &mut dyn Persist) -> Result<(), StateError> {
        let section = self.sections.remove(path);
        let outer = (
            std::mem::replace(&mut self.path, path.to_owned()),
            self.rest,
            self.memory,
        );
        (self.rest, self.memory) = section.map_or((&[][..], &[][..]), |s| (&s.payload, &s.memory));
        match (state.load(self), section) {
            (Err(_), None) => {
                return Err(StateError::new(format!("section {path} is missing")));
            }
            (result, _) => result?,
        }
        if !self.rest.is_empty() || !self.memory.is_empty() {
            return Err(StateError::new(format!(
                "section {path} has {} bytes and {} blocks of memory too many",
                self.rest.len(),
                self.memory.len()
            )));
        }
        (self.path, self.rest, self.memory) = outer;
        Ok(())
    }

    fn part(&mut self, name: &str, state: &mut dyn Persist) -> Result<(), StateError> {
        self.section(&format!("{}.{name}", self.path), state)
    }

    /// The paths of sections that nothing has loaded.
    pub fn left(&self) -> impl Iterator<Item = &str> {
        self.sections.keys().copied()
    }

    /// The state version of the sections.
    pub fn version(&self) -> u32 {
        self.version
    }

    /// How many bytes of the section are left.
    fn left_here(&self) -> usize {
        self.rest.len()
    }

    /// Takes a block of guest memory, of any size.
    ///
    /// # Errors
    /// There is none.
    pub fn block(&mut self) -> Result<Ram, StateError> {
        let size: u64 = self.value()?;
        match self.memory.split_first() {
            Some((block, rest)) if block.size() == size => {
                self.memory = rest;
                Ok(block.clone())
            }
            _ => Err(StateError::new("the memory's content is missing")),
        }
    }

    fn bytes(&mut self, len: u64) -> Result<&'a [u8], StateError> {
        let taken = usize::try_from(len).ok();
        let taken = taken.and_then(|len| self.rest.split_at_checked(len));
        let (bytes, rest) = taken
            .ok_or_else(|| StateError::new(format!("{len} elements, but the section ends")))?;
        self.rest = rest;
        Ok(bytes)
    }

    fn value<T: bincode::Decode<()>>(&mut self) -> Result<T, StateError> {
        let (value, used) = bincode::decode_from_slice(self.rest, CODEC)
            .map_err(|e| StateError::new(format!("section {}: {}", self.path, reason(&e))))?;
        self.rest = &self.rest[used..];
        Ok(value)
    }
}

fn reason(error: &bincode::error::DecodeError) -> String {
    use bincode::error::DecodeError;
    match error {
        DecodeError::UnexpectedEnd { .. } => "ends early".to_owned(),
        DecodeError::InvalidBooleanValue(value) => format!("{value} is no truth value"),
        other => other.to_string(),
    }
}

macro_rules! scalar {
    ($($ty:ident)*) => {$(
        impl Describe for $ty {
            fn describe(_: &mut Describer) -> Option<Type> {
                Some(Type::Scalar(stringify!($ty).into()))
            }
        }

        impl Persist for $ty {
            fn save(&self, out: &mut Writer) {
                out.value(*self);
            }
            fn load(&mut self, from: &mut Reader<'_>) -> Result<(), StateError> {
                *self = from.value()?;
                Ok(())
            }
        }
    )*};
}
scalar!(bool u8 u16 u32 u64 i8 i16 i32 i64);

impl Describe for () {
    fn describe(_: &mut Describer) -> Option<Type> {
        Some(Type::structure("unit", Vec::new()))
    }
}

impl Persist for () {
    fn save(&self, _: &mut Writer) {}
    fn load(&mut self, _: &mut Reader<'_>) -> Result<(), StateError> {
        Ok(())
    }
}

impl<T: Describe, const N: usize> Describe for [T; N] {
    fn describe(by: &mut Describer) -> Option<Type> {
        Some(Type::Array(by.inner::<T>(), N as u64))
    }
}

impl<T: Persist, const N: usize> Persist for [T; N] {
    fn save(&self, out: &mut Writer) {
        self.iter().for_each(|item| item.save(out));
    }
    fn load(&mut self, from: &mut Reader<'_>) -> Result<(), StateError> {
        self.iter_mut().try_for_each(|item| item.load(from))
    }
}

impl<T: Describe> Describe for Box<T> {
    fn describe(by: &mut Describer) -> Option<Type> {
        T::describe(by)
    }
}

impl<T: Persist> Persist for Box<T> {
    fn save(&self, out: &mut Writer) {
        (**self).save(out);
    }
    fn load(&mut self, from: &mut Reader<'_>) -> Result<(), StateError> {
        (**self).load(from)
    }
}

macro_rules! sequence {
    ($($seq:ident $push:ident),*) => {$(
        impl<T: Describe> Describe for $seq<T> {
            fn describe(by: &mut Describer) -> Option<Type> {
                Some(Type::Sequence(by.inner::<T>()))
            }
        }

        impl<T: Persist + Default> Persist for $seq<T> {
            fn save(&self, out: &mut Writer) {
                (self.len() as u64).save(out);
                self.iter().for_each(|item| item.save(out));
            }
            fn load(&mut self, from: &mut Reader<'_>) -> Result<(), StateError> {
                let mut len = 0u64;
                len.load(from)?;
                self.clear();
                // An element takes a byte at least: a length that is a lie costs nothing.
                if len > from.left_here() as u64 {
                    return Err(StateError::new(format!("{len} elements, but the section ends")));
                }
                for _ in 0..len {
                    let mut item = T::default();
                    item.load(from)?;
                    self.$push(item);
                }
                Ok(())
            }
        }
    )*};
}
sequence!(Vec push, VecDeque push_back);

/// A run-time latch, always in the layout. An optional block of a device is a [`Fitted`] part instead.
impl<T: Describe> Describe for Option<T> {
    fn describe(by: &mut Describer) -> Option<Type> {
        Some(Type::Latch(by.inner::<T>()))
    }
}

impl<T: Persist + Default> Persist for Option<T> {
    fn save(&self, out: &mut Writer) {
        self.is_some().save(out);
        if let Some(value) = self {
            value.save(out);
        }
    }
    fn load(&mut self, from: &mut Reader<'_>) -> Result<(), StateError> {
        let mut set = false;
        set.load(from)?;
        *self = None;
        if set {
            self.insert(T::default()).load(from)?;
        }
        Ok(())
    }
}

macro_rules! tuple {
    ($($name:ident $index:tt),*) => {
        impl<$($name: Describe),*> Describe for ($($name,)*) {
            fn describe(by: &mut Describer) -> Option<Type> {
                Some(by.structure("tuple", |fields| {
                    $(fields.field::<$name>(stringify!($index));)*
                }))
            }
        }

        impl<$($name: Persist),*> Persist for ($($name,)*) {
            fn save(&self, out: &mut Writer) {
                $(self.$index.save(out);)*
            }
            fn load(&mut self, from: &mut Reader<'_>) -> Result<(), StateError> {
                $(self.$index.load(from)?;)*
                Ok(())
            }
        }
    };
}
tuple!(A 0, B 1);
tuple!(A 0, B 1, C 2);

/// An optional block of a device: there or not by the device's properties.
pub trait Part: State {
    /// The name the plan knows the part by: its node is `<device>.<NAME>`.
    const NAME: &'static str;
    /// The cargo feature that brings the part's code, if it can be left out of a build.
    const FEATURE: Option<&'static str> = None;
    /// Whether this build has the part's code. Without it the type has no values: see
    /// [`not_built!`](crate::not_built).
    const BUILT: bool = true;
}

/// Declares a part that this build has no code for, behind the name of the one with it: a type without values, and
/// its methods for those who call them. A board that wants the part is refused before anything is built.
///
/// ```
/// use solderless_model::not_built;
/// not_built! {
///     pub(crate) Extended: "extended", feature "extended-ram";
///     fn read(&self, offset: u64) -> u8;
/// }
/// ```
#[macro_export]
macro_rules! not_built {
    (
        $vis:vis $name:ident: $part:literal, feature $feature:literal;
        $(fn $method:ident(&$me:ident $(, $arg:ident: $ty:ty)*) $(-> $result:ty)?;)*
    ) => {
        #[doc = concat!("The part `", $part, "`, which this build has no code for.")]
        #[derive(Debug)]
        $vis enum $name {}

        #[allow(dead_code, unused_variables, reason = "the methods of the part with its code")]
        impl $name {
            /// The part, of a plan that does not have it.
            $vis fn fit<P>(
                wires: $crate::Wires<'_>,
                props: &P,
            ) -> Result<$crate::Fitted<Self>, $crate::BuildError> {
                wires.not_built()
            }
            $($vis fn $method(&$me $(, $arg: $ty)*) $(-> $result)? {
                match *$me {}
            })*
        }

        impl $crate::Describe for $name {
            fn describe(_: &mut $crate::Describer) -> Option<$crate::Type> {
                None
            }
        }

        impl $crate::Persist for $name {
            fn save(&self, _: &mut $crate::Writer) {
                match *self {}
            }
            fn load(&mut self, _: &mut $crate::Reader<'_>) -> Result<(), $crate::StateError> {
                match *self {}
            }
        }

        impl $crate::Part for $name {
            const NAME: &'static str = $part;
            const FEATURE: Option<&'static str> = Some($feature);
            const BUILT: bool = false;
        }
    };
}

/// A part of a device. Unlike an [`Option`] it is there exactly when the plan says so, for the
/// machine's whole life: only [`Wires::fit`](crate::Wires::fit) makes one. An absent part has no
/// section, no field and no byte.
#[derive(Debug, Clone)]
pub struct Fitted<T>(pub(crate) Option<T>);

impl<T> Fitted<T> {
    /// The part, if the plan has it.
    pub fn get(&self) -> Option<&T> {
        self.0.as_ref()
    }

    /// The part, if the plan has it.
    pub fn get_mut(&mut self) -> Option<&mut T> {
        self.0.as_mut()
    }
}

impl<T: Part> Describe for Fitted<T> {
    fn describe(by: &mut Describer) -> Option<Type> {
        by.part::<T>();
        None
    }
}

impl<T: Part> Persist for Fitted<T> {
    fn save(&self, out: &mut Writer) {
        if let Some(part) = &self.0 {
            out.part(T::NAME, part);
        }
    }
    fn load(&mut self, from: &mut Reader<'_>) -> Result<(), StateError> {
        match &mut self.0 {
            Some(part) => from.part(T::NAME, part),
            None => Ok(()),
        }
    }
}

/// Bytes of which there can be very many: what a `Vec<u8>` is, saved and loaded in one piece.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Bytes(pub Vec<u8>);

impl Describe for Bytes {
    fn describe(by: &mut Describer) -> Option<Type> {
        Vec::<u8>::describe(by)
    }
}

impl Persist for Bytes {
    fn save(&self, out: &mut Writer) {
        (self.0.len() as u64).save(out);
        out.bytes(&self.0);
    }
    fn load(&mut self, from: &mut Reader<'_>) -> Result<(), StateError> {
        let mut len = 0u64;
        len.load(from)?;
        self.0 = from.bytes(len)?.to_vec();
        Ok(())
    }
}

/// Text, by its UTF-8 bytes.
impl Describe for String {
    fn describe(by: &mut Describer) -> Option<Type> {
        Vec::<u8>::describe(by)
    }
}

impl Persist for String {
    fn save(&self, out: &mut Writer) {
        self.as_bytes().to_vec().save(out);
    }
    fn load(&mut self, from: &mut Reader<'_>) -> Result<(), StateError> {
        let mut bytes = Vec::new();
        bytes.load(from)?;
        *self = String::from_utf8(bytes).map_err(|e| StateError::new(e.to_string()))?;
        Ok(())
    }
}

/// Whether it is there. What it is for is known by whoever has it.
impl Describe for Reservation {
    fn describe(by: &mut Describer) -> Option<Type> {
        bool::describe(by)
    }
}

impl Persist for Reservation {
    fn save(&self, out: &mut Writer) {
        self.held().save(out);
    }
    fn load(&mut self, from: &mut Reader<'_>) -> Result<(), StateError> {
        let mut held = false;
        held.load(from)?;
        self.set(held);
        Ok(())
    }
}

/// A block of guest memory. A loaded one takes the place of the block that was there, whose other handles are stale.
impl Describe for Ram {
    fn describe(by: &mut Describer) -> Option<Type> {
        Some(by.memory())
    }
}

impl Persist for Ram {
    fn save(&self, out: &mut Writer) {
        out.value(self.size());
        if let Some(section) = out.sections.get_mut(out.current) {
            section.memory.push(self.clone());
        }
    }
    fn load(&mut self, from: &mut Reader<'_>) -> Result<(), StateError> {
        let block = from.block()?;
        if block.size() != self.size() {
            return Err(StateError::new(format!(
                "a memory of {} bytes, but it has {} here",
                block.size(),
                self.size()
            )));
        }
        *self = block;
        Ok(())
    }
}

#[cfg(test)]
mod tests;
