//! What a device saves: described without an instance, written and read by its fields.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;

use solderless_memory::{Ram, Reservation};

/// State that can be described, saved and loaded. Derived with `#[derive(State)]`; written by hand
/// only for the leaves below.
pub trait State {
    /// What an instance of a device with these parts saves.
    fn shape(parts: &Parts) -> Shape
    where
        Self: Sized;
    /// Writes the state, in the order of [`State::shape`].
    fn save(&self, out: &mut Writer);
    /// Reads what [`State::save`] wrote.
    ///
    /// # Errors
    /// The stream is short, or holds a value that this type cannot have. The instance may then be
    /// partly overwritten: load into a fresh one.
    fn load(&mut self, from: &mut Reader<'_>) -> Result<(), StateError>;
}

/// The state version of a machine that no board pins: all that its models have.
pub const NEWEST: u32 = u32::MAX;

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

/// The description of a piece of state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Shape {
    /// A number or truth value, by its Rust name (`u32`, `bool`).
    Scalar(&'static str),
    /// Fields in order, with the type's name.
    Struct(&'static str, Vec<Field>),
    /// One of several variants, with the type's name.
    Choice(&'static str, Vec<Variant>),
    /// A fixed number of equal elements.
    Array(Box<Shape>, usize),
    /// A length and that many elements.
    Sequence(Box<Shape>),
    /// A run-time latch: a truth value, then the content if it is set.
    Latch(Box<Shape>),
    /// A block of guest memory: its size. The content is kept apart, by page. The nth of a device is what its nth region
    /// of kind [`RegionKind::Memory`](crate::RegionKind::Memory) shows.
    Memory,
    /// A part that this device has: a section of its own.
    Part(&'static str, Box<Shape>),
    /// A part that this device does not have: nothing at all.
    Absent,
}

/// A field of a structure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Field {
    /// Its name.
    pub name: &'static str,
    /// What it holds.
    pub shape: Shape,
    /// The state version that brought it, or its name; 1 is the first.
    pub since: u32,
    /// What it was called before.
    pub was: Option<&'static str>,
    /// What it is where a stream of an earlier version is loaded, encoded.
    pub default: Option<Vec<u8>>,
    /// It is a structure whose fields stand in its place.
    flat: bool,
}

impl Field {
    /// A field that has always been there.
    pub fn new(name: &'static str, shape: Shape) -> Self {
        Self {
            name,
            shape,
            since: 1,
            was: None,
            default: None,
            flat: false,
        }
    }

    /// The same, if it is a structure, with its fields in its place.
    #[must_use]
    pub fn flat(self) -> Self {
        Self { flat: true, ..self }
    }

    /// It came with a state version, and is this where an earlier stream does not have it.
    #[must_use]
    pub fn added(self, since: u32, default: &dyn State) -> Self {
        Self {
            since,
            default: Some(encoded(default)),
            ..self
        }
    }

    /// A state version gave it its name; before it had another.
    #[must_use]
    pub fn renamed(self, since: u32, was: &'static str) -> Self {
        Self {
            since,
            was: Some(was),
            ..self
        }
    }
}

/// A variant of a choice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Variant {
    /// Its name.
    pub name: &'static str,
    /// Its fields, a [`Shape::Struct`].
    pub shape: Shape,
    /// The state version that brought it; 1 is the first.
    pub since: u32,
}

impl Shape {
    /// A structure of named fields as a state version has it; parts that are absent leave no trace.
    pub fn structure<const N: usize>(
        name: &'static str,
        parts: &Parts,
        fields: [Field; N],
    ) -> Self {
        let mut kept = Vec::with_capacity(N);
        for field in fields {
            let new = field.since > parts.version;
            match field.was {
                _ if field.shape == Shape::Absent => {}
                _ if field.flat
                    && let Self::Struct(_, fields) = field.shape =>
                {
                    kept.extend(fields)
                }
                Some(was) if new => kept.push(Field::new(was, field.shape)),
                None if new => {}
                _ => kept.push(field),
            }
        }
        Self::Struct(name, kept)
    }

    /// One of several variants, of those that a state version has.
    pub fn choice<const N: usize>(
        name: &'static str,
        parts: &Parts,
        variants: [Variant; N],
    ) -> Self {
        let known = |v: &Variant| v.since <= parts.version;
        Self::Choice(name, variants.into_iter().filter(known).collect())
    }
}

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
fn encoded(state: &dyn State) -> Vec<u8> {
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
    pub fn section(&mut self, path: &str, state: &dyn State) {
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

    fn part(&mut self, name: &str, state: &dyn State) {
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
        field: &dyn State,
        default: &dyn State,
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
    pub fn section(&mut self, path: &str, state: &mut dyn State) -> Result<(), StateError> {
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

    fn part(&mut self, name: &str, state: &mut dyn State) -> Result<(), StateError> {
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
        impl State for $ty {
            fn shape(_: &Parts) -> Shape {
                Shape::Scalar(stringify!($ty))
            }
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

impl State for () {
    fn shape(_: &Parts) -> Shape {
        Shape::Struct("unit", Vec::new())
    }
    fn save(&self, _: &mut Writer) {}
    fn load(&mut self, _: &mut Reader<'_>) -> Result<(), StateError> {
        Ok(())
    }
}

impl<T: State, const N: usize> State for [T; N] {
    fn shape(parts: &Parts) -> Shape {
        Shape::Array(Box::new(T::shape(parts)), N)
    }
    fn save(&self, out: &mut Writer) {
        self.iter().for_each(|item| item.save(out));
    }
    fn load(&mut self, from: &mut Reader<'_>) -> Result<(), StateError> {
        self.iter_mut().try_for_each(|item| item.load(from))
    }
}

impl<T: State> State for Box<T> {
    fn shape(parts: &Parts) -> Shape {
        T::shape(parts)
    }
    fn save(&self, out: &mut Writer) {
        (**self).save(out);
    }
    fn load(&mut self, from: &mut Reader<'_>) -> Result<(), StateError> {
        (**self).load(from)
    }
}

macro_rules! sequence {
    ($($seq:ident $push:ident),*) => {$(
        impl<T: State + Default> State for $seq<T> {
            fn shape(parts: &Parts) -> Shape {
                Shape::Sequence(Box::new(T::shape(parts)))
            }
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
impl<T: State + Default> State for Option<T> {
    fn shape(parts: &Parts) -> Shape {
        Shape::Latch(Box::new(T::shape(parts)))
    }
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
        impl<$($name: State),*> State for ($($name,)*) {
            fn shape(parts: &Parts) -> Shape {
                let fields = [$(Field::new(stringify!($index), $name::shape(parts))),*];
                Shape::structure("tuple", parts, fields)
            }
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

        impl $crate::State for $name {
            fn shape(_: &$crate::Parts) -> $crate::Shape {
                $crate::Shape::Absent
            }
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

impl<T: Part> State for Fitted<T> {
    fn shape(parts: &Parts) -> Shape {
        match parts.has(T::NAME) {
            true => Shape::Part(T::NAME, Box::new(T::shape(parts))),
            false => Shape::Absent,
        }
    }
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

/// Text, by its UTF-8 bytes.
impl State for String {
    fn shape(parts: &Parts) -> Shape {
        Vec::<u8>::shape(parts)
    }
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
impl State for Reservation {
    fn shape(parts: &Parts) -> Shape {
        bool::shape(parts)
    }
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
impl State for Ram {
    fn shape(_: &Parts) -> Shape {
        Shape::Memory
    }
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
