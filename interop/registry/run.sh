#!/usr/bin/env bash
# Runs published clients of Consul, Eureka and DNS, and Prometheus, unchanged, against the binary.
#
#   interop/registry/run.sh [SUITE...]
#
# Suites: py-consul rs-consul npm-consul consul-template consul-cli consul-login spring-consul eureka
#         import-eureka dns prometheus. Without arguments: all.
# Each gets a Portolan of its own, with folders, bridge and addresses of its own, so that one that runs on this
# machine is not touched. PORTOLAN names the binary (by default the debug build of this tree). Packages come from PyPI,
# npm, crates.io, Maven Central, the Go module proxy and Debian, into $INTEROP_CACHE (by default a temporary folder).
# A test that fails must have its reason in docs/interop.md. Needs root.
set -euo pipefail
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
interop="$(dirname "$here")"
root="$(dirname "$interop")"
export PORTOLAN="${PORTOLAN:-${CARGO_TARGET_DIR:-$root/target}/debug/portolan}"
[[ -x "$PORTOLAN" ]] || { echo "$PORTOLAN is missing: cargo build -p portolan" >&2; exit 1; }
suites=("$@")
((${#suites[@]})) || suites=(py-consul rs-consul npm-consul consul-template consul-cli consul-login spring-consul eureka import-eureka dns prometheus)
work="$(mktemp -d)"
cache="${INTEROP_CACHE:-$work/cache}"
mkdir -p "$cache"
server=
stop() {
    [[ -z "$server" ]] || { exec {server_input}>&-; wait "$server" || true; server=; }
}
trap 'stop; rm -rf "$work"' EXIT

# Starts a server and sets the variables that serve.sh prints.
start() {
    stop
    mkfifo "$work/input" "$work/output"
    "$here/serve.sh" env "$@" <"$work/input" >"$work/output" &
    server=$!
    exec {server_input}>"$work/input"
    local line
    read -r line <"$work/output" || { echo "the server did not start" >&2; return 1; }
    rm "$work/input" "$work/output"
    eval "$line"
}

run() {
    local WORK="$cache/$1"
    mkdir -p "$WORK"
    export WORK
    case "$1" in
    # Each of its "containers" is a server; checks of the suite ask Consul's own port.
    py-consul) CONSUL_PORT=8500 PORTOLAN_CONSUL="$here/serve.sh consul" "$interop/consul/py-consul.sh" ;;
    rs-consul)
        # The tests of ACLs want this token; requests without one may do everything else.
        CONSUL_INITIAL_MANAGEMENT_TOKEN=8fc9e787-674f-0709-cfd5-bfdabd73a70d start && "$interop/consul/rs-consul.sh" "$CONSUL_URL"
        ;;
    consul-login)
        local root=7c2ae2a4-9d0c-4a9c-9c5a-3c1f6f2f5d11
        CONSUL_INITIAL_MANAGEMENT_TOKEN=$root start --consul-acl-default-policy deny &&
            ROOT_TOKEN=$root "$interop/consul/login.sh" "$CONSUL_URL"
        ;;
    npm-consul) start && "$interop/consul/npm-consul.sh" "$CONSUL_URL" ;;
    consul-template) start && "$interop/consul/consul-template.sh" "$CONSUL_URL" ;;
    consul-cli)
        local root=0f6d5c3e-2a51-4f6b-9d1c-5b7a8e9c1d22
        CONSUL_INITIAL_MANAGEMENT_TOKEN=$root start --consul-acl-default-policy deny &&
            "$interop/consul/cli.sh" "$CONSUL_URL" "$root"
        ;;
    spring-consul) start && "$interop/consul/spring/run.sh" "$CONSUL_URL" ;;
    eureka) start && "$interop/eureka/run.sh" "$EUREKA_URL" ;;
    # Netflix's own server plays the registry that is left.
    import-eureka) start && "$interop/eureka/server/run.sh" ;;
    dns) start && "$interop/dns/run.sh" ;;
    prometheus) start && "$interop/prometheus/run.sh" ;;
    *) echo "there is no suite $1" >&2; return 1 ;;
    esac
}

failed=()
for suite in "${suites[@]}"; do
    echo "== $suite"
    # A subshell would lose the server.
    if run "$suite" >"$work/$suite.log" 2>&1; then
        tail -n "${INTEROP_LINES:-15}" "$work/$suite.log"
    else
        failed+=("$suite")
        tail -n 80 "$work/$suite.log"
    fi
    stop
done
if ((${#failed[@]})); then
    echo "failed: ${failed[*]}"
    exit 1
fi
echo "all passed: ${suites[*]}"
