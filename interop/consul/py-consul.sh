#!/bin/sh
# Runs py-consul's own suite against our server.
#
#   PORTOLAN_CONSUL="COMMAND" interop/consul/py-consul.sh [FILE...]
#
# COMMAND serves the Consul dialect, prints its URL and ends with its standard input; for example
# `cargo run -p portolan-registry-consul --example serve_consul -- 8500`. Everything runs in a network of its own, so
# that the checks of the suite that ask port 8500 find the server there.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
work=${WORK:-$(mktemp -d)}
version=1.8.0
if [ ! -d "$work/suite" ]; then
    python3 -m venv "$work/python"
    "$work/python/bin/pip" install -q pytest pytest-timeout pytest-asyncio requests packaging "py-consul[asyncio]==$version"
    "$work/python/bin/pip" download -q --no-deps --no-binary :all: -d "$work" "py-consul==$version"
    mkdir "$work/suite"
    tar -xzf "$work/py_consul-$version.tar.gz" -C "$work/suite" --strip-components 1
fi
cd "$work/suite"
if [ $# -eq 0 ]; then
    set -- agent catalog health coordinates event status kv session txn query acl acl_templated_policy config connect \
        discovery_chain operator snapshot
fi
log="$work/log"
: >"$log"
for name; do
    # The suite runs each case against three versions of Consul; here they are one and the same.
    unshare --net sh -c 'ip link set lo up && exec "$@"' sh \
        env PYTHONPATH="$here/shim:$work/suite" "$work/python/bin/python" -m pytest -o addopts= -o asyncio_mode=auto \
        -p no:cacheprovider -v --tb short --timeout 60 -k "1.22.0 or not 1.2" "tests/api/test_$name.py" >>"$log" 2>&1 ||
        case $? in
        1) ;; # Tests failed, which is judged below.
        5) echo "no test of $name was found" >>"$log" ;;
        *) failed=1 ;;
        esac
done
python3 "$here/../registry/judge.py" py-consul <"$log" || failed=1
exit "${failed:-0}"
