//! Debian and U-Boot on Malta's Ethernet controller, and behind it the network `user`.

use std::fs;
use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::thread;

use solderless_testing::emulator::Emulator;
use solderless_testing::{Console, Endian, guests, installed};

const PROGRAM: &str = env!("CARGO_BIN_EXE_solderless");
const PROMPT: &str = "~ # ";

/// Does this with everybody who connects, one beside the other; returns the port.
fn serve(work: impl Fn(TcpStream) -> io::Result<()> + Clone + Send + 'static) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("its number").port();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let (stream, work) = (stream.expect("somebody asks"), work.clone());
            // A guest that breaks off is not what is tested.
            thread::spawn(move || drop(work(stream)));
        }
    });
    port
}

/// Sends the files of a folder by HTTP.
fn send_files(folder: &Path) -> u16 {
    let folder = folder.to_owned();
    serve(move |mut stream| {
        let mut asked = Vec::new();
        while !asked.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte)?;
            asked.extend(byte);
        }
        let asked = String::from_utf8_lossy(&asked).into_owned();
        let name = asked.split_whitespace().nth(1).unwrap_or_default();
        let (status, content) = match fs::read(folder.join(name.trim_start_matches(['.', '/']))) {
            Ok(content) => ("200 OK", content),
            Err(_) => ("404 Not Found", Vec::new()),
        };
        let length = content.len();
        let head =
            format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n");
        stream.write_all(head.as_bytes())?;
        stream.write_all(&content)
    })
}

/// Bytes that compress badly, always the same.
fn noise(length: usize) -> Vec<u8> {
    let mut state = 1u32;
    let bytes = (0..length).map(|_| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    });
    bytes.collect()
}

#[test]
fn uboot_loads_files() {
    const PROMPT: &str = "maltael # ";
    let Some(image) = guests::uboot() else { return };
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("kernel"), noise(300_000)).expect("a file");
    let net = format!("user,bootfile=kernel,tftp={}", folder.path().display());
    let emulator = Emulator::ours_with(PROGRAM, "malta").ram(256);
    let emulator = emulator.firmware(&image, Endian::Little);
    let mut console = Console::start(emulator.args(["--net", &net]).command());
    console.expect(PROMPT);
    // The name of the file comes with the address.
    let loaded = console.run("dhcp 0x80200000", PROMPT);
    for words in [
        "DHCP client bound to address 10.0.2.15",
        "Filename 'kernel'",
        "Bytes transferred = 300000 (493e0 hex)",
    ] {
        assert!(loaded.contains(words), "{words}: {loaded}");
    }
    let alive = console.run("ping 10.0.2.2", PROMPT);
    assert!(alive.contains("host 10.0.2.2 is alive"), "{alive}");
    let sum = console.run("crc32 0x80200000 0x493e0", PROMPT);
    assert!(sum.trim_end().ends_with("==> 8a54f339"), "{sum}");
    let missing = console.run("tftpboot 0x80200000 nothing", PROMPT);
    assert!(missing.contains("there is no such file"), "{missing}");
}

#[test]
fn uboot_is_on_a_cable_to_an_interface_of_the_host() {
    const PROMPT: &str = "maltael # ";
    /// An interface, in a network that nobody else is in, and then a program.
    const THERE: &str = "ip tuntap add tap0 mode tap && ip address add 10.9.0.1/24 dev tap0 && ip link set tap0 up && exec \"$@\"";
    let Some(image) = guests::uboot() else { return };
    let mut own = Command::new("unshare");
    own.args(["-rn", "sh", "-c"]);
    let mut test = Command::new("unshare");
    let test = test
        .args(["-rn", "ip", "tuntap", "add", "tap0", "mode", "tap"])
        .output();
    if !test.is_ok_and(|test| test.status.success()) {
        println!("skipped: this host lets nobody have a network of his own");
        return;
    }
    let emulator = Emulator::ours_with(PROGRAM, "malta").ram(256);
    let emulator = emulator.firmware(&image, Endian::Little);
    let emulator = emulator.args(["--net", "tap:tap0"]).command();
    own.args([THERE, "sh"])
        .arg(emulator.get_program())
        .args(emulator.get_args());
    let mut console = Console::start(own);
    console.expect(PROMPT);
    console.run("setenv ipaddr 10.9.0.2", PROMPT);
    let alive = console.run("ping 10.9.0.1", PROMPT);
    assert!(alive.contains("host 10.9.0.1 is alive"), "{alive}");
    let dead = console.run("ping 10.9.0.3", PROMPT);
    assert!(dead.contains("host 10.9.0.3 is not alive"), "{dead}");
}

