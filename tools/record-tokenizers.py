#!/usr/bin/env python3
"""Makes small tokenizers of every kind and records what the reference says of texts, for tests/text/test_kinds.c.

    python3 tools/record-tokenizers.py make SHARED_DATA tests/text/data/kinds            # trains the small tokenizers anew
    python3 tools/record-tokenizers.py cases tests/text/data/kinds > tests/text/data/kinds.jsonl
    python3 tools/record-tokenizers.py hashes tests/text/data/kinds SHARED_DATA [NAME=FILE ..] > tests/text/data/kinds-hashes.json
    python3 tools/record-tokenizers.py gguf MODEL.gguf tokenizer.json                   # a GGUF's tokenizer for the reference

cases: nasty texts with ids and decoded text. hashes: a number for every 500 lines of files that are not in the repository;
NAME=FILE adds the tokenizer.json of a real model, which the test finds in the model cache under NAME.
Needs: pip install tokenizers==0.23.3 sentencepiece protobuf gguf.
"""
import io
import json
import sys
from pathlib import Path

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

HERE = Path(__file__).parent
SETS = ["amazon-2014/beauty/beauty.item", "amazon-2014/toys/toys.item", "classify/zh-reviews-10-categories.tsv"]
LLAMA3 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|"
          r"\s*[\r\n]+|\s+(?!\S)|\s+")
RULES = "FF21\t41\nFF22\t42\n3000\t20\nA0\t20\n9\t20\n200B\t\nFB01\t66 69\n65 301\tE9\nC1\t61\n61 301\tE1\n2460\t31\n0D\t20\n"


def record_tokens():
    """The texts of tools/record-tokens.py."""
    source = (HERE / "record-tokens.py").read_text(encoding="utf-8").rsplit("\nmain()", 1)[0]
    names = {}
    exec(compile(source, "record-tokens.py", "exec"), names)  # its name is no module's
    return names


# ---- small tokenizers -------------------------------------------------------------------------------------------------


def training_texts(shared):
    lines = []
    for name, step in zip(SETS, (12, 12, 40)):
        lines += Path(shared, name).read_bytes().decode("utf-8", "replace").split("\n")[1::step]
    return lines


def byte_level(texts, size, special, pre, alphabet=True, **model):
    tokenizer = Tokenizer(models.BPE(**model))
    tokenizer.pre_tokenizer, tokenizer.decoder = pre, decoders.ByteLevel()
    initial = pre_tokenizers.ByteLevel.alphabet() if alphabet else []
    tokenizer.train_from_iterator(texts, trainers.BpeTrainer(vocab_size=size, special_tokens=special, initial_alphabet=initial, show_progress=False))
    return tokenizer


def template(before, behind):
    single = " ".join([t for t, _ in before] + ["$A"] + [t for t, _ in behind])
    return processors.TemplateProcessing(single=single, special_tokens=before + behind)


def roberta(texts):
    tokenizer = byte_level(texts, 900, ["<s>", "<pad>", "</s>", "<unk>", AddedToken("<mask>", lstrip=True)], pre_tokenizers.ByteLevel(add_prefix_space=True))
    tokenizer.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0))
    return tokenizer


def smollm(texts):
    return byte_level(texts, 900, ["<|endoftext|>", "<|im_start|>"],
                      pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]))


def few_bytes(texts):
    return byte_level(texts[:300], 500, [], pre_tokenizers.ByteLevel(add_prefix_space=False), alphabet=False)


def llama3(texts):
    split = pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(LLAMA3), "isolated"), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    tokenizer = byte_level(texts, 900, ["<|begin_of_text|>", "<|end_of_text|>"], split, ignore_merges=True)
    tokenizer.post_processor = processors.Sequence([processors.ByteLevel(trim_offsets=False), template([("<|begin_of_text|>", 0)], [])])
    return tokenizer


def qwen2(texts):
    split = pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(LLAMA3.replace("{1,3}", "")), "isolated"), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    tokenizer = byte_level(texts, 900, ["<|endoftext|>"], split)
    tokenizer.normalizer = normalizers.NFC()
    return tokenizer


def llama2(texts):
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("\u2581"), normalizers.Replace(" ", "\u2581")])
    tokenizer.decoder = decoders.Sequence([decoders.Replace("\u2581", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)])
    special = ["<unk>", "<s>", "</s>"] + ["<0x%02X>" % i for i in range(256)]
    tokenizer.train_from_iterator(texts[::4], trainers.BpeTrainer(vocab_size=900, limit_alphabet=200, special_tokens=special, show_progress=False))
    tokenizer.post_processor = template([("<s>", 1)], [])
    description = json.loads(tokenizer.to_str())
    description["added_tokens"] = description["added_tokens"][:3]
    return Tokenizer.from_str(json.dumps(description))


