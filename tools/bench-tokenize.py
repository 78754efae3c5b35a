#!/usr/bin/env python3
"""Prints the reference tokenizer's texts and tokens a second on the lines of a file, to set beside bench/tokenize.

    RAYON_NUM_THREADS=2 python3 tools/bench-tokenize.py MODEL_FOLDER FILE [LIMIT [ROUNDS]]     # needs: pip install tokenizers
"""
import sys
import time
from pathlib import Path

from tokenizers import Tokenizer


def report(what, seconds, n, tokens, total):
    seconds.sort()
    print("%-22s best %9.0f texts/s %10.0f tokens/s   median %9.0f texts/s   (%d tokens, sum %d)" %
          (what, n / seconds[0], tokens / seconds[0], n / seconds[len(seconds) // 2], tokens, total))


def measure(what, encode, n, rounds):
    seconds = []
    for _ in range(rounds):
        start = time.perf_counter()
        out = encode()
        seconds.append(time.perf_counter() - start)
    report(what, seconds, n, sum(len(e) for e in out), sum(sum(e.ids) for e in out))


def main():
    folder, name = sys.argv[1], sys.argv[2]
    limit = int(sys.argv[3]) if len(sys.argv) > 3 else 0
    rounds = int(sys.argv[4]) if len(sys.argv) > 4 else 20
    tokenizer = Tokenizer.from_file(str(Path(folder) / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.no_truncation()
    if limit:
        tokenizer.enable_truncation(limit)
    lines = Path(name).read_bytes().decode("utf-8", "replace").split("\n")
    if lines[-1] == "":
        lines.pop()
    measure("encode_batch", lambda: tokenizer.encode_batch(lines), len(lines), rounds)
    if hasattr(tokenizer, "encode_batch_fast"):
        measure("encode_batch_fast", lambda: tokenizer.encode_batch_fast(lines), len(lines), rounds)
    measure("one by one", lambda: [tokenizer.encode(line) for line in lines], len(lines), max(1, rounds // 4))


main()
