#!/usr/bin/env bash
# Makes the model from nothing: training (some 6 minutes on one core), export, held-out pictures.
#
#     python3 -m venv venv && venv/bin/pip install torch==2.11.0 transformers==4.57.6 optimum==2.1.0 optimum-onnx==0.1.0 accelerate pillow onnxruntime
#     PATH=$PWD/venv/bin:$PATH models/vit-tiny/scripts/make.sh OUT_DIR
set -euo pipefail

scripts=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
out=${1:?usage: make.sh OUT_DIR}
python3 "$scripts/train.py" "$out/work"
optimum-cli export onnx --model "$out/work" --task image-classification --opset 18 "$out"
python3 "$scripts/held_out.py" "$out" "$out/held-out"
