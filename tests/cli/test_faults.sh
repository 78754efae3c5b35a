# Bad files and accidents: each ends in a clear error that names the place, or in a resume, and nothing is lost.
. tests/cli/shop.sh
make_shop "$work"
ws=$work/ws
"$KUA" init "$ws" --quiet >/dev/null

import() {
    "$KUA" import "$ws" --quiet --domain care "$@"
}

count_events() {
    "$KUA" inspect "$ws" --json | jq '[.domains[].events] | add // 0'
}

# ---- files that are not what they should be
printf 'item_id,title\n1,"no end\n2,x\n' >"$work/quote.csv"
expect_fail "quote.csv:2.*quote" import --items "$work/quote.csv"
: >"$work/empty.csv"
expect_fail "empty.csv.*empty" import --items "$work/empty.csv"
printf 'item_id\ttitle\n1\tcaf\xe9\n' >"$work/latin.tsv"
expect_fail "latin.tsv:2.*UTF-8" import --items "$work/latin.tsv"
printf '\xff\xfei\0d\0' >"$work/wide.tsv"
expect_fail "wide.tsv.*UTF-16" import --items "$work/wide.tsv"
printf 'thing\tname\n1\tx\n' >"$work/nocolumn.tsv"
expect_fail "nocolumn.tsv.*item" import --items "$work/nocolumn.tsv"
printf 'user_id\titem_id\ttimestamp\nu1\tcare1\tabc\n' >"$work/time.tsv"
expect_fail "time.tsv:2.*timestamp.*abc.*expected" import --items "$work/care.item" --events "$work/time.tsv"
head -c 100000000 /dev/zero | tr '\0' x >"$work/long.tsv"
limit="ulimit -v 1500000"
grep -qa __asan_init "$KUA" && limit=true # its shadow memory is larger than any limit
expect_fail "long.tsv.*(longer|bytes)" bash -c "$limit; '$KUA' import '$ws' --quiet --domain care --items '$work/long.tsv'"
rm "$work/long.tsv"
expect_fail "nothing-there" import --items "$work/nothing-there.csv"
[ "$(count_events)" = 0 ] || fail "a failed import left events behind"

# ---- a killed import leaves nothing, and the next one works
awk 'BEGIN { print "user_id:token\titem_id:token\ttimestamp:float"; for (u = 0; u < 20000; u++) for (k = 0; k < 12; k++) printf "u%d\tcare%d\t%d\n", u, (u * 7 + k * 5) % 60, k }' >"$work/big.inter"
"$KUA" import "$ws" --quiet --domain care --items "$work/care.item" --events "$work/big.inter" >/dev/null 2>&1 &
sleep .25
kill -9 $! 2>/dev/null || true
wait $! 2>/dev/null || true
events=$(count_events)
[ "$events" = 0 ] || [ "$events" = 240000 ] || fail "a killed import left $events events"
import --items "$work/care.item" --events "$work/care.inter" >/dev/null || fail "import after a killed one"

# ---- a full disk
if [ "$(ulimit -f)" = unlimited ]; then
    before=$(count_events)
    expect_fail "kua" bash -c "ulimit -f 400; trap '' XFSZ; '$KUA' import '$ws' --quiet --domain more --items '$work/home.item' --events '$work/big.inter' --set unknown_items=create"
    [ "$(count_events)" = "$before" ] || fail "a full disk changed the number of events"
fi

# ---- two writers: the second is told who holds the workspace
"$KUA" train "$ws" --quiet --domain care --model sequence --name slow --set epochs=40 --set patience=40 >/dev/null 2>&1 &
first=$!
sleep .6
if kill -0 $first 2>/dev/null; then
    expect_fail "in use" "$KUA" train "$ws" --quiet --domain care --model popularity --name p
    "$KUA" inspect "$ws" --json >/dev/null || fail "a reader was kept out by a writer"
fi
kill -INT $first 2>/dev/null || true
wait $first 2>/dev/null || true
"$KUA" train "$ws" --quiet --domain care --model popularity --name p >/dev/null || fail "training after an interrupted one"

