#!/bin/sh
# py-consul, unchanged, logs in with tokens of service accounts of the cluster: login.sh URL
#
# KUBECONFIG names the cluster, ROOT_TOKEN is a token that may do everything.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
work=${WORK:-$(mktemp -d)}
if [ ! -x "$work/python/bin/python" ]; then
    python3 -m venv "$work/python"
    "$work/python/bin/pip" install -q "py-consul==1.8.0"
fi
"$work/python/bin/python" "$here/login.py" "$1"
