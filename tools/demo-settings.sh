# tools/demo-settings.sh - what tools/demo and tools/scaling have in common; sourced after common.sh, never run.

kua=${KUA:-$root/build/kua}
source_domain=${DEMO_SOURCE:-GROCERY}
target_domain=${DEMO_TARGET:-DRUG GM}
split=time=${DEMO_CUT:-2017-11-06} # the last eight weeks are the test
data=$cache/data/completejourney
# Long logs and 31,000 items: epochs of a bounded size keep the demo short.
training=(--set epochs=4 --set patience=1 --set epoch_tokens=60000 --set valid_users=1000 --set averaging=0.5)

[ -x "$kua" ] || die "$kua is not there: make build makes it"
"$kua" model get minilm-l6 >/dev/null || die "the model did not come"
"$tools/fetch"
"$tools/convert-completejourney"
