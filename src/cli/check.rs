//! `solderless check`.

use std::process::ExitCode;

use serde::Serialize;

use crate::compose;
use crate::diagnostics::{Problem, Severity, Sources, Span};
use crate::lock;

/// The arguments of `solderless check`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Boards' names (`malta`), or the paths of the files of boards, chips, overlays and runs
    #[arg(required = true, add = super::complete::boards())]
    boards: Vec<String>,
    #[command(flatten)]
    layers: super::LayerArgs,
    /// How to print what was found
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    /// For people
    Text,
    /// For programs, on standard output
    Json,
}

/// Runs the command: problems on standard error, the names of good boards on standard output.
pub fn run(args: &Args) -> ExitCode {
    let options = match args.layers.options() {
        Ok(options) => options,
        Err(e) => return super::usage(&e),
    };
    let mut out = String::new();
    let mut bad = false;
    let mut checked = Vec::new();
    for board in &args.boards {
        let found = lock::check(board, &options);
        bad |= !found.ok();
        match args.format {
            Format::Json => checked.push(serde_json::json!(Checked::new(board, &found))),
            Format::Text => {
                super::complain(&found.report);
                if found.ok() {
                    out.push_str(&format!("{board}: ok{}\n", how_far(&found)));
                }
            }
        }
    }
    if args.format == Format::Json {
        let all = serde_json::json!({ "version": 1, "boards": checked });
        out = format!("{all:#}\n");
    }
    let printed = super::print(&out);
    if bad { ExitCode::from(2) } else { printed }
}

/// How far a file could be checked, if it is none that makes a machine.
fn how_far(found: &compose::Checked) -> String {
    match (&found.loaded, found.kind) {
        (Some(_), _) => String::new(),
        (None, kind) => format!(" by itself, as {}", kind.about().0),
    }
}

/// A board and what was found, as programs get it. docs/board-format.md describes it; what is there stays as it is.
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Checked<'r> {
    board: &'r str,
    kind: &'static str,
    ok: bool,
    hash: Option<String>,
    problems: Vec<Found<'r>>,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Found<'r> {
    severity: &'static str,
    code: &'static str,
    message: &'r str,
    labels: Vec<Label<'r>>,
    help: Option<&'r str>,
    allow: Option<&'r str>,
    fix: Option<Edit<'r>>,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Label<'r> {
    #[serde(flatten)]
    place: Place<'r>,
    text: &'r str,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Edit<'r> {
    #[serde(flatten)]
    place: Place<'r>,
    replacement: &'r str,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Place<'r> {
    file: &'r str,
    line: usize,
    column: usize,
    end_line: usize,
    end_column: usize,
    start: usize,
    end: usize,
}

impl<'r> Checked<'r> {
    fn new(board: &'r str, found: &'r compose::Checked) -> Self {
        let compose::Checked { kind, report, .. } = found;
        let plan = found.loaded.as_ref().map(|loaded| &loaded.plan);
        let problems = report.problems.iter();
        Self {
            board,
            kind: kind.name(),
            ok: found.ok(),
            hash: plan.map(|plan| format!("{:032x}", plan.hash())),
            problems: problems.map(|p| Found::new(&report.sources, p)).collect(),
        }
    }
}

impl<'r> Found<'r> {
    fn new(sources: &'r Sources, problem: &'r Problem) -> Self {
        let labels = problem.labels.iter().map(|label| Label {
            place: Place::new(sources, label.span),
            text: &label.text,
        });
        Self {
            severity: match problem.severity {
                Severity::Error => "error",
                Severity::Warning => "warning",
            },
            code: problem.code,
            message: &problem.message,
            labels: labels.collect(),
            help: problem.help.as_deref(),
            allow: problem.place.as_deref(),
            fix: problem.fix.as_ref().map(|fix| Edit {
                place: Place::new(sources, fix.span),
                replacement: &fix.replacement,
            }),
        }
    }
}

impl<'r> Place<'r> {
    fn new(sources: &'r Sources, span: Span) -> Self {
        let (line, column) = sources.position(span.file, span.start);
        let (end_line, end_column) = sources.position(span.file, span.end);
        Self {
            file: sources.name(span.file),
            line,
            column,
            end_line,
            end_column,
            start: span.start,
            end: span.end,
        }
    }
}
