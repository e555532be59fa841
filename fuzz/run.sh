#!/bin/sh
# Runs fuzz targets one after the other with a stable compiler: run.sh <seconds> [<target>...]
#
# FUZZ_PROFILE is the profile they are built in; "dev" builds faster and fuzzes slower. FUZZ_OPTIONS goes to the fuzzer.
# Ends with 1 if a target found something.
#
# What cargo-fuzz adds is the address sanitizer, which needs a nightly one; this code has next to no unsafe parts.
set -eu
cd "$(dirname "$0")"
seconds=$1
shift
[ $# -gt 0 ] || set -- $(ls seeds)
target=${CARGO_TARGET_DIR:-../target/fuzz}
export CARGO_TARGET_DIR=$target
RUSTFLAGS="--cfg fuzzing -Cdebug-assertions -Coverflow-checks -Cpasses=sancov-module
 -Cllvm-args=-sanitizer-coverage-level=4 -Cllvm-args=-sanitizer-coverage-inline-8bit-counters
 -Cllvm-args=-sanitizer-coverage-pc-table -Cllvm-args=-sanitizer-coverage-trace-compares"
RUSTFLAGS=$(echo $RUSTFLAGS)
export RUSTFLAGS
# A target of its own keeps these flags away from build scripts and macros.
triple=$(rustc -vV | sed -n 's/^host: //p')
profile=${FUZZ_PROFILE:-release}
cargo build --profile "$profile" --target "$triple" --package portolan-fuzz
[ "$profile" != dev ] || profile=debug
failed=0
for name; do
    mkdir -p "corpus/$name" "artifacts/$name"
    echo "== $name"
    FUZZ_TARGET="$name" "$target/$triple/$profile/fuzz" "corpus/$name" "seeds/$name" -max_total_time="$seconds" -timeout=20 \
        -rss_limit_mb=2048 -print_final_stats=1 -artifact_prefix="artifacts/$name/" ${FUZZ_OPTIONS:-} \
        >"artifacts/$name.log" 2>&1 || failed=1
    grep -v '^#\|NEW_FUNC\|^INFO' "artifacts/$name.log" || true
done
exit "$failed"
