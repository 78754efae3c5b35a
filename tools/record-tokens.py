#!/usr/bin/env python3
"""Records what the reference tokenizer says, for tests/text/test_parity.c, and compares with it.

    python3 tools/record-tokens.py nasty MODEL > tests/text/data/nasty.jsonl
    python3 tools/record-tokens.py variants > tests/text/data/variants.jsonl
    python3 tools/record-tokens.py hashes MODEL SHARED_DATA CATALOGUE.tsv > tests/text/data/hashes.json
    python3 tools/record-tokens.py ids MODEL FILE                    # one JSON array of ids a line
    kua tokenize --model MODEL < FILE | python3 tools/record-tokens.py compare MODEL FILE      # first differing lines

MODEL is a folder with tokenizer.json. nasty: texts made here, from every corner of Unicode, with their ids. variants: small
made-up tokenizers of all options with texts and ids, so that a test needs no model. hashes: one 64-bit number for every
500 lines of a large file that is not part of the repository. Needs: pip install tokenizers==0.23.3.
"""
import json
import random
import sys
import unicodedata
from pathlib import Path

from tokenizers import Tokenizer

BLOCK = 500
SETS = [
    "amazon-2014/beauty/beauty.item", "amazon-2014/toys/toys.item", "amazon-2014/sports/sports.item",
    "search/homedepot.tsv", "classify/pricerunner.tsv", "classify/zh-reviews-10-categories.tsv",
]


