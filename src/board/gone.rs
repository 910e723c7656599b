//! What a board took away from those that it extends: whoever still uses it is told of the `delete`.

use super::parse::path_at;
use crate::diagnostics::{Problem, Sources, Span};
use crate::toml;

/// The code of the problems that [`gather`] puts together.
const CODE: &str = "deleted";
/// Users that are shown in their text; all of the first [`NAMED`] are named.
const SHOWN: usize = 3;
/// Users that are named.
const NAMED: usize = 40;

/// What was taken away, by its name on the whole board, and where that is written.
#[derive(Debug, Clone, Default)]
pub struct Gone(Vec<(String, Span)>);

impl Gone {
    /// Notes what a `delete` named, if it has a name that others use.
    pub fn note(&mut self, path: &[String], span: Span) {
        let mut name = String::new();
        let mut rest = path;
        while let [section, key, inner @ ..] = rest {
            match (section.as_str(), inner) {
                ("chip", _) | ("dev" | "alias", []) => name = format!("{name}.{key}"),
                ("slot" | "param", []) => name = format!("{section}.{key}"),
                _ => return,
            }
            rest = inner;
        }
        if rest.is_empty() {
            let name = name.trim_start_matches('.').to_owned();
            self.0.push((name, span));
        }
    }

    /// The problem of a use of a device that was taken away, or of something in a chip that was.
    pub fn device(&self, name: &str, at: Span) -> Option<Problem> {
        self.used(at, |gone| {
            let inner = name.strip_prefix(gone);
            inner.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        })
    }

    /// The problem of a use of a slot or param (`section`) that was taken away.
    pub fn other(&self, section: &str, name: &str, at: Span) -> Option<Problem> {
        let gone = format!("{section}.{name}");
        self.used(at, |other| gone == other)
    }

    fn used(&self, at: Span, is: impl Fn(&str) -> bool) -> Option<Problem> {
        let (name, span) = self.0.iter().rev().find(|(name, _)| is(name))?;
        Some(
            Problem::error(CODE, format!("`{name}` is taken away, and still used"))
                .at(*span, "this takes it away")
                .at(at, "used here"),
        )
    }
}

/// Makes one problem of all uses of one thing that was taken away.
pub fn gather(problems: &mut Vec<Problem>, sources: &Sources) {
    let (uses, others): (Vec<_>, Vec<_>) = std::mem::take(problems)
        .into_iter()
        .partition(|problem| problem.code == CODE);
    *problems = others;
    let mut gathered: Vec<Problem> = Vec::new();
    for problem in uses {
        let same = |other: &&mut Problem| {
            (&other.message, other.labels[0].span) == (&problem.message, problem.labels[0].span)
        };
        match gathered.iter_mut().find(same) {
            Some(first) => first.labels.extend(problem.labels.into_iter().skip(1)),
            None => gathered.push(problem),
        }
    }
    for mut problem in gathered {
        problem.labels[1..].sort_by_key(|label| label.span);
        let mut users = Vec::new();
        for label in problem.labels[1..].iter().take(NAMED) {
            let path = path_at(&sources.text(label.span.file), label.span.start);
            let user = path.map(|keys| toml::path(keys.iter().take(2).map(String::as_str)));
            users.extend(user.filter(|user| !users.contains(user)));
        }
        let more = problem.labels.len() > 1 + NAMED;
        problem.help = (!users.is_empty()).then(|| {
            let more = if more { ", and more" } else { "" };
            let users = users.join(", ");
            format!(
                "it is used by {users}{more}\nsay what these use in its place, or delete them too"
            )
        });
        problem.labels.truncate(1 + SHOWN);
        problems.push(problem);
    }
}
