//! Files from somebody else: what boards, chips, overlays, run files and saved machines can name, and that nothing else of
//! the host is read, written or called.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use solderless_model::testing::Noise;
use solderless_testing::Terminal;

use crate::hostile::for_a_while;

/// What stands in a file that nobody may read.
const SECRET: &str = "name = \"canary-7261\"";
/// What stands in a file that nobody may write.
const KEPT: &str = "this stays\n";

/// A small board that boots a ROM in the program; `%` stands for what is tried out.
const BOARD: &str = r#"
[board]
name = "stranger"
extends = "mipssim"
[param.ram]
default = "16MiB"
"#;

fn solderless(folder: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_solderless"));
    command
        .args(arguments)
        .current_dir(folder)
        .stdin(Stdio::null())
        .output()
        .expect("the program")
}

fn all_of(output: &Output) -> String {
    [&output.stdout[..], &output.stderr]
        .map(String::from_utf8_lossy)
        .concat()
}

/// A folder for a stranger's files in another with the user's.
struct Trap {
    outer: tempfile::TempDir,
    inner: PathBuf,
    tcp: TcpListener,
    unix: UnixListener,
}

impl Trap {
    fn new() -> Self {
        let outer = tempfile::tempdir().expect("a folder");
        let inner = outer.path().join("inner");
        fs::create_dir_all(inner.join("sub/chips")).expect("a folder");
        fs::create_dir_all(inner.join("chips")).expect("a folder");
        fs::write(outer.path().join("secret.toml"), SECRET).expect("a file");
        fs::create_dir(outer.path().join("inner-too")).expect("a folder");
        fs::write(outer.path().join("inner-too/secret.toml"), SECRET).expect("a file");
        for (file, to) in [
            ("link.toml", "../secret.toml"),
            ("sub/link.toml", "../../secret.toml"),
            ("chips/link.toml", "../../secret.toml"),
        ] {
            symlink(to, inner.join(file)).expect("a link");
        }
        symlink(outer.path(), inner.join("up")).expect("a link");
        let tcp = TcpListener::bind("127.0.0.1:0").expect("a port");
        tcp.set_nonblocking(true).expect("it is a socket");
        let unix = UnixListener::bind(outer.path().join("socket")).expect("a socket");
        unix.set_nonblocking(true).expect("it is a socket");
        let trap = Self {
            outer,
            inner,
            tcp,
            unix,
        };
        trap.set();
        trap
    }

    /// The files that a backend might destroy.
    fn kept(&self) -> [PathBuf; 3] {
        [
            self.outer.path().join("kept"),
            self.inner.join("kept"),
            self.inner.join("sub/kept"),
        ]
    }

    fn set(&self) {
        for file in self.kept() {
            fs::write(file, KEPT).expect("a file");
        }
    }

    fn write(&self, file: &str, text: &str) {
        fs::write(self.inner.join(file), text).expect("a file");
    }

    fn path(&self, name: &str) -> String {
        self.outer.path().join(name).display().to_string()
    }

    /// What a text must not name, as a file that is read.
    fn files(&self) -> Vec<String> {
        let near = [
            "../secret.toml",
            "./sub/../../secret.toml",
            "../inner-too/secret.toml",
            "./link.toml",
            "sub/link.toml",
            "up/secret.toml",
            "link",
        ];
        let far = [
            self.path("secret.toml"),
            self.path("inner/link.toml"),
            "/etc/passwd".to_owned(),
        ];
        near.map(str::to_owned).into_iter().chain(far).collect()
    }

    /// What a text must not plug in.
    fn backends(&self) -> Vec<String> {
        let port = self.tcp.local_addr().expect("a port").port();
        vec![
            "file:kept".to_owned(),
            "file:../kept".to_owned(),
            "file:sub/kept".to_owned(),
            format!("file:{}", self.path("kept")),
            "file:new-file".to_owned(),
            format!("tcp:127.0.0.1:{port}"),
            "tcp:127.0.0.1:0,server".to_owned(),
            format!("unix:{}", self.path("socket")),
            "unix:new-file,server".to_owned(),
            "pty".to_owned(),
        ]
    }

