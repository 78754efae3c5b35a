# tools/common.sh - what the scripts of this folder share; sourced, never run.
#
# Everything that is fetched or made lives in one cache folder and may be deleted at any time:
#
#     $KUA_CACHE (default: $XDG_CACHE_HOME/kua, ~/.cache/kua)
#         models/NAME/             what `kua model get` brought
#         data/completejourney/    Parquet files, and the TSV files made of them; SHA256SUMS inside says what they must be
#         python/                  virtual environment for whatever Python the scripts need
#         .lock                    one script at a time

set -euo pipefail
export LC_ALL=C

tools=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(dirname "$tools")
cache=${KUA_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/kua}
pins=${KUA_PINS:-$tools/pins.txt}

say() { printf '%s\n' "$*" >&2; }

die() {
    printf '%s: %s\n' "${0##*/}" "$*" >&2
    exit 1
}

# Waits for whoever else works in the cache, then keeps others out until this script ends.
lock_cache() {
    mkdir -p "$cache" || die "cannot make the cache folder $cache; set KUA_CACHE to another place"
    exec 9>"$cache/.lock"
    flock -n 9 || {
        say "waiting for another process that uses $cache"
        flock 9
    }
    # What an interrupted run left. Nobody else holds the lock, so nobody else uses it.
    rm -rf "$cache"/.part.*
}

# pin PACKAGE FIELD: field 2 version, 3 folder in the wheel, 4 folder in the cache, 5 sha256
pin() {
    local value
    value=$(awk -v name="$1" -v field="$2" '$1 == name { print $field }' "$pins")
    [ -n "$value" ] || die "$pins: no line for $1"
    printf '%s\n' "$value"
}

# The interpreter of the private virtual environment, made where it is missing or broken.
private_python() {
    local python=$cache/python/bin/python
    if ! "$python" -m pip --version >/dev/null 2>&1; then
        command -v python3 >/dev/null || die "python3 is missing: tools/install-packages brings it"
        say "making a private Python environment in $cache/python"
        rm -rf "$cache/python"
        python3 -m venv "$cache/python" >&2 ||
            die "cannot make a virtual environment: install the package python3-venv"
    fi
    printf '%s\n' "$python"
}
