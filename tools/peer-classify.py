#!/usr/bin/env python3
"""tools/peer-classify.py: what well-kept Python packages reach on the same rows as kua classify and kua tag.

    python tools/peer-classify.py tfidf --data F.tsv --text-column C --label-column L --split-column S [--c 100]
    python tools/peer-classify.py crf --train train.txt --test test.txt

tfidf: scikit-learn's TfidfVectorizer and LogisticRegression on the terms that src/app/tfidf.c makes, so that
both can be compared number by number. crf: python-crfsuite (L-BFGS) with the usual features of characters.
Needs scikit-learn and python-crfsuite.
"""
import argparse
import time
import unicodedata


def rows(path):
    with open(path, encoding="utf-8") as f:
        lines = [line.rstrip("\n").split("\t") for line in f]
    return lines[0], lines[1:]


def kind(c):
    category = unicodedata.category(c)
    if category[0] in "ZC":
        return "space"
    code = ord(c)
    spaceless = 0x2E80 <= code <= 0xD7FF or 0xF900 <= code <= 0xFAFF or code >= 0x20000
    return "letter" if category[0] in "LMN" and not spaceless else "mark"


def terms(text):
    """The terms of src/app/tfidf.c."""
    out, run, was, last = [], "", "space", None
    for c in text + " ":
        c = c.lower() if len(c.lower()) == 1 else c
        k = kind(c)
        if k != was or len(run) == 64:
            if run and was == "letter":
                out.append("w" + run)
                if last:
                    out.append("w" + last + " " + run)
                padded = " " + run + " "
                out += ["p" + padded[i:i + n] for i in range(len(padded)) for n in (3, 4, 5) if i + n <= len(padded)]
                last = run
            elif run:
                out += ["c" + run[i:i + n] for i in range(len(run)) for n in (1, 2, 3) if i + n <= len(run)]
                last = None
            run = ""
        was = k
        if k != "space":
            run += c
    return out


def tfidf(args):
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    header, data = rows(args.data)
    text, label, split = (header.index(x) for x in (args.text_column, args.label_column, args.split_column))
    train, test = ([r for r in data if r[split] == part] for part in ("train", "test"))
    start = time.time()
    vectors = TfidfVectorizer(analyzer=terms, sublinear_tf=True)
    x = vectors.fit_transform(r[text] for r in train)
    model = LogisticRegression(C=args.c, max_iter=1000, tol=1e-5).fit(x, [r[label] for r in train])
    fit = time.time() - start
    said = model.predict(vectors.transform(r[text] for r in test))
    right = sum(a == r[label] for a, r in zip(said, test))
    print(f"scikit-learn: {x.shape[1]} terms, C {args.c:g}, {len(test)} rows: accuracy {right / len(test):.4f}, "
          f"fit {fit:.1f} s")


def tagged(path):
    texts, text = [], []
    for line in open(path, encoding="utf-8"):
        line = line.rstrip("\n")
        if line:
            text.append(line.rsplit(" ", 1))
        elif text:
            texts.append(text)
            text = []
    return texts + ([text] if text else [])


def features(text):
    units = [u for u, _ in text]
    out = []
    for i in range(len(units)):
        at = lambda k: units[i + k].lower() if 0 <= i + k < len(units) else "<>"
        f = [f"{k}={at(k)}" for k in range(-2, 3)]
        f += [f"{k}|={at(k)}{at(k + 1)}" for k in range(-2, 2)] + [f"3={at(-1)}{at(0)}{at(1)}"]
        f += [f"t{k}={unicodedata.category(at(k)[0])}" for k in range(-1, 2)]
        out.append(f)
    return out


def entities(tags):
    out, was = set(), None
    for i, tag in enumerate(tags):
        inside = was and tag == "I-" + was[1]
        if not inside:
            was = (i, tag[2:]) if tag != "O" else None
        if was:
            out.discard((was[0], i - 1, was[1]))
            out.add((was[0], i, was[1]))
    return out


def crf(args):
    import pycrfsuite
    start = time.time()
    trainer = pycrfsuite.Trainer(algorithm="lbfgs", verbose=False)
    for text in tagged(args.train):
        trainer.append(features(text), [t for _, t in text])
    trainer.set_params({"c1": args.c1, "c2": args.c2, "max_iterations": 200, "feature.possible_transitions": True})
    trainer.train(args.model_file)
    fit = time.time() - start
    tagger = pycrfsuite.Tagger()
    tagger.open(args.model_file)
    truly = said = right = 0
    for text in tagged(args.test):
        a, b = entities([t for _, t in text]), entities(tagger.tag(features(text)))
        truly, said, right = truly + len(a), said + len(b), right + len(a & b)
    print(f"crfsuite: precision {right / said:.4f}, recall {right / truly:.4f}, F1 {2 * right / (said + truly):.4f} of "
          f"{truly} entities, fit {fit:.1f} s")


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("what", choices=("tfidf", "crf"))
    for name in ("--data", "--text-column", "--label-column", "--split-column", "--train", "--test"):
        p.add_argument(name)
    p.add_argument("--c", type=float, default=100, help="1 / l2 of kua's report")
    p.add_argument("--c1", type=float, default=.1)
    p.add_argument("--c2", type=float, default=.1)
    p.add_argument("--model-file", default="/tmp/kua-peer.crfsuite")
    args = p.parse_args()
    {"tfidf": tfidf, "crf": crf}[args.what](args)


main()
