#!/usr/bin/env python3
"""t5-small's architecture with random weights (for timing only). usage: make_random_t5small.py OUT"""

import sys
import torch
from transformers import T5Config, T5ForConditionalGeneration

torch.manual_seed(0)
c = T5Config(
    vocab_size=32128,
    d_model=512,
    d_kv=64,
    d_ff=2048,
    num_layers=6,
    num_decoder_layers=6,
    num_heads=8,
    relative_attention_num_buckets=32,
    dropout_rate=0.1,
    feed_forward_proj="relu",
    decoder_start_token_id=0,
    pad_token_id=0,
    eos_token_id=1,
    tie_word_embeddings=True,
)
m = T5ForConditionalGeneration(c).eval()
print(sum(p.numel() for p in m.parameters()) / 1e6, "M params")
m.save_pretrained(sys.argv[1])
