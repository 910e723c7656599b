//! What was found in a file, as programs get it. docs/board-format.md describes it; what is there stays as it is.

use schemars::JsonSchema;
use serde::Serialize;

use super::Checked;
use crate::diagnostics::{Problem, Severity, Sources, Span};

/// A file and what was found.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub struct Diagnosed {
    /// As it was named.
    board: String,
    /// The kind of file.
    kind: &'static str,
    /// Whether nothing keeps it from being used.
    ok: bool,
    /// The hash of a good board's plan.
    hash: Option<String>,
    /// What is wrong, or may be.
    problems: Vec<Found>,
}

/// A problem.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
struct Found {
    /// `error` or `warning`.
    severity: &'static str,
    /// By which it is known.
    code: &'static str,
    /// What it is.
    message: String,
    /// The places that it is about.
    labels: Vec<Label>,
    /// What to do.
    help: Option<String>,
    /// What an `allow` in the board calls it.
    allow: Option<String>,
    /// What mends it.
    fix: Option<Edit>,
}

/// A place, and what is said of it.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
struct Label {
    #[serde(flatten)]
    place: Place,
    text: String,
}

/// A place, and what is to stand there.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
struct Edit {
    #[serde(flatten)]
    place: Place,
    replacement: String,
}

/// A place in a text: lines and columns from 1, bytes from 0.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
struct Place {
    file: String,
    line: usize,
    column: usize,
    end_line: usize,
    end_column: usize,
    start: usize,
    end: usize,
}

impl Diagnosed {
    /// What was found in a file of this name.
    pub fn new(board: &str, found: &Checked) -> Self {
        let Checked { kind, report, .. } = found;
        let plan = found.loaded.as_ref().map(|loaded| &loaded.plan);
        let problems = report.problems.iter();
        Self {
            board: board.to_owned(),
            kind: kind.name(),
            ok: found.ok(),
            hash: plan.map(|plan| format!("{:032x}", plan.hash())),
            problems: problems.map(|p| Found::new(&report.sources, p)).collect(),
        }
    }
}

impl Found {
    fn new(sources: &Sources, problem: &Problem) -> Self {
        let labels = problem.labels.iter().map(|label| Label {
            place: Place::new(sources, label.span),
            text: label.text.clone(),
        });
        Self {
            severity: match problem.severity {
                Severity::Error => "error",
                Severity::Warning => "warning",
            },
            code: problem.code,
            message: problem.message.clone(),
            labels: labels.collect(),
            help: problem.help.clone(),
            allow: problem.place.as_deref().map(str::to_owned),
            fix: problem.fix.as_ref().map(|fix| Edit {
                place: Place::new(sources, fix.span),
                replacement: fix.replacement.clone(),
            }),
        }
    }
}

impl Place {
    fn new(sources: &Sources, span: Span) -> Self {
        let (line, column) = sources.position(span.file, span.start);
        let (end_line, end_column) = sources.position(span.file, span.end);
        Self {
            file: sources.name(span.file).to_owned(),
            line,
            column,
            end_line,
            end_column,
            start: span.start,
            end: span.end,
        }
    }
}
