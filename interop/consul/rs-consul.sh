#!/bin/sh
# The tests of the crate rs-consul, unchanged, against a running server: rs-consul.sh URL
#
# They expect three instances of `test-service`, which are registered here, and for the tests of ACLs
# the management token of the crate's own testdata.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
url=$1
work=${WORK:-$(mktemp -d)}
version=0.15.0
if [ ! -d "$work/rs-consul-$version" ]; then
    curl -sSfL "https://static.crates.io/crates/rs-consul/rs-consul-$version.crate" | tar -xz -C "$work"
fi
number=1
for tag in first second third; do
    curl -sSf -X PUT "$url/v1/agent/service/register" -d "{\"ID\": \"test-service-$number\", \"Name\": \"test-service\",
        \"Address\": \"$number.$number.$number.$number\", \"Port\": 2000$number, \"Tags\": [\"$tag\"]}"
    number=$((number + 1))
done
# The crate pins a toolchain that need not be installed; ours does.
toolchain=$(cd "$here" && rustup show active-toolchain | cut -d' ' -f1)
cd "$work/rs-consul-$version"
export RUSTUP_TOOLCHAIN="$toolchain" CARGO_TARGET_DIR="$work/target" CARGO_PROFILE_DEV_DEBUG=0
export CONSUL_HTTP_ADDR="$url" CONSUL_HTTP_TOKEN=8fc9e787-674f-0709-cfd5-bfdabd73a70d
cargo test --no-run --test test_runner
cargo test --test test_runner -- --test-threads 1 >"$work/log" 2>&1 || true
python3 "$here/../registry/judge.py" rs-consul <"$work/log"
