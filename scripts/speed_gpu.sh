#!/usr/bin/env bash
# Frames a second on a GPU: base-plus at 512 px in bfloat16, one and ten objects, from an H.264 file of 1080p to label
# maps on disk, and beside transformers' session in turns. Weights are drawn: time hardly depends on them.
#
#   scripts/speed_gpu.sh FOLDER [--setting value ...]
#
# needs trocar[dev,bench] and PyTorch for the GPU. FOLDER gets speed-gpu.json, speed-gpu.png and speed-gpu.txt; settings
# of `trocar bench speed` that follow go before those here.
set -euo pipefail
out=${1:?usage: scripts/speed_gpu.sh FOLDER [--setting value ...]}
shift
mkdir -p "$out"
"${PYTHON:-python3}" -m trocar bench speed \
    --devices cuda --models sam2.1-base-plus --sides 512 --random-weights true --precisions bf16 \
    --objects 1,10 --rows 1080 --columns 1920 --frames 256 --warm-up 32 --beside transformers \
    --out "$out/speed-gpu.json" --plot "$out/speed-gpu.png" "$@" | tee "$out/speed-gpu.txt"
