//! The face that programs see: messages in JSON, as in QEMU's protocol (QMP).

use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Map, Value, json};

use super::Vm;
use super::commands::{COMMANDS, own_version};
use super::table::{Class, Error, resolved};
use crate::registry::draft07;

/// The longest message. Of what is longer nothing is kept.
pub const LONGEST: usize = 1 << 20;

/// The command by which a client says that it is ready.
const READY: &str = "qmp_capabilities";

/// What is said to whoever comes.
pub fn greeting() -> String {
    line(&json!({ "QMP": { "version": own_version(), "capabilities": [] } }))
}

fn line(message: &Value) -> String {
    format!("{message}\r\n")
}

/// Something that has happened, as it is told.
pub fn event(name: &str, data: Option<Value>) -> String {
    debug_assert!(
        EVENTS.iter().any(|(known, members, _)| {
            let given = data.as_ref().and_then(Value::as_object);
            let given = given.into_iter().flat_map(Map::keys);
            *known == name && given.eq(members.iter().map(|(member, _)| member))
        }),
        "{name} {data:?} is not in the table of events"
    );
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let now = now.unwrap_or_default();
    let mut message = json!({
        "timestamp": { "seconds": now.as_secs(), "microseconds": now.subsec_micros() },
        "event": name,
    });
    if let Some(data) = data {
        message["data"] = data;
    }
    line(&message)
}

/// The answer to a message. `ready` is whether the client has said that it is.
pub fn answer(vm: &mut Vm<'_>, ready: &mut bool, message: &Message) -> String {
    let mut id = None;
    let result = carry_out(vm, ready, message, &mut id);
    let mut reply = Map::new();
    match result {
        Ok(value) => reply.insert("return".to_owned(), value),
        Err(Error { class, reason }) => {
            let error = json!({ "class": class.to_string(), "desc": reason.trim_end() });
            reply.insert("error".to_owned(), error)
        }
    };
    reply.extend(id.map(|id| ("id".to_owned(), id)));
    line(&Value::Object(reply))
}

fn carry_out(
    vm: &mut Vm<'_>,
    ready: &mut bool,
    message: &Message,
    id: &mut Option<Value>,
) -> Result<Value, Error> {
    let bytes = match message {
        Message::Whole(bytes) => bytes,
        Message::TooLong => {
            return Err(format!("JSON message is too long; at most {LONGEST} bytes").into());
        }
    };
    let value: Value =
        serde_json::from_slice(bytes).map_err(|e| format!("JSON parse error, {e}"))?;
    let Value::Object(mut message) = value else {
        return Err("QMP input must be a JSON object".into());
    };
    *id = message.remove("id");
    let name = match message.remove("execute") {
        Some(Value::String(name)) => name,
        Some(_) => return Err("QMP input member 'execute' must be a string".into()),
        None if message.contains_key("exec-oob") => {
            return Err(
                "QMP input member 'exec-oob' is unexpected: out-of-band is not offered".into(),
            );
        }
        None => return Err("QMP input lacks member 'execute'".into()),
    };
    let given = match message.remove("arguments") {
        Some(Value::Object(given)) => given,
        Some(_) => return Err("QMP input member 'arguments' must be an object".into()),
        None => Map::new(),
    };
    if let Some(member) = message.keys().next() {
        return Err(format!("QMP input member '{member}' is unexpected").into());
    }
    let not_now = |reason: &str| Error {
        class: Class::CommandNotFound,
        reason: reason.to_owned(),
    };
    match (name.as_str(), *ready) {
        (READY, false) => {
            let wanted = given.get("enable").and_then(Value::as_array);
            if let Some(wanted) = wanted.and_then(|w| w.first()) {
                return Err(format!("capability {wanted} is not offered").into());
            }
            *ready = true;
            return Ok(json!({}));
        }
        (READY, true) => {
            return Err(not_now(
                "Capabilities negotiation is already complete, command ignored",
            ));
        }
        (_, false) => {
            return Err(not_now(
                "Expecting capabilities negotiation with 'qmp_capabilities'",
            ));
        }
        (_, true) => {}
    }
    let command = COMMANDS.iter().find(|c| !name.is_empty() && c.name == name);
    let command = command.ok_or_else(|| {
        let reason = format!("The command {name} has not been found");
        not_now(&match FOREIGN
            .iter()
            .find(|(names, _)| names.contains(&name.as_str()))
        {
            Some((_, instead)) => format!("{reason}: {instead}"),
            None => reason,
        })
    })?;
    if let Some(reason) = command.misuse(&given) {
        return Err(reason.into());
    }
    (command.run)(vm, Value::Object(given))
}

