#!/usr/bin/env bash
# tests/tools/test_install.sh - an installed kua is usable: a C program finds it with pkg-config, links and runs.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cmake --install "$KUA_BUILD" --prefix "$work/usr" >"$work/log" 2>&1 || { cat "$work/log"; exit 1; }
PKG_CONFIG_PATH=$(dirname "$(find "$work/usr" -name kua.pc)")
export PKG_CONFIG_PATH

"$work/usr/bin/kua" --help >/dev/null
man=$work/usr/share/man/man1/kua.1
grep -q '^\.TH KUA 1' "$man"

# Every public header compiles alone.
for header in "$work"/usr/include/kua/*.h; do
    echo "#include \"kua/${header##*/}\"" >"$work/one.c"
    cc -std=c17 -Wall -Wextra -Werror -c -o /dev/null "$work/one.c" $(pkg-config --cflags kua)
done

cat >"$work/use.c" <<'C'
#include <stdio.h>

#include "kua/engine.h"

int main(void)
{
    kua_workspace *ws = NULL;
    kua_status st = kua_workspace_open("/nonexistent", NULL, &ws);
    printf("%s\n", kua_status_text(st));
    return st == KUA_NOTFOUND ? 0 : 1;
}
C
sanitizers=$(sed -n 's/^KUA_SANITIZE:STRING=\(..*\)/-fsanitize=\1/p' "$KUA_BUILD/CMakeCache.txt")
cc -std=c17 -Wall -o "$work/use" "$work/use.c" $sanitizers $(pkg-config --cflags --static --libs kua)
"$work/use"
