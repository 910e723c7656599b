//! RISC-V's platform-level interrupt controller.
//!
//! RISC-V Platform-Level Interrupt Controller Specification (1.0.0): sources with priorities, and contexts, which are modes of harts,
//! each with enables, a threshold and a claim register. Sources are level-triggered: their gateway lets one request through when the
//! line is high, and the next after the handler has completed that.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use solderless_model::{
    Access, BuildError, BusError, BusKind, Cx, Device, Interface, Model, Pin, Pins, PropError,
    Ranges, Region, Size, State, StateError, Wires, connections, lanes, merge, tree,
};

connections! {
    fn connections((sources, contexts, size): (u16, u16, u64)) on BusKind::System;
    region REGISTERS = Region::registers("registers", size);
    input IRQ[] = Pins::named("irq")
        .count(sources.saturating_add(1))
        .inside(&[0], "source 0 is no interrupt: the claim register says so by it");
    output TARGET[] = Pins::named("target").count(contexts);
}

/// Where registers are (chapter 3, memory map).
const PENDING: u64 = 0x1000;
const ENABLE: u64 = 0x2000;
const ENABLE_STRIDE: u64 = 0x80;
const CONTEXT: u64 = 0x20_0000;
const CONTEXT_STRIDE: u64 = 0x1000;
const THRESHOLD: u64 = 0;
const CLAIM: u64 = 4;

/// Properties of `sifive.plic`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema, Ranges)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct PlicProps {
    /// How many harts it serves.
    #[schemars(range(min = 1, max = 256))]
    pub num_harts: u16,
    /// The modes that each hart has a context for, `M`, `S` or `MS`, with commas between. The last is that of all further harts. The
    /// contexts are the outputs, in this order.
    pub hart_config: String,
    /// Sources of interrupts, the first of which is 1.
    #[schemars(range(min = 1, max = 1023))]
    pub num_sources: u16,
    /// The highest priority: a power of two less 1.
    pub num_priorities: u32,
    /// How many bytes of addresses it answers.
    pub aperture_size: Size,
}

impl Default for PlicProps {
    fn default() -> Self {
        Self {
            num_harts: 1,
            hart_config: "MS".to_owned(),
            num_sources: 96,
            num_priorities: 7,
            aperture_size: Size(0x60_0000),
        }
    }
}

impl PlicProps {
    /// How many contexts there are.
    fn contexts(&self) -> Result<u16, PropError> {
        let modes: Vec<_> = self.hart_config.split(',').collect();
        let known = |modes: &str| matches!(modes, "M" | "S" | "MS");
        if !modes.iter().copied().all(known) {
            return Err(PropError::new(
                "hart-config",
                "expected the modes of each hart, as in \"M,MS,MS\"",
            ));
        }
        if modes.len() > self.num_harts.into() {
            return Err(PropError::new(
                "hart-config",
                format!(
                    "it has the modes of more harts than the {} there are",
                    self.num_harts
                ),
            ));
        }
        let last = modes.last().into_iter().cycle();
        let all = modes.iter().chain(last).take(self.num_harts.into());
        Ok(all.map(|modes| modes.len() as u16).sum())
    }
}

/// The controller.
#[derive(Debug, State)]
pub struct Plic {
    #[state(skip = "properties")]
    props: PlicProps,
    #[state(skip = "properties")]
    contexts: u16,
    /// By source; that of source 0 is 0.
    priority: Vec<u32>,
    /// A bit for each source, 32 to a word.
    pending: Vec<u32>,
    /// Requests that a gateway has let through, and that are not completed.
    claimed: Vec<u32>,
    /// The words of the first context, then those of the next.
    enable: Vec<u32>,
    threshold: Vec<u32>,
}

impl Model for Plic {
    const TYPE: &'static str = "sifive.plic";
    const SUMMARY: &'static str = "RISC-V platform-level interrupt controller (1.0.0)";
    type Props = PlicProps;

