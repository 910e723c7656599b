//! 9P device: a folder of the host for the guest to mount (Virtio 1.2, device ID 9; the 9P2000.L messages as Linux's client sends
//! them). Which file a number of the client's stands for is known here, so that it is state; what is to be done with files the
//! folder in the slot is asked for. Left out: authentication, extended attributes, special files, and locks, which hold among the
//! guest's own programs alone.

use std::collections::VecDeque;

use solderless_model::folder::{
    Attributes, EBADF, EINVAL, EMFILE, ENAMETOOLONG, ENODATA, EOPNOTSUPP, EPERM, FileRef,
    FolderJob, LONGEST_NAME, LONGEST_PATH, hear,
};
use solderless_model::{
    Cx, Job, JobId, LONGEST_JOB, Outcome, PropError, Slot, SlotId, SlotKind, State, StateError,
};

use crate::device::{Function, Io, Names, properties};
use crate::queue::{Chain, length};

properties! {
    /// Properties of `virtio-9p-device` and `virtio-9p-pci`.
    P9Props;
    /// What the guest calls the folder: `mount -t 9p -o trans=virtio,version=9p2000.L TAG PLACE`.
    #[serde(rename = "mount_tag")]
    #[schemars(length(min = 1, max = 32))]
    mount_tag: String = "share0".to_owned(),
}

/// The tag is in the configuration (feature bit 0).
const MOUNT_TAG: u64 = 1 << 0;
const LONGEST_TAG: usize = 32;
/// Places of its queue, as QEMU's has.
const SIZE: u16 = 128;
const QUEUE: usize = 0;
/// Bytes of a message at most.
const MSIZE: u32 = LONGEST_JOB as u32;
/// A message's length, type and tag; and what an answer with data has before them.
const HEADER: usize = 7;
const DATA: u32 = HEADER as u32 + 4;
/// Numbers for files at once.
const FIDS: usize = 4096;
const SLOT: SlotId = SlotId(0);
const VERSION: &[u8] = b"9P2000.L";

// Messages; the answer to each has the next number.
const RLERROR: u8 = 7;
const TSTATFS: u8 = 8;
const TLOPEN: u8 = 12;
const TLCREATE: u8 = 14;
const TSYMLINK: u8 = 16;
const TMKNOD: u8 = 18;
const TRENAME: u8 = 20;
const TREADLINK: u8 = 22;
const TGETATTR: u8 = 24;
const TSETATTR: u8 = 26;
const TXATTRWALK: u8 = 30;
const TXATTRCREATE: u8 = 32;
const TREADDIR: u8 = 40;
const TFSYNC: u8 = 50;
const TLOCK: u8 = 52;
const TGETLOCK: u8 = 54;
const TLINK: u8 = 70;
const TMKDIR: u8 = 72;
const TRENAMEAT: u8 = 74;
const TUNLINKAT: u8 = 76;
const TVERSION: u8 = 100;
const TATTACH: u8 = 104;
const TFLUSH: u8 = 108;
const TWALK: u8 = 110;
const TREAD: u8 = 116;
const TWRITE: u8 = 118;
const TCLUNK: u8 = 120;

/// What a number of the client's stands for.
#[derive(Debug, Clone, Default, State)]
struct Fid {
    number: u32,
    path: Vec<u8>,
}

/// A message that is not answered yet.
#[derive(Debug, Clone, Default, State)]
struct Request {
    chain: Chain,
    job: JobId,
    kind: u8,
    tag: u16,
    /// The number that the answer gives a meaning, and which path.
    fid: u32,
    path: Vec<u8>,
    /// Of a file with another name: the one before.
    before: Vec<u8>,
    /// How many names are looked for.
    names: u16,
}

/// The device.
#[derive(Debug, State)]
pub struct P9 {
    #[state(skip = "properties")]
    props: P9Props,
    /// Bytes of a message at most, as agreed.
    msize: u32,
    fids: Vec<Fid>,
    requests: VecDeque<Request>,
}

/// What becomes of a message.
enum Step {
    /// An answer at once.
    Answer(Vec<u8>),
    /// One once this is done.
    Job(FolderJob),
}

/// The same, or the number of an error.
type Taken = Result<Step, u32>;

