"""Waits until every job of a Prometheus has found the same targets and scraped those that answer.

targets.py URL WHAT ADDRESS:PORT,... OTHER JOB...: the first are up, OTHER is found but answers nobody.
"""

import json
import sys
import time
import urllib.request


def address(target):
    """The DNS job has names, which say the address in hexadecimal."""
    host, port = target["discoveredLabels"]["__address__"].rsplit(":", 1)
    label = host.rstrip(".").split(".")
    if len(label) > 2 and label[1] == "addr":
        number = int(label[0], 16)
        host = ".".join(str(number >> shift & 255) for shift in (24, 16, 8, 0))
    return f"{host}:{port}"


def main():
    url, what, answering, other, *jobs = sys.argv[1:]
    answering = set(answering.split(","))
    wanted = answering | {other}
    started, found = time.monotonic(), None
    while time.monotonic() - started < 60:
        try:
            with urllib.request.urlopen(f"{url}/api/v1/targets?state=active", timeout=5) as answer:
                targets = json.load(answer)["data"]["activeTargets"]
        except OSError as problem:
            found = problem
            time.sleep(0.2)
            continue
        found = {job: {} for job in jobs}
        for target in targets:
            found[target["scrapePool"]][address(target)] = target["health"]
        if all(set(found[job]) == wanted for job in jobs) and all(
            found[job][one] == "up" for job in jobs for one in answering
        ):
            print(f"ok {what}: {', '.join(jobs)} agree on {', '.join(sorted(wanted))} "
                  f"after {time.monotonic() - started:.1f} s")
            return 0
        time.sleep(0.2)
    print(f"FAILED {what}: wanted {sorted(wanted)}, found {json.dumps(found, indent=1, default=str)}")
    return 1


sys.exit(main())
