#!/usr/bin/env python3
"""Trains a tiny ViT on drawn pictures and saves it as a Hugging Face model: some 6 minutes on one core.

usage: train.py OUT_DIR [STEPS=3000]          (torch, transformers, pillow, numpy)
"""

import math
import random
import sys
import time

import numpy as np
import torch
from pictures import LABELS, picture
from PIL import Image
from transformers import ViTConfig, ViTForImageClassification, ViTImageProcessor

SIDE = 32
BATCH = 128
POOL = 40_000
# The pictures that are drawn are larger than what the model sees, of many sizes, as those that it will be asked about.
DRAWN = (48, 64, 96)


def drawn(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Pictures and labels, each picture by a seed of its own."""
    pixels = np.empty((count, SIDE, SIDE, 3), np.uint8)
    labels = np.empty(count, np.int64)
    for index in range(count):
        rng = random.Random(seed * 10_000_000 + index)
        labels[index] = index % len(LABELS)
        image = picture(int(labels[index]), rng, rng.choice(DRAWN))
        pixels[index] = np.asarray(image.resize((SIDE, SIDE), Image.Resampling.BILINEAR))
    return pixels, labels


def tensor(pixels: np.ndarray) -> torch.Tensor:
    """As the processor makes it: from -1 to 1, channels first."""
    return torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 127.5 - 1


def disturbed(batch: torch.Tensor) -> torch.Tensor:
    """Mirrored, lighter or darker, with noise."""
    if random.random() < 0.5:
        batch = batch.flip(3)
    count = batch.shape[0]
    batch = batch * (1 + 0.08 * torch.randn(count, 1, 1, 1)) + 0.05 * torch.randn(count, 1, 1, 1) + 0.03 * torch.randn_like(batch)
    return batch.clamp(-1, 1)


def accuracy(model: ViTForImageClassification, pixels: np.ndarray, labels: np.ndarray) -> float:
    model.eval()
    with torch.inference_mode():
        found = torch.cat([model(pixel_values=tensor(part)).logits.argmax(1) for part in np.array_split(pixels, 10)])
    model.train()
    return float((found.numpy() == labels).mean())


def main() -> None:
    out, steps = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 3000
    random.seed(1)
    torch.manual_seed(1)
    torch.set_num_threads(1)
    pixels, labels = drawn(POOL, 1)
    held = drawn(1600, 2)
    config = ViTConfig(
        hidden_size=96,
        num_hidden_layers=3,
        num_attention_heads=4,
        intermediate_size=256,
        image_size=SIDE,
        patch_size=8,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
        num_labels=len(LABELS),
        id2label=dict(enumerate(LABELS)),
        label2id={label: index for index, label in enumerate(LABELS)},
    )
    model = ViTForImageClassification(config)
    print(f"{sum(p.numel() for p in model.parameters())} parameters, {len(LABELS)} labels", flush=True)
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3, weight_decay=0.05)
    start, loss_sum = time.time(), 0.0
    for step in range(1, steps + 1):
        rate = 2e-3 * min(1, step / 150) * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * step / steps)))
        for group in optimizer.param_groups:
            group["lr"] = rate
        rows = np.random.default_rng(step).integers(0, POOL, BATCH)
        logits = model(pixel_values=disturbed(tensor(pixels[rows]))).logits
        loss = torch.nn.functional.cross_entropy(logits, torch.from_numpy(labels[rows]), label_smoothing=0.02)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        loss_sum += loss.item()
        if step % 200 == 0:
            print(f"step {step} loss {loss_sum / 200:.4f} held out {accuracy(model, *held):.4f} {time.time() - start:.0f} s", flush=True)
            loss_sum = 0.0
            model.save_pretrained(out)
    ViTImageProcessor(size={"height": SIDE, "width": SIDE}).save_pretrained(out)
    print(f"held out: {accuracy(model, *drawn(3200, 3)):.4f}")


if __name__ == "__main__":
    main()
