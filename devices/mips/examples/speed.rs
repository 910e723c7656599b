//! Runs a bare-metal program on the CPU and prints how fast: `speed [interp|jit] program.bin`, for 0x80100000.
//!
//! The program ends by writing to 0xbf000500, the Malta board's reset register; what it writes to 0xb80003f8 is printed.

use std::io::Write;
use std::time::Instant;

use solderless_mips::{Mips32Cpu, Props};
use solderless_model::memory::Ram;
use solderless_model::testing::Bench;
use solderless_model::{Engine, Processor};

fn main() {
    let mut engine = Engine::JIT;
    for path in std::env::args().skip(1) {
        match &*path {
            "interp" => engine = Engine::Interp,
            "jit" => engine = Engine::JIT,
            path => run(path, engine),
        }
    }
}

fn run(path: &str, engine: Engine) {
    let program = std::fs::read(path).expect("a program");
    let ram = Ram::new(64 << 20).expect("memory");
    ram.write(0x10_0000, &program).expect("a program that fits");
    let mut bench = Bench::<Mips32Cpu>::new(Props::default());
    bench.around.ram = Some(ram);
    bench
        .around
        .registers
        .extend([(0x1800_03f8, 0), (0x1f00_0500, 0)]);
    bench.dev.set_pc(0x8010_0000);
    assert!(bench.dev.set_engine(engine), "a host with this engine");
    let start = Instant::now();
    while bench.around.registers[&0x1f00_0500] == 0 {
        bench.around.deadline = bench.around.now + 1_000_000;
        bench.with(|d, cx| d.run(cx, u64::MAX));
    }
    let seconds = start.elapsed().as_secs_f64();
    let count = bench.dev.instructions();
    println!(
        "{path}: {count} instructions in {seconds:.3} s, {:.0} million in a second, last character {:?}",
        count as f64 / seconds / 1e6,
        bench.around.registers[&0x1800_03f8] as u8 as char,
    );
    println!("{:?}", bench.dev.engine_info());
    std::io::stdout().flush().expect("a terminal");
}