    /// Makes sure that what a run did is nobody's harm.
    fn check(&self, what: &str, output: &Output) {
        let text = all_of(output);
        assert!(
            !text.contains("canary-7261") && !text.contains("root:"),
            "{what} read a secret:\n{text}"
        );
        for file in self.kept() {
            let now = fs::read_to_string(&file).expect("a file");
            assert_eq!(now, KEPT, "{what} wrote to {}\n{text}", file.display());
        }
        assert!(
            !self.inner.join("new-file").exists(),
            "{what} made a file\n{text}"
        );
        assert!(
            self.tcp.accept().is_err() && self.unix.accept().is_err(),
            "{what} called somebody\n{text}"
        );
        let code = output.status.code();
        assert!(
            matches!(code, Some(0 | 1 | 2 | 124)),
            "{what}: {code:?}\n{text}"
        );
    }

    fn refused(&self, arguments: &[&str]) {
        let output = solderless(&self.inner, arguments);
        let what = arguments.join(" ");
        self.check(&what, &output);
        assert_eq!(output.status.code(), Some(2), "{what}\n{}", all_of(&output));
        assert!(
            all_of(&output).contains("untrusted"),
            "{what}\n{}",
            all_of(&output)
        );
    }
}

#[test]
fn a_board_names_files_beside_it_and_below_it_and_no_others() {
    let trap = Trap::new();
    for name in trap.files() {
        let beside = name == "link";
        trap.write(
            "x.toml",
            &format!("[board]\nname = \"x\"\nextends = {name:?}\n"),
        );
        trap.refused(&["check", "x.toml"]);
        trap.refused(&["run", "x.toml"]);
        trap.write(
            "sub/x.toml",
            "[board]\nname = \"x\"\nextends = \"../x.toml\"\n",
        );
        // The user named a file of the folder below: the one above is not beside it.
        trap.refused(&["show", "sub/x.toml"]);
        trap.write("x.toml", &format!("{BOARD}[chip.a]\nuse = {name:?}\n"));
        trap.refused(&["check", "x.toml"]);
        trap.write("o.toml", &format!("[overlay]\n[chip.a]\nuse = {name:?}\n"));
        trap.refused(&["check", "mipssim", "--overlay", "o.toml"]);
        if !beside {
            trap.write(
                "r.toml",
                &format!("[run]\nboard = \"mipssim\"\noverlays = [{name:?}]\n"),
            );
            trap.refused(&["run", "--run-file", "r.toml"]);
            trap.write(
                "x.toml",
                &format!(
                    "{BOARD}[slot]\nbios = {{ kind = \"image\", default = \"file:{name}\" }}\n"
                ),
            );
            trap.refused(&["run", "x.toml", "--max-time", "1ms"]);
            for key in ["firmware", "kernel"] {
                trap.write(
                    "r.toml",
                    &format!("[run]\nboard = \"mipssim\"\n[boot]\n{key} = {name:?}\n"),
                );
                trap.refused(&["run", "--run-file", "r.toml", "--max-time", "1ms"]);
            }
        }
        trap.write("r.toml", &format!("[run]\nboard = {name:?}\n"));
        trap.refused(&["run", "--run-file", "r.toml"]);
    }
}

#[test]
fn a_file_plugs_in_nothing_but_null_and_the_console() {
    let trap = Trap::new();
    for backend in trap.backends() {
        trap.write(
            "x.toml",
            &format!("{BOARD}[slot.serial0]\ndefault = {backend:?}\n"),
        );
        trap.refused(&["run", "x.toml", "--max-time", "1ms"]);
        trap.write(
            "o.toml",
            &format!("[overlay]\n[slot.serial0]\ndefault = {backend:?}\n"),
        );
        trap.refused(&["run", "mipssim", "--overlay", "o.toml", "--max-time", "1ms"]);
        trap.write(
            "r.toml",
            &format!("[run]\nboard = \"mipssim\"\n[backend]\nserial0 = {backend:?}\n"),
        );
        trap.refused(&["run", "--run-file", "r.toml", "--max-time", "1ms"]);
        // Whoever says on the command line what is plugged in need not trust the file.
        let arguments = [
            "run",
            "x.toml",
            "--max-time",
            "1ms",
            "--backend",
            "serial0=null",
        ];
        let saved = [&arguments[..], &["--save-on-exit", "file:x.snap"]].concat();
        let output = solderless(&trap.inner, &saved);
        trap.check("a named backend", &output);
        assert_eq!(output.status.code(), Some(124), "{}", all_of(&output));
        trap.refused(&["run", "--restore", "file:x.snap", "--max-time", "1ms"]);
    }
    trap.write(
        "x.toml",
        &format!("{BOARD}[slot.net0]\ndefault = \"udp:127.0.0.1:0,peer=127.0.0.1:9\"\n"),
    );
    trap.refused(&["run", "x.toml", "--max-time", "1ms"]);
}

