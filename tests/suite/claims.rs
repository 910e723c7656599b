//! What README.md says "What holds" of the code, as far as the text of the code shows it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use solderless::registry::TYPES;
use solderless_testing::guests;

/// The Rust files under a folder.
fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let entries = fs::read_dir(folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    for path in entries.map(|entry| entry.expect("an entry").path()) {
        if path.is_dir() {
            found.extend(rust_files(&path));
        } else if path.extension().is_some_and(|e| e == "rs") {
            found.push(path);
        }
    }
    found.sort();
    found
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// The crates of the program by their folders, `.` the program itself.
fn crates() -> Vec<(String, PathBuf)> {
    let root = guests::repository();
    let mut crates = vec![(".".to_owned(), root.clone())];
    let mut folders = vec![root.join("devices")];
    while let Some(folder) = folders.pop() {
        for path in fs::read_dir(folder).expect("a folder") {
            let path = path.expect("an entry").path();
            if path.join("Cargo.toml").is_file() {
                let name = path.strip_prefix(&root).expect("it is below the root");
                crates.push((name.to_string_lossy().into_owned(), path.clone()));
                folders.push(path);
            }
        }
    }
    crates.sort();
    crates
}

/// How often the keyword is in a text, comments and attributes apart.
fn unsafe_places(text: &str) -> usize {
    let code = text
        .lines()
        .map(|line| line.split("//").next().unwrap_or(""));
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    code.flat_map(|line| line.split(move |c| !is_word(c)))
        .filter(|word| *word == "unsafe")
        .count()
}

#[test]
fn unsafe_code_is_where_the_readme_says_and_as_often() {
    let readme = read(&guests::repository().join("README.md"));
    let mut said: BTreeMap<String, usize> = BTreeMap::new();
    for line in readme.lines() {
        let cells: Vec<_> = line.split('|').map(str::trim).collect();
        if let [_, name, count, _, _] = cells[..]
            && let Some(name) = name.strip_prefix("`devices/")
            && let Ok(count) = count.parse()
        {
            said.insert(format!("devices/{}", name.trim_end_matches('`')), count);
        }
    }
    assert!(!said.is_empty(), "README.md has no table of them");
    let mut found: BTreeMap<String, usize> = BTreeMap::new();
    for (name, folder) in crates() {
        let files = rust_files(&folder.join("src"));
        let count: usize = files.iter().map(|path| unsafe_places(&read(path))).sum();
        let lib = read(&folder.join("src/lib.rs"));
        assert_eq!(
            count == 0,
            lib.contains("#![forbid(unsafe_code)]"),
            "{name} forbids unsafe code if it has none"
        );
        if count > 0 {
            found.insert(name, count);
        }
    }
    assert_eq!(said, found, "left: what README.md says");
}

#[test]
fn devices_know_no_file_format_no_command_line_and_no_host() {
    const NOT_THEIRS: &[&str] = &[
        "anyhow",
        "clap",
        "miette",
        "signal",
        "solderless",
        "toml",
        "toml_edit",
        "toml_parser",
    ];
    let host = [
        "std::fs",
        "std::net",
        "std::env",
        "std::process",
        "std::os::",
    ];
    for (name, folder) in crates().into_iter().filter(|(name, _)| name != ".") {
        let manifest = read(&folder.join("Cargo.toml"));
        let (_, dependencies) = manifest.split_once("[dependencies]").unwrap_or(("", ""));
        let dependencies = dependencies.split("\n[").next().unwrap_or("");
        for line in dependencies.lines() {
            let dependency = line.split(['=', '.']).next().unwrap_or("").trim();
            assert!(
                !NOT_THEIRS.contains(&dependency),
                "{name} needs {dependency}"
            );
        }
        // It maps the memory of a saved machine from its file.
        if name == "devices/memory" {
            continue;
        }
        for path in rust_files(&folder.join("src")) {
            let text = read(&path);
            let code = text
                .lines()
                .map(|line| line.split("//").next().unwrap_or(""));
            for line in code {
                for what in host {
                    assert!(!line.contains(what), "{}: {line}", path.display());
                }
            }
        }
    }
}

#[test]
fn the_program_names_device_types_in_one_file() {
    let root = guests::repository();
    let src = root.join("src");
    // These two are words for other things as well.
    let types = TYPES.iter().map(|entry| entry.name);
    let types: Vec<_> = types
        .filter(|name| !["ram", "rom"].contains(name))
        .collect();
    for path in rust_files(&src) {
        let text = read(&path);
        if path == src.join("registry.rs") {
            assert!(types.len() > 10 && text.contains("solderless_mips::"));
            continue;
        }
        let code = text.split("#[cfg(test)]").next().unwrap_or("");
        for (name, _) in crates() {
            let family = name.rsplit('/').next().unwrap_or("");
            if !["model", ".", "derive"].contains(&family) {
                let used = code.contains(&format!("solderless_{family}::"));
                assert!(!used, "{} uses devices/{family}", path.display());
            }
        }
        for name in &types {
            let named = code.contains(&format!("\"{name}\""));
            assert!(!named, "{} names {name}", path.display());
        }
    }
}

/// Statements of the document that are advice, or say what is not there.
const ADVICE: [&str; 2] = ["- Nobody should be able", "- Frames and characters"];

#[test]
fn what_is_said_of_strangers_has_tests() {
    let root = guests::repository();
    let text = read(&root.join("docs/security.md"));
    let mut tests = 0;
    let statements = text.split("\n- ").skip(1).map(|rest| {
        let end = rest.find("\n\n").unwrap_or(rest.len());
        format!("- {}", &rest[..end])
    });
    let rows = text.lines().filter(|l| l.starts_with("| ")).skip(2);
    for statement in statements.chain(rows.map(str::to_owned)) {
        let mut named = 0;
        for name in statement.split('`').skip(1).step_by(2) {
            let Some((module, function)) = name.split_once("::") else {
                continue;
            };
            let file = read(&root.join(format!("tests/suite/{module}.rs")));
            let test = format!("#[test]\nfn {function}(");
            assert!(file.contains(&test), "there is no test {name}");
            named += 1;
        }
        let advice = ADVICE.iter().any(|start| statement.starts_with(start));
        assert!(named > 0 || advice, "no test holds: {statement}");
        tests += named;
    }
    assert!(tests > 30, "the statements were not found");
}
