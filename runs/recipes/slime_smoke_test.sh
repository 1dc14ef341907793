#!/usr/bin/env bash
# Tries slime_qwen3_4b.sh on 20 training tasks and 5 test tasks, with 10 rollouts. Not run by the tests.
set -euo pipefail

: "${CORPUS:?give the folder of the corpus of Persuasion for Good}"
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
export DATA="${DATA:-$HOME/josh-slime-smoke-data}"
export OUT="${OUT:-$HOME/josh-slime-smoke}"
export ROLLOUTS=10 BATCH=4

josh smoke --corpus "$CORPUS"
josh prepare --corpus "$CORPUS" --output_dir "$DATA" --train_limit 20 --test_limit 5
printf 'test:\n  prompt_data: %s/test_tasks.jsonl\n' "$DATA" > "$DATA/eval_config.yaml"
python3 -m josh.runs.train.slime_eval "$DATA/eval_config.yaml" --out "$DATA/slime_eval.yaml"
bash "$here/slime_qwen3_4b.sh" "$@"
