//! The grammar of references: how boards name places on buses, pins and devices.
//!
//! | | form | for example |
//! | --- | --- | --- |
//! | place | *bus*, or *bus*`:`*address* | `sys:0x1f000000`, `gt.pci:0a.3`, `chip:.1` |
//! | bus | `sys`, or *device*`.`*port*; in a chip, `chip` is where it sits | `piix4.isa` |
//! | address | a number, decimal or with `0x`; on PCI *slot*`.`*function*, both hexadecimal | `0x3f8`, `0a.3` |
//! | inputs | *device*`[`*item*`,` …`]` | `pic[3-7,9]`, `cpu[ip.2]` |
//! | item | a range over all inputs; a group, or *group*`.`*range* | `3-7`, `gate`, `ip.2` |
//! | outputs | a group, or *group*`[`*range*`,` …`]` | `int`, `out[0-3,6]` |
//! | output | *device*`.`*outputs* | `pic.int` |
//! | range | a number, or *first*`-`*last* | `3`, `0-7` |
//!
//! What the names are of is nobody's business here: of a chip's port `isa` it reads `chip.isa` as of a device's.

use std::fmt;
use std::ops::Range;

use crate::diagnostics::Span;

/// Makes a place of the bytes of a text that was read.
pub type Places<'p> = &'p dyn Fn(Range<usize>) -> Span;

/// A piece of a reference, and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Word {
    /// The piece.
    pub text: String,
    /// Where it stands.
    pub at: Span,
}

impl Word {
    fn new(text: &str, from: usize, places: Places<'_>) -> Self {
        Self {
            text: text.to_owned(),
            at: places(from..from + text.len()),
        }
    }
}

impl fmt::Display for Word {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// A reference that was read, of the whole board: no name in it is a chip's own any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reference {
    /// A device or slot, whose name is all of the text.
    Name,
    /// A place.
    Place(Place),
    /// Inputs.
    Inputs(Inputs),
}

/// `bus`, `bus:address`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The bus.
    pub bus: Bus,
    /// The address on it.
    pub address: Option<Address>,
}

impl Place {
    /// Reads a place. Every text is one.
    pub fn parse(text: &str, places: Places<'_>) -> Self {
        let (bus, address) = match text.split_once(':') {
            Some((bus, address)) => (bus, Some(address)),
            None => (text, None),
        };
        Self {
            bus: Bus::parse(bus, places),
            address: address.map(|text| Address::parse(text, bus.len() + 1, places)),
        }
    }

    /// The place this far from here: a function of the same PCI slot, or so many bytes on. `None` if there is none.
    pub fn plus(&self, distance: Option<&Address>) -> Option<Self> {
        let bus = self.bus.clone();
        let address = match (&self.address, distance) {
            (address, None) => address.clone(),
            (Some(base), Some(distance)) => Some(base.plus(distance)?),
            (None, Some(_)) => return None,
        };
        Some(Self { bus, address })
    }

    /// The same place, all of which stands here.
    #[must_use]
    pub fn at(mut self, at: Span) -> Self {
        self.bus = self.bus.at(at);
        if let Some(address) = &mut self.address {
            address.at = at;
        }
        self
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.bus)?;
        match &self.address {
            Some(address) => write!(f, ":{address}"),
            None => Ok(()),
        }
    }
}

/// A bus by name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Bus {
    /// `sys`.
    System(Span),
    /// `device.port`.
    Port {
        /// The device.
        device: Word,
        /// Its port.
        port: Word,
    },
    /// Anything else: `chip`, or no bus.
    Other(Word),
}

impl Bus {
    /// Reads a bus.
    pub fn parse(text: &str, places: Places<'_>) -> Self {
        match text.rsplit_once('.') {
            _ if text == "sys" => Self::System(places(0..text.len())),
            Some((device, port)) if device != "sys" => Self::Port {
                device: Word::new(device, 0, places),
                port: Word::new(port, device.len() + 1, places),
            },
            _ => Self::Other(Word::new(text, 0, places)),
        }
    }

    /// Where its name stands.
    pub fn span(&self) -> Span {
        match self {
            Self::System(at) => *at,
            Self::Port { device, port } => Span {
                end: port.at.end,
                ..device.at
            },
            Self::Other(word) => word.at,
        }
    }

