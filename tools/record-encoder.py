#!/usr/bin/env python3
"""Records what the reference implementation computes, for tests/encoder/test_encoder_parity.c.

    python3 tools/record-encoder.py MODEL        # writes tests/encoder/data/

MODEL is a folder of all-MiniLM-L6-v2. Written are
    texts.txt              40 texts, one a line: short, long, over the limit, accents, other scripts, empty
    minilm.safetensors     their vectors "mean" (of length 1), and "cls" and "max" of the first eight (as they are)
    texts-long.txt         20 more: the model's last position (512 tokens), other scripts, marks that combine, markup
    minilm-long.safetensors  their vectors "mean", cut at 512 tokens
    tiny-gelu, tiny-relu   two made-up models of 24 numbers, so that a test needs no download: the first in F32, the second in
                           F16 with the prefix "bert.", each with "mean" of its own texts in expected.safetensors, and
                           in gradients.safetensors what torch's way back gives for them (test_model_tape.c)
Needs: pip install torch transformers tokenizers safetensors. The tiny models are random, with a fixed seed.
"""
import json
import sys
from pathlib import Path

import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer
from transformers import AutoModel, BertConfig, BertModel

OUT = Path(__file__).resolve().parent.parent / "tests/encoder/data"
LIMIT = 256
SHORT = [
    "wireless noise cancelling headphones for travel and office", "shampoo", "", "a", "Moroccan argan oil hair treatment, 3.4 fl. oz.",
    "LEGO Star Wars Millennium Falcon 75257 building kit (1,351 pieces)", "Caf\u00e9 cr\u00e8me br\u00fbl\u00e9e \u2014 na\u00efve fa\u00e7ade",
    "\u4e2d\u6587\u5546\u54c1 \u65e5\u672c\u8a9e \ud55c\uad6d\uc5b4", "\u041f\u0440\u0438\u0432\u0435\u0442, \u043c\u0438\u0440!", "\U0001f600 \U0001f44d great product!!!", "$19.99 50% off / 2-pack",
    "yoga mat, non-slip, 6mm thick, with carrying strap", "trail running shoes men's size 10.5", "stainless steel water bottle 32oz",
    "Nail polish remover without acetone", "A B C D E F G H I J K L M N O P", "supercalifragilisticexpialidocious", "0123456789 9876543210",
    "the the the the the the the the", "WIRELESS NOISE CANCELLING HEADPHONES FOR TRAVEL AND OFFICE", "[MASK] and [SEP] inside", "x" * 120,
]
WORDS = ("soft cotton towel for baby with hood and ears washable blue green large small gift set of two natural organic "
         "bamboo quick dry hotel quality spa bathroom kitchen travel gym pool beach camping").split()


def long_text(n, step):
    return " ".join(WORDS[i * step % len(WORDS)] for i in range(n))


TEXTS = SHORT + [long_text(n, 3 + 2 * (n % 5)) for n in (3, 5, 7, 13, 14, 15, 16, 29, 30, 31, 47, 62, 90, 126, 200, 253, 254, 400)]


STRANGE = [
    "\u534e\u4e3a\u667a\u80fd\u624b\u673a 5G \u53cc\u5361\u53cc\u5f85", "\u8fd9\u4e2a\u9152\u5e97\u7684\u623f\u95f4\u5f88\u5e72\u51c0\uff0c\u670d\u52a1\u5458\u4e5f\u5f88\u70ed\u60c5\u3002", "\u65e5\u672c\u306e\u304a\u8336 100g \u00d7 2\u888b", "\ud55c\uad6d \ud654\uc7a5\ud488 \uc138\ud2b8",
    "\u0634\u0627\u062d\u0646 \u0633\u0631\u064a\u0639", "\u05d0\u05d5\u05d6\u05e0\u05d9\u05d5\u05ea", "e\u0301 e\u0301\u0301\u0301 o\u0308", "\u200b\u200d\ufeff zero width", "\U0001f468\u200d\U0001f469\u200d\U0001f467 family pack", "<b>Bold</b> &amp; cheap",
    "\t tabs \t and \u00a0 no-break", "....----____", "'\"`\u2019\u201d", "\u00df \u017f \u0130 \u0131", "\u2460\u00bd\u00b2 \ufb01ne", "a" * 101, "1" * 60, "#@!$%^&*()",
    long_text(510, 7), long_text(700, 11),
]


def vectors(model, tokenizer, texts, pooling):
    """Each text alone: no padding, so nothing depends on a mask."""
    rows = []
    for text in texts:
        ids = torch.tensor([tokenizer.encode(text).ids])
        with torch.no_grad():
            h = model(input_ids=ids, attention_mask=torch.ones_like(ids)).last_hidden_state[0]
        rows.append({"mean": h.mean(0), "cls": h[0], "max": h.max(0).values}[pooling])
    return torch.stack(rows)


