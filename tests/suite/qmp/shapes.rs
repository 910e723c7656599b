//! The answers to QEMU's client, in shape what QEMU 7.2 answers to the same commands: keys and types.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use serde_json::{Value, json};
use solderless_testing::guests;

use super::{Console, drive, machine, place};

/// Where an answer is not shaped as QEMU's, and why.
const DIFFERENCES: &[(&str, &str, &str)] = &[
    (
        "query-block",
        ".return[].io-status",
        "what is wrong with a disk is said on standard error",
    ),
    (
        "inject-nmi",
        "",
        "QEMU's Malta takes no NMI, the CPU here has the pin",
    ),
    (
        "query-machines",
        ".return[].is-default",
        "no board is run where none is named",
    ),
    (
        "query-migrate-parameters",
        ".return.",
        "memory goes as it is, on one wire, before the machine goes on elsewhere: there are no numbers for other ways",
    ),
    (
        "device-list-properties",
        ".return[].default-value",
        "the card has other properties here: the address alone, which is a text",
    ),
];

/// Commands that QEMU does not have.
const OURS: &[&str] = &[
    "x-check",
    "x-explain",
    "x-layout",
    "x-machine-create",
    "x-plan",
];

/// What each command is given.
fn commands(file: &str) -> Vec<(&'static str, Value)> {
    vec![
        ("query-status", json!({})),
        ("query-version", json!({})),
        ("query-name", json!({})),
        ("query-commands", json!({})),
        ("query-cpus-fast", json!({})),
        ("query-memory-size-summary", json!({})),
        ("query-chardev", json!({})),
        ("query-block", json!({})),
        ("query-named-block-nodes", json!({})),
        ("query-pci", json!({})),
        ("query-machines", json!({})),
        ("query-current-machine", json!({})),
        ("query-kvm", json!({})),
        ("query-migrate", json!({})),
        ("query-migrate-parameters", json!({})),
        ("query-migrate-capabilities", json!({})),
        ("migrate-set-parameters", json!({ "downtime-limit": 100 })),
        (
            "migrate-set-capabilities",
            json!({ "capabilities": [{ "capability": "auto-converge", "state": true }] }),
        ),
        ("migrate_cancel", json!({})),
        ("query-qmp-schema", json!({})),
        ("qom-list", json!({ "path": "/" })),
        ("qom-list", json!({ "path": "/machine" })),
        ("qom-get", json!({ "path": "/machine", "property": "type" })),
        ("qom-list-types", json!({ "implements": "device" })),
        ("qom-list-types", json!({ "abstract": true })),
        ("device-list-properties", json!({ "typename": "pcnet" })),
        (
            "human-monitor-command",
            json!({ "command-line": "info status" }),
        ),
        (
            "memsave",
            json!({ "val": 0x8000_0000u32, "size": 16, "filename": file }),
        ),
        (
            "pmemsave",
            json!({ "val": 0, "size": 16, "filename": file }),
        ),
        ("cont", json!({})),
        ("stop", json!({})),
        ("system_reset", json!({})),
        ("system_powerdown", json!({})),
        ("inject-nmi", json!({})),
        (
            "chardev-add",
            json!({ "id": "serial1", "backend": { "type": "null", "data": {} } }),
        ),
        (
            "chardev-add",
            json!({ "id": "serial0", "backend": { "type": "nothing", "data": {} } }),
        ),
        (
            "chardev-change",
            json!({ "id": "serial0", "backend": { "type": "file", "data": { "out": "/dev/null" } } }),
        ),
        ("chardev-send-break", json!({ "id": "serial0" })),
        ("chardev-remove", json!({ "id": "nobody" })),
        (
            "send-key",
            json!({ "keys": [{ "type": "qcode", "data": "a" }] }),
        ),
        (
            "send-key",
            json!({ "keys": [{ "type": "qcode", "data": "no-key" }] }),
        ),
        ("migrate-incoming", json!({ "uri": "unix:/no/such/socket" })),
        (
            "qom-set",
            json!({ "path": "/machine", "property": "no-such", "value": 1 }),
        ),
        (
            "screendump",
            json!({ "filename": file, "device": "nobody" }),
        ),
        ("x-query-ramblock", json!({})),
        ("query-jobs", json!({})),
        ("job-dismiss", json!({ "id": "nobody" })),
        ("snapshot-save", json!({ "job-id": 1 })),
        ("snapshot-load", json!({ "job-id": 1 })),
        ("snapshot-delete", json!({ "job-id": 1 })),
        ("no-such-command", json!({})),
        ("eject", json!({ "device": "no-such-drive" })),
        (
            "blockdev-change-medium",
            json!({ "device": "no-such-drive", "filename": "x" }),
        ),
        ("stop", json!({ "x": 1 })),
        ("memsave", json!({ "val": "x" })),
        ("memsave", json!({ "val": 1 })),
        ("qom-get", json!({ "path": "/x", "property": "y" })),
        (
            "device-list-properties",
            json!({ "typename": "no-such-type" }),
        ),
        ("migrate", json!({ "uri": "exec:cat > /dev/null" })),
        ("quit", json!({})),
    ]
}

