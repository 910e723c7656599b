//! What README.md says "What holds" of the code, as far as the text of the code shows it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use solderless::registry::{self, TYPES};
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
    // These are words for other things as well.
    let types = TYPES.iter().map(|entry| entry.name);
    let types: Vec<_> = types
        .filter(|name| !["exit", "ram", "rom"].contains(name))
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

/// How names begin that belong to one architecture of CPUs.
const ARCHITECTURES: [&str; 11] = [
    "mips", "yamon", "kseg", "em_", "cp0", "riscv", "sbi", "x86", "i386", "aarch64", "armv",
];
/// Boards, which are data.
const BOARDS: [&str; 2] = ["mipssim", "riscv-virt"];

/// The first word of a text, comments included, that only one architecture has.
fn of_an_architecture(text: &str) -> Option<String> {
    let text = text.to_lowercase();
    let text = BOARDS
        .iter()
        .fold(text, |text, board| text.replace(board, ""));
    let mut words = text.split(|c: char| !c.is_alphanumeric() && c != '_');
    let word = words.find(|word| ARCHITECTURES.iter().any(|start| word.starts_with(start)));
    word.map(str::to_owned)
}

#[test]
fn words_of_an_architecture_are_found() {
    assert_eq!(of_an_architecture("run mipssim, riscv-virt"), None);
    for (text, word) in [
        ("let at = KSEG0 | 4;", "kseg0"),
        ("// as MIPS's", "mips"),
        ("\"mips32-cpu\"", "mips32"),
        ("object::elf::EM_RISCV", "em_riscv"),
    ] {
        assert_eq!(of_an_architecture(text).as_deref(), Some(word));
    }
}

#[test]
fn the_program_names_architectures_in_one_file() {
    let src = guests::repository().join("src");
    let registry = src.join("registry.rs");
    for path in rust_files(&src).iter().filter(|path| **path != registry) {
        let found = of_an_architecture(&read(path));
        assert_eq!(found, None, "{}", path.display());
    }
    assert!(of_an_architecture(&read(&registry)).is_some());
}

#[test]
fn every_cpu_is_of_an_architecture_that_boots() {
    for entry in TYPES {
        let interface = (entry.defaults)().interface().expect("defaults");
        let Some(cpu) = interface.cpu else { continue };
        let architecture = registry::architecture(cpu.architecture);
        let architecture = architecture.unwrap_or_else(|| panic!("{}", cpu.architecture));
        let names = architecture.protocols().iter().map(|p| p.name());
        let names: Vec<_> = names.collect();
        assert_eq!(names.iter().collect::<BTreeSet<_>>().len(), names.len());
        assert!(!names.is_empty() && interface.initiator, "{}", entry.name);
    }
}

#[test]
fn nothing_on_the_path_of_a_guest_locks() {
    const LOCKS: [&str; 7] = [
        "Mutex",
        "RwLock",
        "Condvar",
        "OnceLock",
        "LazyLock",
        "Barrier",
        "thread_local",
    ];
    let root = guests::repository();
    let folders = crates().into_iter().filter(|(name, _)| name != ".");
    let mut folders: Vec<_> = folders.map(|(_, folder)| folder.join("src")).collect();
    folders.push(root.join("src/machine"));
    // What a machine sends goes through it.
    let mut files = vec![root.join("src/backend/outlet.rs")];
    files.extend(folders.iter().flat_map(|folder| rust_files(folder)));
    for path in files {
        let code = code(&read(&path));
        for word in code.split(|c: char| !c.is_alphanumeric() && c != '_') {
            assert!(!LOCKS.contains(&word), "{}: {word}", path.display());
            assert!(
                !word.starts_with("Atomic") || path.ends_with("outlet.rs"),
                "{}: {word}",
                path.display()
            );
        }
        assert!(!code.contains("static mut"), "{}", path.display());
    }
}

/// The code of a file of the program: without comments and tests.
fn code(text: &str) -> String {
    let code = text.split("#[cfg(test)]\nmod").next().unwrap_or("");
    let lines = code
        .lines()
        .map(|line| line.split("//").next().unwrap_or(""));
    lines.collect::<Vec<_>>().join("\n")
}

/// The names that stand behind `crate::`: `a` and `b` of `crate::a::c` and `crate::{b}`.
fn crate_paths(code: &str) -> BTreeSet<String> {
    let word = |text: &str| -> String {
        let end = text.find(|c: char| !c.is_alphanumeric() && c != '_');
        text[..end.unwrap_or(text.len())].to_owned()
    };
    let mut found = BTreeSet::new();
    for rest in code.split("crate::").skip(1) {
        let Some(group) = rest.strip_prefix('{') else {
            found.insert(word(rest));
            continue;
        };
        let mut depth = 1;
        let mut start = true;
        for (at, c) in group.char_indices() {
            match c {
                '{' => depth += 1,
                '}' => depth -= 1,
                ',' => start |= depth == 1,
                c if start && depth == 1 && c.is_alphabetic() => {
                    found.insert(word(&group[at..]));
                    start = false;
                }
                _ => {}
            }
            if depth == 0 {
                break;
            }
        }
    }
    found
}

#[test]
fn names_behind_the_crate_are_found() {
    let code = "use crate::a::{b, c}; use crate::{\n  d::{e, f},\n  g,\n}; crate::h_i::j(k)";
    let found: Vec<_> = crate_paths(code).into_iter().collect();
    assert_eq!(found, ["a", "d", "g", "h_i"]);
}

#[test]
fn rooms_use_what_the_architecture_says_and_no_circle() {
    let root = guests::repository();
    let text = read(&root.join("docs/architecture.md"));
    let (_, table) = text.split_once("| room | uses |\n").expect("the table");
    let mut said: Vec<(String, BTreeSet<String>)> = Vec::new();
    for line in table.lines().skip(1).take_while(|l| l.starts_with('|')) {
        let mut names = line.split('`').skip(1).step_by(2).map(str::to_owned);
        let room = names.next().expect("a room");
        let uses: BTreeSet<_> = names.collect();
        for used in &uses {
            let above = said.iter().any(|(other, _)| other == used);
            assert!(
                above,
                "`{room}` uses `{used}`, which does not stand above it"
            );
        }
        said.push((room, uses));
    }
    let src = root.join("src");
    let mut found: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for path in rust_files(&src) {
        let within = path.strip_prefix(&src).expect("it is below");
        let name = within.components().next().expect("a name");
        let room = name.as_os_str().to_string_lossy();
        let room = room.trim_end_matches(".rs");
        if ["lib", "main"].contains(&room) || path.ends_with("tests.rs") {
            continue;
        }
        let code = code(&read(&path));
        // As many as the modules that the file is in lead to the crate itself.
        let is_folder = path.ends_with("mod.rs");
        let depth = within.components().count() - usize::from(is_folder);
        let out = "super::".repeat(depth);
        assert!(!code.contains(&out), "{}: {out}", path.display());
        let used = crate_paths(&code).into_iter().filter(|used| used != room);
        found.entry(room.to_owned()).or_default().extend(used);
    }
    for (room, uses) in &found {
        let place = said.iter().find(|(name, _)| name == room);
        let place = place.unwrap_or_else(|| panic!("docs/architecture.md has no room `{room}`"));
        assert_eq!(
            place.1, *uses,
            "left: what docs/architecture.md says of `{room}`"
        );
    }
    assert_eq!(
        found.len(),
        said.len(),
        "docs/architecture.md has rooms that are not there"
    );
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