    fn interface(props: &PlicProps) -> Result<Interface, PropError> {
        let contexts = props.contexts()?;
        let most = props.num_priorities;
        if most == 0 || most & most.wrapping_add(1) != 0 {
            return Err(PropError::new(
                "num-priorities",
                "expected a power of two less 1, such as 7",
            ));
        }
        let size = props.aperture_size.0;
        let needed = CONTEXT + CONTEXT_STRIDE * u64::from(contexts);
        if !(needed..=0x400_0000).contains(&size) || !size.is_multiple_of(4) {
            return Err(PropError::new(
                "aperture-size",
                format!("{contexts} contexts take {needed:#x} bytes; 64MiB is the most"),
            ));
        }
        let sources = props.num_sources;
        let controller = tree::Controller {
            inputs: (1..=sources).map(|n| (IRQ.nth(n), n.into())).collect(),
            below: None,
            mapped: true,
        };
        let mut node = tree::Node::new("plic", &["sifive,plic-1.0.0", "riscv,plic0"])
            .with("riscv,ndev", u32::from(sources))
            .interrupts((0..contexts).map(|context| TARGET.nth(context)));
        node.controller = Some(controller);
        Ok(connections((sources, contexts, size)).node(node))
    }

    fn build(props: PlicProps, _: Wires<'_>) -> Result<Self, BuildError> {
        let contexts = props.contexts().map_err(|e| BuildError(e.to_string()))?;
        Ok(Self::new(props, contexts))
    }
}

impl Device for Plic {
    fn reset(&mut self, cx: &mut Cx<'_>) {
        *self = Self::new(self.props.clone(), self.contexts);
        for source in 1..=self.props.num_sources {
            self.gateway(source, cx.level(IRQ.nth(source)));
        }
        self.update(cx);
    }

    fn read(&mut self, cx: &mut Cx<'_>, at: Access) -> Result<u64, BusError> {
        let register = match self.register(at.offset) {
            Some(Register::Priority(source)) => word(&self.priority, source),
            Some(Register::Pending(n)) => word(&self.pending, n),
            Some(Register::Enable(n)) => word(&self.enable, n),
            Some(Register::Threshold(context)) => word(&self.threshold, context),
            Some(Register::Claim(context)) => {
                let source = self.best(context, 0).unwrap_or(0);
                if source != 0 {
                    set(&mut self.pending, source, false);
                    set(&mut self.claimed, source, true);
                    self.update(cx);
                }
                source.into()
            }
            None => 0,
        };
        Ok(lanes(register, at.offset, at.size))
    }

    fn write(&mut self, cx: &mut Cx<'_>, at: Access, value: u64) -> Result<(), BusError> {
        let written = |register: u32| merge(register, at.offset, at.size, value);
        let highest = self.props.num_priorities;
        match self.register(at.offset) {
            Some(Register::Priority(source)) if source != 0 => {
                let priority = written(word(&self.priority, source)) & highest;
                put(&mut self.priority, source, priority);
            }
            Some(Register::Enable(n)) => {
                let there = self.sources_of(n % self.words());
                let enable = written(word(&self.enable, n)) & there;
                put(&mut self.enable, n, enable);
            }
            Some(Register::Threshold(context)) => {
                let threshold = written(word(&self.threshold, context)) & highest;
                put(&mut self.threshold, context, threshold);
            }
            Some(Register::Claim(context)) => {
                let source = u16::try_from(written(0)).unwrap_or(0);
                let words = self.words();
                let enables = &self.enable[context * words..(context + 1) * words];
                // Whoever has not enabled it cannot complete it.
                if get(enables, source) && get(&self.claimed, source) {
                    set(&mut self.claimed, source, false);
                    self.gateway(source, cx.level(IRQ.nth(source)));
                }
            }
            Some(Register::Priority(_) | Register::Pending(_)) | None => {
                cx.guest_error(format_args!("write where nothing can be written"));
            }
        }
        self.update(cx);
        Ok(())
    }

