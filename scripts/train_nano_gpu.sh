#!/usr/bin/env bash
# Train nano on a CUDA machine within a time budget.
#
#   scripts/train_nano_gpu.sh SECONDS OUT [WEIGHTS]
#
# Renders the recipe's scenes with all cores, trains for the rest of the time, and leaves in OUT the weights
# (weights.safetensors), the log and the recipe as used, each under 16 MB. Give the weights of an earlier run as WEIGHTS to
# go on from them.
# TROCAR_DATA names the folder of the data sets. RECIPE, PYTHON and SCRATCH may be set as well.
set -euo pipefail
seconds=${1:?seconds}
out=${2:?folder for the results}
weights=${3:-}
recipe=${RECIPE:-recipes/nano_gpu.toml}
python=${PYTHON:-python3}
scratch=${SCRATCH:-$(mktemp -d)}
reserve=${RESERVE:-30} # seconds kept for loading and saving

started=$(date +%s)
cd "$(dirname "$0")/.."
export PYTHONPATH="src${PYTHONPATH:+:$PYTHONPATH}"
mkdir -p "$out"

"$python" -m trocar train "$recipe" --data "$scratch" --out "$scratch/run" --processes "$(nproc)" --render-only
minutes=$("$python" -c "import time; print(($seconds - $reserve - time.time() + $started) / 60)")
start=()
if [[ -n $weights ]]; then start=(--weights "$weights"); fi
"$python" -m trocar train "$recipe" --data "$scratch" --out "$scratch/run" --minutes "$minutes" "${start[@]}"
cp "$scratch/run/weights.safetensors" "$scratch/run/log.jsonl" "$scratch/run/recipe.toml" "$out/"
