//! Built by `fuzz/run.sh`, a fuzzer of the target that `FUZZ_TARGET` names. Otherwise tries files:
//!
//! ```sh
//! cargo run -p portolan-fuzz -- json fuzz/artifacts/json/*
//! ```
#![cfg_attr(fuzzing, no_main)]

#[cfg(fuzzing)]
mod fuzzer {
    use std::sync::LazyLock;

    use libfuzzer_sys::fuzz_target;
    use portolan_fuzz::Target;

    static TARGET: LazyLock<Target> = LazyLock::new(|| {
        let name = std::env::var("FUZZ_TARGET").unwrap_or_default();
        portolan_fuzz::target(&name).expect("FUZZ_TARGET names a target")
    });

    fuzz_target!(|input: &[u8]| TARGET(input));
}

#[cfg(not(fuzzing))]
fn main() -> anyhow::Result<()> {
    use anyhow::Context;

    let mut arguments = std::env::args().skip(1);
    let name = arguments.next().context("which target? fuzz TARGET FILE...")?;
    let target = portolan_fuzz::target(&name)?;
    for file in arguments {
        println!("{file}");
        target(&std::fs::read(&file).with_context(|| format!("read {file}"))?);
    }
    Ok(())
}
