#!/usr/bin/env bash
# HashiCorp's consul-template, unchanged, against a running server: consul-template.sh URL
#
# It is built from its Go module. One process renders a file from services, health, keys and nodes by blocking queries
# and must follow each change; each line printed is one change that arrived.
set -euo pipefail
url=$1
cache=${WORK:-$(mktemp -d)}
version=0.39.1
program="$cache/bin/consul-template"
[[ -x "$program" ]] || GOBIN="$cache/bin" go install "github.com/hashicorp/consul-template@v$version"
work="$(mktemp -d)"
renderer=
trap '[[ -z "$renderer" ]] || { kill -INT "$renderer" 2>/dev/null; wait "$renderer" 2>/dev/null || true; }; rm -rf "$work"' EXIT
put() { curl -sSf -X PUT "$url/v1/$1" --data "${2:-}" >/dev/null; }
register() {
    put agent/service/register "{\"ID\": \"$1\", \"Name\": \"tpl-web\", \"Address\": \"$2\", \"Port\": 80, \"Tags\": [\"$3\"],
        \"Meta\": {\"owner\": \"x\"}, \"Check\": {\"CheckID\": \"check-$1\", \"TTL\": \"10m\", \"Status\": \"passing\"}}"
}
cat >"$work/shop.tpl" <<'TEMPLATE'
web:{{ range service "tpl-web" }} {{ .Address }}:{{ .Port }}{{ end }}
blue:{{ range service "blue.tpl-web" }} {{ .ID }}{{ end }}
any:{{ range service "tpl-web|any" }} {{ .ID }}={{ .Status }}{{ end }}
meta:{{ range service "tpl-web" }} {{ .ServiceMeta.owner }}{{ end }}
services:{{ range services }}{{ if eq .Name "tpl-web" }} {{ .Name }}={{ .Tags | join "," }}{{ end }}{{ end }}
motto: {{ keyOrDefault "tpl/motto" "none" }}
list:{{ range ls "tpl/list" }} {{ .Key }}={{ .Value }}{{ end }}
tree:{{ range tree "tpl" }} {{ .Key }}{{ end }}
nodes:{{ range nodes }}{{ if eq .Node "tpl-vm" }} {{ .Address }}{{ end }}{{ end }}
TEMPLATE
"$program" -consul-addr "${url#http://}" -template "$work/shop.tpl:$work/shop.txt" -log-level warn 2>"$work/log" &
renderer=$!
shows() {
    for _ in $(seq 300); do
        if [[ -f "$work/shop.txt" ]] && grep -qxF -- "$2" "$work/shop.txt"; then
            echo "ok $1"
            return
        fi
        sleep 0.1
    done
    echo "FAILED $1: no line $2 in"
    cat "$work/shop.txt" "$work/log"
    exit 1
}
shows "nothing is there" "web:"
register tpl-1 192.0.2.1 blue
shows "an instance appears" "web: 192.0.2.1:80"
register tpl-2 192.0.2.2 green
shows "another appears" "web: 192.0.2.1:80 192.0.2.2:80"
shows "tags are told apart" "blue: tpl-1"
shows "metadata" "meta: x x"
shows "services with their tags" "services: tpl-web=blue,green"
put agent/check/fail/check-tpl-1
shows "a critical one is left out" "web: 192.0.2.2:80"
shows "and shown where any is asked for" "any: tpl-1=critical tpl-2=passing"
put agent/check/pass/check-tpl-1
shows "and is back" "web: 192.0.2.1:80 192.0.2.2:80"
put agent/service/deregister/tpl-2
shows "one is gone" "web: 192.0.2.1:80"
put kv/tpl/motto "ports of call"
shows "a key is written" "motto: ports of call"
put kv/tpl/motto "all hands"
shows "and changed" "motto: all hands"
curl -sSf -X DELETE "$url/v1/kv/tpl/motto" >/dev/null
shows "and deleted" "motto: none"
put kv/tpl/list/a 1
put kv/tpl/list/b 2
shows "keys are listed" "list: a=1 b=2"
shows "and as a tree" "tree: list/a list/b"
put catalog/register '{"Node": "tpl-vm", "Address": "192.0.2.50"}'
shows "a machine appears" "nodes: 192.0.2.50"
put catalog/deregister '{"Node": "tpl-vm"}'
shows "and goes" "nodes:"
[[ ! -s "$work/log" ]] || { echo "warnings:"; cat "$work/log"; }
