//! The guide to boards, done as a reader would: its files written, its commands typed, in order. What a command prints stands
//! behind it in the guide; `UPDATE=1 cargo test` rewrites that.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

const GUIDE: &str = "docs/boards.md";
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

#[test]
fn the_guide_works_as_written() {
    let folder = tempfile::tempdir().expect("a folder");
    let guide = fs::read_to_string(GUIDE).expect("the guide");
    let mut done = String::new();
    let mut rest = guide.as_str();
    let (mut files, mut commands) = (0, 0);
    while let Some(at) = rest.find("```") {
        let (before, block) = rest.split_at(at);
        let (fence, block) = block[3..].split_once('\n').expect("a line");
        let (body, after) = block.split_once("```\n").expect("the end of a block");
        let body = match fence.split_once(' ') {
            Some(("toml", name)) => {
                let path = folder.path().join(name);
                fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
                fs::write(path, body).expect("a file");
                files += 1;
                body.to_owned()
            }
            None if fence == "console" => {
                commands += 1;
                console(body, folder.path())
            }
            _ => panic!("no reader knows what to do with `{fence}`"),
        };
        done += &format!("{before}```{fence}\n{body}```\n");
        rest = after;
    }
    done += rest;
    assert!(files > 5 && commands > 5, "the blocks were not found");
    if std::env::var_os("UPDATE").is_some() {
        fs::write(GUIDE, &done).expect("the guide");
    }
    let now = fs::read_to_string(GUIDE).expect("the guide");
    assert_eq!(now, done, "UPDATE=1 rewrites what commands print");
}
