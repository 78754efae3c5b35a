# The program in the README is examples/recommend.c, compiles against the built library, and recommends.
. tests/cli/shop.sh
diff <(sed -n '/^```c$/,/^```$/p' README.md | sed '1d;$d') examples/recommend.c || fail "README's program is not examples/recommend.c"
make_shop "$work"
ws=$work/ws
"$KUA" init "$ws" --quiet >/dev/null
"$KUA" import "$ws" --quiet --domain care --items "$work/care.item" --events "$work/care.inter" >/dev/null
"$KUA" train "$ws" --quiet --domain care --model itemknn --name knn >/dev/null
cmake --install "$KUA_BUILD" --prefix "$work/usr" >"$work/log" 2>&1 || fail "install: $(cat "$work/log")"
PKG_CONFIG_PATH=$(dirname "$(find "$work/usr" -name kua.pc)")
export PKG_CONFIG_PATH
sanitizers=$(sed -n 's/^KUA_SANITIZE:STRING=\(..*\)/-fsanitize=\1/p' "$KUA_BUILD/CMakeCache.txt")
cc -std=c17 -Wall -Wextra -o "$work/recommend" examples/recommend.c $sanitizers $(pkg-config --cflags --static --libs kua)
"$work/recommend" "$ws" knn u1 >"$work/out" || fail "the program failed"
[ "$(wc -l <"$work/out")" -eq 10 ] || fail "expected 10 items, got: $(cat "$work/out")"
expect_fail "no such user" "$work/recommend" "$ws" knn stranger
finish
