#!/usr/bin/env bash
# The life of a release, with the helm given: interop/kubernetes/helm/run.sh PATH-OF-HELM
#
# Drives the cluster of KUBECONFIG, which has the image web:1.
set -euo pipefail
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
source "$here/../expect.sh"
work="$(mktemp -d)"
namespace="helm-$$"
trap 'kubectl delete namespace "$namespace" --ignore-not-found --wait=false >/dev/null
    kubectl delete crd offers.shop.example.com --ignore-not-found --wait=false >/dev/null; rm -rf "$work"' EXIT
mkdir "$work/bin"
ln -s "$(realpath "$1")" "$work/bin/helm"
export PATH="$work/bin:$PATH" HELM_NAMESPACE="$namespace" HELM_CACHE_HOME="$work/cache" \
    HELM_CONFIG_HOME="$work/config" HELM_DATA_HOME="$work/data"
cp -r "$here/chart" "$work/chart"
cd "$work"

says "helm version" "v"
says "helm lint chart" "1 chart(s) linted, 0 chart(s) failed"
says "helm template shop chart" "kind: Deployment" "helm.sh/hook"
says "helm install shop chart --create-namespace --wait --timeout 90s" "STATUS: deployed" "REVISION: 1" "shop says hello"
refuses "helm install shop chart" "cannot re"
# Both ask the server what it thinks of the objects, so they need the chart's kind to be there.
says "helm template other chart --validate" "kind: Deployment"
says "helm install other chart --dry-run=server" "hello" "kind: Service"
says "kubectl get deployments -n $namespace -o name | wc -l" "1"
says "helm list" "shop" "deployed" "shop-1.0.0"
says "helm status shop" "STATUS: deployed"
says "helm test shop --timeout 60s" "Phase:" "Succeeded"
says "helm test shop --logs --timeout 60s" "POD LOGS" "one shop-"
says "helm get manifest shop" "kind: Deployment"
says "helm get values shop --all" "greeting: hello"
says "helm get hooks shop" "post-install"
says "helm get notes shop" "shop says hello"
says "kubectl logs -n $namespace shop-post-install" "post-install hello"
says "kubectl get offers -n $namespace" "shop"
says "kubectl get deployment -n $namespace shop" "2/2"

says "helm upgrade shop chart --set replicas=1,greeting=welcome --wait --timeout 90s" "REVISION: 2" "shop says welcome"
says "kubectl exec -n $namespace deployment/shop -- sh -c 'echo \$GREETING'" "welcome"
says "kubectl logs -n $namespace shop-pre-upgrade" "pre-upgrade welcome"
refuses "helm upgrade shop chart --set failUpgrade=true --timeout 60s" "failed"
says "helm history shop" "superseded" "deployed" "failed"
refuses "helm upgrade shop chart --set replicas=-1 --timeout 60s" "must be greater than or equal to 0"
says "helm upgrade shop chart --reuse-values --set image=web:1 --wait --timeout 90s" "STATUS: deployed"
says "helm rollback shop 1 --wait --timeout 90s" "Rollback was a success"
says "kubectl get deployment -n $namespace shop" "2/2"
says "kubectl get configmap -n $namespace shop-settings -o jsonpath={.data.GREETING}" "hello"
says "kubectl logs -n $namespace shop-post-rollback" "post-rollback hello"
# Helm 4 applies on the server: what somebody else has taken over is a conflict there, unless it insists.
says "kubectl label -n $namespace deployment/shop --overwrite app.kubernetes.io/name=other" "labeled"
insist=$([[ "$(helm version --short)" == v3* ]] || echo --force-conflicts)
[[ -z "$insist" ]] || refuses "helm upgrade shop chart" "conflict with \"kubectl-label\" using apps/v1"
says "helm upgrade shop chart --install --wait --timeout 90s $insist" "STATUS: deployed"
says "kubectl get deployment -n $namespace shop" "shop"
# A release that does not become ready in time is rolled back.
refuses "helm upgrade shop chart --set image=missing.invalid/none:1 --atomic --timeout 15s" "rolled back"
says "helm status shop" "STATUS: deployed"
says "helm package chart" "shop-1.0.0.tgz"
says "helm upgrade shop shop-1.0.0.tgz --wait --timeout 90s" "STATUS: deployed"
says "helm uninstall shop --keep-history --wait --timeout 90s" "release \"shop\" uninstalled"
says "helm list --all --uninstalled || helm list --uninstalled" "uninstalled"
says "helm rollback shop --wait --timeout 90s" "Rollback was a success"
says "helm uninstall shop --wait --timeout 90s" "release \"shop\" uninstalled"
# Helm waits for what it made: pods may end a moment later than their Deployment.
says "for _ in {1..100}; do kubectl get all,configmaps,offers -n $namespace -l app.kubernetes.io/instance=shop 2>&1 | tee left |
    grep 'No resources found' && break; sleep 0.1; done; cat left" "No resources found"
says "kubectl get crd offers.shop.example.com" "offers.shop.example.com"
says "test -z \"\$(helm list --short)\""
exit "$((failed > 0))"
