//! Stress from inside the guest, under both engines: processes, signals, mappings, code that changes, threads, and the
//! tools and interpreters of a real system. Programs must print what they print on the host, everything else what it
//! prints in QEMU.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;

use solderless_testing::emulator::Emulator;
use solderless_testing::userland::{self, PROMPT};
use solderless_testing::{Endian, guests};

const PROGRAM: &str = env!("CARGO_BIN_EXE_solderless");

/// The engines that this host has.
const ENGINES: &[&str] = if cfg!(target_arch = "x86_64") {
    &["interp", "jit"]
} else {
    &["interp"]
};

/// Programs in `tests/guests/stress`, built for the guest and for the host.
const PROGRAMS: &[&str] = &["processes", "signals", "memory", "code", "threads"];

/// Busybox's applets that compute, and programs of Debian's.
const COMMANDS: &[&str] = &[
    r#"awk 'BEGIN { for (i = 0; i < 3000; i++) { x = (x * 1103515245 + 12345) % 2147483648; printf "%d line %d of %x\n", x % 1000, i, x } }' > text; wc text"#,
    "crc32 text; md5sum text; sha1sum text; sha256sum text; sha512sum text; sha3sum text",
    "sort -n text | md5sum; sort -k 3 -r text | cut -c 1 | uniq -c; sort -u -t ' ' -k 1,1 text | wc",
    "for c in 'gzip -9' bzip2 lzop; do $c -c text > packed; wc -c < packed; case $c in gzip*) gunzip -c packed;; bzip2) bunzip2 -c packed;; *) lzop -d -c packed;; esac | cmp - text; done",
    "base64 text | md5sum; base64 text | base64 -d | cmp - text; uuencode text name | uudecode -o - | cmp - text",
    "head -c 9000 text > part; xxd part | tail -n 2; od -x part | tail -n 2; hexdump -C part | md5sum",
    r"sed -e 's/line \([0-9]*\)/<\1>/' -e 'y/abc/xyz/' -e '/7$/d' text | md5sum; grep -c '[37]$' text; grep -E '(12|34)+' text | wc -l",
    "tr a-f A-F < text | fold -w 30 | expand | cut -c 3-20 | rev | nl | md5sum; tac text | paste - text | head -n 2; tail -c 40 text",
    "sort text > a; sort -r text | head -n 2000 | sort > b; diff a b | md5sum; cmp a b",
    "echo 'scale = 60; 4 * a(1); e(1); sqrt(2); 2 ^ 521 - 1; 17 ^ 99 % 1000007' | bc -l; dc -e '2 200 ^ 3 / p 7 k 2 3 / p'",
    "factor 1000000007 4294967291 9007199254740993; expr 12345 '*' 6789 % 97; seq -w 1 3 20 | tr '\\n' ' '; cal 2 2024; date -u -d @86400000",
    "tar c text | tar x -O | cmp - text; echo text | cpio -o -H newc 2>/dev/null | cpio -t 2>/dev/null; dd if=text bs=13 skip=5 count=100 2>/dev/null | md5sum",
    "ipcalc -b -n -p 192.168.7.9/27; echo 'a b c b d a' | tr ' ' '\\n' | sort | tsort 2>&1 | wc -l",
    "i=2; while [ $i -lt 300 ]; do j=2; while [ $((j * j)) -le $i ] && [ $((i % j)) -ne 0 ]; do j=$((j + 1)); done; [ $((j * j)) -gt $i ] && printf '%d ' $i; i=$((i + 1)); done; echo",
    "for i in 1 2 3 4 5 6 7 8; do (md5sum text | cut -c $i-20 > out$i) & done; wait; cat out?; seq 400 | xargs -n 20 echo | md5sum",
    "python3.11 -S -c 'print(sum(i * i % 97 for i in range(9000)), hex(pow(3, 10 ** 6, 2 ** 521 - 1)), sorted(str(i ** 3) for i in range(300))[::50], 0.1 + 0.2)'",
    "perl -e '$h{($_ * 7919) % 1009} .= $_ for 1 .. 4000; print join(q( ), (sort { $h{$a} cmp $h{$b} } keys %h)[0 .. 9]), qq(\\n)'",
    "sqlite3 :memory: 'create table t (a integer primary key, b text); with recursive n(i) as (select 1 union all select i + 1 from n where i < 900) insert into t select i, hex(i * 7919) from n; create index i on t (b); select count(*), max(b), round(sum(a / 3.0), 3) from t join t u using (b)'",
    "head -c 60000 /usr/bin/python3.11 > part; /usr/bin/xz -c part | tee x | md5sum; /usr/bin/xz -dc x | cmp - part; /usr/bin/zstd -qc part | md5sum; strings part | md5sum",
];

/// What a machine prints for each of the programs and commands.
fn printed(emulator: Emulator, linux: &guests::Linux) -> Vec<String> {
    let mut console = userland::start(emulator, linux);
    let programs = PROGRAMS
        .iter()
        .map(|program| format!("/programs/{program}"));
    let commands = COMMANDS.iter().map(|command| (*command).to_owned());
    programs
        .chain(commands)
        .map(|command| console.run(&command, PROMPT))
        .collect()
}

fn on_the_host(program: &Path) -> String {
    let output = Command::new(program).output().expect("it was built");
    assert!(output.status.success(), "{output:?}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn a_busy_guest_prints_what_it_prints_elsewhere() {
    let source = |program: &&str| format!("tests/guests/stress/{program}.c");
    let guest = PROGRAMS.iter().map(|p| guests::linux_program(&source(p)));
    let host = PROGRAMS.iter().map(|p| guests::host_program(&source(p)));
    let (Some(files), Some(host)) = (
        guest.collect::<Option<Vec<PathBuf>>>(),
        host.collect::<Option<Vec<_>>>(),
    ) else {
        return;
    };
    let Some(linux) = userland::image("stress", &files) else {
        return;
    };
    let Some(qemu) = Emulator::qemu(Endian::Little) else {
        return;
    };
    let ours = |engine: &&str| Emulator::ours(PROGRAM, Endian::Little).args(["--engine", engine]);
    let (expected, results) = thread::scope(|scope| {
        let linux = &linux;
        let qemu = scope.spawn(move || printed(qemu, linux));
        let ours: Vec<_> = ENGINES
            .iter()
            .map(ours)
            .map(|e| scope.spawn(move || printed(e, linux)))
            .collect();
        let join = |machine: thread::ScopedJoinHandle<'_, Vec<String>>| {
            machine.join().expect("the guest answers")
        };
        (join(qemu), ours.into_iter().map(join).collect::<Vec<_>>())
    });
    for (index, command) in PROGRAMS.iter().chain(COMMANDS).enumerate() {
        let expected = match host.get(index) {
            Some(program) => &on_the_host(program),
            None => &expected[index],
        };
        // A tool that is not there would be missing everywhere alike.
        assert!(
            !expected.is_empty() && !expected.contains("not found"),
            "{command}: {expected}"
        );
        for (engine, result) in ENGINES.iter().zip(&results) {
            assert_eq!(&result[index], expected, "{command}, engine {engine}");
        }
    }
}
