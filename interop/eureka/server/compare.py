"""Registers with an old Eureka server, lets Portolan import from it, and compares what both answer."""

import json
import subprocess
import sys
import time
import urllib.error
import urllib.request

OLD, NEW, PORTOLAN, DATA = sys.argv[1:5]
PATIENCE = 60


def ask(base, method, path, body=None):
    request = urllib.request.Request(base + path, method=method, headers={"Accept": "application/json"})
    if body is not None:
        request.data = json.dumps(body).encode()
        request.add_header("Content-Type", "application/json")
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


def register(app, number, status="UP", port=8080, base=OLD, **more):
    instance = {
        "instanceId": f"{app}-{number}", "app": app.upper(), "hostName": f"host-{number}",
        "ipAddr": f"192.0.2.{number}", "vipAddress": app, "secureVipAddress": app, "status": status,
        "port": {"$": port, "@enabled": "true"}, "securePort": {"$": port + 1, "@enabled": "false"},
        "healthCheckUrl": f"http://192.0.2.{number}:{port}/health", "homePageUrl": f"http://192.0.2.{number}:{port}/",
        "dataCenterInfo": {"@class": "com.netflix.appinfo.InstanceInfo$DefaultDataCenterInfo", "name": "MyOwn"},
        "leaseInfo": {"renewalIntervalInSecs": 30, "durationInSecs": 600}, "metadata": {"zone": "a"}, **more,
    }
    code, text = ask(base, "POST", f"/apps/{app.upper()}", {"instance": instance})
    assert code == 204, (code, text)


def seen(base):
    """What clients act on, by application and instance."""
    code, text = ask(base, "GET", "/apps")
    assert code == 200, (code, text)
    applications = json.loads(text)["applications"]["application"]
    instances = [instance for application in applications for instance in application["instance"]]
    return {
        (it["app"], it["instanceId"]): (
            it["ipAddr"], it["port"]["$"], it["status"], it.get("vipAddress"), it["metadata"].get("zone"),
        )
        # The cluster has a service of its own.
        for it in instances if it["app"] != "KUBERNETES"
    }


def until(what, holds):
    since = time.monotonic()
    while not holds():
        if time.monotonic() - since > PATIENCE:
            sys.exit(f"{what}: not within {PATIENCE} s\nold {seen(OLD)}\nnew {seen(NEW)}")
        time.sleep(0.2)
    print(f"ok: {what} after {time.monotonic() - since:.1f} s")


def same():
    return seen(OLD) == seen(NEW)


# Codes that both answer to the same questions.
QUESTIONS = [
    ("PUT", "/apps/FLOW/flow-1?status=UP"), ("PUT", "/apps/FLOW/flow-9"), ("DELETE", "/apps/FLOW/flow-9"),
    ("PUT", "/apps/FLOW/flow-1?lastDirtyTimestamp=99999999999999"), ("PUT", "/apps/FLOW/flow-2"),
    ("PUT", "/apps/FLOW/flow-1/status?value=OUT_OF_SERVICE"), ("PUT", "/apps/FLOW/flow-9/status?value=UP"),
    ("DELETE", "/apps/FLOW/flow-1/status?value=UP"), ("PUT", "/apps/FLOW/flow-1/metadata?k=v"),
    ("GET", "/apps?regions=us-east-1"), ("GET", "/apps/delta?regions=us-east-1"), ("GET", "/vips/flow"),
    ("GET", "/vips/nothing"), ("GET", "/svips/flow"), ("GET", "/instances/flow-1"), ("GET", "/apps/NONE/none"),
    ("PUT", "/apps/FLOW/flow-3/status?value=UP"), ("DELETE", "/apps/FLOW/flow-1"), ("DELETE", "/apps/FLOW/flow-2"),
    ("DELETE", "/apps/FLOW/flow-3"),
]


def codes(base):
    register("flow", 1, base=base)
    register("flow", 2, status="UNKNOWN", base=base)
    register("flow", 3, status="STARTING", base=base)
    found = []
    for method, path in QUESTIONS:
        code, text = ask(base, method, path)
        extra = ""
        if path.startswith("/vips/"):
            extra = json.loads(text)["applications"]["versions__delta"]
        if path.startswith("/apps/FLOW/flow-3/status"):
            extra = json.loads(ask(base, "GET", "/apps/FLOW/flow-3")[1])["instance"]["status"]
        found.append((method, path, code, extra))
    return found


differ = [pair for pair in zip(codes(OLD), codes(NEW)) if pair[0] != pair[1]]
for old, new in differ:
    print(f"old {old} new {new}")
assert not differ, "the servers answer differently"
print(f"ok: {len(QUESTIONS)} questions are answered alike")

for number in range(1, 21):
    register("shop", number)
register("cart", 1, status="DOWN")
register("cart", 2, status="OUT_OF_SERVICE")
importing = subprocess.Popen(
    [PORTOLAN, "registry", "import", "eureka", "--from", OLD, "--interval", "1", "--data-dir", DATA],
    stdout=subprocess.DEVNULL,
)
try:
    until("22 instances are imported", lambda: len(seen(NEW)) == 22 and same())
    assert ask(OLD, "DELETE", "/apps/SHOP/shop-7")[0] == 200
    register("shop", 3, port=9090)
    register("billing", 1)
    ask(OLD, "PUT", "/apps/SHOP/shop-4/status?value=OUT_OF_SERVICE")
    until("changes follow", same)
finally:
    importing.terminate()
    importing.wait()
