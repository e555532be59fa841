#!/usr/bin/env bash
# HashiCorp's own command line of Consul, unchanged, against a running server: cli.sh URL TOKEN
#
# It is built from its Go module: the newest version of which the Go checksum database has all parts. The server has
# access control with TOKEN as its initial management token. Each line printed is one thing that worked.
set -euo pipefail
export CONSUL_HTTP_ADDR=$1 CONSUL_HTTP_TOKEN=$2
cache=${WORK:-$(mktemp -d)}
version=1.19.2
program="$cache/bin/consul"
if [[ ! -x "$program" ]]; then
    # The root of the module is a program; a module of its own makes its versions the ones that are built.
    mkdir -p "$cache/consul" "$cache/bin"
    (
        cd "$cache/consul"
        printf 'module consul.example/build\n\ngo 1.25\n' >go.mod
        printf 'package build\n\nimport _ "github.com/hashicorp/consul/command"\n' >build.go
        go get "github.com/hashicorp/consul@v$version"
        go build -ldflags '-s -w' -o "$program" github.com/hashicorp/consul
    )
fi
work="$(mktemp -d)"
watching=
trap '[[ -z "$watching" ]] || { kill "$watching" 2>/dev/null; wait "$watching" 2>/dev/null || true; }; rm -rf "$work"' EXIT
fail() { echo "FAILED $*"; exit 1; }
# says WORDS COMMAND...: the command succeeds and prints WORDS.
says() {
    local words=$1 output
    shift
    output="$("$program" "$@" 2>&1)" || fail "consul $*: $output"
    [[ "$output" == *"$words"* ]] || fail "consul $* did not say \"$words\": $output"
    echo "ok consul $*"
}
# refuses WORDS COMMAND...: the command fails, and says so.
refuses() {
    local words=$1 output
    shift
    if output="$("$program" "$@" 2>&1)"; then fail "consul $* succeeded: $output"; fi
    [[ "$output" == *"$words"* ]] || fail "consul $* did not say \"$words\": $output"
    echo "ok consul $* is refused"
}

says alive members
says leader operator raft list-peers
says Healthy operator autopilot state
says CleanupDeadServers operator autopilot get-config
says Services operator usage instances
says "build:" info
says version_metadata info
says dc1 catalog datacenters
says agent catalog nodes
says agent catalog nodes -detailed

cat >"$work/web.json" <<'JSON'
{"service": {"name": "cli-web", "id": "cli-web-1", "address": "192.0.2.1", "port": 80, "tags": ["blue"], "meta": {"version": "1"},
    "checks": [{"id": "cli-alive", "name": "alive", "ttl": "10m", "status": "passing"}]}}
JSON
says "Registered service: cli-web" services register "$work/web.json"
says "Registered service: cli-db" services register -name cli-db -id cli-db-1 -port 5432 -address 192.0.2.2 -tag main
says cli-web catalog services
says blue catalog services -tags
says agent catalog nodes -service cli-web
says cli-web-1 watch -type service -service cli-web
says alive watch -type checks -service cli-web
says cli-db watch -type services
says "Service maintenance is now enabled" maint -enable -service cli-db-1 -reason "new disk"
says "new disk" maint
says "Service maintenance is now disabled" maint -disable -service cli-db-1
says "Node maintenance is now enabled" maint -enable -reason "new roof"
says "Node maintenance is now disabled" maint -disable
says "Deregistered service: cli-db-1" services deregister -id cli-db-1
says "Deregistered service: cli-web-1" services deregister "$work/web.json"

says "Success! Data written to: cli/motto" kv put cli/motto "ports of call"
says "ports of call" kv get cli/motto
says ModifyIndex kv get -detailed cli/motto
says "Success! Data written to: cli/flags" kv put -flags 42 cli/flags one
says "cli/motto" kv get -keys cli/
says "cli/motto:ports of call" kv get -recurse cli/
"$program" kv export cli/ >"$work/export.json" || fail "kv export"
says "Success! Deleted keys with prefix: cli/" kv delete -recurse cli/
says "Imported: cli/motto" kv import "@$work/export.json"
says "ports of call" kv get cli/motto
says "Flags            42" kv get -detailed cli/flags
says "Success! Deleted key: cli/motto" kv delete cli/motto
refuses "No key exists" kv get cli/motto
says holder lock -verbose cli/lock "echo holder"

