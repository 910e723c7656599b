//! Problems found in boards: what they say, where they point, and how they are shown.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use crate::visible::{replaced, visible};
use miette::{
    Diagnostic, GraphicalReportHandler, GraphicalTheme, LabeledSpan, MietteError,
    MietteSpanContents, SourceCode, SourceSpan, SpanContents,
};

/// A text that problems can point into, by its place in [`Sources`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileId(u32);

impl FileId {
    /// The number of the text, in the order in which texts were added.
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// A range of bytes of one text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span {
    /// The text.
    pub file: FileId,
    /// First byte.
    pub start: usize,
    /// One past the last byte.
    pub end: usize,
}

#[derive(Debug, Clone)]
struct Source {
    name: String,
    text: Arc<str>,
}

/// The texts that went into a board.
#[derive(Debug, Clone, Default)]
pub struct Sources(Vec<Source>);

impl Sources {
    /// Adds a text under the name that is shown to the user.
    pub fn add(&mut self, name: impl Into<String>, text: impl Into<Arc<str>>) -> FileId {
        let id = u32::try_from(self.0.len()).expect("fewer than 2^32 files");
        self.0.push(Source {
            name: name.into(),
            text: text.into(),
        });
        FileId(id)
    }

    /// The name of a text.
    pub fn name(&self, file: FileId) -> &str {
        &self.0[file.0 as usize].name
    }

    /// A text.
    pub fn text(&self, file: FileId) -> Arc<str> {
        self.0[file.0 as usize].text.clone()
    }

    /// The names of all of them, each with its text.
    pub fn all(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0
            .iter()
            .map(|source| (source.name.as_str(), &*source.text))
    }

    /// The line and column, from 1, of a place in a text. Columns are characters.
    pub fn position(&self, file: FileId, at: usize) -> (usize, usize) {
        let text = &self.0[file.0 as usize].text;
        let before = text.get(..at).unwrap_or(text);
        let line = before.rfind('\n').map_or(0, |end| end + 1);
        let number = before.bytes().filter(|b| *b == b'\n').count();
        (1 + number, 1 + before[line..].chars().count())
    }

    /// The number of the line that a place is in, from 1.
    pub fn line(&self, span: Span) -> usize {
        let text = self.0[span.file.0 as usize].text.bytes();
        1 + text.take(span.start).filter(|b| *b == b'\n').count()
    }
}

/// How bad a problem is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    /// The board cannot be built.
    Error,
    /// The board can be built, and is probably not what was meant.
    Warning,
}

/// A place that a problem points at, with what is to be said about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Label {
    /// The place.
    pub span: Span,
    /// A phrase; may be empty.
    pub text: String,
}

/// One mistake in a board.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The kind of mistake, the same for every mistake of the kind (`unknown-device`).
    pub code: &'static str,
    /// How bad it is.
    pub severity: Severity,
    /// What is wrong, a phrase.
    pub message: String,
    /// Where: the culprit first.
    pub labels: Vec<Label>,
    /// What to write instead.
    pub help: Option<String>,
    /// What a warning is about, as `[allow]` names it; `None` if it cannot be silenced.
    pub place: Option<Box<str>>,
    /// The edit that mends it, if a program can tell.
    pub fix: Option<Box<Fix>>,
}

/// An edit of a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fix {
    /// What goes.
    pub span: Span,
    /// What comes in its place.
    pub replacement: String,
}

impl Problem {
    /// A mistake that keeps the board from being built.
    pub fn error(code: &'static str, message: impl Into<String>) -> Self {
        Self {
            code,
            severity: Severity::Error,
            message: message.into(),
            labels: Vec::new(),
            help: None,
            place: None,
            fix: None,
        }
    }

    /// Something that is probably not what was meant.
    pub fn warning(code: &'static str, message: impl Into<String>) -> Self {
        Self {
            severity: Severity::Warning,
            ..Self::error(code, message)
        }
    }

    /// Also points here.
    #[must_use]
    pub fn at(mut self, span: Span, text: impl Into<String>) -> Self {
        self.labels.push(Label {
            span,
            text: text.into(),
        });
        self
    }

