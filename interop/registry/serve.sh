#!/usr/bin/env bash
# Starts a Portolan of its own for as long as standard input is open:
#
#   interop/registry/serve.sh PRINTED [FLAG...]
#
# and prints PRINTED on one line: `consul`, `eureka` or `registry` for the URL of that dialect, `env` for lines to
# `eval` instead. FLAGs go to `portolan up`. PORTOLAN names the binary (by default the debug build of this tree).
# With CONSUL_INITIAL_MANAGEMENT_TOKEN in the environment Consul's access control is on.
# Needs root; folders, bridge and addresses are its own and go away with it.
set -euo pipefail
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)"
portolan="${PORTOLAN:-${CARGO_TARGET_DIR:-$root/target}/debug/portolan}"
printed=${1:?usage: serve.sh consul|eureka|registry|env [FLAG...]}
shift
work="$(mktemp -d -t portolan-interop-XXXXXX)"
folders=(--data-dir "$work/data" --run-dir "$work/run" --bridge "ptli$((BASHPID % 100000))")
end() {
    "$portolan" down "${folders[@]}" >/dev/null 2>&1 || echo "cannot take $work down" >&2
    rm -rf "$work"
}
trap end EXIT
# Networks that hardly anybody else uses; several of these may run side by side.
first=$((160 + BASHPID % 30 * 3))
flags=(--listen 127.0.0.1:0 --registry-listen 127.0.0.1:0 --consul-listen 127.0.0.1:0 --eureka-listen 127.0.0.1:0
    --dns-listen 127.0.0.1:0 --agent-port 0 --node-name agent --enable-script-checks --registry-limits off
    --pod-cidr "10.$first.0.0/24" --service-cidr "10.$((first + 1)).0.0/16"
    --load-balancer-cidr "10.$((first + 2)).0.0/24" --cluster-dns "10.$((first + 1)).0.10")
# Suites whose checks ask Consul's own port want it, if it is free.
if [[ -n "${CONSUL_PORT:-}" && -z "$(ss -Hltn "sport = :$CONSUL_PORT")" ]]; then
    set -- --consul-listen "127.0.0.1:$CONSUL_PORT" "$@"
fi
if [[ -n "${CONSUL_INITIAL_MANAGEMENT_TOKEN:-}" ]]; then
    mkdir -p "$work/data"
    printf '%s' "$CONSUL_INITIAL_MANAGEMENT_TOKEN" >"$work/token"
    # What no rule speaks of is allowed, as in Consul unless configured.
    flags+=(--consul-acl-default-policy allow --consul-acl-initial-management-token-file "$work/token")
fi
# A flag that is given wins over the one above.
kept=()
for ((at = 0; at < ${#flags[@]}; at++)); do
    if [[ " $* " == *" ${flags[at]} "* ]]; then
        [[ "${flags[at + 1]:-}" == --* ]] || at=$((at + 1))
    else
        kept+=("${flags[at]}")
    fi
done
"$portolan" up "${folders[@]}" "${kept[@]}" "$@" >"$work/up.log" 2>&1 || { cat "$work/up.log" >&2; exit 1; }
status() { "$portolan" status -o json --data-dir "$work/data"; }
url() { status | python3 -c 'import json,sys; print(json.load(sys.stdin)["dialects"][sys.argv[1]])' "$1"; }
if [[ "$printed" == env ]]; then
    echo "export KUBECONFIG=$work/data/admin.kubeconfig PORTOLAN=$portolan PORTOLAN_DATA=$work/data" \
        "PORTOLAN_NAMES=10.$((first + 1)).0.10 PORTOLAN_OUTSIDE_NAMES=$(url dns | sed 's|^dns://||') REGISTRY_URL=$(url registry) CONSUL_URL=$(url consul)" \
        "EUREKA_URL=$(url eureka)/eureka"
else
    url "$printed"
fi
exec 1>&-
cat >/dev/null
