#!/usr/bin/env python3
"""decoder_with_past_model_ragged.onnx: Optimum's decoder_with_past_model.onnx with one more input, decoder_attention_mask [batch, past+1],
so that rows whose pasts differ in length (right-aligned, zeros on the left) can be decoded in one batch. Run with transformers 4.57.6.
usage: export_ragged.py HF_DIR OUT.onnx"""

import sys
import torch
from transformers import T5ForConditionalGeneration
from transformers.cache_utils import DynamicCache, EncoderDecoderCache

m = T5ForConditionalGeneration.from_pretrained(sys.argv[1], attn_implementation="eager").eval()
c = m.config
L = c.num_decoder_layers


class W(torch.nn.Module):
    def __init__(s):
        super().__init__()
        s.m = m

    def forward(s, input_ids, encoder_attention_mask, decoder_attention_mask, *past):
        a, b = DynamicCache(), DynamicCache()
        for i in range(L):
            dk, dv, ek, ev = past[4 * i : 4 * i + 4]
            a.update(dk, dv, i)
            b.update(ek, ev, i)
        kv = EncoderDecoderCache(a, b)
        for i in range(L):
            kv.is_updated[i] = True
        h = torch.zeros((input_ids.shape[0], past[2].shape[2], c.d_model))
        o = s.m.decoder(
            input_ids=input_ids,
            attention_mask=decoder_attention_mask,
            encoder_hidden_states=h,
            encoder_attention_mask=encoder_attention_mask,
            past_key_values=kv,
            use_cache=True,
        )
        x = o.last_hidden_state * (c.d_model**-0.5) if c.tie_word_embeddings else o.last_hidden_state
        out = [s.m.lm_head(x)]
        for i in range(L):
            out += [kv.self_attention_cache.layers[i].keys, kv.self_attention_cache.layers[i].values]
        return tuple(out)


B, S, P = 2, 7, 5
past = []
pn = []
on = ["logits"]
for i in range(L):
    for k, n in (("decoder", P), ("encoder", S)):
        for t in ("key", "value"):
            past.append(torch.randn(B, c.num_heads, n, c.d_kv))
            pn.append(f"past_key_values.{i}.{k}.{t}")
            if k == "decoder":
                on.append(f"present.{i}.{k}.{t}")
names = ["input_ids", "encoder_attention_mask", "decoder_attention_mask"] + pn
dyn = {
    "input_ids": {0: "batch_size"},
    "encoder_attention_mask": {0: "batch_size", 1: "encoder_sequence_length"},
    "decoder_attention_mask": {0: "batch_size", 1: "past_decoder_sequence_length + 1"},
    "logits": {0: "batch_size"},
}
for n in pn:
    dyn[n] = {0: "batch_size", 2: "past_decoder_sequence_length" if ".decoder." in n else "encoder_sequence_length"}
for n in on[1:]:
    dyn[n] = {0: "batch_size", 2: "past_decoder_sequence_length + 1"}
torch.onnx.export(
    W(),
    (torch.ones(B, 1, dtype=torch.long), torch.ones(B, S, dtype=torch.long), torch.ones(B, P + 1, dtype=torch.long), *past),
    sys.argv[2],
    input_names=names,
    output_names=on,
    dynamic_axes=dyn,
    opset_version=18,
    do_constant_folding=True,
    dynamo=False,
)
import onnx

g = onnx.load(sys.argv[2])
print([i.name for i in g.graph.input][:3], len(g.graph.node), "nodes")
