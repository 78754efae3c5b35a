"""Writes tests/eval/data/report_example.json: a report's data with invented numbers, for the tests and for looking at the page.

    python3 tools/report_example.py > tests/eval/data/report_example.json
"""
import json
import math
import random

R = random.Random(7)
ROWS = [("popularity", .0530, .0458, .0360, .0276), ("repeat", .1747, .1810, 0, 0), ("itemknn", .0665, .0534, .0416, .0341),
        ("userknn", .0956, .0856, .0447, .0354), ("ease", .0921, .0802, .0440, .0351), ("textknn", .0712, .0611, .0302, .0238),
        ("crossknn", .0611, .0544, .0414, .0344), ("target-only", .1921, .1902, .0478, .0381), ("frozen", .1874, .1866, .0461, .0362),
        ("finetune", .2013, .1969, .0527, .0419)]
SLICES = [("cold_items", "items with at most 5 training events", 301, .45), ("zero_items", "items without a training event", 48, .12),
          ("warm_items", "items with more than 5 training events", 1902, 1.04), ("head_items", "the fifth of the items that sells most", 1740, 1.2),
          ("tail_items", "the other items", 811, .5), ("cold_users", "users with at most 5 events in the target", 412, .7),
          ("warm_users", "users with more than 5 events in the target", 1529, 1.1), ("shared_users", "users known from a source", 1908, 1.0),
          ("alone_users", "users not known from any source", 33, .6)]


def r6(x):
    return round(x, 5)


def block(recall, ndcg, n, base):
    means = {"recall@10": recall, "ndcg@10": ndcg, "hit@10": min(1, recall * 2.8), "popularity@10": 210 + 900 * R.random(),
             "diversity@10": .5 + .3 * R.random()}
    half = {m: 1.3 * math.sqrt(max(x, .003) / n) * .6 if x <= 1 else x * .02 for m, x in means.items()}
    out = {"metrics": {m: r6(x) for m, x in means.items()}, "intervals": {m: [r6(max(0, x - half[m])), r6(x + half[m])] for m, x in means.items()}}
    if base:
        out["difference"] = {m: {"mean": r6(x - base[m]), "low": r6(x - base[m] - half[m] * .7), "high": r6(x - base[m] + half[m] * .7), "p": .01} for m, x in means.items()}
    return out


def table(title, new, scale=1.0):
    rows = []
    baseline = next(r for r in ROWS if r[0] == "target-only")
    pick = (lambda r: (r[3] * scale, r[4] * scale)) if new else (lambda r: (r[1] * scale, r[2] * scale))
    base = block(*pick(baseline), 1941, None)["metrics"]
    for r in ROWS:
        row = {"model": r[0], "seeds": 3 if r[0] in ("target-only", "frozen", "finetune") else 1, "coverage": r6(.02 + .5 * R.random()), "gini": .91,
               "settings": {"neighbours": 20, "decay": .7} if "knn" in r[0] else {"dim": 128, "layers": 2} if r[0] in ("finetune", "target-only", "frozen") else {},
               "seconds": r6(.3 + 60 * R.random() * (r[0] in ("finetune", "target-only", "frozen")) + R.random()), "bytes": int(2e8 + 9e8 * R.random())}
        own = r[0] == "target-only"
        row.update(block(*pick(r), 1941, None if own else base))
        row["slices"] = {}
        for name, words, n, k in SLICES[:1] + SLICES[5:8]:
            sb = block(*(v * k for v in pick(baseline)), n, None)["metrics"]
            row["slices"][name] = dict(users=n, words=words, **block(*(v * k * R.uniform(.93, 1.07) for v in pick(r)), n, None if own else sb))
        rows.append(row)
    return {"title": title, "baseline": "target-only", "rows": rows,
            "protocol": {"split": "time", "part": "test", "mask_seen": new, "new_only": new, "users": 1941, "relevant": 21433, "ranked_items": 8021,
                         "dropped_relevant": 412, "sampled": 0, "resamples": 2000, "cut": 1507852800,
                         "words": "all that a user had from 2017-10-13 on is to be found among all 8021 items known before that day"
                         + ("; only what was new to the user counts" if new else "; items of the history are not masked")}}


