#!/usr/bin/env python3
"""Draws pictures that the training has not seen and saves them in the formats that are met on the web, with what they show, and with what transformers
and onnxruntime answer to each of them.

usage: held_out.py MODEL_DIR OUT_DIR [COUNT=208]          (transformers, onnxruntime, pillow)
"""

import json
import pathlib
import random
import sys

import numpy as np
import onnxruntime
from pictures import LABELS, picture
from PIL import Image
from transformers import ViTImageProcessor

SEED = 77
WAYS = [
    ("png", {}, "RGB"),
    ("jpg", {"quality": 85}, "RGB"),
    ("webp", {"quality": 80}, "RGB"),
    ("jpg", {"quality": 75, "progressive": True, "subsampling": 0}, "RGB"),
    ("webp", {"lossless": True}, "RGB"),
    ("png", {}, "P"),
    ("png", {}, "RGBA"),
    ("webp", {"quality": 75}, "RGBA"),
]


def main() -> None:
    model, out = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
    count = int(sys.argv[3]) if len(sys.argv) > 3 else 208
    out.mkdir(parents=True, exist_ok=True)
    processor = ViTImageProcessor.from_pretrained(model)
    session = onnxruntime.InferenceSession(model / "model.onnx")
    rows = []
    for index in range(count):
        rng = random.Random(SEED * 1_000_000 + index)
        ending, options, mode = WAYS[(index // len(LABELS) + index) % len(WAYS)]
        label = index % len(LABELS)
        image = picture(label, rng, rng.choice([40, 64, 72, 100, 128]))
        name = f"{index:03}.{ending}"
        image.convert(mode, palette=Image.Palette.ADAPTIVE).save(out / name, **options)
        pixels = processor(Image.open(out / name).convert("RGB"), return_tensors="np")["pixel_values"]
        logits = session.run(["logits"], {"pixel_values": pixels})[0][0].astype(np.float64)
        scores = np.exp(logits - logits.max())
        scores /= scores.sum()
        best = int(scores.argmax())
        rows.append({"file": name, "label": LABELS[label], "answer": LABELS[best], "score": round(float(scores[best]), 4)})
    (out / "labels.json").write_text("[" + ",\n".join(json.dumps(row) for row in rows) + "]\n")
    right = sum(row["label"] == row["answer"] for row in rows)
    print(f"{right} of {count} right; {sum(file.stat().st_size for file in out.iterdir())} bytes")


if __name__ == "__main__":
    main()
