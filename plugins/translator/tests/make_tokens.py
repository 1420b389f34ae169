#!/usr/bin/env python3
"""What the tokenizers of Hugging Face make of texts of all kinds, in both layouts of T5's tokenizer.json: tests/tokens.json.

usage: make_tokens.py ../../models/t5-tiny > tests/tokens.json          (tokenizers 0.22)
"""

import json
import random
import sys

from tokenizers import Tokenizer

ODD = [
    "", " ", "   ", "\n", "\t\r\n", "a", " a", "a ", "  a  b   c  ", "a\tb\nc\r\nd", "a\u00a0b\u3000c\u2009d", "\ufeffa\u200bb\u200dc\u00add",
    "</s>", "a </s> b", "a</s>b", "<extra_id_0>x<extra_id_12> y <extra_id_99>", "<unk> <pad> </s >", "<extra_id_", "<<extra_id_1>>", "<extra_id_100>",
    "\u2581", "\u2581\u2581a\u2581", "a \u2581b", "translate English to French: Hello, world!", "Aujourd'hui,  il fait 25 degrés à Paris !",
    "ﬁne ½ x² ™ ① Ⅷ ㍿ ｶﾞ ＡＢＣ", "e\u0301le\u0300ve a\u030a\u0323 q\u0307\u0323", "\u1100\u1161\u11a8 각", "日本語 日本 unknown 日本 the house", "שלום עולם",
    "नमस्ते दुनिया क्षि", "👩‍👩‍👧‍👦 family 🇫🇷 flag ✌🏽", "Z\u0351\u036b\u0343\u036a\u0302\u036b\u033d\u034f\u0334\u0319a\u0324\u031e\u0349l", "\x00\x01\x7f control", "a\x00b",
    "...!!!???;;;", "'\"\\/`´’‘“”«»…–—", "1234567890 3.14 1,000,000 12:30 50%", "https://example.com/?q=1&x=[2]", "UPPER lower MiXeD", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
    "the the the the", "s s s", ". . .", "é", "É È À Ç ç œ Œ æ", "\u0130stanbul ı ß ẞ ŉ", "x\u0300\u0300\u0300\u0300y", "ก็ ไทย", "\U0001d400\U0001d7d8 math", "line one.  \n\n  line two.  ", "end   ",
    "\u2028sep\u2029", "a\u0085b", "\ud7a3 \ue000 \ufffd \U0010ffff", "{\"json\": [1, 2]}", "日", "日 本", "house日house",
]


def layouts(folder: str) -> dict[str, Tokenizer]:
    new = json.load(open(f"{folder}/tokenizer.json", encoding="utf-8"))
    old = dict(new)
    old["normalizer"] = new["normalizer"]["normalizers"][0]
    mark = {"type": "Metaspace", "replacement": "\u2581", "str_rep": "\u2581", "add_prefix_space": True}
    old["pre_tokenizer"] = {"type": "Sequence", "pretokenizers": [{"type": "WhitespaceSplit"}, mark]}
    old["decoder"] = mark
    return {"new": Tokenizer.from_str(json.dumps(new)), "old": Tokenizer.from_str(json.dumps(old))}


def main() -> None:
    folder = sys.argv[1]
    rng = random.Random(5)
    known = [case["text"] for case in json.load(open(f"{folder}/cases.json", encoding="utf-8"))]
    alphabet = list("aeiou thsr.,!?'<>/\u2581\t\n é½ﬁ日\u0301\u200d👩🇫") + ["the ", "</s>", "<extra_id_5>", "house", "  "]
    texts = ODD + ["".join(rng.choice(alphabet) for _ in range(rng.randint(1, 30))) for _ in range(300)]
    texts += [" ".join(rng.sample(known, 12)), "\n".join(rng.sample(known, 5))]
    made = layouts(folder)
    rows = []
    for text in texts:
        row = {"text": text}
        for name, tokenizer in made.items():
            ids = tokenizer.encode(text).ids
            row[name] = ids
            row[f"{name}_text"] = tokenizer.decode(ids)
        rows.append(json.dumps(row, ensure_ascii=True))
    print("[" + ",\n".join(rows) + "]")


if __name__ == "__main__":
    main()
