#!/usr/bin/env bash
# Run the benchmarks whose figures the documents contain, with their peers in the
# same run, and write the results as a table.
#
# usage: scripts/bench.sh [-quick] [-soak DURATION] [-o FILE]
#
#   -quick           a few rounds of each, to check that all of them run
#   -soak DURATION   mixed traffic with faults for this time at the end, such as 30m
#   -o FILE          Markdown file to write; default docs/benchmarks.md, - is
#                    standard output
#   -h               show this
#
# The run takes less than 20 minutes on two cores, without the soak, and prints its
# progress on standard error. Figures depend on the machine and its load; ratios depend
# on them less. It needs redis-server, node and the modules of scripts/setup.sh.
#
# Before a release, on a machine that does nothing else:
#
#   scripts/bench.sh -soak 30m
set -euo pipefail
script=$(realpath "$0")
cd "$(dirname "$script")/.."

usage() { sed -n '2,/^set /{/^#/s/^# \{0,1\}//p}' "$script"; }

out=docs/benchmarks.md soak='' quick=false
while (($# > 0)); do
  case $1 in
    -h) usage; exit ;;
    -quick) quick=true; shift ;;
    -soak) soak=${2-}; shift 2 || { usage >&2; exit 2; } ;;
    -o) out=${2-}; shift 2 || { usage >&2; exit 2; } ;;
    *) usage >&2; exit 2 ;;
  esac
done
export PATH=$PWD/.tools/bin:$PWD/.tools/python/bin:$PATH
report=$(mktemp) log=$(mktemp)
trap 'rm -f "$report" "$log"' EXIT
failed=0

# measure TITLE TIME FOLDER PACKAGE PATTERN
measure() {
  local title=$1 time=$2 folder=$3 package=$4 pattern=$5
  if $quick && [[ ${time%x} -gt 3 ]]; then time=3x; fi
  local command="go test -run '^\$' -bench '$pattern' -benchtime $time $package"
  [[ $folder == . ]] || command="cd $folder && $command"
  echo "bench.sh: $((SECONDS / 60)) min, $((step + 1)) of ${#measures[@]}: $title" >&2
  { echo; echo "## $title"; echo; echo "\`$command\`"; echo; } >> "$report"
  if (cd "$folder" && go test -run '^$' -bench "$pattern" -benchtime "$time" -timeout 20m "$package") > "$log" 2>&1 &&
    go run ./scripts/benchtable < "$log" >> "$report"; then
    return
  fi
  echo "It failed; the last lines were" >> "$report"
  { echo '```'; tail -n 5 "$log"; echo '```'; } >> "$report"
  failed=1
}

# Title, time, folder, package, pattern.
measures=(
  'Callbacks: decoding, and answering one|2000x|.|./shared/im/callback|Decode|Callback'
  'UserSigs, beside the reference library|3x|.|./shared/im/usersig|Sign'
  'Word filter|200x|.|./shared/moderation/wordlist|Find'
  'Word filter, beside other matchers|20x|scripts/bench/filter|.|Find'
  'Verdicts, counts, UserSigs and tickets, beside an Express app|60x|.|./scripts/peers|.'
  'Exactly-once events, beside other stores|5x|scripts/bench|.|Event'
  'Write units of an event on DynamoDB, beside a transaction|1x|.|./shared/kv/dynamokv|Units'
  'Write units of a live room|1x|.|./shared/roomstats|Units'
  'Sends that happen once|50x|.|./shared/im/once|Group'
  'First token of a model to the first piece at the user|20x|.|./shared/bot|FirstPiece'
  'A live room of 500 pages with the official SDK, 40 messages a second|200x|.|./shared/im/imtest/sdkgate|LiveRoom'
  'Cold start of every function, beside a program without anything|10x|.|./scripts/repotest|Start'
)
for ((step = 0; step < ${#measures[@]}; step++)); do
  IFS='|' read -r title time folder package pattern <<< "${measures[step]}"
  measure "$title" "$time" "$folder" "$package" "$pattern"
done
measured=$SECONDS how=''
if $quick; then how=' with -quick, three rounds of each'; fi
if [[ -n $soak ]]; then
  echo "bench.sh: $((SECONDS / 60)) min, soak of $soak" >&2
  { echo; echo "## Soak of $soak"; echo; echo "\`BACKCHANNEL_SOAK=$soak go test -run TestSoak -v ./functions/bundle\`"; echo; } >> "$report"
  if BACKCHANNEL_SOAK=$soak go test -run TestSoak -v -timeout 4h ./functions/bundle > "$log" 2>&1; then
    grep -E 'soak_test.go' "$log" | sed -E 's/^ *soak_test.go:[0-9]+: /- /' >> "$report"
  else
    { echo '```'; grep -vE '^\{' "$log" | tail -n 10; echo '```'; } >> "$report"
    failed=1
  fi
fi
text=$(
  echo '# Benchmarks'
  echo
  echo "Written by \`scripts/bench.sh\` on $(date -u +%F), $(nproc) cores of $(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -1), $(go version | cut -d' ' -f3-4), load $(cut -d' ' -f1 /proc/loadavg), in $((measured / 60)) minutes$how. Absolute figures are those of this machine in that hour and drift by 40 % and more; ratios were taken in one run, ours and the peers in turn, and mean something above 1.5. [scripts/bench](../scripts/bench/README.md) says what the peers are."
  cat "$report"
)
if [[ $out == - ]]; then
  printf '%s\n' "$text"
else
  printf '%s\n' "$text" > "$out"
fi
exit $failed
