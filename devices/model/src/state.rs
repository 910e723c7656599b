//! What a device saves: described without an instance, written and read by its fields.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;

use serde::Serialize;

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

/// The names of the parts that the plan gives one device.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Parts(BTreeSet<String>);

impl Parts {
    /// Whether the part with this name is there.
    pub fn has(&self, name: &str) -> bool {
        self.0.contains(name)
    }
}

impl<S: Into<String>> FromIterator<S> for Parts {
    fn from_iter<I: IntoIterator<Item = S>>(names: I) -> Self {
        Self(names.into_iter().map(Into::into).collect())
    }
}

/// The description of a piece of state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Shape {
    /// A number or truth value, by its Rust name (`u32`, `bool`).
    Scalar(&'static str),
    /// Fields in order, with the type's name.
    Struct(&'static str, Vec<(&'static str, Shape)>),
    /// One of several variants, with the type's name.
    Choice(&'static str, Vec<(&'static str, Shape)>),
    /// A fixed number of equal elements.
    Array(Box<Shape>, usize),
    /// A length and that many elements.
    Sequence(Box<Shape>),
    /// A run-time latch: a truth value, then the content if it is set.
    Latch(Box<Shape>),
    /// A part that this device has: a section of its own.
    Part(&'static str, Box<Shape>),
    /// A part that this device does not have: nothing at all.
    Absent,
}

