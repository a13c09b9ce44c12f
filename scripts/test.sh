#!/usr/bin/env bash
# Run all tests.
#
# usage: scripts/test.sh [-short | -full] [-race]
#
#   -short   only tests that need nothing but Go
#   -full    every test on every engine, and stress tests in their full size, as before
#            a release; takes about an hour
#   -race    with the race detector, which takes several times as long
#   -h       show this
#
# It first installs the tools of the tests with scripts/setup.sh, unless -short is
# given. Failures are printed completely; the last line counts the results.
set -euo pipefail
script=$(realpath "$0")
cd "$(dirname "$script")/.."

usage() { sed -n '2,/^set /{/^#/s/^# \{0,1\}//p}' "$script"; }

short=false
for arg in "$@"; do
  case $arg in
    -h) usage; exit ;;
    -short) short=true ;;
    -full | -race) ;;
    *) usage >&2; exit 2 ;;
  esac
done
$short || scripts/setup.sh redis-server moto_server cfn-lint chromium java node modules shellcheck prose
export PATH=$PWD/.tools/bin:$PWD/.tools/python/bin:$PATH
# Tests sync thousands of small state files. Where the machine has memory to spare
# for files, they lie there: what a process that is killed leaves is the same.
if [[ -z ${TMPDIR-} && $(df --output=avail -k /dev/shm 2>/dev/null | tail -n 1) -gt 4194304 ]]; then
  TMPDIR=$(mktemp -d /dev/shm/backchannel-XXXXXX)
  export TMPDIR
  trap 'rm -rf "$TMPDIR"' EXIT
fi
# What is held against foreign code that the product must not link is a module of its
# own.
$short || go -C scripts/bench test ./metrics
go build -o .tools/bin/suites ./scripts/suites
suites "$@"
