#!/usr/bin/env bash
# Run every fuzz target for a while.
#
# usage: scripts/fuzz.sh [TIME]
#
#   TIME   of each target, such as 30s, the default, or 2m
#   -h     show this
#
# Targets that fail are named at the end; go test leaves the input that failed
# below the package's testdata/fuzz.
set -euo pipefail
script=$(realpath "$0")
cd "$(dirname "$script")/.."

usage() { sed -n '2,/^set /{/^#/s/^# \{0,1\}//p}' "$script"; }

if [[ ${1-} == -h ]]; then
  usage
  exit
fi
if (($# > 1)) || [[ ! ${1-30s} =~ ^[0-9]+[smh]$ ]]; then
  usage >&2
  exit 2
fi
failed=()
while IFS=: read -r file target; do
  package=./$(dirname "$file")
  echo "== $package $target"
  go test -run '^$' -fuzz "^$target\$" -fuzztime "${1-30s}" "$package" || failed+=("$package $target")
done < <(git ls-files --cached --others --exclude-standard -- '*_test.go' | xargs grep -o '^func Fuzz[A-Za-z0-9_]*' | sed 's/func //')
if ((${#failed[@]} > 0)); then
  printf 'failed: %s\n' "${failed[@]}" >&2
  exit 1
fi