    fn line(&mut self, cx: &mut Cx<'_>, pin: Pin, high: bool) {
        self.gateway(pin.0, high);
        self.update(cx);
    }

    fn restored(&mut self, cx: &mut Cx<'_>) -> Result<(), StateError> {
        let fresh = Self::new(self.props.clone(), self.contexts);
        let lengths = |plic: &Self| {
            [
                &plic.priority,
                &plic.pending,
                &plic.claimed,
                &plic.enable,
                &plic.threshold,
            ]
            .map(Vec::len)
        };
        if lengths(self) != lengths(&fresh) {
            return Err(StateError::new("not as many sources or contexts as it has"));
        }
        let highest = self.props.num_priorities;
        let mut priorities = self.priority.iter().chain(&self.threshold);
        if self.priority.first() != Some(&0) || priorities.any(|p| *p > highest) {
            return Err(StateError::new("priority: higher than it can be"));
        }
        let words = self.words();
        let bits = [&self.pending, &self.claimed, &self.enable].into_iter();
        let mut bits = bits.flat_map(|bits| bits.iter().enumerate());
        let none = bits.any(|(n, word)| word & !self.sources_of(n % words) != 0);
        if none {
            return Err(StateError::new("a source that it does not have"));
        }
        self.update(cx);
        Ok(())
    }
}

/// A register of 32 bits, by its place among those of its kind.
enum Register {
    Priority(usize),
    Pending(usize),
    Enable(usize),
    Threshold(usize),
    Claim(usize),
}

fn word(words: &[u32], n: usize) -> u32 {
    words.get(n).copied().unwrap_or(0)
}

fn put(words: &mut [u32], n: usize, value: u32) {
    if let Some(word) = words.get_mut(n) {
        *word = value;
    }
}

fn get(bits: &[u32], source: u16) -> bool {
    word(bits, usize::from(source / 32)) >> (source % 32) & 1 != 0
}

fn set(bits: &mut [u32], source: u16, high: bool) {
    if let Some(word) = bits.get_mut(usize::from(source / 32)) {
        *word = *word & !(1 << (source % 32)) | u32::from(high) << (source % 32);
    }
}

impl Plic {
    fn new(props: PlicProps, contexts: u16) -> Self {
        let sources = usize::from(props.num_sources) + 1;
        let words = sources.div_ceil(32);
        Self {
            priority: vec![0; sources],
            pending: vec![0; words],
            claimed: vec![0; words],
            enable: vec![0; words * usize::from(contexts)],
            threshold: vec![0; contexts.into()],
            props,
            contexts,
        }
    }

    /// Words that have a bit for each source.
    fn words(&self) -> usize {
        self.pending.len()
    }

    /// The bits of such a word that stand for sources.
    fn sources_of(&self, n: usize) -> u32 {
        let sources = usize::from(self.props.num_sources) + 1;
        let bits = sources.saturating_sub(32 * n).min(32) as u32;
        let all = u32::MAX.checked_shr(32 - bits).unwrap_or(0);
        if n == 0 { all & !1 } else { all }
    }

    fn register(&self, offset: u64) -> Option<Register> {
        let n = (offset % ENABLE_STRIDE / 4) as usize;
        let within = |start: u64, stride: u64| {
            let context = (offset - start) / stride;
            (context < self.contexts.into()).then_some(context as usize)
        };
        match offset {
            CONTEXT.. => {
                let context = within(CONTEXT, CONTEXT_STRIDE)?;
                match (offset % CONTEXT_STRIDE) & !3 {
                    THRESHOLD => Some(Register::Threshold(context)),
                    CLAIM => Some(Register::Claim(context)),
                    _ => None,
                }
            }
            ENABLE.. => {
                let context = within(ENABLE, ENABLE_STRIDE)?;
                (n < self.words()).then(|| Register::Enable(context * self.words() + n))
            }
            PENDING.. => {
                let n = ((offset - PENDING) / 4) as usize;
                (n < self.words()).then_some(Register::Pending(n))
            }
            _ => {
                let source = (offset / 4) as usize;
                (source < self.priority.len()).then_some(Register::Priority(source))
            }
        }
    }

