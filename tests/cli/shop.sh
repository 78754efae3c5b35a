# shop.sh - sourced by the command's tests: a small made-up shop of two categories, and helpers.
#
# 120 users walk through 60 items a category; who likes an item likes its neighbours (same group of six), in both
# categories, so that item-kNN, the sequence model and cross-category rows have something to find.

set -euo pipefail
KUA=${KUA:-build/kua}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failures=0

fail() {
    echo "FAILED: $*" >&2
    failures=$((failures + 1))
}

# expect_fail WORDS COMMAND...: the command must fail and say WORDS (a regular expression) on standard error
expect_fail() {
    local words=$1 code=0
    shift
    "$@" >"$work/out" 2>"$work/err" || code=$?
    [ "$code" -ne 0 ] || fail "'$*' succeeded, expected an error like '$words'"
    grep -qE -- "$words" "$work/err" || fail "'$*' said '$(cat "$work/err")', expected '$words'"
}

finish() {
    [ "$failures" -eq 0 ] && echo "all good"
    exit "$failures"
}

make_shop() {
    awk -v dir="$1" 'BEGIN {
        split("red blue green black white silver", color); split("lamp chair desk shelf sofa bed clock rug vase stool", thing)
        split("soap cream mask brush comb scent balm gel oil kit", care)
        for (d = 1; d <= 2; d++) {
            name = d == 1 ? "home" : "care"
            items = dir "/" name ".item"; events = dir "/" name ".inter"
            print "item_id:token\ttitle:token_seq\tcategories:token_seq" > items
            for (i = 0; i < 60; i++) {
                g = int(i / 6)
                printf "%s%d\t%s %s\tShop > %s\n", name, i, color[i % 6 + 1], d == 1 ? thing[g + 1] : care[g + 1], name > items
            }
            print "user_id:token\titem_id:token\ttimestamp:float" > events
            seed = d * 7919
            for (u = 0; u < 120; u++) {
                if (d == 2 && u % 4 == 3) continue
                g = u % 10
                for (k = 0; k < 9; k++) {
                    seed = (seed * 1103515245 + 12345) % 2147483648
                    i = (seed / 65536) % 10 < 8 ? g * 6 + (k % 6) : int(seed / 65536) % 60
                    if ((u, d, i) in seen) continue
                    seen[u, d, i] = 1
                    printf "u%d\t%s%d\t%d\n", u, name, i, k > events
                }
            }
        }
    }'
}
