#!/usr/bin/env bash
# What a token costs: a T5 of t5-small's shape (random weights) through the translator and /mcp, beside transformers eager and CTranslate2, in one run.
#
#     scripts/bench-inference.sh
#
# usage: bench-inference.sh [--quick] [--callers 1,8,32] [--seconds 4] [--rounds 3] [--threads 1] [--device cuda:0]
#
# Ends with 1 where a goal is not met. --quick is one short round: under four minutes, once all is built and fetched.
#
# Builds the host and the plugins. PyTorch, transformers and CTranslate2 (some 4 GB from PyPI) and the model (1 GB) go into ${XDG_CACHE_HOME:-~/.cache}/toolbay/bench-inference
# the first time. Needs Python 3.10 or later with venv.
set -euo pipefail
shopt -s inherit_errexit

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
say() { printf 'bench-inference: %s\n' "$*" >&2; }

case ${1:-} in
-h | --help)
    sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//p;}' "${BASH_SOURCE[0]}"
    exit 0
    ;;
esac

# Tokens of an answer.
tokens=48
work=${XDG_CACHE_HOME:-$HOME/.cache}/toolbay/bench-inference
venv=$work/venv
mkdir -p "$work"

say "1 of 4: the host, the plugins, ONNX Runtime"
toolbay=${TOOLBAY:-${CARGO_TARGET_DIR:-$root/target}/release/toolbay}
[ -n "${TOOLBAY:-}" ] || (cd "$root" && cargo build --release --locked --package toolbay)
plugins=${TOOLBAY_PLUGINS:-$root/dist/plugins}
[ -n "${TOOLBAY_PLUGINS:-}" ] || "$root/scripts/build-plugins.sh" --toolbay "$toolbay" "$plugins"
"$root/scripts/onnxruntime.sh" >/dev/null

say "2 of 4: the others"
if [ ! -e "$venv/done" ]; then
    python3 -m venv "$venv"
    "$venv/bin/pip" install --quiet torch==2.11.0 transformers==4.57.6 optimum==2.1.0 optimum-onnx==0.1.0 accelerate onnx onnxruntime ctranslate2==4.8.5 sentencepiece
    touch "$venv/done"
fi

say "3 of 4: the model"
PATH=$venv/bin:$PATH
scripts=$root/models/t5-tiny/scripts
model=$work/model
if [ ! -e "$model/done" ]; then
    rm -rf "$model"
    mkdir -p "$model"
    python3 "$scripts/make_random_t5small.py" "$model/hf"
    optimum-cli export onnx --model "$model/hf" --task text2text-generation-with-past --opset 18 "$model/fp32"
    python3 "$scripts/export_ragged.py" "$model/hf" "$model/fp32/decoder_with_past_model_ragged.onnx"
    python3 "$root/benches/inference/make.py" "$root/models/t5-tiny" "$model/fp32" "$tokens"
    python3 "$scripts/quantize.py" "$model/fp32" "$model/int8"
    cp "$model"/fp32/*.json "$model/int8"
    # Under the names that the plugin asks for.
    for file in "$model"/int8/*_quantized.onnx; do
        mv "$file" "${file%_quantized.onnx}.onnx"
    done
    python3 "$root/benches/inference/convert.py" "$model/hf" "$model/fp32/tokenizer.json" "$model/ct2" float32
    python3 "$root/benches/inference/convert.py" "$model/hf" "$model/fp32/tokenizer.json" "$model/ct2-int8" int8
    touch "$model/done"
fi

say "4 of 4: the run"
exec python3 "$root/benches/inference/run.py" "$toolbay" "$plugins" "$model" "$@"
