//! A section's payload, read by its layout.

use std::fmt::Write;

use solderless_model::memory::Ram;
use solderless_model::{Field, Section, StateError, Type, scalar_size};

/// What of a section has not been read. The bytes are those of bincode with little-endian integers of fixed size.
#[derive(Debug)]
pub struct Payload<'a> {
    path: &'a str,
    rest: &'a [u8],
    memory: std::slice::Iter<'a, Ram>,
}

impl<'a> Payload<'a> {
    /// All of a section.
    pub fn new(section: &'a Section) -> Self {
        Self {
            path: &section.path,
            rest: &section.payload,
            memory: section.memory.iter(),
        }
    }

    /// An error about the section.
    pub fn wrong(&self, reason: impl std::fmt::Display) -> StateError {
        StateError::new(format!("section {}: {reason}", self.path))
    }

    /// Takes so many bytes.
    ///
    /// # Errors
    /// Fewer are left.
    pub fn bytes(&mut self, len: u64) -> Result<&'a [u8], StateError> {
        let split = usize::try_from(len)
            .ok()
            .and_then(|len| self.rest.split_at_checked(len));
        let (taken, rest) = split.ok_or_else(|| self.wrong("ends early"))?;
        self.rest = rest;
        Ok(taken)
    }

    fn number(&mut self, len: u64) -> Result<u64, StateError> {
        let mut bytes = [0; 8];
        bytes[..len as usize].copy_from_slice(self.bytes(len)?);
        Ok(u64::from_le_bytes(bytes))
    }

    /// Takes the number of a variant.
    ///
    /// # Errors
    /// The payload ends.
    pub fn tag(&mut self) -> Result<u32, StateError> {
        self.number(4).map(|tag| tag as u32)
    }

    /// Takes the length of a sequence whose elements follow.
    ///
    /// # Errors
    /// The payload ends before so many elements could have come.
    pub fn length(&mut self) -> Result<u64, StateError> {
        let len = self.number(8)?;
        if len > self.rest.len() as u64 {
            return Err(self.wrong(format!("{len} elements, but it ends early")));
        }
        Ok(len)
    }

    /// Takes a truth value.
    ///
    /// # Errors
    /// The payload ends, or has something else there.
    pub fn truth(&mut self) -> Result<bool, StateError> {
        match self.number(1)? {
            0 => Ok(false),
            1 => Ok(true),
            other => Err(self.wrong(format!("{other} is no truth value"))),
        }
    }

    /// Takes a block of memory.
    ///
    /// # Errors
    /// There is none, or one of another size.
    pub fn memory(&mut self) -> Result<Ram, StateError> {
        let size = self.number(8)?;
        let block = self.memory.next().filter(|block| block.size() == size);
        block
            .cloned()
            .ok_or_else(|| self.wrong("the memory's content is missing"))
    }

    /// Makes sure that all was read.
    ///
    /// # Errors
    /// Something is left.
    pub fn end(&self) -> Result<(), StateError> {
        match (self.rest.len(), self.memory.len()) {
            (0, 0) => Ok(()),
            (bytes, blocks) => Err(self.wrong(format!(
                "{bytes} bytes and {blocks} blocks of memory too many"
            ))),
        }
    }
}

/// A section's content as lines of `field = value`, by its layout.
///
/// # Errors
/// The content is not of this type.
pub fn show(section: &Section, content: &Type) -> Result<Vec<(String, String)>, StateError> {
    let mut payload = Payload::new(section);
    let mut lines = Lines {
        all: Vec::new(),
        left: LEAST_TEXT + section.payload.len().saturating_mul(TEXT),
    };
    value(&mut lines, String::new(), content, &mut payload)?;
    payload.end()?;
    Ok(lines.all)
}

/// How many bytes of text there can be to each byte of a payload, and however short it is. The names of fields are what a
/// stream says they are: long ones could make much of little.
const TEXT: usize = 64;
/// See [`TEXT`].
const LEAST_TEXT: usize = 1 << 20;

/// Lines of `field = value`.
struct Lines {
    all: Vec<(String, String)>,
    /// How many bytes more there can be.
    left: usize,
}

