"""Leaves of a Prometheus configuration on standard input the jobs that are named."""

import sys

head, *jobs = sys.stdin.read().split("- job_name: ")
sys.stdout.write(head + "".join(f"- job_name: {job}" for job in jobs if job.split()[0] in sys.argv[1:]))