    /// Also points here, if there is a place.
    #[must_use]
    pub fn at_some(self, span: Option<Span>, text: impl Into<String>) -> Self {
        match span {
            Some(span) => self.at(span, text),
            None => self,
        }
    }

    /// Also points at what weaker layers say in the same place.
    #[must_use]
    pub fn over(mut self, weaker: impl IntoIterator<Item = Span>) -> Self {
        for span in weaker {
            self = self.at(span, "a weaker layer says this");
        }
        self
    }

    /// Lets `[allow]` silence it under this name.
    #[must_use]
    pub fn place(mut self, place: impl Into<String>) -> Self {
        self.place = Some(place.into().into());
        self
    }

    /// Says what to write instead.
    #[must_use]
    pub fn help(mut self, text: impl Into<String>) -> Self {
        self.help = Some(text.into());
        self
    }
}

/// All problems of one run, with the texts they point into.
#[derive(Debug, Clone, Default)]
pub struct Report {
    /// The texts.
    pub sources: Sources,
    /// The problems, in the order of the places they point at.
    pub problems: Vec<Problem>,
}

impl Report {
    /// A report with its problems in order, none twice.
    pub fn new(sources: Sources, mut problems: Vec<Problem>) -> Self {
        problems.sort_by_cached_key(|p| {
            let place = p.labels.first().map(|l| l.span);
            (place, p.code, p.message.clone())
        });
        problems.dedup();
        Self { sources, problems }
    }

    /// Whether a problem keeps the board from being built.
    pub fn has_errors(&self) -> bool {
        self.problems.iter().any(|p| p.severity == Severity::Error)
    }

    /// The problems as text for people, each with the lines it is about and an empty line after it.
    pub fn render(&self, colour: bool) -> String {
        let theme = if colour {
            GraphicalTheme::unicode()
        } else {
            GraphicalTheme::unicode_nocolor()
        };
        let handler = GraphicalReportHandler::new_themed(theme)
            .with_width(100)
            .with_links(false);
        let mut out = String::new();
        for problem in &self.problems {
            handler
                .render_report(&mut out, &View::new(&self.sources, problem))
                .expect("writing to a string");
            out.push('\n');
        }
        out
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(false))
    }
}

impl std::error::Error for Report {}

/// A problem's labels in one text, as miette wants them; those in other texts are related views.
struct View {
    message: String,
    code: Option<&'static str>,
    severity: miette::Severity,
    help: Option<String>,
    source: Option<Excerpt>,
    labels: Vec<LabeledSpan>,
    elsewhere: Vec<View>,
}

impl View {
    fn new(sources: &Sources, problem: &Problem) -> Self {
        let first = problem.labels.first().map(|l| l.span.file);
        let mut here: Vec<(usize, usize)> = Vec::new();
        for label in &problem.labels {
            if Some(label.span.file) == first {
                here.push((label.span.start, label.span.end));
            }
        }
        let source = first.map(|file| Excerpt::new(sources, file, &mut here));
        let mut here = here.into_iter();
        let mut view = Self {
            message: clip(&problem.message),
            code: Some(problem.code),
            severity: match problem.severity {
                Severity::Error => miette::Severity::Error,
                Severity::Warning => miette::Severity::Warning,
            },
            help: problem.help.as_deref().map(clip),
            source,
            labels: Vec::new(),
            elsewhere: Vec::new(),
        };
        for label in &problem.labels {
            if Some(label.span.file) == first {
                let text = (!label.text.is_empty()).then(|| clip(&label.text));
                let (start, end) = here.next().unwrap_or_default();
                view.labels
                    .push(LabeledSpan::new_with_span(text, start..end));
            } else {
                let mut at = [(label.span.start, label.span.end)];
                let source = Excerpt::new(sources, label.span.file, &mut at);
                let [(start, end)] = at;
                view.elsewhere.push(Self {
                    message: clip(&label.text),
                    code: None,
                    severity: miette::Severity::Advice,
                    help: None,
                    source: Some(source),
                    labels: vec![LabeledSpan::new_with_span(None, start..end)],
                    elsewhere: Vec::new(),
                });
            }
        }
        view
    }
}

