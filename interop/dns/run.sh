#!/usr/bin/env bash
# Asks with dig and kdig what is registered through each dialect: run.sh
#
# CONSUL_URL, EUREKA_URL, REGISTRY_URL, PORTOLAN_NAMES (address of the name server) and PORTOLAN_OUTSIDE_NAMES (address and
# port of the one for programs outside of pods) are in the environment, as
# `interop/registry/run.sh` sets them. kdig comes from Debian's package knot-dnsutils, unpacked and not installed.
set -euo pipefail
work="${WORK:-$(mktemp -d)}"
kdig="$(command -v kdig || true)"
if [[ -z "$kdig" && ! -x "$work/usr/bin/kdig" ]]; then
    (cd "$work" && apt-get download -q knot-dnsutils $(apt-cache depends knot-dnsutils | sed -n 's/.*Depends: \(lib[^ ]*\)$/\1/p') >/dev/null 2>&1 &&
        for package in *.deb; do dpkg-deb -x "$package" .; done)
fi
if [[ -z "$kdig" && -x "$work/usr/bin/kdig" ]]; then
    kdig="$work/usr/bin/kdig"
    export LD_LIBRARY_PATH="$work/usr/lib/$(uname -m)-linux-gnu"
fi
put() { curl -sSf -X PUT "$CONSUL_URL/v1/$1" --data "$2" >/dev/null; }
put agent/service/register '{"ID": "web-1", "Name": "web", "Address": "203.0.113.1", "Port": 80, "Tags": ["blue"],
    "Weights": {"Passing": 7, "Warning": 1}, "Check": {"TTL": "10m", "Status": "passing"}}'
put agent/service/register '{"ID": "web-2", "Name": "web", "Address": "203.0.113.2", "Port": 81, "Tags": ["green"],
    "Weights": {"Passing": 3, "Warning": 1}, "Check": {"TTL": "10m", "Status": "warning"}}'
put agent/service/register '{"ID": "web-3", "Name": "web", "Address": "203.0.113.3", "Port": 82,
    "Check": {"TTL": "10m", "Status": "critical"}}'
put agent/service/register '{"ID": "web6", "Name": "web6", "Address": "2001:db8::6", "Port": 80}'
put agent/service/register '{"ID": "far", "Name": "far", "Address": "far.example.org", "Port": 80}'
put agent/service/register '{"ID": "my-1", "Name": "My_Svc", "Address": "10.5.5.5", "Port": 80}'
put agent/service/register '{"ID": "at-vm", "Name": "at-vm", "Address": "203.0.113.7", "Port": 80}'
put catalog/register '{"Node": "vm-7", "Address": "203.0.113.7", "NodeMeta": {"rfc1035-motto": "ports of call", "rack": "a"}}'
for number in $(seq 1 120); do
    put agent/service/register "{\"ID\": \"many-$number\", \"Name\": \"many\", \"Address\": \"198.51.100.$number\", \"Port\": 80}"
done
curl -sSf -X POST "$CONSUL_URL/v1/query" --data '{"Name": "blue-web", "Service": {"Service": "web", "Tags": ["blue"]}, "DNS": {"TTL": "7s"}}' >/dev/null
curl -sSf -X POST "$CONSUL_URL/v1/query" --data '{"Name": "geo-", "Template": {"Type": "name_prefix_match",
    "Regexp": "^geo-([^-]+)-?([^-]*)$", "RemoveEmptyTags": true}, "Service": {"Service": "${match(1)}", "Tags": ["${match(2)}"]}}' >/dev/null
curl -sSf -X POST "$EUREKA_URL/apps/ORDERS" -H 'Content-Type: application/json' --data '{"instance": {"instanceId": "orders-1",
    "app": "ORDERS", "hostName": "203.0.113.9", "ipAddr": "203.0.113.9", "vipAddress": "orders", "status": "UP",
    "port": {"$": 9000, "@enabled": "true"}, "dataCenterInfo": {"@class": "com.netflix.appinfo.InstanceInfo$DefaultDataCenterInfo",
    "name": "MyOwn"}, "leaseInfo": {"renewalIntervalInSecs": 30, "durationInSecs": 900}}}' >/dev/null

