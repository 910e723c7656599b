//! What has to hold whatever frames a guest sends to the network `user`: it goes on, and answers who asks for it. It reaches nothing outside
//! meanwhile.

use std::time::{Duration, Instant};

use solderless::backend::{Backend, Heard, Outside};
use solderless::machine::Event;
use solderless_model::SlotKind;

/// How long an answer may take; what hangs is found by it.
const PATIENCE: Duration = Duration::from_secs(60);
/// The frames that one input has at most: no more than the network keeps.
const FRAMES: usize = 64;
const GUEST: [u8; 6] = [0x52, 0x54, 0, 0x12, 0x34, 0x56];

/// Sends frames, each behind its length in two bytes. Says whether there was one.
pub fn send(input: &[u8]) -> bool {
    let mut outside = Outside::new().expect("signals");
    let words = "user,restrict=on,tftp=.,name=here=10.0.2.2";
    let Ok(Backend::Netdev(network)) = Backend::parse(SlotKind::Netdev, words) else {
        panic!("{words} is a network");
    };
    let sink = outside.connect(0, "net0", &network).expect("a network");
    let mut sink = sink.expect("it is one");
    let (mut rest, mut sent) = (input, 0);
    while let [low, high, more @ ..] = rest
        && sent < FRAMES
    {
        let len = usize::from(u16::from_le_bytes([*low, *high])) % 1515;
        let (frame, others) = more.split_at(len.min(more.len()));
        // A card pads what is short.
        let mut frame = frame.to_vec();
        frame.resize(frame.len().max(60), 0);
        sink.send(&frame);
        (rest, sent) = (others, sent + 1);
    }
    // Who is 10.0.2.2? Tell 10.0.2.15.
    let mut asks = [
        &[0xff; 6][..],
        &GUEST,
        &[8, 6, 0, 1, 8, 0, 6, 4, 0, 1],
        &GUEST,
    ]
    .concat();
    asks.extend([10, 0, 2, 15, 0, 0, 0, 0, 0, 0, 10, 0, 2, 2]);
    asks.resize(60, 0);
    sink.send(&asks);
    let until = Instant::now() + PATIENCE;
    loop {
        let left = until.saturating_duration_since(Instant::now());
        match outside.wait(Some(left)) {
            // An ARP reply of that address.
            Some(Heard::Event(Event::Input(0, frame)))
                if frame.get(12..14) == Some(&[8, 6])
                    && frame.get(20..22) == Some(&[0, 2])
                    && frame.get(28..32) == Some(&[10, 0, 2, 2]) =>
            {
                return sent > 0;
            }
            Some(_) => {}
            None => panic!("the network does not answer"),
        }
    }
}
