//! What is done with inputs from outside, whatever they are, and what must hold then: one target per decoder, and one
//! per algorithm on what was decoded.
//!
//! A fuzzer makes up the inputs; the tests here try those that it begins with, and those that once found something.

mod apply;
mod cel;
mod consul;
mod conversion;
mod dns;
mod eureka;
mod filter;
mod json;
mod patch;
mod protobuf;
mod selector;
mod stored;
mod structural;
mod table;
mod url;
mod wire;
mod yaml;

use anyhow::Context;

/// Tries one input; panics if something does not hold.
pub type Target = fn(&[u8]);

/// All targets by name. The folder of the same name in `seeds` has what a fuzzer begins with.
pub const TARGETS: [(&str, Target); 17] = [
    ("apply", apply::run),
    ("cel", cel::run),
    ("consul", consul::run),
    ("conversion", conversion::run),
    ("dns", dns::run),
    ("eureka", eureka::run),
    ("filter", filter::run),
    ("json", json::run),
    ("patch", patch::run),
    ("protobuf", protobuf::run),
    ("selector", selector::run),
    ("stored", stored::run),
    ("structural", structural::run),
    ("table", table::run),
    ("url", url::run),
    ("wire", wire::run),
    ("yaml", yaml::run),
];

/// A target by its name.
///
/// # Errors
/// There is none of that name.
pub fn target(name: &str) -> anyhow::Result<Target> {
    let found = TARGETS.iter().find(|(known, _)| *known == name).map(|(_, target)| *target);
    found.with_context(|| format!("{name:?} is no target; there are {}", TARGETS.map(|(known, _)| known).join(", ")))
}

/// Two texts behind each other, with a zero byte between them.
fn two(input: &[u8]) -> Option<(&str, &str)> {
    let position = input.iter().position(|byte| *byte == 0)?;
    let text = |bytes| std::str::from_utf8(bytes).ok();
    Some((text(&input[..position])?, text(&input[position + 1..])?))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fs::read_dir;
    use std::path::{Path, PathBuf};

    use super::*;

    fn seeds() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("seeds")
    }

    #[test]
    fn every_seed_holds() {
        for (name, target) in TARGETS {
            let mut count = 0;
            for seed in read_dir(seeds().join(name)).unwrap_or_else(|error| panic!("seeds of {name}: {error}")) {
                let path = seed.expect("the folder can be read").path();
                println!("{}", path.display());
                target(&std::fs::read(&path).expect("it is a file"));
                count += 1;
            }
            assert!(count > 0, "{name} has no seeds");
        }
    }

    #[test]
    fn no_seeds_are_without_a_target() {
        let folders = read_dir(seeds()).expect("there are seeds").map(|folder| {
            folder.expect("the folder can be read").file_name().into_string().expect("names of targets are ASCII")
        });
        let names = TARGETS.map(|(name, _)| name.to_owned());
        assert_eq!(folders.collect::<BTreeSet<_>>(), BTreeSet::from(names));
    }
}
