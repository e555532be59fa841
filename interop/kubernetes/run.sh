#!/usr/bin/env bash
# Drives an API server with stock clients.
#
#   interop/kubernetes/run.sh [go] [python] [javascript]
#
# Without arguments: the clients whose tools are there. With KUBECONFIG in the environment, the cluster
# that it names is driven (its administrator is needed); else an API server that is started for this and
# ended afterwards. Dependencies come from the registries of the languages, into the caches that their
# tools use; nothing else is left behind.
set -euo pipefail
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
root="$(cd "$here/../.." && pwd)"
work="$(mktemp -d)"
server=
trap '[[ -z "$server" ]] || kill "$server" 2>/dev/null && wait "$server" 2>/dev/null || true; rm -rf "$work"' EXIT

suites=("$@")
if ((${#suites[@]} == 0)); then
    for pair in go:go python:python3 javascript:npm; do
        if command -v "${pair#*:}" >/dev/null; then suites+=("${pair%%:*}"); fi
    done
fi

if [[ -z "${KUBECONFIG:-}" ]]; then
    (cd "$root" && cargo build --quiet --package portolan-apiserver --example serve)
    RUST_LOG=warn "${CARGO_TARGET_DIR:-$root/target}/debug/examples/serve" "$work/server" 127.0.0.1:0 >"$work/address" &
    server=$!
    for _ in {1..100}; do
        [[ -s "$work/address" ]] && break
        kill -0 "$server"
        sleep 0.1
    done
    KUBECONFIG="$(sed -n 's/^export KUBECONFIG=//p' "$work/address")"
    export KUBECONFIG
fi

failed=()
for suite in "${suites[@]}"; do
    echo "== $suite"
    case "$suite" in
        go) (cd "$here" && go run ./clients) || failed+=("$suite") ;;
        python)
            python3 -m venv "$work/python"
            "$work/python/bin/pip" install --quiet --requirement "$here/python/requirements.txt"
            "$work/python/bin/python" "$here/python/clients.py" || failed+=("$suite")
            ;;
        javascript)
            cp "$here"/javascript/* "$work/"
            (cd "$work" && npm install --silent --no-audit --no-fund && node clients.js) || failed+=("$suite")
            ;;
        *) echo "unknown suite $suite" >&2 && exit 2 ;;
    esac
done
if ((${#failed[@]})); then
    echo "failed: ${failed[*]}" >&2
    exit 1
fi
