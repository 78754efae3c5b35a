# The whole loop through the command, on a small made-up shop: every command once, as a user would type them.
. tests/cli/shop.sh
make_shop "$work"
ws=$work/ws

"$KUA" init "$ws" --quiet
for d in home care; do
    "$KUA" import "$ws" --quiet --domain $d --items "$work/$d.item" --events "$work/$d.inter" >"$work/import.$d"
done
"$KUA" import "$ws" --quiet --json --domain home --items "$work/home.item" --events "$work/home.inter" >"$work/again"
jq -e '.events == 0 and .items == 0' "$work/again" >/dev/null || fail "a repeated import added something: $(cat "$work/again")"

"$KUA" inspect "$ws" --json >"$work/inspect"
jq -e '.domains | length == 2' "$work/inspect" >/dev/null || fail "inspect: $(cat "$work/inspect")"
jq -e '.shared_users[0].users == 90' "$work/inspect" >/dev/null || fail "shared users: $(jq -c .shared_users "$work/inspect")"

for kind in popularity itemknn userknn ease repeat; do
    "$KUA" train "$ws" --quiet --domain care --model $kind --name $kind --seed 1 >/dev/null || fail "train $kind"
    "$KUA" eval "$ws" --quiet --model $kind --mask-seen --json >"$work/$kind.json" || fail "eval $kind"
done
better() {
    jq -n --slurpfile a "$work/$1.json" --slurpfile b "$work/$2.json" -e '$a[0].metrics["ndcg@10"] > 2 * $b[0].metrics["ndcg@10"]' >/dev/null
}
better itemknn popularity || fail "item-kNN does not find the groups"
better ease popularity || fail "EASE does not find the groups"

"$KUA" eval "$ws" --quiet --model itemknn,popularity --mask-seen --per-user "$work/users.tsv" >"$work/table"
grep -q itemknn "$work/table" || fail "no row in the table"
[ "$(wc -l <"$work/users.tsv")" -gt 90 ] || fail "per-user file is short"

"$KUA" transfer "$ws" --quiet --source home --target care --strategy crossknn --name cross --json >"$work/cross"
jq -e '.verdict.words | length > 10' "$work/cross" >/dev/null || fail "transfer has no verdict: $(cat "$work/cross")"

"$KUA" models "$ws" publish itemknn >/dev/null
"$KUA" models "$ws" publish ease >/dev/null
"$KUA" models "$ws" rollback --domain care --json | jq -e '.name == "itemknn"' >/dev/null || fail "roll back"
"$KUA" recommend "$ws" --quiet --domain care --user u7 -n 5 --json >"$work/rec"
jq -e '(.items | length) == 5' "$work/rec" >/dev/null || fail "recommend: $(cat "$work/rec")"

# ---- the report: what the page is given to draw
{
    printf '{"users": ["u7"], "cost": [{"step": "import", "seconds": 1}], "tables": ['
    "$KUA" eval "$ws" --quiet --model cross:raw,itemknn --json
    printf '], "scaling": {"events": [10, 100], "steps": [{"name": "import", "seconds": [1, 5], "bytes": [10, 90]}]}}'
} >"$work/tables.json"
"$KUA" report "$ws" --quiet --domain care --tables "$work/tables.json" --out "$work/report.html" --json |
    jq -e '.report | endswith("report.html")' >/dev/null || fail "report --json"
sed -n 's|^<script type="application/json" id="data">\(.*\)</script>$|\1|p' "$work/report.html" >"$work/drawn.json"
page() {
    jq -e "$1" "$work/drawn.json" >/dev/null || fail "the report lacks $1: $(jq -c "$2" "$work/drawn.json")"
}
page '.headline | test("^What was learned from home .* in care")' .headline
page '[.data.domains[] | .role] == ["source", "target"]' .data.domains
page '.models | map(.kind) == ["crossknn", "itemknn"]' .models
page '.verdicts | length == 1 and .[0].model == "cross"' .verdicts
page '.cost | map(.step) | index("import") == 0 and length == 3' .cost
page '.scaling.steps[0].bytes == [10, 90]' .scaling
page '.examples[0] | (.recommended | length) > 0 and any(.before[]; .domain == "home")' .examples
sed -i 's/"u7"/"stranger"/' "$work/tables.json"
expect_fail "stranger" "$KUA" report "$ws" --quiet --domain care --tables "$work/tables.json" --out "$work/none.html"
[ ! -e "$work/none.html" ] || fail "a failed report left a file"

expect_fail "no such user|nobody" "$KUA" recommend "$ws" --domain care --user stranger
expect_fail "nowhere.*home" "$KUA" recommend "$ws" --domain nowhere --user u7
expect_fail "published.*home" "$KUA" recommend "$ws" --domain home --user u7
expect_fail "nothing.*not found" "$KUA" models "$ws" show nothing
expect_fail "expected.*object" "$KUA" report "$ws" --domain care --out "$work/none.html" --tables <(echo '[1]')
expect_fail "users" "$KUA" report "$ws" --domain care --out "$work/none.html" --tables <(echo '{"users": "u7"}')
expect_fail "empty" "$KUA" transfer "$ws" --source "" --target care --strategy frozen --name x
expect_fail "empty" "$KUA" init ""
expect_fail "garbage.*date" "$KUA" train "$ws" --domain care --model ease --name x --split time=garbage
"$KUA" train --list --json | jq -e 'map(.name) | index("sequence")' >/dev/null || fail "train --list --json"
"$KUA" models "$ws" | grep -q nan && fail "models shows a number that is none"
expect_fail "not.*(found|model)" "$KUA" eval "$ws" --model nothing
expect_fail "expected.*(leave-one-out|time)" "$KUA" train "$ws" --domain care --model ease --name x --split sideways
expect_fail "home" "$KUA" train "$ws" --domain nowhere --model ease --name x
expect_fail "sequence" "$KUA" train "$ws" --domain care --model magic --name x
expect_fail "lambda" "$KUA" train "$ws" --domain care --model ease --name x --set lamda=3
expect_fail "is missing" "$KUA" train "$ws" --domain care
expect_fail "no option" "$KUA" train "$ws" --dmain care
expect_fail "workspace" "$KUA" inspect "$work/nowhere"
for c in init import inspect encode tokenize train transfer eval recommend similar models report; do
    "$KUA" $c --help | grep -q "example:" || fail "$c --help has no example"
done
finish
