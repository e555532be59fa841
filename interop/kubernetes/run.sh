#!/usr/bin/env bash
# Drives Portolan with stock clients.
#
#   interop/kubernetes/run.sh [go] [python] [javascript] [kubectl] [helm] [operator] [kube-rs] [strategies] [parity]
#
# Without arguments: the clients whose tools are there. `go`, `python` and `javascript` need an API server only;
# `helm` (3 and 4), `operator` (controllers of controller-runtime) and `kube-rs` need a whole cluster that runs
# containers, and `kubectl` starts clusters of its own. `strategies` asks Kubernetes' own packages and an API server
# of its own the same questions, and compares; `parity` does the same with Kubernetes' own API server, in whole answers.
#
#   KUBECONFIG  the cluster to drive, as its administrator; else one is started for this and taken down again.
#               For suites with containers it must be one of this machine, and PORTOLAN_DATA_DIR its folder.
#   PORTOLAN    the binary; else it is built.
#   KUBECTLS    programs to take the tours with; else the one on the path and, with Go, one of the release that the API is of.
#
# Needs root if it starts a whole cluster. Dependencies come from the registries of the languages, into the caches
# that their tools use; nothing else is left behind.
set -euo pipefail
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
root="$(cd "$here/../.." && pwd)"
target="${CARGO_TARGET_DIR:-$root/target}"
work="$(mktemp -d)"
server=
cluster=()

clean_up() {
    if [[ -n "$server" ]]; then kill "$server" 2>/dev/null && wait "$server" 2>/dev/null || true; fi
    if ((${#cluster[@]})); then "$PORTOLAN" down "${cluster[@]}" >/dev/null || true; fi
    rm -rf "$work"
}
trap clean_up EXIT

suites=("$@")
if ((${#suites[@]} == 0)); then
    for pair in go:go python:python3 javascript:npm kubectl:kubectl helm:go operator:go kube-rs:cargo strategies:go parity:go; do
        if command -v "${pair#*:}" >/dev/null; then suites+=("${pair%%:*}"); fi
    done
fi
asked() { [[ " ${suites[*]} " == *" $1 "* ]]; }

if asked kubectl || asked helm || asked operator || asked kube-rs; then
    if [[ -z "${PORTOLAN:-}" ]]; then
        (cd "$root" && cargo build --quiet --package portolan)
        PORTOLAN="$target/debug/portolan"
    fi
    export PORTOLAN
fi

failed=()
if asked kubectl; then
    if [[ -z "${KUBECTLS:-}" ]]; then
        # The one that belongs to the API that is served, besides what people have.
        KUBECTLS=kubectl
        if command -v go >/dev/null; then
            "$root/interop/kubectl/build.sh" "$work/kubectl"
            KUBECTLS+=" $work/kubectl"
        fi
    fi
    for kubectl in $KUBECTLS; do
        echo "== $kubectl"
        (cd "$root" && KUBECTL="$kubectl" PORTOLAN_BINARY="$PORTOLAN" \
            cargo test --quiet --package portolan-tests --test kubectl --test kubectl_commands) || failed+=("$kubectl")
    done
fi

# A whole cluster whose API pods can reach, with addresses of its own.
start_cluster() {
    local first="${PORTOLAN_TEST_NETWORK:-160}"
    cluster=(--data-dir "$work/data" --run-dir "$work/run" --bridge "ptli$((BASHPID % 100000))")
    mkdir "$work/data" "$work/run" "$work/image"
    "$PORTOLAN" up "${cluster[@]}" --listen 0.0.0.0:0 --registry-listen 127.0.0.1:0 --consul-listen 127.0.0.1:0 \
        --eureka-listen 127.0.0.1:0 --dns-listen off --agent-port 0 --pod-cidr "10.$first.0.0/24" \
        --service-cidr "10.$((first + 1)).0.0/16" --load-balancer-cidr "10.$((first + 2)).0.0/24" \
        --cluster-dns "10.$((first + 1)).0.10"
    export KUBECONFIG="$work/data/admin.kubeconfig" PORTOLAN_DATA_DIR="$work/data"
}

# The image of the suites: a web server that says `one` and its host's name.
build_image() {
    mkdir -p "$work/image"
    cp "$(command -v busybox)" "$work/image/busybox"
    cp "$here/web.Dockerfile" "$work/image/Dockerfile"
    "$PORTOLAN" image build -t web:1 "$work/image" >/dev/null
}

start_server() {
    (cd "$root" && cargo build --quiet --package portolan-apiserver --example serve_api)
    RUST_LOG=warn "$target/debug/examples/serve_api" "$work/server" 127.0.0.1:0 >"$work/address" &
    server=$!
    for _ in {1..100}; do
        [[ -s "$work/address" ]] && break
        kill -0 "$server"
        sleep 0.1
    done
    bare="$(sed -n 's/^export KUBECONFIG=//p' "$work/address")"
}

containers=()
if asked helm || asked operator || asked kube-rs; then
    [[ -n "${KUBECONFIG:-}" ]] || start_cluster
    build_image
    containers=(-streams -image web:1)
elif [[ -z "${KUBECONFIG:-}" ]] && { asked go || asked python || asked javascript; }; then
    start_server
    export KUBECONFIG="$bare"
fi

# Builds what is published as a Go module, for this machine or, without its libraries, for an image.
build_tool() {
    (cd "$here/tools" && CGO_ENABLED=0 go build -trimpath -ldflags="-s -w" -o "$work/bin/$1" "$2")
}

for suite in "${suites[@]}"; do
    [[ "$suite" == kubectl ]] || echo "== $suite"
    case "$suite" in
        kubectl) ;;
        go) (cd "$here" && go run ./clients "${containers[@]}") || failed+=("$suite") ;;
        python)
            python3 -m venv "$work/python"
            "$work/python/bin/pip" install --quiet --requirement "$here/python/requirements.txt"
            "$work/python/bin/python" "$here/python/clients.py" || failed+=("$suite")
            ;;
        javascript)
            cp "$here"/javascript/* "$work/"
            (cd "$work" && npm install --silent --no-audit --no-fund && node clients.js) || failed+=("$suite")
            ;;
        helm)
            for release in 3 4; do
                build_tool "helm$release" "helm.sh/helm/v$release/cmd/helm"
                "$here/helm/run.sh" "$work/bin/helm$release" || failed+=("helm $release")
            done
            ;;
        operator)
            build_tool chaos sigs.k8s.io/controller-runtime/examples/crd
            build_tool builtins sigs.k8s.io/controller-runtime/examples/builtins
            build_tool greeter ./greeter
            "$here/operator/run.sh" "$work/bin" || failed+=("$suite")
            ;;
        kube-rs)
            (cd "$here/kube-rs" && CARGO_TARGET_DIR="$target/kube-rs" cargo run --quiet) || failed+=("$suite")
            ;;
        strategies)
            # Controllers would change what is compared.
            [[ -n "$server" ]] || start_server
            (cd "$here/strategies" && KUBECONFIG="$bare" go run .) || failed+=("$suite")
            ;;
        parity)
            [[ -n "$server" ]] || start_server
            (cd "$here/parity" && KUBECONFIG="$bare" go run . requests/*.txt 2>"$work/kube-apiserver.log") || failed+=("$suite")
            ;;
        *) echo "unknown suite $suite" >&2 && exit 2 ;;
    esac
done
if ((${#failed[@]})); then
    echo "failed: ${failed[*]}" >&2
    exit 1
fi
