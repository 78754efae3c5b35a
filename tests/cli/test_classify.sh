# kua classify and kua tag: train, measure, use; bad input names its place; Ctrl-C leaves a checkpoint that is gone on from.
. tests/cli/shop.sh
table=$work/t.tsv
model=tests/encoder/data/tiny-gelu
{
    printf 'text\tlabel\tpart\n'
    for i in $(seq 1 60); do
        part=train
        [ $((i % 5)) = 0 ] && part=test
        [ $((i % 2)) = 0 ] && printf 'blue hotel towel %s\tcold\t%s\n' "$i" "$part" || printf 'green baby soft %s\twarm\t%s\n' "$i" "$part"
    done
} >"$table"
data="--data $table --text-column text --label-column label --split-column part"

accuracy() {
    "$KUA" classify eval --classifier "$1" $data --json --quiet | jq ".accuracy * 100 | floor"
}

# ---- every kind of model learns a word
"$KUA" classify train $data --model tfidf --out "$work/tfidf" --quiet >/dev/null
[ "$(accuracy "$work/tfidf")" = 100 ] || fail "tfidf did not learn"
"$KUA" classify train $data --model "$model" --head lstm --set epochs=20 --set lr=0.02 --set hidden=8 --out "$work/lstm" --quiet >/dev/null
[ "$(accuracy "$work/lstm")" = 100 ] || fail "lstm did not learn"
"$KUA" classify predict --classifier "$work/tfidf" --data "$table" --text-column text --out "$work/p.tsv" --quiet >/dev/null
[ "$(wc -l <"$work/p.tsv")" = 61 ] || fail "predictions lack rows"
head -1 "$work/p.tsv" | grep -q $'^row\tlabel\tprobability\tp:cold\tp:warm$' || fail "predictions have another header"

# ---- wrong words and bad files
printf 'text\tlabel\nx\n' >"$work/bad.tsv"
expect_fail "bad.tsv:2: .*1 column" "$KUA" classify train --data "$work/bad.tsv" --text-column text --label-column label --model tfidf --out "$work/x" --quiet
expect_fail "head is 'gru'" "$KUA" classify train $data --model tfidf --head gru --out "$work/x" --quiet
expect_fail "no classifier is here" "$KUA" classify eval --classifier "$work" $data --quiet
sed -i 's/"version": 1/"version": 2/' "$work/lstm/classifier.json"
expect_fail "made by a newer kua" "$KUA" classify eval --classifier "$work/lstm" $data --quiet

# ---- tags
for i in $(seq 1 40); do printf 'large O\nblue B-brand\nhotel I-brand\nspa O\n\n'; done >"$work/tags.txt"
"$KUA" tag train --data "$work/tags.txt" --model "$model" --set epochs=20 --set lr=0.02 --set encoder_lr=0.005 --out "$work/tagger" --quiet >/dev/null
"$KUA" tag eval --tagger "$work/tagger" --data "$work/tags.txt" --quiet --json | jq -e '.f1 > 0.9' >/dev/null || fail "the tagger did not learn"
echo 'large blue hotel spa' | "$KUA" tag predict --tagger "$work/tagger" --quiet | grep -qF 'blue hotel [brand]' || fail "the tagger does not say what it learned"

finish
