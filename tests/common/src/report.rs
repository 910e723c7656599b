//! What the benchmarks print, and how they sum up several runs.

use std::process::Command;

/// Says what is measured, with what, and how busy the host is.
pub fn heading(what: &str) {
    let version = Command::new("qemu-system-mipsel")
        .arg("--version")
        .output()
        .ok()
        .and_then(|o| {
            Some(
                String::from_utf8_lossy(&o.stdout)
                    .lines()
                    .next()?
                    .to_owned(),
            )
        })
        .unwrap_or_default();
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load = load.split(' ').next().unwrap_or("unknown");
    println!("{what}");
    println!("{version}; {cores} host cores, load {load} before the first run\n");
}

/// Whether a name is among those that the command line asks for; it asks for all if it has none.
pub fn wanted() -> impl Fn(&str) -> bool {
    // Whatever else cargo hands over begins with a dash.
    let arguments = std::env::args().skip(1);
    let names: Vec<String> = arguments.filter(|a| !a.starts_with('-')).collect();
    move |name| names.is_empty() || names.iter().any(|n| name.contains(n.as_str()))
}

/// Prints rows in columns: the first to the left, the others to the right.
pub fn table(rows: &[Vec<String>]) {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        cells
            .map(|cell: &String| cell.chars().count())
            .max()
            .unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    for row in rows {
        let cells = row.iter().zip(&widths).enumerate();
        let cells = cells.map(|(column, (cell, &width))| match column {
            0 => format!("{cell:<width$}"),
            _ => format!("{cell:>width$}"),
        });
        println!("{}", cells.collect::<Vec<_>>().join("  ").trim_end());
    }
}

/// A row of a table.
pub fn row<const N: usize>(cells: [&str; N]) -> Vec<String> {
    cells.map(str::to_owned).to_vec()
}

/// The middle one of some values, or the upper of two.
///
/// # Panics
/// There is none.
pub fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// The geometric mean of some ratios.
pub fn geometric_mean(ratios: &[f64]) -> f64 {
    let logarithms: f64 = ratios.iter().map(|r| r.ln()).sum();
    (logarithms / ratios.len() as f64).exp()
}

/// Whether a target was reached, in a word.
pub fn verdict(reached: bool) -> &'static str {
    if reached { "reached" } else { "MISSED" }
}
