//! Hashes the sources of the game rules. A recording names the hash, so that a replay with other
//! rules is reported as such.

#![allow(
    clippy::disallowed_methods,
    reason = "reads and writes files of its own"
)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use xxhash_rust::xxh3::Xxh3;

fn main() {
    let root =
        PathBuf::from(std::env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets it")).join("..");
    let mut files = vec![root.join("Cargo.lock")];
    for folder in [
        "netcode/src",
        "shared/arena/src",
        "shared/auction/src",
        "server/src",
    ] {
        println!("cargo:rerun-if-changed={}", root.join(folder).display());
        collect(&root.join(folder), &mut files);
    }
    println!("cargo:rerun-if-changed={}", files[0].display());
    // A new file of the page must be embedded, too.
    println!("cargo:rerun-if-changed=page");
    files.sort();
    let mut hasher = Xxh3::new();
    files
        .iter()
        .filter_map(|file| fs::read(file).ok())
        .for_each(|bytes| hasher.update(&bytes));
    hasher.update(compiler().as_bytes());
    hasher.update(std::env::var("TARGET").unwrap_or_default().as_bytes());
    println!("cargo:rustc-env=TRUETICK_BUILD={}", hasher.digest());
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|end| end == "rs") {
            files.push(path);
        }
    }
}

fn compiler() -> String {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let version = Command::new(rustc).arg("--version").output();
    version
        .map(|output| String::from_utf8_lossy(&output.stdout).into_owned())
        .unwrap_or_default()
}