#[test]
fn what_is_trusted_or_named_on_the_command_line_is_done() {
    let trap = Trap::new();
    let good = |arguments: &[&str]| {
        let output = solderless(&trap.inner, arguments);
        assert!(
            matches!(output.status.code(), Some(0 | 124)),
            "{arguments:?}\n{}",
            all_of(&output)
        );
    };
    // Beside and below, also through a link that stays there.
    fs::write(trap.inner.join("sub/base.toml"), BOARD).expect("a file");
    fs::write(trap.inner.join("sub/rom"), [0; 64]).expect("a file");
    symlink("sub/base.toml", trap.inner.join("near.toml")).expect("a link");
    trap.write(
        "x.toml",
        "[board]\nname = \"x\"\nextends = \"near\"\n[slot.bios]\ndefault = \"file:sub/rom\"\n",
    );
    good(&["run", "x.toml", "--max-time", "1ms"]);
    trap.write(
        "x.toml",
        "[board]\nname = \"x\"\nextends = \"sub/base.toml\"\n",
    );
    good(&["check", "x.toml"]);
    // An image is beside its board, not in the current folder.
    trap.write(
        "sub/x.toml",
        "[board]\nname = \"x\"\nextends = \"base\"\n[slot.bios]\ndefault = \"file:rom\"\n",
    );
    good(&["run", "sub/x.toml", "--max-time", "1ms"]);

    fs::write(trap.outer.path().join("above.toml"), BOARD).expect("a file");
    trap.write("x.toml", "[board]\nname = \"x\"\nextends = \"../above.toml\"\n[slot.serial0]\ndefault = \"file:new-file\"\n");
    trap.refused(&["check", "x.toml"]);
    for command in ["check", "show", "graph", "layout"] {
        good(&[command, "x.toml", "--trust"]);
    }
    good(&["diff", "x.toml", "x.toml", "--trust"]);
    good(&["compat", "x.toml", "x.toml", "--trust"]);
    good(&["new", "y", "--from", "./x.toml", "--trust"]);
    good(&[
        "run",
        "x.toml",
        "--trust",
        "--max-time",
        "1ms",
        "--save-on-exit",
        "file:x.snap",
    ]);
    assert!(trap.inner.join("new-file").exists());
    fs::remove_file(trap.inner.join("new-file")).expect("it is there");
    good(&[
        "run",
        "--restore",
        "file:x.snap",
        "--trust",
        "--max-time",
        "1ms",
    ]);
    assert!(trap.inner.join("new-file").exists());
    good(&[
        "run",
        "mipssim",
        "--set",
        "slot.serial0.default=file:new-file",
        "--max-time",
        "1ms",
    ]);
    good(&[
        "run",
        "mipssim",
        "--backend",
        "bios=file:../inner/sub/rom",
        "--max-time",
        "1ms",
    ]);
}

/// Puts a board into a stream in place of its own.
fn with_board(stream: &[u8], board: &str) -> Vec<u8> {
    let at =
        |at: usize| u64::from_le_bytes(stream[at..at + 8].try_into().expect("8 bytes")) as usize;
    let old = at(96);
    let mut bytes = stream[..96].to_vec();
    bytes.extend((board.len() as u64).to_le_bytes());
    bytes.extend(board.as_bytes());
    bytes.extend(&stream[104 + old..at(72)]);
    let (table, memory) = (at(56) + at(64), at(72));
    let moved = |place: usize| place + board.len() - old;
    bytes.truncate(moved(table));
    bytes.resize(moved(table).next_multiple_of(4096), 0);
    let start = bytes.len();
    bytes.extend(&stream[memory..]);
    let total = bytes.len();
    for (field, value) in [
        (16, total),
        (32, moved(at(32))),
        (40, moved(at(40))),
        (56, moved(at(56))),
        (72, start),
    ] {
        bytes[field..field + 8].copy_from_slice(&(value as u64).to_le_bytes());
    }
    solderless_testing::streams::reseal(&mut bytes);
    bytes
}

