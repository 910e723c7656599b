//! What has to hold whatever a host does to drives on an IDE cable: they go on, make no more than a job at a time, and work after a
//! reset.

use solderless_model::testing::{Bench, Subject};
use solderless_model::{Cycle, Failure, Ide, SlotId, Transfer};
use solderless_storage::{IdeCd, IdeHd};

const DATA: u8 = 0;
const STATUS: u8 = 7;
const CONTROL: u8 = 8;
const RESET: u8 = 4;
const BUSY: u8 = 0x80;
/// Bytes of the disk and of the disc.
const CONTENT: usize = 256 << 10;

/// Does what a script says to a hard disk or, if its first byte is odd, to a drive for discs. Says whether it did something.
pub fn run(script: &[u8]) -> bool {
    let Some((which, script)) = script.split_first() else {
        return false;
    };
    match which & 1 {
        0 => drive::<IdeHd>(&mut Bench::new(Default::default()), script),
        _ => drive::<IdeCd>(&mut Bench::new(Default::default()), script),
    }
}

/// Steps of three bytes: what is done, and with what.
fn drive<D: Subject>(b: &mut Bench<D>, script: &[u8]) -> bool {
    let content = (0..CONTENT).map(|n| (n / 7) as u8).collect();
    b.around.disks.insert(SlotId(0), content);
    for [step, first, second] in script.as_chunks().0 {
        let word = u16::from_le_bytes([*first, *second]);
        let mut bytes = vec![*second; 1 + usize::from(*first) * 16];
        match step % 8 {
            0..3 => ask(b, Ide::Write(first % 9, u16::from(*second))),
            3 => ask(b, Ide::Read(first % 9)),
            4 => ask(b, Ide::Write(DATA, word)),
            5 => move_data(b, Transfer::Read(&mut bytes)),
            6 => move_data(b, Transfer::Write(&bytes)),
            // All that there is to read.
            _ if *first == 0xff => (0..0x1_0000).fold(None, |_, _| ask(b, Ide::Read(DATA))),
            _ => b
                .finish_job((first & 1 != 0).then_some(Failure::Io))
                .then_some(0),
        };
        assert!(b.around.jobs.len() <= 1, "a drive does one thing at a time");
    }
    b.finish_jobs();
    ask(b, Ide::Write(CONTROL, RESET.into()));
    ask(b, Ide::Write(CONTROL, 0));
    ask(b, Ide::Write(6, 0));
    b.finish_jobs();
    let status = ask(b, Ide::Read(STATUS)).expect("it is selected") as u8;
    assert_eq!(status & BUSY, 0, "it works again");
    script.len() >= 3
}

fn ask<D: Subject>(b: &mut Bench<D>, transfer: Ide) -> Option<u64> {
    let device = 0;
    b.cycle(Cycle::Ide { device, transfer })
}

fn move_data<D: Subject>(b: &mut Bench<D>, bytes: Transfer<'_>) -> Option<u64> {
    let moved = b.with(|d, cx| d.device_mut().ide().map(|ide| ide.dma(cx, bytes)));
    moved.map(|len| len as u64)
}
