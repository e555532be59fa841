#!/bin/sh
# Runs published Eureka clients, unchanged, against a registry: run.sh URL [python|javascript|netflix|spring ...]
#
# URL is the service URL of clients, for example http://127.0.0.1:8761/eureka. Packages are installed at run time
# into $WORK, by default a temporary folder (PyPI, npm, Maven). Prints one line per client and ends with 1 if one failed.
set -eu
url=${1:?usage: run.sh URL [python|javascript|netflix|spring ...]}
url=${url%/}
shift
[ $# -gt 0 ] || set -- python javascript netflix spring
here=$(cd "$(dirname "$0")" && pwd)
work=${WORK:-}
if [ -z "$work" ]; then
    work=$(mktemp -d)
    trap 'rm -rf "$work"' EXIT
fi
failed=0
for client in "$@"; do
    mkdir -p "$work/$client"
    if (cd "$work/$client" && EUREKA_URL=$url sh "$here/$client/run.sh" "$here/$client") >"$work/$client.log" 2>&1; then
        echo "ok     $client: $(grep -c -E '^ok |✔' "$work/$client.log") checks"
    else
        failed=1
        echo "FAILED $client"
        tail -n 60 "$work/$client.log"
    fi
done
exit $failed