def verdict(target, strategy, on, partly, words):
    slices = []
    for name, w, n, k in [("all", "everybody", 1876, 1)] + SLICES:
        mean = (.004 if on else -.003) * R.uniform(.2, 1.6) * (-.6 if name == "alone_users" else 1)
        half = .05 / math.sqrt(n)
        low, high = mean - half * 2, mean + half * 2
        reason = "better" if low > 0 else "worse" if high < 0 else "unsure"
        slices.append({"slice": name, "words": w, "users": n, "target_only": .19, "transferred": r6(.19 + mean), "mean": r6(mean), "low": r6(low), "high": r6(high),
                       "reason": reason, "transfer": on and name != "alone_users", "switch": name.endswith("users")})
    return {"sources": ["GROCERY"], "target": target, "strategy": strategy, "transfer": on, "partly": partly, "words": words, "measure": "ndcg@10", "margin": .0038,
            "published": {"mean": .0031, "low": .0002, "high": .006}, "slices": slices}


def item(name, category, **more):
    return dict(name=name, category=category, **more)


def examples():
    hh = {"title": "Household 1228", "user": "1228", "note": "46 events in DRUG GM before the cut",
          "before": [item("Fluid milk 1 % gallon", "milk", domain="GROCERY", times=31), item("Baby diapers size 4", "diapers", domain="DRUG GM", times=6), item("Baby wipes refill", "baby", domain="DRUG GM", times=5), item("Cold cereal, all family", "cereal", domain="GROCERY", times=9)],
          "recommended": [item("Baby diapers size 4", "diapers", hit=True, known=True), item("Baby wipes refill", "baby", hit=True, known=True), item("Diaper rash ointment", "baby"), item("Children's pain relief", "medicine", hit=True), item("Toothpaste <kids> & \"family\"", "oral care"), item("Bath tissue 12 rolls", "paper", known=True)],
          "after": [item("Baby diapers size 4", "diapers", hit=True), item("Baby wipes refill", "baby", hit=True), item("Children's pain relief", "medicine", hit=True), item("AA batteries", "batteries")]}
    other = {"title": "Household 77", "user": "77", "note": "2 events in DRUG GM before the cut", "before": [item("Dog food dry 15 lb", "pet", domain="GROCERY", times=12), item("Soft drinks 12-pack", "drinks", domain="GROCERY", times=22)],
             "recommended": [item("Dog chews rawhide", "pet", hit=True), item("Paper towels", "paper"), item("Bath tissue 12 rolls", "paper"), item("Trash bags 30 gal", "household")], "after": [item("Dog chews rawhide", "pet", hit=True), item("Light bulbs 60 W", "household")]}
    return [hh, other]


weeks = [1483228800 + 604800 * w for w in range(52)]
domains = [("GROCERY", 39021, 2469, 943201, "source"), ("DRUG GM", 31529, 2458, 187542, "target"), ("PRODUCE", 3118, 2451, 148211, None), ("MEAT", 2544, 2420, 62110, None), ("NUTRITION", 2010, 1902, 31877, None)]
def level(k, i):
    return int(domains[k][3] / 52 * (1 + .12 * math.sin(i / 4 + k)) * R.uniform(.93, 1.07))


words = ("Transfer is on: finetune has ndcg@10 0.1969, target-only 0.1902 (+0.0067, 95 % interval +0.0021 to +0.0112 over 1876 validation users): better. "
         "Transfer switched off for users not known from any source because it is not shown to be as good there (-0.0021, 95 % interval -0.0190 to +0.0150 over 33 validation users).")
