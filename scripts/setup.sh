#!/usr/bin/env bash
# Install the tools that the tests and the linters need besides Go.
#
# usage: scripts/setup.sh [TOOL...]
#
#   TOOL   redis-server moto_server cfn-lint chromium java node modules shellcheck
#          gofumpt staticcheck actionlint prose; default all of them. prose is the
#          documents for the word filter's tests, from Debian packages
#   -h     show this
#
# On a Debian-like system, as root or in CI (CI=true), it installs missing tools:
# packages with apt-get, the rest below .tools/ and scripts/node/.
# Elsewhere it names each missing tool with the command that installs it, and
# fails.
set -euo pipefail
script=$(realpath "$0")
cd "$(dirname "$script")/.."

usage() { sed -n '2,/^set /{/^#/s/^# \{0,1\}//p}' "$script"; }

gofumpt_version=v0.12.0
staticcheck_version=v0.8.2
actionlint_version=v1.7.12
moto_version=5.2.1
cfn_lint_version=1.51.0
prose_packages="debian-handbook debian-reference-ja debian-reference-zh-cn debian-reference-zh-tw debian-faq-ja
debian-faq-zh-cn debian-policy-ja developers-reference-ja aptitude-doc-ja manpages-ja manpages-zh fortunes-zh
python3-fake-factory"

tools=$PWD/.tools
export PATH=$tools/bin:$tools/python/bin:$PATH

# present TOOL: it is here, in the right version where formatting or findings
# depend on it.
present() {
  case $1 in
    gofumpt) [[ $(gofumpt --version 2>/dev/null) == "$gofumpt_version "* ]] ;;
    staticcheck) [[ $(staticcheck -version 2>/dev/null) == *"(${staticcheck_version#v})" ]] ;;
    actionlint) [[ $(actionlint -version 2>/dev/null | head -1) == "$actionlint_version" ]] ;;
    modules) [[ ! -f scripts/node/package-lock.json || scripts/node/node_modules/.package-lock.json -nt scripts/node/package-lock.json ]] ;;
    prose) [[ $(cat "$tools/prose/packages" 2>/dev/null) == "$prose_packages" ]] ;;
    *) command -v "$1" >/dev/null ;;
  esac
}

# command_for TOOL: the command that installs it.
command_for() {
  case $1 in
    redis-server | chromium | shellcheck) echo "apt-get install -y --no-install-recommends $1" ;;
    node) echo "apt-get install -y --no-install-recommends nodejs npm" ;;
    java) echo "apt-get install -y --no-install-recommends default-jre-headless" ;;
    modules) echo "npm ci --prefix scripts/node --no-audit --no-fund" ;;
    gofumpt) echo "env GOBIN=$tools/bin timeout 300 go install mvdan.cc/gofumpt@$gofumpt_version" ;;
    staticcheck) echo "env GOBIN=$tools/bin timeout 300 go install honnef.co/go/tools/cmd/staticcheck@$staticcheck_version" ;;
    actionlint) echo "env GOBIN=$tools/bin timeout 300 go install github.com/rhysd/actionlint/cmd/actionlint@$actionlint_version" ;;
    moto_server | cfn-lint) echo "$tools/python/bin/pip install moto[server]==$moto_version cfn-lint==$cfn_lint_version" ;;
    prose) echo "apt-get download ${prose_packages//$'\n'/ } # and dpkg-deb -x FILE .tools/prose/PACKAGE of each" ;;
    *) echo "setup.sh: unknown tool $1" >&2; return 2 ;;
  esac
}

# unpack_prose downloads packages and unpacks them below .tools/prose. They are not
# installed: images of Debian for containers leave documents out.
unpack_prose() {
  local files file name
  files=$(mktemp -d)
  echo "setup.sh: $(command_for prose)"
  # shellcheck disable=SC2086 # a list of names
  (cd "$files" && quietly apt-get download -q $prose_packages)
  for file in "$files"/*.deb; do
    name=${file##*/}
    mkdir -p "$tools/prose/${name%%_*}"
    dpkg-deb -x "$file" "$tools/prose/${name%%_*}"
  done
  rm -r "$files"
  echo "$prose_packages" >"$tools/prose/packages"
}

update_once() {
  if [[ -z ${updated-} ]]; then
    quietly "${sudo[@]}" apt-get update -q
    updated=1
  fi
}

install() {
  local run
  if [[ $1 == prose ]]; then
    update_once
    unpack_prose
    return
  fi
  read -ra run <<<"$(command_for "$1")"
  case ${run[0]} in
    apt-get)
      update_once
      run=("${sudo[@]}" env DEBIAN_FRONTEND=noninteractive "${run[@]}")
      ;;
    */pip)
      quietly python3 -m venv "$tools/python"
      ;;
  esac
  echo "setup.sh: ${run[*]}"
  quietly "${run[@]}"
}

# quietly COMMAND...: package managers' progress is of interest only when they
# fail.
quietly() {
  local said
  if ! said=$("$@" 2>&1); then
    printf '%s\n' "$said" >&2
    return 1
  fi
}

if [[ ${1-} == -h ]]; then
  usage
  exit
fi
wanted=("$@")
if ((${#wanted[@]} == 0)); then
  wanted=(redis-server moto_server cfn-lint chromium java node modules shellcheck gofumpt staticcheck actionlint prose)
fi

sudo=()
may_install=false
if [[ -f /etc/debian_version ]]; then
  if ((EUID == 0)); then
    may_install=true
  elif [[ ${CI-} == true ]] && sudo -n true 2>/dev/null; then
    may_install=true
    sudo=(sudo)
  fi
fi

missing=()
for tool in "${wanted[@]}"; do
  command_for "$tool" >/dev/null
  if present "$tool"; then
    continue
  fi
  if $may_install; then
    install "$tool" || true
    hash -r
  fi
  present "$tool" || missing+=("$tool")
done
if ((${#missing[@]} > 0)); then
  echo "setup.sh: missing, with the command that installs it on Debian:" >&2
  for tool in "${missing[@]}"; do
    printf '  %-13s %s\n' "$tool" "$(command_for "$tool")" >&2
  done
  exit 1
fi