impl Shape {
    /// A structure of named fields; parts that are absent leave no trace.
    pub fn structure<const N: usize>(
        name: &'static str,
        fields: [(&'static str, Shape); N],
    ) -> Self {
        Self::Struct(
            name,
            fields
                .into_iter()
                .filter(|(_, s)| *s != Shape::Absent)
                .collect(),
        )
    }

    /// One of several variants.
    pub fn choice<const N: usize>(
        name: &'static str,
        variants: [(&'static str, Shape); N],
    ) -> Self {
        Self::Choice(name, variants.into())
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
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Section {
    /// The device's path, and the part's name behind it: `pm`, `pm.pcihp`.
    pub path: String,
    /// The encoded fields.
    pub payload: Vec<u8>,
}

const CODEC: bincode::config::Configuration<
    bincode::config::LittleEndian,
    bincode::config::Fixint,
> = bincode::config::standard().with_fixed_int_encoding();

/// Collects the sections of a machine's state.
#[derive(Debug, Default)]
pub struct Writer {
    sections: Vec<Section>,
    current: usize,
}

impl Writer {
    /// Writes one device's section, and its parts' sections behind it.
    pub fn section(&mut self, path: &str, state: &dyn State) {
        let outer = self.current;
        self.current = self.sections.len();
        self.sections.push(Section {
            path: path.to_owned(),
            payload: Vec::new(),
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

    /// The sections written, in order.
    pub fn finish(self) -> Vec<Section> {
        self.sections
    }

    fn value(&mut self, value: impl bincode::Encode) {
        if let Some(section) = self.sections.get_mut(self.current) {
            // Encoding an integer into memory has no way to fail.
            let _ = bincode::encode_into_std_write(value, &mut section.payload, CODEC);
        }
    }

    /// Writes raw bytes without a length; the reader must know how many.
    pub fn bytes(&mut self, bytes: &[u8]) {
        if let Some(section) = self.sections.get_mut(self.current) {
            section.payload.extend_from_slice(bytes);
        }
    }
}

/// Gives back the sections that a [`Writer`] collected.
#[derive(Debug)]
pub struct Reader<'a> {
    sections: BTreeMap<&'a str, &'a [u8]>,
    path: String,
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// A reader over the sections of a stream.
    pub fn new(sections: &'a [Section]) -> Self {
        Self {
            sections: sections
                .iter()
                .map(|s| (s.path.as_str(), s.payload.as_slice()))
                .collect(),
            path: String::new(),
            rest: &[],
        }
    }

    /// Loads one section and the sections of its parts; every byte must be used.
    ///
    /// # Errors
    /// The section is missing, too short or too long, or holds an impossible value.
    pub fn section(&mut self, path: &str, state: &mut dyn State) -> Result<(), StateError> {
        let payload = self
            .sections
            .remove(path)
            .ok_or_else(|| StateError::new(format!("section {path} is missing")))?;
        let outer = (
            std::mem::replace(&mut self.path, path.to_owned()),
            self.rest,
        );
        self.rest = payload;
        state.load(self)?;
        if !self.rest.is_empty() {
            return Err(StateError::new(format!(
                "section {path} has {} bytes too many",
                self.rest.len()
            )));
        }
        (self.path, self.rest) = outer;
        Ok(())
    }

    fn part(&mut self, name: &str, state: &mut dyn State) -> Result<(), StateError> {
        self.section(&format!("{}.{name}", self.path), state)
    }

    /// The paths of sections that nothing has loaded.
    pub fn left(&self) -> impl Iterator<Item = &str> {
        self.sections.keys().copied()
    }

    /// Takes raw bytes.
    ///
    /// # Errors
    /// Fewer are left.
    pub fn bytes(&mut self, len: usize) -> Result<&'a [u8], StateError> {
        let (taken, rest) = self
            .rest
            .split_at_checked(len)
            .ok_or_else(|| StateError::new(format!("section {} ends early", self.path)))?;
        self.rest = rest;
        Ok(taken)
    }

    fn value<T: bincode::Decode<()>>(&mut self) -> Result<T, StateError> {
        let (value, used) = bincode::decode_from_slice(self.rest, CODEC)
            .map_err(|e| StateError::new(format!("section {}: {e}", self.path)))?;
        self.rest = &self.rest[used..];
        Ok(value)
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
        Shape::structure("unit", [])
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
                Shape::structure("tuple", [$((stringify!($index), $name::shape(parts))),*])
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
#[derive(Debug)]
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

/// Guest memory saves its content: all of it, without a length.
impl State for solderless_memory::Ram {
    fn shape(_: &Parts) -> Shape {
        Shape::Sequence(Box::new(Shape::Scalar("u8")))
    }
    fn save(&self, out: &mut Writer) {
        let mut page = [0; solderless_memory::PAGE as usize];
        let mut offset = 0;
        while offset < self.size() {
            let len = (self.size() - offset).min(solderless_memory::PAGE) as usize;
            if self.read(offset, &mut page[..len]).is_ok() {
                out.bytes(&page[..len]);
            }
            offset += len as u64;
        }
    }
    fn load(&mut self, from: &mut Reader<'_>) -> Result<(), StateError> {
        let bytes = from.bytes(self.size() as usize)?;
        self.write(0, bytes)
            .map_err(|e| StateError::new(e.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::State;

    #[derive(Debug, Default, PartialEq, State)]
    struct Inner {
        level: bool,
        fifo: VecDeque<u8>,
    }

    #[derive(Debug, Default, PartialEq, State)]
    enum Mode {
        #[default]
        Idle,
        Busy(u32),
        Done {
            code: i16,
        },
    }

    #[derive(Debug, State)]
    struct Hotplug {
        up: u32,
    }
    impl Part for Hotplug {
        const NAME: &'static str = "hotplug";
    }

    #[derive(Debug, State)]
    struct Whole {
        regs: [u16; 2],
        latch: Option<u8>,
        mode: Mode,
        inner: Inner,
        hotplug: Fitted<Hotplug>,
        #[state(skip = "derived from regs")]
        sum: u32,
    }

    fn whole(part: bool) -> Whole {
        Whole {
            regs: [1, 2],
            latch: Some(3),
            mode: Mode::Busy(4),
            inner: Inner {
                level: true,
                fifo: [5, 6].into(),
            },
            hotplug: Fitted(part.then_some(Hotplug { up: 7 })),
            sum: 3,
        }
    }

    fn sections(state: &dyn State) -> Vec<Section> {
        let mut out = Writer::default();
        out.section("dev", state);
        out.finish()
    }

    #[test]
    fn a_part_is_a_section_or_nothing() {
        let (with, without) = (sections(&whole(true)), sections(&whole(false)));
        assert_eq!(with[0], without[0]);
        assert_eq!(with.len(), 2);
        assert_eq!(without.len(), 1);
        assert_eq!(
            (with[1].path.as_str(), with[1].payload.as_slice()),
            ("dev.hotplug", &[7, 0, 0, 0][..])
        );
        let text = format!("{:?}", Whole::shape(&Parts::default()));
        assert!(!text.contains("hotplug"), "{text}");
        assert!(format!("{:?}", Whole::shape(&Parts::from_iter(["hotplug"]))).contains("hotplug"));
    }

    #[test]
    fn what_is_saved_is_loaded() {
        let saved = sections(&whole(true));
        let mut fresh = Whole {
            regs: [0; 2],
            latch: None,
            mode: Mode::Done { code: -1 },
            inner: Inner::default(),
            hotplug: Fitted(Some(Hotplug { up: 0 })),
            sum: 99,
        };
        Reader::new(&saved).section("dev", &mut fresh).unwrap();
        assert_eq!(sections(&fresh), saved);
        assert_eq!(fresh.sum, 99, "a skipped field keeps its value");
    }

    #[test]
    fn broken_streams_are_refused_with_the_place() {
        let mut saved = sections(&whole(false));
        let error = |s: &[Section]| {
            Reader::new(s)
                .section("dev", &mut whole(false))
                .unwrap_err()
                .to_string()
        };
        assert_eq!(
            Reader::new(&saved)
                .section("other", &mut 0u8)
                .unwrap_err()
                .to_string(),
            "section other is missing"
        );
        assert_eq!(
            Reader::new(&saved)
                .section("dev", &mut whole(true))
                .unwrap_err()
                .to_string(),
            "hotplug: section dev.hotplug is missing"
        );
        saved[0].payload.push(0);
        assert_eq!(error(&saved), "section dev has 1 bytes too many");
        saved[0].payload[6] = 9;
        assert_eq!(error(&saved), "mode: Mode has no variant 9");
        saved[0].payload.truncate(12);
        saved[0].payload[6] = 2;
        assert!(error(&saved).starts_with("inner: "), "{}", error(&saved));
    }
}
