//! Builds the program that holds a pod's name spaces: freestanding, so that it is tiny and needs no C library.

use std::env;
use std::path::PathBuf;
use std::process::Command;

fn main() {
    let source = "src/pause/program.rs";
    println!("cargo::rerun-if-changed={source}");
    let target = env::var("TARGET").expect("cargo sets TARGET");
    let output = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR")).join("pause");
    let mut compiler = Command::new(env::var_os("RUSTC").expect("cargo sets RUSTC"));
    compiler.args(["--edition", "2024", "--crate-type", "bin", "--target", &target, "-o"]).arg(&output);
    for option in ["panic=abort", "opt-level=z", "strip=symbols", "relocation-model=static", "debuginfo=0"] {
        compiler.args(["-C", option]);
    }
    for argument in ["-nostartfiles", "-nostdlib", "-static", "-Wl,--build-id=none", "-Wl,-n"] {
        compiler.arg("-C").arg(format!("link-arg={argument}"));
    }
    if let Some(linker) = env::var_os("RUSTC_LINKER") {
        compiler.arg("-C").arg(format!("linker={}", PathBuf::from(linker).display()));
    }
    // A wrapper such as clippy's driver must not check this program as a part of the crate.
    for variable in ["RUSTC_WRAPPER", "RUSTC_WORKSPACE_WRAPPER", "CLIPPY_ARGS"] {
        compiler.env_remove(variable);
    }
    let status = compiler.arg(source).status().expect("the compiler can be run");
    assert!(status.success(), "the pause program does not compile for {target}");
}
