//! The guides to boards and to their releases, done as a reader would: their files written, their commands typed, in order. What a command prints stands
//! behind it in the guide; `UPDATE=1 cargo test` rewrites that.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use solderless::compose::{self, Options};
use solderless_testing::emulator::Emulator;
use solderless_testing::guests::{self, Linux};

const GUIDE: &str = "docs/boards.md";
/// The other guide: of releases.
const RELEASES: &str = "docs/compatibility.md";
const PROGRAM: &str = env!("CARGO_BIN_EXE_solderless");

/// What a command prints, on standard output and then on standard error.
fn output(command: &str, folder: &Path) -> String {
    let tools = Path::new(PROGRAM).parent().expect("a folder");
    let path = std::env::var("PATH").unwrap_or_default();
    let output = Command::new("bash")
        .args(["-o", "pipefail", "-c", command])
        .current_dir(folder)
        .env("PATH", format!("{}:{path}", tools.display()))
        .stdin(Stdio::null())
        .output()
        .expect("a shell");
    let printed = [output.stdout, output.stderr].concat();
    let text = String::from_utf8(printed).expect("text");
    let lines = text.lines().map(|line| format!("{}\n", line.trim_end()));
    let text: String = lines.collect();
    format!("{}\n", text.trim_end_matches('\n'))
        .trim_start_matches('\n')
        .to_owned()
}

/// A block after its commands were tried.
fn console(body: &str, folder: &Path) -> String {
    let commands = body.lines().filter_map(|line| line.strip_prefix("$ "));
    let tried = commands.map(|command| format!("$ {command}\n{}", output(command, folder)));
    let tried: String = tried.collect();
    assert!(!tried.is_empty(), "a block without a command:\n{body}");
    tried
}

/// A fenced block of the guide, and what stands before it.
struct Block<'a> {
    before: &'a str,
    fence: &'a str,
    body: &'a str,
}

impl<'a> Block<'a> {
    /// The guide's blocks, and what stands behind the last.
    fn all(guide: &'a str) -> (Vec<Self>, &'a str) {
        let mut blocks = Vec::new();
        let mut rest = guide;
        while let Some((before, block)) = rest.split_once("```") {
            let (fence, block) = block.split_once('\n').expect("a line");
            let (body, after) = block.split_once("```\n").expect("the end of a block");
            blocks.push(Self {
                before,
                fence,
                body,
            });
            rest = after;
        }
        (blocks, rest)
    }

    /// Writes the block, if it is a file, into a folder, and gives the file's path.
    fn write(&self, folder: &Path) -> Option<PathBuf> {
        let name = self.fence.strip_prefix("toml ")?;
        let path = folder.join(name);
        fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        fs::write(&path, self.body).expect("a file");
        Some(path)
    }
}

#[test]
fn the_guides_work_as_written() {
    for guide in [GUIDE, RELEASES] {
        works(guide);
    }
}

fn works(path: &str) {
    let folder = tempfile::tempdir().expect("a folder");
    let guide = fs::read_to_string(path).expect("the guide");
    let (blocks, rest) = Block::all(&guide);
    let mut done = String::new();
    let (mut files, mut commands) = (0, 0);
    for block in blocks {
        let Block {
            before,
            fence,
            body,
        } = block;
        let body = if block.write(folder.path()).is_some() {
            files += 1;
            body.to_owned()
        } else if fence == "console" {
            commands += 1;
            console(body, folder.path())
        } else if fence == "rust" {
            body.to_owned()
        } else {
            panic!("no reader knows what to do with `{fence}`")
        };
        done += &format!("{before}```{fence}\n{body}```\n");
    }
    done += rest;
    assert!(files > 1 && commands > 5, "the blocks were not found");
    if std::env::var_os("UPDATE").is_some() {
        fs::write(path, &done).expect("the guide");
    }
    let now = fs::read_to_string(path).expect("the guide");
    assert_eq!(now, done, "UPDATE=1 rewrites what commands print");
}

#[test]
fn debian_boots_on_every_board_that_takes_kernels() {
    let (Some(linux), Some(program)) =
        (guests::linux(), guests::linux_program("tests/guests/up.c"))
    else {
        return;
    };
    let linux = Linux {
        initrd: guests::initrd(&program),
        ..linux
    };
    let folder = tempfile::tempdir().expect("a folder");
    let guide = fs::read_to_string(GUIDE).expect("the guide");
    let mut booted = 0;
    for block in Block::all(&guide).0 {
        let Some(path) = block.write(folder.path()) else {
            continue;
        };
        if !block.body.contains("\n[board]\n") {
            continue;
        }
        let board = path.to_string_lossy();
        let (plan, _) = compose::load(&board, &Options::default()).expect("a good board");
        if plan.boot.is_none_or(|boot| boot.protocol.name() != "yamon") {
            continue;
        }
        let command = Emulator::ours_with(PROGRAM, &board).linux(&linux, "console=ttyS0 panic=1");
        let limit = ["--deterministic", "--no-reboot", "--max-time", "60s"];
        let output = command.args(limit).command().output().expect("the program");
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(said.contains("\nup\r\n"), "{}\n{said}", block.body);
        assert_eq!(output.status.code(), Some(0), "{}", block.body);
        booted += 1;
    }
    assert!(booted >= 5, "the guide's boards were not found");
}
