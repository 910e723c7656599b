//! What a running process has used, read from `/proc`.

use std::time::Duration;

/// `/proc/PID/stat` counts in hundredths of a second on every Linux there is.
const TICK: Duration = Duration::from_millis(10);

/// User and system time of all threads of a running process.
///
/// # Panics
/// The process has gone.
pub fn cpu_time(pid: u32) -> Duration {
    times(&pid.to_string(), [12, 13])
}

/// User and system time of this process's children that have ended and were waited for.
pub fn children() -> Duration {
    times("self", [14, 15])
}

/// The sum of two fields of `/proc/PID/stat`, counted from behind the process's name.
fn times(pid: &str, fields: [usize; 2]) -> Duration {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("the process runs");
    // The name in the second field may hold spaces; what follows it does not.
    let all: Vec<&str> = text
        .rsplit(')')
        .next()
        .unwrap_or_default()
        .split(' ')
        .collect();
    let ticks = |index: usize| {
        all.get(index)
            .and_then(|f| f.parse::<u32>().ok())
            .expect("times are numbers")
    };
    TICK * fields.map(ticks).iter().sum()
}

/// A field of `/proc/PID/status` that is a number of KiB, such as `VmRSS` or `VmHWM`.
///
/// # Panics
/// The process has gone, or there is no such field.
pub fn memory_kib(pid: u32, field: &str) -> u64 {
    living_memory_kib(pid, field).unwrap_or_else(|| panic!("no {field} of process {pid}"))
}

/// As [`memory_kib`]; `None` if the process has gone.
pub fn living_memory_kib(pid: u32, field: &str) -> Option<u64> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = text
        .lines()
        .find_map(|l| l.strip_prefix(field)?.strip_prefix(':'));
    line?.split_whitespace().next()?.parse().ok()
}