/// What is left of a message.
struct Message<'m>(&'m [u8]);

impl<'m> Message<'m> {
    fn bytes(&mut self, count: usize) -> Result<&'m [u8], u32> {
        let (bytes, rest) = self.0.split_at_checked(count).ok_or(EINVAL)?;
        self.0 = rest;
        Ok(bytes)
    }

    fn number<const N: usize>(&mut self) -> Result<u64, u32> {
        let mut bytes = [0; 8];
        bytes[..N].copy_from_slice(self.bytes(N)?);
        Ok(u64::from_le_bytes(bytes))
    }

    fn u16(&mut self) -> Result<u16, u32> {
        Ok(self.number::<2>()? as u16)
    }

    fn u32(&mut self) -> Result<u32, u32> {
        Ok(self.number::<4>()? as u32)
    }

    fn u64(&mut self) -> Result<u64, u32> {
        self.number::<8>()
    }

    fn text(&mut self) -> Result<&'m [u8], u32> {
        let length = self.u16()?;
        self.bytes(length.into())
    }
}

/// The path of a name in a folder; `..` leads up, but not out.
fn join(folder: &[u8], name: &[u8]) -> Result<Vec<u8>, u32> {
    match name {
        b".." => {
            let up = folder.iter().rposition(|byte| *byte == b'/').unwrap_or(0);
            return Ok(folder[..up].to_vec());
        }
        b"." => return Ok(folder.to_vec()),
        _ => {}
    }
    if name.is_empty() || name.contains(&b'/') || name.contains(&0) {
        return Err(EINVAL);
    }
    if name.len() > LONGEST_NAME || folder.len() + 1 + name.len() > LONGEST_PATH {
        return Err(ENAMETOOLONG);
    }
    let between: &[u8] = if folder.is_empty() { b"" } else { b"/" };
    Ok([folder, between, name].concat())
}

/// The same, where it is a new one.
fn new_name(folder: &[u8], name: &[u8]) -> Result<Vec<u8>, u32> {
    match name {
        b"." | b".." => Err(EINVAL),
        _ => join(folder, name),
    }
}

/// Whether what was loaded can be.
fn is_path(path: &[u8]) -> bool {
    let mut names = path.split(|byte| *byte == b'/');
    let plain = names.all(|name| new_name(b"", name).is_ok());
    path.is_empty() || plain && path.len() <= LONGEST_PATH
}

impl Function for P9 {
    type Props = P9Props;
    const NAMES: Names = Names {
        mmio: "virtio-9p-device",
        mmio_summary: "Virtio 9P device behind an MMIO transport: a folder of the host (Virtio 1.2)",
        pci: "virtio-9p-pci",
        pci_summary: "Virtio 9P device on PCI: a folder of the host (Virtio 1.2)",
    };
    const ID: u16 = 9;
    const PCI_CLASS: u32 = 0x00_0200;
    const CONFIG_LEN: u32 = 2 + LONGEST_TAG as u32;
    const SLOTS: &'static [Slot] = &[Slot::new("folder", SlotKind::Folder)];

    fn check(props: &P9Props) -> Result<(), PropError> {
        let tag = &props.mount_tag;
        match tag.len() <= LONGEST_TAG && tag.bytes().all(|b| b.is_ascii_graphic()) {
            true => Ok(()),
            false => Err(PropError::new(
                "mount_tag",
                "it has letters, digits and signs of ASCII alone".to_owned(),
            )),
        }
    }

    fn queues(_: &P9Props) -> Vec<u16> {
        vec![SIZE]
    }

    fn new(props: &P9Props) -> Self {
        Self {
            props: props.clone(),
            msize: MSIZE,
            fids: Vec::new(),
            requests: VecDeque::new(),
        }
    }

    /// A transport whose slot is empty has nothing behind it.
    fn is_there(&self, cx: &Cx<'_>) -> bool {
        cx.medium(SLOT).is_some()
    }

    fn features(&self, _: &Cx<'_>) -> u64 {
        MOUNT_TAG
    }

    fn config(&self, _: &Cx<'_>, _: u64) -> Vec<u8> {
        let tag = self.props.mount_tag.as_bytes();
        [&(tag.len() as u16).to_le_bytes()[..], tag].concat()
    }

