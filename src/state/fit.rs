//! Whether state of one layout can be loaded where another is wanted, and how its bytes become those wanted.
//!
//! Fields are matched by name. What may differ is what the wanted layout declares: fields that are new and have a
//! default, fields and variants that came later, fields that had another name.

use std::collections::HashMap;
use std::fmt;

use solderless_model::{Field, Section, StateError, Type, Variant, scalar_size};

use super::layout::Layout;
use super::payload::Payload;

/// One reason why state does not fit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Misfit {
    /// The section: a device's name, or with a part's behind it.
    pub section: String,
    /// The field, from the section's outermost structure on; empty if it is the section as a whole.
    pub field: String,
    /// What is wrong, a phrase.
    pub reason: String,
}

impl fmt::Display for Misfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.section)?;
        if !self.field.is_empty() {
            write!(f, ": {}", self.field)?;
        }
        write!(f, ": {}", self.reason)
    }
}

/// How sections of one layout become sections of another.
#[derive(Debug)]
pub struct Conversion {
    /// The sections wanted, in order: their paths, and what to do to the content unless it stays as it is.
    sections: Vec<(String, Option<Change>)>,
}

/// How a value becomes another.
#[derive(Debug)]
enum Change {
    /// It is copied.
    None(Type),
    /// The fields as they come, changed; then those wanted, in their order.
    Struct(Vec<Change>, Vec<Source>),
    /// For each variant that may come: what it is called there, and its fields.
    Choice(Vec<(u32, Change)>),
    Array(Box<Change>, u64),
    Sequence(Box<Change>),
    Latch(Box<Change>),
}

/// Where a field wanted comes from.
#[derive(Debug)]
enum Source {
    Field(usize),
    Default(Vec<u8>),
}

/// Compares the layout of saved state with the one wanted.
///
/// # Errors
/// Every reason why it does not fit.
pub fn fit(saved: &Layout, wanted: &Layout) -> Result<Conversion, Vec<Misfit>> {
    let mut matcher = Matcher {
        section: String::new(),
        misfits: Vec::new(),
    };
    let mut left: HashMap<&str, _> = HashMap::new();
    for section in &saved.sections {
        if left.insert(&section.path, section).is_some() {
            matcher.section.clone_from(&section.path);
            matcher.refuse("", "the saved state has the section twice");
        }
    }
    let mut sections = Vec::new();
    for section in &wanted.sections {
        matcher.section.clone_from(&section.path);
        let Some(found) = left.remove(section.path.as_str()) else {
            matcher.refuse("", "the saved state has no such section");
            continue;
        };
        if found.model != section.model {
            let reason = format!("it was a {}, and is a {} here", found.model, section.model);
            matcher.refuse("", reason);
            continue;
        }
        let (Some(from), Some(to)) = (saved.content(found), wanted.content(section)) else {
            matcher.refuse("", "the saved layout does not say what it holds");
            continue;
        };
        let change = if from == to {
            None
        } else {
            matcher.change("", from, to)
        };
        sections.push((section.path.clone(), change));
    }
    for section in saved
        .sections
        .iter()
        .filter(|s| left.contains_key(s.path.as_str()))
    {
        matcher.section.clone_from(&section.path);
        matcher.refuse("", "nothing here has this section of the saved state");
    }
    if matcher.misfits.is_empty() {
        Ok(Conversion { sections })
    } else {
        Err(matcher.misfits)
    }
}

struct Matcher {
    section: String,
    misfits: Vec<Misfit>,
}

impl Matcher {
    fn refuse(&mut self, field: &str, reason: impl Into<String>) {
        self.misfits.push(Misfit {
            section: self.section.clone(),
            field: field.to_owned(),
            reason: reason.into(),
        });
    }

    fn change(&mut self, path: &str, from: &Type, to: &Type) -> Option<Change> {
        if from == to {
            return Some(Change::None(from.clone()));
        }
        let boxed = |change: Option<Change>| change.map(Box::new);
        match (from, to) {
            (Type::Struct(_, from), Type::Struct(_, to)) => self.fields(path, from, to),
            (Type::Choice(_, from), Type::Choice(_, to)) => self.variants(path, from, to),
            (Type::Array(from, a), Type::Array(to, b)) if a == b => {
                boxed(self.change(path, from, to)).map(|c| Change::Array(c, *a))
            }
            (Type::Sequence(from), Type::Sequence(to)) => {
                boxed(self.change(path, from, to)).map(Change::Sequence)
            }
            (Type::Latch(from), Type::Latch(to)) => {
                boxed(self.change(path, from, to)).map(Change::Latch)
            }
            _ => {
                self.refuse(path, format!("it was {from}, and is {to} here"));
                None
            }
        }
    }

    fn fields(&mut self, path: &str, from: &[Field], to: &[Field]) -> Option<Change> {
        let inner = |name: &str| match path {
            "" => name.to_owned(),
            path => format!("{path}.{name}"),
        };
        let mut changes: Vec<Option<Change>> = from.iter().map(|_| None).collect();
        let mut sources = Vec::new();
        let mut good = true;
        for field in to {
            let named = |name: &str| from.iter().position(|f| f.name == name);
            let place = named(&field.name).or_else(|| named(field.was.as_deref()?));
            match (place, &field.default) {
                (Some(place), _) => {
                    let change =
                        self.change(&inner(&field.name), &from[place].content, &field.content);
                    good &= change.is_some();
                    changes[place] =
                        change.or_else(|| Some(Change::None(Type::structure("", Vec::new()))));
                    sources.push(Source::Field(place));
                }
                (None, Some(default)) => sources.push(Source::Default(default.clone())),
                (None, None) => {
                    self.refuse(
                        &inner(&field.name),
                        "the saved state does not have it, and no default is declared",
                    );
                    good = false;
                }
            }
        }
        for (field, _) in from.iter().zip(&changes).filter(|(_, c)| c.is_none()) {
            self.refuse(
                &inner(&field.name),
                "the saved state has it, and nothing here takes it",
            );
            good = false;
        }
        let changes = changes.into_iter().flatten().collect();
        good.then_some(Change::Struct(changes, sources))
    }