    /// The same bus, all of whose name stands here.
    #[must_use]
    pub fn at(mut self, at: Span) -> Self {
        match &mut self {
            Self::System(span) => *span = at,
            Self::Port { device, port } => (device.at, port.at) = (at, at),
            Self::Other(word) => word.at = at,
        }
        self
    }

    /// The same bus where everything has a name that starts with this.
    #[must_use]
    pub fn within(mut self, prefix: &str) -> Self {
        match &mut self {
            Self::System(_) => {}
            Self::Port { device: word, .. } | Self::Other(word) => {
                word.text.insert_str(0, prefix);
            }
        }
        self
    }
}

impl fmt::Display for Bus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::System(_) => f.write_str("sys"),
            Self::Port { device, port } => write!(f, "{device}.{port}"),
            Self::Other(word) => write!(f, "{word}"),
        }
    }
}

/// An address, whose form the bus decides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    /// A number or a PCI slot; empty for a function of the slot that a chip is in.
    head: String,
    /// What follows the dot.
    function: Option<String>,
    /// Where it stands.
    pub at: Span,
}

impl Address {
    fn parse(text: &str, from: usize, places: Places<'_>) -> Self {
        let (head, function) = match text.split_once('.') {
            Some((head, function)) => (head, Some(function)),
            None => (text, None),
        };
        Self {
            head: head.to_owned(),
            function: function.map(str::to_owned),
            at: places(from..from + text.len()),
        }
    }

    /// It as a number.
    pub fn number(&self) -> Option<u64> {
        match self.function {
            None => number(&self.head),
            Some(_) => None,
        }
    }

    /// It as a PCI slot and function.
    pub fn slot(&self) -> Option<(u8, u8)> {
        let digits = |text: &str, last: u8| {
            let hex = text.len() <= 2 && text.bytes().all(|b| b.is_ascii_hexdigit());
            let number = u8::from_str_radix(text, 16).ok();
            number.filter(|n| hex && *n <= last)
        };
        let function = self.function.as_deref().unwrap_or("0");
        digits(&self.head, 31).zip(digits(function, 7))
    }

    fn plus(&self, distance: &Self) -> Option<Self> {
        let at = self.at;
        if let ("", Some(function)) = (&*distance.head, &distance.function) {
            let head = match self.function.as_deref() {
                None | Some("0") => self.head.clone(),
                Some(_) => self.to_string(),
            };
            return Some(Self {
                head,
                function: Some(function.clone()),
                at,
            });
        }
        let sum = self.number()?.checked_add(distance.number()?)?;
        Some(Self {
            head: format!("{sum:#x}"),
            function: None,
            at,
        })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.head)?;
        match &self.function {
            Some(function) => write!(f, ".{function}"),
            None => Ok(()),
        }
    }
}

/// A number as an address has it.
fn number(text: &str) -> Option<u64> {
    let digits = |t: &str, radix: u32| {
        let plain = t.chars().all(|c| c.is_digit(radix) || c == '_');
        u64::from_str_radix(&t.replace('_', ""), radix)
            .ok()
            .filter(|_| plain)
    };
    match text.strip_prefix("0x") {
        Some(hex) => digits(hex, 16),
        None => digits(text, 10),
    }
}

/// Help for a place that is an address alone, or has a dot for the colon: what it is on the bus that is meant.
pub fn bare_address(bus: &str, place: &Place) -> Option<String> {
    let text = place.to_string();
    let address = text.strip_prefix(bus).map_or(&*text, |rest| {
        rest.trim_start_matches(|c: char| c.is_ascii_punctuation() || c == ' ')
    });
    number(address).map(|_| format!("did you mean \"{bus}:{address}\"?"))
}

/// How pins are written, for those who wrote them otherwise.
pub const PINS: &str = "pins are written `name`, `name[3]`, `name[0-7]` or `name[0-3,6]`";

/// `device[pins]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inputs {
    /// The device.
    pub device: Word,
    /// Which of its inputs.
    pub pins: Pins,
}

