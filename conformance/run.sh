#!/usr/bin/env bash
# Runs the published conformance tests of Kubernetes against the cluster of KUBECONFIG and writes
# docs/conformance.md. Build the images that they name first: conformance/images.sh.
#
#   FOCUS='sig-auth' SKIP='Serial' PROCS=4 TIMEOUT=1h conformance/run.sh
#
# KUBECTL is the client that the tests of sig-cli run [default: kubectl]. Reports add up in the folder REPORTS
# [default: conformance/target]: of a test that ran several times the last run counts.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

: "${KUBECONFIG:?set KUBECONFIG to the cluster to be tested: portolan kubeconfig > kubeconfig}"
reports=${REPORTS:-target}
mkdir -p "$reports"
[[ -x target/conformance.test ]] || { mkdir -p target && go test -c -o target/conformance.test .; }

status=0
[[ -x target/ginkgo ]] || go build -o target/ginkgo github.com/onsi/ginkgo/v2/ginkgo
target/ginkgo \
    --procs="${PROCS:-2}" --timeout="${TIMEOUT:-6h}" --no-color --silence-skips \
    --label-filter=Conformance ${FOCUS:+--focus="$FOCUS"} ${SKIP:+--skip="$SKIP"} \
    --output-dir="$reports" --json-report="$(date +%Y%m%d-%H%M%S).json" \
    target/conformance.test -- \
    --provider=skeleton --kubeconfig="$KUBECONFIG" --kubectl-path="$(type -P "${KUBECTL:-kubectl}")" \
    --num-nodes=1 --allowed-not-ready-nodes=0 --disable-log-dump --dump-logs-on-failure=false || status=$?
go run ./report "$reports"/*.json >../docs/conformance.md
exit "$status"
