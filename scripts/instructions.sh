#!/usr/bin/env bash
# Prints how many instructions one request of each kind costs, by the difference of thirty and ten of them:
#   scripts/instructions.sh PROGRAM KIND...
set -euo pipefail
program=$1
shift
count() {
    valgrind --tool=callgrind --callgrind-out-file=/dev/null "$program" "$@" 2>&1 | sed -n 's/.*Collected : //p'
}
for kind in "$@"; do
    few=$(count "$kind" 10)
    many=$(count "$kind" 30)
    echo "$kind $(((many - few) / 20))"
done
