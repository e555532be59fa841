"""Stands in for the `docker` module: "containers" are the server under test.

py-consul's suite starts hashicorp/consul by that module. Here each container is one process of the
command in PORTOLAN_CONSUL, which prints the URL it serves on and ends with its standard input.
"""

import json
import os
import subprocess
import urllib.parse

from . import errors  # noqa: F401


class _Container:
    def __init__(self, settings):
        config = json.loads(settings.get("environment", {}).get("CONSUL_LOCAL_CONFIG", "{}"))
        token = config.get("acl", {}).get("tokens", {}).get("initial_management")
        environment = dict(os.environ)
        if token:
            environment["CONSUL_INITIAL_MANAGEMENT_TOKEN"] = token
        command = os.environ["PORTOLAN_CONSUL"].split()
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                                         env=environment)
        url = urllib.parse.urlparse(self._process.stdout.readline().strip())
        self.attrs = {"NetworkSettings": {"Ports": {"8500/tcp": [{"HostPort": str(url.port)}]}}}

    def reload(self):
        pass

    def logs(self):
        return b""

    def stop(self):
        if self._process.stdin and not self._process.stdin.closed:
            self._process.stdin.close()
        self._process.wait(timeout=60)

    def remove(self, force=False):
        self.stop()


class _Containers:
    def run(self, image, command=None, **settings):
        return _Container(settings)

    def get(self, name):
        raise errors.NotFound(name)


class DockerClient:
    def __init__(self):
        self.containers = _Containers()


def from_env():
    return DockerClient()
