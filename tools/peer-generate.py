#!/usr/bin/env python3
"""Tokens a second of the reference (transformers on torch, f32 or bf16) on the model that bench/generate is given.

    python3 tools/peer-generate.py GGUF [PROMPT [NEW [f32|bf16]]]     # 256, 128, f32; on OMP_NUM_THREADS threads

Reads a prompt of PROMPT tokens, then writes NEW greedily with its cache of keys and values. Median of three rounds.
Needs: pip install torch transformers gguf.
"""
import importlib.util
import os
import resource
import sys
import time
from pathlib import Path

import torch

spec = importlib.util.spec_from_file_location("families", Path(__file__).parent / "record-encoder-families.py")
families = importlib.util.module_from_spec(spec)
spec.loader.exec_module(families)


def main(path, prompt=256, new=128, kind="f32"):
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "2")))
    model = families.load_gguf(path)
    if kind == "bf16":
        model = model.bfloat16()
    words = model.config.vocab_size
    ids = torch.tensor([[(i * 7919 + 13) % words for i in range(prompt)]])
    read, write = [], []
    with torch.no_grad():
        for _ in range(3):
            start = time.monotonic()
            out = model(input_ids=ids, use_cache=True, logits_to_keep=1)
            read.append(prompt / (time.monotonic() - start))
            start = time.monotonic()
            for _ in range(new):
                word = out.logits[:, -1].argmax(-1, keepdim=True)
                out = model(input_ids=word, past_key_values=out.past_key_values, use_cache=True)
            write.append(new / (time.monotonic() - start))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
    print(f"torch {kind}  prompt {sorted(read)[1]:.0f} tokens/s ({prompt})  generation {sorted(write)[1]:.1f} tokens/s ({new}); "
          f"peak memory {peak:.0f} MB")


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    main(sys.argv[1], *map(int, sys.argv[2:4]), *sys.argv[4:5])
