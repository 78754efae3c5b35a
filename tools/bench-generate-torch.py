#!/usr/bin/env python3
"""bench-generate-torch.py f32|bf16 [PROMPT [NEW]] - tokens a second of a causal model of SmolLM2-135M's shape in torch (transformers,
key-value cache, greedy), beside which bench/generate is put by tools/bench-generate. Weights are random: the time is the same."""
import resource, statistics, sys, time

import torch
from transformers import LlamaConfig, LlamaForCausalLM

kind, prompt, new = sys.argv[1], *(int(n) for n in (sys.argv[2:4] + ["256", "128"][len(sys.argv[2:4]):]))
torch.set_num_threads(2)
torch.manual_seed(1)
config = LlamaConfig(vocab_size=49152, hidden_size=576, intermediate_size=1536, num_hidden_layers=30, num_attention_heads=9,
                     num_key_value_heads=3, max_position_embeddings=2048, tie_word_embeddings=True)
torch.set_default_dtype(torch.bfloat16 if kind == "bf16" else torch.float32)
model = LlamaForCausalLM(config).eval()
ids = torch.tensor([[(i * 7919 + 13) % 49152 for i in range(prompt)]])
read, write = [], []
with torch.inference_mode():
    for _ in range(3):
        start = time.perf_counter()
        out = model(input_ids=ids, use_cache=True, logits_to_keep=1)
        read.append(prompt / (time.perf_counter() - start))
        start = time.perf_counter()
        for _ in range(new):
            out = model(input_ids=out.logits[:, -1:].argmax(-1), past_key_values=out.past_key_values, use_cache=True)
        write.append(new / (time.perf_counter() - start))
print(f"torch {kind} prompt {statistics.median(read):.0f} tokens/s ({prompt})  generation {statistics.median(write):.1f} tokens/s ({new})")
print(f"         peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3:.0f} MB")
