//! Where a value of a board comes from.

use std::fmt;

use serde_json::Value as Json;

use super::Loaded;
use crate::board::format::{KEYS, SECTIONS};
use crate::board::params::{Given, Setting};
use crate::board::set::{self, Keys};
use crate::board::tree::{Node, Table, Value, get};
use crate::board::{parse, write};
use crate::diagnostics::{Problem, Report, Sources, Span, suggest};
use crate::plan::PlannedDevice;
use crate::registry::find;
use crate::toml;

/// A value of a board, and all that had a say in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explanation {
    /// The whole path: `dev.pm.PIIX4_PM.smb_io_base`.
    pub path: String,
    /// The value on the board as it is built, as TOML.
    pub value: String,
    /// What was said about it, the later stronger.
    pub layers: Vec<Layer>,
}

/// One layer's word on a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layer {
    /// What it says, as TOML.
    pub value: String,
    /// The file and line, `--set`, or the type whose default it is.
    pub place: String,
    /// The path that it stands under; empty for a type's default.
    pub path: String,
    /// It decides the parameter that the value is, rather than the value itself.
    pub of_param: bool,
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} = {}", self.path, self.value)?;
        let indented = |layer: &Layer| {
            let indent = if layer.of_param { "    " } else { "  " };
            format!("{indent}{}", layer.value)
        };
        let values: Vec<_> = self.layers.iter().map(indented).collect();
        let width = |texts: &mut dyn Iterator<Item = &str>| {
            let widths = texts.map(|text| text.chars().count());
            widths.filter(|width| *width <= WIDEST).max().unwrap_or(0)
        };
        let first = width(&mut values.iter().map(String::as_str));
        let second = width(&mut self.layers.iter().map(|layer| layer.place.as_str()));
        for (value, layer) in values.iter().zip(&self.layers) {
            let line = format!("{value:first$}  {:second$}  {}", layer.place, layer.path);
            writeln!(f, "{}", line.trim_end())?;
        }
        Ok(())
    }
}

/// Values up to this width stand in a column; wider ones push the rest of their line aside.
const WIDEST: usize = 40;

/// Explains the value at a path: `DEVICE.PROPERTY`, `param.NAME`, or a path as in the file.
///
/// # Errors
/// A report that there is no such value, and which there are.
pub fn explain(loaded: &Loaded, path: &str) -> Result<Explanation, Report> {
    let mut sources = loaded.report.sources.clone();
    let file = sources.add("path", path);
    let mut problems = Vec::new();
    let keys = match parse::parse_set(file, 0, path, "0", &mut problems) {
        Some(query) => match set::branch(query) {
            Some((keys, _)) => flat(&loaded.board.root, keys),
            None => Ok(Keys::new()),
        },
        None => {
            let whole = Span {
                file,
                start: 0,
                end: path.len(),
            };
            Err(Problem::error("syntax", format!("`{path}` is not a path"))
                .at(whole, "")
                .help("write DEVICE.PROPERTY or param.NAME"))
        }
    };
    let reader = Reader {
        loaded,
        layers: Vec::new(),
    };
    keys.and_then(|keys: Keys| reader.find(&keys))
        .map_err(|problem| Report::new(sources, vec![problem]))
}

/// A path to what it names on the whole board: `piix4.pm.smm-enabled` and `chip.piix4.dev.pm.PIIX4_PM.smm-enabled` both
/// lead to the device `piix4.pm`. A device within a chip can go without the chip's name where no other has its name.
fn flat(root: &Table, keys: Keys) -> Result<Keys, Problem> {
    let none = Table::new();
    let table = |section: &str| root.get(section).and_then(|e| e.node.as_table());
    let devices = table("dev").unwrap_or(&none);
    let names: Vec<&str> = keys.iter().map(|(key, _)| key.as_str()).collect();
    let (path, whole) = match names[..] {
        ["chip", ..] => {
            let mut path = Vec::new();
            let mut rest = &names[..];
            while let ["chip", chip, inner @ ..] = rest {
                path.push(*chip);
                rest = inner;
            }
            match rest {
                ["dev", inner @ ..] => (
                    path.into_iter().chain(inner.iter().copied()).collect(),
                    true,
                ),
                _ => (names.clone(), true),
            }
        }
        ["dev", ref inner @ ..] => (inner.to_vec(), true),
        [section, ..] if SECTIONS.contains(&section) => return Ok(keys),
        _ => (names.clone(), false),
    };
    let at = keys[0].1;
    // The keys behind the device keep their places.
    let behind = |count: usize| keys[keys.len() - count.min(keys.len())..].to_vec();
    for len in (1..=path.len()).rev() {
        let name = path[..len].join(".");
        let alias = table("alias").and_then(|aliases| aliases.get(&name));
        let alias = alias
            .and_then(|entry| entry.node.as_str())
            .map(str::to_owned);
        let inner = format!(".{name}");
        let mut inside = devices.keys().filter(|device| device.ends_with(&inner));
        let name = if devices.contains_key(&name) {
            name
        } else if let Some(device) = alias {
            device
        } else if let (false, Some(device)) = (whole, inside.next()) {
            let others: Vec<_> = inside.map(String::as_str).collect();
            if !others.is_empty() {
                let all = [&[device.as_str()][..], &others].concat().join(", ");
                let problem = Problem::error(
                    "ambiguous-device",
                    format!("several devices are called `{name}`"),
                );
                return Err(problem.at(at, "").help(format!("they are {all}")));
            }
            device.clone()
        } else {
            continue;
        };
        let rest = behind(path.len() - len);
        let kinds = devices.get(&name).and_then(|entry| entry.node.as_table());
        let kind = kinds.into_iter().flat_map(|table| table.keys());
        let mut kind = kind.filter(|key| !KEYS.contains(&key.as_str()));
        let mut out = vec![("dev".to_owned(), at), (name, at)];
        if let (Some(kind), Some((key, at))) = (kind.next(), rest.first())
            && (!whole || rest.len() == 1)
            && !KEYS.contains(&key.as_str())
            && find(key).is_none()
        {
            out.push((kind.clone(), *at));
        }
        out.extend(rest);
        return Ok(out);
    }
    let (wrong, at) = match whole {
        true => (
            path.first().copied().unwrap_or_default(),
            keys.get(1).map_or(at, |key| key.1),
        ),
        false => (names[0], at),
    };
    if whole && path.is_empty() {
        return Ok(keys);
    }
    Err(
        Problem::error("unknown-device", format!("there is no device `{wrong}`"))
            .at(at, "")
            .help(suggest(
                wrong,
                "devices",
                devices.keys().map(String::as_str),
            )),
    )
}

