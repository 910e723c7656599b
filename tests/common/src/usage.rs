//! What a running process has used, read from `/proc`.

use std::time::Duration;

/// `/proc/PID/stat` counts in hundredths of a second on every Linux there is.
const TICK: Duration = Duration::from_millis(10);

/// User and system time of all threads of a running process.
///
/// # Panics
/// The process has gone.
pub fn cpu_time(pid: u32) -> Duration {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("the process runs");
    // The name in the second field may hold spaces; what follows it does not.
    let fields: Vec<&str> = text
        .rsplit(')')
        .next()
        .unwrap_or_default()
        .split(' ')
        .collect();
    let ticks = |index: usize| {
        fields
            .get(index)
            .and_then(|f| f.parse::<u32>().ok())
            .expect("utime and stime are numbers")
    };
    TICK * (ticks(12) + ticks(13))
}

/// A field of `/proc/PID/status` that is a number of KiB, such as `VmRSS` or `VmHWM`.
///
/// # Panics
/// The process has gone, or there is no such field.
pub fn memory_kib(pid: u32, field: &str) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("the process runs");
    let line = text
        .lines()
        .find_map(|l| l.strip_prefix(field)?.strip_prefix(':'));
    let value = line.and_then(|l| l.split_whitespace().next()?.parse().ok());
    value.unwrap_or_else(|| panic!("no {field} in {text}"))
}