/// Commands of QEMU's, and what is said of them.
const FOREIGN: &[(&[&str], &str)] = &[
    (
        &[
            "device_add",
            "device_del",
            "object-add",
            "object-del",
            "netdev_add",
            "netdev_del",
        ],
        "a board says which devices it has, before the machine runs",
    ),
    (
        &["blockdev-add", "blockdev-del", "block_resize"],
        "disks are there from the start; blockdev-change-medium has another disc in a drive",
    ),
    (
        &[
            "migrate-continue",
            "migrate-pause",
            "migrate-recover",
            "migrate-start-postcopy",
        ],
        "all memory is sent before the machine goes on elsewhere",
    ),
    (
        &[
            "job-cancel",
            "job-complete",
            "job-finalize",
            "job-pause",
            "job-resume",
        ],
        "a job is done when its command is answered; see query-jobs and job-dismiss",
    ),
    (&["query-cpus"], "see query-cpus-fast"),
    (
        &["x-exit-preconfig"],
        "a machine that waits goes on with cont",
    ),
];

/// A message as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Message {
    /// A value in JSON, or what is none.
    Whole(Vec<u8>),
    /// It has more bytes than are kept.
    TooLong,
}

/// Finds where messages end in what a client sends.
#[derive(Debug, Default)]
pub struct Framer {
    text: Vec<u8>,
    /// How many brackets are open.
    depth: u64,
    quoted: bool,
    escaped: bool,
    too_long: bool,
}

impl Framer {
    /// Takes bytes up to the end of a message. Returns that and how many bytes were taken.
    pub fn feed(&mut self, bytes: &[u8]) -> (Option<Message>, usize) {
        for (used, byte) in (1..).zip(bytes) {
            if self.byte(*byte) {
                let text = std::mem::take(&mut self.text);
                let too_long = self.too_long;
                *self = Self::default();
                let message = match too_long {
                    true => Message::TooLong,
                    false => Message::Whole(text),
                };
                return (Some(message), used);
            }
        }
        (None, bytes.len())
    }

    /// Takes a byte; whether a message ends with it. One ends where its brackets do; a line without any is one as well, and so is
    /// what a string with the end of a line in it makes of one, which is none in JSON.
    fn byte(&mut self, byte: u8) -> bool {
        let started = !self.text.is_empty();
        match byte {
            b'\n' if started && (self.depth == 0 || self.quoted || self.too_long) => return true,
            b' ' | b'\t' | b'\r' | b'\n' if !started => return false,
            _ => {}
        }
        if self.text.len() < LONGEST {
            self.text.push(byte);
        } else {
            self.too_long = true;
            self.text.truncate(1);
            self.text.shrink_to_fit();
        }
        if self.quoted {
            let escaped = std::mem::take(&mut self.escaped);
            match byte {
                b'\\' => self.escaped = !escaped,
                b'"' => self.quoted = escaped,
                _ => {}
            }
            return false;
        }
        // What begins otherwise is a line.
        if !self.text.first().is_some_and(|first| b"{[".contains(first)) {
            return false;
        }
        match byte {
            b'"' => self.quoted = true,
            b'{' | b'[' => self.depth += 1,
            b'}' | b']' => {
                self.depth -= 1;
                return self.depth == 0;
            }
            _ => {}
        }
        false
    }
}