#[test]
fn the_board_of_a_saved_machine_is_whole() {
    let trap = Trap::new();
    trap.write("x.toml", BOARD);
    let saved = [
        "run",
        "x.toml",
        "--max-time",
        "1ms",
        "--save-on-exit",
        "file:x.snap",
    ];
    let output = solderless(&trap.inner, &saved);
    assert_eq!(output.status.code(), Some(124), "{}", all_of(&output));
    let stream = fs::read(trap.inner.join("x.snap")).expect("the stream");
    let own = solderless(&trap.inner, &["snapshot", "board", "x.snap"]);
    let own = String::from_utf8(own.stdout).expect("text");
    // The same board in the same form is taken.
    fs::write(
        trap.inner.join("y.snap"),
        with_board(&stream, &(own.clone() + "#\n")),
    )
    .expect("a file");
    let restore = ["run", "--restore", "file:y.snap", "--max-time", "1ms"];
    let output = solderless(&trap.inner, &restore);
    assert_eq!(output.status.code(), Some(124), "{}", all_of(&output));
    let mut names = trap.files();
    names.extend(["mipssim", "piix4", "./x.toml"].map(str::to_owned));
    for name in names {
        let extended = own.replacen("[board]\n", &format!("[board]\nextends = {name:?}\n"), 1);
        let chipped = format!("{own}\n[chip.a]\nuse = {name:?}\n");
        for board in [extended, chipped] {
            fs::write(trap.inner.join("y.snap"), with_board(&stream, &board)).expect("a file");
            trap.refused(&restore);
            trap.refused(&[&restore[..], &["--trust"]].concat());
            trap.refused(&["compat", "y.snap", "mipssim"]);
        }
    }
}

/// A text that would colour a terminal, name its window, turn text around and go back in its line.
const ORDERS: &str = "\u{1b}]0;owned\u{7}\u{1b}[31m\u{9b}2J\u{202e}x";

#[test]
fn no_text_of_a_file_gives_orders_to_the_terminal() {
    let folder = tempfile::tempdir().unwrap();
    let orders = ORDERS.escape_unicode().to_string();
    let orders = orders.replace("\\u{", "\\u").replace('}', "");
    // TOML wants four digits.
    let quoted: String = orders
        .split("\\u")
        .skip(1)
        .map(|digits| format!("\\u{digits:0>4}"))
        .collect();
    let file = |name: &str, text: String| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let good = file(
        "good.toml",
        format!("[board]\nname = \"g\"\nextends = \"malta\"\nsummary = \"{quoted}\"\n"),
    );
    let bad = file(
        "bad.toml",
        format!(
            "[board]\nname = \"{quoted}\"\nextends = \"{quoted}\"\n[dev.\"{quoted}\"]\nat = \"{quoted}\"\n[dev.\"{quoted}\".\"{quoted}\"]\n"
        ),
    );
    let raw = file(
        &format!("{}.toml", ORDERS.replace('/', "")),
        format!("[board]\nname = \"{ORDERS}\"\n# {ORDERS}\n"),
    );
    let snapshot = folder.path().join("s.snap");
    let save = format!("file:{}", snapshot.display());
    let snapshot = snapshot.to_str().unwrap();
    let mut ran = 0;
    for arguments in [
        &[
            "run",
            &good,
            "--max-time",
            "1ms",
            "--deterministic",
            "--backend",
            "serial0=null",
            "--save-on-exit",
            &save,
        ][..],
        &["check", &good],
        &["show", &good],
        &["explain", &good, "board.summary"],
        &["graph", &good],
        &["layout", &good],
        &["diff", &good, "malta"],
        &["compat", snapshot, &good],
        &["snapshot", "info", snapshot],
        &["snapshot", "verify", snapshot],
        &["snapshot", "board", snapshot],
        &["snapshot", "show", snapshot, &quoted],
        &["check", &bad],
        &["show", &bad],
        &["explain", &bad, ORDERS],
        &["run", &bad],
        &["check", &raw],
        &["fix", &raw],
        &["snapshot", "info", &raw],
        &["snapshot", "show", snapshot, ORDERS],
        &["compat", &raw, ORDERS],
        &["check", "malta", "--set", ORDERS],
        &["devices", ORDERS],
        &["new", ORDERS],
        &["run", "malta", "--kernel", &raw, "--max-time", "1ms"],
        &["run", "malta", "--firmware", &raw, "--max-time", "1ms"],
        &["run", "malta", "--backend", ORDERS],
        &["run", "malta", "--monitor", ORDERS],
        &["run", "--restore", ORDERS],
        &["run", "--restore", &format!("file:{raw}")],
    ] {
        let output = std::process::Command::new(env!("CARGO_BIN_EXE_solderless"))
            .args(arguments)
            .current_dir(folder.path())
            .stdin(std::process::Stdio::null())
            .output()
            .unwrap();
        for text in [output.stdout, output.stderr] {
            let text = String::from_utf8(text).unwrap();
            let order = text.chars().find(|c| {
                c.is_control() && !"\n\t".contains(*c) || ('\u{202a}'..='\u{202e}').contains(c)
            });
            assert_eq!(order, None, "{arguments:?}: {text:?}");
            ran += usize::from(!text.is_empty());
        }
    }
    assert!(ran > 25, "the commands have said something: {ran}");
}

