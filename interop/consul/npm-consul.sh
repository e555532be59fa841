#!/bin/sh
# The published npm package `consul` 2.x, unchanged, against a running server: npm-consul.sh URL
#
# The package is published without its tests, so npm-consul.js goes through what its README shows.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
work=${WORK:-$(mktemp -d)}
[ -d "$work/node_modules/consul" ] || npm install --silent --no-save --prefix "$work" consul@2.0.1
for script in npm-consul.js npm-locks.js; do
    NODE_PATH="$work/node_modules" node "$here/$script" "$1" || failed=1
done
exit "${failed:-0}"
