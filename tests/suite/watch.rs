//! What somebody knows of a machine's memory who copied it once and is told which pages were written since.

use std::collections::BTreeMap;
use std::time::Duration;

use solderless::compose::{self, Options};
use solderless::machine::{Event, Fittings, Machine, Pace, Run, Watch};
use solderless_model::memory::PAGE;
use solderless_model::testing::Noise;
use solderless_model::{Engine, NEWEST};

use crate::outside::Typed;

/// A copy of memory, by section, block and page.
type Copy = BTreeMap<(String, usize), Vec<u8>>;

fn copy(machine: &Machine) -> Copy {
    let sections = machine.save(NEWEST).expect("all");
    let blocks = sections.into_iter().flat_map(|section| {
        let path = section.path;
        let blocks = section.memory.into_iter().enumerate();
        blocks.map(move |(number, ram)| {
            let mut bytes = vec![0; ram.size() as usize];
            ram.read(0, &mut bytes).expect("a block");
            ((path.clone(), number), bytes)
        })
    });
    blocks.collect()
}

/// Brings a copy up to date by what was written, and nothing else; says how many pages that was.
fn update(copy: &mut Copy, watch: &Watch, now: &Copy) -> usize {
    let mut count = 0;
    for (path, number, pages) in watch.written() {
        let place = (path.to_owned(), number);
        let (old, new) = (copy.get_mut(&place).expect("a block"), &now[&place]);
        count += pages.len();
        for page in pages {
            let start = u64::from(page) * PAGE;
            let bytes = start as usize..(start + PAGE).min(new.len() as u64) as usize;
            old[bytes.clone()].copy_from_slice(&new[bytes]);
        }
    }
    count
}

#[test]
fn a_copy_of_memory_is_kept_up_to_date_by_what_was_written() {
    let options = Options {
        set: vec![("param.ram".to_owned(), "16MiB".to_owned())],
        ..Options::default()
    };
    let loaded = compose::open(Some("malta"), &options);
    let loaded = loaded.unwrap_or_else(|e| panic!("{}", e.render(false)));
    let slot = |name: &str| loaded.plan.slots.iter().position(|s| s.name == name);
    let [bios, serial] = ["bios", "serial0"].map(|name| slot(name).expect("a slot"));
    for engine in [Engine::Interp, Engine::Jit { after: 2 }] {
        let mut images = vec![None; loaded.plan.slots.len()];
        images[bios] = Some(
            solderless::backend::rom("malta-rom-le")
                .expect("it ships")
                .to_vec(),
        );
        let fittings = Fittings {
            images,
            ..Fittings::default()
        };
        let mut machine = Machine::new(&loaded.plan, fittings).expect("a machine");
        machine.cpu().expect("a CPU").set_engine(engine);
        let mut noise = Noise(7);
        let mut watchers: Vec<_> = (0..3)
            .map(|_| (copy(&machine), machine.watch().expect("all")))
            .collect();
        let (mut most, mut least) = (0, usize::MAX);
        for _ in 0..60 {
            let typed = b"memtest 80100000 8000\rmw 80180000 5\rhelp\r";
            let run = Run {
                pace: Pace::Deterministic,
                no_reboot: false,
                max_time: Some(Duration::from_nanos(noise.below(4_000_000))),
            };
            let input = (noise.below(8) == 0).then(|| Event::Input(serial, typed.to_vec()));
            machine.run(run, &mut Typed(input.into_iter().collect()));
            // A loader writes as well.
            let at = noise.below(0x10_0000);
            machine
                .load(at, &noise.below(u64::MAX).to_le_bytes())
                .expect("memory");
            let now = copy(&machine);
            for (old, watch) in &mut watchers {
                match noise.below(6) {
                    0..3 => {}
                    5 => (*old, *watch) = (now.clone(), machine.watch().expect("all")),
                    _ => {
                        let count = update(old, watch, &now);
                        (most, least) = (most.max(count), least.min(count));
                        assert!(*old == now, "{engine:?}: a page was written unseen");
                    }
                }
            }
        }
        assert!(
            least < 10 && most > 10 && most < 200,
            "{least} to {most} pages"
        );
    }
}
