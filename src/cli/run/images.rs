//! What a machine starts with: firmware, kernels, and the contents of memories.

use std::io::{self, Cursor, Read, Seek};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail};
use object::ReadCache;
use solderless_model::{Interface, RegionKind, SlotKind};

use super::{Args, shown};
use crate::acpi;
use crate::backend::{self, Filling, Image};
use crate::files;
use crate::machine::{self, ImageFormat, Kernel, KernelFiles};
use crate::plan::{Boot, Plan};
use crate::registry;

pub fn boot<'a>(plan: &'a Plan, option: &str) -> Result<&'a Boot> {
    plan.boot.as_ref().ok_or_else(|| {
        anyhow!(
            "{option}: the board {} has no [boot] table, which says what to do with it; one for this board, with what is known of it:\n\n{}\n\ndocs/board-format.md says what the keys mean",
            plan.name,
            boot_table(plan)
        )
    })
}

/// A `[boot]` table for a board without one. What the board does not say is in capital letters.
fn boot_table(plan: &Plan) -> String {
    let device = |fits: &dyn Fn(&Interface) -> bool| {
        let mut devices = plan.devices.iter();
        let found = devices.find(|d| fits(&d.interface));
        found.map_or("DEVICE", |d| &d.path)
    };
    let memory = |i: &Interface| {
        let first = i.regions.first();
        i.slots.iter().all(|slot| slot.optional)
            && first.is_some_and(|r| r.kind == RegionKind::Memory)
    };
    let image = plan.slots.iter().find(|s| s.kind == SlotKind::Image);
    let cpus = plan.devices.iter().filter_map(|d| d.interface.cpu);
    let architecture = cpus
        .map(|cpu| registry::architecture(cpu.architecture))
        .next();
    let protocols = architecture.flatten().map_or(&[][..], |a| a.protocols());
    let names: Vec<_> = protocols
        .iter()
        .map(|p| format!("\"{}\"", p.name()))
        .collect();
    format!(
        "[boot]\nfirmware = \"{}\"      # the slot of the memory that the CPU starts from\nmemory = \"{}\"\ncpu = \"{}\"\nprotocol = {}\nlow-memory = \"256MiB\"  # or less",
        image.map_or("SLOT", |s| &s.name),
        device(&memory),
        device(&|i| i.cpu.is_some()),
        match &names[..] {
            [] => "\"PROTOCOL\"".to_owned(),
            [only] => only.clone(),
            [others @ .., last] => format!("{last}      # or {}", others.join(", ")),
        }
    )
}

fn read(path: &Path, most: u64) -> Result<Vec<u8>> {
    files::read(path, most).with_context(|| format!("cannot read {}", shown(path)))
}

/// The most that the memory holds whose slot this is.
fn most(plan: &Plan, slot: usize) -> u64 {
    let devices = plan.devices.iter();
    let mut devices = devices.filter(|d| d.backends.contains(&Some(slot)));
    let regions = devices
        .next()
        .map(|d| d.interface.regions.iter().map(|r| r.size));
    regions.and_then(Iterator::max).unwrap_or(0)
}

/// What a file has, and how. One that is raw has at most so much.
fn file(path: &Path, filling: Filling, most: u64) -> io::Result<(Vec<u8>, ImageFormat)> {
    let mut file = files::open(path)?;
    let mut head = Vec::new();
    (&mut file)
        .take(ImageFormat::HEAD as u64)
        .read_to_end(&mut head)?;
    let format = filling.format.unwrap_or_else(|| ImageFormat::of(&head));
    let most = match format {
        ImageFormat::Raw => most,
        _ => KERNEL_MOST,
    };
    Ok((files::read_on(&mut file, head, most)?, format))
}