off = ("Transfer switched off for everybody because finetune is not shown to be no worse than target-only: ndcg@10 0.3102 against 0.3121 (-0.0019, 95 % interval -0.0071 to +0.0034 over 912 "
       "validation users; a loss of up to 0.0062 would be accepted). Target-only is published.")
print(json.dumps({
    "title": "From GROCERY to DRUG GM", "version": "0.1.0", "generated": "2026-01-31",
    "headline": "What 2,469 households buy in GROCERY makes recommendations in DRUG GM better: 20.1 of 100 purchases foreseen instead of 19.2.",
    "lead": "An example with invented numbers, which shows what a report looks like. The model learned from the grocery department, was transferred to drugs and general merchandise, and is published where the guard allows it.",
    "published": "finetune", "models": [{"name": n, "kind": "sequence" if n in ("target-only", "frozen", "finetune") else n, "strategy": n if n in ("crossknn", "frozen", "finetune") else "", "sources": "GROCERY"} for n in (r[0] for r in ROWS)], "machine": "Two cores, 24 GB of memory; nothing ran on a graphics card.",
    "tables": [table("GROCERY → DRUG GM", False), table("GROCERY → DRUG GM", True), table("GROCERY → NUTRITION", False, 1.6), table("GROCERY → NUTRITION", True, 1.6)],
    "verdicts": [verdict("DRUG GM", "finetune", True, True, words), verdict("NUTRITION", "finetune", False, False, off)],
    "examples": examples(),
    "data": {"words": "1,469,307 purchases of 2,469 households in one year.", "domains": [dict(name=n, items=i, users=u, events=e, first=weeks[0], last=weeks[-1], **({"role": r} if r else {})) for n, i, u, e, r in domains],
             "shared_users": [{"a": a[0], "b": b[0], "users": int(min(a[2], b[2]) * R.uniform(.93, .995))} for k, a in enumerate(domains) for b in domains[k + 1:]],
             "activity": {"step": "week", "time": weeks, "log": True, "series": [{"name": d[0], "count": [level(k, i) for i in range(52)]} for k, d in enumerate(domains)]},
             "cleaned": [{"step": "exact duplicates", "removed": 5021, "why": "the same household, article, time and amount twice"}, {"step": "unknown items", "removed": 312, "why": "not in the catalogue"}, {"step": "impossible times", "removed": 0, "why": "before 1990 or in the future"}]},
    "training": [{"name": f"{m}, seed {s}", "measure": "validation ndcg@10", "epoch": list(range(1, n + 1)), "valid": [r6(top * (1 - math.exp(-(e + lift) / 4)) * R.uniform(.985, 1.01)) for e in range(1, n + 1)],
                  "loss": [r6(5.2 + 3.2 * math.exp(-(e + lift) / 5)) for e in range(1, n + 1)]} for m, top, n, lift in [("target-only", .195, 18, 0), ("finetune", .202, 14, 3)] for s in (1, 2)],
    "cost": [{"step": "import", "seconds": 14.2, "bytes": 610000000, "note": "103k events/s"}, {"step": "encode texts", "seconds": 38.5, "bytes": 420000000, "note": "2,100 texts/s"}, {"step": "train on GROCERY", "seconds": 171, "bytes": 1480000000}, {"step": "transfer", "seconds": 88, "bytes": 1510000000}, {"step": "evaluate", "seconds": 9.1, "bytes": 700000000}],
    "scaling": {"events": [146930, 440792, 1469307], "steps": [{"name": "import", "seconds": [1.5, 4.3, 14.2], "bytes": [1e8, 2e8, 6.1e8]}, {"name": "train", "seconds": [19, 55, 171], "bytes": [3.1e8, 6.2e8, 1.51e9]}, {"name": "evaluate", "seconds": [1.1, 3.0, 9.1], "bytes": [2e8, 4e8, 7e8]}]},
}, ensure_ascii=False, separators=(",", ":")))
