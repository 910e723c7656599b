//! Every constant in the models is made another, one at a time, and it is looked whether `solderless check` of a locked board says so.
//!
//! The program is built once, with all mutants in it (`rewrite`), in a copy of the repository; one is chosen by `MUTANT`.

mod constants;
mod rewrite;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use constants::{constants, is_name};
use rewrite::{Known, Names, Rewriter};

/// The crates whose constants are those of devices, and of the contract what says a constant for a device.
const CRATES: &[&str] = &[
    "acpi", "dma", "input", "intc", "mips", "net", "pci", "platform", "riscv", "serial", "storage",
    "timer", "usb",
];
const CONTRACT: &str = "devices/model/src/pci.rs";

/// What chooses the mutant, as a module of the contract.
const CHOICE: &str = r#"
#![allow(missing_docs)]
use std::io::Write as _;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{LazyLock, Mutex};

static MUTANT: LazyLock<Option<usize>> = LazyLock::new(|| std::env::var("MUTANT").ok()?.parse().ok());
static REACHED: LazyLock<Option<Mutex<std::fs::File>>> = LazyLock::new(|| {
    let path = std::env::var_os("MUTANTS_REACHED")?;
    Some(Mutex::new(std::fs::File::create(path).expect("a file")))
});
static SEEN: [AtomicBool; 1 << 16] = [const { AtomicBool::new(false) }; 1 << 16];
static STEPS: AtomicU64 = AtomicU64::new(0);

pub trait Mutant: Copy {
    fn other(self) -> Self;
}
impl Mutant for bool {
    fn other(self) -> Self {
        !self
    }
}
macro_rules! integers {
    ($($t:ty)*) => {$(impl Mutant for $t {
        fn other(self) -> Self {
            self.wrapping_add(1)
        }
    })*};
}
integers!(u8 u16 u32 u64 u128 usize i8 i16 i32 i64 i128 isize);

pub fn m<T: Mutant>(id: usize, value: T) -> T {
    match *MUTANT {
        None => {
            if let Some(reached) = &*REACHED
                && !SEEN[id].swap(true, Ordering::Relaxed)
            {
                writeln!(reached.lock().expect("nobody panics"), "{id}").expect("a file");
            }
            value
        }
        Some(chosen) => {
            // One that makes a loop endless.
            if STEPS.fetch_add(1, Ordering::Relaxed) > 50_000_000 {
                eprintln!("it does not come to an end");
                std::process::exit(70);
            }
            if chosen == id { value.other() } else { value }
        }
    }
}
"#;

/// A file with constants.
struct Source {
    path: String,
    text: String,
    parsed: syn::File,
    names: Names,
}

fn run(command: &mut Command) -> String {
    let output = command.output().expect("it can be run");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {errors}");
    String::from_utf8(output.stdout).expect("text")
}

/// Writes a file, unless it is so already: what is not written anew is not built anew.
fn write(path: &Path, bytes: &[u8]) {
    if fs::read(path).is_ok_and(|there| there == bytes) {
        return;
    }
    fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
    fs::write(path, bytes).expect("a file");
}

fn has_constants(path: &str) -> bool {
    let of_crate = CRATES
        .iter()
        .any(|name| path.starts_with(&format!("devices/{name}/src/")));
    let executes = [
        "/templates/",
        "/exec/",
        "/fpu/",
        "/boot/",
        "/decode.rs",
        "/ir.rs",
        "/inst.rs",
        "/isa.rs",
    ];
    let left_out = executes.iter().any(|part| path.contains(part))
        || path.contains("/tests")
        || path.ends_with("tests.rs");
    path == CONTRACT || of_crate && path.ends_with(".rs") && !left_out
}

fn read(repository: &Path, tracked: &[String]) -> Vec<Source> {
    let paths = tracked.iter().filter(|path| has_constants(path));
    paths
        .map(|path| {
            let text = fs::read_to_string(repository.join(path)).expect("a file");
            let parsed = syn::parse_file(&text).unwrap_or_else(|e| panic!("{path}: {e}"));
            Source {
                path: path.clone(),
                names: Names::of(&parsed),
                parsed,
                text,
            }
        })
        .collect()
}

/// The module of a file, by which others know its constants.
fn module(path: &str) -> String {
    let path = path.trim_end_matches("/mod.rs").trim_end_matches(".rs");
    path.rsplit('/').next().unwrap_or_default().to_owned()
}

/// The mutants: file, and where the constant starts.
type All = Vec<(usize, usize)>;

