#!/usr/bin/env bash
# Makes the model from nothing, in a folder of its own: corpus, tokenizer, training (some 40 minutes on one core), export, cases.
#
#     python3 -m venv venv && venv/bin/pip install torch==2.11.0 transformers==4.57.6 optimum==2.1.0 optimum-onnx==0.1.0 accelerate sentencepiece onnxruntime
#     PATH=$PWD/venv/bin:$PATH models/t5-tiny/scripts/make.sh OUT_DIR
set -euo pipefail

scripts=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
out=${1:?usage: make.sh OUT_DIR}
work=$out/work
mkdir -p "$work"
python3 "$scripts/gen_corpus.py" "$work/data" 60000 7
python3 "$scripts/train_tokenizer.py" "$work/data" "$work/spm"
python3 "$scripts/train.py" "$work/data" "$work/spm/spiece.model" "$work/hf" 8000
python3 "$scripts/make_hf_tokenizer.py" "$work/spm/spiece.model" "$work/hf"
optimum-cli export onnx --model "$work/hf" --task text2text-generation-with-past --opset 18 "$out"
python3 "$scripts/export_ragged.py" "$work/hf" "$out/decoder_with_past_model_ragged.onnx"
python3 "$scripts/make_cases.py" "$work/hf" "$work/data/test.tsv" "$out/cases.json" 200
python3 "$scripts/make_beams.py" "$out" >"$out/beams.json"
