//! A run without a machine, until the monitor says what to make.

use std::cell::OnceCell;
use std::path::PathBuf;

use anyhow::{Result, bail};

use super::super::{Unbuildable, restore, told};
use super::{Args, fit, monitors, options, pace, start, with_run_file};
use crate::compose::{self, Loaded, Options};
use crate::monitor::{Made, Maker, Sessions, Trail, Wish, Wished};

/// A board with nothing on it, which is there until the monitor says what to make.
const NOTHING: &str = "[board]\nname = \"none\"\n";

/// Runs without a machine, until the monitor says what to make.
pub fn wait(args: &Args) -> Result<u8> {
    for (option, given) in [
        ("--log-events", args.log_events.is_some()),
        ("--replay-events", args.replay_events.is_some()),
        ("--gdb", args.gdb.is_some()),
        ("-s", args.gdb_1234),
    ] {
        if given {
            bail!("{option}: there is no machine yet: name a board");
        }
    }
    let nothing = compose::open_text("none.toml", NOTHING, &Options::default());
    let nothing = nothing.map_err(Unbuildable)?;
    let made = OnceCell::new();
    let maker: Maker<'_> =
        Box::new(|wish, sessions| make(args, &made, wish, sessions).map_err(|e| told(&e)));
    let mut idle = args.clone();
    (idle.trace, idle.trace_to, idle.symbols) = Default::default();
    (idle.backend, idle.net) = Default::default();
    (idle.disk, idle.cdrom) = Default::default();
    (idle.kernel, idle.firmware, idle.initrd, idle.append) = Default::default();
    (idle.semihosting, idle.engine, idle.restore) = (false, None, None);
    start(&idle, &nothing, None, &mut None, Some(maker))
}

/// Makes the machine that the monitor asks for. What it does not say the command line has.
fn make<'a>(
    args: &Args,
    place: &'a OnceCell<Loaded>,
    wish: Wish<'_>,
    sessions: &mut Sessions,
) -> Result<Made<'a>> {
    let mut args = args.clone();
    let board = args.board.take();
    let (loaded, saved, link) = match wish {
        Wish::Board(wished) => {
            wanted(&mut args, wished);
            let options = options(&args).map_err(anyhow::Error::msg)?;
            let loaded = match (&wished.text, wished.board.as_deref().or(board.as_deref())) {
                (Some(_), Some(_)) => bail!("name a board, or give its text, not both"),
                (Some(text), None) => compose::open_text("board.toml", text, &options),
                (None, None) if args.run_file.is_none() => bail!("name a board, or give its text"),
                (None, board) => compose::open(board, &options),
            };
            (loaded.map_err(Unbuildable)?, None, None)
        }
        Wish::Stream(door) => {
            let options = options(&args).map_err(anyhow::Error::msg)?;
            let patience = &mut |_| sessions.goes_on();
            let restored = restore(door, board.as_deref(), &options, patience)?;
            let saved = (restored.stream, restored.own);
            (restored.loaded, Some(saved), restored.link)
        }
    };
    let outside = sessions.outside();
    let result = with_run_file(&args, &loaded).and_then(|args| {
        let monitors = monitors(&args)?;
        fit(&args, &loaded, saved, &monitors, outside)
    });
    let result = match (result, link) {
        (Ok(fitted), Some(link)) => link.take_over().map(|()| fitted).map_err(Into::into),
        (Err(e), Some(link)) => {
            link.refuse(&format!("{e:#}"));
            Err(e)
        }
        (result, None) => result,
    };
    let fitted = match (result, place.get()) {
        (Ok(fitted), None) => fitted,
        (result, _) => {
            // Another may come, for which the slots are empty.
            (0..loaded.plan.slots.len()).for_each(|slot| outside.unplug(slot));
            result?;
            bail!("there is a machine already");
        }
    };
    if let Some(stdio) = fitted.stdin.filter(|_| !outside.interactive()) {
        outside.gather(stdio);
    }
    Ok(Made {
        pace: pace(fitted.deterministic, outside),
        machine: fitted.machine,
        loaded: place.get_or_init(|| loaded),
        plugged: fitted.plugged,
        symbols: fitted.symbols,
        trace: fitted.trace.map(Trail),
        stands: fitted.stands,
    })
}

/// Puts what is wished in the place of what the command line says.
fn wanted(args: &mut Args, wished: &Wished) {
    let files = [
        (&mut args.firmware, &wished.firmware),
        (&mut args.kernel, &wished.kernel),
        (&mut args.initrd, &wished.initrd),
    ];
    for (ours, wished) in files {
        if let Some(wished) = wished {
            *ours = Some(wished.into());
        }
    }
    args.append = wished.append.clone().or(args.append.take());
    for (ours, wished) in [
        (&mut args.backend, &wished.backends),
        (&mut args.net, &wished.nets),
        (&mut args.disk, &wished.disks),
        (&mut args.cdrom, &wished.cdroms),
        (&mut args.layers.set, &wished.set),
    ] {
        ours.extend(wished.iter().flatten().cloned());
    }
    let overlays = wished.overlays.iter().flatten().map(PathBuf::from);
    args.layers.overlay.extend(overlays);
}
