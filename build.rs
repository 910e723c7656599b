//! How the program is linked.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    // The unwinder that panics need is a part of the program, so that its start does not wait for one library more.
    if std::env::var("CARGO_CFG_TARGET_ENV").as_deref() == Ok("gnu") {
        println!("cargo:rustc-link-lib=static:-bundle=gcc_eh");
    }
}
