#!/usr/bin/env bash
# Check formatting, common mistakes and the import rules.
#
# usage: scripts/lint.sh
#
#   -h   show this
#
# It first installs gofumpt, staticcheck, shellcheck and actionlint with scripts/setup.sh,
# then runs every check, and fails if one of them reports a fault.
set -euo pipefail
script=$(realpath "$0")
cd "$(dirname "$script")/.."

usage() { sed -n '2,/^set /{/^#/s/^# \{0,1\}//p}' "$script"; }

case ${1-} in
  '') ;;
  -h) usage; exit ;;
  *) usage >&2; exit 2 ;;
esac
scripts/setup.sh gofumpt staticcheck shellcheck actionlint
export PATH=$PWD/.tools/bin:$PATH

failed=0
# check NAME COMMAND...: it may neither fail nor print.
check() {
  local name=$1 found
  shift
  if ! found=$("$@" 2>&1) || [[ -n $found ]]; then
    printf '%s:\n%s\n' "$name" "$found" >&2
    failed=1
  fi
}

# So that a download's notes are not taken for findings.
go mod download
mapfile -t go_files < <(git ls-files --cached --others --exclude-standard -- '*.go')
mapfile -t shell_files < <(git ls-files --cached --others --exclude-standard -- '*.sh' .ci/run)
check gofumpt gofumpt -l "${go_files[@]}"
check 'go vet' go vet ./...
check staticcheck staticcheck ./...
check shellcheck shellcheck "${shell_files[@]}"
check actionlint actionlint -shellcheck= -pyflakes=
# Modules of their own: the peers of the benchmarks are not for the product.
go -C scripts/bench vet ./... || failed=1
go -C scripts/bench/filter vet ./... || failed=1
go test ./scripts/repotest -run Law || failed=1
exit "$failed"
