# test_pretrain.sh - kua pretrain on a made-up shop: from scratch, on from that, pairs, interruption, wrong usage.
. "$(dirname "$0")/shop.sh"

make_shop "$work"
"$KUA" init "$work/ws" >/dev/null
for name in home care; do
    "$KUA" import "$work/ws" --domain $name --items "$work/$name.item" --events "$work/$name.inter" >/dev/null 2>&1
done
mkdir "$work/words"
{
    printf '[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\n>\n'
    tail -q -n +2 "$work"/*.item | cut -f2,3 | tr '\t[:upper:] ' '\n[:lower:]\n' | grep -v '>' | sort -u
} >"$work/words/vocab.txt"
echo '{"model_type": "bert", "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32,
"max_position_embeddings": 32, "type_vocab_size": 2, "hidden_act": "gelu", "layer_norm_eps": 1e-12}' >"$work/bert.json"
scratch=(--from-scratch "$work/bert.json" --tokenizer "$work/words" --set max_tokens=16 --set batch_tokens=128 --set held_out=0.2)

# masked words, from scratch, on the texts of the shop
"$KUA" pretrain "$work/ws" "${scratch[@]}" --objective mlm --out "$work/m" --set epochs=20 --json >"$work/report" 2>/dev/null
grep -q '"objective":"mlm"' "$work/report" || fail "no report: $(cat "$work/report")"
for file in config.json model.safetensors vocab.txt pretrain.json; do
    [ -s "$work/m/$file" ] || fail "$file was not written"
done
[ ! -e "$work/m/checkpoint.safetensors" ] || fail "a finished run left its checkpoint"
"$KUA" encode "$work/ws" --model "$work/m" >/dev/null 2>&1 || fail "the model does not encode"

# on from there: what is bought together
"$KUA" pretrain "$work/ws" --model "$work/m" --objective contrastive --bought-together --domains home --out "$work/p" \
    --set epochs=1 --set max_tokens=16 >"$work/report" 2>/dev/null || fail "contrastive pre-training failed"
grep -q 'written: ' "$work/report" || fail "it does not say what it wrote"

# a vocabulary of the shop's own words, which comes back from its ids
tail -n +2 "$work/home.item" | cut -f2 >"$work/titles"
for kind in wordpiece bpe; do
    "$KUA" vocab --text "$work/titles" --kind $kind --size 300 --out "$work/$kind" --json >"$work/report" 2>/dev/null || fail "vocab $kind"
    [ "$(jq .lines "$work/report")" = "$(wc -l <"$work/titles")" ] || fail "vocab $kind counts $(jq .lines "$work/report") lines"
    "$KUA" tokenize --model "$work/$kind" <"$work/titles" >"$work/ids" || fail "tokenize with $kind"
    "$KUA" tokenize --model "$work/$kind" --decode <"$work/ids" | cmp -s - "$work/titles" || fail "$kind does not come back"
    "$KUA" tokenize --model "$work/$kind" --describe --json | jq -e ".kind == \"$kind\"" >/dev/null || fail "describe $kind"
done
expect_fail 'expected wordpiece or bpe' "$KUA" vocab --text "$work/titles" --kind words --out "$work/x"
expect_fail 'nothere' "$KUA" vocab --text "$work/nothere" --out "$work/x"

# a text file, and the same twice: the same bytes
for run in 1 2; do
    "$KUA" pretrain --text "$work/titles" "${scratch[@]}" --objective mlm --out "$work/t$run" --set epochs=2 >/dev/null 2>&1
done
cmp -s "$work/t1/model.safetensors" "$work/t2/model.safetensors" || fail "two equal runs differ"

# Ctrl-C leaves a checkpoint; the same command goes on and ends where an uninterrupted run ends
slow=("${scratch[@]}" --objective mlm --set steps=400 --set evals=2)
"$KUA" pretrain "$work/ws" "${slow[@]}" --out "$work/whole" >/dev/null 2>&1
timeout -s INT 1 "$KUA" pretrain "$work/ws" "${slow[@]}" --out "$work/parts" >/dev/null 2>&1 || true
"$KUA" pretrain "$work/ws" "${slow[@]}" --out "$work/parts" >/dev/null 2>&1
cmp -s "$work/whole/model.safetensors" "$work/parts/model.safetensors" || fail "an interrupted run ends elsewhere"

# wrong usage
expect_fail 'expected mlm, clm or contrastive' "$KUA" pretrain "$work/ws" "${scratch[@]}" --objective bert --out "$work/x"
expect_fail 'either --model or --from-scratch' "$KUA" pretrain "$work/ws" --objective mlm --out "$work/x"
expect_fail "'epoch' is unknown" "$KUA" pretrain "$work/ws" "${scratch[@]}" --objective mlm --out "$work/x" --set epoch=1
expect_fail 'sees both sides: use mlm' "$KUA" pretrain "$work/ws" "${scratch[@]}" --objective clm --out "$work/x"
expect_fail "no domain 'garden'" "$KUA" pretrain "$work/ws" "${scratch[@]}" --objective mlm --out "$work/x" --domains garden
expect_fail 'max_tokens is 64' "$KUA" pretrain "$work/ws" "${scratch[@]}" --objective mlm --out "$work/x" --set max_tokens=64
finish
