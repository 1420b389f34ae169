#!/usr/bin/env python3
"""A tokenizer of 32,000 pieces and a config for the model of t5-small's shape, so that everything but the weights is as with the real one.

usage: make.py TINY_DIR OUT_DIR TOKENS          (answers end after so many tokens)
"""

import json
import pathlib
import sys

PIECES, EXTRA = 32_000, 100


def main() -> None:
    tiny, out, tokens = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]), int(sys.argv[3])
    tokenizer = json.loads((tiny / "tokenizer.json").read_text(encoding="utf-8"))
    known = [piece for piece in tokenizer["model"]["vocab"] if not piece[0].startswith("<extra_id_")]
    # As long as pieces are on average; no text has them.
    filler = [[f"\u2581zq{number:05}", -20.0 - number / 1e4] for number in range(PIECES - len(known))]
    extra = [f"<extra_id_{number}>" for number in reversed(range(EXTRA))]
    tokenizer["model"]["vocab"] = known + filler + [[name, 0.0] for name in extra]
    base = tokenizer["added_tokens"][0]
    tokenizer["added_tokens"] = tokenizer["added_tokens"][:3] + [base | {"id": PIECES + place, "content": name} for place, name in enumerate(extra)]
    (out / "tokenizer.json").write_text(json.dumps(tokenizer, ensure_ascii=False), encoding="utf-8")
    config = json.loads((out / "config.json").read_text(encoding="utf-8"))
    config["n_positions"] = 512
    config["task_specific_params"] = {
        "translation_en_to_fr": {"early_stopping": True, "max_length": tokens + 1, "num_beams": 1, "prefix": "translate English to French: "}
    }
    (out / "config.json").write_text(json.dumps(config, indent=2), encoding="utf-8")


if __name__ == "__main__":
    main()