/// Writes the copy. `refused` are mutants that do not compile, by file.
fn copy(
    repository: &Path,
    to: &Path,
    sources: &[Source],
    refused: &BTreeMap<usize, BTreeSet<usize>>,
) -> (All, Vec<usize>) {
    let mut known = Known::new();
    for source in sources {
        known
            .entry(module(&source.path))
            .or_default()
            .extend(source.names.constants().iter().cloned());
    }
    let (mut all, mut firsts) = (All::new(), Vec::new());
    let none = BTreeSet::new();
    for (number, source) in sources.iter().enumerate() {
        let m = match source.path.starts_with("devices/model/") {
            true => "crate::mutant::m",
            false => "::solderless_model::mutant::m",
        };
        firsts.push(all.len());
        let refused = refused.get(&number).unwrap_or(&none);
        let rewriter = Rewriter::new(&source.text, m, &source.names, &known, all.len(), refused);
        let (text, found) = rewriter.rewrite(&source.parsed);
        all.extend(found.into_iter().map(|at| (number, at)));
        write(&to.join(&source.path), text.as_bytes());
    }
    let lib =
        fs::read_to_string(repository.join("devices/model/src/lib.rs")).expect("the contract");
    write(
        &to.join("devices/model/src/lib.rs"),
        format!("{lib}\npub mod mutant;\n").as_bytes(),
    );
    write(&to.join("devices/model/src/mutant.rs"), CHOICE.as_bytes());
    (all, firsts)
}

/// Builds the copy. What the compiler does not take is left as it is.
fn build(repository: &Path, to: &Path, sources: &[Source]) -> (All, PathBuf, BTreeSet<usize>) {
    let mut refused: BTreeMap<usize, BTreeSet<usize>> = BTreeMap::new();
    // What does not compile is found sooner without code being made.
    let mut checks = true;
    loop {
        let (all, firsts) = copy(repository, to, sources, &refused);
        let output = Command::new("cargo")
            .args([
                if checks { "check" } else { "build" },
                "--quiet",
                "--message-format=json",
                "--keep-going",
                "--bin",
                "solderless",
            ])
            .args(["--config", "profile.dev.debug=0"])
            .env("RUSTFLAGS", "--cap-lints=allow")
            .env("CARGO_TARGET_DIR", to.join("../target"))
            .current_dir(to)
            .stderr(Stdio::inherit())
            .output()
            .expect("cargo");
        if output.status.success() && checks {
            checks = false;
            continue;
        }
        if output.status.success() {
            let none = refused
                .iter()
                .flat_map(|(file, places)| places.iter().map(|place| firsts[*file] + place));
            return (all, to.join("../target/debug/solderless"), none.collect());
        }
        let mut more = 0;
        let said = String::from_utf8(output.stdout).expect("text");
        for line in said
            .lines()
            .filter(|line| line.contains("\"level\":\"error\""))
        {
            // All places in files of the copy that it points to: what is called there is a mutant, or it is no fault of one.
            for (file, from, to_byte) in places(line) {
                let Some(number) = sources.iter().position(|source| {
                    source.path == file || to.join(&source.path) == Path::new(&file)
                }) else {
                    continue;
                };
                let text = fs::read_to_string(to.join(&sources[number].path)).expect("a file");
                let line_start = text[..from.min(text.len())]
                    .rfind('\n')
                    .map_or(0, |at| at + 1);
                let line_end = text[to_byte.min(text.len())..]
                    .find('\n')
                    .map_or(text.len(), |at| to_byte + at);
                for id in text[line_start..line_end].split("mutant::m(").skip(1) {
                    let id: usize = id
                        .split(',')
                        .next()
                        .and_then(|id| id.parse().ok())
                        .expect("its number");
                    more += usize::from(
                        refused
                            .entry(number)
                            .or_default()
                            .insert(id - firsts[number]),
                    );
                }
            }
            if std::env::var_os("VERBOSE").is_some()
                && let Some((_, rendered)) = line.split_once("\"rendered\":\"")
            {
                eprintln!("{}", rendered.replace("\\n", "\n").replace("\\\"", "\""));
            }
        }
        eprintln!("{more} constants cannot be others");
        assert!(more > 0, "it does not build");
    }
}

/// The places in a message of the compiler: file, first and last byte.
fn places(message: &str) -> Vec<(String, usize, usize)> {
    let number = |text: &str, key: &str| -> Option<usize> {
        let rest = text.split_once(key)?.1;
        rest[..rest.find(|c: char| !c.is_ascii_digit())?]
            .parse()
            .ok()
    };
    let mut all = Vec::new();
    for part in message.split("{\"byte_end\":").skip(1) {
        let end = part
            .find(|c: char| !c.is_ascii_digit())
            .and_then(|at| part[..at].parse().ok());
        let start = number(part, "\"byte_start\":");
        let file = part
            .split_once("\"file_name\":\"")
            .and_then(|(_, rest)| rest.split_once('"'));
        if let (Some(start), Some(end), Some((file, _))) = (start, end, file) {
            all.push((file.to_owned(), start, end));
        }
    }
    all
}

/// What becomes of a mutant, as a mark behind the constant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Answer {
    Reported = b'!' as isize,
    Stops = b'x' as isize,
    Held = b'=' as isize,
    Unseen = b'.' as isize,
}

/// What is said of a list at its start.
const HEAD: &str = "\
# What `solderless check` of malta@1 to malta@3 says if a constant in the code of a model is one more, or true is false: of every function and
# constant that a check of them goes through, each constant with a mark. tests/mutants/run writes this, and a test compares it
# with the code.
#
# !  it says that the release is not what it was
# x  the program stops with an error of its own
# =  nothing: it is a property's default, and a release keeps that of its lock
# .  nothing: what is there after a reset is the same, to a guest and in a stream. It decides what a device does later, or
#    stands for what the reset that follows says anew
# ~  it is not come by
# -  it is a pattern's or a type's: the layout has the types, and the addresses of registers are those at which they are read
";

