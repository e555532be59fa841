"""py-eureka-client: registers in JSON, reads XML."""

import asyncio
import sys
import time

import py_eureka_client.eureka_basic as basic
from py_eureka_client.eureka_client import EurekaClient

URL = sys.argv[1]


def check(name, condition, seen=None):
    if not condition:
        raise SystemExit(f"not ok {name}: {seen!r}")
    print("ok", name)


def ids(applications):
    return sorted(i.instanceId for app in applications.applications for i in app.instances)


async def instance(number):
    # This version of the client hands back a coroutine where it means its result.
    found = await basic.get_instance(URL, number)
    return await found if asyncio.iscoroutine(found) else found


def client(app, number, **more):
    return EurekaClient(
        eureka_server=URL, app_name=app, instance_id=f"{app}-{number}", instance_host="127.0.0.1",
        instance_ip="127.0.0.1", instance_port=9000 + number, renewal_interval_in_secs=1, duration_in_secs=3, **more)


async def main():
    first = client("py-orders", 1, metadata={"color": "blue", "under_score": "a&b"}, vip_adr="py-orders,orders")
    second = client("py-orders", 2)
    await first.start()
    await second.start()
    applications = await basic.get_applications(URL)
    check("both are listed", ids(applications).count("py-orders-1") == 1 and "py-orders-2" in ids(applications), ids(applications))
    app = await basic.get_application(URL, "py-orders")
    check("application by name", len(app.instances) == 2, app.instances)
    one = await basic.get_app_instance(URL, "py-orders", "py-orders-1")
    check("instance of an application", one.port.port == 9001 and one.status == "UP", one)
    check("metadata", one.metadata.get("color") == "blue" and one.metadata.get("under__score", one.metadata.get("under_score")) == "a&b", one.metadata)
    check("lease", one.leaseInfo.durationInSecs == 3 and one.leaseInfo.renewalIntervalInSecs == 1, vars(one.leaseInfo))
    check("instance by id", (await instance("py-orders-2")).instanceId == "py-orders-2")
    check("virtual address", ids(await basic.get_vip(URL, "orders")) == ["py-orders-1"])
    # Instances of others may come and go meanwhile: the delta counts if nothing changed around it.
    full, delta, after = [await ask(URL) for ask in (basic.get_applications, basic.get_delta, basic.get_applications)]
    while full.appsHashcode != after.appsHashcode:
        full, delta, after = after, await basic.get_delta(URL), await basic.get_applications(URL)
    check("delta agrees with the full answer", full.appsHashcode == delta.appsHashcode, (full.appsHashcode, delta.appsHashcode))
    check("delta has the changes", {"py-orders-1", "py-orders-2"} <= set(ids(delta)), ids(delta))
    await asyncio.sleep(5)
    check("heartbeats keep it", "py-orders-1" in ids(await basic.get_applications(URL)))
    await first.status_update("OUT_OF_SERVICE")
    one = await instance("py-orders-1")
    check("status override", (one.status, one.overriddenstatus) == ("OUT_OF_SERVICE", "OUT_OF_SERVICE"), (one.status, one.overriddenstatus))
    await asyncio.sleep(2)
    check("heartbeats do not undo it", (await instance("py-orders-1")).status == "OUT_OF_SERVICE")
    await first.delete_status_override()
    one = await instance("py-orders-1")
    check("override taken back", (one.status, one.overriddenstatus) == ("UP", "UNKNOWN"), (one.status, one.overriddenstatus))
    reader = EurekaClient(eureka_server=URL, should_register=False)
    await reader.start()
    up = reader.applications.get_application("PY-ORDERS").up_instances
    check("another client discovers both", len(up) == 2, up)
    await reader.stop()
    await first.stop()
    check("deregistration", "py-orders-1" not in ids(await basic.get_applications(URL)))
    await second.stop()
    # A process dies: no cancel, no heartbeat.
    process = await asyncio.create_subprocess_exec(sys.executable, __file__, URL, "crash")
    while "py-orders-3" not in ids(await basic.get_applications(URL)):
        await asyncio.sleep(0.1)
    process.kill()
    await process.wait()
    died = time.monotonic()
    while "py-orders-3" in ids(await basic.get_applications(URL)):
        await asyncio.sleep(0.1)
    took = time.monotonic() - died
    check("silence ends a lease in one lease time", took < 4, took)


async def crash():
    await client("py-orders", 3).start()
    await asyncio.sleep(60)


asyncio.run(crash() if sys.argv[2:] == ["crash"] else main())