/// The longest text of a message, and the longest line of a file, that is shown whole, in bytes.
const LONGEST: (usize, usize) = (4000, 160);
/// What stands for the rest.
const MORE: &str = "…";

/// A text of a message, without what is too much of it.
fn clip(text: &str) -> String {
    let end = text.floor_char_boundary(LONGEST.0);
    let shown = visible(&text[..end]);
    match text.len() > end {
        true => format!("{shown}{MORE}"),
        false => shown.into_owned(),
    }
}

/// A text to be shown, without what is too much of long lines.
struct Excerpt {
    name: String,
    text: Arc<str>,
    /// The lines that lack their start, by number from 0, and how many bytes more that start had.
    cut: Vec<(usize, usize)>,
}

impl Excerpt {
    /// A text with the ranges in it that are to be seen, which become ranges of what is shown.
    fn new(sources: &Sources, file: FileId, ranges: &mut [(usize, usize)]) -> Self {
        let mut excerpt = Self {
            name: visible(sources.name(file)).into_owned(),
            text: match replaced(&sources.text(file)) {
                Cow::Borrowed(_) => sources.text(file),
                Cow::Owned(text) => text.into(),
            },
            cut: Vec::new(),
        };
        if excerpt.text.lines().all(|line| line.len() <= LONGEST.1) {
            return excerpt;
        }
        let mut places: Vec<&mut usize> = Vec::new();
        for (start, end) in ranges {
            places.extend([start, end]);
        }
        let mut out = String::new();
        let mut shown: Vec<usize> = places.iter().map(|place| **place).collect();
        let mut at = 0;
        for (number, line) in excerpt.text.split_inclusive('\n').enumerate() {
            let body = line.trim_end_matches(['\n', '\r']).len();
            // The end of the text is a place in its last line.
            let end = at + line.len() + usize::from(!line.ends_with('\n'));
            let within = |place: &usize| (at..end).contains(place);
            let (mut from, mut to) = (0, line.len());
            if body > LONGEST.1 {
                let first = places.iter().map(|p| &**p).filter(|p| within(p)).min();
                let first = first.map_or(0, |first| first - at);
                from = line.floor_char_boundary(first.saturating_sub(LONGEST.1 / 4));
                // What says that something is left out is not longer than that.
                from = if from <= MORE.len() { 0 } else { from };
                to = line.floor_char_boundary((from + LONGEST.1).min(body));
            }
            if from > 0 {
                out.push_str(MORE);
                excerpt.cut.push((number, from - MORE.len()));
            }
            let text = out.len();
            out.push_str(&line[from..to]);
            if to < body {
                out.push_str(MORE);
            }
            for (place, shown) in places.iter().zip(&mut shown).filter(|(p, _)| within(p)) {
                *shown = text + (**place - at).clamp(from, to.max(from)) - from;
            }
            if to < line.len() {
                out.push_str(&line[body..]);
            }
            at += line.len();
        }
        for (place, shown) in places.into_iter().zip(shown) {
            *place = if *place >= at { out.len() } else { shown };
        }
        excerpt.text = out.into();
        excerpt
    }
}

impl SourceCode for Excerpt {
    fn read_span<'a>(
        &'a self,
        span: &SourceSpan,
        before: usize,
        after: usize,
    ) -> Result<Box<dyn SpanContents<'a> + 'a>, MietteError> {
        let found = self.text.read_span(span, before, after)?;
        // Without lines around it, this is asked for the number of a column.
        let cut = self.cut.iter().filter(|_| before == 0);
        let cut = cut
            .filter(|(line, _)| *line == found.line())
            .map(|(_, cut)| cut);
        Ok(Box::new(MietteSpanContents::new_named(
            self.name.clone(),
            found.data(),
            *found.span(),
            found.line(),
            found.column() + cut.sum::<usize>(),
            found.line_count(),
        )))
    }
}

