#!/usr/bin/env python3
"""Records tests/grad/data/torch.json: what torch gives for the operations, losses, recurrent layers and optimisers of
src/grad. Needs torch; run it from the repository's root:  python3 tools/record-grad.py

Each case: {"in": {name: [rows, cols, numbers]}, "out": [rows, cols, numbers], "grad": {name: numbers}}, where grad is
that of sum(out * mix), mix being cos(1), cos(2), ... Optimisers: {"steps": n, "grad": ..., "after": numbers}.
"""
import json, math
import torch
import torch.nn.functional as F

torch.manual_seed(1)
torch.set_default_dtype(torch.float64)
cases = {}


def numbers(x):
    return [float("%.8g" % v) for v in x.detach().reshape(-1).tolist()]


def record(name, function, **shapes):
    given = {k: (torch.randn(*v) * 0.8).float().double().requires_grad_() for k, v in shapes.items()}
    out = function(**given)
    out2 = out.reshape(1, 1) if out.dim() == 0 else out
    mix = torch.cos(torch.arange(1, out2.numel() + 1, dtype=torch.float64)).reshape(out2.shape)
    (out2 * mix).sum().backward()
    cases[name] = {
        "in": {k: [*v.shape, numbers(v)] for k, v in given.items()},
        "out": [*out2.shape, numbers(out2)],
        "grad": {k: numbers(v.grad) for k, v in given.items()},
    }


record("linear", lambda x, w, b: F.linear(x, w, b[0]), x=(3, 5), w=(4, 5), b=(1, 4))
record("gelu", lambda x: F.gelu(x * 3), x=(4, 9))
record("silu", lambda x: F.silu(x), x=(3, 7))
record("sigmoid", lambda x: torch.sigmoid(x), x=(3, 7))
record("tanh", lambda x: torch.tanh(x), x=(3, 7))
record("swiglu", lambda x: F.silu(x[:, :5]) * x[:, 5:], x=(3, 10))
record("softmax", lambda x: torch.softmax(x * 3, 1), x=(3, 11))
record("layer_norm", lambda x, g, b: F.layer_norm(x, (9,), g[0], b[0], 1e-5), x=(4, 9), g=(1, 9), b=(1, 9))
record("rms_norm", lambda x, g: x * torch.rsqrt((x * x).mean(1, keepdim=True) + 1e-6) * g, x=(4, 9), g=(1, 9))
record("l2_normalize", lambda x: F.normalize(x, dim=1), x=(4, 9))
record("cross_entropy", lambda x: F.cross_entropy(x, torch.tensor([2, -100, 0, 6, 6])), x=(5, 7))
record("bce", lambda x: F.binary_cross_entropy_with_logits(x, torch.tensor([[0, 1, 0.25], [1, 0, 0.5]])), x=(2, 3))
record("mse", lambda a, b: F.mse_loss(a, b), a=(3, 5), b=(3, 5))

LENGTHS = [3, 1, 6, 2]


def recurrent(kind, hidden, x, w, u, b, bu=None):
    layer = kind(x.shape[1], hidden, batch_first=True)
    names = ["weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0"]
    values = [w, u, b[0], bu[0] if bu is not None else torch.zeros_like(b[0])]
    at, rows = 0, []
    for n in LENGTHS:
        rows.append(torch.func.functional_call(layer, dict(zip(names, values)), (x[at : at + n][None],))[0][0])
        at += n
    return torch.cat(rows)


record("lstm", lambda **v: recurrent(torch.nn.LSTM, 5, **v), x=(12, 4), w=(20, 4), u=(20, 5), b=(1, 20))
record("gru", lambda **v: recurrent(torch.nn.GRU, 5, **v), x=(12, 4), w=(15, 4), u=(15, 5), b=(1, 15), bu=(1, 15))


def train(name, make, steps=6, clip=0.0, sparse=False):
    """The gradient of step s (from 0) at element i is sin(i + 3 s); sparse: only in rows s % 4 and 4."""
    torch.manual_seed(2)
    p = torch.nn.Parameter(torch.randn(5, 3).float().double())
    start = numbers(p)
    optim = make([p])
    for s in range(steps):
        g = torch.sin(torch.arange(15, dtype=torch.float64) + 3 * s).reshape(5, 3)
        if sparse:
            rows = sorted({s % 4, 4})
            p.grad = torch.sparse_coo_tensor(torch.tensor([rows]), g[rows], g.shape).coalesce()
        else:
            p.grad = g
        if clip:
            torch.nn.utils.clip_grad_norm_([p], clip)
        optim.step()
    cases[name] = {"start": start, "steps": steps, "after": numbers(p)}


train("adamw", lambda p: torch.optim.AdamW(p, lr=0.05, betas=(0.8, 0.95), eps=1e-6, weight_decay=0.1))
train("adam_l2", lambda p: torch.optim.Adam(p, lr=0.05, weight_decay=0.1))
train("adam_clip", lambda p: torch.optim.Adam(p, lr=0.05), clip=0.7)
train("adam_sparse", lambda p: torch.optim.SparseAdam(p, lr=0.05), steps=7, sparse=True)

with open("tests/grad/data/torch.json", "w") as f:
    f.write("{\n" + ",\n".join(json.dumps(k) + ": " + json.dumps(v) for k, v in cases.items()) + "\n}\n")