    fn reset(&mut self, _: &mut Cx<'_>) {
        self.msize = MSIZE;
        self.fids.clear();
        // What the folder still does for them is done; nobody hears of it.
        self.requests.clear();
    }

    fn notified(&mut self, io: &mut Io<'_, '_>, queue: usize) {
        while let Some(chain) = io.take(queue) {
            self.begin(io, chain);
        }
    }

    fn queue_reset(&mut self, _: usize) {
        self.requests.clear();
    }

    fn restored(&mut self, _: &mut Cx<'_>, _: usize) -> Result<(), StateError> {
        let request = |request: &Request| {
            request.chain.is_sane() && is_path(&request.path) && is_path(&request.before)
        };
        let sane = self.msize <= MSIZE
            && self.fids.len() <= FIDS
            && self.fids.iter().all(|fid| is_path(&fid.path))
            && self.requests.len() <= SIZE.into()
            && self.requests.iter().all(request);
        match sane {
            true => Ok(()),
            false => Err(StateError::new("a message that nobody can have sent")),
        }
    }

    fn done(&mut self, io: &mut Io<'_, '_>, id: JobId, outcome: Outcome) {
        let place = self.requests.iter().position(|request| request.job == id);
        let Some(request) = place.and_then(|place| self.requests.remove(place)) else {
            return;
        };
        let mut answer = hear(outcome);
        if let Ok(body) = &mut answer {
            self.learn(&request, body);
            if request.kind == TATTACH {
                // The folder alone, not a list.
                body.drain(..body.len().min(2));
            }
        }
        Self::end(io, &request, answer);
    }
}

impl P9 {
    /// Takes up a message.
    fn begin(&mut self, io: &mut Io<'_, '_>, chain: Chain) {
        let room = length(&chain.writable);
        let sent = length(&chain.readable).min(MSIZE.into()) as usize;
        let mut bytes = vec![0; sent];
        if !io.read(&chain, 0, &mut bytes) {
            return;
        }
        let mut message = Message(&bytes);
        let header =
            |m: &mut Message<'_>| Ok::<_, u32>((m.u32()?, m.number::<1>()? as u8, m.u16()?));
        let (Ok((size, kind, tag)), true) = (header(&mut message), room >= DATA.into()) else {
            return io.refuse("a message without its header, or without room for an answer");
        };
        let mut request = Request {
            chain,
            kind,
            tag,
            ..Request::default()
        };
        if kind == TVERSION {
            // A new session: nobody waits for this.
            io.cx.submit(SLOT, Job::Folder(FolderJob::CloseAll));
        }
        let whole = (size as usize).checked_sub(HEADER);
        let step = match whole.and_then(|length| message.0.get(..length)) {
            Some(rest) => {
                let room = room.min(self.msize.into()) as u32 - DATA;
                self.step(&mut request, Message(rest), room)
            }
            None => Err(EINVAL),
        };
        match step {
            Ok(Step::Job(job)) => {
                request.job = io.cx.submit(SLOT, Job::Folder(job));
                self.requests.push_back(request);
            }
            Ok(Step::Answer(body)) => Self::end(io, &request, Ok(body)),
            Err(number) => Self::end(io, &request, Err(number)),
        }
    }

    /// Gives a message's chain back with an answer.
    fn end(io: &mut Io<'_, '_>, request: &Request, answer: Result<Vec<u8>, u32>) {
        let (kind, body) = match answer {
            Ok(body) => (request.kind.wrapping_add(1), body),
            Err(number) => (RLERROR, number.to_le_bytes().to_vec()),
        };
        let size = HEADER + body.len();
        let mut bytes = Vec::with_capacity(size);
        bytes.extend((size as u32).to_le_bytes());
        bytes.push(kind);
        bytes.extend(request.tag.to_le_bytes());
        bytes.extend(body);
        if io.write(&request.chain, 0, &bytes) {
            io.give(QUEUE, &request.chain, size as u32);
        }
    }

    fn place(&self, number: u32) -> Option<usize> {
        self.fids.iter().position(|fid| fid.number == number)
    }

    /// The path of a number.
    fn path(&self, number: u32) -> Result<Vec<u8>, u32> {
        let place = self.place(number).ok_or(EBADF)?;
        Ok(self.fids[place].path.clone())
    }

