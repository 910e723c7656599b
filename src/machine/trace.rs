//! Traces: what happens at named points of a machine.
//!
//! A point is looked at where it lies, and costs a comparison where nobody wants to know of it: accesses to devices and changes of
//! lines are not on the guest's fast path. What CPUs take is kept by them, and comes at the end of a turn.

use std::collections::BTreeSet;
use std::fmt;

use solderless_model::{DevId, RegionKind};

use super::Machine;
use super::domain::Domain;
use crate::plan::Plan;

/// Something that has happened.
#[derive(Debug, Clone, PartialEq)]
pub struct Record<'a> {
    /// Guest time in nanoseconds.
    pub ns: u64,
    /// The point.
    pub point: &'a str,
    /// What is known of it, by name.
    pub fields: Vec<(&'static str, Field<'a>)>,
}

/// Something that is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Field<'a> {
    /// A number, which is written in decimal.
    Count(u64),
    /// One that is written in hexadecimal.
    Number(u64),
    /// A text.
    Text(&'a str),
}

impl fmt::Display for Field<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Count(number) => write!(f, "{number}"),
            Self::Number(number) => write!(f, "{number:#x}"),
            Self::Text(text) if text.contains(' ') => write!(f, "{text:?}"),
            Self::Text(text) => f.write_str(text),
        }
    }
}

/// The point of all lines.
const LINES: &str = "irq";

/// The names of a plan's points: accesses to what is in the registers of a device, what a CPU takes, and the lines.
pub fn points(plan: &Plan) -> Vec<String> {
    let mut points = vec![LINES.to_owned()];
    for device in &plan.devices {
        let path = &device.path;
        if device.interface.initiator {
            points.push(format!("{path}.exception"));
        }
        let regions = &device.interface.regions;
        if regions.iter().any(|r| r.kind != RegionKind::Memory) {
            points.extend(["read", "write"].map(|way| format!("{path}.{way}")));
        }
    }
    points
}

/// The points of a plan that fit patterns, which are parted by commas; in one `*` stands for any text.
///
/// # Errors
/// One fits none; the message has those that there are.
pub fn select(plan: &Plan, patterns: &str) -> Result<BTreeSet<String>, String> {
    let points = points(plan);
    let mut found = BTreeSet::new();
    for pattern in patterns.split(',').map(str::trim) {
        // A device stands for its points.
        let whole = format!("{pattern}.*");
        let fits = |name: &&String| fits(pattern, name) || fits(&whole, name);
        let some: Vec<_> = points.iter().filter(fits).cloned().collect();
        if some.is_empty() {
            let names = points.join(", ");
            return Err(format!(
                "there is no point \"{pattern}\" to be traced; there are {names}"
            ));
        }
        found.extend(some);
    }
    Ok(found)
}

/// Whether a name fits a pattern.
fn fits(pattern: &str, name: &str) -> bool {
    let Some((first, rest)) = pattern.split_once('*') else {
        return pattern == name;
    };
    let Some(mut left) = name.strip_prefix(first) else {
        return false;
    };
    let mut parts = rest.split('*').peekable();
    while let Some(part) = parts.next() {
        if parts.peek().is_none() {
            return left.ends_with(part);
        }
        match left.find(part) {
            Some(at) => left = &left[at + part.len()..],
            None => return false,
        }
    }
    true
}

/// What is done with records.
pub type Keep = Box<dyn FnMut(&Record<'_>)>;

/// What is wanted to be known, and who is told.
pub struct Trace {
    wanted: BTreeSet<String>,
    keep: Keep,
    /// By device: whether accesses to it are wanted, reads and writes.
    accesses: Vec<[bool; 2]>,
    lines: bool,
}

impl fmt::Debug for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Trace({:?})", self.wanted)
    }
}

impl Trace {
    /// Tells `keep` of these points.
    pub fn new(wanted: BTreeSet<String>, keep: Keep) -> Self {
        Self {
            lines: wanted.contains(LINES),
            wanted,
            keep,
            accesses: Vec::new(),
        }
    }