    fn variants(&mut self, path: &str, from: &[Variant], to: &[Variant]) -> Option<Change> {
        let mut changes = Vec::new();
        for variant in from {
            let name = format!("{path}::{}", variant.name);
            let place = to.iter().position(|v| v.name == variant.name);
            let Some((tag, wanted)) = place.and_then(|at| Some((u32::try_from(at).ok()?, &to[at])))
            else {
                self.refuse(
                    &name,
                    "the saved state may have this variant, which is not known here",
                );
                continue;
            };
            if let Some(change) = self.fields(&name, &variant.fields, &wanted.fields) {
                changes.push((tag, change));
            }
        }
        (changes.len() == from.len()).then_some(Change::Choice(changes))
    }
}

impl Conversion {
    /// Converts sections. Those that do not change are taken as they are.
    ///
    /// # Errors
    /// A section's content is not of its layout.
    pub fn apply(&self, sections: &mut Vec<Section>) -> Result<(), StateError> {
        let mut left: HashMap<String, Section> =
            sections.drain(..).map(|s| (s.path.clone(), s)).collect();
        for (path, change) in &self.sections {
            let missing = || StateError::new(format!("section {path} is missing"));
            let section = left.remove(path).ok_or_else(missing)?;
            sections.push(match change {
                None => section,
                Some(change) => {
                    let mut from = Payload::new(&section);
                    let mut to = Section {
                        path: path.clone(),
                        payload: Vec::new(),
                        memory: Vec::new(),
                    };
                    change.apply(&mut from, &mut to)?;
                    from.end()?;
                    to
                }
            });
        }
        match left.into_keys().next() {
            Some(path) => Err(StateError::new(format!("nothing has a section {path}"))),
            None => Ok(()),
        }
    }
}

impl Change {
    fn apply(&self, from: &mut Payload<'_>, to: &mut Section) -> Result<(), StateError> {
        match self {
            Self::None(content) => copy(content, from, to),
            Self::Struct(changes, sources) => {
                let mut fields = Vec::with_capacity(changes.len());
                for change in changes {
                    let mut field = Section {
                        path: String::new(),
                        payload: Vec::new(),
                        memory: Vec::new(),
                    };
                    change.apply(from, &mut field)?;
                    fields.push(field);
                }
                for source in sources {
                    match source {
                        Source::Default(bytes) => to.payload.extend(bytes),
                        Source::Field(place) => {
                            if let Some(field) = fields.get_mut(*place) {
                                to.payload.append(&mut field.payload);
                                to.memory.append(&mut field.memory);
                            }
                        }
                    }
                }
                Ok(())
            }
            Self::Choice(variants) => {
                let tag = from.tag()?;
                let (tag, change) = variants
                    .get(tag as usize)
                    .ok_or_else(|| from.wrong(format!("no variant has the number {tag}")))?;
                to.payload.extend(tag.to_le_bytes());
                change.apply(from, to)
            }
            Self::Array(change, len) => (0..*len).try_for_each(|_| change.apply(from, to)),
            Self::Sequence(change) => {
                let len = from.length()?;
                to.payload.extend(len.to_le_bytes());
                (0..len).try_for_each(|_| change.apply(from, to))
            }
            Self::Latch(change) => {
                let set = from.truth()?;
                to.payload.push(set.into());
                if set {
                    change.apply(from, to)?;
                }
                Ok(())
            }
        }
    }
}

/// Copies a value of a type.
fn copy(content: &Type, from: &mut Payload<'_>, to: &mut Section) -> Result<(), StateError> {
    match content {
        Type::Scalar(name) => {
            let size = scalar_size(name);
            let size = size.ok_or_else(|| from.wrong(format!("{name} is no type")))?;
            to.payload.extend(from.bytes(size)?);
            Ok(())
        }
        Type::Struct(_, fields) => fields.iter().try_for_each(|f| copy(&f.content, from, to)),
        Type::Choice(_, variants) => {
            let tag = from.tag()?;
            let variant = variants.get(tag as usize);
            let variant =
                variant.ok_or_else(|| from.wrong(format!("no variant has the number {tag}")))?;
            to.payload.extend(tag.to_le_bytes());
            let mut fields = variant.fields.iter();
            fields.try_for_each(|f| copy(&f.content, from, to))
        }
        Type::Array(inner, _) if inner.is_empty() => Ok(()),
        Type::Array(inner, len) => (0..*len).try_for_each(|_| copy(inner, from, to)),
        Type::Sequence(inner) => {
            let len = from.length()?;
            to.payload.extend(len.to_le_bytes());
            (0..len).try_for_each(|_| copy(inner, from, to))
        }
        Type::Latch(inner) => {
            let set = from.truth()?;
            to.payload.push(set.into());
            if set {
                copy(inner, from, to)?;
            }
            Ok(())
        }
        Type::Memory(_) => {
            let block = from.memory()?;
            to.payload.extend(block.size().to_le_bytes());
            to.memory.push(block);
            Ok(())
        }
    }
}
