#!/usr/bin/env bash
# Builds the published kubectl from its Go module.
#
#   interop/kubectl/build.sh FILE
set -euo pipefail
output="$(realpath -m "$1")"
cd "$(dirname "${BASH_SOURCE[0]}")"
version="$(go list -m -f '{{.Version}}' k8s.io/kubectl)"
minor="${version#v0.}"
flags="-X k8s.io/component-base/version.gitVersion=v1.$minor"
flags+=" -X k8s.io/component-base/version.gitMajor=1 -X k8s.io/component-base/version.gitMinor=${minor%%.*}"
go build -ldflags "$flags" -o "$output" .