struct Reader<'a> {
    loaded: &'a Loaded,
    layers: Vec<Layer>,
}

impl Reader<'_> {
    fn find(mut self, keys: &[(String, Span)]) -> Result<Explanation, Problem> {
        let names: Vec<&str> = keys.iter().map(|(name, _)| name.as_str()).collect();
        let value = match names[..] {
            ["param", name] => self.param(name, keys[1].1)?,
            ["dev", device, kind, property] if !KEYS.contains(&kind) => {
                let planned = self.loaded.plan.devices.iter();
                match planned.into_iter().find(|d| d.path == device) {
                    Some(planned) if planned.entry.name == kind => {
                        self.property(planned, property, keys[3].1)?
                    }
                    _ => self.other(keys)?,
                }
            }
            _ => self.other(keys)?,
        };
        let whole = match names[..] {
            ["dev", device, ref rest @ ..] => {
                let home = self.loaded.board.keys_of(device);
                home.into_iter().chain(rest.iter().copied()).collect()
            }
            _ => names,
        };
        Ok(Explanation {
            path: toml::path(whole),
            value,
            layers: self.layers,
        })
    }

    fn sources(&self) -> &Sources {
        &self.loaded.report.sources
    }

    /// A property of a device, its type's default and `[defaults.TYPE]` included.
    fn property(
        &mut self,
        device: &PlannedDevice,
        name: &str,
        at: Span,
    ) -> Result<String, Problem> {
        let kind = device.entry.name;
        let Some(value) = device.props.get(name) else {
            let all = device.props.names();
            return Err(
                Problem::error("unknown-key", format!("{kind} has no `{name}`"))
                    .at(at, "")
                    .help(suggest(name, "properties", all)),
            );
        };
        if let Some(default) = (device.entry.defaults)().get(name) {
            self.layers.push(Layer {
                value: plain(default),
                place: format!("the default of {kind}"),
                path: String::new(),
                of_param: false,
            });
        }
        for path in [
            &["defaults", kind, name][..],
            &["dev", &device.path, kind, name],
        ] {
            if let Some(node) = get(&self.loaded.board.root, path) {
                self.value(node, path);
            }
        }
        Ok(plain(value))
    }

    /// A parameter: its defaults, and what the command line sets.
    fn param(&mut self, name: &str, at: Span) -> Result<String, Problem> {
        let params = &self.loaded.board.params;
        let Some(Some(param)) = params.get(name) else {
            let names = params.keys().map(String::as_str);
            return Err(Problem::error(
                "unknown-param",
                format!("the board has no param `{name}`"),
            )
            .at(at, "")
            .help(suggest(name, "params", names)));
        };
        self.param_layers(name, false);
        Ok(plain(&param.value))
    }

    fn param_layers(&mut self, name: &str, of_param: bool) {
        let path = ["param", name, "default"];
        if let Some(default) = get(&self.loaded.board.root, &path) {
            self.chain(default, &path, of_param);
        }
        let settings = self.loaded.board.settings.iter();
        for Setting { value, span, .. } in settings.filter(|s| s.name == name) {
            let value = match value {
                Given::Text(text) => text.clone(),
                Given::Node(node) => write::value(node, self.sources()),
            };
            self.layers.push(Layer {
                value,
                place: place(self.sources(), *span),
                path: toml::path(["param", name]),
                of_param,
            });
        }
    }

    /// Any other value that stands in the tree.
    fn other(&mut self, keys: &[(String, Span)]) -> Result<String, Problem> {
        let mut table = &self.loaded.board.root;
        for (depth, (name, at)) in keys.iter().enumerate() {
            let path = toml::path(keys[..=depth].iter().map(|(name, _)| name.as_str()));
            let last = depth + 1 == keys.len();
            let Some(entry) = table.get(name) else {
                let all = table.keys().map(String::as_str);
                return Err(
                    Problem::error("unknown-key", format!("the board has no `{path}`"))
                        .at(*at, "")
                        .help(suggest(name, "keys", all)),
                );
            };
            match (entry.node.as_table(), last) {
                (Some(inner), false) => table = inner,
                (Some(inner), true) => {
                    let all: Vec<_> = inner.keys().map(String::as_str).collect();
                    let problem = Problem::error("not-a-value", format!("`{path}` is a table"));
                    let problem = problem.at(*at, "one of its values has to be named");
                    return Err(match (&keys[0].0[..], depth) {
                        ("dev", 1) => problem.help(self.within(&keys[1].0, inner)),
                        ("dev", 2) if !KEYS.contains(&name.as_str()) => {
                            problem.help(self.properties(&keys[1].0))
                        }
                        _ if all.is_empty() => problem,
                        _ => problem.help(format!("the keys are {}", all.join(", "))),
                    });
                }
                (None, true) => {
                    let names: Vec<&str> = keys.iter().map(|(name, _)| name.as_str()).collect();
                    self.value(&entry.node, &names);
                    return Ok(plain(&entry.node.to_json()));
                }
                (None, false) => {
                    return Err(
                        Problem::error("unknown-key", format!("`{path}` is a value"))
                            .at(keys[depth + 1].1, "it has nothing within"),
                    );
                }
            }
        }
        // No path is empty.
        Ok(String::new())
    }

    /// Help for who named a device alone: its properties, and what else it says.
    fn within(&self, device: &str, table: &Table) -> String {
        let mut help = self.properties(device);
        let others = table.iter().filter(|(key, _)| KEYS.contains(&key.as_str()));
        let others = others.flat_map(|(key, entry)| match entry.node.as_table() {
            Some(inner) => inner.keys().map(|name| format!("{key}.{name}")).collect(),
            None => vec![key.clone()],
        });
        let others: Vec<_> = others.collect();
        if !others.is_empty() {
            help += &format!("\nthe other keys are {}", others.join(", "));
        }
        if self.loaded.board.params.contains_key(device) {
            help += &format!("\nthe parameter of this name is param.{device}");
        }
        help
    }

    /// Help about a device's properties.
    fn properties(&self, device: &str) -> String {
        let device = self.loaded.plan.devices.iter().find(|d| d.path == device);
        let all = device.into_iter().flat_map(|d| d.props.names());
        let all: Vec<_> = all.collect();
        match all[..] {
            [] => "it has no properties".to_owned(),
            _ => format!("the properties are {}", all.join(", ")),
        }
    }

    /// What the layers say of a value, and of the parameter if it is one's.
    fn value(&mut self, node: &Node, path: &[&str]) {
        let written = node.written();
        self.chain(written, path, false);
        let param = written.as_str().filter(|_| node.param.is_some());
        let param = param.and_then(|text| text.strip_prefix("${")?.strip_suffix('}'));
        if let Some(name) = param {
            self.param_layers(name, true);
        }
    }

    fn chain(&mut self, node: &Node, path: &[&str], of_param: bool) {
        let strongest = self.layers.len();
        let mut next = Some(node);
        while let Some(node) = next {
            // What a chip calls a parameter stands in the text alone.
            if let Some(of) = node.param.filter(|_| node.below.is_none()) {
                self.layer(of, node, path, true);
            }
            self.layer(node.span, node, path, of_param);
            next = node.below.as_deref().filter(|_| node.param.is_none());
        }
        self.layers[strongest..].reverse();
    }

    /// What stands at a place.
    fn layer(&mut self, span: Span, node: &Node, path: &[&str], of_param: bool) {
        let text = self.sources().text(span.file);
        let typed = self.sources().name(span.file) == set::SET;
        let written = text.get(span.start..span.end).unwrap_or_default();
        let scalar = matches!(node.value, Value::Scalar(_)) && !typed && !written.is_empty();
        let value = if scalar {
            written.to_owned()
        } else {
            write::value(node, self.sources())
        };
        let inner = parse::path_at(&text, span.start).filter(|_| !typed);
        let path = match &inner {
            Some(keys) => toml::path(keys.iter().map(String::as_str)),
            None => toml::path(path.iter().copied()),
        };
        let place = place(self.sources(), span);
        if self
            .layers
            .iter()
            .any(|l| (&l.value, &l.place, &l.path) == (&value, &place, &path))
        {
            return;
        }
        self.layers.push(Layer {
            value,
            place,
            path,
            of_param,
        });
    }
}

fn place(sources: &Sources, span: Span) -> String {
    match sources.name(span.file) {
        // An option of the command line has one line.
        option if option.starts_with("--") => option.to_owned(),
        name => format!("{name}:{}", sources.line(span)),
    }
}

/// A value as it is on the machine; a property that is not set has none.
fn plain(value: &Json) -> String {
    match value {
        Json::Null => "none".to_owned(),
        value => toml::json(value),
    }
}