/// What `query-qmp-schema` says: the commands and events with the types of what they take and give (QEMU, "QMP schema
/// introspection").
pub fn schema() -> Vec<Value> {
    let mut generator = draft07();
    let commands = COMMANDS.iter().filter(|c| !c.name.is_empty());
    let commands: Vec<_> = commands
        .map(|c| {
            let arguments = (c.arguments)(&mut generator).to_value();
            let answer = (c.answer)(&mut generator).to_value();
            (c.name, arguments, answer)
        })
        .collect();
    let mut types = Types {
        definitions: generator.definitions().clone(),
        all: Vec::new(),
    };
    let mut all = Vec::new();
    for (name, arguments, answer) in commands {
        let (arguments, answer) = (types.name(&arguments), types.name(&answer));
        all.push(json!({
            "name": name, "meta-type": "command", "arg-type": arguments, "ret-type": answer,
        }));
    }
    let capabilities = json!({ "name": READY, "meta-type": "command",
        "arg-type": types.name(&json!({ "$ref": "#/definitions/Nothing" })),
        "ret-type": types.name(&json!({ "$ref": "#/definitions/Nothing" })) });
    all.push(capabilities);
    for (name, data, _) in EVENTS {
        let properties = data
            .iter()
            .map(|(name, kind)| ((*name).to_owned(), json!({ "type": kind })));
        let required: Vec<_> = data.iter().map(|(name, _)| *name).collect();
        let of = json!({ "type": "object", "title": format!("{name}-data"),
            "properties": properties.collect::<Map<_, _>>(), "required": required });
        let of = types.name(&of);
        all.push(json!({ "name": name, "meta-type": "event", "arg-type": of }));
    }
    all.extend(types.all.into_iter().map(|(_, about)| about));
    all
}

/// An event: its name, the members of its data with their types in JSON, and what has happened.
type EventRow = (
    &'static str,
    &'static [(&'static str, &'static str)],
    &'static str,
);

/// The events.
pub const EVENTS: &[EventRow] = &[
    (
        "BLOCK_IO_ERROR",
        &[
            ("device", "string"),
            ("operation", "string"),
            ("action", "string"),
            ("nospace", "boolean"),
            ("reason", "string"),
        ],
        "a disk could not be read or written: the guest is told, which is the action report, or the machine stands still, which is stop",
    ),
    (
        "DEVICE_TRAY_MOVED",
        &[
            ("device", "string"),
            ("id", "string"),
            ("tray-open", "boolean"),
        ],
        "the tray of a drive was opened or closed by a command",
    ),
    (
        "JOB_STATUS_CHANGE",
        &[("id", "string"), ("status", "string")],
        "a job is created, running, waiting, pending, aborting or concluded, or was dismissed: null",
    ),
    (
        "MIGRATION",
        &[("status", "string")],
        "a migration has come so far, if the capability events is on: setup, active, completed, failed or cancelled",
    ),
    (
        "POWERDOWN",
        &[],
        "the power button was pressed by a command",
    ),
    (
        "RESET",
        &[("guest", "boolean"), ("reason", "string")],
        "the board was reset, by the guest or by a command",
    ),
    ("RESUME", &[], "the machine goes on"),
    (
        "SHUTDOWN",
        &[("guest", "boolean"), ("reason", "string")],
        "the run ends, by what the guest has done or by something else",
    ),
    ("STOP", &[], "the machine stands still"),
];

/// The types of the schema.
struct Types {
    definitions: Map<String, Value>,
    all: Vec<(String, Value)>,
}

impl Types {
    /// The name of a type, which is put among the others if it is not there yet.
    fn name(&mut self, schema: &Value) -> String {
        let reference = schema["$ref"].as_str();
        let title = reference
            .and_then(|r| r.rsplit('/').next())
            .or(schema["title"].as_str());
        let title = title.unwrap_or("object").to_owned();
        let definitions = std::mem::take(&mut self.definitions);
        let schema = resolved(schema, &definitions).clone();
        self.definitions = definitions;
        let kind = match &schema["type"] {
            Value::Array(kinds) => kinds.first().and_then(Value::as_str),
            kind => kind.as_str(),
        };
        // Of one that can be null too.
        if let Some(some) = schema["anyOf"].as_array().and_then(|some| some.first()) {
            return self.name(&some.clone());
        }
        let values = schema["enum"].as_array().cloned().or_else(|| {
            let one = schema["oneOf"].as_array()?;
            let value = |v: &Value| v.get("const").or_else(|| v["enum"].get(0)).cloned();
            one.iter().map(value).collect()
        });
        if let Some(values) = values {
            let members: Vec<_> = values.iter().map(|v| json!({ "name": v })).collect();
            return self.put(&title, |_| {
                json!({ "name": title, "meta-type": "enum", "values": values, "members": members })
            });
        }
        match kind {
            Some("string") => self.builtin("str", "string"),
            Some("integer") => self.builtin("int", "int"),
            Some("number") => self.builtin("number", "number"),
            Some("boolean") => self.builtin("bool", "boolean"),
            Some("array") => {
                let element = self.name(&schema["items"]);
                let name = format!("[{element}]");
                self.put(
                    &name,
                    |_| json!({ "name": name, "meta-type": "array", "element-type": element }),
                )
            }
            Some("object") => self.put(&title, |types| {
                let required = schema["required"].as_array();
                let required: Vec<_> = required.into_iter().flatten().collect();
                let properties = schema["properties"].as_object().into_iter().flatten();
                let members = properties.map(|(name, about)| {
                    let mut member = json!({ "name": name, "type": types.name(about) });
                    if !required.iter().any(|r| *r == name) {
                        member["default"] = Value::Null;
                    }
                    member
                });
                let members: Vec<_> = members.collect();
                json!({ "name": title, "meta-type": "object", "members": members })
            }),
            _ => self.builtin("any", "value"),
        }
    }

