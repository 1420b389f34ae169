#!/usr/bin/env python3
"""What transformers' own beam search (4 beams) answers over the exported files: for the cases, and for texts that the model does not know, where
beams differ from greedy decoding.

usage: make_beams.py MODEL_DIR > beams.json          (optimum 2.1.0, optimum-onnx 0.1.0, transformers 4.57.6, onnxruntime)
"""

import json
import sys

import torch
from optimum.onnxruntime import ORTModelForSeq2SeqLM
from tokenizers import Tokenizer

PREFIX = "translate English to French: "
# Length penalties and the three ways of stopping are tried on these.
STRANGE = [
    "The dog that I saw yesterday was running very fast in the big garden.",
    "My horse reads seven newspapers under the sea.",
    "Nobody knows.",
    "If it rains tomorrow we will stay at home and play games with Victor.",
    "Red red red car!",
    "12 + 30 = 42",
    "Where is the nearest pharmacy, please?",
    "She told him that they had never been to Geneva.",
    "A very old man with enormous wings lives in Denver today.",
    "Umbrella",
    "The quick brown fox jumps over the lazy dog.",
    "Please close the door and open all windows tonight.",
]
WAYS = [(4, True, 1.0), (4, False, 1.0), (4, "never", 1.0), (3, True, 0.4), (2, False, 2.0), (4, "never", -0.5)]


def main() -> None:
    folder = sys.argv[1]
    torch.set_num_threads(1)
    model = ORTModelForSeq2SeqLM.from_pretrained(folder, use_cache=True, use_merged=False)
    tokenizer = Tokenizer.from_file(f"{folder}/tokenizer.json")

    def generate(ids: list[int], beams: int, stopping: bool | str, penalty: float) -> list[int]:
        out = model.generate(
            input_ids=torch.tensor([ids]),
            attention_mask=torch.ones(1, len(ids), dtype=torch.long),
            num_beams=beams,
            do_sample=False,
            max_length=100,
            early_stopping=stopping,
            length_penalty=penalty,
        )
        return [token for token in out[0].tolist()[1:] if token != 0]

    cases = []
    for case in json.load(open(f"{folder}/cases.json", encoding="utf-8")):
        cases.append({"text": case["text"], "ids": case["ids"], "beams": 4, "early_stopping": True, "length_penalty": 1.0, "out": generate(case["ids"], 4, True, 1.0)})
    for text in STRANGE:
        ids = tokenizer.encode(PREFIX + text).ids
        for beams, stopping, penalty in WAYS:
            out = generate(ids, beams, stopping, penalty)
            cases.append({"text": text, "ids": ids, "beams": beams, "early_stopping": stopping, "length_penalty": penalty, "out": out})
        print(text, "|", tokenizer.decode(out), file=sys.stderr)
    print("[" + ",\n".join(json.dumps(case) for case in cases) + "]")


if __name__ == "__main__":
    main()