impl fmt::Debug for View {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl fmt::Display for View {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for View {}

impl Diagnostic for View {
    fn code<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        self.code.map(|code| Box::new(code) as _)
    }
    fn severity(&self) -> Option<miette::Severity> {
        Some(self.severity)
    }
    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        self.help.as_ref().map(|help| Box::new(help) as _)
    }
    fn source_code(&self) -> Option<&dyn miette::SourceCode> {
        self.source.as_ref().map(|s| s as _)
    }
    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        Some(Box::new(self.labels.iter().cloned()))
    }
    fn related<'a>(&'a self) -> Option<Box<dyn Iterator<Item = &'a dyn Diagnostic> + 'a>> {
        if self.elsewhere.is_empty() {
            return None;
        }
        Some(Box::new(self.elsewhere.iter().map(|v| v as _)))
    }
}

/// The valid name that a wrong one was probably meant to be.
pub fn nearest<'a>(wrong: &str, valid: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let folded = wrong.to_lowercase();
    let length = wrong.chars().count();
    let limit = (length / 3).max(1);
    valid
        .into_iter()
        .filter(|name| name.chars().count().abs_diff(length) <= limit)
        .map(|name| {
            (
                strsim::damerau_levenshtein(&folded, &name.to_lowercase()),
                name,
            )
        })
        .filter(|(distance, _)| *distance <= limit)
        .min()
        .map(|(_, name)| name)
}

/// Help for a wrong name: the one probably meant, and all valid ones unless they are many.
pub fn suggest<'a>(wrong: &str, what: &str, valid: impl IntoIterator<Item = &'a str>) -> String {
    const MANY: usize = 40;
    let valid: Vec<&str> = valid.into_iter().collect();
    let meant = nearest(wrong, valid.iter().copied()).map(|name| format!("did you mean `{name}`?"));
    let list = match valid.len() {
        0 => Some(format!("there are no {what}")),
        1..=MANY => Some(format!("the {what} are {}", valid.join(", "))),
        _ => None,
    };
    [meant, list]
        .into_iter()
        .flatten()
        .collect::<Vec<_>>()
        .join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_names_are_suggested_and_far_ones_are_not() {
        let valid = ["acpi-root-pci-hotplug", "smb_io_base", "pic", "PIIX4_PM"];
        for (wrong, meant) in [
            ("acpi-root-hotplug", Some("acpi-root-pci-hotplug")),
            ("smb-io-base", Some("smb_io_base")),
            ("pci", Some("pic")),
            ("piix4_pm", Some("PIIX4_PM")),
            ("uart", None),
        ] {
            assert_eq!(nearest(wrong, valid), meant, "{wrong}");
        }
    }

    #[test]
    fn any_place_of_a_long_line_is_shown() {
        let line = "é".repeat(500);
        let mut sources = Sources::default();
        let file = sources.add("a.toml", format!("one = 1\n{line}\ntwo = 2\n{line}"));
        let text = sources.text(file);
        let places = (0..=text.len()).filter(|at| text.is_char_boundary(*at));
        let places: Vec<usize> = places.collect();
        for (index, start) in places.iter().enumerate() {
            for end in [index, index + 1, places.len() - 1] {
                let end = places[end.min(places.len() - 1)];
                let span = Span {
                    file,
                    start: *start,
                    end,
                };
                let problem = Problem::error("long", "a long line").at(span, "here");
                let shown = Report::new(sources.clone(), vec![problem]).render(false);
                let (line, column) = (
                    sources.line(span),
                    start - text[..*start].rfind('\n').map_or(0, |n| n + 1) + 1,
                );
                assert!(
                    shown.contains(&format!("a.toml:{line}:{column}]")),
                    "{span:?}\n{shown}"
                );
                assert!(
                    shown.lines().all(|line| line.chars().count() < 200),
                    "{shown}"
                );
            }
        }
    }

    #[test]
    fn both_places_are_shown_even_in_two_files() {
        let mut sources = Sources::default();
        let a = sources.add("a.toml", "one = 1\n");
        let b = sources.add("b.toml", "two = 2\n");
        let span = |file| Span {
            file,
            start: 6,
            end: 7,
        };
        let problem = Problem::error("clash", "two things clash")
            .at(span(a), "this")
            .at(span(b), "and that");
        let text = Report::new(sources, vec![problem]).render(false);
        for part in [
            "clash",
            "two things clash",
            "a.toml:1:7",
            "this",
            "b.toml:1:7",
            "and that",
        ] {
            assert!(text.contains(part), "{part} not in\n{text}");
        }
    }
}