def load(folder):
    tokenizer = Tokenizer.from_file(str(Path(folder) / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return tokenizer


# ---- nasty texts ------------------------------------------------------------------------------------------------------


def u(*points):
    return "".join(chr(p) for p in points)


def fixed_texts():
    yield from ["", " ", "\t", "\r\n"[:1], "   leading and trailing   ", "a\tb\vc\fd\re", "tab\t\ttab"]
    yield from ["no\u00a0break", "thin\u2009space", "ideographic\u3000space", "line\u2028separator", "para\u2029graph",
                "ogham\u1680space", "next\u0085line", "zero\u200bwidth", "word\u2060joiner", "\ufeffbom first", "bom\ufeffmiddle",
                "soft\u00adhyphen", "left\u200eto\u200fright", "mongolian\u180evowel", "object\ufffcreplacement", "repl\ufffdacement"]
    yield from ["[CLS]", "[SEP] [SEP]", "a[MASK]b", "[ MASK ]", "[mask]", "[[MASK]]", "[MASK][MASK]", "[UNK] known", "[PAD]x", "[CLS",
                "x [SEP]\u0301", "[MA\u0301SK]", "[unused0]", "[unused99] text", "##ing ##", "[CLS] caf\u00e9 [SEP]", "\u200b[MASK]\u200b", "[MASK]s"]
    yield from ["Caf\u00e9", "cafe\u0301", "CAFE\u0301\u0327", "\u1e69 s\u0323\u0307 s\u0307\u0323", "\u00c5ngstr\u00f6m \u212b A\u030a", "\u1ec7 e\u0323\u0302",
                "na\u00efve r\u00e9sum\u00e9", "\u0130stanbul", "I\u0307stanbul", "\u0131\u015f\u0131k", "TITLE \u01c4 \u01c5 \u01c6 \u01c7 \u01c8", "\u03a3\u03a3", "\u039f\u0394\u03a5\u03a3\u03a3\u0395\u03a5\u03a3",
                "\u03c3\u03c2", "\u1e9e stra\u00dfe STRASSE", "\ufb01ne \ufb02our \ufb03", "\uff26\uff35\uff2c\uff2c width \uff11\uff12\uff13", "\uff76\uff9e\uff77", "\u212a \u2126 \u2103", "\u00bd \u00bc \u2153 x\u00b2 H\u2082O",
                "\u2160\u2161\u2162 \u2170", "\u24b6\u24b7 \u2460", "\U0001d400\U0001d401\U0001d7d8", "\U00010400\U00010401 \U00010428", "\U0001e900\U0001e922", "\u13a0\uab70", "\u1c90\u10d0", "\ua64a\ua64b \u1c88",
                "\u1f88 \u1f80 \u1fbc", "\u0345\u03b1", "\u1c89 \ua7cb \ua7dc \U00010d50 \U00016ea0"]
    yield from ["\u4e2d\u6587\u5546\u54c1", "\u4e2da\u6587b", "iPhone\u624b\u673a\u58f3", "\u3400\u4dbf\u9fff", "\U00020000\U0002a6df\U0002b820", "\U00030000\U000323af", "\uf900\ufa0e\ufaff", "\U0002f800\U0002fa1f",
                "\u65e5\u672c\u8a9e\u306e\u30c6\u30ad\u30b9\u30c8", "\u304c\u304b\u3099 \u30d7\u30d5\u309a", "\ud55c\uad6d\uc5b4", "\u1112\u1161\u11ab", "\uac00\uac01\ud7a3", "\u3131\u314f\ua960\ud7b0", "\u3001\u3002\uff0c\uff01\u300c\u300d", "\u302a\u302e\u302f\u4e00\u302f\u302e\u302a"]
    yield from ["\U0001f600", "\U0001f468\u200d\U0001f469\u200d\U0001f467", "\U0001f44d\U0001f3fd", "\U0001f1e9\U0001f1ea", "\u2764\ufe0f", "1\ufe0f\u20e3", "a\u20dd b\u0488", "\U000e0041\U000e007f", "\U0001f3f4\U000e0067\U000e007f", "\U000e0100x"]
    yield from ["\u0645\u0631\u062d\u0628\u0627 \u0628\u0643", "\u0645\u064f\u062d\u064e\u0645\u0651\u064e\u062f", "\u0623\u0625\u0622\u0624\u0626", "\u0660\u0661\u0662 \u06f0\u06f1", "\u05e9\u05c1\u05dc\u05d5\u05b9\u05dd", "\u202b\u05d0\u202c", "\u0600\u06dd\u070f\u08e2\u0890", "\u0915\u094d\u0937 \u0958 \u0915\u093c",
                "\u0e2a\u0e27\u0e31\u0e2a\u0e14\u0e35 \u0e33", "\u0b95\u0bca \u0b95\u0bc6\u0bbe", "\u0f43\u0f77\u0f81", "\u1000\u1039\u1001", "\u1780\u17d2\u1781", "\u0d15\u0d4d\u200d", "\u1b06\u1b35\u1b44", "\U00011935\U00011930 \U00011938", "\U0001109a", "\U0001d15e\U0001d160 \U0001d1bc"]
    yield from ["don't", "\u201cquoted\u201d \u2018single\u2019", "a-b\u2013c\u2014d\u2015e", "3.5\u00d74\"", "$5.99 \u20ac5 \u00a35 \u00a55", "C++ C# .NET", "50% off!!!", "a/b\\c|d", "x=y<z>w^v`u~t", "\u00a1hola! \u00bfqu\u00e9?", "\u037e\u0387\u1fef\u2260",
                "\u00a7\u00b6\u00b7 \u2020\u2021\u2022\u2026", "\u2212\u00b1\u00f7", "\u00a9\u00ae\u2122", "\u166d\u166e", "\u2e42\u2e43\u2e5d", "\u0c77\u061d\u061e", "\u111c8"[:1] + "\U000111c9"]
    yield from ["\ue000\uf8ff private", "\U000f0000\U0010fffd", "\ud7ff\ue000", "\ufdd0\ufffe\uffff", "\U0001fffe\U0010ffff", "\u0378\u0530", "\u0001\u0002x\u001f\u007f\u0080\u009f"]
    yield from ["x" * 99, "x" * 100, "x" * 101, "x" * 5000, "\u00e9" * 100, "e\u0301" * 100, "e\u0301" * 101, "\u00e9" * 101, "ab" * 50 + " ok", "\uac00" * 34, "\u4e2d" * 120, "a" + "\u0301" * 500 + "b",
                "a" + "\u302e\U0001d165" * 40, "-" * 200, "antidisestablishmentarianism", "pneumonoultramicroscopicsilicovolcanoconiosis", "qzxjkvbw", "https://example.com/a?b=c&d=%20#e", "A1YJEY40YUW4SE B004756YJA"]


def random_texts(n, seed):
    rng = random.Random(seed)
    scripts = [(0x20, 0x7e), (0xa0, 0x24f), (0x250, 0x36f), (0x370, 0x52f), (0x590, 0x8ff), (0x900, 0xdff), (0xe00, 0x109f),
               (0x1100, 0x11ff), (0x1e00, 0x1fff), (0x2000, 0x206f), (0x2070, 0x2bff), (0x2e00, 0x2e7f), (0x3000, 0x30ff),
               (0x3400, 0x9fff), (0xa000, 0xabff), (0xac00, 0xd7ff), (0xf900, 0xffff), (0x10000, 0x107ff), (0x11000, 0x11fff),
               (0x1d000, 0x1d7ff), (0x1e000, 0x1e9ff), (0x1f000, 0x1faff), (0x20000, 0x2fa1f), (0xe0000, 0xe01ef)]
    marks = [c for c in range(0x300, 0x1e950) if unicodedata.category(chr(c)) in ("Mn", "Mc", "Me")]
    words = ["red", "Wireless", "caf\u00e9", "\u4e2d\u6587", "[MASK]", "[SEP]", "2.4GHz", "\u0130", "\u03a3", "don't", "\u00a0", "\u200b", " "]
    for _ in range(n):
        low, high = rng.choice(scripts)
        text = ""
        for _ in range(rng.randint(2, 16)):
            kind = rng.random()
            if kind < 0.55:
                text += chr(rng.randint(low, high))
            elif kind < 0.75:
                text += chr(rng.choice(marks))
            else:
                text += rng.choice(words)
        if not any(0xD800 <= ord(c) <= 0xDFFF for c in text):
            yield text


def broken_bytes():
    yield from [b"a\xffb", b"\x80", b"\xc3", b"caf\xc3\xa9 \xc3", b"\xc0\xaf", b"\xe2\x82", b"\xe2\x82x", b"\xed\xa0\x80\xed\xb0\x80", b"\xf0\x9f\x98", b"\xf4\x90\x80\x80", b"\xf8\x88\x80\x80\x80",
                b"[MA\xffSK] [MASK]\xff", b"\xf0\x80\x80\xaf z", b"ab\xe4\xb8\xadcd\xe4\xb8"]


def write_case(tokenizer, text, out):
    shown = {"hex": text.hex()} if isinstance(text, bytes) else {"text": text}
    ids = tokenizer.encode(text.decode("utf-8", "replace") if isinstance(text, bytes) else text).ids
    out.append({**shown, "ids": ids})


def nasty(folder):
    tokenizer, cases = load(folder), []
    for text in [*fixed_texts(), *random_texts(220, 3), *broken_bytes()]:
        write_case(tokenizer, text, cases)
    for case in cases:
        print(json.dumps(case, separators=(",", ":")))


# ---- variants -----------------------------------------------------------------------------------------------------------


VARIANT_TEXTS = [
    "Caf\u00e9 CAFE\u0301 \u0130I \u03a3\u03c3", "\u4e2d\u6587a\u4e2d", "a\u0001b\u200bc\ufffdd", "[MASK] x[MASK]y [mask]", "foo foobar Foo FOO fo\u00f3 foo", "bar barbar bar. _bar \u00e9bar bar\u0301 bar",
    "spa ced  spa  ced", "new york NEW YORK new  york", "abcdefghij abcdefghijk", "\ud55c\uae00 \ud55c", "a\u302e\U0001d165\u0301b", "a\U0001d165\u302eb", "un-known \u2603 \u2603", "\u00c0\u00c9\u00ce \u00e0\u00e9\u00ee", "\u212b \u2126 \u037e", "\uf900 \u8c48",
    "", "   ", "foo\u4e2dbar", "(foo)bar(bar)", "xfoo foo\u200bx", "\u24b6bar bar\u200d", "ba ba\u0301r r", "\u2000a\u2028b\u0085c", "\u4e2d \u4e2d\u4e2d", "aaaaaaaaaaaaaaaaaaaaa aaaa",
]


def variant_vocab(prefix, rng):
    letters = set("[UNK]") | set("abcdefghijklmnoprstuwxyz")
    for text in VARIANT_TEXTS:
        for form in (text, text.lower(), unicodedata.normalize("NFD", text), unicodedata.normalize("NFD", text).lower()):
            letters |= set(form)
    letters -= set("\u2603 ")  # the snowman stays unknown
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    for c in sorted(letters):
        pieces += [c, prefix + c]
    words = sorted({w for t in VARIANT_TEXTS for w in unicodedata.normalize("NFD", t).lower().split()})
    for _ in range(60):
        word = rng.choice(words)
        a = rng.randint(0, len(word) - 1)
        b = rng.randint(a + 1, len(word))
        pieces.append((prefix if a else "") + word[a:b])
    return {p: i for i, p in enumerate(dict.fromkeys(p for p in pieces if p))}


def token(id, content, special=False, normalized=None, **flags):
    base = {"id": id, "content": content, "single_word": False, "lstrip": False, "rstrip": False,
            "normalized": (not special) if normalized is None else normalized, "special": special}
    return {**base, **flags}


def variant(name, normalizer=None, prefix="##", max_chars=100, processor="template", extra=()):
    vocab = variant_vocab(prefix, random.Random(name))
    options = {"type": "BertNormalizer", "clean_text": True, "handle_chinese_chars": True, "strip_accents": None, "lowercase": True}
    if normalizer is not None:
        options.update(normalizer)
    added = [token(vocab[t], t, special=True) for t in ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")]
    for content, flags in extra:
        added.append(token(vocab.get(content, len(vocab) + len([e for e in added if e["content"] not in vocab])), content, **flags))
    cls, sep = vocab["[CLS]"], vocab["[SEP]"]
    processors = {
        "template": {"type": "TemplateProcessing",
                     "single": [{"SpecialToken": {"id": "[CLS]", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}, {"SpecialToken": {"id": "[SEP]", "type_id": 0}}],
                     "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
                     "special_tokens": {"[CLS]": {"id": "[CLS]", "ids": [cls], "tokens": ["[CLS]"]}, "[SEP]": {"id": "[SEP]", "ids": [sep, sep], "tokens": ["[SEP]", "[SEP]"]}}},
        "bert": {"type": "BertProcessing", "sep": ["[SEP]", sep], "cls": ["[CLS]", cls]},
        "none": None,
    }
    return name, {
        "version": "1.0", "truncation": None, "padding": None, "added_tokens": added,
        "normalizer": None if normalizer == "null" else options, "pre_tokenizer": {"type": "BertPreTokenizer"},
        "post_processor": processors[processor], "decoder": None,
        "model": {"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": prefix, "max_input_chars_per_word": max_chars, "vocab": vocab}}


def variants():
    flags = [("foo", dict(normalized=False)), ("bar", dict(single_word=True, normalized=False)), ("spa", dict(rstrip=True)), ("ced", dict(lstrip=True)), ("new york", {})]
    normalized = [("foo", {}), ("Bar", dict(single_word=True)), ("caf\u00e9", {}), ("new york", dict(lstrip=True, rstrip=True)), ("b\u0301", {}), ("\u4e2d", {}), (" \u4e2d ", {})]
    made = [
        variant("plain"), variant("cased", dict(lowercase=False)), variant("accents", dict(strip_accents=False)),
        variant("cased-stripped", dict(lowercase=False, strip_accents=True)), variant("dirty", dict(clean_text=False)),
        variant("chinese-words", dict(handle_chinese_chars=False)), variant("short-words", max_chars=10), variant("prefix", prefix="@@"),
        variant("no-prefix", prefix=""), variant("bert-processing", processor="bert"), variant("no-processor", processor="none"),
        variant("raw-tokens", extra=flags), variant("normalised-tokens", extra=normalized), variant("normalised-cased", dict(lowercase=False, strip_accents=True, clean_text=False), extra=normalized),
        variant("overlapping", extra=[("foo", dict(normalized=False)), ("foob", dict(normalized=False)), ("oobar", dict(normalized=False)), ("fo", dict(single_word=True, normalized=False))]),
    ]
    for name, description in made:
        tokenizer, cases = Tokenizer.from_str(json.dumps(description)), []
        for text in [*VARIANT_TEXTS, *broken_bytes()]:
            write_case(tokenizer, text, cases)
        print(json.dumps({"name": name, "tokenizer": description, "cases": cases}, separators=(",", ":")))


# ---- large files ----------------------------------------------------------------------------------------------------------


def fnv(values, start=0xCBF29CE484222325):
    for value in values:
        start = ((start ^ value) * 0x100000001B3) & 0xFFFFFFFFFFFFFFFF
    return start


def lines_of(path):
    data = Path(path).read_bytes()
    lines = data.split(b"\n")
    return data, lines[:-1] if lines[-1] == b"" else lines


def hash_file(tokenizer, name, path):
    data, lines = lines_of(path)
    blocks, n_ids = [], 0
    for at in range(0, len(lines), BLOCK):
        value = fnv([])
        for e in tokenizer.encode_batch([line.decode("utf-8", "replace") for line in lines[at:at + BLOCK]]):
            value = fnv([len(e.ids), *e.ids], value)
            n_ids += len(e.ids)
        blocks.append("%016x" % value)
    return {"file": name, "lines": len(lines), "ids": n_ids, "content": "%016x" % fnv(data), "blocks": blocks}


def hashes(folder, shared, catalogue):
    tokenizer = load(folder)
    sets = [hash_file(tokenizer, name, Path(shared) / name) for name in SETS]
    sets.append(hash_file(tokenizer, "catalogue", catalogue))
    print(json.dumps({"block_lines": BLOCK, "sets": sets}, indent=0))


def ids(folder, path):
    tokenizer = load(folder)
    for line in lines_of(path)[1]:
        print(json.dumps(tokenizer.encode(line.decode("utf-8", "replace")).ids, separators=(",", ":")))


def compare(folder, path):
    tokenizer, differing = load(folder), 0
    lines = lines_of(path)[1]
    theirs = sys.stdin.read().split("\n")[:-1]
    if len(theirs) != len(lines):
        print(f"{len(theirs)} lines of ids for {len(lines)} lines of text")
    for number, (line, given) in enumerate(zip(lines, theirs), 1):
        expected = tokenizer.encode(line.decode("utf-8", "replace")).ids
        if json.loads(given) != expected:
            differing += 1
            if differing <= 5:
                print(f"line {number}: {line!r}\n  given    {given}\n  expected {expected}")
    print(f"{len(lines)} lines, {differing} differ")
    return 1 if differing or len(theirs) != len(lines) else 0


def main():
    commands = {"nasty": nasty, "variants": variants, "hashes": hashes, "ids": ids, "compare": compare}
    if len(sys.argv) < 2 or sys.argv[1] not in commands:
        sys.exit(__doc__)
    sys.exit(commands[sys.argv[1]](*sys.argv[2:]) or 0)


main()
