#!/usr/bin/env bash
# Runs what needs an NVIDIA GPU: the same tokens as on the CPU, shares of its memory, no silent CPU; then tokens a second against the CPU's.
#
# usage: test-gpu.sh [--no-bench]
#
# Needs a driver, CUDA 13 and cuDNN 9. ORT_DYLIB_PATH names the library where it is not to be fetched. The second part is scripts/bench-inference.sh, which fetches
# some 4 GB the first time.
set -euo pipefail
shopt -s inherit_errexit
cd "$(dirname "${BASH_SOURCE[0]}")/.."

if [ -z "${ORT_DYLIB_PATH:-}" ]; then
    command -v nvidia-smi >/dev/null || { echo "test-gpu: there is no nvidia-smi, so no driver of NVIDIA's: this machine has no GPU to test with" >&2; exit 2; }
    # Into a cache of its own: it does not take the place of the library that the other tests use.
    ORT_DYLIB_PATH=$(XDG_CACHE_HOME="${XDG_CACHE_HOME:-$HOME/.cache}/toolbay/gpu" scripts/onnxruntime.sh --gpu | tail -n 1)
    export ORT_DYLIB_PATH
fi
cargo test --release --locked --package toolbay --lib -- --include-ignored --nocapture --test-threads=1 inference::tests::gpu inference::tests::faults::a_gpu_that
[ "${1:-}" = --no-bench ] || exec scripts/bench-inference.sh --quick --device cuda:0