/// What stands behind the device in [`Inputs`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pins {
    /// A selection, and where it stands.
    Some(Vec<Item>, Span),
    /// What stands in the brackets is none.
    Malformed(Word),
    /// Nothing.
    None,
    /// Something without brackets on both of its sides.
    Open(String),
}

impl Inputs {
    /// Reads inputs. Every text is some, however wrong.
    pub fn parse(text: &str, places: Places<'_>) -> Self {
        let (name, rest) = text.split_at(text.find('[').unwrap_or(text.len()));
        let inner = rest.strip_prefix('[').and_then(|r| r.strip_suffix(']'));
        let pins = match inner {
            Some(inner) => {
                let items = inner.split(',').map(|item| Item::parse(item.trim()));
                let word = || Word::new(inner, name.len() + 1, places);
                match items.collect::<Option<_>>() {
                    Some(items) => Pins::Some(items, word().at),
                    None => Pins::Malformed(word()),
                }
            }
            None if rest.is_empty() => Pins::None,
            None => Pins::Open(rest.to_owned()),
        };
        Self {
            device: Word::new(name, 0, places),
            pins,
        }
    }
}

impl fmt::Display for Inputs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let device = &self.device;
        match &self.pins {
            Pins::Some(items, _) => write!(f, "{device}[{}]", list(items)),
            Pins::Malformed(word) => write!(f, "{device}[{word}]"),
            Pins::None => write!(f, "{device}"),
            Pins::Open(rest) => write!(f, "{device}{rest}"),
        }
    }
}

fn list<T: fmt::Display>(items: &[T]) -> String {
    let items: Vec<_> = items.iter().map(T::to_string).collect();
    items.join(",")
}

/// One of the things between the commas of [`Inputs`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Item {
    /// Pins by their numbers among all of the device.
    Numbers(Numbers),
    /// A group of pins, or some of it.
    Group(String, Option<Numbers>),
}

impl Item {
    fn parse(text: &str) -> Option<Self> {
        if let Some(numbers) = Numbers::parse(text) {
            return Some(Self::Numbers(numbers));
        }
        let (name, within) = match text.split_once('.') {
            Some((name, within)) => (name, Some(within)),
            None => (text, None),
        };
        let wrong = |c: char| c.is_ascii_digit() || c == '-';
        if name.is_empty() || text.chars().all(wrong) {
            return None;
        }
        let within = match within {
            Some(within) => Some(Numbers::parse(within)?),
            None => None,
        };
        Some(Self::Group(name.to_owned(), within))
    }
}

impl fmt::Display for Item {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Numbers(numbers) => write!(f, "{numbers}"),
            Self::Group(name, None) => f.write_str(name),
            Self::Group(name, Some(numbers)) => write!(f, "{name}.{numbers}"),
        }
    }
}

/// A range of numbers, both ends in it. The first is not above the last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Numbers {
    first: u16,
    last: u16,
}

impl Numbers {
    fn parse(text: &str) -> Option<Self> {
        let one = |t: &str| {
            let digits = !t.is_empty() && t.bytes().all(|b| b.is_ascii_digit());
            // No device has so many.
            digits.then(|| t.parse().unwrap_or(u16::MAX))
        };
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        let (first, last) = (one(first)?, one(last)?);
        (first <= last).then_some(Self { first, last })
    }

    fn list(text: &str) -> Option<Vec<Self>> {
        text.split(',')
            .map(|item| Self::parse(item.trim()))
            .collect()
    }

    /// The largest.
    pub fn last(self) -> u16 {
        self.last
    }

    /// What stands at these places among the numbers of all of a list, in pieces of it; `None` if it has not as many.
    pub fn of<T: Copy>(self, all: &[(T, Self)]) -> Option<Vec<(T, Self)>> {
        let mut before = u32::from(self.first);
        let mut left = 1 + u32::from(self.last - self.first);
        let mut found = Vec::new();
        for (of, Self { first, last }) in all {
            let count = 1 + u32::from(last - first);
            if before >= count {
                before -= count;
                continue;
            }
            let taken = left.min(count - before);
            let first = u32::from(*first) + before;
            let [first, last] = [first, first + taken - 1].map(|n| n as u16);
            found.push((*of, Self { first, last }));
            before = 0;
            left -= taken;
            if left == 0 {
                return Some(found);
            }
        }
        None
    }

