#!/usr/bin/env bash
# Lets Prometheus find the same shop in five ways: as a client of Consul, of Eureka, of DNS, of HTTP service discovery
# and of Kubernetes. All must find the same addresses, before and after a change, and scrape what answers there.
#
#   interop/prometheus/run.sh
#
# PORTOLAN (binary), PORTOLAN_DATA (its data folder), KUBECONFIG, CONSUL_URL, EUREKA_URL, REGISTRY_URL and
# PORTOLAN_NAMES (address of the name server) are in the environment, as `interop/registry/run.sh` sets them.
# Prometheus is Debian's package, unpacked and not installed. Needs root, since it gets a resolv.conf of its own.
set -euo pipefail
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
cache="${WORK:-$(mktemp -d)}"
work="$(mktemp -d)"
prometheus="$(command -v prometheus || true)"
server=
end() {
    [[ -z "$server" ]] || { kill "$server" 2>/dev/null; wait "$server" 2>/dev/null || true; }
    kubectl delete namespace shop --wait=false >/dev/null 2>&1 || true
    rm -rf "$work"
}
trap end EXIT
if [[ -z "$prometheus" ]]; then
    prometheus="$cache/usr/bin/prometheus"
    [[ -x "$prometheus" ]] || (cd "$cache" && apt-get download -q prometheus >/dev/null && dpkg-deb -x prometheus_*.deb .)
fi
"$prometheus" --version 2>&1 | head -n 1

# A shop of pods that answer, and a warehouse outside of the cluster.
mkdir "$work/image"
cp "$(command -v busybox)" "$work/image/busybox"
cat >"$work/image/Dockerfile" <<'DOCKERFILE'
FROM scratch
COPY busybox /bin/busybox
COPY busybox /bin/sh
ENV PATH=/bin
EXPOSE 8080
CMD ["/bin/sh", "-c", "busybox mkdir -p /www && echo 'shop_open 1' > /www/metrics && exec busybox httpd -f -p 8080 -h /www"]
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
        readinessProbe: {httpGet: {path: /metrics, port: http}, periodSeconds: 1}
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
    --data '{"ID": "warehouse-1", "Name": "warehouse", "Address": "192.0.2.77", "Port": 9100}' >/dev/null
kubectl rollout status -n shop deployment/storefront --timeout=120s >/dev/null

sed -e "s|CONSUL|${CONSUL_URL#http://}|; s|EUREKA|$EUREKA_URL|; s|REGISTRY|$REGISTRY_URL|; s|KUBECONFIG|$KUBECONFIG|" \
    "$here/prometheus.yml" >"$work/prometheus.yml"
printf 'nameserver %s\noptions timeout:2\n' "$PORTOLAN_NAMES" >"$work/resolv.conf"
port="$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')"
# Its DNS discovery asks the servers of /etc/resolv.conf and no others.
unshare --mount sh -c 'mount --bind "$1" "$(readlink -f /etc/resolv.conf)" && shift && exec "$@"' sh "$work/resolv.conf" \
    "$prometheus" --config.file "$work/prometheus.yml" --storage.tsdb.path "$work/data" \
    --web.listen-address "127.0.0.1:$port" >"$work/prometheus.log" 2>&1 &
server=$!

addresses() {
    kubectl get pods -n shop -l app=storefront \
        -o jsonpath='{range .items[?(@.status.phase=="Running")]}{.metadata.deletionTimestamp}{"|"}{.status.podIP}:8080{"\n"}{end}' |
        sed -n 's/^|//p'
}
find_all() {
    python3 "$here/targets.py" "http://127.0.0.1:$port" "$1" "$(addresses | paste -sd,)" 192.0.2.77:9100 || {
        tail -n 40 "$work/prometheus.log"
        return 1
    }
}
find_all "two pods and the warehouse"
kubectl scale -n shop deployment/storefront --replicas=3 >/dev/null
kubectl rollout status -n shop deployment/storefront --timeout=120s >/dev/null
find_all "a third pod"
kubectl scale -n shop deployment/storefront --replicas=1 >/dev/null
kubectl wait -n shop --for=jsonpath='{.status.replicas}'=1 deployment/storefront --timeout=120s >/dev/null
find_all "only one pod left"
