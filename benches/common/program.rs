//! Bare-metal programs for the little-endian Malta board, built when they are needed.

use std::path::PathBuf;
use std::process::Command;

use solderless_testing::Endian;
use solderless_testing::guests;

/// Builds a program from files of `benches/guests`, the name of the last being the program's. It runs in kseg0, from
/// `__start`, and the macro `ROUNDS` says how much it does. `None` if there is no cross compiler, which was then said.
///
/// # Panics
/// It does not compile.
pub fn build(sources: &[&str], rounds: u32) -> Option<PathBuf> {
    let triple = Endian::Little.triple();
    let compiler = format!("{triple}-gcc");
    if !guests::tool(&compiler, &format!("gcc-{triple}")) {
        return None;
    }
    let folder = guests::repository().join("benches/guests");
    let name = sources.last().expect("a program has a source");
    let built = guests::cache().join(format!("bench-{name}.elf"));
    let output = Command::new(compiler)
        .args(["-O2", "-march=mips32r2", "-mabi=32", "-static", "-nostdlib"])
        .args(["-ffreestanding", "-mno-abicalls", "-fno-pic", "-G0"])
        // A loop that copies is to stay one: there is no library to call.
        .arg("-fno-tree-loop-distribute-patterns")
        .args(["-Wl,--build-id=none", "-Wl,-Ttext=0x80100000"])
        .arg(format!("-DROUNDS={rounds}"))
        .arg("-o")
        .arg(&built)
        .args(sources.iter().map(|source| folder.join(source)))
        .output()
        .expect("the compiler was found");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{name}: {errors}");
    Some(built)
}
