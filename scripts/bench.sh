#!/usr/bin/env bash
# Runs all benches, or those that are named. Each prints a ratio against a peer or a bound measured in
# the same run.
#
# BENCH_PROFILE: the cargo profile whose binaries are run (release). BENCH_TIMEOUT: seconds that one
# bench may take (900); a bench that fails or takes longer does not keep the others from running.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
scripts/packages.sh bench
binaries="${CARGO_TARGET_DIR:-target}/${BENCH_PROFILE:-release}"
benches=("$@")
(($#)) || benches=(api definitions store network registry registry_http dns schedule up)
failed=()
for bench in "${benches[@]}"; do
    [[ -x "$binaries/$bench" ]] || { echo "$binaries/$bench is not built" >&2; exit 1; }
    echo "== $bench: load $(cut -d' ' -f1-3 /proc/loadavg), $(grep -m1 'model name' /proc/cpuinfo | cut -d: -f2 | xargs), $(date -I)"
    # The signal reaches the servers under measurement too: they are of the same process group.
    timeout --signal=INT --kill-after=30 "${BENCH_TIMEOUT:-900}" "$binaries/$bench" || failed+=("$bench ($?)")
done
((${#failed[@]} == 0)) || { echo "failed: ${failed[*]}" >&2; exit 1; }
