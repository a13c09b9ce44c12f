#!/usr/bin/env bash
# Make a complete new function.
#
# usage: scripts/new-function.sh NAME "WHAT IT DOES"
#
#   NAME           the job it does, lower-case words joined by -: mail-carrier
#   WHAT IT DOES   the rest of the sentence "mail-carrier ...": carries mail
#   -h             show this
#
# It makes functions/NAME with a route, its test, README, .env.example and a
# sample event, and enters it in template.yaml and serverless.yml. The tests
# pass at once; replace the route with yours.
set -euo pipefail
script=$(realpath "$0")
cd "$(dirname "$script")/.."

usage() { sed -n '2,/^set /{/^#/s/^# \{0,1\}//p}' "$script"; }

if [[ ${1-} == -h ]]; then
  usage
  exit
fi
if (($# != 2)); then
  usage >&2
  exit 2
fi
go run ./scripts/newfunction "$1" "$2"
go run ./scripts/settings "$1"
echo "functions/$1 is there; try: go test ./functions/$1"