/// A repository of Debian's kind with one package, `greeting`, which has the program of that name.
fn repository(folder: &Path) {
    let tree = folder.join("tree");
    let write = |path: &str, content: &str| {
        let path = tree.join(path);
        fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        fs::write(path, content).expect("a file");
    };
    let control = "Package: greeting\nVersion: 1.0\nArchitecture: all\nMaintainer: nobody <nobody@example.org>\nDescription: says hello\n";
    write("DEBIAN/control", control);
    write("usr/bin/greeting", "#!/bin/sh\necho hello from a package\n");
    let run = |command: &mut Command| {
        let output = command.output().expect("a tool of Debian's");
        assert!(output.status.success(), "{output:?}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    run(Command::new("chmod").arg("-R").arg("a+rX").arg(&tree));
    run(Command::new("chmod")
        .arg("a+x")
        .arg(tree.join("usr/bin/greeting")));
    let deb = folder.join("greeting.deb");
    run(Command::new("dpkg-deb")
        .args(["--root-owner-group", "-Zgzip", "--build"])
        .args([&tree, &deb]));
    let sum = run(Command::new("sha256sum").arg(&deb));
    let sum = sum.split(' ').next().expect("a sum");
    let size = fs::metadata(&deb).expect("a file").len();
    let packages = format!("{control}Filename: ./greeting.deb\nSize: {size}\nSHA256: {sum}\n");
    fs::write(folder.join("Packages"), packages).expect("a file");
}

/// Opens connections from the guest, many at once and one after the other, each of which brings back what it sends.
const CONNECT: &str = r#"use IO::Socket::INET;
my ($port, $at_once, $in_turn) = @ARGV;
sub opened { IO::Socket::INET->new(PeerAddr => "10.0.2.2:$port") or die "connect: $@\n" }
sub answer { my ($s, $n) = @_; shutdown($s, 1); local $/; my $got = <$s>; $got eq "number $n\n" or die "$n: $got\n" }
my @all = map { opened() } 1 .. $at_once;
for my $n (0 .. $#all) { $all[$n]->print("number $n\n"); $all[$n]->flush }
answer($all[$_], $_) for 0 .. $#all;
for my $n (1 .. $in_turn) { my $s = opened(); $s->print("number $n\n"); $s->flush; answer($s, $n) }
print "all answered\n";
"#;

/// What somebody does who works in a Debian that is on the network.
#[test]
fn debian_installs_a_package_and_lets_in_who_comes_by_ssh() {
    let Some(installed) = installed::disk() else {
        return;
    };
    if !guests::tool("ssh", "openssh-client") {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    repository(folder.path());
    fs::write(folder.path().join("connect.pl"), CONNECT).expect("a file");
    let files = send_files(folder.path());
    let echo = serve(|mut stream| {
        let mut back = stream.try_clone()?;
        io::copy(&mut stream, &mut back)?;
        back.shutdown(std::net::Shutdown::Write)
    });
    let free = TcpListener::bind("127.0.0.1:0").expect("a port");
    let ssh = free.local_addr().expect("its number").port();
    drop(free);
    let disk = format!("{},snapshot", installed.disk.display());
    let net = format!("user,hostfwd=tcp::{ssh}-:22,name=repository.test=10.0.2.2");
    let emulator = Emulator::ours_with(PROGRAM, "malta").ram(256);
    let emulator = emulator.args(["--disk", &disk, "--net", &net]);
    let append = format!("{} modules=mii,pcnet32", installed::APPEND);
    let mut console = Console::start(emulator.linux(&installed.linux, &append).command());
    console.expect("malta login: ");
    console.send("root\r");
    console.expect(installed::PROMPT);
    let mut run = |command: &str| console.run(command, installed::PROMPT);
    let lease = run("ip link set eth0 up; busybox udhcpc -n -q -i eth0 2>&1");
    assert!(lease.contains("lease of 10.0.2.15 obtained"), "{lease}");

    let source = format!("deb [trusted=yes] http://repository.test:{files}/ ./");
    run(&format!("echo '{source}' > /etc/apt/sources.list"));
    let update = run("apt-get -q update 2>&1; echo status $?");
    assert!(update.ends_with("status 0\n"), "{update}");
    let install = run("apt-get -q -y install greeting 2>&1; echo status $?");
    assert!(install.ends_with("status 0\n"), "{install}");
    assert_eq!(run("greeting"), "hello from a package\n");

    run(&format!(
        "busybox wget -q http://repository.test:{files}/connect.pl"
    ));
    assert_eq!(
        run(&format!("perl connect.pl {echo} 100 50")),
        "all answered\n"
    );
    let both_ways = format!(
        "head -c 2000000 /dev/urandom > f; md5sum < f; busybox nc 10.0.2.2 {echo} < f | md5sum"
    );
    let sums = run(&both_ways);
    let (there, back) = sums.trim().split_once('\n').expect("two sums");
    assert_eq!(there, back);

    run("mkdir -p /etc/dropbear; dropbear -R -B");
    let mut client = Command::new("ssh");
    client.args([
        "-F",
        "none",
        "-o",
        "StrictHostKeyChecking=no",
        "-o",
        "UserKnownHostsFile=/dev/null",
    ]);
    client.args([
        "-o",
        "LogLevel=ERROR",
        "-o",
        "BatchMode=yes",
        "-o",
        "ConnectTimeout=120",
        // It ends where the guest does not answer any more.
        "-o",
        "ServerAliveInterval=60",
    ]);
    client.args([
        "-p",
        &ssh.to_string(),
        "root@127.0.0.1",
        "cat /etc/hostname; greeting",
    ]);
    let said = client.output().expect("a client");
    assert_eq!(
        String::from_utf8_lossy(&said.stdout),
        "malta\nhello from a package\n",
        "{said:?}"
    );
}

#[test]
fn debian_gets_an_address_and_files() {
    let words = [
        "PCnet/FAST III 79C973 at ",
        "52:54:00:12:34:56",
        "link up, 100Mbps, full-duplex",
    ];
    gets_an_address_and_files(
        Emulator::ours_with(PROGRAM, "malta").args(["--net", "user"]),
        "pcnet32",
        &words,
    );
}

#[test]
fn so_it_does_on_a_virtio_card_in_a_connector() {
    let emulator = Emulator::ours_with(PROGRAM, "malta-virtio");
    let emulator = emulator.args(["--backend", "vnet0=user", "--backend", "rng0=random"]);
    let mut console = gets_an_address_and_files(emulator, "virtio_net", &[]);
    // Beside it is a source of entropy.
    if let Some(console) = &mut console {
        let read =
            "modprobe virtio-rng; mknod /dev/hwrng c 10 183; head -c 1000 /dev/hwrng | wc -c";
        assert_eq!(console.run(read, PROMPT).trim(), "1000");
    }
}

#[test]
fn so_it_does_on_an_e1000_in_a_connector() {
    let folder = tempfile::tempdir().expect("a folder");
    let board = folder.path().join("board.toml");
    std::fs::write(&board, E1000).expect("a board");
    let emulator = Emulator::ours_with(PROGRAM, board.to_str().expect("a path"));
    let emulator = emulator.args(["--backend", "card0=user"]);
    let words = [
        "Intel(R) PRO/1000 Network Driver",
        "52:54:00:12:34:58",
        "Link is Up 1000 Mbps Full Duplex",
    ];
    gets_an_address_and_files(emulator, "e1000", &words);
}

const E1000: &str = r#"
[board]
name = "malta-e1000"
summary = "Malta with a Gigabit Ethernet card"
extends = "malta"
delete = ["dev.slot1.pci-slot"]
[slot]
card0 = { kind = "netdev", default = "null" }
[dev.slot1]
irq.intx = "piix4[pirq.0]"
backend.netdev = "card0"
[dev.slot1.e1000]
mac = "52:54:00:12:34:58"
"#;

/// Debian on a network card with a driver that says these words.
fn gets_an_address_and_files(emulator: Emulator, module: &str, words: &[&str]) -> Option<Console> {
    let linux = guests::linux()?;
    let content = noise(4 << 20);
    let folder = tempfile::tempdir().expect("a folder");
    let copy = folder.path().join("file");
    std::fs::write(&copy, &content).expect("a file");
    let sum = Command::new("md5sum").arg(&copy).output().expect("md5sum");
    let sum = String::from_utf8_lossy(&sum.stdout);
    let port = send_files(folder.path());
    let emulator = emulator
        .ram(256)
        .linux(&linux, "console=ttyS0 rdinit=/bin/sh");
    let mut console = Console::start(emulator.command());
    console.expect(PROMPT);
    let load = match module.starts_with("virtio") {
        true => "modprobe virtio_pci && ",
        false => "",
    };
    for command in [
        "stty columns 400; dmesg -n 1",
        "mount -t proc p /proc; mount -t sysfs s /sys",
        &format!("{load}modprobe {module} && ip link set eth0 up"),
    ] {
        assert_eq!(console.run(command, PROMPT), "", "{command}");
    }
    let driver = console.run(&format!("dmesg | grep {module}"), PROMPT);
    for words in words {
        assert!(driver.contains(words), "{words}: {driver}");
    }
    let lease = console.run("udhcpc -n -q -i eth0 2>&1", PROMPT);
    assert!(
        lease.contains("lease of 10.0.2.15 obtained from 10.0.2.2"),
        "{lease}"
    );
    let ping = console.run("ping -c 3 -s 4000 10.0.2.2", PROMPT);
    assert!(
        ping.contains("3 packets received, 0% packet loss"),
        "{ping}"
    );
    let file = format!("wget -q -O - http://10.0.2.2:{port}/file | md5sum");
    let there = console.run(&file, PROMPT);
    assert_eq!(there.split(' ').next(), sum.split(' ').next());
    let refused = console.run("wget -O - http://10.0.2.2:1/ 2>&1", PROMPT);
    assert!(refused.contains("Connection refused"), "{refused}");
    Some(console)
}