    /// The file of a number.
    fn file(&self, handle: u32) -> Result<FileRef, u32> {
        let path = self.path(handle)?;
        Ok(FileRef { handle, path })
    }

    /// Takes a number back.
    fn forget(&mut self, number: u32) -> Result<Vec<u8>, u32> {
        let place = self.place(number).ok_or(EBADF)?;
        Ok(self.fids.swap_remove(place).path)
    }

    /// Says what a message asks for.
    fn step(&mut self, request: &mut Request, mut m: Message<'_>, room: u32) -> Taken {
        let job = match request.kind {
            TVERSION => {
                self.msize = m.u32()?.clamp(DATA, MSIZE);
                let known = m.text()?.starts_with(VERSION);
                let version = if known { VERSION } else { b"unknown" };
                self.fids.clear();
                let mut body = self.msize.to_le_bytes().to_vec();
                body.extend((version.len() as u16).to_le_bytes());
                body.extend(version);
                return Ok(Step::Answer(body));
            }
            TATTACH => {
                request.fid = m.u32()?;
                self.fresh(request.fid)?;
                FolderJob::Walk {
                    paths: vec![Vec::new()],
                }
            }
            TFLUSH => FolderJob::Nothing,
            TWALK => return self.walk(request, m),
            TCLUNK => {
                let handle = m.u32()?;
                self.forget(handle)?;
                FolderJob::Close { handle }
            }
            TSTATFS => FolderJob::FileSystem {
                file: self.file(m.u32()?)?,
            },
            TLOPEN => FolderJob::Open {
                file: self.file(m.u32()?)?,
                flags: m.u32()?,
            },
            TLCREATE => {
                let handle = m.u32()?;
                let path = new_name(&self.path(handle)?, m.text()?)?;
                (request.fid, request.path) = (handle, path.clone());
                FolderJob::Create {
                    file: FileRef { handle, path },
                    flags: m.u32()?,
                    mode: m.u32()?,
                }
            }
            TSYMLINK => FolderJob::MakeLink {
                path: new_name(&self.path(m.u32()?)?, m.text()?)?,
                target: m.text()?.to_vec(),
            },
            TMKDIR => FolderJob::MakeFolder {
                path: new_name(&self.path(m.u32()?)?, m.text()?)?,
                mode: m.u32()?,
            },
            TLINK => {
                let folder = self.path(m.u32()?)?;
                let file = self.file(m.u32()?)?;
                let path = new_name(&folder, m.text()?)?;
                FolderJob::Link { file, path }
            }
            TRENAME => {
                let from = self.path(m.u32()?)?;
                let to = new_name(&self.path(m.u32()?)?, m.text()?)?;
                Self::rename(request, from, to)
            }
            TRENAMEAT => {
                let from = new_name(&self.path(m.u32()?)?, m.text()?)?;
                let to = new_name(&self.path(m.u32()?)?, m.text()?)?;
                Self::rename(request, from, to)
            }
            TUNLINKAT => {
                const FOLDER: u32 = 0x200;
                let path = new_name(&self.path(m.u32()?)?, m.text()?)?;
                let folder = m.u32()? & FOLDER != 0;
                FolderJob::Remove { path, folder }
            }
            TREADLINK => FolderJob::ReadLink {
                path: self.path(m.u32()?)?,
            },
            TGETATTR => FolderJob::Attributes {
                file: self.file(m.u32()?)?,
            },
            TSETATTR => {
                let file = self.file(m.u32()?)?;
                let (valid, mode) = (m.u32()?, m.u32()?);
                // Files belong to who runs this: `uid` and `gid` are not set.
                m.u64()?;
                let to = Attributes {
                    valid,
                    mode,
                    size: m.u64()?,
                    atime: (m.u64()?, m.u64()?),
                    mtime: (m.u64()?, m.u64()?),
                };
                FolderJob::SetAttributes { file, to }
            }
            TREADDIR => FolderJob::ReadFolder {
                file: self.file(m.u32()?)?,
                offset: m.u64()?,
                count: m.u32()?.min(room),
            },
            TREAD => FolderJob::Read {
                file: self.file(m.u32()?)?,
                offset: m.u64()?,
                count: m.u32()?.min(room),
            },
            TWRITE => {
                let (file, offset) = (self.file(m.u32()?)?, m.u64()?);
                let count = m.u32()?;
                FolderJob::Write {
                    file,
                    offset,
                    data: m.bytes(count as usize)?.to_vec(),
                }
            }
            TFSYNC => FolderJob::Sync {
                file: self.file(m.u32()?)?,
            },
            TXATTRWALK => {
                let (from, to) = (m.u32()?, m.u32()?);
                if !m.text()?.is_empty() {
                    return Err(ENODATA);
                }
                // The list of them is empty.
                self.fresh(to)?;
                let path = self.path(from)?;
                self.fids.push(Fid { number: to, path });
                return Ok(Step::Answer(vec![0; 8]));
            }
            TMKNOD | TXATTRCREATE => return Err(EPERM),
            TLOCK => {
                self.path(m.u32()?)?;
                return Ok(Step::Answer(vec![0]));
            }
            TGETLOCK => {
                const UNLOCKED: u8 = 2;
                self.path(m.u32()?)?;
                m.bytes(1)?;
                return Ok(Step::Answer([&[UNLOCKED], m.0].concat()));
            }
            _ => return Err(EOPNOTSUPP),
        };
        Ok(Step::Job(job))
    }

