#!/usr/bin/env bash
# Runs all benches. Each prints a ratio against a peer or a bound measured in the same run.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
command -v etcd >/dev/null || { echo "etcd is the peer of some benches: apt-get install etcd-server" >&2; exit 1; }
echo "load $(cut -d' ' -f1-3 /proc/loadavg), $(grep -m1 'model name' /proc/cpuinfo | cut -d: -f2 | xargs), $(date -I)"
for bench in "${CARGO_TARGET_DIR:-target}"/release/{api,store,network,schedule,up}; do
    [[ -x "$bench" ]] || continue
    echo "== $(basename "$bench")"
    "$bench"
done