    fn builtin(&mut self, name: &str, kind: &str) -> String {
        self.put(
            name,
            |_| json!({ "name": name, "meta-type": "builtin", "json-type": kind }),
        )
    }

    fn put(&mut self, name: &str, about: impl FnOnce(&mut Self) -> Value) -> String {
        if !self.all.iter().any(|(known, _)| known == name) {
            // Before what it is made of, which it may be part of.
            let place = self.all.len();
            self.all.push((name.to_owned(), Value::Null));
            self.all[place].1 = about(self);
        }
        name.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn messages(text: &[u8], piece: usize) -> Vec<Message> {
        let (mut framer, mut found) = (Framer::default(), Vec::new());
        for mut piece in text.chunks(piece) {
            while !piece.is_empty() {
                let (message, used) = framer.feed(piece);
                found.extend(message);
                piece = &piece[used..];
            }
        }
        found
    }

    fn whole(text: &str) -> Message {
        Message::Whole(text.as_bytes().to_vec())
    }

    #[test]
    fn messages_end_where_their_brackets_do() {
        let text = "{\"a\": \"}\\\"{\"} {\"b\":\n [1, {}]}\n\nhello\r\n{\"half\n{}[1]";
        let found = [
            whole("{\"a\": \"}\\\"{\"}"),
            whole("{\"b\":\n [1, {}]}"),
            whole("hello\r"),
            whole("{\"half"),
            whole("{}"),
            whole("[1]"),
        ];
        for piece in [1, 2, 7, 1000] {
            assert_eq!(messages(text.as_bytes(), piece), found);
        }
    }

    #[test]
    fn of_a_message_without_end_nothing_is_kept() {
        let mut framer = Framer::default();
        let flood = [b'{'; 4096];
        for _ in 0..1000 {
            assert_eq!(framer.feed(&flood), (None, flood.len()));
            assert!(framer.text.capacity() <= 2 * LONGEST);
        }
        assert_eq!(framer.feed(b"\n{}"), (Some(Message::TooLong), 1));
        assert_eq!(framer.feed(b"{}"), (Some(whole("{}")), 2));
    }

    proptest! {
        #[test]
        fn pieces_do_not_matter(text in "[{}\\[\\]\"\\\\a \n]{0,60}", piece in 1usize..9) {
            prop_assert_eq!(messages(text.as_bytes(), piece), messages(text.as_bytes(), 1000));
        }
    }

    #[test]
    fn every_type_of_the_schema_is_in_it() {
        let schema = schema();
        let names: Vec<_> = schema.iter().map(|s| s["name"].as_str()).collect();
        let mut used = Vec::new();
        for entry in &schema {
            for key in ["arg-type", "ret-type", "element-type"] {
                used.extend(entry.get(key).map(Value::as_str));
            }
            let members = entry["members"].as_array().into_iter().flatten();
            used.extend(members.filter_map(|m| m.get("type")).map(Value::as_str));
        }
        for name in used {
            assert!(names.contains(&name), "{name:?}");
        }
        for name in ["query-status", "STOP", "RunState", "[PciDeviceInfo]"] {
            assert!(names.contains(&Some(name)), "{name}");
        }
    }
}