says "Event ID" event -name cli-deploy some-payload
"$program" watch -type key -key cli/watched cat >"$work/watched" 2>&1 &
watching=$!
"$program" kv put cli/watched ahoy >/dev/null
for _ in $(seq 300); do ! grep -q YWhveQ== "$work/watched" || break; sleep 0.1; done
grep -q YWhveQ== "$work/watched" || fail "consul watch -type key: $(cat "$work/watched")"
echo "ok consul watch -type key"
kill "$watching" && wait "$watching" || true
watching=

says global-management acl policy list
says "Name:         cli-readers" acl policy create -name cli-readers -rules 'key_prefix "cli/" { policy = "read" }'
says cli-readers acl policy read -name cli-readers
says "may read" acl policy update -name cli-readers -description "may read"
says cli-role acl role create -name cli-role -policy-name cli-readers
secret="$("$program" acl token create -description cli -role-name cli-role -format json | python3 -c 'import json,sys; t=json.load(sys.stdin); print(t["SecretID"], t["AccessorID"])')"
accessor=${secret#* } secret=${secret% *}
says cli-role acl token read -id "$accessor"
says "$accessor" acl token list
CONSUL_HTTP_TOKEN=$secret says ahoy kv get cli/watched
CONSUL_HTTP_TOKEN=$secret refuses "Permission denied" kv put cli/watched no
says "deleted successfully" acl token delete -id "$accessor"
CONSUL_HTTP_TOKEN=$secret refuses "ACL not found" kv get cli/watched
says "deleted successfully" acl role delete -name cli-role
says "deleted successfully" acl policy delete -name cli-readers

cat >"$work/defaults.hcl" <<'HCL'
Kind     = "service-defaults"
Name     = "cli-web"
Protocol = "http"
Meta { team = "shop" }
UpstreamConfig {
  Defaults {
    Limits { MaxConnections = 0 }
    PassiveHealthCheck {
      Interval = "10s"
      BaseEjectionTime = "30s"
    }
  }
}
HCL
cat >"$work/resolver.hcl" <<'HCL'
kind            = "service-resolver"
name            = "cli-web"
connect_timeout = "15s"
default_subset  = "v1"
subsets = { "v1" = { filter = "Service.Meta.version == v1" } }
load_balancer = {
  policy        = "maglev"
  hash_policies = [{ field = "cookie", field_value = "shop", cookie_config = { ttl = "1h" } }]
}
HCL
says "Config entry written: service-defaults/cli-web" config write "$work/defaults.hcl"
says "Config entry written: service-resolver/cli-web" config write "$work/resolver.hcl"
says '"team": "shop"' config read -kind service-defaults -name cli-web
# Its types read these as whole nanoseconds, and tell zero connections from no limit.
says '"Interval": 10000000000' config read -kind service-defaults -name cli-web
says '"BaseEjectionTime": 30000000000' config read -kind service-defaults -name cli-web
says '"MaxConnections": 0' config read -kind service-defaults -name cli-web
says '"TTL": 3600000000000' config read -kind service-resolver -name cli-web
says '"ConnectTimeout": "15s"' config read -kind service-resolver -name cli-web
says cli-web config list -kind service-defaults
says "Config entry deleted: service-resolver/cli-web" config delete -kind service-resolver -name cli-web
says "Config entry deleted: service-defaults/cli-web" config delete -kind service-defaults -name cli-web
refuses "Config entry not found" config read -kind service-defaults -name cli-web

says "Configuration reload triggered" reload
# What is not here, or not by a request, is refused in words.
refuses "not a recognized HTTP API endpoint" snapshot save "$work/consul.snap"
refuses "does not leave by request" leave
refuses "gossip encryption is not in use" keyring -list