    /// A source's gateway sees the level of its line.
    fn gateway(&mut self, source: u16, high: bool) {
        if high && source != 0 && !get(&self.claimed, source) {
            set(&mut self.pending, source, true);
        }
    }

    /// The source that a context is to serve first, of those with a higher priority than this one.
    fn best(&self, context: usize, than: u32) -> Option<u16> {
        let words = self.words();
        let enables = self.enable.get(context * words..(context + 1) * words)?;
        let (mut best, mut highest) = (None, than);
        for (n, (pending, enable)) in self.pending.iter().zip(enables).enumerate() {
            let mut bits = pending & enable;
            while bits != 0 {
                let source = 32 * n + bits.trailing_zeros() as usize;
                bits &= bits - 1;
                let priority = word(&self.priority, source);
                // Of equal ones the lowest number comes first.
                if priority > highest {
                    (best, highest) = (Some(source as u16), priority);
                }
            }
        }
        best
    }

    fn update(&self, cx: &mut Cx<'_>) {
        for context in 0..self.contexts {
            let place = usize::from(context);
            let interrupts = self.best(place, word(&self.threshold, place)).is_some();
            cx.set(TARGET.nth(context), interrupts);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use solderless_model::testing::{Bench, Noise, exercise, goes_on_the_same};

    type Controller = Bench<Plic>;

    fn plic() -> Controller {
        Bench::new(PlicProps {
            num_harts: 2,
            hart_config: "MS,M".to_owned(),
            num_sources: 40,
            ..PlicProps::default()
        })
    }

    fn put(b: &mut Controller, offset: u64, value: u64) {
        assert!(b.write(REGISTERS, offset, 4, value));
    }

    fn get(b: &mut Controller, offset: u64) -> u64 {
        b.read(REGISTERS, offset, 4).expect("answers")
    }

    fn claim(context: u64) -> u64 {
        CONTEXT + CONTEXT_STRIDE * context + CLAIM
    }

    /// The contexts that are interrupted.
    fn interrupted(b: &Controller) -> Vec<u16> {
        let high = |context: &u16| b.output(TARGET.nth(*context));
        (0..3).filter(high).collect()
    }

    #[test]
    fn the_highest_priority_is_served_first_and_each_once() {
        let mut b = plic();
        for (source, priority) in [(3, 2), (7, 5), (9, 5), (33, 1)] {
            put(&mut b, 4 * source, priority);
            b.line(IRQ.nth(source as u16), true);
        }
        b.line(IRQ.nth(4), true);
        assert_eq!(get(&mut b, PENDING), 1 << 3 | 1 << 4 | 1 << 7 | 1 << 9);
        assert_eq!(get(&mut b, PENDING + 4), 2);
        assert!(interrupted(&b).is_empty(), "nothing is enabled");
        put(&mut b, ENABLE + ENABLE_STRIDE, 0xffff_ffff);
        put(&mut b, ENABLE + ENABLE_STRIDE + 4, 0xffff_ffff);
        assert_eq!(get(&mut b, ENABLE + ENABLE_STRIDE), 0xffff_fffe);
        assert_eq!(get(&mut b, ENABLE + ENABLE_STRIDE + 4), 0x1ff);
        assert_eq!(interrupted(&b), [1]);
        put(&mut b, ENABLE + 2 * ENABLE_STRIDE, 1 << 9);
        assert_eq!(interrupted(&b), [1, 2]);
        let served = [(); 6].map(|()| get(&mut b, claim(1)));
        assert_eq!(served, [7, 9, 3, 33, 0, 0], "4 has priority 0");
        assert!(interrupted(&b).is_empty());
        // Of another context it is no completion, nor while the other's enable is off.
        put(&mut b, claim(0), 7);
        put(&mut b, claim(2), 7);
        assert_eq!(get(&mut b, PENDING), 1 << 4);
        b.line(IRQ.nth(9), false);
        put(&mut b, claim(1), 7);
        put(&mut b, claim(1), 9);
        assert_eq!(get(&mut b, PENDING), 1 << 4 | 1 << 7);
        assert_eq!(interrupted(&b), [1]);
    }

    #[test]
    fn a_request_stays_if_its_line_falls() {
        let mut b = plic();
        put(&mut b, 4, 1);
        put(&mut b, ENABLE, 2);
        b.line(IRQ.nth(1), true);
        b.line(IRQ.nth(1), false);
        assert_eq!(interrupted(&b), [0]);
        assert_eq!(get(&mut b, claim(0)), 1);
        b.line(IRQ.nth(1), true);
        assert!(interrupted(&b).is_empty(), "the last one is not completed");
        put(&mut b, claim(0), 1);
        assert_eq!(interrupted(&b), [0]);
    }

    #[test]
    fn a_threshold_masks_and_does_not_hide() {
        let mut b = plic();
        put(&mut b, 8, 0xffff_fffb);
        assert_eq!(get(&mut b, 8), 3, "as many bits as the highest has");
        put(&mut b, ENABLE, 4);
        b.line(IRQ.nth(2), true);
        for (threshold, high) in [(2, true), (3, false), (7, false)] {
            put(&mut b, CONTEXT, threshold);
            assert_eq!(!interrupted(&b).is_empty(), high, "{threshold}");
        }
        assert_eq!(get(&mut b, claim(0)), 2);
        b.reset();
        assert_eq!(get(&mut b, PENDING), 4, "the line is still high");
        assert_eq!(
            get(&mut b, 8) | get(&mut b, ENABLE) | get(&mut b, CONTEXT),
            0
        );
    }

    #[test]
    fn properties_that_make_no_controller_are_refused() {
        let interface = |change: fn(&mut PlicProps)| {
            let mut props = PlicProps {
                num_harts: 3,
                ..PlicProps::default()
            };
            change(&mut props);
            let interface = Plic::interface(&props).map_err(|e| e.property)?;
            Ok(interface.outputs[0].count)
        };
        assert_eq!(interface(|_| ()), Ok(6));
        assert_eq!(interface(|p| p.hart_config = "M,MS".to_owned()), Ok(5));
        assert_eq!(interface(|p| p.hart_config = "M,MS,S".to_owned()), Ok(4));
        for bad in ["", "MS,", "X", "SM", "M S", "M,M,M,M"] {
            let props = PlicProps {
                num_harts: 3,
                hart_config: bad.to_owned(),
                ..PlicProps::default()
            };
            let error = Plic::interface(&props).unwrap_err();
            assert_eq!(error.property, "hart-config", "{bad}");
        }
        assert_eq!(interface(|p| p.num_priorities = 6), Err("num-priorities"));
        let small = interface(|p| p.aperture_size = Size(CONTEXT + CONTEXT_STRIDE));
        assert_eq!(small, Err("aperture-size"));
    }

    fn poke(b: &mut Controller, noise: &mut Noise) -> Option<u64> {
        let context = noise.below(3);
        let offset = match noise.below(6) {
            0 => 4 * noise.below(42),
            1 => ENABLE + ENABLE_STRIDE * context + 4 * noise.below(3),
            2 => CONTEXT + CONTEXT_STRIDE * context,
            3 => PENDING,
            _ => claim(context),
        };
        match noise.below(4) {
            0 => {
                let source = 1 + noise.below(40) as u16;
                b.line(IRQ.nth(source), noise.below(2) == 0);
                Some(0)
            }
            1 => b.read(REGISTERS, offset, 4),
            _ => {
                let value = match noise.below(2) {
                    0 => noise.below(41),
                    _ => noise.value(),
                };
                Some(b.write(REGISTERS, offset, 4, value).into())
            }
        }
    }

    #[test]
    fn random_accesses_and_saved_state() {
        goes_on_the_same(plic, 20, 400, poke);
        exercise(plic);
    }
}
