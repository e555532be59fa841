#!/usr/bin/env bash
# Runs the published conformance tests of Kubernetes against the cluster of KUBECONFIG and writes
# docs/conformance.md. Build the images that they name first: conformance/images.sh.
#
#   FOCUS='sig-auth' SKIP='Serial' PROCS=4 conformance/run.sh
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

: "${KUBECONFIG:?set KUBECONFIG to the cluster to be tested: portolan kubeconfig > kubeconfig}"
reports=${REPORTS:-target}
mkdir -p "$reports"
[[ -x target/conformance.test ]] || { mkdir -p target && go test -c -o target/conformance.test .; }

status=0
go run github.com/onsi/ginkgo/v2/ginkgo \
    --procs="${PROCS:-2}" --timeout="${TIMEOUT:-6h}" --no-color --silence-skips \
    --label-filter=Conformance ${FOCUS:+--focus="$FOCUS"} ${SKIP:+--skip="$SKIP"} \
    --output-dir="$reports" --json-report="$(date +%Y%m%d-%H%M%S).json" \
    target/conformance.test -- \
    --provider=skeleton --kubeconfig="$KUBECONFIG" --kubectl-path="$(type -P kubectl)" \
    --num-nodes=1 --allowed-not-ready-nodes=0 --disable-log-dump || status=$?
go run ./report "$reports"/*.json >../docs/conformance.md
exit "$status"
