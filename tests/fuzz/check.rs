//! What has to hold whatever the texts are: there is a plan, or a report that can be shown; and what can be made of a plan
//! without building it can be made.

use std::fs;
use std::path::Path;

use solderless::board::write;
use solderless::compose::{self, Options};
use solderless::diagnostics::Report;
use solderless::picture::{Format, export};

/// What there can be besides the board, with its file.
const FILES: [(&str, &str); 5] = [
    ("base", "base.toml"),
    ("soc", "chips/soc.toml"),
    ("uarts", "chips/uarts.toml"),
    ("overlay", "overlay.toml"),
    ("run", "run.toml"),
];

/// Checks a board, in a folder for its files. After a line `#--- NAME` comes another file than the board's: `base`, beside
/// it; `soc` and `uarts`, two chips; `overlay`, which then lies over it; `run`, which then runs it. Lines `#set PATH=VALUE` are
/// settings. Says whether the text has this form.
pub fn plan(folder: &Path, text: &str) -> bool {
    fs::create_dir_all(folder.join("chips")).expect("a folder");
    for (_, file) in FILES {
        let _ = fs::remove_file(folder.join(file));
    }
    let mut parts = text.split("#--- ");
    let own = parts.next().unwrap_or_default();
    let mut options = Options::default();
    for part in parts {
        let (name, text) = part.split_once('\n').unwrap_or((part, ""));
        let Some((_, file)) = FILES.iter().find(|(other, _)| *other == name) else {
            return false;
        };
        let path = folder.join(file);
        fs::write(&path, text).expect("a file");
        match name {
            "overlay" => options.overlays = vec![path],
            "run" => options.run_file = Some(path),
            _ => {}
        }
    }
    let settings = own
        .lines()
        .filter_map(|line| line.strip_prefix("#set ")?.split_once('='));
    options.set = settings
        .map(|(path, value)| (path.to_owned(), value.to_owned()))
        .collect();
    let path = folder.join("board.toml");
    fs::write(&path, own).expect("a file");
    match compose::open(path.to_str(), &options) {
        Err(report) => {
            assert!(report.has_errors());
            shows(&report);
        }
        Ok(loaded) => {
            assert!(!loaded.report.has_errors());
            shows(&loaded.report);
            let plan = &loaded.plan;
            assert!(!plan.to_string().is_empty());
            for format in [Format::Dot, Format::Json, Format::Mermaid, Format::Svg] {
                assert!(!export(plan, format).is_empty());
            }
            let shown = write::board(&loaded.board, &loaded.report.sources);
            match compose::load_text("shown", &shown, &Options::default()) {
                Ok((again, _)) => assert!(again == *plan, "{shown}\n{again}\nis not\n{plan}"),
                Err(report) => panic!("{shown}\n{report}"),
            }
        }
    }
    true
}

/// Every problem points into its text, at whole characters, and can be shown.
fn shows(report: &Report) {
    for problem in &report.problems {
        for label in &problem.labels {
            let text = report.sources.text(label.span.file);
            let part = text.get(label.span.start..label.span.end);
            assert!(part.is_some(), "{problem:?} points outside its text");
        }
    }
    assert_eq!(report.render(false).is_empty(), report.problems.is_empty());
}
