//! Stress from inside the guest, under both engines: processes, signals, mappings, code that changes, threads, and the
//! tools and interpreters of a real system. Programs must print what they print on the host, everything else what it
//! prints in QEMU.

use std::collections::BTreeSet;
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
    r"ascii | md5sum; arch; uname -m; basename /a/b.c .c; dirname /a/b/c; realpath /bin/../tmp; printf '%05d %x %-5s|\n' 42 255 x; getopt ab:c -a -b x -- -c y; test 3 -gt 2; echo $?; [[ a = a ]] && [ b != a ] && echo both; env -i A=b; id; which awk; ash -c 'echo $((3 * 7))'",
    "head -n 400 text | unix2dos > dos; md5sum dos; dos2unix < dos | md5sum; unexpand -a dos | md5sum; egrep 'line (1|22)+ ' text; fgrep '99 of' text | wc; more dos | md5sum; less dos | md5sum; tee copy < dos | md5sum; cmp copy dos; yes abc | head -n 9; seq 5 | timeout 9 sort -r",
    r"sed 's/7/seven/' text > new; diff -u text new > change; cp text old; patch old change; cmp old new; printf '2,4d\n$s/of/OF/p\nw edited\nq\n' | ed text; md5sum edited; truncate -s 1000 new; cat new edited | md5sum; stat -c '%s %a' new; find . -name 'e*'",
    "/usr/bin/xz -0kc text > t.xz; /usr/bin/xz -0 --format=lzma -kc text > t.lzma; for c in 'xzcat t.xz' 'busybox unxz -c t.xz' 'busybox xz -dc t.xz' 'lzcat t.lzma' 'busybox unlzma -c t.lzma' 'busybox lzma -dc t.lzma'; do $c | cmp - text; done; gzip -c text | zcat | md5sum; bzip2 -c text | bzcat | md5sum",
    r#"for m in des md5; do mkpasswd -m $m -S ab$m secret; done; python3.11 -S -c 'import zipfile; z = zipfile.ZipFile("t.zip", "w", 8); z.write("text"); z.close()'; unzip -p t.zip text | cmp - text; shuf -i 1-500 | sort -n | md5sum; printf '!<arch>\n%-16s%-12d%-6d%-6d%-8o%-10d`\n%s' one/ 0 0 0 33188 6 hello! > x.a; ar p x.a; echo"#,
    r"truncate -s 2M disk; printf 'o\nn\np\n1\n\n\nw\n' | fdisk -C 4 disk | tail -n 1; hexdump -s 446 -n 66 disk",
    "i=2; while [ $i -lt 300 ]; do j=2; while [ $((j * j)) -le $i ] && [ $((i % j)) -ne 0 ]; do j=$((j + 1)); done; [ $((j * j)) -gt $i ] && printf '%d ' $i; i=$((i + 1)); done; echo",
    "for i in 1 2 3 4 5 6 7 8; do (md5sum text | cut -c $i-20 > out$i) & done; wait; cat out?; seq 400 | xargs -n 20 echo | md5sum",
    "python3.11 -S -c 'print(sum(i * i % 97 for i in range(9000)), hex(pow(3, 10 ** 6, 2 ** 521 - 1)), sorted(str(i ** 3) for i in range(300))[::50], 0.1 + 0.2)'",
    "perl -e '$h{($_ * 7919) % 1009} .= $_ for 1 .. 4000; print join(q( ), (sort { $h{$a} cmp $h{$b} } keys %h)[0 .. 9]), qq(\\n)'",
    "sqlite3 :memory: 'create table t (a integer primary key, b text); with recursive n(i) as (select 1 union all select i + 1 from n where i < 900) insert into t select i, hex(i * 7919) from n; create index i on t (b); select count(*), max(b), round(sum(a / 3.0), 3) from t join t u using (b)'",
    "head -c 60000 /usr/bin/python3.11 > part; /usr/bin/xz -c part | tee x | md5sum; /usr/bin/xz -dc x | cmp - part; /usr/bin/zstd -qc part | md5sum; strings part | md5sum",
];

/// What lists all of them.
const LIST: &str = "busybox --list";

/// Busybox's other applets. They ask something of the kernel, or need a network, a device, a package, a user, or an end.
const OTHERS: &str = "\
    acpid adjtimex arp arping blkdiscard blockdev brctl chgrp chmod chown chroot chvt clear crond crontab cttyhack \
    deallocvt depmod devmem df dmesg dnsdomainname dpkg dpkg-deb du dumpkmap dumpleases fallocate false fatattr \
    findfs free freeramdisk fsfreeze fstrim ftpget ftpput getty groups halt hostid hostname httpd hwclock i2cdetect \
    i2cdump i2cget i2cset i2ctransfer ifconfig ifdown ifup init insmod ionice ip ipneigh kill killall klogd last \
    link linux32 linux64 linuxrc ln loadfont loadkmap logger login logname logread losetup ls lsmod lsscsi mdev \
    microcom mim mkdir mkdosfs mke2fs mkfifo mknod mkswap mktemp modinfo modprobe mount mt mv nameif nc netstat \
    nologin nproc nsenter nslookup nuke openvt partprobe passwd pidof ping ping6 pivot_root poweroff ps pwd rdate \
    readlink reboot renice reset resume rm rmdir rmmod route rpm rpm2cpio run-init run-parts setkeycodes setpriv \
    setsid sh shred sleep ssl_client start-stop-daemon stty su sulogin svc svok swapoff swapon switch_root sync \
    sysctl syslogd taskset tc telnet telnetd tftp time top touch traceroute traceroute6 true ts tty tunctl ubirename \
    udhcpc udhcpd uevent umount uncompress unlink unshare uptime usleep vconfig vi watch watchdog wget who whoami";

/// What a machine prints for each of the programs and commands.
fn printed(emulator: Emulator, linux: &guests::Linux) -> Vec<String> {
    let mut console = userland::start(emulator, linux);
    let programs = PROGRAMS
        .iter()
        .map(|program| format!("/programs/{program}"));
    let commands = COMMANDS.iter().map(|command| (*command).to_owned());
    programs
        .chain(commands)
        .chain([LIST.to_owned()])
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
    let applets: BTreeSet<_> = expected[PROGRAMS.len() + COMMANDS.len()].lines().collect();
    let others: BTreeSet<_> = OTHERS.split(' ').collect();
    let gone: Vec<_> = others.difference(&applets).collect();
    assert!(gone.is_empty(), "busybox has no {gone:?}");
    let apart = |c: char| !c.is_ascii_alphanumeric() && !"_-[".contains(c);
    let tried: BTreeSet<_> = COMMANDS.iter().flat_map(|c| c.split(apart)).collect();
    let left: Vec<_> = applets
        .difference(&others)
        .filter(|a| !tried.contains(**a))
        .collect();
    assert!(left.is_empty(), "no command tries {left:?}");
}
