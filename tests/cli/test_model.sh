# kua model: what files hold, what kua can run and why not, names and the cache. Nothing is fetched here.
. tests/cli/shop.sh
export KUA_CACHE=$work/cache KUA_OFFLINE=1
data=tests/tensor/data

# ---- list
"$KUA" model list --json >"$work/list.json" || fail "list"
[ "$(jq -r '[.models[].name] | join(" ")' "$work/list.json")" = "minilm-l6 bge-small-zh smollm2-135m" ] || fail "names: $(cat "$work/list.json")"
[ "$(jq '[.models[] | select(.there)] | length' "$work/list.json")" = 0 ] || fail "an empty cache has models"
mkdir -p "$KUA_CACHE/models/mine"
cp "$data/blocks.gguf" "$KUA_CACHE/models/mine/"
[ "$("$KUA" model list --json | jq '.models[] | select(.name == "mine") | .there')" = true ] || fail "own models are not listed"
"$KUA" model list | grep -q "minilm-l6 .*84 MB to fetch" || fail "list for people: $("$KUA" model list)"

# ---- show: each format, by file, folder and name
show() {
    "$KUA" model show "$@" --json
}
[ "$(show "$data/blocks.gguf" | jq -r '[.format, (.tensors | length), .types.Q6_K, .metadata["v.text"], .metadata["v.texts"]] | join(" ")')" = "gguf 8 1536 größe text[3]" ] || fail "gguf"
[ "$(show mine | jq -r .format)" = gguf ] || fail "a model of the cache by its name"
show "$data/blocks.gguf" | jq -r .problem | grep -q "architecture" || fail "unknown architecture: $(show "$data/blocks.gguf" | jq .problem)"
[ "$(show "$data/sharded" | jq -r '[.format, .files, .parameters, .metadata.format] | join(" ")')" = "safetensors 2 10 pt" ] || fail "several files"
[ "$(show "$data/layers.onnx" | jq -c '[.metadata.opset, (.tensors[] | select(.name == "layer.0.query.weight") | .shape, .turned)]')" = "[11,[4,3],true]" ] || fail "onnx"
"$KUA" model show "$data/blocks.gguf" | grep -q "family: unknown: " || fail "show for people"
[ "$("$KUA" model show --all "$data/layers.onnx" | grep -c F32)" -gt 12 ] || fail "--all"

# ---- check: why not, and the exit status
expect_no() {
    local words=$1 code=0
    shift
    "$KUA" model check "$@" --json >"$work/check.json" 2>"$work/err" || code=$?
    [ "$code" = 1 ] || fail "check $*: status $code, expected 1"
    [ "$(jq .runs "$work/check.json")" = false ] || fail "check $*: $(cat "$work/check.json" "$work/err")"
    jq -r .why "$work/check.json" | grep -qE -- "$words" || fail "check $*: $(jq .why "$work/check.json"), expected $words"
}
expect_no "architecture" "$data/blocks.gguf"
expect_no "config.json|embeddings" "$data/sharded"
head -c 100 "$data/blocks.gguf" >"$work/cut.gguf"
expect_no "cut.gguf: byte " "$work/cut.gguf"
mkdir "$work/parts"
cp "$data/sharded/model.safetensors.index.json" "$work/parts/"
expect_no "model-00001-of-00002.safetensors is missing" "$work/parts"
"$KUA" model check "$work/cut.gguf" >"$work/out" && fail "a damaged model passed"
grep -q "kua cannot run it: " "$work/out" || fail "check for people: $(cat "$work/out")"
for tiny in tests/encoder/data/families/*/; do
    show "$tiny" | jq -e '.sizes.layers >= 1 and (.problem | not)' >/dev/null || fail "show $tiny"
done

expect_no "has neither tokenizer.json" tests/encoder/data/families/bert
for tiny in tests/encoder/data/families/{gpt2,llama,llama-gguf}; do
    "$KUA" model check "$tiny" --json | jq -e '.runs and (.uses | index("generate"))' >/dev/null || fail "check $tiny"
done

# ---- files that lie: an error in words, and no memory that the file does not justify
limit="ulimit -v 1000000"
grep -qa __asan_init "$KUA" && limit=true # its shadow memory is larger than any limit
for file in fuzz/corpus/gguf/{large,many-tensors,many-pairs,array-long,array-texts,value-text,overflow,overlap,outside} \
    fuzz/corpus/onnx/{absent,overflow,length,negative} fuzz/corpus/safetensors/{huge,overflow,outside,overlap}; do
    bash -c "$limit; '$KUA' model show '$file'" >"$work/out" 2>"$work/err" && fail "$file was taken"
    grep -q "^kua: $file:" "$work/err" || fail "$file: $(cat "$work/err")"
done

# ---- words
expect_fail "no model is called 'none'" "$KUA" model get none
expect_fail "KUA_OFFLINE is set" "$KUA" model get minilm-l6
expect_fail "get needs a name" "$KUA" model get
expect_fail "no action 'put'" "$KUA" model put x
expect_fail "takes one name" "$KUA" model show
expect_fail "takes no name" "$KUA" model list x
expect_fail "kua model get minilm-l6" "$KUA" model show minilm-l6
expect_fail "neither a folder or file" "$KUA" model show no-such-model
expect_fail "no such file or folder" "$KUA" model show ./no-such-file.gguf
"$KUA" model --help | grep -q "kua model get minilm-l6" || fail "--help has no example"
finish
