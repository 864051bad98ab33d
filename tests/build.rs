//! Sets `cfg(truetick_mutants)` if the environment variable `TRUETICK_MUTANTS` is `1`.

fn main() {
    println!("cargo::rerun-if-env-changed=TRUETICK_MUTANTS");
    println!("cargo::rustc-check-cfg=cfg(truetick_mutants)");
    if std::env::var_os("TRUETICK_MUTANTS").is_some_and(|value| value == "1") {
        println!("cargo::rustc-cfg=truetick_mutants");
    }
}
