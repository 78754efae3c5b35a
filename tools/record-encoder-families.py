#!/usr/bin/env python3
"""Records what the reference implementation computes for each family, for tests/encoder/test_families.c.

    python3 tools/record-encoder-families.py                 # writes tests/encoder/data/families/
    python3 tools/record-encoder-families.py smollm2 GGUF    # writes tests/encoder/data/smollm2.safetensors
    python3 tools/record-encoder-families.py bge FOLDER      # writes tests/encoder/data/bge.safetensors

Tiny random models with their heads for words (transformers is the reference), heads 16 wide. A folder holds
    config.json, model.safetensors (16-bit)  or  model.gguf with quantised weights, from which the reference was made
    vocab.txt              of causal ones: a tokenizer that nothing but loading needs
    expected.safetensors   ids [tokens], lengths [texts] of three texts; hidden [tokens, width] of the last layer;
                           logits [tokens, words]; mean, cls, max, last: pooled rows of the texts; generated [12]:
                           what a causal model says after the first text, greedily
smollm2.safetensors holds the logits of the real model behind three prompts (best 20 and their places) and 24 greedy tokens.
bge.safetensors holds the vectors that ONNX Runtime gives for a few Chinese texts (of length 1), and the texts.
Needs: pip install torch transformers safetensors gguf onnxruntime tokenizers. Seeds are fixed.
"""
import copy
import json
import sys
from pathlib import Path

import gguf
import numpy as np
import torch
from safetensors.torch import save_file
from transformers import (BertConfig, BertForMaskedLM, DistilBertConfig, DistilBertForMaskedLM, GPT2Config, GPT2LMHeadModel, LlamaConfig,
                          LlamaForCausalLM, RobertaConfig, RobertaForMaskedLM, XLMRobertaConfig, XLMRobertaForMaskedLM)

DATA = Path(__file__).resolve().parent.parent / "tests/encoder/data"
OUT = DATA / "families"
BERT = dict(vocab_size=70, hidden_size=48, num_hidden_layers=2, num_attention_heads=3, intermediate_size=80, max_position_embeddings=64)
LLAMA = dict(vocab_size=70, hidden_size=64, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2, intermediate_size=96,
             max_position_embeddings=64, head_dim=16)
FAMILIES = {
    "bert": lambda: BertForMaskedLM(BertConfig(**BERT, hidden_act="gelu_new")),
    "distilbert": lambda: DistilBertForMaskedLM(DistilBertConfig(vocab_size=70, dim=48, n_layers=2, n_heads=3, hidden_dim=80,
                                                                 max_position_embeddings=64)),
    "roberta": lambda: RobertaForMaskedLM(RobertaConfig(**BERT, type_vocab_size=1, layer_norm_eps=1e-5)),
    "xlm-roberta": lambda: XLMRobertaForMaskedLM(XLMRobertaConfig(**BERT, type_vocab_size=1, pad_token_id=3, hidden_act="relu")),
    "gpt2": lambda: GPT2LMHeadModel(GPT2Config(vocab_size=70, n_embd=48, n_layer=2, n_head=3, n_positions=64)),
    "llama": lambda: LlamaForCausalLM(LlamaConfig(**LLAMA, tie_word_embeddings=False, rope_theta=500.0)),
    "llama-gguf": lambda: LlamaForCausalLM(LlamaConfig(**LLAMA, tie_word_embeddings=True)),
}
TYPES = ["Q8_0", "Q4_1", "Q4_0", "F16", "BF16", "F32"]
GGUF_NAMES = {"input_layernorm": "attn_norm", "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v",
              "self_attn.o_proj": "attn_output", "post_attention_layernorm": "ffn_norm", "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up",
              "mlp.down_proj": "ffn_down"}


def gguf_name(name):
    if name == "model.embed_tokens.weight":
        return "token_embd.weight"
    if name == "model.norm.weight":
        return "output_norm.weight"
    if name == "lm_head.weight":
        return "output.weight"
    layer, rest = name.removeprefix("model.layers.").split(".", 1)
    return f"blk.{layer}.{GGUF_NAMES[rest.removesuffix('.weight')]}.weight"