/// A line of ours, in a name.
const FORGED: &str = "x\nerror: forged\nwarning: forged\r\n(solderless) forged";

#[test]
fn no_name_makes_a_line_of_its_own() {
    let folder = tempfile::tempdir().expect("a folder");
    let at = |name: &str| folder.path().join(name);
    let toml = FORGED.replace('\n', "\\n").replace('\r', "\\r");
    fs::write(
        at("keys.toml"),
        format!(
            "[board]\nname = \"{toml}\"\nextends = \"{toml}\"\n[dev.\"{toml}\"]\nat = \"{toml}\"\n[slot]\n\"{toml}\" = {{ kind = \"chardev\", default = \"{toml}\" }}\n[param]\n\"{toml}\" = 1\n"
        ),
    )
    .expect("a file");
    fs::write(
        at("good.toml"),
        "[board]\nname = \"g\"\nextends = \"mipssim\"\n",
    )
    .expect("a file");
    let summary = format!("[board]\nname = \"s\"\nextends = \"mipssim\"\nsummary = \"{toml}\"\n");
    fs::write(at("summary.toml"), summary).expect("a file");
    // A shell's `*` takes whatever a folder has.
    let file = format!("{}.toml", FORGED.replace('/', ""));
    fs::write(at(&file), "[board]\nname = 1\n").expect("a file");
    fs::create_dir(at("snapshots")).expect("a folder");
    fs::write(at("snapshots").join(format!("{FORGED}.snap")), "").expect("a file");
    std::os::unix::fs::symlink(FORGED, at("link")).expect("a link");
    let saved = [
        "run",
        "good.toml",
        "--max-time",
        "1ms",
        "--save-on-exit",
        "file:good.snap",
    ];
    let output = solderless(folder.path(), &saved);
    assert_eq!(output.status.code(), Some(124), "{}", all_of(&output));
    let stream = fs::read(at("good.snap")).expect("the stream");
    let own = solderless(folder.path(), &["snapshot", "board", "good.snap"]);
    let own = String::from_utf8(own.stdout).expect("text");
    let named = own.replacen("name = \"g\"", &format!("name = \"{toml}\""), 1);
    assert_ne!(own, named);
    fs::write(at("named.snap"), with_board(&stream, &named)).expect("a file");
    fs::write(at(&format!("{FORGED}.snap")), &stream[..200]).expect("a file");
    let broken = format!("{FORGED}.snap");
    let file_uri = format!("file:{broken}");
    let fifo = format!("exec:{FORGED}");
    let mut said = 0;
    for arguments in [
        // Reports.
        &["check", "keys.toml"][..],
        &["check", &file],
        &["check", "malta", &file],
        &["run", "keys.toml"],
        &["show", &file],
        &["fix", &file],
        // Messages.
        &["run", "malta", "--kernel", &file],
        &["run", "malta", "--firmware", &broken, "--max-time", "1ms"],
        &["run", "--restore", &file_uri],
        &["run", "--restore", &fifo],
        &["run", "--restore", "file:named.snap", "--max-time", "1ms"],
        &["compat", &broken, "malta"],
        &["snapshot", "verify", &broken],
        &["snapshot", "show", "good.snap", FORGED],
        &[FORGED],
        &["run", "malta", FORGED],
        &["run", "malta", "--max-time", FORGED],
        // What is printed.
        &["snapshot", "info", "named.snap"],
        &["diff", "good.toml", &file],
        &["compat", "named.snap", "good.toml"],
        &["graph", "summary.toml", "--format", "svg"],
        // What is said while a machine runs, and at its end.
        &[
            "run",
            "good.toml",
            "--max-time",
            "1ms",
            "--save-on-exit",
            "file:link",
        ],
        &[
            "run",
            "good.toml",
            "--max-time",
            "1ms",
            "--backend",
            &format!("serial0=file:/dev/full/{FORGED}"),
        ],
    ] {
        let output = solderless(folder.path(), arguments);
        let all = all_of(&output);
        let forged = |line: &str| {
            ["error: forged", "warning: forged", "(solderless) forged"]
                .iter()
                .any(|start| line.starts_with(start))
        };
        assert!(!all.lines().any(forged), "{arguments:?}: {all}");
        assert!(!output.stderr.contains(&b'\r'), "{arguments:?}: {all}");
        said += usize::from(all.contains("forged"));
    }
    assert!(said > 15, "the names were shown: {said}");
    // The monitor.
    let mut command = Command::new(env!("CARGO_BIN_EXE_solderless"));
    command.args([
        "run",
        "good.toml",
        "--backend",
        "serial0=null",
        "--monitor",
        "stdio",
    ]);
    let mut console = solderless_testing::Console::start({
        command.current_dir(folder.path());
        command
    });
    console.send("info snapshots\nloadvm nothing\nmigrate file:link\nquit\n");
    let ended = console.wait();
    assert!(
        ended.output.contains("was not saved"),
        "the monitor has answered: {}",
        ended.output
    );
    assert!(
        !ended
            .output
            .lines()
            .any(|line| line.starts_with("error: forged")),
        "{}",
        ended.output
    );
}

