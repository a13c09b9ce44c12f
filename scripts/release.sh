#!/usr/bin/env bash
# Create the archives of a release: programs for both clouds, the operator's tools,
# the list of modules, checksums. The same commit gives the same bytes.
#
# usage: scripts/release.sh [-allow-dirty] VERSION [OUT]
#
#   VERSION       semantic version, such as 0.3.0
#   OUT           folder for the archives; default build/release/VERSION
#   -allow-dirty  also with uncommitted changes, for a trial
#   -h            show this
set -euo pipefail
script=$(realpath "$0")
cd "$(dirname "$script")/.."

usage() { sed -n '2,/^set /{/^#/s/^# \{0,1\}//p}' "$script"; }

dirty=
while [[ ${1-} == -* ]]; do
  case $1 in
    -h) usage; exit ;;
    -allow-dirty) dirty=1; shift ;;
    *) echo "release.sh: unknown flag $1" >&2; exit 2 ;;
  esac
done
version=${1-}
if [[ ! $version =~ ^(0|[1-9][0-9]*)\.(0|[1-9][0-9]*)\.(0|[1-9][0-9]*)(-[0-9A-Za-z.-]+)?$ ]]; then
  echo "release.sh: VERSION is a semantic version, such as 0.3.0" >&2
  exit 2
fi
if [[ -z $dirty && -n $(git status --porcelain) ]]; then
  echo "release.sh: commit first: a release is made of a commit" >&2
  exit 1
fi
if [[ -z $dirty ]] && ! grep -q "^## $version" CHANGELOG.md; then
  echo "release.sh: CHANGELOG.md has no section \"## $version\"" >&2
  exit 1
fi
out=${2:-build/release/$version}
mkdir -p "$out"
out=$(realpath "$out")

go mod verify
# The pages that are made of programs and documents are those of this commit.
go run ./scripts/settings
if [[ -z $dirty && -n $(git status --porcelain) ]]; then
  echo "release.sh: go run ./scripts/settings has changed documents: commit them first" >&2
  exit 1
fi
export VERSION=$version CGO_ENABLED=0 GOFLAGS=-buildvcs=false
scripts/build.sh
# Times, owners and order do not depend on who makes the archive, nor when.
archive() {
  local name=$1
  shift
  tar --sort=name --mtime='2000-01-01 00:00:00Z' --owner=0 --group=0 --numeric-owner -cf - "$@" | gzip -n -9 > "$out/$name.tar.gz"
}
archive "backchannel-$version-aws" build/aws template.yaml scripts/deploy-aws.sh LICENSE
archive "backchannel-$version-tencent" --exclude='main' build/tencent serverless.yml serverless.split.yml serverless.env.example LICENSE
tools=$(mktemp -d)
trap 'rm -rf "$tools"' EXIT
for platform in linux/amd64 linux/arm64 darwin/arm64; do
  dir=$tools/backchannel-$version-tools-${platform//\//-}
  mkdir -p "$dir"
  for tool in imctl imemu rulec; do
    GOOS=${platform%/*} GOARCH=${platform#*/} go build -trimpath \
      -ldflags "-s -w -X github.com/backchannel-im/backchannel/shared/version.Version=$version" -o "$dir/" "./scripts/$tool"
  done
  cp LICENSE "$dir/"
  (cd "$tools" && archive "$(basename "$dir")" "$(basename "$dir")")
done
go run ./scripts/sbom -o "$out/backchannel-$version.cdx.json"
(cd "$out" && sha256sum -- *.tar.gz *.cdx.json > SHA256SUMS && cat SHA256SUMS)