    /// A number that stands for nothing yet.
    fn fresh(&self, number: u32) -> Result<(), u32> {
        if self.place(number).is_some() {
            return Err(EBADF);
        }
        match self.fids.len() + self.requests.len() < FIDS {
            true => Ok(()),
            false => Err(EMFILE),
        }
    }

    fn walk(&mut self, request: &mut Request, mut m: Message<'_>) -> Taken {
        const MOST: u16 = 16;
        let (from, to, names) = (m.u32()?, m.u32()?, m.u16()?);
        if names > MOST {
            return Err(EINVAL);
        }
        if to != from {
            self.fresh(to)?;
        }
        let (mut at, mut paths) = (self.path(from)?, Vec::new());
        for _ in 0..names {
            at = join(&at, m.text()?)?;
            paths.push(at.clone());
        }
        (request.fid, request.path, request.names) = (to, at, names);
        if paths.is_empty() {
            // The same file under another number.
            let body = 0u16.to_le_bytes().to_vec();
            self.learn(request, &body);
            return Ok(Step::Answer(body));
        }
        Ok(Step::Job(FolderJob::Walk { paths }))
    }

    fn rename(request: &mut Request, from: Vec<u8>, to: Vec<u8>) -> FolderJob {
        (request.before, request.path) = (from.clone(), to.clone());
        FolderJob::Rename { from, to }
    }