/// The types that are found at each place of an answer; the elements of an array are one place.
fn shape(value: &Value, at: String, into: &mut BTreeMap<String, BTreeSet<&'static str>>) {
    let kind = match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(all) => {
            all.iter().for_each(|v| shape(v, format!("{at}[]"), into));
            "array"
        }
        Value::Object(all) => {
            all.iter()
                .for_each(|(k, v)| shape(v, format!("{at}.{k}"), into));
            "object"
        }
    };
    into.entry(at).or_default().insert(kind);
}

/// What differs between two answers to a command. Of errors the class has to be the same.
fn differences(ours: &Value, theirs: &Value) -> Vec<String> {
    let shapes = [ours, theirs].map(|answer| {
        let mut places = BTreeMap::new();
        shape(answer, String::new(), &mut places);
        places
    });
    let places: BTreeSet<_> = shapes.iter().flat_map(BTreeMap::keys).collect();
    let differ = places
        .into_iter()
        .filter(|at| shapes[0].get(*at) != shapes[1].get(*at));
    let mut differ: Vec<_> = differ.cloned().collect();
    if ours["error"]["class"] != theirs["error"]["class"] {
        differ.push(".error.class".to_owned());
    }
    differ
}

#[test]
fn qemus_client_gets_from_every_command_what_qemu_answers() {
    if !guests::tool("qemu-system-mipsel", "qemu-system-mips") {
        return;
    }
    let (folder, socket) = place();
    let file = folder.path().join("memory").display().to_string();
    let commands = commands(&file);
    let args = ["-S", "--backend", "serial0=null"];
    let console = Console::start(machine("malta", &socket, &args));
    let Some((ours, events)) = drive(&socket, &commands) else {
        return;
    };
    assert_eq!(console.wait().code(), Some(0));
    let (other, theirs) = place();
    let mut qemu = Command::new("qemu-system-mipsel");
    qemu.args([
        "-M", "malta", "-m", "16", "-display", "none", "-serial", "null", "-S",
    ]);
    qemu.arg("-qmp")
        .arg(format!("unix:{},server=on,wait=off", theirs.display()));
    let qemu = Console::start(qemu);
    let (answers, told) = drive(&theirs, &commands).expect("the client is there");
    assert_eq!(qemu.wait().code(), Some(0));
    drop(other);

    let mut used = BTreeSet::new();
    for (((name, given), ours), theirs) in commands.iter().zip(&ours).zip(&answers) {
        if *name == "query-qmp-schema" {
            // Its arrays have all kinds of things; the members of each kind are compared.
            kinds(ours, theirs);
            continue;
        }
        for at in differences(ours, theirs) {
            let known = DIFFERENCES
                .iter()
                .position(|(of, place, _)| of == name && at.starts_with(place));
            let known = known.unwrap_or_else(|| panic!("{name} {given}: {at}\n{ours}\n{theirs}"));
            used.insert(known);
        }
    }
    assert_eq!(used.len(), DIFFERENCES.len(), "some differences are gone");
    // All that there are.
    let index = commands
        .iter()
        .position(|(name, _)| *name == "query-commands")
        .expect("it is there");
    let names = ours[index]["return"].as_array().expect("a list");
    for name in names.iter().filter_map(|c| c["name"].as_str()) {
        let given = commands.iter().any(|(given, _)| *given == name);
        assert!(given || OURS.contains(&name), "{name} was not given");
    }
    let names = |events: &[Value]| {
        let name = |e: &Value| (e["event"].clone(), e["data"].clone());
        events.iter().map(name).collect::<Vec<_>>()
    };
    assert_eq!(names(&events), names(&told));
}

/// Each kind of entry of a schema has the members that QEMU's has.
fn kinds(ours: &Value, theirs: &Value) {
    let members = |schema: &Value| {
        let mut kinds: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for entry in schema["return"].as_array().expect("a list") {
            let kind = entry["meta-type"].as_str().expect("a kind");
            let keys = entry.as_object().expect("an object").keys();
            kinds
                .entry(kind.to_owned())
                .or_default()
                .extend(keys.cloned());
        }
        kinds
    };
    let theirs = members(theirs);
    for (kind, keys) in members(ours) {
        let known = theirs
            .get(&kind)
            .unwrap_or_else(|| panic!("{kind} is none of QEMU's kinds"));
        assert!(keys.is_subset(known), "{kind}: {keys:?} {known:?}");
    }
}
