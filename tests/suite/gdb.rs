//! The debugger's way in: unmodified gdb, and packets where it can be told more exactly what is asked.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpListener;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use solderless::compose::{self, Loaded, Options};
use solderless::machine::{Fittings, Kernel, KernelFiles, Machine};
use solderless_model::Engine;
use solderless_testing::gdb::Remote;
use solderless_testing::{Endian, guests, usage};

const PROGRAM: &str = env!("CARGO_BIN_EXE_solderless");
const PATIENCE: Duration = Duration::from_secs(120);
/// Where the program counts its rounds, and where it stores what it never reads.
const ROUNDS: u64 = 0x8000_1000;
const TOTAL: u64 = 0x8000_1004;
/// Calendar time of a deterministic run.
const EPOCH: i64 = 1_704_067_200;

/// The program, which is linked at the address where a kernel is.
fn program(endian: Endian) -> Option<PathBuf> {
    guests::bare_metal("debug.S", endian, 0x8010_0000)
}

/// The address of a symbol of it.
fn symbol(program: &Path, endian: Endian, name: &str) -> u64 {
    let output = Command::new(format!("{}-nm", endian.triple()))
        .arg(program)
        .output();
    let text = String::from_utf8(output.expect("binutils").stdout).expect("text");
    let mut lines = text.lines().map(|line| line.split(' ').collect::<Vec<_>>());
    let line = lines.find(|line| line[2] == name).expect("a symbol");
    u64::from_str_radix(line[0], 16).expect("an address") & 0xffff_ffff
}

/// A machine that waits for a debugger.
struct Server {
    child: Child,
    folder: tempfile::TempDir,
}

impl Server {
    fn start(board: &str, args: &[&str]) -> Self {
        Self::start_with(board, args, Stdio::null())
    }

