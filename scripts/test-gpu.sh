#!/usr/bin/env bash
# Runs the tests that need an NVIDIA GPU: the same tokens as on the CPU, shares of its memory, no silent CPU.
#
# usage: test-gpu.sh        (needs a driver, CUDA 13 and cuDNN 9; ORT_DYLIB_PATH names the library where it is not to be fetched)
set -euo pipefail
shopt -s inherit_errexit
cd "$(dirname "${BASH_SOURCE[0]}")/.."

if [ -z "${ORT_DYLIB_PATH:-}" ]; then
    command -v nvidia-smi >/dev/null || { echo "test-gpu: there is no nvidia-smi, so no driver of NVIDIA's: this machine has no GPU to test with" >&2; exit 2; }
    # Into a cache of its own: it does not take the place of the library that the other tests use.
    ORT_DYLIB_PATH=$(XDG_CACHE_HOME="${XDG_CACHE_HOME:-$HOME/.cache}/toolbay/gpu" scripts/onnxruntime.sh --gpu | tail -n 1)
    export ORT_DYLIB_PATH
fi
exec cargo test --release --locked --package toolbay --lib -- --ignored --nocapture --test-threads=1 inference::tests::gpu