/// A path made to lead somewhere else.
fn path(noise: &mut Noise, outer: &Path) -> String {
    let outer = outer.display().to_string();
    let pieces = [
        "..",
        ".",
        "sub",
        "up",
        "chips",
        "inner",
        "inner-too",
        "link.toml",
        "secret.toml",
        "kept",
        "base.toml",
        "link",
        "",
    ];
    let start = match noise.below(6) {
        0 => outer + "/",
        1 => "./".to_owned(),
        2 => "/etc/".to_owned(),
        _ => String::new(),
    };
    let count = 1 + noise.below(5);
    let middle: Vec<_> = (0..count)
        .map(|_| pieces[noise.below(pieces.len() as u64) as usize])
        .collect();
    let end = [
        "",
        "/secret.toml",
        "/link.toml",
        "/base.toml",
        "/kept",
        "/passwd",
    ];
    start + &middle.join("/") + end[noise.below(6) as usize]
}

/// `HOSTILE` and `SEED` are as in `hostile`.
#[test]
fn random_files_do_no_harm() {
    for_a_while(|seed| {
        let mut noise = Noise(seed);
        let trap = Trap::new();
        for file in ["base.toml", "sub/base.toml", "chips/base.toml"] {
            trap.write(file, BOARD);
        }
        // Some are good, so that what comes behind the names is reached.
        let (name, file) = match noise.below(3) {
            0 => ("./base.toml".to_owned(), "null"),
            // Many random paths lead nowhere, so half are known to lead somewhere, by another way.
            1 => {
                let files = trap.files();
                let file = &files[noise.below(files.len() as u64) as usize];
                let detour = ["", "./", "sub/../", "sub/chips/../../"][noise.below(4) as usize];
                let detour = if file.starts_with('/') { "" } else { detour };
                (format!("{detour}{file}"), "")
            }
            _ => (path(&mut noise, trap.outer.path()), ""),
        };
        let file = match noise.below(3) {
            _ if !file.is_empty() => file.to_owned(),
            0 => name.clone(),
            1 => format!("file:{name}"),
            _ => {
                let backends = trap.backends();
                backends[noise.below(backends.len() as u64) as usize].clone()
            }
        };
        // What names something, and how a run comes to it.
        let header = "[board]\nname = \"x\"\nextends = \"./sub/base.toml\"\n";
        let (slot, kind) = [
            ("bios", "image"),
            ("serial0", "chardev"),
            ("net0", "netdev"),
        ][noise.below(3) as usize];
        let line = match noise.below(5) {
            0 => format!("[board]\nname = \"x\"\nextends = {name:?}\n"),
            1 => format!("{header}[chip.a]\nuse = {name:?}\n"),
            2 => format!("{header}[slot]\n{slot} = {{ kind = \"{kind}\", default = {file:?} }}\n"),
            3 => format!(
                "{header}[param.p]\ntype = \"string\"\ndefault = {file:?}\n[slot.{slot}]\ndefault = \"${{p}}\"\n"
            ),
            _ => format!(
                "{header}[slot.extra]\nkind = \"image\"\ndefault = {file:?}\n[dev.extra]\nat = \"sys:0x30000000\"\nbackend.image = \"extra\"\n[dev.extra.\"cfi.pflash01\"]\n"
            ),
        };
        trap.write("x.toml", &line);
        trap.write(
            "sub/y.toml",
            "[board]\nname = \"y\"\nextends = \"../x.toml\"\n",
        );
        trap.write(
            "z.toml",
            "[board]\nname = \"z\"\nextends = \"sub/y.toml\"\n",
        );
        trap.write("o.toml", &line.replacen(header, "[overlay]\n", 1));
        let run = match noise.below(4) {
            0 => format!("[run]\nboard = {name:?}\n"),
            1 => format!("[run]\nboard = \"x.toml\"\noverlays = [{name:?}]\n"),
            2 => format!("[run]\nboard = \"mipssim\"\n[backend]\n{slot} = {file:?}\n"),
            _ => format!(
                "[run]\nboard = \"mipssim\"\n[boot]\n{} = {name:?}\n",
                ["kernel", "firmware"][noise.below(2) as usize]
            ),
        };
        trap.write("r.toml", &run);
        let run: &[&str] = match noise.below(5) {
            0 => &["run", "x.toml"],
            1 => &["run", "z.toml"],
            2 => &["run", "base.toml", "--overlay", "o.toml"],
            3 => &[
                "run",
                "mipssim",
                "--run-file",
                "r.toml",
                "--overlay",
                "o.toml",
            ],
            _ => &["run", "--run-file", "r.toml"],
        };
        let saved = trap.path("inner-too/x.snap");
        let save = format!("file:{saved}");
        let run = [run, &["--max-time", "1ms", "--save-on-exit", &save]].concat();
        let output = solderless(&trap.inner, &run);
        let what = format!("SEED={seed}: {run:?}\n{line}");
        trap.check(&what, &output);
        let Ok(stream) = fs::read(&saved) else {
            return false;
        };
        let found = stream.windows(SECRET.len()).any(|w| w == SECRET.as_bytes());
        assert!(!found, "{what} has read a secret");
        let output = solderless(
            &trap.inner,
            &["run", "--max-time", "1ms", "--restore", &save],
        );
        trap.check(&what, &output);
        output.status.code() == Some(124)
    });
}