    /// All of them.
    pub fn all(self) -> impl Iterator<Item = u16> {
        self.first..=self.last
    }
}

impl fmt::Display for Numbers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.first == self.last {
            true => write!(f, "{}", self.first),
            false => write!(f, "{}-{}", self.first, self.last),
        }
    }
}

/// `group`, `group[3]`, `group[0-3,6]`: outputs of a device that stands elsewhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outputs {
    /// The group.
    pub group: String,
    /// Which of it; otherwise all.
    pub numbers: Option<Vec<Numbers>>,
}

impl Outputs {
    /// Reads outputs; `None` if the text names none.
    pub fn parse(text: &str) -> Option<Self> {
        let (group, numbers) = match text.split_once('[') {
            Some((group, rest)) => (group, Some(Numbers::list(rest.strip_suffix(']')?)?)),
            None => (text, None),
        };
        Some(Self {
            group: group.to_owned(),
            numbers,
        })
    }
}

impl fmt::Display for Outputs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.group)?;
        match &self.numbers {
            Some(numbers) => write!(f, "[{}]", list(numbers)),
            None => Ok(()),
        }
    }
}

/// `device.outputs`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    /// The device.
    pub device: String,
    /// Which of its outputs.
    pub outputs: Outputs,
}

impl Output {
    /// Reads an output; `None` if the text names none.
    pub fn parse(text: &str) -> Option<Self> {
        let name = text.split('[').next().unwrap_or_default();
        let dot = name.rfind('.')?;
        Some(Self {
            device: text[..dot].to_owned(),
            outputs: Outputs::parse(&text[dot + 1..])?,
        })
    }
}

