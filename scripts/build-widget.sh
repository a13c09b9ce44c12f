#!/usr/bin/env bash
# Assemble the chat widget of a shop and the agent's chat page.
#
# usage: scripts/build-widget.sh [-no-sdk]
#
#   -no-sdk   without Tencent's Chat SDK, which is otherwise installed from npm
#   -h        show this
#
# It copies Tencent's Chat SDK into integrations/chat/sdk, pinned by the lock
# file of scripts/node, and creates
#
#   integrations/shopify/extensions/chat/assets/   the files that Shopify serves
#   build/chat/                                    the agent's page, for any web server
#
# Git ignores all three.
set -euo pipefail
script=$(realpath "$0")
cd "$(dirname "$script")/.."

usage() { sed -n '2,/^set /{/^#/s/^# \{0,1\}//p}' "$script"; }

sdk=true
for arg in "$@"; do
  case $arg in
    -h) usage; exit ;;
    -no-sdk) sdk=false ;;
    *) usage >&2; exit 2 ;;
  esac
done

shopt -s nullglob

# put FROM TO: copies a file unless it is there already, whole at every moment.
put() {
  if ! cmp -s "$1" "$2"; then
    cp "$1" "$2.new"
    mv "$2.new" "$2"
  fi
}

source=integrations/chat
if ! $sdk; then
  rm -f "$source"/sdk/*.js
else
  if [[ ! -d scripts/node/node_modules/@tencentcloud/chat ]]; then
    npm ci --prefix scripts/node --no-audit --no-fund --omit=optional >/dev/null
  fi
  put scripts/node/node_modules/@tencentcloud/chat/index.es.js "$source/sdk/sdk-chat.js"
  put scripts/node/node_modules/@tencentcloud/chat/modules/group-module.js "$source/sdk/sdk-group.js"
  put scripts/node/node_modules/tim-upload-plugin/index.js "$source/sdk/sdk-upload.js"
fi

# fill FOLDER FILE...: the folder holds these and nothing else.
fill() {
  local folder=$1 file
  shift
  mkdir -p "$folder"
  for file in "$folder"/*; do
    [[ " ${*##*/} " == *" ${file##*/} "* ]] || rm -rf "$file"
  done
  for file; do
    put "$file" "$folder/${file##*/}"
  done
}

modules=()
for file in "$source"/*.js; do
  [[ $(basename "$file") == agent*.js ]] || modules+=("$file")
done
libraries=("$source"/sdk/*.js)
fill integrations/shopify/extensions/chat/assets "${modules[@]}" "${libraries[@]}"
fill build/chat "$source"/*.js "$source/agent.html" "${libraries[@]}"

bytes=$(wc -c <"$source/launcher.js")
if ((bytes > 10000)); then
  echo "build-widget.sh: the launcher has $bytes bytes, more than the 10,000 that a shop loads before the chat is opened" >&2
  exit 1
fi
echo "launcher.js: $bytes bytes"