#[test]
fn a_mistake_on_the_command_line_gives_no_orders_to_the_terminal() {
    for arguments in [
        &["run", "--restore", ORDERS][..],
        &[ORDERS],
        &["run", "malta", ORDERS],
    ] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_solderless"));
        command.args(arguments);
        // Messages go to the terminal too.
        let mut shell = Command::new("sh");
        shell
            .args(["-c", "exec \"$0\" \"$@\" 2>&1"])
            .arg(command.get_program())
            .args(command.get_args());
        let terminal = Terminal::new();
        let mut console = terminal.start(shell);
        console.expect("error");
        let shown = console.expect("--help");
        console.wait();
        for order in ["\u{1b}]0", "\u{7}", "\u{9b}", "\u{202e}"] {
            assert!(!shown.contains(order), "{arguments:?}: {shown:?}");
        }
    }
}

#[test]
fn a_guest_gives_orders_to_its_console_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    let kernel = crate::peers::flood(folder.path(), 0x1b);
    let kernel = kernel.to_str().expect("a path");
    let run = [
        "run",
        "malta",
        "--ram",
        "16MiB",
        "--deterministic",
        "--max-time",
        "1ms",
        "-vv",
        "--kernel",
        kernel,
    ];
    let output = solderless(folder.path(), &run);
    assert!(output.stdout.len() > 3 && output.stdout.iter().all(|b| *b == 0x1b));
    assert!(!output.stderr.is_empty() && !output.stderr.contains(&0x1b));
}
