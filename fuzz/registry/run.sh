#!/bin/sh
# Runs the registry's fuzz targets one after the other with a stable compiler: run.sh SECONDS [TARGET...]
#
# Targets: dns eureka consul filter url. With a nightly one and cargo-fuzz the address sanitizer watches as well:
# cd fuzz/registry && cargo +nightly fuzz run --fuzz-dir . dns corpus/dns seeds/dns
set -eu
cd "$(dirname "$0")"
seconds=$1
shift
[ $# -gt 0 ] || set -- dns eureka consul filter url
target=${CARGO_TARGET_DIR:-target}
RUSTFLAGS="-Cdebug-assertions -Coverflow-checks -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
-Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
-Cllvm-args=-sanitizer-coverage-trace-compares"
export RUSTFLAGS
# A target of its own keeps these flags away from build scripts and macros.
triple=$(rustc -vV | sed -n 's/^host: //p')
profile=${FUZZ_PROFILE:-release}
cargo build --profile "$profile" --target "$triple" $(printf ' --bin %s' "$@")
[ "$profile" != dev ] || profile=debug
for name; do
    mkdir -p "corpus/$name" "artifacts/$name"
    echo "== $name"
    "$target/$triple/$profile/$name" "corpus/$name" "seeds/$name" -max_total_time="$seconds" -timeout=20 -rss_limit_mb=2048 \
        -print_final_stats=1 -artifact_prefix="artifacts/$name/" >"corpus/$name.log" 2>&1 || failed=1
    grep -E '^stat::|panicked|ERROR|SUMMARY|Test unit' "corpus/$name.log" || true
done
exit "${failed:-0}"
