#!/usr/bin/env python3
"""bench-train-torch.py eager|compile f32|bf16 [ragged] [attention-dropout] [STEPS] - bench/sasrec.c's model in torch.

256 sequences of 50 items, 20,001 items, width 64, two post-norm layers with one head, feed-forward of 4 x 64 with GELU,
dropout .2, tied item table, cross-entropy over all items at every position, Adam, 2 threads. `ragged` pads sequences of 5 to 50 items with
item 0, as is usual, and has the loss only at the positions that are real. attention-dropout zeroes attention's shares too, which bench/sasrec.c
does not, and which torch computes by a slower way.
"""
import math, statistics, sys, time
import torch
import torch.nn as nn
import torch.nn.functional as F

ITEMS, DIM, LENGTH, BATCH, DROPOUT = 20001, 64, 50, 256, 0.2


class Block(nn.Module):
    def __init__(self, attention_dropout):
        super().__init__()
        self.qkv, self.out = nn.Linear(DIM, 3 * DIM), nn.Linear(DIM, DIM)
        self.up, self.down = nn.Linear(DIM, 4 * DIM), nn.Linear(4 * DIM, DIM)
        self.norm1, self.norm2, self.drop = nn.LayerNorm(DIM), nn.LayerNorm(DIM), nn.Dropout(DROPOUT)
        self.attention_dropout = attention_dropout

    def forward(self, x):
        q, k, v = self.qkv(x).view(*x.shape[:2], 3, 1, DIM).permute(2, 0, 3, 1, 4)
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True, dropout_p=self.attention_dropout)
        x = self.norm1(x + self.drop(self.out(y.transpose(1, 2).reshape(x.shape))))
        return self.norm2(x + self.drop(self.down(F.gelu(self.up(x)))))


class SASRec(nn.Module):
    def __init__(self, attention_dropout):
        super().__init__()
        self.items, self.positions = nn.Embedding(ITEMS, DIM, padding_idx=0), nn.Embedding(LENGTH, DIM)
        self.blocks = nn.ModuleList([Block(attention_dropout), Block(attention_dropout)])
        self.norm, self.drop = nn.LayerNorm(DIM), nn.Dropout(DROPOUT)

    def forward(self, x):
        h = self.drop(self.norm(self.items(x) + self.positions.weight[None]))
        for block in self.blocks:
            h = block(h)
        return h

    def loss(self, x, real, target):
        """Cross-entropy at the positions `real` of the flattened batch (None: at all)."""
        h = self(x).reshape(-1, DIM)
        if real is not None:
            h = h[real]
        return F.cross_entropy(h @ self.items.weight.t(), target)


def lengths(ragged):
    """5 and more, 9 on average, at most 50: as in Amazon's 5-core sets. bench/sasrec.c has the same ones."""
    if not ragged:
        return [LENGTH] * BATCH
    return [min(LENGTH, 4 + int(1 - 5 * math.log(1 - (b + 0.5) / BATCH))) for b in range(BATCH)]


def batch(generator, ragged):
    share = 1 / torch.arange(1, ITEMS).float() ** 0.8
    drawn = torch.multinomial(share, BATCH * (LENGTH + 1), replacement=True, generator=generator).view(BATCH, -1) + 1
    mask = torch.arange(LENGTH)[None] < torch.tensor(lengths(ragged))[:, None]
    real = torch.where(mask.reshape(-1))[0] if ragged else None
    x, target = drawn[:, :-1] * mask, drawn[:, 1:].reshape(-1)
    return x, real, target[real] if ragged else target


def main():
    kind, precision = sys.argv[1:3]
    options = sys.argv[3:]
    ragged = "ragged" in options
    steps = next((int(o) for o in options if o.isdigit()), 6)
    torch.set_num_threads(2)
    torch.manual_seed(0)
    generator = torch.Generator().manual_seed(1)
    batches = [batch(generator, ragged) for _ in range(4)]
    model = SASRec(DROPOUT if "attention-dropout" in options else 0.0)
    loss_of = torch.compile(model.loss) if kind == "compile" else model.loss
    adam = torch.optim.Adam(model.parameters(), lr=1e-3)
    took = []
    for i in range(steps + 2):
        begun = time.perf_counter()
        adam.zero_grad(set_to_none=True)
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=precision == "bf16"):
            loss = loss_of(*batches[i % 4])
        loss.backward()
        adam.step()
        took.append(time.perf_counter() - begun)
    middle = statistics.median(took[2:])
    print(f"{middle * 1e3:.1f} ms a step, {BATCH / middle:.0f} samples/s (best {BATCH / min(took[2:]):.0f}), loss {loss.item():.3f}")


main()
