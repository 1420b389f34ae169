#!/usr/bin/env python3
"""Optimum export -> dynamic int8 (MatMul and embedding; a lm_head that is Transpose(shared.weight) after Optimum's de-duplication is first made an initializer of its own).
usage: quantize.py ONNX_DIR OUT_DIR"""

import sys
import os
import shutil
import onnx
import numpy as np
from onnx import numpy_helper as nh
from onnxruntime.quantization import quantize_dynamic, QuantType

src, dst = sys.argv[1:3]
os.makedirs(dst, exist_ok=True)
for n in ("encoder_model", "decoder_model", "decoder_with_past_model", "decoder_with_past_model_ragged"):
    if not os.path.exists(f"{src}/{n}.onnx"):
        continue
    m = onnx.load(f"{src}/{n}.onnx")
    g = m.graph
    init = {i.name: i for i in g.initializer}
    for t in [x for x in g.node if x.op_type == "Transpose" and x.input[0] in init]:
        a = np.ascontiguousarray(np.transpose(nh.to_array(init[t.input[0]]), next((list(x.ints) for x in t.attribute if x.name == "perm"), None)))
        g.initializer.append(nh.from_array(a, t.output[0]))
        g.node.remove(t)
        print(n, "lm_head made an initializer", a.shape)
    p = f"{dst}/{n}.tmp.onnx"
    onnx.save(m, p)
    quantize_dynamic(p, f"{dst}/{n}_quantized.onnx", weight_type=QuantType.QInt8, op_types_to_quantize=["MatMul", "Gather"], per_channel=True)
    os.remove(p)
    print(n, round(os.path.getsize(f"{dst}/{n}_quantized.onnx") / 1e6, 1), "MB")
