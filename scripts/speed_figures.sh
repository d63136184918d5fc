#!/usr/bin/env bash
# Every figure of docs/explanation/speed.md that a CPU can give; on a machine that does nothing else, about forty minutes
# on two cores.
#
#   scripts/speed_figures.sh [FOLDER [--setting value ...]]
#
# FOLDER (docs/results) gets speed-*.json; settings of `trocar bench speed` that follow go before those of the recipes.
# The last run shares the processors with one busy program for each of them, which end with this script. Where FOLDER is
# docs/results, pictures and the page's tables are made anew too.
set -euo pipefail
cd "$(dirname "$0")/.."
export PYTHONPATH="src${PYTHONPATH:+:$PYTHONPATH}"
python=${PYTHON:-python3}
out=${1:-docs/results}
shift || true
mkdir -p "$out"
plots=$out
if [[ $out == docs/results ]]; then plots=docs/images; fi

for name in threads nano arithmetic tiny; do
    "$python" -m trocar bench speed --matrix "recipes/speed-$name.toml" \
        --out "$out/speed-$name.json" --plot "$plots/speed-$name.png" "$@"
done

others=()
trap 'kill "${others[@]}"' EXIT
for _ in $(seq "$(nproc)"); do
    "$python" -c 'while True: pass' &
    others+=($!)
done
"$python" -m trocar bench speed --matrix recipes/speed-threads.toml --out "$out/speed-threads-busy.json" "$@"
if [[ $out == docs/results ]]; then "$python" scripts/speed_page.py; fi
