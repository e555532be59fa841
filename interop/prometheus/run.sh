#!/usr/bin/env bash
# Lets Prometheus find the same shop in five ways: as a client of Consul, of Eureka, of DNS, of HTTP service discovery
# and of Kubernetes. All must find the same addresses, before and after a change, and scrape what answers there.
#
#   interop/prometheus/run.sh
#
# PORTOLAN (binary), PORTOLAN_DATA (its data folder), KUBECONFIG, CONSUL_URL, EUREKA_URL, REGISTRY_URL and
# PORTOLAN_NAMES (address of the name server) are in the environment, as `interop/registry/run.sh` sets them.
# Prometheus is Debian's package, unpacked and not installed; it is built without Consul and Kubernetes, so a newer one,
# built from its Go module, finds the shop in all five ways. Needs root, since it gets a resolv.conf of its own.
set -euo pipefail
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
cache="${WORK:-$(mktemp -d)}"
work="$(mktemp -d)"
server=
stop() {
    [[ -z "$server" ]] || { kill "$server" 2>/dev/null; wait "$server" 2>/dev/null || true; }
    server=
}
end() {
    stop
    kubectl delete namespace shop --wait=false >/dev/null 2>&1 || true
    rm -rf "$work"
}
trap end EXIT
debian="$cache/usr/bin/prometheus"
[[ -x "$debian" ]] || (cd "$cache" && apt-get download -q prometheus >/dev/null 2>&1 && dpkg-deb -x prometheus_*.deb .)
version=0.310.0
upstream="$cache/bin/prometheus"
# A module of its own, since Prometheus' has replacements, which `go install` refuses.
[[ -x "$upstream" ]] || (mkdir -p "$cache/module" && cd "$cache/module" && export GOFLAGS=-mod=mod &&
    { [[ -f go.mod ]] || go mod init prometheus.invalid; } && go get "github.com/prometheus/prometheus/cmd/prometheus@v$version" &&
    go build -ldflags=-w -tags remove_all_sd,enable_consul_sd,enable_dns_sd,enable_eureka_sd,enable_kubernetes_sd \
        -o "$upstream" github.com/prometheus/prometheus/cmd/prometheus)

# A shop of pods that answer, and a warehouse outside of the cluster.
mkdir "$work/image"
cp "$(command -v busybox)" "$work/image/busybox"
cat >"$work/image/Dockerfile" <<'DOCKERFILE'
FROM scratch
COPY busybox /bin/busybox
COPY busybox /bin/sh
ENV PATH=/bin
EXPOSE 8080
CMD ["/bin/sh", "-c", "busybox mkdir -p /www && echo 'shop_open 1' > /www/metrics.txt && exec busybox httpd -f -p 8080 -h /www"]
DOCKERFILE
"$PORTOLAN" image build -t shop-metrics:1 "$work/image" --data-dir "$PORTOLAN_DATA" >/dev/null
kubectl create namespace shop >/dev/null
kubectl apply -n shop -f - >/dev/null <<'MANIFEST'
apiVersion: apps/v1
kind: Deployment
metadata: {name: storefront}
spec:
  replicas: 2
  selector: {matchLabels: {app: storefront}}
  template:
    metadata: {labels: {app: storefront}}
    spec:
      containers:
      - name: storefront
        image: shop-metrics:1
        imagePullPolicy: Never
        ports: [{name: http, containerPort: 8080}]
        readinessProbe: {httpGet: {path: /metrics.txt, port: http}, periodSeconds: 1}
---
apiVersion: v1
kind: Service
metadata: {name: storefront}
spec: {selector: {app: storefront}, ports: [{name: http, port: 80, targetPort: http}]}
---
apiVersion: v1
kind: Service
metadata: {name: warehouse, annotations: {registry.portolan.dev/service: default/warehouse}}
spec: {ports: [{port: 80}]}
MANIFEST
curl -sSf -X PUT "$CONSUL_URL/v1/agent/service/register" \
    --data '{"ID": "warehouse-1", "Name": "warehouse", "Address": "203.0.113.77", "Port": 9100}' >/dev/null
kubectl rollout status -n shop deployment/storefront --timeout=120s >/dev/null

printf 'nameserver %s\noptions timeout:2\n' "$PORTOLAN_NAMES" >"$work/resolv.conf"
# Runs a Prometheus with these jobs.
serve() {
    local program=$1
    shift
    jobs="$*"
    stop
    sed -e "s|@CONSUL@|${CONSUL_URL#http://}|; s|@EUREKA@|$EUREKA_URL|; s|@REGISTRY@|$REGISTRY_URL|; s|@KUBECONFIG@|$KUBECONFIG|" \
        "$here/prometheus.yml" | python3 "$here/jobs.py" "$@" >"$work/prometheus.yml"
    port="$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')"
    rm -rf "$work/data"
    # Its DNS discovery asks the servers of /etc/resolv.conf and no others.
    unshare --mount sh -c 'mount --bind "$1" "$(readlink -f /etc/resolv.conf)" && shift && exec "$@"' sh "$work/resolv.conf" \
        "$program" --config.file "$work/prometheus.yml" --storage.tsdb.path "$work/data" \
        --web.listen-address "127.0.0.1:$port" >"$work/prometheus.log" 2>&1 &
    server=$!
}

addresses() {
    kubectl get pods -n shop -l app=storefront \
        -o jsonpath='{range .items[?(@.status.phase=="Running")]}{.metadata.deletionTimestamp}{"|"}{.status.podIP}:8080{"\n"}{end}' |
        sed -n 's/^|//p'
}
find_all() {
    python3 "$here/targets.py" "http://127.0.0.1:$port" "$1" "$(addresses | paste -sd,)" 203.0.113.77:9100 $jobs || {
        tail -n 40 "$work/prometheus.log"
        return 1
    }
}
scale() {
    kubectl scale -n shop deployment/storefront --replicas="$1" >/dev/null
    kubectl wait -n shop --for=jsonpath='{.status.replicas}'="$1" deployment/storefront --timeout=120s >/dev/null
    kubectl rollout status -n shop deployment/storefront --timeout=120s >/dev/null
}
for program in "$debian dns eureka http" "$upstream consul dns eureka http kubernetes"; do
    ${program%% *} --version 2>&1 | head -n 1
    # shellcheck disable=SC2086
    serve $program
    find_all "two pods and the warehouse"
    scale 3
    find_all "a third pod"
    scale 1
    find_all "only one pod left"
    scale 2
done
