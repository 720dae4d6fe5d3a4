#!/bin/sh
# Run N jobs, each on a GPU of its own.
#
#   ./train.sh N
set -eu
cd "$(dirname "$0")"
pool=${POOL:-/gpu}
worker=${WORKER:-./worker.sh}

# With real ones: GPUS=$(nvidia-smi --query-gpu=index --format=csv,noheader)
gpus=${GPUS:-0 1 2}
jobs=$1
set --
for gpu in $gpus; do
	set -- "$@" --item "$gpu"
done
poolrun init "$pool" "$@" --exist-ok

# The inner shell expands POOLRUN_ITEM, which does not exist before poolrun has a slot.
# shellcheck disable=SC2016
seq "$jobs" | xargs -P "$jobs" -I{} poolrun --pool "$pool" -- \
	sh -c 'CUDA_VISIBLE_DEVICES=$POOLRUN_ITEM exec "$0" "$@"' "$worker" {}
