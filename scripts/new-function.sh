#!/usr/bin/env bash
# Create a complete new feature with its function.
#
# usage: scripts/new-function.sh NAME NOUN "WHAT IT DOES"
#
#   NAME           name of the function, lower-case words joined by -: mail-carrier
#   NOUN           name of the feature everywhere else: mail
#   WHAT IT DOES   the rest of the sentence "mail-carrier ...": carries mail
#   -h             show this
#
# It creates the rule's package shared/NOUN, its wiring shared/wiring/NOUN with a
# line in the list of features, and functions/NAME with its test, README,
# .env.example and a sample event, and enters the function in both deployment
# templates, in the READMEs, in the list of users' records and in the test of
# policies. All tests pass at once. The rule greets new members of groups: replace
# it with yours, as docs/add-a-rule.md shows.
set -euo pipefail
script=$(realpath "$0")
cd "$(dirname "$script")/.."

usage() { sed -n '2,/^set /{/^#/s/^# \{0,1\}//p}' "$script"; }

if [[ ${1-} == -h ]]; then
  usage
  exit
fi
if (($# != 3)); then
  usage >&2
  exit 2
fi
go run ./scripts/newfunction "$1" "$2" "$3"
go run ./scripts/settings
echo "shared/$2 and functions/$1 are there; try: go test ./shared/$2 ./functions/$1"