    /// What a number stands for after an answer.
    fn learn(&mut self, request: &Request, body: &[u8]) {
        match request.kind {
            TWALK | TATTACH => {
                let found = body.first_chunk::<2>().map(|n| u16::from_le_bytes(*n));
                if request.kind == TATTACH || found == Some(request.names) {
                    let (number, path) = (request.fid, request.path.clone());
                    match self.place(number) {
                        Some(place) => self.fids[place].path = path,
                        None => self.fids.push(Fid { number, path }),
                    }
                }
            }
            TLCREATE => {
                if let Some(place) = self.place(request.fid) {
                    self.fids[place].path.clone_from(&request.path);
                }
            }
            TRENAME | TRENAMEAT => {
                for fid in &mut self.fids {
                    let rest = fid.path.strip_prefix(&request.before[..]);
                    if let Some(rest) = rest.filter(|rest| rest.is_empty() || rest[0] == b'/') {
                        fid.path = [&request.path, rest].concat();
                    }
                }
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use solderless_model::Device as _;
    use solderless_model::folder::say;
    use solderless_model::memory::Ram;
    use solderless_model::testing::exercise;

    use super::*;
    use crate::testing::{BUFFER, Device, Driver, get, lies, offered, set_up};

    const ROOM: u64 = BUFFER + 0x2000;

    fn device() -> Device<P9> {
        let mut b = Device::<P9>::new(P9Props::default());
        b.around.disks.insert(SLOT, Vec::new());
        b
    }

    fn ram(b: &Device<P9>) -> Ram {
        b.around.ram.clone().expect("set up")
    }

    fn message(kind: u8, parts: &[&[u8]]) -> Vec<u8> {
        let body = parts.concat();
        let size = (HEADER + body.len()) as u32;
        [&size.to_le_bytes()[..], &[kind, 7, 0], &body].concat()
    }

    fn text(text: &str) -> Vec<u8> {
        [&(text.len() as u16).to_le_bytes()[..], text.as_bytes()].concat()
    }

    fn number(number: u32) -> [u8; 4] {
        number.to_le_bytes()
    }

    /// Sends a message: the job that it makes, if it does.
    fn send(b: &mut Device<P9>, driver: &mut Driver, bytes: &[u8]) -> Option<FolderJob> {
        ram(b).write(BUFFER, bytes).unwrap();
        let pieces = [(BUFFER, bytes.len() as u32, false), (ROOM, 0x1000, true)];
        driver.offer(&ram(b), &pieces);
        driver.notify(b);
        match b.around.jobs.back()?.2.clone() {
            Job::Folder(job) => Some(job),
            job => panic!("{job:?}"),
        }
    }

    /// The answer that was given back: its type and what is behind the tag.
    fn answer(b: &Device<P9>, driver: &mut Driver) -> (u8, Vec<u8>) {
        let (_, written) = driver.given(&ram(b), 2).expect("it is given back");
        let mut bytes = vec![0; written as usize];
        ram(b).read(ROOM, &mut bytes).unwrap();
        assert_eq!(&bytes[..4], number(written));
        assert_eq!(&bytes[5..7], [7, 0]);
        (bytes[4], bytes[7..].to_vec())
    }

    /// Has the folder say this of the job that waits.
    fn done(b: &mut Device<P9>, said: Result<Vec<u8>, u32>) {
        let (slot, id, _) = b.around.jobs.pop_front().expect("a job");
        b.with(|d, cx| {
            let block = d.blockdev().expect("it has jobs");
            block.done(cx, slot, id, Ok(say(said)));
        });
    }

    /// A session with the folder under number 0.
    fn mounted() -> (Device<P9>, Driver) {
        let mut b = device();
        let features = offered(&mut b);
        let mut driver = set_up(&mut b, features, 8).remove(0);
        let version = message(TVERSION, &[&number(0x1000), &text("9P2000.L")]);
        assert_eq!(
            send(&mut b, &mut driver, &version),
            Some(FolderJob::CloseAll)
        );
        let agreed = [&number(0x1000)[..], &text("9P2000.L")].concat();
        assert_eq!(answer(&b, &mut driver), (TVERSION + 1, agreed));
        done(&mut b, Ok(Vec::new()));
        let attach = [
            &number(0)[..],
            &number(!0),
            &text("root"),
            &text("/"),
            &number(0),
        ];
        send(&mut b, &mut driver, &message(TATTACH, &attach));
        done(&mut b, Ok([&[1, 0][..], &[0x80; 13]].concat()));
        assert_eq!(answer(&b, &mut driver), (TATTACH + 1, vec![0x80; 13]));
        (b, driver)
    }

    fn walk(from: u32, to: u32, names: &[&str]) -> Vec<u8> {
        let count = (names.len() as u16).to_le_bytes();
        let names: Vec<u8> = names.iter().flat_map(|name| text(name)).collect();
        message(TWALK, &[&number(from), &number(to), &count, &names])
    }

    /// What the folder says where all of so many names are there.
    fn found(names: usize) -> Result<Vec<u8>, u32> {
        Ok([&(names as u16).to_le_bytes()[..], &vec![0; 13 * names]].concat())
    }

    #[test]
    fn a_driver_finds_the_folder() {
        let mut b = device();
        assert_eq!(get(&mut b, 8), 9);
        assert_eq!(get(&mut b, 0x100), u32::from_le_bytes([6, 0, b's', b'h']));
        b.around.disks.clear();
        assert_eq!(get(&mut b, 8), 0, "nothing in its slot");
    }

    #[test]
    fn numbers_stand_for_files_below_the_folder() {
        let (mut b, mut driver) = mounted();
        for (names, path) in [
            (&["a", "b"][..], "a/b"),
            (&["..", "..", "a"], "a"),
            (&["a", ".", "..", "c"], "c"),
        ] {
            let job = send(&mut b, &mut driver, &walk(0, 1, names));
            let Some(FolderJob::Walk { paths }) = job else {
                panic!("{job:?}");
            };
            assert_eq!(paths.last().unwrap(), path.as_bytes());
            done(&mut b, found(names.len()));
            assert_eq!(answer(&b, &mut driver).0, TWALK + 1);
            let job = send(
                &mut b,
                &mut driver,
                &message(TGETATTR, &[&number(1), &[0; 8]]),
            );
            let file = FileRef {
                handle: 1,
                path: path.into(),
            };
            assert_eq!(job, Some(FolderJob::Attributes { file }));
            done(&mut b, Err(2));
            assert_eq!(answer(&b, &mut driver), (RLERROR, number(2).to_vec()));
            send(&mut b, &mut driver, &message(TCLUNK, &[&number(1)]));
            done(&mut b, Ok(Vec::new()));
            assert_eq!(answer(&b, &mut driver), (TCLUNK + 1, Vec::new()));
        }
        for (bytes, error) in [
            (walk(0, 1, &["a/b"]), EINVAL),
            (walk(0, 1, &["a\0"]), EINVAL),
            (walk(0, 1, &[""]), EINVAL),
            (walk(0, 1, &[&"x".repeat(256)]), ENAMETOOLONG),
            (walk(5, 1, &["a"]), EBADF),
            (message(TMKDIR, &[&number(0), &text(".."), &[0; 8]]), EINVAL),
            (
                message(TUNLINKAT, &[&number(0), &text("."), &[0; 4]]),
                EINVAL,
            ),
            (message(TGETATTR, &[&[0; 3]]), EINVAL),
            (
                message(30, &[&number(0), &number(9), &text("user.a")]),
                ENODATA,
            ),
            (message(TMKNOD, &[&[0; 20]]), EPERM),
            (message(98, &[&[0; 20]]), EOPNOTSUPP),
        ] {
            assert_eq!(send(&mut b, &mut driver, &bytes), None, "{bytes:?}");
            assert_eq!(
                answer(&b, &mut driver),
                (RLERROR, number(error).to_vec()),
                "{bytes:?}"
            );
        }
    }

    #[test]
    fn files_with_another_name_are_the_same_files() {
        let (mut b, mut driver) = mounted();
        for (fid, names) in [(1, &["a", "b"][..]), (2, &["ab"])] {
            send(&mut b, &mut driver, &walk(0, fid, names));
            done(&mut b, found(names.len()));
            answer(&b, &mut driver);
        }
        let rename = [&number(0)[..], &text("a"), &number(0), &text("c")];
        let job = send(&mut b, &mut driver, &message(TRENAMEAT, &rename));
        let (from, to) = (b"a".to_vec(), b"c".to_vec());
        assert_eq!(job, Some(FolderJob::Rename { from, to }));
        done(&mut b, Ok(Vec::new()));
        answer(&b, &mut driver);
        assert_eq!(b.dev.function.path(1), Ok(b"c/b".to_vec()));
        assert_eq!(b.dev.function.path(2), Ok(b"ab".to_vec()));
    }

    #[test]
    fn an_answer_is_no_longer_than_what_there_is_room_for() {
        let (mut b, mut driver) = mounted();
        let read = [&number(0)[..], &[0; 8], &number(1 << 30)];
        let job = send(&mut b, &mut driver, &message(TREAD, &read));
        let Some(FolderJob::Read { count, .. }) = job else {
            panic!("{job:?}");
        };
        assert_eq!(count, 0x1000 - DATA);
    }

    #[test]
    fn what_waits_is_in_a_saved_machine() {
        let (mut b, mut driver) = mounted();
        send(&mut b, &mut driver, &walk(0, 1, &["a"]));
        let saved = b.save();
        let mut second = device();
        second.around.ram.clone_from(&b.around.ram);
        second.load(&saved, &b.around);
        assert!(second.save() == saved);
        done(&mut second, found(1));
        assert_eq!(answer(&second, &mut driver).0, TWALK + 1);
        assert_eq!(second.dev.function.path(1), Ok(b"a".to_vec()));
    }

    #[test]
    fn random_accesses_saved_state_and_rings_that_lie() {
        exercise(device);
        lies(device);
    }
}
