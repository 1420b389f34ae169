#!/usr/bin/env python3
"""spiece.model -> HF tokenizer files (tokenizer.json, tokenizer_config.json, special_tokens_map.json, spiece.model), laid out as t5-small ships them.
Run with transformers 4.57.6. usage: make_hf_tokenizer.py SPIECE OUTDIR"""

import sys
import json
import shutil
from transformers import T5Tokenizer, T5TokenizerFast
from transformers.convert_slow_tokenizer import convert_slow_tokenizer

slow = T5Tokenizer(sys.argv[1], extra_ids=100, legacy=True)
slow.add_prefix_space = True
tok = convert_slow_tokenizer(slow)
fast = T5TokenizerFast(tokenizer_object=tok, extra_ids=100, model_max_length=512, add_prefix_space=True)
fast.save_pretrained(sys.argv[2])
shutil.copy(sys.argv[1], sys.argv[2] + "/spiece.model")
from tokenizers import Tokenizer

t = Tokenizer.from_file(sys.argv[2] + "/tokenizer.json")
j = json.load(open(sys.argv[2] + "/tokenizer.json"))
print(j["pre_tokenizer"], j["decoder"], [n["type"] for n in j["normalizer"].get("normalizers", [j["normalizer"]])])
for s in [
    "translate English to French: The house is wonderful.",
    "Aujourd'hui,  il fait 25 degrés à Paris !",
    "ﬁne ½ x²  \u00a0tab\tnl\nend ",
    "日本 unknown",
    "",
    " ",
]:
    a, b = slow(s).input_ids, t.encode(s).ids
    print(a == b, a, b if a != b else "")