    /// The points.
    pub fn wanted(&self) -> &BTreeSet<String> {
        &self.wanted
    }

    /// Who is told.
    pub fn into_keep(self) -> Keep {
        self.keep
    }

    /// Whether accesses to this device, that write or not, are wanted.
    pub(super) fn wants_access(&self, dev: DevId, write: bool) -> bool {
        let wanted = self.accesses.get(dev.0 as usize);
        wanted.is_some_and(|wanted| wanted[usize::from(write)])
    }

    /// Whether changes of lines are.
    pub(super) fn wants_lines(&self) -> bool {
        self.lines
    }

    pub(super) fn tell(&mut self, ns: u64, point: &str, fields: Vec<(&'static str, Field<'_>)>) {
        (self.keep)(&Record { ns, point, fields });
    }

    /// Tells of a line.
    pub(super) fn tell_line(&mut self, ns: u64, device: &str, output: u64, high: bool) {
        let fields = vec![
            ("device", Field::Text(device)),
            ("output", Field::Count(output)),
            ("level", Field::Count(high.into())),
        ];
        self.tell(ns, LINES, fields);
    }
}

impl Machine {
    /// Has points be traced from now on, or none.
    pub fn set_trace(&mut self, trace: Option<Trace>) {
        let trace = trace
            .filter(|trace| !trace.wanted.is_empty())
            .map(|mut trace| {
                let wants =
                    |name: &String, what: &str| trace.wanted.contains(&format!("{name}.{what}"));
                let accesses = self
                    .names
                    .iter()
                    .map(|name| [wants(name, "read"), wants(name, "write")]);
                trace.accesses = accesses.collect();
                trace
            });
        let cpus: Vec<_> = self
            .cpus()
            .map(|name| format!("{name}.exception"))
            .collect();
        for (index, point) in cpus.iter().enumerate() {
            let on = trace.as_ref().is_some_and(|t| t.wanted.contains(point));
            if let Some(cpu) = self.cpu_at(index) {
                cpu.trace_exceptions(on);
            }
        }
        self.domain.trace = trace.map(Box::new);
    }

    /// What is traced now, which is nothing from now on.
    pub fn take_trace(&mut self) -> Option<Trace> {
        let trace = self.domain.trace.take().map(|trace| *trace);
        self.set_trace(None);
        trace
    }

    /// What is traced.
    pub fn trace(&self) -> Option<&Trace> {
        self.domain.trace.as_deref()
    }
}

impl Domain {
    /// Tells of what the CPUs have taken since this was done last.
    #[cold]
    pub(super) fn trace_exceptions(&mut self) {
        let Some(mut trace) = self.trace.take() else {
            return;
        };
        let now = self.now();
        for cpu in self.cpus().to_vec() {
            let taken = self
                .device(cpu)
                .and_then(|d| d.processor().map(|cpu| cpu.exceptions()));
            let taken = taken.filter(|taken| !taken.is_empty());
            let Some(taken) = taken else {
                continue;
            };
            let point = format!("{}.exception", self.path(cpu));
            for taken in taken {
                let mut fields = vec![
                    ("instructions", Field::Count(taken.instructions)),
                    ("cause", Field::Text(taken.cause)),
                    ("pc", Field::Number(taken.pc)),
                    ("handler", Field::Number(taken.handler)),
                ];
                fields.extend(taken.address.map(|at| ("address", Field::Number(at))));
                trace.tell(now, &point, fields);
            }
        }
        self.trace = Some(trace);
    }
}

#[cfg(test)]
mod tests {
    use super::fits;

    #[test]
    fn a_star_stands_for_any_text() {
        for (pattern, name, expected) in [
            ("irq", "irq", true),
            ("irq", "irqs", false),
            ("uart*", "uart0.read", true),
            ("*.read", "uart0.read", true),
            ("*.read", "uart0.write", false),
            ("u*0*d", "uart0.read", true),
            ("u*1*d", "uart0.read", false),
            ("*", "", true),
            ("a*a", "a", false),
        ] {
            assert_eq!(fits(pattern, name), expected, "{pattern} {name}");
        }
    }
}