def pair_rows(w, heads):
    """llama.cpp's order of query and key rows: neighbours are turned together."""
    return w.reshape(heads, 2, w.shape[0] // heads // 2, -1).swapaxes(1, 2).reshape(w.shape)


def halve_rows(w, heads):
    return w.reshape(heads, w.shape[0] // heads // 2, 2, -1).swapaxes(1, 2).reshape(w.shape)


def save_gguf(model, path):
    """Quantises in turn with every type, and puts what that made of the numbers back into the model."""
    c = model.config
    w = gguf.GGUFWriter(path, "llama")
    w.add_block_count(c.num_hidden_layers)
    w.add_context_length(c.max_position_embeddings)
    w.add_embedding_length(c.hidden_size)
    w.add_feed_forward_length(c.intermediate_size)
    w.add_head_count(c.num_attention_heads)
    w.add_head_count_kv(c.num_key_value_heads)
    w.add_rope_freq_base(10000.0)
    w.add_rope_dimension_count(c.head_dim)
    w.add_layer_norm_rms_eps(c.rms_norm_eps)
    for i, (name, p) in enumerate((n, p) for n, p in model.named_parameters() if n != "lm_head.weight"):
        value = p.detach().numpy().astype(np.float32)
        heads = c.num_attention_heads if "q_proj" in name else c.num_key_value_heads if "k_proj" in name else 0
        if heads:
            value = pair_rows(value, heads)
        kind = gguf.GGMLQuantizationType[TYPES[i % len(TYPES)] if value.ndim == 2 else "F32"]
        packed = gguf.quants.quantize(value, kind)
        back = gguf.quants.dequantize(packed, kind)
        p.data.copy_(torch.from_numpy(halve_rows(back, heads) if heads else back))
        w.add_tensor(gguf_name(name), packed, raw_dtype=kind)
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()


def save_half(model, folder, kind):
    """Rounds the model to 16 bits and saves it as transformers would: tied tensors once."""
    for p in model.parameters():
        p.data.copy_(p.data.to(kind).float())
    copy.deepcopy(model).to(kind).save_pretrained(folder, safe_serialization=True)  # rounds the angles too: not the model itself
    (folder / "generation_config.json").unlink(missing_ok=True)
    config = json.loads((folder / "config.json").read_text())
    config.pop("transformers_version", None)
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n")


def greedy(model, ids, n):
    ids = list(ids)
    for _ in range(n):
        with torch.no_grad():
            ids.append(int(model(input_ids=torch.tensor([ids])).logits[0, -1].argmax()))
    return torch.tensor(ids[-n:], dtype=torch.int32)


def record(name, make):
    torch.manual_seed(11)
    folder = OUT / name
    folder.mkdir(parents=True, exist_ok=True)
    model = make().eval()
    model.set_attn_implementation("eager")
    with torch.no_grad():
        for p in model.parameters():
            p.add_(torch.randn_like(p) * .15)
    if name.endswith("gguf"):
        save_gguf(model, folder / "model.gguf")
    else:
        save_half(model, folder, torch.bfloat16 if name == "llama" else torch.float16)
    texts = [torch.randint(5, 70, (n,)) for n in (9, 1, 37)]
    hidden, logits = [], []
    for ids in texts:
        with torch.no_grad():
            out = model(input_ids=ids[None], attention_mask=torch.ones_like(ids)[None], output_hidden_states=True)
        hidden.append(out.hidden_states[-1][0])
        logits.append(out.logits[0])
    recorded = {"ids": torch.cat(texts).int(), "lengths": torch.tensor([len(t) for t in texts], dtype=torch.int32),
                "hidden": torch.cat(hidden), "logits": torch.cat(logits), "mean": torch.stack([h.mean(0) for h in hidden]),
                "cls": torch.stack([h[0] for h in hidden]), "max": torch.stack([h.max(0).values for h in hidden]),
                "last": torch.stack([h[-1] for h in hidden])}
    if name.startswith(("gpt2", "llama")):
        recorded["generated"] = greedy(model, texts[0].tolist(), 12)
        (folder / "vocab.txt").write_text("".join(p + "\n" for p in ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"] + [f"w{i}" for i in range(5, 70)]))
    save_file({k: v.contiguous() for k, v in recorded.items()}, folder / "expected.safetensors")
    print(f"{name}: {sum(p.numel() for p in model.parameters())} parameters, largest logit {max(x.max() for x in logits):.3f}")


def load_gguf(path):
    """The model of a GGUF file as the reference has it: widened to f32."""
    reader = gguf.GGUFReader(path)
    field = {k: v.contents() for k, v in reader.fields.items() if k.startswith("llama.")}
    heads, kv = field["llama.attention.head_count"], field["llama.attention.head_count_kv"]
    config = LlamaConfig(vocab_size=field["llama.vocab_size"], hidden_size=field["llama.embedding_length"],
                         num_hidden_layers=field["llama.block_count"], num_attention_heads=heads, num_key_value_heads=kv,
                         intermediate_size=field["llama.feed_forward_length"], max_position_embeddings=field["llama.context_length"],
                         rms_norm_eps=field["llama.attention.layer_norm_rms_epsilon"], rope_theta=float(field["llama.rope.freq_base"]),
                         tie_word_embeddings=True)
    model = LlamaForCausalLM(config).eval()
    tensors = {t.name: t for t in reader.tensors}
    for name, p in model.named_parameters():
        t = tensors[gguf_name(name)]
        value = gguf.quants.dequantize(t.data, t.tensor_type)
        if "q_proj" in name or "k_proj" in name:
            value = halve_rows(value, heads if "q_proj" in name else kv)
        p.data.copy_(torch.from_numpy(value.reshape(p.shape).astype(np.float32)))
    return model


def record_smollm2(path):
    model = load_gguf(path)
    prompts = [[504, 3575, 282, 4649, 314], [1], [(7919 * i + 13) % 49152 for i in range(64)]]
    out = {}
    for i, ids in enumerate(prompts):
        with torch.no_grad():
            result = model(input_ids=torch.tensor([ids]), output_hidden_states=True)
        best = result.logits[0, -1].topk(20)
        out[f"ids.{i}"] = torch.tensor(ids, dtype=torch.int32)
        out[f"hidden.{i}"] = result.hidden_states[-1][0, -1].clone()
        out[f"place.{i}"] = best.indices.int()
        out[f"logit.{i}"] = best.values.clone()
    out["generated"] = greedy(model, prompts[0], 24)
    save_file(out, DATA / "smollm2.safetensors")
    print(out["generated"].tolist(), out["place.0"][:3].tolist(), out["logit.0"][:3].tolist())


def record_bge(folder):
    import onnxruntime
    from tokenizers import Tokenizer
    tokenizer = Tokenizer.from_file(str(next(Path(folder).glob("*tokenizer.json"))))
    tokenizer.no_padding()
    tokenizer.no_truncation()
    session = onnxruntime.InferenceSession(str(next(Path(folder).glob("*.onnx"))))
    texts = ["\u534e\u4e3a\u667a\u80fd\u624b\u673a", "\u5c0f\u7c73\u624b\u673a", "\u8fde\u8863\u88d9", "\u767d\u8272\u7eaf\u68c9T\u6064 XL", "iPhone 15 Pro Max 256GB", "",
             "\u8fd9\u4e2a\u9152\u5e97\u7684\u623f\u95f4\u5f88\u5e72\u51c0\uff0c\u670d\u52a1\u5458\u4e5f\u5f88\u70ed\u60c5\u3002" * 6]
    rows = []
    for text in texts:
        ids = np.array([tokenizer.encode(text.lower()).ids])
        out = session.run(None, {"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": np.zeros_like(ids)})[0][0, 0]
        rows.append(torch.from_numpy(out / np.linalg.norm(out)))
    save_file({"cls": torch.stack(rows)}, DATA / "bge.safetensors", metadata={"texts": "\n".join(texts)})
    print([round(float(rows[0] @ r), 4) for r in rows])


if __name__ == "__main__":
    if len(sys.argv) == 3 and sys.argv[1] == "smollm2":
        record_smollm2(sys.argv[2])
    elif len(sys.argv) == 3 and sys.argv[1] == "bge":
        record_bge(sys.argv[2])
    else:
        for family, network in FAMILIES.items():
            record(family, network)
