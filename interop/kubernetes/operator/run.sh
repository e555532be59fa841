#!/usr/bin/env bash
# Controllers as they are published and as people write them, in pods: interop/kubernetes/operator/run.sh BINARIES
#
# BINARIES is a folder with `chaos` and `builtins`, the examples of controller-runtime, unchanged, and our
# `greeter`. Drives the cluster of KUBECONFIG; PORTOLAN is the binary that puts the image there.
set -euo pipefail
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
source "$here/../expect.sh"
work="$(mktemp -d)"
namespace="operator-$$"
cleanup() {
    kubectl delete validatingwebhookconfiguration,mutatingwebhookconfiguration "$namespace" --ignore-not-found
    kubectl delete greetings,chaospods --all -n "$namespace" --timeout=20s
    kubectl delete crd chaospods.chaosapps.metamagical.io greetings.greetings.example.com --ignore-not-found --wait=false
    kubectl delete clusterrole,clusterrolebinding "$namespace" --ignore-not-found
    kubectl delete namespace "$namespace" --ignore-not-found --wait=false
    rm -rf "$work"
}
trap 'cleanup >/dev/null 2>&1' EXIT
cp "$1"/{chaos,builtins,greeter} "$here/Dockerfile" "$work/"
"$PORTOLAN" image build -t operator:1 "$work" >/dev/null
cd "$work"

# A certificate for the Service's name, of an authority that nobody else has.
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 1 -subj /CN=webhook-authority \
    -keyout ca.key -out ca.crt 2>/dev/null
openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=webhook -keyout tls.key -out tls.csr 2>/dev/null
openssl x509 -req -in tls.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 1 -out tls.crt \
    -extfile <(echo "subjectAltName=DNS:webhook.$namespace.svc") 2>/dev/null
for file in operators webhooks; do
    sed "s/NAMESPACE/$namespace/g; s#CA}#$(base64 -w0 ca.crt)}#" "$here/$file.yaml" >"$file.yaml"
done
kubectl create namespace "$namespace" >/dev/null
K="kubectl -n $namespace"

says "$K create secret tls webhook --cert=tls.crt --key=tls.key" "created"
says "kubectl apply -f operators.yaml" "deployment.apps/greeter created"
says "kubectl wait --for=condition=Established crd/chaospods.chaosapps.metamagical.io crd/greetings.greetings.example.com --timeout=20s" "condition met"
says "$K rollout status deployment/chaos --timeout=60s" "successfully rolled out"
says "$K rollout status deployment/builtins --timeout=60s" "successfully rolled out"
says "$K rollout status deployment/greeter --timeout=60s" "successfully rolled out"

echo "-- the published example with webhooks"
says "kubectl apply -f webhooks.yaml" "created"
says "$K run plain --image=web:1" "created"
says "kubectl label namespace $namespace annotate=$namespace" "labeled"
says "$K run hooked --image=web:1" "created"
says "$K get pod hooked -o jsonpath={.metadata.annotations}" '"example-mutating-admission-webhook":"foo"'
says "$K annotate pod hooked --overwrite example-mutating-admission-webhook=bar && $K get pod hooked -o jsonpath={.metadata.annotations}" \
    '"example-mutating-admission-webhook":"foo"'
says "kubectl delete mutatingwebhookconfiguration $namespace" "deleted"
refuses "$K run bare --image=web:1" \
    "admission webhook \"vpod.kb.io\" denied the request: missing annotation example-mutating-admission-webhook"
says "$K create deployment labelled --image=web:1 --replicas=0" "created"
says "$K wait rs -l app=labelled --for=jsonpath='{.metadata.labels.hello}'=world --timeout=20s" "condition met"
says "$K scale deployment builtins --replicas=0 && $K wait --for=delete pod -l app=builtins --timeout=30s" "scaled"
refuses "$K run bare --image=web:1" "failed calling webhook \"vpod.kb.io\""
says "kubectl delete validatingwebhookconfiguration $namespace" "deleted"

echo "-- the published example with a kind of its own"
cat >chaos.yaml <<YAML
apiVersion: chaosapps.metamagical.io/v1
kind: ChaosPod
metadata: {name: doomed}
spec:
  template:
    spec: {terminationGracePeriodSeconds: 0, containers: [{name: c, image: 'web:1'}]}
YAML
says "$K apply -f chaos.yaml" "chaospod.chaosapps.metamagical.io/doomed created"
says "$K wait pod/doomed --for=create --timeout=20s" "condition met"
says "$K get pod doomed -o jsonpath={.metadata.ownerReferences[0].kind}" "ChaosPod"
says "$K wait chaospod/doomed --for=jsonpath='{.status.lastRun}' --timeout=20s" "condition met"
says "$K get chaospods" "NEXT STOP" "doomed"
uid="$($K get pod doomed -o jsonpath='{.metadata.uid}')"
says "$K wait pod/doomed --for=delete --timeout=60s || test \$($K get pod doomed -o jsonpath={.metadata.uid}) != $uid"
says "$K delete chaospod doomed" "deleted"
says "$K wait pod/doomed --for=delete --timeout=30s"

echo "-- a controller with a leader"
says "$K get lease greeter -o jsonpath={.spec.holderIdentity}" "greeter-"
says "$K create -f - <<< '{\"apiVersion\":\"greetings.example.com/v1\",\"kind\":\"Greeting\",\"metadata\":{\"name\":\"g\"},\"spec\":{}}'" "created"
says "$K wait greeting/g --for=jsonpath='{.status.said}'=hello --timeout=20s" "condition met"
says "$K get configmap g -o jsonpath={.data.word}" "hello"
says "$K get gr g" "SAID" "hello" "1"
refuses "$K patch greeting g --type=merge -p '{\"spec\":{\"word\":\"nothing\"}}'" "say something"
says "$K patch greeting g --type=merge -p '{\"spec\":{\"word\":\"moin\"}}'" "patched"
says "$K wait greeting/g --for=jsonpath='{.status.said}'=moin --timeout=20s" "condition met"
says "$K delete configmap g && $K wait configmap/g --for=create --timeout=20s" "condition met"
says "$K events --for greeting/g" "Greeted" "said moin"
leader="$($K get lease greeter -o jsonpath='{.spec.holderIdentity}')"
says "$K delete pod ${leader%%_*} --wait=false" "deleted"
says "$K wait lease/greeter --for=jsonpath='{.spec.leaseTransitions}'=1 --timeout=30s" "condition met"
says "$K patch greeting g --type=merge -p '{\"spec\":{\"word\":\"ahoi\"}}'" "patched"
says "$K wait greeting/g --for=jsonpath='{.status.said}'=ahoi --timeout=30s" "condition met"
says "test \$($K get greeting g -o jsonpath={.status.by}) != ${leader%%_*}"
says "$K delete greeting g --timeout=30s" "deleted"
says "$K get configmap g-farewell" "g-farewell"
says "$K wait configmap/g --for=delete --timeout=20s"
exit "$((failed > 0))"