# ---- an interrupted training goes on where it stopped, and ends as if it had not been
train_sequence() {
    exec "$KUA" train "$ws" --domain care --model sequence --name "$1" --seed 7 --set epochs=300 --set patience=300 --json
}
(train_sequence whole) >"$work/whole.json" 2>/dev/null || fail "training without interruption"
: >"$work/first"
train_sequence parts >/dev/null 2>"$work/first" &
first=$!
while kill -0 $first 2>/dev/null && ! grep -q "epoch 2:" "$work/first"; do sleep .02; done
kill -INT $first 2>/dev/null || true
wait $first 2>/dev/null || true
if grep -q "interrupted; the same command goes on" "$work/first" && grep -q "epoch 1:" "$work/first"; then
    (train_sequence parts) >"$work/parts.json" 2>"$work/second" || fail "going on: $(cat "$work/second")"
    grep -q "going on after epoch" "$work/second" || fail "an interrupted training began anew: $(head -3 "$work/second")"
    facts='.seeds[0].facts | del(.curve[]?.seconds)'
    [ "$(jq -S "$facts" "$work/whole.json")" = "$(jq -S "$facts" "$work/parts.json")" ] || fail "an interrupted training ended elsewhere"
else
    fail "the training was not interrupted between its epochs: $(cat "$work/first")"
fi

# ---- a transfer that is killed while it trains the model of the sources goes on there
small=(--set epochs=60 --set patience=60 --set dim=32 --set layers=1)
transfer() {
    exec "$KUA" transfer "$1" --source home --target care --strategy finetune --name moved "${small[@]}" --json
}
"$KUA" import "$ws" --quiet --domain home --items "$work/home.item" --events "$work/home.inter" >/dev/null
"$KUA" train "$ws" --quiet --domain care --model sequence --name target-only "${small[@]}" >/dev/null || fail "target-only"
cp -r "$ws" "$work/killed"
(transfer "$ws") >"$work/moved.json" 2>"$work/err" || fail "transfer: $(cat "$work/err")"
: >"$work/cut"
transfer "$work/killed" >/dev/null 2>"$work/cut" &
first=$!
while kill -0 $first 2>/dev/null && ! grep -q "epoch 3:" "$work/cut"; do sleep .02; done
kill -9 $first 2>/dev/null || true
wait $first 2>/dev/null || true
grep -q "source: training the model of home" "$work/cut" || fail "no word of the sources: $(cat "$work/cut")"
if grep -q "moving to" "$work/cut"; then
    fail "the transfer was not killed while it trained the source"
else
    (transfer "$work/killed") >"$work/resumed.json" 2>"$work/rest" || fail "transfer, going on: $(cat "$work/rest")"
    sed -n 2p "$work/rest" | grep -q "going on after epoch" || fail "the source began anew: $(head -3 "$work/rest")"
    facts='[.metrics, .verdict, (.seeds[0].facts | del(.curve[]?.seconds))]'
    [ "$(jq -S "$facts" "$work/moved.json")" = "$(jq -S "$facts" "$work/resumed.json")" ] || fail "a killed transfer ended elsewhere"
fi

# ---- a model of the sources that cannot be read is trained again
tensors=$(find "$ws/models/source" -name model.safetensors | head -1)
head -c 20 "$tensors" >"$tensors.cut" && mv "$tensors.cut" "$tensors"
(transfer "$ws") >"$work/again.json" 2>"$work/err" || fail "transfer with a damaged source: $(cat "$work/err")"
grep -q "left aside: .*$tensors" "$work/err" || fail "no word of the damaged source: $(cat "$work/err")"
[ "$(jq -S "$facts" "$work/moved.json")" = "$(jq -S "$facts" "$work/again.json")" ] || fail "another source than before"

# ---- a workspace of a newer version, and something else under its name
cp -r "$ws" "$work/newer"
python3 - "$work/newer/kua.db" <<'PY'
import sqlite3, sys
db = sqlite3.connect(sys.argv[1])
db.execute("pragma user_version = 999")
db.commit()
PY
expect_fail "newer" "$KUA" inspect "$work/newer"
mkdir "$work/other"
echo "not a database, but long enough to be read as one" >"$work/other/kua.db"
expect_fail "kua.db" "$KUA" inspect "$work/other"

# ---- a damaged model
model=$(find "$ws/models/p" -name model.safetensors | head -1)
if [ -n "$model" ]; then
    head -c 20 "$model" >"$model.cut" && mv "$model.cut" "$model"
    expect_fail "safetensors" "$KUA" eval "$ws" --quiet --model p
fi
finish
