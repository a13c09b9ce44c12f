#!/usr/bin/env bash
# Run every fuzz target for a limited time.
#
# usage: scripts/fuzz.sh [TIME]
#
#   TIME   time of each target, such as 2m; default 30s
#   -h     show this
#
# Failed targets are listed at the end; go test writes the failing input below the
# package's testdata/fuzz.
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