    /// With this on its standard input.
    fn start_with(board: &str, args: &[&str], input: Stdio) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let mut command = Command::new(PROGRAM);
        command.args(["run", board, "--gdb"]);
        command.arg(format!("unix:{}", folder.path().join("gdb").display()));
        command
            .args(args)
            .stdin(input)
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        let child = command.spawn().expect("it starts");
        let server = Self { child, folder };
        let start = Instant::now();
        while UnixStream::connect(server.socket()).is_err() {
            assert!(start.elapsed() < PATIENCE, "nobody listens");
            std::thread::sleep(Duration::from_millis(2));
        }
        server
    }

    /// Malta with the program.
    fn malta(endian: Endian, args: &[&str]) -> Option<Self> {
        let kernel = program(endian)?;
        let kernel = kernel.to_str().expect("text");
        let own = [
            "--ram",
            "16MiB",
            "--kernel",
            kernel,
            "--backend",
            "serial0=null",
            "-S",
        ];
        Some(Self::start(endian.board(), &[&own, args].concat()))
    }

    fn socket(&self) -> PathBuf {
        self.folder.path().join("gdb")
    }

    /// What it says on standard error, and its status.
    fn end(mut self) -> (String, Option<i32>) {
        let start = Instant::now();
        while self.child.try_wait().expect("a child").is_none() {
            assert!(start.elapsed() < PATIENCE, "it does not end");
            std::thread::sleep(Duration::from_millis(5));
        }
        let mut text = String::new();
        let mut errors = self.child.stderr.take().expect("a pipe");
        errors.read_to_string(&mut text).expect("text");
        (text, self.child.wait().expect("a child").code())
    }

    /// What real gdb prints that carries out these commands; `None` if there is none.
    fn gdb(&self, program: &Path, script: &str) -> Option<String> {
        if !guests::tool("gdb-multiarch", "gdb-multiarch") {
            return None;
        }
        let file = self.folder.path().join("script");
        let socket = self.socket();
        let script = format!(
            "set pagination off\nset confirm off\nset width 0\ntarget extended-remote {}\n{script}",
            socket.display()
        );
        std::fs::write(&file, script).expect("a file");
        let mut command = Command::new("gdb-multiarch");
        command
            .args(["-nx", "-q", "-batch", "-x"])
            .args([&file, program]);
        let child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let child = child.spawn().expect("gdb");
        let id = child.id();
        let (send, done) = std::sync::mpsc::channel::<()>();
        std::thread::spawn(move || {
            if done.recv_timeout(PATIENCE) == Err(std::sync::mpsc::RecvTimeoutError::Timeout) {
                let pid = rustix::process::Pid::from_raw(id as i32).expect("a process");
                let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
            }
        });
        let Output { stdout, stderr, .. } = child.wait_with_output().expect("gdb");
        drop(send);
        Some(String::from_utf8_lossy(&[stdout, stderr].concat()).into_owned())
    }

    fn client(&self) -> Client {
        Client::new(&self.socket())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// One that speaks the protocol, and knows the program's CPU.
struct Client(Remote);

impl std::ops::Deref for Client {
    type Target = Remote;
    fn deref(&self) -> &Remote {
        &self.0
    }
}

impl std::ops::DerefMut for Client {
    fn deref_mut(&mut self) -> &mut Remote {
        &mut self.0
    }
}

impl Client {
    fn new(socket: &Path) -> Self {
        let stream = UnixStream::connect(socket).expect("it listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("a socket");
        Self(Remote::new(stream))
    }

    fn ok(&mut self, text: &str) {
        assert_eq!(self.ask(text), "OK", "{text}");
    }

    /// All registers, by gdb's number.
    fn registers(&mut self, endian: Endian) -> Vec<u32> {
        let bytes = unhex(&self.ask("g"));
        let words = bytes[..4 * 38].chunks_exact(4);
        words
            .map(|word| endian.word(word.try_into().expect("four")))
            .collect()
    }

    fn register(&mut self, number: usize) -> u32 {
        self.registers(Endian::Little)[number]
    }

    fn word(&mut self, at: u64) -> u32 {
        let bytes = unhex(&self.ask(&format!("m{at:x},4")));
        u32::from_le_bytes(bytes.try_into().expect("four"))
    }

    /// Goes on to the next stop: what that is, without registers, and the address.
    fn go(&mut self) -> (String, u32) {
        let stop = self.ask("vCont;c");
        let what = stop.split(';').nth(1).unwrap_or_default().to_owned();
        (what, self.register(PC))
    }
}

/// Numbers of gdb's.
const T0: usize = 8;
const S0: usize = 16;
const PC: usize = 37;

fn unhex(text: &str) -> Vec<u8> {
    let digit = |at: usize| u8::from_str_radix(&text[at..at + 2], 16);
    let bytes = (0..text.len()).step_by(2).map(|at| digit(at).expect(text));
    bytes.collect()
}

/// The machine with the program, without a debugger.
fn unattended(endian: Endian, engine: Engine) -> Option<Machine> {
    let image = std::fs::read(program(endian)?).expect("the program");
    let options = Options {
        params: vec![("--ram", "ram", "16MiB".to_owned())],
        ..Options::default()
    };
    let loaded: Loaded = compose::open(Some(endian.board()), &options).expect("a board");
    let boot = loaded.plan.boot.as_ref().expect("it boots");
    let files = KernelFiles {
        name: "debug",
        image: Some(image.as_slice()),
        firmware: None,
        initrd: None,
        append: "",
        fixed_seed: true,
    };
    let kernel = Kernel::new(files, &loaded.plan, boot).expect("a kernel");
    let mut images = vec![None; loaded.plan.slots.len()];
    images[boot.firmware] = Some(kernel.firmware());
    let fittings = Fittings {
        images,
        kernel: Some(kernel),
        epoch: EPOCH,
        ..Fittings::default()
    };
    let mut machine = Machine::new(&loaded.plan, fittings).expect("a machine");
    assert!(machine.set_engine(engine));
    Some(machine)
}

const ENGINES: &[&str] = if cfg!(target_arch = "x86_64") {
    &["interp", "jit"]
} else {
    &["interp"]
};

/// What a deterministic run of this time comes to, with these options.
const RUN: [&str; 4] = ["--deterministic", "--state-hash", "--max-time", "40ms"];

fn hash(text: &str) -> &str {
    let line = text.lines().find(|line| line.starts_with("state "));
    line.unwrap_or_else(|| panic!("no hash in: {text}"))
}

fn unattended_hash(endian: Endian) -> Option<String> {
    let mut command = Command::new(PROGRAM);
    command.args([
        "run",
        endian.board(),
        "--ram",
        "16MiB",
        "--backend",
        "serial0=null",
    ]);
    command.arg("--kernel").arg(program(endian)?).args(RUN);
    let output = command.stdin(Stdio::null()).output().expect("it runs");
    Some(hash(&String::from_utf8_lossy(&output.stderr)).to_owned())
}

#[test]
fn gdb_debugs_a_program_and_changes_nothing() {
    for endian in Endian::BOTH {
        let Some(server) = Server::malta(endian, &RUN) else {
            return;
        };
        let program = program(endian).expect("it was built");
        let script = r#"
            break *work
            continue
            printf "first %x %d\n", $pc, $s0
            stepi
            printf "step %x %d\n", $pc, $t0
            # Code that is not there yet, and code that is translated.
            break *0x80002000
            break *0x00400000
            delete 1
            continue
            printf "later %x %d %d\n", $pc, $s0, $s4
            continue
            printf "mapped %x %d\n", $pc, $s0
            continue
            printf "later %x %d %d\n", $pc, $s0, $s4
            delete
            # Code that is rewritten each time.
            break *patch
            continue
            x/i $pc
            continue
            x/i $pc
            delete
            # gdb moves one that is in the slot of a branch.
            break *slot
            continue
            printf "slot %x\n", $pc
            delete
            watch *(int*)&rounds
            continue
            printf "round %d %x\n", *(int*)&rounds, $pc
            continue
            printf "round %d %x\n", *(int*)&rounds, $pc
            rwatch *(int*)&unread
            delete 6
            awatch *(int*)&total
            continue
            printf "total %x %d\n", $pc, $t1 == *(int*)&total
            delete
            hbreak *inner
            ignore $bpnum 1000
            continue
            printf "inner %x\n", $pc
            delete
            set $i = 0
            while $i < 300
              stepi
              set $i = $i + 1
            end
            info threads
            monitor info status
            monitor nonsense
            maintenance packet Qqemu.PhyMemMode:1
            printf "physical %d\n", *(int*)0x1000 == $s0
            maintenance packet Qqemu.PhyMemMode:0
            info registers status
            detach
        "#;
        let Some(said) = server.gdb(&program, script) else {
            return;
        };
        let at = |name: &str| symbol(&program, endian, name);
        let (work, slot, rewritten) = (at("work"), at("slot"), at("patch"));
        let store = at("round") + 0x30;
        for line in [
            format!("first {work:x} 0"),
            format!("step {:x} 200", work + 4),
            "mapped 400000 1".to_owned(),
            "later 80002000 1 1".to_owned(),
            "later 80002000 2 3".to_owned(),
            format!("=> {rewritten:#x} <patch>:\taddiu\ts3,s3,2"),
            format!("slot {:x}", slot - 4),
            format!("round 6 {store:x}"),
            "(cpu".to_owned(),
            "VM status: paused".to_owned(),
            "Error: unknown command: 'nonsense'".to_owned(),
            "physical 1".to_owned(),
            "detached".to_owned(),
        ] {
            assert!(said.contains(&line), "{endian:?}: no `{line}` in:\n{said}");
        }
        let (errors, status) = server.end();
        assert_eq!(status, Some(124), "{errors}");
        assert_eq!(
            hash(&errors),
            unattended_hash(endian).expect("it was built")
        );
    }
}

/// Every register after every instruction is what it is without a debugger.
#[test]
fn steps_are_those_of_a_machine_that_nobody_watches() {
    const STEPS: usize = 10_000;
    for (endian, engine) in [(Endian::Little, "jit"), (Endian::Big, "interp")] {
        let engine = if ENGINES.contains(&engine) {
            engine
        } else {
            "interp"
        };
        let Some(mut machine) = unattended(endian, Engine::Interp) else {
            return;
        };
        let args = [&RUN[..], &["--engine", engine]].concat();
        let server = Server::malta(endian, &args).expect("it was built");
        let mut client = server.client();
        let known: Vec<_> = {
            let cpu = machine.cpu().expect("a CPU");
            let all = cpu.registers().into_iter().enumerate();
            let known = all.filter_map(|(place, r)| Some((r.gdb?.number, place)));
            known.filter(|(number, _)| *number < 38).collect()
        };
        for step in 0..STEPS {
            let registers = client.registers(endian);
            let cpu = machine.cpu().expect("a CPU");
            for (number, place) in &known {
                let value = cpu.register(*place).expect("a register").low() as u32;
                let other = registers[usize::from(*number)];
                assert_eq!(
                    other, value,
                    "{endian:?}: register {number} after {step} steps"
                );
            }
            machine.step(1);
            let stop = client.ask("vCont;s:1");
            assert!(stop.starts_with("T05thread:01;"), "{stop}");
        }
        client.ok("D");
        let (errors, _) = server.end();
        assert_eq!(
            hash(&errors),
            unattended_hash(endian).expect("it was built")
        );
    }
}

#[test]
fn stops_are_precise_in_hot_code() {
    let endian = Endian::Little;
    for engine in ENGINES {
        let args = [&["--deterministic", "--engine", *engine][..]].concat();
        let Some(server) = Server::malta(endian, &args) else {
            return;
        };
        let program = program(endian).expect("it was built");
        let at = |name: &str| symbol(&program, endian, name) as u32;
        let mut client = server.client();
        // Long enough for all of it to be generated.
        client.send("vCont;c");
        std::thread::sleep(Duration::from_millis(300));
        client.stream.write_all(&[3]).expect("it runs");
        let stop = client.answer();
        assert!(
            stop.starts_with("T02"),
            "it spins without interrupts: {stop}"
        );
        assert!(client.word(ROUNDS) > 1000, "{engine}");

        client.ok(&format!("Z0,{:x},4", at("round")));
        assert_eq!(client.go(), ("swbreak:".to_owned(), at("round")));
        client.ok(&format!("Z1,{:x},4", at("inner")));
        for turn in (0..=200).rev() {
            assert_eq!(
                client.go(),
                ("hwbreak:".to_owned(), at("inner")),
                "{engine}"
            );
            assert_eq!(client.register(T0), turn, "{engine}");
        }
        assert_eq!(client.go().1, at("round"), "{engine}");
        client.ok(&format!("z1,{:x},4", at("inner")));
        // The slot of a branch stops only who comes there by itself.
        client.ok(&format!("z0,{:x},4", at("round")));
        client.ok(&format!("Z0,{:x},4", at("slot")));
        for _ in 0..5 {
            assert_eq!(client.go().1, at("slot"), "{engine}");
            assert_eq!(client.register(S0) % 4, 0, "{engine}");
        }
        client.ok(&format!("z0,{:x},4", at("slot")));

        // A watch point fires before the store, and nowhere else.
        client.ok(&format!("Z0,{:x},4", at("round")));
        client.go();
        let before = client.word(ROUNDS);
        client.ok(&format!("Z2,{TOTAL:x},4"));
        client.ok(&format!("Z3,{TOTAL:x},4"));
        let store = at("inner") + 4;
        for _ in 0..=200 {
            let (what, pc) = client.go();
            assert_eq!((what, pc), (format!("watch:{TOTAL:x}"), store), "{engine}");
        }
        assert_eq!(
            client.go(),
            ("swbreak:".to_owned(), at("round")),
            "{engine}"
        );
        client.ok(&format!("z2,{TOTAL:x},4"));
        assert_eq!(
            client.go(),
            ("swbreak:".to_owned(), at("round")),
            "{engine}: it is not read"
        );
        client.ok(&format!("z3,{TOTAL:x},4"));
        client.ok(&format!("Z4,{:x},2", ROUNDS + 2));
        assert_eq!(client.go().0, format!("awatch:{ROUNDS:x}"), "{engine}");
        client.ok(&format!("z4,{:x},2", ROUNDS + 2));
        assert_eq!(client.go().1, at("round"), "{engine}");
        assert_eq!(client.word(ROUNDS), before + 3, "{engine}");

        // Code that appears, is translated, and has another address too.
        client.ok(&format!("z0,{:x},4", at("round")));
        client.ok("Z0,400000,4");
        for _ in 0..4 {
            assert_eq!(client.go().1, 0x0040_0000, "{engine}");
            assert_eq!(client.register(S0) % 2, 1, "{engine}");
        }
        client.ok("z0,400000,4");
        client.ok("Z0,80003000,4");
        for _ in 0..4 {
            assert_eq!(client.go().1, 0x8000_3000, "{engine}");
            assert_eq!(client.register(S0) % 2, 0, "{engine}");
        }
        client.send("k");
        assert_eq!(server.end().1, Some(0));
    }
}

#[test]
fn several_cpus_are_threads() {
    let Some(program) = guests::bare_metal("turns.S", Endian::Little, 0x9fc0_0000) else {
        return;
    };
    let board = guests::repository().join("tests/boards/good/pair.toml");
    let server = Server::start(board.to_str().expect("text"), &["--deterministic", "-S"]);
    let script = "
        load
        set {int}0xa0001080 = 96
        thread apply all printf \"at %x\\n\", $pc
        break round
        continue
        info threads
        delete
        thread 2
        stepi
        printf \"thread %d\\n\", $_thread
        set $i = 0
        while $i < 200
          stepi
          set $i = $i + 1
        end
        watch *(int*)0x80001014
        continue
        printf \"done %d\\n\", *(int*)0x80001014
        continue
        printf \"done %d\\n\", *(int*)0x80001014
        printf \"sums %d %d\\n\", *(int*)0x80001004, *(int*)0x80001008
        kill
    ";
    let Some(said) = server.gdb(&program, script) else {
        return;
    };
    for line in [
        "at bfc00000",
        "(cpu0",
        "(cpu1",
        "thread 2",
        "done 1",
        "done 2",
        "sums 192 192",
    ] {
        assert!(said.contains(line), "no `{line}` in:\n{said}");
    }
}

#[test]
fn a_session_ends_and_another_begins() {
    let Some(server) = Server::malta(Endian::Little, &[]) else {
        return;
    };
    let program = program(Endian::Little).expect("it was built");
    let work = symbol(&program, Endian::Little, "work");
    let mut client = server.client();
    client.ok(&format!("Z0,{work:x},4"));
    assert_eq!(u64::from(client.go().1), work);
    // It stood still, and does again.
    drop(client);
    let mut client = server.client();
    assert_eq!(u64::from(client.register(PC)), work);
    client.ok("D");
    drop(client);
    // Its breakpoint is gone, and the guest went on.
    let mut client = server.client();
    let before = client.word(ROUNDS);
    client.ok("D");
    drop(client);
    let start = Instant::now();
    loop {
        let mut client = server.client();
        if client.word(ROUNDS) > before {
            break;
        }
        client.ok("D");
        assert!(start.elapsed() < PATIENCE, "it stands still");
    }
    // From here on it runs when nobody is there.
    let mut client = server.client();
    client.ok("!");
    // It starts again where the board does.
    client.send("vRun;");
    assert!(client.answer().starts_with("T05"));
    assert_eq!(client.register(PC), 0xbfc0_0000);
    client.send("vKill;1");
    assert_eq!(client.answer(), "OK");
    assert_eq!(client.register(PC), 0xbfc0_0000, "it can be run again");
}

/// Rude debuggers cost only themselves.
#[test]
fn garbage_costs_only_its_sender() {
    let Some(server) = Server::malta(Endian::Little, &[]) else {
        return;
    };
    let connect = || UnixStream::connect(server.socket()).expect("it listens");
    let garbage: [&[u8]; 8] = [
        b"GET / HTTP/1.1\r\n\r\n",
        b"$",
        b"$m0",
        b"$m0,4#00",
        b"$Z#5a$vCont;x#00$vCont;#00$#00###---+++",
        b"\xff\xfe\x00$\x03\x03\x03}",
        b"$m80000000,ffffffff#00",
        b"$QStartNoAckMode#b0$Z9,,#ff",
    ];
    for bytes in garbage {
        let mut stream = connect();
        stream.write_all(bytes).expect("it is read");
    }
    // One that leaves what it has asked for.
    let mut hung = connect();
    hung.set_write_timeout(Some(Duration::from_millis(500)))
        .expect("a socket");
    let sum = b"m80000000,3000"
        .iter()
        .fold(0u8, |sum, byte| sum.wrapping_add(*byte));
    let asking = format!("$m80000000,3000#{sum:02x}").repeat(200_000);
    let stuck = hung.write_all(asking.as_bytes());
    assert!(
        stuck.is_err_and(|e| e.kind() == ErrorKind::WouldBlock),
        "it is not read to no end"
    );
    drop(hung);
    // A packet without an end.
    let mut long = connect();
    long.write_all(b"$").expect("it is read");
    let piece = vec![b'm'; 1 << 20];
    for _ in 0..100 {
        long.write_all(&piece).expect("it is read");
    }
    drop(long);
    let memory = usage::living_memory_kib(server.child.id(), "VmHWM").expect("it runs");
    assert!(memory < 160 << 10, "{memory} KiB");
    let mut client = server.client();
    assert_eq!(client.ask("m80000000,ffffffff"), "E22");
    assert_eq!(client.ask("mffffffff00000000,4").len(), 8);
    assert_eq!(client.ask("m1c000000,4"), "E0e");
    assert_eq!(client.ask("Z0,0,4"), "OK");
    assert_eq!(client.ask("p999"), "E16");
    client.ok("Qqemu.PhyMemMode:1");
    assert_eq!(client.ask("qqemu.PhyMemMode"), "1");
    client.send("k");
    assert_eq!(server.end().1, Some(0));
}

/// The sessions of the guide, each with a machine of its own: what gdb prints there is what it prints.
#[test]
fn the_guide_shows_what_gdb_prints() {
    if !guests::tool("mipsel-linux-gnu-gcc", "gcc-mipsel-linux-gnu") {
        return;
    }
    let root = guests::repository();
    let folder = tempfile::tempdir().expect("a folder");
    let image = folder.path().join("malta-rom-le.bin");
    let mut make = Command::new("make");
    make.current_dir(root.join("machines/rom"))
        .arg(format!("OUT={}", folder.path().display()));
    let made = make.arg(&image).output().expect("make");
    assert!(
        made.status.success(),
        "{}",
        String::from_utf8_lossy(&made.stderr)
    );
    let guide = std::fs::read_to_string(root.join("docs/debugging.md")).expect("the guide");
    let sessions: Vec<_> = guide.split("```gdb\n").skip(1).collect();
    assert_eq!(sessions.len(), 2, "the sessions were not found");
    for session in sessions {
        let session = session.split("```").next().unwrap_or_default();
        let line = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
        let (mut script, mut expected) = (String::new(), Vec::new());
        for text in session.lines() {
            match text.strip_prefix("(gdb) ") {
                Some("target remote :1234") => {}
                Some(command) => script += &format!("{command}\n"),
                None => expected.push(line(text)),
            }
        }
        let typed = folder.path().join("typed");
        std::fs::write(&typed, "md.w 80000001\n").expect("a file");
        let input = std::fs::File::open(&typed).expect("a file");
        let args = ["--firmware", image.to_str().expect("text"), "-S"];
        let server = Server::start_with("malta", &args, input.into());
        let Some(said) = server.gdb(&image.with_extension("elf"), &script) else {
            return;
        };
        let said: Vec<_> = said
            .lines()
            .map(line)
            .filter(|line| !line.is_empty())
            .collect();
        assert_eq!(said, expected);
    }
}

#[test]
fn programs_are_told_when_a_debugger_stops_the_machine() {
    let folder = tempfile::tempdir().expect("a folder");
    let place = folder.path().join("qmp");
    let at = format!("unix:{},server", place.display());
    let args = ["--qmp", &at, "--backend", "serial0=null"];
    let server = Server::start("malta", &args);
    let mut program = UnixStream::connect(&place).expect("it listens");
    program.set_read_timeout(Some(PATIENCE)).expect("a socket");
    program
        .write_all(b"{\"execute\": \"qmp_capabilities\"}")
        .expect("it is read");
    let mut said = String::new();
    let mut heard = |what: &str| {
        let mut buffer = [0; 1024];
        while !said.contains(what) {
            let length = program.read(&mut buffer).expect("it says something");
            assert!(length > 0, "{said}");
            said += &String::from_utf8_lossy(&buffer[..length]);
        }
        said.clear();
    };
    heard("\"return\"");
    let mut client = server.client();
    client.ask("?");
    heard("\"STOP\"");
    client.send("vCont;c");
    heard("\"RESUME\"");
    client.stream.write_all(b"\x03").expect("it runs");
    client.answer();
    heard("\"STOP\"");
    client.ok("D");
    heard("\"RESUME\"");
}

#[test]
fn what_cannot_be_is_said() {
    let run = |args: &[&str]| {
        let mut command = Command::new(PROGRAM);
        command.args(["run"]).args(args).stdin(Stdio::null());
        let output = command.output().expect("it runs");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        (output.status.code(), said)
    };
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = taken.local_addr().expect("an address").port();
    let place = format!("tcp::{port}");
    for (args, reason) in [
        (["malta", "--gdb", &place], "cannot listen at 127.0.0.1:"),
        (
            ["malta", "--gdb", "1234"],
            "--gdb 1234: there are tcp::PORT",
        ),
        (["malta", "--gdb", "tcp:localhost"], "there are tcp::PORT"),
        (["malta", "--gdb", "tcp::99999"], "there are tcp::PORT"),
        (["malta", "--gdb", "unix:"], "there are tcp::PORT"),
    ] {
        let (status, said) = run(&args);
        assert_eq!(status, Some(2), "{args:?}: {said}");
        assert!(said.contains(reason), "{args:?}: {said}");
    }
}
