//! Debian and U-Boot on Malta's Ethernet controller, and behind it the network `user`.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::process::Command;
use std::thread;

use solderless_testing::emulator::Emulator;
use solderless_testing::{Console, Endian, guests};

const PROGRAM: &str = env!("CARGO_BIN_EXE_solderless");
const PROMPT: &str = "~ # ";

/// Serves these bytes to everybody who asks for anything, by HTTP; returns the port.
fn serve(content: Vec<u8>) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("its number").port();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.expect("somebody asks");
            let mut asked = Vec::new();
            while !asked.ends_with(b"\r\n\r\n") {
                let mut byte = [0];
                if stream.read(&mut byte).unwrap_or(0) == 0 {
                    break;
                }
                asked.extend(byte);
            }
            let length = content.len();
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n");
            let _ = stream.write_all(head.as_bytes());
            let _ = stream.write_all(&content);
        }
    });
    port
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
    let port = serve(content);
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
