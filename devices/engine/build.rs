//! Whether code is generated: there is an assembler for the host.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rustc-check-cfg=cfg(generator, no_generator)");
    let says = |name: &str| std::env::var(format!("CARGO_CFG_{name}")).ok();
    // `--cfg no_generator` builds what other hosts get.
    let other = says("NO_GENERATOR").is_some();
    if !other && says("TARGET_ARCH").as_deref() == Some("x86_64") && says("UNIX").is_some() {
        println!("cargo:rustc-cfg=generator");
    }
}
