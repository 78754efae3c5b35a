#!/usr/bin/env python3
"""Records gradients that torch computes, for tests/encoder/test_tape_families.c.

    python3 tools/record-tape-families.py        # writes tests/encoder/data/tape-*/

One tiny random model of each family with its head for words (transformers is the reference). A folder holds
    config.json, model.safetensors    as transformers saves them
    gradients.safetensors             ids [tokens] and lengths [texts] of three texts, target [tokens] (-1: does not count),
                                      hidden [tokens, hidden] of the last layer, loss [1], and for every parameter, by its
                                      name, the gradient of the loss
Needs: pip install torch transformers safetensors. Seeds are fixed.
"""
from pathlib import Path

import torch
from safetensors.torch import save_file
from transformers import (BertConfig, BertForMaskedLM, DistilBertConfig, DistilBertForMaskedLM, GPT2Config, GPT2LMHeadModel, LlamaConfig,
                          LlamaForCausalLM, RobertaConfig, RobertaForMaskedLM)

OUT = Path(__file__).resolve().parent.parent / "tests/encoder/data"
BERT = dict(vocab_size=60, hidden_size=24, num_hidden_layers=2, num_attention_heads=3, intermediate_size=40, max_position_embeddings=64)
LLAMA = dict(vocab_size=60, hidden_size=24, num_hidden_layers=2, num_attention_heads=6, num_key_value_heads=2, intermediate_size=40,
             max_position_embeddings=64)
FAMILIES = {
    "bert": BertForMaskedLM(BertConfig(**BERT)),
    "distilbert": DistilBertForMaskedLM(DistilBertConfig(vocab_size=60, dim=24, n_layers=2, n_heads=3, hidden_dim=40,
                                                         max_position_embeddings=64, activation="gelu")),
    "roberta": RobertaForMaskedLM(RobertaConfig(**{**BERT, "type_vocab_size": 1}, hidden_act="relu")),
    "gpt2": GPT2LMHeadModel(GPT2Config(vocab_size=60, n_embd=24, n_layer=2, n_head=3, n_inner=40, n_positions=64)),
    "llama": LlamaForCausalLM(LlamaConfig(**LLAMA, tie_word_embeddings=True)),
    "llama-untied": LlamaForCausalLM(LlamaConfig(**LLAMA, tie_word_embeddings=False, rope_theta=500.0)),
}


def record(name, model):
    torch.manual_seed(7)
    with torch.no_grad():
        for p in model.parameters():
            p.add_(torch.randn_like(p) * 0.15)
    model.eval()
    causal = name.startswith(("gpt2", "llama"))
    texts = [torch.randint(4, 60, (n,)) for n in (9, 1, 23)]
    hidden, target, losses = [], [], []
    for ids in texts:
        out = model(input_ids=ids[None], attention_mask=torch.ones_like(ids)[None], output_hidden_states=True)
        word = torch.full_like(ids, -1)
        if causal:
            word[:-1] = ids[1:]
        else:
            word[::3] = (ids[::3] * 7 + 1) % 60
        some = word >= 0
        losses.append(torch.nn.functional.cross_entropy(out.logits[0][some], word[some], reduction="sum"))
        hidden.append(out.hidden_states[-1][0].detach())
        target.append(word)
    target = torch.cat(target)
    loss = sum(losses) / (target >= 0).sum()
    loss.backward()
    folder = OUT / f"tape-{name}"
    model.save_pretrained(folder, safe_serialization=True)
    (folder / "generation_config.json").unlink(missing_ok=True)
    recorded = {n: p.grad.contiguous() for n, p in model.named_parameters()}
    recorded.update(ids=torch.cat(texts).float(), lengths=torch.tensor([float(len(t)) for t in texts]), target=target.float(),
                    hidden=torch.cat(hidden), loss=loss.detach()[None])
    save_file(recorded, folder / "gradients.safetensors")
    print(f"{name}: loss {loss.item():.6f}, {sum(p.numel() for p in model.parameters())} parameters")


if __name__ == "__main__":
    for family, network in FAMILIES.items():
        record(family, network)