def record_minilm(folder):
    tokenizer = Tokenizer.from_file(str(Path(folder) / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.enable_truncation(LIMIT)
    model = AutoModel.from_pretrained(folder, attn_implementation="eager").eval()
    mean = torch.nn.functional.normalize(vectors(model, tokenizer, TEXTS, "mean"))
    save_file({"mean": mean, "cls": vectors(model, tokenizer, TEXTS[:8], "cls"), "max": vectors(model, tokenizer, TEXTS[:8], "max")},
              OUT / "minilm.safetensors")
    (OUT / "texts.txt").write_text("".join(t + "\n" for t in TEXTS), encoding="utf-8")


def record_long(folder):
    tokenizer = Tokenizer.from_file(str(Path(folder) / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.enable_truncation(512)
    model = AutoModel.from_pretrained(folder, attn_implementation="eager").eval()
    mean = torch.nn.functional.normalize(vectors(model, tokenizer, STRANGE, "mean"))
    save_file({"mean": mean}, OUT / "minilm-long.safetensors")
    (OUT / "texts-long.txt").write_text("".join(t + "\n" for t in STRANGE), encoding="utf-8")


def record_tiny(name, activation, half):
    torch.manual_seed(7)
    folder = OUT / name
    folder.mkdir(exist_ok=True)
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"] + WORDS
    config = BertConfig(vocab_size=len(pieces), hidden_size=24, num_hidden_layers=2, num_attention_heads=3, intermediate_size=40,
                        max_position_embeddings=64, hidden_act=activation, initializer_range=.3)
    model = BertModel(config, add_pooling_layer=False).eval()
    for key, value in model.state_dict().items():
        if value.is_floating_point():
            value.add_(torch.randn_like(value) * .2)
            if half:
                value.copy_(value.half().float())
    prefix = "bert." if half else ""
    state = {prefix + k: (v.half() if half else v).contiguous() for k, v in model.state_dict().items() if v.is_floating_point()}
    save_file(state, folder / "model.safetensors")
    (folder / "vocab.txt").write_text("".join(p + "\n" for p in pieces))
    keys = ("model_type hidden_size num_hidden_layers num_attention_heads intermediate_size vocab_size max_position_embeddings "
            "type_vocab_size layer_norm_eps hidden_act").split()
    (folder / "config.json").write_text(json.dumps({k: config.to_dict()[k] for k in keys}, indent=2) + "\n")
    (folder / "sentence_bert_config.json").write_text('{"max_seq_length": 48}\n')
    (folder / "modules.json").write_text('[{"type": "sentence_transformers.models.Transformer"}, '
                                         '{"type": "sentence_transformers.models.Pooling"}]\n')
    texts = [" ".join(WORDS[(7 * i + 3 * k) % len(WORDS)] for k in range(n)) for i, n in enumerate((1, 2, 5, 9, 17, 30, 46, 60))]
    rows = []
    for text in texts:
        ids = torch.tensor([[2] + [pieces.index(w) for w in text.split()][:46] + [3]])
        with torch.no_grad():
            rows.append(model(input_ids=ids, attention_mask=torch.ones_like(ids)).last_hidden_state[0].mean(0))
    save_file({"mean": torch.stack(rows)}, folder / "expected.safetensors", metadata={"texts": "\n".join(texts)})


def record_gradients(name):
    """Loss: the sum of mean vectors of length 1, times cos(0), cos(1), ... For every parameter the sum of its gradient
    times cos(0), cos(1), ... and the sum of its squares; whole gradients of a few."""
    folder = OUT / name
    model = BertModel.from_pretrained(folder, add_pooling_layer=False, attn_implementation="eager").float().eval()
    pieces = (folder / "vocab.txt").read_text().split("\n")[:-1]
    ids = [[2] + [5 + (7 * i + 3 * k) % (len(pieces) - 5) for k in range(n)] + [3] for i, n in enumerate((1, 4, 30))]
    rows = [torch.nn.functional.normalize(model(input_ids=torch.tensor([x])).last_hidden_state[0].mean(0), dim=0) for x in ids]
    values = torch.stack(rows)
    weight = torch.cos(torch.arange(values.numel(), dtype=torch.float64)).float().reshape(values.shape)
    loss = (values * weight).sum()
    loss.backward()
    names, sums, whole = [], [], {}
    for key, p in model.named_parameters():
        g = p.grad.double().flatten()
        names.append(key)
        sums.append(torch.stack([(g * torch.cos(torch.arange(g.numel(), dtype=torch.float64))).sum(), (g * g).sum()]))
        if key in ("embeddings.word_embeddings.weight", "encoder.layer.0.attention.self.key.weight"):
            whole[key] = p.grad.contiguous()
    save_file({"ids": torch.tensor(sum(ids, []), dtype=torch.int32), "lengths": torch.tensor([len(x) for x in ids], dtype=torch.int32),
               "loss": loss.detach().reshape(1), "sums": torch.stack(sums).float(), **whole}, folder / "gradients.safetensors",
              metadata={"names": "\n".join(names)})


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    OUT.mkdir(parents=True, exist_ok=True)
    record_minilm(sys.argv[1])
    record_long(sys.argv[1])
    record_tiny("tiny-gelu", "gelu", False)
    record_tiny("tiny-relu", "relu", True)
    record_gradients("tiny-gelu")
    record_gradients("tiny-relu")
