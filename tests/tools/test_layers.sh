#!/usr/bin/env bash
# tests/tools/test_layers.sh - tools/check-layers finds each kind of crossing in a small tree of its own.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$work/tools" "$work/include/kua" "$work"/src/{base,data,cli}
cp "$KUA_ROOT/tools/check-layers" "$work/tools/"
printf 'kua_layer(base DEPS LIBS x)\nkua_layer(data DEPS base LIBS y)\n' >"$work/CMakeLists.txt"

# expect WHAT FILE LINE: a file of that one line is complained about with WHAT ("": not at all)
expect() {
    local what=$1 file=$work/$2 said
    printf '%s\n' "$3" >"$file"
    said=$("$work/tools/check-layers" || true)
    rm "$file"
    if [ -z "$what" ] && [ -n "$said" ] || ! grep -q -- "$what" <<<"$said"; then
        echo "FAILED: $2: '$3' gave '$said', expected '$what'" >&2
        exit 1
    fi
}

expect '' src/data/a.c '#include "base/base.h"'
expect 'a.c:1: ../base/base.h: includes by path' src/data/a.c '#include "../base/base.h"'
expect 'layer base may not see layer data' src/base/a.c '#include "data/shop.h"'
expect 'layer cli may not see layer base' src/cli/a.c '#include "base/base.h"'
expect 'public header of engine is above data' src/data/a.c '#include "kua/engine.h"'
expect '' src/cli/a.c '#include "kua/engine.h"'
expect 'sqlite3 belongs to store' src/data/a.c '#include <sqlite3.h>'
expect 'has no owner' src/data/a.c '#include "kua/unheard.h"'
expect 'neither prints nor ends' src/data/a.c 'void f(void) { exit(1); }'
expect 'neither prints nor ends' src/data/a.c 'void f(void) { fputs("", stderr); }'
expect '' src/data/a.c '/* exit(1); stderr */ const char *s = "printf(";'
expect '' src/cli/a.c 'void f(void) { exit(1); }'
expect 'belongs to no layer' include/kua/unheard.h ''
echo "tools/check-layers: all is well"
