//! QEMU's protocol (QMP): its own client drives ours, and every answer is shaped as QEMU's. Clients that mean harm, and several at
//! once.

mod hostile;
mod shapes;

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use solderless_testing::emulator::Emulator;
use solderless_testing::{Console, guests};

const PROGRAM: &str = env!("CARGO_BIN_EXE_solderless");
const ROM: &str = "rom> ";
const PROMPT: &str = "(solderless) ";
const PATIENCE: Duration = Duration::from_secs(120);

/// A board's machine with 16 MiB of memory and its protocol at a socket.
fn machine(board: &str, socket: &Path, args: &[&str]) -> Command {
    let mut command = Emulator::ours_with(PROGRAM, board).ram(16).command();
    command.arg("--qmp");
    command.arg(format!("unix:{},server", socket.display()));
    command.args(args);
    command
}

/// Connects as soon as somebody listens.
fn connect(path: &Path) -> UnixStream {
    let start = Instant::now();
    loop {
        match UnixStream::connect(path) {
            Ok(stream) => {
                stream.set_read_timeout(Some(PATIENCE)).expect("a socket");
                return stream;
            }
            Err(e) => assert!(start.elapsed() < PATIENCE, "{}: {e}", path.display()),
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// A client of our own, which sends what it likes.
struct Client {
    stream: BufReader<UnixStream>,
    /// What was told between answers.
    events: Vec<Value>,
}

impl Client {
    fn new(path: &Path) -> Self {
        let mut client = Self {
            stream: BufReader::new(connect(path)),
            events: Vec::new(),
        };
        let greeting = client.read().expect("a greeting");
        assert_eq!(greeting["QMP"]["version"]["package"], "Solderless");
        client
    }

    /// One that has said that it is ready.
    fn ready(path: &Path) -> Self {
        let mut client = Self::new(path);
        assert_eq!(
            client.ask(&json!({ "execute": "qmp_capabilities" })),
            json!({ "return": {} })
        );
        client
    }

    fn send(&mut self, text: &[u8]) {
        self.stream
            .get_mut()
            .write_all(text)
            .expect("it is connected");
    }

    /// The next message; nothing at the end.
    fn read(&mut self) -> Option<Value> {
        let mut line = String::new();
        match self.stream.read_line(&mut line) {
            Ok(0) => None,
            Ok(_) => Some(serde_json::from_str(&line).expect("a message")),
            Err(e) if e.kind() == std::io::ErrorKind::ConnectionReset => None,
            Err(e) => panic!("{e}"),
        }
    }

    /// The next answer.
    fn answer(&mut self) -> Value {
        loop {
            let message = self.read().expect("an answer");
            if message.get("event").is_none() {
                return message;
            }
            self.events.push(message);
        }
    }

    fn ask(&mut self, message: &Value) -> Value {
        self.send(format!("{message}\n").as_bytes());
        self.answer()
    }

    /// What a command gives.
    fn execute(&mut self, name: &str, arguments: Value) -> Value {
        let answer = self.ask(&json!({ "execute": name, "arguments": arguments }));
        let value = answer
            .get("return")
            .unwrap_or_else(|| panic!("{name}: {answer}"));
        value.clone()
    }

    fn quit(mut self) -> Vec<Value> {
        self.execute("quit", json!({}));
        while let Some(message) = self.read() {
            self.events.push(message);
        }
        self.events
    }
}

/// Runs `drive.py` with a client of QEMU's over these commands: what each came to, and the events. Nothing where the client is not
/// installed, which CI does not put up with.
fn drive(socket: &Path, commands: &[(&str, Value)]) -> Option<(Vec<Value>, Vec<Value>)> {
    let mut child = python(&["tests/suite/qmp/drive.py"], socket)?;
    let mut input = child.stdin.take().expect("a pipe");
    for (name, arguments) in commands {
        writeln!(input, "{}", json!([name, arguments])).expect("it reads");
    }
    drop(input);
    let output = child.wait_with_output().expect("it ends");
    let text = String::from_utf8(output.stdout).expect("text");
    let errors = String::from_utf8_lossy(&output.stderr);
    let lines = text
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"));
    let mut lines: Vec<Value> = lines.collect();
    assert_eq!(lines.len(), commands.len() + 1, "{text}\n{errors}");
    let events = lines.pop().and_then(|e| e.as_array().cloned());
    Some((lines, events.expect("a list")))
}

/// Python with the client, on pipes.
fn python(args: &[&str], socket: &Path) -> Option<Child> {
    let folder = guests::repository().join("target/qmp-client");
    if !folder.join("qemu").is_dir() {
        assert!(std::env::var_os("CI").is_none(), "run .ci/qmp-client");
        eprintln!("skipped: .ci/qmp-client installs QEMU's client");
        return None;
    }
    // Somebody may be about to listen.
    drop(connect(socket));
    let child = Command::new("python3")
        .current_dir(guests::repository())
        .env("PYTHONPATH", folder)
        .args(args)
        .arg(socket)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    Some(child.expect("Python starts"))
}

/// A folder, and a socket's path in it.
fn place() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a folder");
    let socket = folder.path().join("qmp.sock");
    (folder, socket)
}

#[test]
fn the_protocol_is_kept_to() {
    let (_folder, socket) = place();
    let mut console = Console::start(machine("malta", &socket, &[]));
    console.expect(ROM);
    let mut client = Client::new(&socket);
    let class = |answer: &Value| answer["error"]["class"].as_str().map(str::to_owned);
    let early = client.ask(&json!({ "execute": "query-status", "id": 7 }));
    assert_eq!(class(&early).as_deref(), Some("CommandNotFound"));
    assert_eq!(early["id"], 7);
    let wanted = json!({ "execute": "qmp_capabilities", "arguments": { "enable": ["oob"] } });
    assert_eq!(class(&client.ask(&wanted)).as_deref(), Some("GenericError"));
    client.ask(&json!({ "execute": "qmp_capabilities" }));
    for (text, class, desc) in [
        ("hello\n", "GenericError", "JSON parse error"),
        ("}\n", "GenericError", "JSON parse error"),
        ("{\"execute\": \n}", "GenericError", "JSON parse error"),
        ("[1]", "GenericError", "QMP input must be a JSON object"),
        ("{}", "GenericError", "QMP input lacks member 'execute'"),
        (
            "{\"execute\": 1}",
            "GenericError",
            "QMP input member 'execute' must be a string",
        ),
        (
            "{\"execute\": \"stop\", \"x\": 1}",
            "GenericError",
            "QMP input member 'x' is unexpected",
        ),
        (
            "{\"execute\": \"stop\", \"arguments\": []}",
            "GenericError",
            "QMP input member 'arguments' must be an object",
        ),
        (
            "{\"exec-oob\": \"stop\"}",
            "GenericError",
            "QMP input member 'exec-oob' is unexpected",
        ),
        (
            "{\"execute\": \"qmp_capabilities\"}",
            "CommandNotFound",
            "already complete",
        ),
        (
            "{\"execute\": \"\"}",
            "CommandNotFound",
            "The command  has not been found",
        ),
        (
            "{\"execute\": \"device_add\"}",
            "CommandNotFound",
            "a board says which devices it has",
        ),
        (
            "{\"execute\": \"stop\", \"arguments\": {\"x\": 1}}",
            "GenericError",
            "Parameter 'x' is unexpected",
        ),
        (
            "{\"execute\": \"migrate\"}",
            "GenericError",
            "Parameter 'uri' is missing",
        ),
        (
            "{\"execute\": \"migrate\", \"arguments\": {\"uri\": 1}}",
            "GenericError",
            "Invalid parameter type for 'uri', expected: string",
        ),
        (
            "{\"execute\": \"memsave\", \"arguments\": {\"val\": -1, \"size\": 1, \"filename\": \"x\"}}",
            "GenericError",
            "invalid value",
        ),
        (
            "{\"execute\": \"pmemsave\", \"arguments\": {\"val\": 0, \"size\": 18446744073709551615, \"filename\": \"/no/such\"}}",
            "GenericError",
            "No such file",
        ),
        (
            "{\"execute\": \"pmemsave\", \"arguments\": {\"val\": 4294967040, \"size\": 16, \"filename\": \"/no/such\"}}",
            "GenericError",
            "is memory",
        ),
        (
            "{\"execute\": \"qom-list\", \"arguments\": {\"path\": \"/machine/nobody\"}}",
            "DeviceNotFound",
            "Device '/machine/nobody' not found",
        ),
    ] {
        client.send(text.as_bytes());
        let error = client.answer();
        assert_eq!(error["error"]["class"], class, "{text}: {error}");
        let said = error["error"]["desc"].as_str().expect("a reason");
        assert!(said.contains(desc), "{text}: {said}");
    }
    // Several at once, over lines as they like, each with its own id.
    client.send(b"{\"execute\": \"query-status\",\r\n \"id\": {\"a\": [1]}}{\"id\":\"b\",\"execute\":\"query-name\"} ");
    let first = client.answer();
    assert_eq!(first["id"], json!({ "a": [1] }));
    assert_eq!(first["return"]["status"], "running");
    assert_eq!(client.answer(), json!({ "return": {}, "id": "b" }));
    // The next one begins anew.
    drop(client);
    let mut client = Client::new(&socket);
    let early = client.ask(&json!({ "execute": "query-status" }));
    assert_eq!(class(&early).as_deref(), Some("CommandNotFound"));
    client.ask(&json!({ "execute": "qmp_capabilities" }));
    console.run("help", ROM);
    client.quit();
    assert_eq!(console.wait().code(), Some(0));
}

#[test]
fn what_happens_is_told() {
    let (folder, socket) = place();
    let mut command = machine("malta", &socket, &["-S"]);
    command.current_dir(folder.path());
    let mut console = Console::start(command);
    let mut client = Client::ready(&socket);
    let status = |client: &mut Client| client.execute("query-status", json!({}))["status"].clone();
    assert_eq!(status(&mut client), "prelaunch");
    for name in ["cont", "cont", "stop", "stop"] {
        client.execute(name, json!({}));
    }
    assert_eq!(status(&mut client), "paused");
    client.execute("migrate", json!({ "uri": "file:saved" }));
    assert_eq!(status(&mut client), "postmigrate");
    assert_eq!(
        client.execute("query-migrate", json!({}))["status"],
        "completed"
    );
    client.execute("cont", json!({}));
    console.expect(ROM);
    client.execute("system_reset", json!({}));
    console.expect(ROM);
    let events = json!({ "capabilities": [{ "capability": "events", "state": true }] });
    client.execute("migrate-set-capabilities", events);
    client.execute("migrate", json!({ "uri": "unix:/no/such/socket" }));
    let failed = loop {
        let info = client.execute("query-migrate", json!({}));
        if !["setup", "active", "device"]
            .iter()
            .any(|s| info["status"] == *s)
        {
            break info;
        }
    };
    assert_eq!(failed["status"], "failed");
    let why = failed["error-desc"].as_str().expect("a reason");
    assert!(why.contains("No such file"), "{why}");
    assert_eq!(status(&mut client), "running");
    console.send("reset\r");
    console.expect(ROM);
    console.send("poweroff\r");
    while let Some(message) = client.read() {
        client.events.push(message);
    }
    let told: Vec<_> = client
        .events
        .iter()
        .map(|event| {
            let time = &event["timestamp"];
            assert!(
                time["seconds"].is_u64() && time["microseconds"].is_u64(),
                "{event}"
            );
            let data = &event["data"];
            let said = data["reason"].as_str().or(data["status"].as_str());
            (event["event"].as_str().expect("a name"), said.unwrap_or(""))
        })
        .collect();
    assert_eq!(
        told,
        [
            ("RESUME", ""),
            ("STOP", ""),
            ("RESUME", ""),
            ("RESET", "host-qmp-system-reset"),
            ("MIGRATION", "setup"),
            ("MIGRATION", "failed"),
            ("RESET", "guest-reset"),
            ("SHUTDOWN", "guest-shutdown"),
        ]
    );
    assert_eq!(console.wait().code(), Some(0));
}

#[test]
fn snapshots_are_jobs() {
    let (folder, socket) = place();
    let mut command = machine("malta", &socket, &["-S"]);
    command.current_dir(folder.path());
    let console = Console::start(command);
    let mut client = Client::ready(&socket);
    let job = |client: &mut Client, name: &str, tag: &str, disks: bool| {
        let mut given = json!({ "job-id": "job", "tag": tag });
        if disks {
            given["vmstate"] = "disk0".into();
            given["devices"] = json!(["disk0"]);
        }
        client.execute(name, given.clone());
        let again = client.ask(&json!({ "execute": name, "arguments": given }));
        let said = again["error"]["desc"].as_str();
        assert!(said.is_some_and(|d| d.contains("in use")), "{again}");
        let jobs = client.execute("query-jobs", json!({}));
        assert_eq!(jobs[0]["type"], name);
        assert_eq!(jobs[0]["status"], "concluded");
        client.execute("job-dismiss", json!({ "id": "job" }));
        assert_eq!(client.execute("query-jobs", json!({})), json!([]));
        jobs[0].get("error").cloned()
    };
    assert_eq!(job(&mut client, "snapshot-save", "here", true), None);
    assert!(folder.path().join("snapshots/here.snap").is_file());
    let told = client.events.iter().map(|e| e["data"]["status"].clone());
    let told: Vec<_> = told.collect();
    assert_eq!(
        told,
        [
            "created",
            "running",
            "waiting",
            "pending",
            "concluded",
            "null"
        ]
    );
    assert_eq!(job(&mut client, "snapshot-load", "here", false), None);
    assert_eq!(job(&mut client, "snapshot-delete", "here", false), None);
    assert!(!folder.path().join("snapshots/here.snap").exists());
    let error = job(&mut client, "snapshot-load", "here", false);
    let error = error.expect("there is none of this name");
    assert!(
        error.as_str().is_some_and(|e| e.contains("here")),
        "{error}"
    );
    client.quit();
    assert_eq!(console.wait().code(), Some(0));
}

#[test]
fn buttons_reach_their_pins() {
    let (_folder, socket) = place();
    let console = Console::start(machine("malta", &socket, &["-S"]));
    let mut client = Client::ready(&socket);
    let field = |client: &mut Client, device: &str, field: &str| {
        let line = json!({ "command-line": format!("info device {device}") });
        let text = client.execute("human-monitor-command", line);
        let text = text.as_str().expect("a text").to_owned();
        let mut lines = text.lines().filter_map(|line| line.split_once(" = "));
        let value = lines.find(|(name, _)| name.rsplit('.').next() == Some(field));
        let (_, value) = value.unwrap_or_else(|| panic!("no {field} in {text}"));
        value.to_owned()
    };
    let number = |text: String| {
        let digits = text.trim_start_matches("0x");
        u64::from_str_radix(digits, 16).expect("a number")
    };
    let before = number(field(&mut client, "piix4.pm", "pmsts"));
    client.execute("system_powerdown", json!({}));
    let after = number(field(&mut client, "piix4.pm", "pmsts"));
    // PWRBTN_STS.
    assert_eq!(after, before | 0x100);
    assert_eq!(client.events[0]["event"], "POWERDOWN");
    assert_eq!(field(&mut client, "cpu", "nmi"), "false");
    client.execute("inject-nmi", json!({}));
    assert_eq!(field(&mut client, "cpu", "nmi"), "true");
    client.quit();
    assert_eq!(console.wait().code(), Some(0));
}

#[test]
fn nobody_sees_what_another_is_told() {
    let (folder, socket) = place();
    let (first, second) = (folder.path().join("a"), folder.path().join("b"));
    let at = |path: &Path| format!("unix:{},server", path.display());
    let args = [
        "--monitor",
        &at(&first),
        "--monitor",
        &at(&second),
        "--monitor",
        "stdio",
    ];
    let mut terminal = Console::start(machine("malta", &socket, &args));
    terminal.expect(PROMPT);
    let mut program = Client::ready(&socket);
    let mut people = [connect(&first), connect(&second)].map(BufReader::new);
    let said = |person: &mut BufReader<UnixStream>| {
        let mut text = Vec::new();
        while !text.ends_with(PROMPT.as_bytes()) {
            let read = person.read_until(b' ', &mut text).expect("it is connected");
            assert!(read > 0, "{}", String::from_utf8_lossy(&text));
        }
        String::from_utf8(text).expect("text")
    };
    for person in &mut people {
        assert!(said(person).contains("type 'help'"));
    }
    people[0]
        .get_mut()
        .write_all(b"info version\n")
        .expect("it is connected");
    people[1]
        .get_mut()
        .write_all(b"stop\n")
        .expect("it is connected");
    assert_eq!(
        said(&mut people[0]),
        format!("{}\n{PROMPT}", env!("CARGO_PKG_VERSION"))
    );
    assert_eq!(said(&mut people[1]), PROMPT);
    terminal.send("info status\n");
    assert_eq!(terminal.expect(PROMPT), "VM status: paused\n");
    assert_eq!(program.execute("query-status", json!({}))["running"], false);
    assert_eq!(program.events.len(), 1, "{:?}", program.events);
    // What a person types through a program is answered to the program.
    let line = json!({ "command-line": "info cpus" });
    let cpus = program.execute("human-monitor-command", line);
    assert!(
        cpus.as_str()
            .is_some_and(|cpus| cpus.starts_with("* CPU #0: cpu")),
        "{cpus}"
    );
    for person in &mut people {
        person.get_mut().write_all(b"\n").expect("it is connected");
        assert_eq!(said(person), PROMPT);
    }
    program.quit();
    assert_eq!(terminal.wait().code(), Some(0));
}

#[test]
fn a_run_does_not_depend_on_who_looks() {
    let mut hashes = Vec::new();
    for looks in [false, true, true] {
        let (_folder, socket) = place();
        let args = [
            "-S",
            "--deterministic",
            "--max-time",
            "60s",
            "--state-hash",
            "--backend",
            "serial0=null",
        ];
        let mut command = machine("malta", &socket, &args);
        let child = command.stderr(Stdio::piped()).stdin(Stdio::null()).spawn();
        let child = child.expect("it starts");
        let mut client = Client::ready(&socket);
        client.send(b"{\"execute\": \"cont\"}\n");
        let mut looked = 0;
        while let Some(message) = client.read() {
            let running = message.get("return").is_some();
            if looks && running {
                let line = [
                    "info registers -a",
                    "x/16xw $sp",
                    "info device piix4.pic",
                    "info mtree",
                ];
                let line = json!({ "execute": "human-monitor-command",
                    "arguments": { "command-line": line[looked % line.len()] } });
                let text = format!("{line}\n");
                // It may end meanwhile.
                if client.stream.get_mut().write_all(text.as_bytes()).is_ok() {
                    looked += 1;
                }
            }
        }
        let output = child.wait_with_output().expect("it ends");
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(124), "{errors}");
        eprintln!("looked {looked} times");
        assert!(!looks || looked > 3, "looked {looked} times");
        let hash = errors.lines().find(|line| line.starts_with("state "));
        hashes.push(
            hash.unwrap_or_else(|| panic!("no hash: {errors}"))
                .to_owned(),
        );
    }
    assert!(hashes.windows(2).all(|two| two[0] == two[1]), "{hashes:?}");
}

#[test]
fn boards_are_looked_at_without_a_machine_of_them() {
    let (_folder, socket) = place();
    let console = Console::start(machine("malta", &socket, &[]));
    let mut client = Client::ready(&socket);
    let checked = client.execute("x-check", json!({ "board": "malta-be" }));
    assert_eq!(
        (&checked["ok"], &checked["problems"]),
        (&json!(true), &json!([]))
    );
    let bad = "[board]\nname = \"bad\"\n[dev.cpu]\nat = \"nowhere\"\n[dev.cpu.mips32-cpu]\n";
    let checked = client.execute("x-check", json!({ "text": bad }));
    assert_eq!(checked["ok"], false);
    assert!(
        checked["problems"][0]["labels"][0]["line"].is_u64(),
        "{checked}"
    );
    let own = client.execute("x-plan", json!({}));
    let named = client.execute(
        "x-plan",
        json!({ "board": "malta", "set": ["param.ram=16MiB"] }),
    );
    assert_eq!(own, named);
    let other = client.execute(
        "x-plan",
        json!({ "board": "malta", "set": ["param.ram=32MiB"] }),
    );
    assert_ne!(own["hash"], other["hash"]);
    let layout = client.execute("x-layout", json!({}));
    assert!(layout["sections"].as_array().is_some_and(|s| s.len() > 5));
    let explained = client.execute("x-explain", json!({ "path": "param.ram" }));
    assert_eq!(explained["value"], "\"16MiB\"");
    for (command, arguments, reason) in [
        ("x-check", json!({}), "name a board, or give its text"),
        ("x-plan", json!({ "board": "no-such" }), "no-such"),
        (
            "x-plan",
            json!({ "text": bad, "board": "malta" }),
            "not both",
        ),
        ("x-plan", json!({ "text": bad }), "nowhere"),
        (
            "x-plan",
            json!({ "set": ["param.ram=1MiB"] }),
            "needs one that is named",
        ),
        (
            "x-plan",
            json!({ "board": "malta", "set": ["x"] }),
            "write PATH=VALUE",
        ),
        ("x-explain", json!({ "path": "dev.nobody" }), "nobody"),
    ] {
        let error = client.ask(&json!({ "execute": command, "arguments": arguments }));
        let said = error["error"]["desc"].as_str().unwrap_or_default();
        assert!(said.contains(reason), "{command} {arguments}: {error}");
    }
    client.quit();
    assert_eq!(console.wait().code(), Some(0));
}

/// A program without a machine, with its protocol at a socket.
fn idle(socket: &Path, args: &[&str]) -> Console {
    let mut command = Command::new(PROGRAM);
    command.args(["run", "--qmp"]);
    command.arg(format!("unix:{},server", socket.display()));
    Console::start({
        command.args(args);
        command
    })
}

#[test]
fn a_program_makes_its_machine() {
    let (folder, socket) = place();
    let mut console = idle(&socket, &["--backend", "serial1=null"]);
    let mut client = Client::ready(&socket);
    let status = |client: &mut Client| client.execute("query-status", json!({}))["status"].clone();
    assert_eq!(status(&mut client), "preconfig");
    let kernel = folder.path().join("none").display().to_string();
    for (command, arguments, reason) in [
        ("cont", json!({}), "there is no machine yet"),
        ("system_reset", json!({}), "there is no machine yet"),
        (
            "migrate",
            json!({ "uri": "exec:cat" }),
            "there is no machine yet",
        ),
        (
            "x-machine-create",
            json!({}),
            "name a board, or give its text",
        ),
        ("x-machine-create", json!({ "board": "no-such" }), "no-such"),
        (
            "x-machine-create",
            json!({ "text": "[board]\nname = 1" }),
            "board.toml",
        ),
        (
            "x-machine-create",
            json!({ "board": "malta", "text": "[board]" }),
            "not both",
        ),
        (
            "x-machine-create",
            json!({ "board": "malta", "kernel": kernel }),
            "No such file",
        ),
        (
            "x-machine-create",
            json!({ "board": "malta", "backends": ["serial0=nothing"] }),
            "unknown backend",
        ),
    ] {
        let error = client.ask(&json!({ "execute": command, "arguments": arguments }));
        let said = error["error"]["desc"].as_str().unwrap_or_default();
        assert!(said.contains(reason), "{command} {arguments}: {error}");
        assert_eq!(status(&mut client), "preconfig");
    }
    let text = "[board]\nname = \"made\"\nextends = \"malta\"\n";
    let wished = json!({ "text": text, "set": ["param.ram=16MiB"], "stopped": true });
    client.execute("x-machine-create", wished.clone());
    assert_eq!(status(&mut client), "prelaunch");
    let board = json!({ "path": "/machine", "property": "board" });
    assert_eq!(client.execute("qom-get", board), "made");
    client.execute("cont", json!({}));
    // What the command line does not say is as the board has it: the console.
    console.expect(ROM);
    let again = client.ask(&json!({ "execute": "x-machine-create", "arguments": wished }));
    assert_eq!(again["error"]["desc"], "there is a machine already");
    client.quit();
    assert_eq!(console.wait().code(), Some(0));
}

#[test]
fn a_machine_comes_when_somebody_says_from_where() {
    let (folder, socket) = place();
    let wire = folder.path().join("wire");
    let uri = format!("unix:{}", wire.display());
    let other = folder.path().join("other");
    let destination = idle(&other, &["--incoming", "defer"]);
    let mut console = Console::start(machine("malta", &socket, &[]));
    console.expect(ROM);
    let (mut here, mut there) = (Client::ready(&socket), Client::ready(&other));
    let events = json!({ "capabilities": [{ "capability": "events", "state": true }] });
    there.execute("migrate-set-capabilities", events);
    let fails = json!({ "execute": "migrate-incoming", "arguments": { "uri": "unix:/no/such/s" } });
    let error = there.ask(&fails);
    assert!(
        error["error"]["desc"]
            .as_str()
            .is_some_and(|d| d.contains("No such file")),
        "{error}"
    );
    // One that is none leaves room for the next.
    there.execute("migrate-incoming", json!({ "uri": "exec:echo nothing" }));
    let ended = |client: &mut Client| {
        loop {
            let info = client.execute("query-migrate", json!({}));
            if ["failed", "completed"]
                .iter()
                .any(|end| info["status"] == *end)
            {
                return info;
            }
        }
    };
    assert_eq!(ended(&mut there)["status"], "failed");
    there.execute("migrate-incoming", json!({ "uri": uri }));
    assert_eq!(
        there.execute("query-status", json!({}))["status"],
        "inmigrate"
    );
    here.execute("migrate", json!({ "uri": uri }));
    assert_eq!(ended(&mut here)["status"], "completed");
    assert_eq!(ended(&mut there)["status"], "completed");
    assert_eq!(
        there.execute("query-status", json!({}))["status"],
        "running"
    );
    let told = there.events.iter().filter(|e| e["event"] == "MIGRATION");
    let told: Vec<_> = told.map(|e| e["data"]["status"].clone()).collect();
    assert_eq!(
        told,
        ["setup", "active", "failed", "setup", "active", "completed"]
    );
    here.quit();
    there.quit();
    assert_eq!(console.wait().code(), Some(0));
    assert_eq!(destination.wait().code(), Some(0));
}

#[test]
fn streams_are_changed_while_the_machine_runs() {
    let (folder, socket) = place();
    let (first, second) = (folder.path().join("first"), folder.path().join("second"));
    let at = |path: &Path| json!({ "type": "unix", "data": { "path": path } });
    let args = [
        "--backend",
        &format!("serial0=unix:{},server", first.display()),
    ];
    let console = Console::start(machine("malta", &socket, &args));
    let mut client = Client::ready(&socket);
    let prompt = |stream: &mut UnixStream, line: &[u8]| {
        stream.write_all(line).expect("it is connected");
        let (mut text, mut byte) = (Vec::new(), [0]);
        while !text.ends_with(ROM.as_bytes()) {
            std::io::Read::read_exact(stream, &mut byte).expect("it goes on");
            text.extend(byte);
        }
    };
    prompt(&mut connect(&first), b"\r");
    let backend = json!({ "type": "socket", "data": { "addr": at(&second), "server": true } });
    client.execute(
        "chardev-change",
        json!({ "id": "serial0", "backend": backend }),
    );
    let mut stream = connect(&second);
    prompt(&mut stream, b"\r");
    assert!(
        UnixStream::connect(&first).is_err(),
        "nobody listens there any more"
    );
    // One that cannot be opened leaves the other.
    let nowhere = json!({ "type": "file", "data": { "out": "/no/such/folder/file" } });
    let error = client.ask(&json!({ "execute": "chardev-change",
        "arguments": { "id": "serial0", "backend": nowhere } }));
    assert_eq!(error["error"]["class"], "GenericError");
    prompt(&mut stream, b"\r");
    client.execute("chardev-remove", json!({ "id": "serial0" }));
    let mut rest = Vec::new();
    let ended = std::io::Read::read_to_end(&mut stream, &mut rest);
    assert!(ended.is_ok() && rest.is_empty(), "{ended:?} {rest:?}");
    let pty = json!({ "type": "pty", "data": {} });
    let made = client.execute("chardev-add", json!({ "id": "serial0", "backend": pty }));
    let name = made["pty"].as_str().expect("a name");
    assert!(Path::new(name).exists(), "{name}");
    for (id, kind, reason) in [
        ("serial0", "null", "already exists"),
        ("nobody", "null", "not found"),
        ("serial1", "stdio", "where the program was started"),
        ("serial1", "ringbuf", "no stream of the kind ringbuf"),
        ("serial1", "socket", "a socket needs its path"),
    ] {
        let error = client.ask(&json!({ "execute": "chardev-add",
            "arguments": { "id": id, "backend": { "type": kind, "data": {} } } }));
        let said = error["error"]["desc"].as_str().unwrap_or_default();
        assert!(said.contains(reason), "{id} {kind}: {error}");
    }
    client.quit();
    assert_eq!(console.wait().code(), Some(0));
}

#[test]
fn keys_reach_the_keyboard() {
    let (_folder, socket) = place();
    let console = Console::start(machine("malta", &socket, &["-S"]));
    let mut client = Client::ready(&socket);
    let line = |client: &mut Client, line: &str| {
        let said = client.execute("human-monitor-command", json!({ "command-line": line }));
        said.as_str().expect("a text").to_owned()
    };
    assert_eq!(line(&mut client, "sendkey ctrl-c"), "");
    let key = json!([{ "type": "number", "data": 0xd3 }]);
    client.execute("send-key", json!({ "keys": key, "hold-time": 10 }));
    let has = line(&mut client, "info device kbc");
    // Set 2: Control and C go down and up, then Delete. The first byte is in the controller's buffer.
    let codes = "keyboard.scan_codes = [21 f0 21 f0 14 e0 71 e0 f0 71]";
    assert!(has.contains(codes), "{has}");
    for (keys, reason) in [
        ("ctrl-nothing", "invalid key 'nothing'"),
        ("0x1ff", "1 to 255"),
    ] {
        let said = line(&mut client, &format!("sendkey {keys}"));
        assert!(said.contains(reason), "{said}");
    }
    client.quit();
    assert_eq!(console.wait().code(), Some(0));
}

#[test]
fn qemus_shell_runs() {
    let (_folder, socket) = place();
    let console = Console::start(machine("malta", &socket, &[]));
    let shell = "from qemu.qmp.qmp_shell import main; main()";
    let Some(mut child) = python(&["-c", shell], &socket) else {
        return;
    };
    let mut input = child.stdin.take().expect("a pipe");
    let lines = "query-status\nqom-get path=/machine property=board\nmemsave val=x\nquit\n";
    input.write_all(lines.as_bytes()).expect("it reads");
    drop(input);
    let output = child.wait_with_output().expect("it ends");
    let text = String::from_utf8_lossy(&output.stdout);
    for said in [
        "\"status\": \"running\"",
        "{\"return\": \"malta\"}",
        "expected: integer",
    ] {
        assert!(text.contains(said), "{text}");
    }
    assert_eq!(console.wait().code(), Some(0));
}

#[test]
fn the_reference_is_the_tables() {
    let path = guests::repository().join("docs/qmp.md");
    let text = std::fs::read_to_string(&path).unwrap_or_default();
    let begin =
        "<!-- From here on written by `UPDATE=1 cargo test --test suite qmp::the_reference`. -->\n";
    let (before, said) = text.split_once(begin).unwrap_or((&text, ""));
    let is = solderless::monitor::reference();
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&path, format!("{before}{begin}{is}")).expect("it can be written");
    } else {
        assert!(
            said == is,
            "docs/qmp.md is not what the table says; UPDATE=1 rewrites it"
        );
    }
}

#[test]
fn bad_places_are_refused() {
    for (args, reason) in [
        (&["--qmp", "none"][..], "leave it out for none"),
        (&["--qmp", "file:x"], "there are none, stdio, pty"),
        (
            &["--qmp", "stdio", "--monitor", "stdio"],
            "the monitor and QMP both want standard input and output",
        ),
    ] {
        let output = Emulator::ours_with(PROGRAM, "malta")
            .args(args.iter().copied())
            .command()
            .output();
        let output = output.expect("it starts");
        let errors = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{errors}");
        assert!(errors.contains(reason), "{errors}");
    }
}
