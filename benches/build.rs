//! Keeps the relocations in the program where `scripts/dist.sh` asks for them: it moves functions afterwards, and has to know each place that points into one.

fn main() {
    println!("cargo::rerun-if-env-changed=TOOLBAY_KEEP_RELOCATIONS");
    if std::env::var_os("TOOLBAY_KEEP_RELOCATIONS").is_some() {
        println!("cargo::rustc-link-arg-bins=-Wl,--emit-relocs");
    }
}
