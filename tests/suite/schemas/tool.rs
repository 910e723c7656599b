//! The tools: what they print about files.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A program that checks TOML files against the schemas that they name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tool {
    Taplo,
    Tombi,
}

/// What a tool finds wrong: lines by file, counted from 1. A file in which it finds nothing is not there.
pub type Found = BTreeMap<PathBuf, BTreeSet<usize>>;

impl Tool {
    /// Both, if they are installed.
    pub fn installed() -> Option<[Self; 2]> {
        let both = [Self::Taplo, Self::Tombi];
        let there = both.iter().all(|tool| tool.path().exists());
        assert!(
            there || std::env::var_os("CI").is_none(),
            "run .ci/schema-tools"
        );
        there.then_some(both)
    }

    pub fn path(self) -> PathBuf {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/schema-tools/bin");
        folder.join(match self {
            Self::Taplo => "taplo",
            Self::Tombi => "tombi",
        })
    }

    pub fn run(self, files: &[PathBuf]) -> Found {
        let mut command = Command::new(self.path());
        match self {
            Self::Taplo => command.args(["check", "--colors", "never"]),
            Self::Tombi => {
                command.args([
                    "lint",
                    "--offline",
                    "--quiet",
                    "--diagnostics-format",
                    "json",
                ]);
                command.args(["--diagnostics-file", "/dev/stdout"])
            }
        };
        let output = command.args(files).output().expect("the tool");
        let text = match self {
            Self::Taplo => output.stderr,
            Self::Tombi => output.stdout,
        };
        let text = String::from_utf8(text).expect("UTF-8");
        let found = match self {
            Self::Taplo => taplo(&text),
            Self::Tombi => tombi(&text),
        };
        assert_eq!(
            output.status.success(),
            found.is_empty(),
            "{self:?}: {text}"
        );
        let absolute = |path: &Path| fs::canonicalize(path).expect("a file");
        found
            .into_iter()
            .map(|(path, lines)| (absolute(&path), lines))
            .collect()
    }
}

/// The places in what taplo prints: a line with `┌─ FILE:LINE:COLUMN` for each.
fn taplo(text: &str) -> Found {
    let mut found = Found::new();
    for (_, place) in text.lines().filter_map(|line| line.split_once("┌─ ")) {
        let mut parts = place.rsplitn(3, ':').skip(1);
        let line = parts
            .next()
            .and_then(|line| line.parse().ok())
            .expect("a line");
        let file = parts.next().expect("a file");
        found.entry(file.into()).or_default().insert(line);
    }
    found
}

/// The places in tombi's list.
fn tombi(text: &str) -> Found {
    let mut found = Found::new();
    let all: Vec<serde_json::Value> = match text.trim() {
        "" => Vec::new(),
        text => serde_json::from_str(text).unwrap_or_else(|e| panic!("{e}: {text}")),
    };
    for one in all.iter().filter(|one| one["level"] == "error") {
        let line = one["range"]["start"]["line"].as_u64().expect("a line") as usize;
        let file = one["path"].as_str().expect("a file");
        found.entry(file.into()).or_default().insert(line);
    }
    found
}
