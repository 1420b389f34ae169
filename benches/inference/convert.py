#!/usr/bin/env python3
"""A model of transformers to one of CTranslate2.

usage: convert.py HF_DIR TOKENIZER_JSON OUT_DIR float32|int8
"""

import sys

from ctranslate2.converters import TransformersConverter
from transformers import T5TokenizerFast

folder, tokenizer, out, kind = sys.argv[1:5]
# CTranslate2 names tokens by their text, and reads it from beside the model.
T5TokenizerFast(tokenizer_file=tokenizer, extra_ids=100).save_pretrained(folder)
TransformersConverter(folder).convert(out, quantization=kind, force=True)
