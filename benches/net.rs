//! How much a network costs: TCP between Debian on Malta and a server on this host, through the network `user`, beside QEMU with the
//! same guest, card and server.
//!
//! What is compared is the user and system time of the emulator's process from a command to the prompt after it. Arguments name
//! the cards to measure.

use std::io::{self, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;

use solderless_testing::emulator::Emulator;
use solderless_testing::report::{self, median, row, verdict};
use solderless_testing::{Console, Endian, guests, usage};

/// Runs of each transfer in each emulator, in turns; their medians count.
const RUNS: usize = 3;
/// Bytes of a transfer.
const BYTES: usize = 64 << 20;
const PROMPT: &str = "~ # ";
/// What each is held to, as a part of QEMU's speed.
const TARGET: f64 = 2.0;

/// A card: QEMU's name of it, and the guest's modules for it.
const CARDS: &[(&str, &str)] = &[
    ("pcnet", "pcnet32"),
    ("e1000", "e1000"),
    ("virtio-net-pci", "virtio_pci virtio_net"),
];

/// A board with a card in a connector, and no other that a driver is loaded for.
fn board(card: &str) -> String {
    format!(
        "[board]\nname = \"bench\"\nextends = \"malta\"\ndelete = [\"dev.slot1.pci-slot\"]\n[slot]\ncard = {{ kind = \"netdev\", default = \"null\" }}\n[dev.slot1]\nirq.intx = \"piix4[pirq.0]\"\nbackend.netdev = \"card\"\n[dev.slot1.{card}]\n"
    )
}

/// Sends to who says nothing for himself and takes what others send: the port of each.
fn serve() -> io::Result<[u16; 2]> {
    let listen = || TcpListener::bind("127.0.0.1:0");
    let port = |listener: &TcpListener| listener.local_addr().map(|at| at.port());
    let (source, sink) = (listen()?, listen()?);
    let ports = [port(&source)?, port(&sink)?];
    thread::spawn(move || each(&source, |mut peer| peer.write_all(&vec![7; BYTES])));
    thread::spawn(move || {
        each(&sink, |mut peer| {
            io::copy(&mut peer, &mut io::sink()).map(drop)
        });
    });
    Ok(ports)
}

fn each(listener: &TcpListener, work: impl Fn(TcpStream) -> io::Result<()>) {
    for peer in listener.incoming().flatten() {
        // A guest that has gone away is none of the server's business.
        let _ = work(peer);
    }
}

/// Boots Debian's installer to a shell, with an address.
fn boot(emulator: Emulator, linux: &guests::Linux, modules: &str) -> Console {
    let emulator = emulator.ram(256);
    let emulator = emulator.linux(linux, "console=ttyS0 rdinit=/bin/sh");
    let mut console = Console::start(emulator.command());
    console.expect(PROMPT);
    for command in [
        "stty columns 400; dmesg -n 1; mount -t proc p /proc; mount -t sysfs s /sys",
        &format!("for m in {modules}; do modprobe $m; done; ip link set eth0 up"),
        "udhcpc -n -q -i eth0 > /dev/null 2>&1",
    ] {
        console.run(command, PROMPT);
    }
    console
}

/// Runs a command: the seconds of CPU time it took.
fn run(console: &mut Console, command: &str) -> f64 {
    let before = usage::cpu_time(console.id());
    let output = console.run(command, PROMPT);
    assert!(
        output.trim().ends_with(&BYTES.to_string()),
        "{command}: {output}"
    );
    (usage::cpu_time(console.id()) - before).as_secs_f64()
}

fn main() {
    report::heading(
        "64 MiB by TCP through the network `user`, Debian on Malta: CPU time of the emulator, median of 3 runs",
    );
    let Some(linux) = guests::linux() else { return };
    let [source, sink] = serve().expect("two ports");
    let folder = std::env::temp_dir().join(format!("solderless-net-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder");
    let commands = [
        (
            "to the guest",
            format!("nc 10.0.2.2 {source} < /dev/null | wc -c"),
        ),
        (
            "from the guest",
            format!(
                "dd if=/dev/zero bs=64k count=1024 2> /dev/null | nc 10.0.2.2 {sink} > /dev/null; echo {BYTES}"
            ),
        ),
    ];
    let wanted = report::wanted();
    let mut rows = vec![row(["", "ours", "QEMU", "speed", "target", ""])];
    for (card, modules) in CARDS.iter().filter(|(card, _)| wanted(card)) {
        let file = folder.join("board.toml");
        std::fs::write(&file, board(card)).expect("a board");
        let ours = Emulator::ours_with(env!("CARGO_BIN_EXE_solderless"), &file.to_string_lossy());
        let ours = ours.args(["--backend", "card=user"]);
        let Some(theirs) = Emulator::qemu_with(Endian::Little, "malta") else {
            return;
        };
        let nic = format!("user,model={card}");
        let theirs = theirs.args(["-vga", "none", "-nic", &nic]);
        let mut ours = boot(ours, &linux, modules);
        let mut theirs = boot(theirs, &linux, modules);
        for (direction, command) in &commands {
            let mut times = Vec::new();
            for _ in 0..RUNS {
                times.push((run(&mut ours, command), run(&mut theirs, command)));
            }
            let here = median(times.iter().map(|t| t.0));
            let there = median(times.iter().map(|t| t.1));
            let speed = there / here;
            rows.push(vec![
                format!("{card} {direction}"),
                format!("{here:.2} s"),
                format!("{there:.2} s"),
                format!("{speed:.2}×"),
                format!("≥ {TARGET}×"),
                verdict(speed >= TARGET).to_owned(),
            ]);
        }
    }
    report::table(&rows);
    // What is left there is of no use to anybody.
    let _ = std::fs::remove_dir_all(folder);
}
