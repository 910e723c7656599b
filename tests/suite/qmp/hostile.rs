//! Clients that flood, send what is no message, stop in the middle or do not read: the guest runs on, and the next is served.

use std::io::{Read, Write};
use std::time::Duration;

use solderless_testing::usage::memory_kib;

use super::{Client, Console, PATIENCE, ROM, connect, json, machine, place};

/// How much is sent: as many connections, and as many KiB on a line. `QMP_FLOOD=1000 QMP_LINE=102400` for the whole.
fn amount(name: &str, usual: usize) -> usize {
    let amount = std::env::var(name).ok();
    amount.map_or(usual, |text| text.parse().expect("a number"))
}

#[test]
fn clients_cost_only_themselves() {
    let (folder, socket) = place();
    let monitor = folder.path().join("monitor");
    let at = format!("unix:{},server", monitor.display());
    let mut console = Console::start(machine("malta", &socket, &["--monitor", &at]));
    console.expect(ROM);
    let before = memory_kib(console.id(), "VmHWM");
    // A line that does not end; in a message, in a string, in garbage, and at the monitor.
    let line = amount("QMP_LINE", 128) << 10;
    for (path, start) in [
        (&socket, "{"),
        (&socket, "{\"a\": \""),
        (&socket, "x"),
        (&monitor, "x"),
    ] {
        let mut stream = connect(path);
        stream.set_write_timeout(Some(PATIENCE)).expect("a socket");
        stream.write_all(start.as_bytes()).expect("it is connected");
        let piece = [b'['; 1 << 16];
        for _ in 0..line / piece.len() {
            stream.write_all(&piece).expect("it is read");
        }
        console.run("help", ROM);
    }
    // One that goes on after it.
    let mut client = Client::ready(&socket);
    client.send(&vec![b'{'; (1 << 20) + 1]);
    client.send(b"\n");
    let error = client.answer();
    assert!(
        error["error"]["desc"]
            .as_str()
            .is_some_and(|d| d.contains("too long")),
        "{error}"
    );
    client.execute("query-status", json!({}));
    drop(client);
    // Nobody reads the answers.
    let mut deaf = connect(&socket);
    deaf.set_write_timeout(Some(Duration::from_millis(200)))
        .expect("a socket");
    let ask = b"{\"execute\":\"qmp_capabilities\"}{\"execute\":\"query-commands\"}".repeat(100);
    while deaf.write_all(&ask).is_ok() {}
    console.run("help", ROM);
    drop(deaf);
    // They come and go in the middle of everything.
    let mut random = 1u32;
    for _ in 0..amount("QMP_FLOOD", 20) {
        let mut stream = connect(if random & 1 == 0 { &socket } else { &monitor });
        let bytes = (0..random >> 8 & 0xfff).map(|_| {
            random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            b"{}[]\":,x \n\\\x01\xff\r"[(random >> 8) as usize % 14]
        });
        let bytes: Vec<_> = bytes.collect();
        random = random.wrapping_add(0x9e37_79b9);
        // It may have been turned away.
        let _ = stream.write_all(&bytes);
        if random & 2 != 0 {
            stream
                .set_read_timeout(Some(Duration::from_millis(5)))
                .expect("a socket");
            let _ = stream.read(&mut [0; 100]);
        }
    }
    console.run("help", ROM);
    let grown = memory_kib(console.id(), "VmHWM").saturating_sub(before);
    assert!(grown < 32 << 10, "{grown} KiB more");
    Client::ready(&socket).quit();
    assert_eq!(console.wait().code(), Some(0));
}
