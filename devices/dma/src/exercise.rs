//! What no guest may break and every device must keep: random accesses, and saved state.

use proptest::collection::vec;
use proptest::prelude::any;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use solderless_model::testing::Bench;
use solderless_model::{Model, Pin, RegionId, TimerId};

/// What is done, where, and with what.
type Step = (u8, u16, u32);

/// Accesses, input changes, timers and time, small steps and large. Returns every value read.
fn disturb<D: Model>(bench: &mut Bench<D>, steps: &[Step]) -> Vec<Option<u64>> {
    let inputs: u16 = bench.interface.inputs.iter().map(|p| p.count).sum();
    let regions: Vec<u64> = bench.interface.regions.iter().map(|r| r.size).collect();
    let mut answers = Vec::new();
    for &(what, place, value) in steps {
        let index = usize::from(place) % regions.len();
        let region = RegionId(index as u8);
        let offset = u64::from(place >> 4) % regions[index];
        match what % 16 {
            0..6 => answers.push(bench.read(region, offset, 1)),
            6..12 => {
                bench.write(region, offset, 1, value.into());
            }
            12 if inputs > 0 => bench.line(Pin(place % inputs), value & 1 != 0),
            13 => answers.push(
                bench
                    .with(|d, cx| d.interrupt_acknowledge(cx))
                    .map(u64::from),
            ),
            14 => bench.with(|d, cx| d.timer(cx, TimerId((place % 4) as u8))),
            _ => {
                let step = u64::from(value) >> (place % 32);
                bench.around.now = bench.around.now.saturating_add(step);
            }
        }
    }
    answers
}

/// Random accesses never panic, and a device that was loaded from another's state is equal to it from then on.
pub fn exercise<D: Model>(new: impl Fn() -> Bench<D>) {
    let config = Config {
        cases: 64,
        failure_persistence: None,
        ..Config::default()
    };
    let rng = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    let steps = || vec(any::<Step>(), 0..400);
    TestRunner::new_with_rng(config, rng)
        .run(&(steps(), steps()), |(before, after)| {
            let mut first = new();
            disturb(&mut first, &before);
            let saved = first.save();
            let mut second = new();
            second.around.inputs = first.around.inputs;
            second.load(&saved, first.around.now);
            assert_eq!(second.save(), saved);
            first.with(|d, cx| d.restored(cx)).expect("its own state");
            assert_eq!(second.around.timers, first.around.timers);
            assert_eq!(disturb(&mut second, &after), disturb(&mut first, &after));
            assert_eq!(second.save(), first.save());
            assert_eq!(second.around.outputs, first.around.outputs);
            first.around.now = u64::MAX - 1_000_000_000;
            disturb(&mut first, &before);
            first.reset();
            Ok(())
        })
        .expect("no guest breaks it");
}