impl Lines {
    fn push(&mut self, path: String, text: String, from: &Payload<'_>) -> Result<(), StateError> {
        let left = self.left.checked_sub(path.len() + text.len());
        self.left = left.ok_or_else(|| from.wrong("the names in its layout are too long"))?;
        self.all.push((path, text));
        Ok(())
    }
}

fn fields(
    lines: &mut Lines,
    path: &str,
    fields: &[Field],
    from: &mut Payload<'_>,
) -> Result<(), StateError> {
    for field in fields {
        let path = match path {
            "" => field.name.to_string(),
            path => format!("{path}.{}", field.name),
        };
        value(lines, path, &field.content, from)?;
    }
    Ok(())
}

fn value(
    lines: &mut Lines,
    path: String,
    content: &Type,
    from: &mut Payload<'_>,
) -> Result<(), StateError> {
    match content {
        Type::Scalar(name) => {
            let text = scalar(name, from)?;
            lines.push(path, text, from)?;
        }
        Type::Struct(_, inner) => fields(lines, &path, inner, from)?,
        Type::Choice(_, variants) => {
            let tag = from.tag()?;
            let variant = variants.get(tag as usize);
            let variant =
                variant.ok_or_else(|| from.wrong(format!("no variant has the number {tag}")))?;
            lines.push(path.clone(), variant.name.to_string(), from)?;
            fields(lines, &path, &variant.fields, from)?;
        }
        Type::Array(inner, _) if inner.is_empty() => {}
        Type::Array(inner, len) => elements(lines, &path, inner, *len, from)?,
        Type::Sequence(inner) => {
            let len = from.length()?;
            if !inner.is_empty() {
                elements(lines, &path, inner, len, from)?;
            }
        }
        Type::Latch(inner) => {
            if from.truth()? {
                value(lines, path, inner, from)?;
            } else {
                lines.push(path, "none".to_owned(), from)?;
            }
        }
        Type::Memory(_) => {
            let block = from.memory()?;
            let used = (0..block.pages()).filter(|p| block.uniform(*p) != Ok(Some(0)));
            let text = format!("{} bytes, {} pages not zero", block.size(), used.count());
            lines.push(path, text, from)?;
        }
    }
    Ok(())
}

/// Numbers on one line, zeros at the end left out; other elements one by one.
fn elements(
    lines: &mut Lines,
    path: &str,
    inner: &Type,
    len: u64,
    from: &mut Payload<'_>,
) -> Result<(), StateError> {
    let Type::Scalar(name) = inner else {
        for index in 0..len {
            value(lines, format!("{path}[{index}]"), inner, from)?;
        }
        return Ok(());
    };
    let size = scalar_size(name).unwrap_or(1);
    let bytes = from.bytes(len.saturating_mul(size))?;
    let used = bytes.iter().rposition(|b| *b != 0).map_or(0, |at| at + 1);
    let used = used.next_multiple_of(size as usize);
    let mut text = String::with_capacity(2 + 3 * used);
    text.push('[');
    for (index, number) in bytes[..used].chunks(size as usize).enumerate() {
        if index > 0 {
            text.push(' ');
        }
        let digit = |four: u8| char::from_digit(four.into(), 16).unwrap_or_default();
        for byte in number.iter().rev() {
            text.extend([digit(byte >> 4), digit(byte & 15)]);
        }
    }
    if used < bytes.len() {
        let space = if used > 0 { " " } else { "" };
        // Writing into a string has no way to fail.
        let _ = write!(text, "{space}0 × {}", (bytes.len() - used) as u64 / size);
    }
    lines.push(path.to_owned(), text + "]", from)
}

fn scalar(name: &str, from: &mut Payload<'_>) -> Result<String, StateError> {
    let size = scalar_size(name).ok_or_else(|| from.wrong(format!("{name} is no type")))?;
    if name == "bool" {
        return from.truth().map(|truth| truth.to_string());
    }
    let number = from.number(size)?;
    Ok(match name.as_bytes().first() {
        Some(b'i') => {
            let shift = 64 - 8 * size;
            ((number << shift) as i64 >> shift).to_string()
        }
        _ => format!("{number:#x}"),
    })
}
