#!/usr/bin/env python3
"""PyTorch reference: greedy generate for the test pairs -> cases.json [{"text","ids","out","fr"}]. usage: make_cases.py HF_DIR DATA_TSV OUT [N]"""

import sys
import json
import torch
from transformers import T5ForConditionalGeneration
from tokenizers import Tokenizer

hf, tsv, out = sys.argv[1:4]
N = int(sys.argv[4]) if len(sys.argv) > 4 else 1000
tk = Tokenizer.from_file(hf + "/tokenizer.json")
m = T5ForConditionalGeneration.from_pretrained(hf).eval()
torch.set_num_threads(1)
cases = []
ok = 0
pairs = [l.rstrip("\n").split("\t") for l in open(tsv, encoding="utf-8")][:N]
for e, f in pairs:
    ids = tk.encode("translate English to French: " + e).ids
    with torch.no_grad():
        y = m.generate(input_ids=torch.tensor([ids]), max_new_tokens=64, do_sample=False, num_beams=1)[0].tolist()[1:]
    got = tk.decode(y, skip_special_tokens=True)
    ok += got == f
    cases.append({"text": e, "ids": ids, "out": y, "fr": got})
json.dump(cases, open(out, "w"), ensure_ascii=False)
print(len(cases), "cases; equal to the reference translation:", ok)
