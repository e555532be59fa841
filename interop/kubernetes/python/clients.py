"""Drives a cluster with the official Python client, as programs use it.

Needs the package `kubernetes` and KUBECONFIG of an administrator. Prints one line per check.
"""

import datetime
import sys
import threading
import time
import uuid

from kubernetes import client, config, dynamic, utils, watch
from kubernetes.client.rest import ApiException
from kubernetes.leaderelection import electionconfig, leaderelection
from kubernetes.leaderelection.resourcelock.configmaplock import ConfigMapLock

config.load_kube_config()
CORE, APPS = client.CoreV1Api(), client.AppsV1Api()
NAMESPACE = f"python-{uuid.uuid4().hex[:6]}"
FAILURES = []


def check(name):
    def run(body):
        started = time.monotonic()
        try:
            body()
            print(f"ok   {name} ({(time.monotonic() - started) * 1000:.0f} ms)")
        except Exception as error:  # every failure is a finding, whatever it is
            FAILURES.append(name)
            print(f"FAIL {name}: {type(error).__name__}: {str(error)[:800]}")

    return run


def config_map(name, **data):
    return client.V1ConfigMap(metadata=client.V1ObjectMeta(name=name, labels={"python": "yes"}), data=data)


def deployment(name):
    labels = {"app": name}
    container = client.V1Container(
        name="c", image="i", ports=[client.V1ContainerPort(container_port=80)],
        resources=client.V1ResourceRequirements(requests={"cpu": "100m"}),
    )
    template = client.V1PodTemplateSpec(
        metadata=client.V1ObjectMeta(labels=labels), spec=client.V1PodSpec(containers=[container]))
    spec = client.V1DeploymentSpec(replicas=0, selector=client.V1LabelSelector(match_labels=labels), template=template)
    return client.V1Deployment(metadata=client.V1ObjectMeta(name=name), spec=spec)


CORE.create_namespace(client.V1Namespace(metadata=client.V1ObjectMeta(name=NAMESPACE)))


@check("versions and groups")
def _():
    assert client.VersionApi().get_code().major == "1"
    groups = [group.name for group in client.ApisApi().get_api_versions().groups]
    assert "apps" in groups, groups


@check("typed objects")
def _():
    made = CORE.create_namespaced_config_map(NAMESPACE, config_map("a", a="b"))
    made.data["c"] = "d"
    CORE.replace_namespaced_config_map("a", NAMESPACE, made)
    try:
        CORE.replace_namespaced_config_map("a", NAMESPACE, made)
        raise AssertionError("a stale object was written")
    except ApiException as error:
        assert error.status == 409, error
    patched = CORE.patch_namespaced_config_map("a", NAMESPACE, {"data": {"a": None, "e": "f"}})
    assert patched.data == {"c": "d", "e": "f"}, patched.data
    listed = CORE.list_namespaced_config_map(NAMESPACE, label_selector="python=yes").items
    assert [item.metadata.name for item in listed] == ["a"]
    assert isinstance(listed[0].metadata.creation_timestamp, datetime.datetime)
    status = CORE.delete_namespaced_config_map("a", NAMESPACE, body=client.V1DeleteOptions(propagation_policy="Background"))
    assert "Success" in str(status), status


@check("every kind of patch")
def _():
    APPS.create_namespaced_deployment(NAMESPACE, deployment("patched"))
    container = {"name": "c", "env": [{"name": "A", "value": "B"}]}
    merged = APPS.patch_namespaced_deployment(
        "patched", NAMESPACE, {"spec": {"template": {"spec": {"containers": [container]}}}})
    assert merged.spec.template.spec.containers[0].image == "i"
    changed = APPS.patch_namespaced_deployment(
        "patched", NAMESPACE, [{"op": "replace", "path": "/spec/revisionHistoryLimit", "value": 3}])
    assert changed.spec.revision_history_limit == 3
    scale = APPS.patch_namespaced_deployment_scale("patched", NAMESPACE, {"spec": {"replicas": 0}})
    # Kubernetes leaves out a number that is zero.
    assert not scale.spec.replicas
    APPS.delete_namespaced_deployment("patched", NAMESPACE)


@check("refusals")
def _():
    for call, status in [
        (lambda: CORE.read_namespaced_pod("none", NAMESPACE), 404),
        (lambda: CORE.create_namespaced_config_map(NAMESPACE, config_map("A B")), 422),
        (lambda: CORE.list_namespaced_pod(NAMESPACE, field_selector="x=y"), 400),
    ]:
        try:
            call()
            raise AssertionError("not refused")
        except ApiException as error:
            assert error.status == status, error


@check("pages")
def _():
    for index in range(7):
        CORE.create_namespaced_config_map(NAMESPACE, config_map(f"page-{index}"))
    names, token = [], None
    while True:
        page = CORE.list_namespaced_config_map(NAMESPACE, label_selector="python=yes", limit=3, _continue=token)
        names += [item.metadata.name for item in page.items]
        token = page.metadata._continue
        if not token:
            break
    assert names == [f"page-{index}" for index in range(7)], names
    CORE.delete_collection_namespaced_config_map(NAMESPACE, label_selector="python=yes")


@check("watches")
def _():
    version = CORE.list_namespaced_config_map(NAMESPACE).metadata.resource_version
    made = threading.Timer(0.1, lambda: CORE.create_namespaced_config_map(NAMESPACE, config_map("watched")))
    made.start()
    stream = watch.Watch().stream(
        CORE.list_namespaced_config_map, NAMESPACE, resource_version=version, timeout_seconds=10)
    event = next(iter(stream))
    assert (event["type"], event["object"].metadata.name) == ("ADDED", "watched"), event
    made.join()


@check("the dynamic client")
def _():
    maps = dynamic.DynamicClient(client.ApiClient()).resources.get(api_version="v1", kind="ConfigMap")
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "dynamic"}, "data": {"a": "b"}}
    maps.create(body=body, namespace=NAMESPACE)
    applied = maps.server_side_apply(
        body={**body, "data": {"c": "d"}}, name="dynamic", namespace=NAMESPACE, field_manager="python")
    assert applied.data.to_dict() == {"a": "b", "c": "d"}, applied.data
    assert maps.get(name="dynamic", namespace=NAMESPACE).metadata.name == "dynamic"
    maps.delete(name="dynamic", namespace=NAMESPACE)


@check("manifests")
def _():
    api = client.ApiClient()
    service = {
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": "made", "namespace": NAMESPACE},
        "spec": {"selector": {"a": "b"}, "ports": [{"port": 80, "targetPort": "http"}]},
    }
    utils.create_from_dict(api, service)
    assert CORE.read_namespaced_service("made", NAMESPACE).spec.cluster_ip


@check("leader election")
def _():
    led = []
    lock = ConfigMapLock("election", NAMESPACE, "one")
    settings = electionconfig.Config(
        lock, lease_duration=6, renew_deadline=4, retry_period=1,
        onstarted_leading=lambda: led.append("one"), onstopped_leading=None)
    elector = leaderelection.LeaderElection(settings)
    assert elector.acquire()
    assert CORE.read_namespaced_config_map("election", NAMESPACE).metadata.annotations


CORE.delete_namespace(NAMESPACE)
sys.exit(f"{len(FAILURES)} checks failed" if FAILURES else 0)