/// The content of the memory whose slot this is.
pub fn content(image: &Image, plan: &Plan, slot: usize) -> Result<Vec<u8>> {
    match image {
        Image::Null => Ok(Vec::new()),
        Image::Acpi => Ok(acpi::files(plan)),
        Image::File(path, filling) => {
            let of = || format!("{} for the slot {}", shown(path), plan.slots[slot].name);
            let (bytes, format) = file(path, *filling, most(plan, slot))
                .with_context(|| format!("cannot read {}", of()))?;
            if filling.write && format != ImageFormat::Raw {
                bail!(
                    "{}: it is {format}, and what the guest writes goes to a raw image; `,format=raw` takes it as one",
                    of()
                );
            }
            machine::memory_image(bytes, format, filling.at, plan, slot).with_context(of)
        }
        Image::Rom(name) => Ok(backend::rom(name).map_err(anyhow::Error::msg)?.to_vec()),
    }
}

pub fn firmware(image: &Image, plan: &Plan, boot: &Boot) -> Result<Vec<u8>> {
    let bytes = content(image, plan, boot.firmware)?;
    let firmware =
        machine::firmware_image(&bytes, plan, boot).with_context(|| image.to_string())?;
    if firmware.changed {
        tracing::info!("{image}: the words of the image were turned");
    }
    Ok(firmware.image)
}

/// What the user names that a stub starts: a kernel, or firmware that is in memory, or both.
pub fn kernel(args: &Args, plan: &Plan, deterministic: bool) -> Result<Option<Kernel>> {
    let firmware = match &args.firmware {
        Some(path) if boot(plan, "--firmware")?.protocol.firmware_in_memory() => Some(path),
        _ => None,
    };
    let Some(path) = args.kernel.as_ref().or(firmware) else {
        let given = [
            ("--initrd", args.initrd.is_some()),
            ("--append", args.append.is_some()),
        ];
        if let Some((option, _)) = given.into_iter().find(|(_, given)| *given) {
            bail!("{option} is for a kernel: name one with --kernel");
        }
        return Ok(None);
    };
    if args.firmware.is_some() && firmware.is_none() {
        bail!("a kernel of this board boots without firmware: name one of --firmware and --kernel");
    }
    let boot = boot(plan, "--kernel")?;
    let memory = machine::main_memory(plan, boot);
    let initrd = args.initrd.as_deref();
    let initrd = initrd.map(|path| read(path, memory.size())).transpose()?;
    let open = |path: &PathBuf| {
        kernel_image(path, boot).with_context(|| format!("cannot read {}", shown(path)))
    };
    let image = args.kernel.as_ref().map(open).transpose()?;
    let firmware_image = firmware.map(open).transpose()?;
    let firmware_name = firmware.map(|path| shown(path));
    let files = KernelFiles {
        name: &shown(path),
        image: image.as_ref(),
        firmware: firmware_name.as_deref().zip(firmware_image.as_ref()),
        initrd: initrd.as_deref(),
        append: args.append.as_deref().unwrap_or(""),
        fixed_seed: deterministic,
    };
    let kernel = Kernel::new(files, plan, boot);
    match args.kernel {
        Some(_) => kernel.map(Some).with_context(|| shown(path)),
        // What is wrong with the firmware is said with its name.
        None => Ok(Some(kernel?)),
    }
}

/// The most bytes of a kernel that comes from a pipe, and of an image that is not raw.
const KERNEL_MOST: u64 = 1 << 30;
/// As many bytes tell what a file is.
const HEAD: u64 = 64;

/// A kernel's file, which may be large for its symbols. Of one that is no plain file, such as a pipe, all is read.
fn kernel_image(path: &Path, boot: &Boot) -> io::Result<ReadCache<Box<dyn Seekable>>> {
    let mut file = files::open(path)?;
    if file.metadata()?.is_file() {
        return Ok(ReadCache::new(Box::new(file)));
    }
    let mut bytes = Vec::new();
    (&mut file).take(HEAD).read_to_end(&mut bytes)?;
    // What is no kernel may have no end.
    if bytes.is_empty() || bytes.starts_with(b"\x7fELF") || boot.protocol.takes_raw() {
        bytes = files::read_on(&mut file, bytes, KERNEL_MOST)?;
    }
    Ok(ReadCache::new(Box::new(Cursor::new(bytes))))
}

trait Seekable: Read + Seek {}
impl<T: Read + Seek> Seekable for T {}
