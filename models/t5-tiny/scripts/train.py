#!/usr/bin/env python3
"""Trains a tiny T5 (T5ForConditionalGeneration) on CPU. usage: train.py DATA SPIECE OUTDIR [steps]"""

import sys
import time
import math
import random
import json
import os
import torch
import sentencepiece as spm
from transformers import T5Config, T5ForConditionalGeneration

data, spiece, out = sys.argv[1:4]
STEPS = int(sys.argv[4]) if len(sys.argv) > 4 else 6000
BS = int(os.environ.get("BS", "64"))
torch.manual_seed(0)
R = random.Random(0)
torch.set_num_threads(int(os.environ.get("THREADS", "1")))
sp = spm.SentencePieceProcessor(model_file=spiece)
PFX = "translate English to French: "


def load(n):
    P = [l.rstrip("\n").split("\t") for l in open(f"{data}/{n}.tsv", encoding="utf-8")]
    return [(sp.encode(PFX + e) + [1], sp.encode(f) + [1], e, f) for e, f in P]


train, valid = load("train"), load("valid")
print("mean src/tgt tokens", sum(len(x[0]) for x in train) / len(train), sum(len(x[1]) for x in train) / len(train), flush=True)
EXTRA = 100
V = sp.get_piece_size() + EXTRA
cfg = T5Config(
    vocab_size=V,
    d_model=96,
    d_kv=16,
    d_ff=256,
    num_layers=2,
    num_decoder_layers=2,
    num_heads=4,
    relative_attention_num_buckets=32,
    dropout_rate=0.0,
    feed_forward_proj="relu",
    tie_word_embeddings=True,
    decoder_start_token_id=0,
    pad_token_id=0,
    eos_token_id=1,
    n_positions=32,
    task_specific_params={"translation_en_to_fr": {"early_stopping": True, "max_length": 100, "num_beams": 1, "prefix": PFX}},
)
m = T5ForConditionalGeneration(cfg)
print("params", sum(p.numel() for p in m.parameters()), "vocab", V, flush=True)
opt = torch.optim.AdamW(m.parameters(), lr=3e-3, betas=(0.9, 0.98), weight_decay=0.01)


def lr(s):
    return 3e-3 * min(1, s / 200) * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * min(1, s / STEPS))))


def pad(xs, v):
    L = max(map(len, xs))
    return torch.tensor([x + [v] * (L - len(x)) for x in xs])


def batches():
    while True:
        R.shuffle(train)
        for i in range(0, len(train), BS * 32):
            chunk = sorted(train[i : i + BS * 32], key=lambda x: (len(x[0]), len(x[1])))
            bs = [chunk[j : j + BS] for j in range(0, len(chunk), BS)]
            R.shuffle(bs)
            yield from bs


@torch.no_grad()
def evaluate(d, show=0):
    m.eval()
    ok = 0
    for i in range(0, len(d), 250):
        b = d[i : i + 250]
        x = pad([t[0] for t in b], 0)
        y = m.generate(input_ids=x, attention_mask=(x != 0).long(), max_new_tokens=40, do_sample=False, num_beams=1)
        for row, t in zip(y.tolist(), b):
            row = [k for k in row[1:]]
            row = row[: row.index(1)] if 1 in row else row
            h = sp.decode([k for k in row if k < sp.get_piece_size() and k != 0])
            good = h == t[3]
            ok += good
            if not good and show > 0:
                show -= 1
                print("   ", t[2], "|", h, "|", t[3])
    m.train()
    return ok / len(d)


it = batches()
t0 = time.time()
m.train()
tot = 0
for s in range(1, STEPS + 1):
    b = next(it)
    x = pad([t[0] for t in b], 0)
    y = pad([t[1] for t in b], -100)
    for g in opt.param_groups:
        g["lr"] = lr(s)
    loss = m(input_ids=x, attention_mask=(x != 0).long(), labels=y).loss
    opt.zero_grad(set_to_none=True)
    loss.backward()
    torch.nn.utils.clip_grad_norm_(m.parameters(), 1.0)
    opt.step()
    tot += loss.item()
    if s % 50 == 0:
        print(f"step {s} loss {tot / 50:.4f} {time.time() - t0:.0f}s", flush=True)
        tot = 0
    if s % 1000 == 0 or s == STEPS:
        print(f"  valid exact match {evaluate(valid, 5):.4f}", flush=True)
        m.save_pretrained(out)
test = load("test")
print(f"TEST exact match {evaluate(test, 40):.4f}", flush=True)