failed=0
server=("@$PORTOLAN_NAMES")
run() {
    local asked expected
    while IFS='|' read -r asked expected; do
        check "$asked" "$expected"
    done
}
# What is asked, and the sorted lines of the short answer, or after `~` what must stand in the whole one. Names
# follow a registration within moments.
check() {
    local asked=$1 expected=$2 tool found passed
    for tool in dig $kdig; do
        passed=
        for _ in $(seq 100); do
            # shellcheck disable=SC2086
            found="$($tool "${server[@]}" $asked)"
            if [[ "$expected" == ~* ]]; then
                grep -qiE -- "${expected#\~}" <<<"$found" && passed=1
            else
                [[ "$(sed -E '/^;/d;/^$/d' <<<"$found" | sort | paste -sd' ')" == "$expected" ]] && passed=1
            fi
            [[ -z "$passed" ]] || break
            sleep 0.05
        done
        if [[ -n "$passed" ]]; then
            echo "ok ${tool##*/} $asked"
        else
            echo "FAILED ${tool##*/} $asked: expected $expected, found:"
            echo "$found"
            failed=1
        fi
    done
}
run <<'CASES'
+short web.service.consul A|203.0.113.1 203.0.113.2
+short blue.web.service.consul A|203.0.113.1
+short _web._green.service.dc1.consul SRV|1 1 81 cb007102.addr.dc1.consul.
+short _web._tcp.service.consul SRV|1 1 81 cb007102.addr.dc1.consul. 1 7 80 cb007101.addr.dc1.consul.
+short cb007101.addr.dc1.consul A|203.0.113.1
+short web6.service.consul AAAA|2001:db8::6
+short vm-7.node.consul A|203.0.113.7
+short vm-7.node.dc1.consul TXT|"ports of call" "rack=a"
+short orders.service.consul SRV|1 1 9000 cb007109.addr.dc1.consul.
+short blue-web.query.consul A|203.0.113.1
blue-web.query.consul A|~blue-web.query.consul.\s+7\s+IN\s+A\s+203.0.113.1
+short geo-web.query.consul A|203.0.113.1 203.0.113.2
+short geo-web-green.query.consul A|203.0.113.2
nobody.service.consul A|~status: NXDOMAIN
nobody.service.consul A|~consul.\s+[0-9]+\s+IN\s+SOA
web.service.consul MX|~status: NOERROR
web.service.dc2.consul A|~status: NXDOMAIN
consul NS|~consul.\s+[0-9]+\s+IN\s+NS
consul SOA|~IN\s+SOA\s+ns.consul
+ignore +bufsize=512 many.service.consul A|~flags:.* tc
+ignore +noedns many.service.consul A|~flags:.* tc
+tcp many.service.consul A|~ANSWER: 120
+bufsize=4096 many.service.consul A|~ANSWER: 120
+short dns-version.cluster.local TXT|"1.1.0"
+short kubernetes.default.svc.cluster.local SRV|~kubernetes.default.svc.cluster.local
web.default.svc.cluster.local A|~203.0.113.1
WEB.Service.CONSUL A|~203.0.113.1
+short -x 10.5.5.5|my-1.my_svc.default.svc.cluster.local.
+short -x 203.0.113.1|web-1.web.default.svc.cluster.local.
+short -x 203.0.113.7|at-vm.at-vm.default.svc.cluster.local.
+short -x 2001:db8::6|web6.web6.default.svc.cluster.local.
+short My_Svc.default.svc.cluster.local A|10.5.5.5
+short my-1.my_svc.default.svc.cluster.local A|10.5.5.5
+short web.default.svc.cluster.local SRV|0 1 81 web-2.web.default.svc.cluster.local. 0 7 80 web-1.web.default.svc.cluster.local.
+short web6.default.svc.cluster.local AAAA|2001:db8::6
+short far.default.svc.cluster.local SRV|0 1 80 far.example.org.
far.default.svc.cluster.local A|~far.default.svc.cluster.local.\s+[0-9]+\s+IN\s+CNAME\s+far.example.org.
CASES
# Consul's clients know addresses by Consul's names.
server=("@${PORTOLAN_OUTSIDE_NAMES%:*}" -p "${PORTOLAN_OUTSIDE_NAMES##*:}")
run <<'CASES'
+short -x 10.5.5.5|my_svc.service.dc1.consul.
+short -x 203.0.113.1|web.service.dc1.consul.
+short -x 203.0.113.7|vm-7.node.dc1.consul.
+short -x 2001:db8::6|web6.service.dc1.consul.
+short web.service.consul A|203.0.113.1 203.0.113.2
CASES
exit $failed
