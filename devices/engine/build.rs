//! Whether code is generated: there is an assembler for the host.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rustc-check-cfg=cfg(generator)");
    let says = |name: &str| std::env::var(format!("CARGO_CFG_{name}")).ok();
    if says("TARGET_ARCH").as_deref() == Some("x86_64") && says("UNIX").is_some() {
        println!("cargo:rustc-cfg=generator");
    }
}