/// Runs a check of a release, with a variable set.
fn check(program: &Path, name: &str, variable: (&str, &str)) -> Answer {
    let output = Command::new("sh")
        .args([
            "-c",
            "ulimit -v 16000000; exec timeout 60 \"$0\" check \"$1\"",
        ])
        .arg(program)
        .arg(name)
        .env(variable.0, variable.1)
        .output()
        .expect("the program");
    match output.status.code() {
        Some(0) => Answer::Unseen,
        Some(2) => Answer::Reported,
        _ => Answer::Stops,
    }
}

fn main() {
    let arguments: Vec<_> = std::env::args_os().map(PathBuf::from).collect();
    let [_, repository, work] = &arguments[..] else {
        panic!("the repository, and a folder to work in");
    };
    let to = work.join("source");
    let tracked = run(Command::new("git")
        .args(["ls-files", "-co", "--exclude-standard"])
        .current_dir(repository));
    let tracked: Vec<_> = tracked.lines().map(str::to_owned).collect();
    for path in &tracked {
        if !has_constants(path)
            && path != "devices/model/src/lib.rs"
            && repository.join(path).is_file()
        {
            write(
                &to.join(path),
                &fs::read(repository.join(path)).expect("a file"),
            );
        }
    }
    let sources = read(repository, &tracked);
    let (all, program, refused) = build(repository, &to, &sources);

    let names = tracked
        .iter()
        .filter_map(|path| path.strip_prefix("machines/")?.strip_suffix(".toml"));
    let mut releases: Vec<_> = names.filter(|name| name.contains('@')).collect();
    // The newest is most likely to say something.
    releases.reverse();
    let mut reached = BTreeSet::new();
    for name in &releases {
        let file = work.join("reached");
        assert_eq!(
            check(
                &program,
                name,
                ("MUTANTS_REACHED", file.to_str().expect("a path"))
            ),
            Answer::Unseen
        );
        let text = fs::read_to_string(&file).expect("what is reached");
        reached.extend(
            text.lines()
                .map(|line| line.parse::<usize>().expect("a number")),
        );
    }
    let reached: Vec<_> = reached.into_iter().collect();
    println!(
        "{} constants, {} reached by a check of {}",
        all.len(),
        reached.len(),
        releases.join(", ")
    );

    let (next, answers) = (AtomicUsize::new(0), Mutex::new(BTreeMap::new()));
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while let Some(id) = reached.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let mut said = releases
                        .iter()
                        .map(|name| check(&program, name, ("MUTANT", &id.to_string())));
                    let answer = said.find(|answer| *answer != Answer::Unseen);
                    let mut answers = answers.lock().expect("nobody panics");
                    answers.insert(all[*id], answer.unwrap_or(Answer::Unseen));
                    if answers.len() % 200 == 0 {
                        eprintln!("{} of {}", answers.len(), reached.len());
                    }
                }
            });
        }
    });
    let answers = answers.into_inner().expect("nobody panics");
    let known: BTreeSet<_> = all
        .iter()
        .enumerate()
        .filter(|(id, _)| !refused.contains(id))
        .map(|(_, at)| *at)
        .collect();
    let list = list(&sources, &known, &answers);
    fs::write(repository.join("tests/compatibility/mutants.txt"), list).expect("the list");
}

/// The list: for each file, what stands in each of its functions and constants that is come by.
fn list(
    sources: &[Source],
    known: &BTreeSet<(usize, usize)>,
    answers: &BTreeMap<(usize, usize), Answer>,
) -> String {
    let mut out = HEAD.to_owned();
    let mut counts = BTreeMap::new();
    for (number, source) in sources.iter().enumerate() {
        let mut lines: Vec<(String, bool, String)> = Vec::new();
        for constant in constants(&source.text) {
            let place = (number, constant.at);
            let mark = match answers.get(&place) {
                _ if is_name(&constant.text) => String::new(),
                Some(Answer::Unseen) if constant.within.ends_with("Props::default") => {
                    (Answer::Held as u8 as char).to_string()
                }
                Some(answer) => (*answer as u8 as char).to_string(),
                None if known.contains(&place) => "~".to_owned(),
                None => "-".to_owned(),
            };
            let met = answers.contains_key(&place);
            if met {
                *counts.entry(mark.clone()).or_insert(0) += 1;
            }
            let text = format!(" {}{mark}", constant.text);
            match lines
                .iter_mut()
                .find(|(within, ..)| *within == constant.within)
            {
                Some((_, any, line)) => {
                    *any |= met;
                    *line += &text;
                }
                None => lines.push((constant.within, met, text)),
            }
        }
        lines.retain(|(_, met, _)| *met);
        if !lines.is_empty() {
            let _ = writeln!(out, "\n{}", source.path);
            for (within, _, line) in lines {
                let _ = writeln!(out, "  {within}:{line}");
            }
        }
    }
    println!("{counts:?}");
    out
}