def unigram(texts, byte_fallback):
    import sentencepiece
    from sentencepiece import sentencepiece_model_pb2
    rules = Path("/tmp/kua-rules.tsv")
    rules.write_text(RULES, encoding="utf-8")
    out = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(sentence_iterator=iter(texts[::2]), model_writer=out, vocab_size=2200, model_type="unigram",
                                             normalization_rule_tsv=str(rules), character_coverage=0.98, byte_fallback=byte_fallback, minloglevel=2)
    rules.unlink()
    proto = sentencepiece_model_pb2.ModelProto()
    proto.ParseFromString(out.getvalue())
    vocab = [(p.piece, round(p.score, 6)) for p in proto.pieces]
    tokenizer = Tokenizer(models.Unigram(vocab, 0, byte_fallback))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Precompiled(proto.normalizer_spec.precompiled_charsmap), normalizers.Replace(Regex(" {2,}"), " ")])
    tokenizer.pre_tokenizer, tokenizer.decoder = pre_tokenizers.Metaspace(), decoders.Metaspace()
    tokenizer.add_special_tokens(["<s>", "</s>"])
    tokenizer.post_processor = template([("<s>", 1)], [("</s>", 2)])
    return tokenizer


def xlmr(texts):
    tokenizer = unigram(texts, False)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace()])
    tokenizer.add_special_tokens([AddedToken("<mask>", lstrip=True)])
    tokenizer.add_tokens([AddedToken("red", single_word=True, rstrip=True), AddedToken("\u4e2d\u6587")])
    return tokenizer


def albert(texts):
    tokenizer = unigram(texts, False)
    tokenizer.normalizer = normalizers.Sequence([normalizers.Nmt(), normalizers.Replace("``", '"'), normalizers.NFKD(), normalizers.StripAccents(), normalizers.Lowercase(), normalizers.Strip()])
    tokenizer.pre_tokenizer, tokenizer.decoder = pre_tokenizers.Metaspace(prepend_scheme="first", split=False), decoders.Metaspace(prepend_scheme="first", split=False)
    return tokenizer


def make(shared, folder):
    texts = training_texts(shared)
    kinds = {"roberta": roberta, "smollm": smollm, "few-bytes": few_bytes, "llama3": llama3, "qwen2": qwen2, "llama2": llama2,
             "unigram": lambda t: unigram(t, False), "unigram-bytes": lambda t: unigram(t, True), "xlmr": xlmr, "albert": albert}
    Path(folder).mkdir(parents=True, exist_ok=True)
    for name, function in kinds.items():
        text = json.dumps(json.loads(function(texts).to_str()), ensure_ascii=False, separators=(",", ":"))
        Path(folder, name + ".json").write_text(text + "\n", encoding="utf-8")


# ---- recording --------------------------------------------------------------------------------------------------------


def load(path):
    tokenizer = Tokenizer.from_file(str(path))
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return tokenizer


def nasty(names):
    yield from [t for t in names["fixed_texts"]() if len(t) < 130]
    yield from names["random_texts"](40, 5)
    yield from names["broken_bytes"]()
    yield from ["<s>x</s>", "a <mask> b<mask>  c", "<|endoftext|>", "a<|im_start|>b", "\u2581\u2581a\u2581b", "'s 't 're 'S 'LL don't DON'T we'll'd", "'\u017f x",
                "a\r\r b\r", "12345 1234567 12", "\u0661\u0662\u0663 \u00b2\u00b3 \u00bd", "\t\t x", "red  reddish a red b", "e\u0301 \u00c1 a\u0301", "\u32ff \U0001e030", "``x''"]


def cases(folder):
    names = record_tokens()
    for path in sorted(Path(folder).glob("*.json")):
        tokenizer, out = load(path), []
        for text in nasty(names):
            names["write_case"](tokenizer, text, out)
            out[-1]["decoded"] = tokenizer.decode(out[-1]["ids"])
        print(json.dumps({"name": path.stem, "cases": out}, separators=(",", ":")))


def hashes(folder, shared, *more):
    names = record_tokens()
    files = [(path.stem, path) for path in sorted(Path(folder).glob("*.json"))] + [tuple(m.split("=")) for m in more]
    out = [{"name": name, "sets": [names["hash_file"](load(path), s, Path(shared, s)) for s in SETS]} for name, path in files]
    print(json.dumps({"block_lines": names["BLOCK"], "tokenizers": out}, separators=(",", ":")))


def gguf(path, out):
    from gguf import GGUFReader
    fields = {k: f.contents() for k, f in GGUFReader(path).fields.items() if k.startswith("tokenizer.ggml.")}
    tokens, types = fields["tokenizer.ggml.tokens"], fields["tokenizer.ggml.token_type"]
    assert fields["tokenizer.ggml.model"] == "gpt2" and fields["tokenizer.ggml.pre"] == "smollm"
    tokenizer = Tokenizer(models.BPE({t: i for i, t in enumerate(tokens)}, [tuple(m.split(" ")) for m in fields["tokenizer.ggml.merges"]]))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)])
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([t for t, kind in zip(tokens, types) if kind == 3])
    tokenizer.save(out)


def main():
    commands = {"make": make, "cases": cases, "hashes": hashes, "gguf": gguf}
    if len(sys.argv) < 2 or sys.argv[1] not in commands:
        sys.exit(__doc__)
    commands[sys.argv[1]](*sys.argv[2:])


main()
