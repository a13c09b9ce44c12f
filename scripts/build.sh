#!/usr/bin/env bash
# Build the deployable functions, with the same bytes each time.
#
# usage: scripts/build.sh [-arch arm64|amd64] [FUNCTION...]
#
#   -arch   processor of the AWS programs; default arm64
#   -h      show this
#
# Without a name it builds every function. -version and GET /healthz of the programs
# print VERSION of the environment. The script creates
#
#   build/aws/FUNCTION/bootstrap   for AWS Lambda, provided.al2023
#   build/tencent/FUNCTION.zip     for Tencent SCF, Go1 on amd64, handler main
#   build/tencent/FUNCTION/main    the same program, which serverless.yml and serverless.split.yml name
set -euo pipefail
script=$(realpath "$0")
cd "$(dirname "$script")/.."

usage() { sed -n '2,/^set /{/^#/s/^# \{0,1\}//p}' "$script"; }

arch=arm64
while [[ ${1-} == -* ]]; do
  case $1 in
    -h) usage; exit ;;
    -arch) arch=${2-}; shift 2 || { usage >&2; exit 2; } ;;
    *) usage >&2; exit 2 ;;
  esac
done
if [[ $arch != arm64 && $arch != amd64 ]]; then
  echo "build.sh: -arch is arm64 or amd64" >&2
  exit 2
fi
names=("$@")
if ((${#names[@]} == 0)); then
  for main in functions/*/main.go; do
    names+=("$(basename "$(dirname "$main")")")
  done
fi
packages=()
for name in "${names[@]}"; do
  if [[ ! -f functions/$name/main.go ]]; then
    echo "build.sh: there is no function $name" >&2
    exit 2
  fi
  packages+=("./functions/$name")
done

export CGO_ENABLED=0 GOOS=linux GOFLAGS=-buildvcs=false
release=
if [[ -n ${VERSION-} ]]; then
  release=" -X github.com/backchannel-im/backchannel/shared/version.Version=$VERSION"
fi
programs=$(mktemp -d)
trap 'rm -rf "$programs"' EXIT

# compile ARCH OUT: OUT/FUNCTION for each function. lambda.norpc leaves out the
# protocol of a Lambda runtime that is gone, and 2 MB with it.
compile() {
  mkdir -p "$2"
  GOARCH=$1 go build -tags lambda.norpc -trimpath -ldflags "-s -w$release" -o "$2/" "${packages[@]}"
}

GOOS='' go build -o "$programs/pack" ./scripts/pack
compile "$arch" "$programs/aws"
compile amd64 "$programs/tencent"
for name in "${names[@]}"; do
  mkdir -p "build/aws/$name" "build/tencent/$name"
  mv "$programs/aws/$name" "build/aws/$name/bootstrap"
  mv "$programs/tencent/$name" "build/tencent/$name/main"
  "$programs/pack" "build/tencent/$name/main" "build/tencent/$name.zip"
  ls -sh "build/aws/$name/bootstrap" "build/tencent/$name.zip"
done
