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
# Named by what it was built of, so that a new release or a changed file makes a new one.
release="$(go list -m -f '{{.Version}}' k8s.io/kubernetes)"
sources="$(cat go.mod go.sum ./*_test.go | sha256sum | cut -c 1-12)"
tests="target/conformance-$release-$sources.test"
[[ -x "$tests" ]] || { rm -f target/conformance*.test && mkdir -p target && go test -c -o "$tests" .; }

status=0
[[ -x target/ginkgo ]] || go build -o target/ginkgo github.com/onsi/ginkgo/v2/ginkgo
target/ginkgo \
    --procs="${PROCS:-2}" --timeout="${TIMEOUT:-6h}" --no-color --silence-skips \
    --label-filter=Conformance ${FOCUS:+--focus="$FOCUS"} ${SKIP:+--skip="$SKIP"} \
    --output-dir="$reports" --json-report="$(date +%Y%m%d-%H%M%S).json" \
    "$tests" -- \
    --provider=skeleton --kubeconfig="$KUBECONFIG" --kubectl-path="$(type -P "${KUBECTL:-kubectl}")" \
    --num-nodes=1 --allowed-not-ready-nodes=0 --disable-log-dump --dump-logs-on-failure=false || status=$?
go run ./report "$reports"/*.json >../docs/conformance.md
exit "$status"
