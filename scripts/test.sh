#!/usr/bin/env bash
# All checks and tests, in the order in which they fail fastest.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

step() { printf '\n== %s\n' "$*"; }

command -v kubectl >/dev/null || {
    echo "kubectl is missing: the tests drive Portolan with the stock client; install any release from 1.27 on" >&2
    exit 1
}

step "format"
cargo fmt --all --check
step "lints"
cargo clippy --workspace --all-targets --all-features --quiet -- -D warnings
step "layers and dependencies"
cargo xtask layers
cargo xtask audit
step "the binary and the example shop"
cargo build --quiet --package portolan
cargo rustc --quiet --package portolan-example-shop -- -C target-feature=+crt-static
step "tests"
target="${CARGO_TARGET_DIR:-$PWD/target}"
PORTOLAN_BINARY="$target/debug/portolan" PORTOLAN_SHOP_BINARY="$target/debug/shop" \
    cargo test --workspace --all-features --no-fail-fast
