#!/usr/bin/env bash
# Installs the distribution packages that building, running and testing Portolan need.
# Does nothing, and says nothing, where they are there already.
#
#   scripts/packages.sh run     what `make up` needs
#   scripts/packages.sh test    that, and what the tests need besides
#   scripts/packages.sh bench   that of `run`, and the peers that the benches measure against
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

declare -A package_of=(
    [cc]=gcc
    [containerd]=containerd
    [conntrack]=conntrack
    [curl]=curl
    [ip]=iproute2
    [mold]=mold
    [nft]=nftables
    [protoc]=protobuf-compiler
    [runc]=runc
)
if [[ "${1:-run}" == test ]]; then
    package_of+=(
        [busybox]=busybox-static
        [dig]=bind9-dnsutils
        [docker-registry]=docker-registry
        [openssl]=openssl
        [python3]=python3
    )
fi
if [[ "${1:-run}" == bench ]]; then
    package_of+=(
        [dnsperf]=dnsperf
        [etcd]=etcd-server
        [java]=default-jre-headless
        [knotd]=knot
        [nsd]=nsd
        [unbound]=unbound
        [/usr/share/zookeeper/bin/zkServer.sh]=zookeeper
    )
fi

missing=()
for command in "${!package_of[@]}"; do
    PATH="$PATH:/usr/sbin:/sbin" command -v "$command" >/dev/null || missing+=("${package_of[$command]}")
done
# The messages that every protocol file may import; etcd's client, a peer of the benches, does.
if [[ "${1:-run}" != run && ! -e /usr/include/google/protobuf/descriptor.proto ]]; then
    missing+=(libprotobuf-dev)
fi
if ((${#missing[@]})); then
    if [[ $EUID -ne 0 ]]; then
        echo "missing packages: ${missing[*]}; run as root, or install them with apt-get" >&2
        exit 1
    fi
    echo "installing ${missing[*]}"
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
fi
if ! command -v cargo >/dev/null; then
    echo "cargo is missing: install a Rust toolchain (https://rustup.rs), then run this again" >&2
    exit 1
fi
if [[ "${1:-run}" == test ]] && ! command -v kubectl >/dev/null; then
    if ! command -v go >/dev/null; then
        echo "kubectl is missing: install any release from 1.27 on, or Go, from whose module it can be built" >&2
        exit 1
    fi
    echo "building kubectl from its Go module"
    interop/kubectl/build.sh /usr/local/bin/kubectl
fi
