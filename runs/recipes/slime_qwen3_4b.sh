#!/usr/bin/env bash
# Trains Qwen3-4B on policy with slime. Run it in slime's container, with josh installed there. Not run by the tests.
set -euo pipefail

: "${SLIME:?give the folder of a checkout of slime}"
: "${MODEL:=$HOME/Qwen3-4B-Instruct-2507}"      # a Hugging Face checkpoint
: "${MEGATRON_MODEL:=${MODEL}_torch_dist}"      # converted by slime's tools/convert_hf_to_torch_dist.py
: "${DATA:?give the folder of train_tasks.jsonl and test_tasks.jsonl, which josh prepare writes}"
: "${OUT:=$HOME/josh-slime}"
: "${GPUS:=8}"
: "${ROLLOUTS:=300}"
: "${BATCH:=32}"

export PERSUASION_CORPUS_PATH="$DATA"
export PERSUASION_TASK_SPLIT="${PERSUASION_TASK_SPLIT:-train}"
export PERSUASION_PERSUADEE_MODEL="${PERSUASION_PERSUADEE_MODEL:-gpt-4o-mini}"
export PERSUASION_MAX_TURNS="${PERSUASION_MAX_TURNS:-10}"

# The sizes of the model, as MODEL_ARGS.
# shellcheck source=/dev/null
source "$SLIME/scripts/models/qwen3-4B-Instruct-2507.sh"

cd "$SLIME"
python3 train.py \
  --actor-num-nodes 1 --actor-num-gpus-per-node "$GPUS" --colocate \
  "${MODEL_ARGS[@]}" \
  --hf-checkpoint "$MODEL" --ref-load "$MEGATRON_MODEL" --save "$OUT" --save-interval 20 \
  --prompt-data "$DATA/train_tasks.jsonl" --input-key prompt --label-key label --metadata-key metadata \
  --custom-generate-function-path josh.runs.train.slime:generate_with_persuasion \
  --custom-reward-post-process-path josh.runs.train.slime:post_process_rewards \
  --num-rollout "$ROLLOUTS" --rollout-batch-size "$BATCH" --n-samples-per-prompt 8 \
  --rollout-max-response-len 4096 --rollout-max-context-len 16384 --rollout-temperature 1 \
  --global-batch-size "$((BATCH * 8))" \
  --advantage-estimator grpo --use-kl-loss --kl-loss-coef 0.001 \
  --optimizer adam --lr 1e-6 --lr-decay-style constant --weight-decay 0.1 \
  --eval-config "$DATA/slime_eval.yaml" --eval-interval 20 \
  "$@"