impl fmt::Display for Output {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.device, self.outputs)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::diagnostics::Sources;

    /// What a text reads as by `parse`, with places in the text itself.
    fn read<T>(text: &str, parse: fn(&str, Places<'_>) -> T) -> T {
        let file = Sources::default().add("", text);
        parse(text, &|range| Span {
            file,
            start: range.start,
            end: range.end,
        })
    }

    fn words(place: &Place, inputs: &Inputs) -> Vec<Word> {
        let mut words = vec![inputs.device.clone()];
        match &place.bus {
            Bus::System(at) => words.push(Word {
                text: "sys".to_owned(),
                at: *at,
            }),
            Bus::Port { device, port } => words.extend([device.clone(), port.clone()]),
            Bus::Other(word) => words.push(word.clone()),
        }
        words.extend(place.address.iter().map(|address| Word {
            text: address.to_string(),
            at: address.at,
        }));
        if let Pins::Malformed(word) = &inputs.pins {
            words.push(word.clone());
        }
        words
    }

    fn name() -> impl Strategy<Value = String> {
        "[a-z][a-z0-9_-]{0,4}(\\.[a-z][a-z0-9-]{0,3}){0,2}"
    }

    fn range() -> impl Strategy<Value = String> {
        let number = 0..300u16;
        prop_oneof![
            number.clone().prop_map(|n| n.to_string()),
            (number, 1..9u16).prop_map(|(n, more)| format!("{n}-{}", n + more)),
        ]
    }

    fn ranges() -> impl Strategy<Value = String> {
        prop::collection::vec(range(), 1..4).prop_map(|all| all.join(","))
    }

    proptest! {
        /// What is written as it should be is written back as it was, and the pieces stand where they are.
        #[test]
        fn good_references_come_back(
            (bus, address) in (name(), "(0x[0-9a-f]{1,8}|[0-9]{1,4}|[01][0-9a-f]\\.[0-7]|\\.[0-7])?"),
            (device, group) in (name(), "[a-z][a-z0-9]{0,4}"),
            (first, within, all) in (ranges(), range(), ranges()),
        ) {
            let place = match address.is_empty() {
                true => bus,
                false => format!("{bus}:{address}"),
            };
            prop_assert_eq!(read(&place, Place::parse).to_string(), place);
            let inputs = format!("{device}[{first},{group},{group}.{within}]");
            let parsed = read(&inputs, Inputs::parse);
            prop_assert!(matches!(parsed.pins, Pins::Some(..)), "{}", inputs);
            prop_assert_eq!(parsed.to_string(), inputs);
            for outputs in [group.clone(), format!("{group}[{all}]")] {
                prop_assert_eq!(Outputs::parse(&outputs).unwrap().to_string(), outputs.clone());
                let output = format!("{device}.{outputs}");
                prop_assert_eq!(Output::parse(&output).unwrap().to_string(), output);
            }
        }

        /// Whatever is written reads as something, that written back reads as the same, and each piece is the text in its
        /// place.
        #[test]
        fn any_text_is_read(text in "[a-c0-3é \\[\\].,:-]{0,12}|\\PC{0,12}") {
            let place = read(&text, Place::parse);
            prop_assert_eq!(place.to_string(), text.clone());
            let inputs = read(&text, Inputs::parse);
            let again = inputs.to_string();
            prop_assert_eq!(read(&again, Inputs::parse).to_string(), again);
            for word in words(&place, &inputs) {
                prop_assert_eq!(&text[word.at.start..word.at.end], &word.text);
            }
            if let Pins::Some(_, at) = inputs.pins {
                prop_assert_eq!(&text[at.start - 1..at.start], "[");
                prop_assert_eq!(&text[at.end..], "]");
            }
            if let Some(outputs) = Outputs::parse(&text) {
                prop_assert_eq!(Outputs::parse(&outputs.to_string()), Some(outputs));
            }
            if let Some(output) = Output::parse(&text) {
                prop_assert_eq!(Output::parse(&output.to_string()), Some(output));
            }
        }
    }

    #[test]
    fn numbers_and_slots() {
        for (text, number, slot) in [
            ("0x1f00_0000", Some(0x1f00_0000), None),
            ("4096", Some(4096), None),
            ("1f", None, Some((31, 0))),
            ("10", Some(10), Some((16, 0))),
            ("0a.3", None, Some((10, 3))),
            ("0a.8", None, None),
            ("20.0", None, None),
            (".3", None, None),
            ("0x", None, None),
            ("-1", None, None),
            ("+1", None, None),
            ("", None, None),
            ("0x10000000000000000", None, None),
        ] {
            let place = read(&format!("sys:{text}"), Place::parse);
            let address = place.address.unwrap();
            assert_eq!((address.number(), address.slot()), (number, slot), "{text}");
        }
    }

    #[test]
    fn places_a_distance_away() {
        for (base, distance, expected) in [
            ("a.b:0x100", "a:0x20", Some("a.b:0x120")),
            ("a.b:0a", "a:.3", Some("a.b:0a.3")),
            ("a.b:0a.0", "a:.3", Some("a.b:0a.3")),
            ("a.b:0a.2", "a:.3", Some("a.b:0a.2.3")),
            ("a.b:0a", "a", Some("a.b:0a")),
            ("a.b", "a", Some("a.b")),
            ("a.b", "a:1", None),
            ("a.b:0xffffffffffffffff", "a:1", None),
            ("a.b:0a", "a:1", None),
        ] {
            let [base, distance] = [base, distance].map(|text| read(text, Place::parse));
            let sum = base.plus(distance.address.as_ref());
            assert_eq!(sum.map(|p| p.to_string()).as_deref(), expected);
        }
    }

    #[test]
    fn what_is_no_selection() {
        for text in [
            "a[]", "a[,]", "a[2-1]", "a[-]", "a[3-]", "a[x.]", "a[.1]", "a[x.y]",
        ] {
            let pins = read(text, Inputs::parse).pins;
            assert!(matches!(pins, Pins::Malformed(_)), "{text}");
        }
        for text in ["a[", "a[1", "a[1]x"] {
            assert!(
                matches!(read(text, Inputs::parse).pins, Pins::Open(_)),
                "{text}"
            );
        }
        for text in ["a[", "a[]", "a[1-0]", "a[b]", "a[1]]"] {
            assert_eq!(Outputs::parse(text), None, "{text}");
        }
        assert_eq!(Output::parse("pic"), None);
    }
}
