#!/usr/bin/env python3
"""T5-like sentencepiece unigram model: pad 0, eos 1, unk 2, no bos, nmt_nfkc; usage: train_tokenizer.py DATA OUTDIR [VOCAB=924]"""

import sys
import sentencepiece as spm
import os

data, out = sys.argv[1:3]
V = int(sys.argv[3]) if len(sys.argv) > 3 else 924
os.makedirs(out, exist_ok=True)
tmp = os.path.join(data, "spm.txt")
with open(tmp, "w", encoding="utf-8") as h:
    for i, l in enumerate(open(f"{data}/train.tsv", encoding="utf-8")):
        e, f = l.rstrip("\n").split("\t")
        h.write(f"{e}\n{f}\n")
        if i % 4 == 0:
            h.write(f"translate English to French: {e}\n")
spm.SentencePieceTrainer.train(
    input=tmp,
    model_prefix=f"{out}/spiece",
    model_type="unigram",
    vocab_size=V,
    pad_id=0,
    eos_id=1,
    unk_id=2,
    bos_id=-1,
    pad_piece="<pad>",
    eos_piece="</s>",
    unk_piece="<unk>",
    normalization_rule_name="nmt_nfkc",
    character_coverage=1.0,
    split_digits=True,
    required_chars="abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.,:;!?'-()\"%/éèêëàâîïôûùçœÉÀÊÇ°$&",
    num_threads=2,
)
os.remove(f"{out}/spiece.vocab")
sp = spm.SentencePieceProcessor(model_file=f"{out}/spiece.model")
for s in ["translate English to French: The house is wonderful.", "La maison est merveilleuse.", "It is 25 degrees in San Francisco."]:
    print(sp.encode(s, out_type=str))
