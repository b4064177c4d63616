#!/usr/bin/env bash
# usage: torchrun.sh GPUS SCRIPT [arguments of SCRIPT]
#
# What dist_train.sh and dist_test.sh share: runs train.py or test.py by torchrun.
set -euo pipefail
source "$(dirname "$0")/usage.sh"
check_usage 2 any "$@"

gpus=$1 script=$2
shift 2
check_number GPUS "$gpus"
if ! [ -f "$(dirname "$0")/$script" ]; then
    echo "SCRIPT must be train.py or test.py, but got '$script'" >&2
    exit 2
fi
nnodes=${NNODES:-1}
if [ "$nnodes" = 1 ] && [ -z "${PORT:-}" ]; then
    meet=(--standalone)  # on a free port, so that two runs on one machine do not collide
elif [ -n "${MAX_RESTARTS:-}" ]; then
    meet=(
        --nnodes "$nnodes"
        --rdzv_backend c10d
        --rdzv_id "$script"
        --rdzv_endpoint "${MASTER_ADDR:-127.0.0.1}:${PORT:-29500}"
    )
else
    meet=(
        --nnodes "$nnodes"
        --node_rank "${NODE_RANK:-0}"
        --master_addr "${MASTER_ADDR:-127.0.0.1}"
        --master_port "${PORT:-29500}"
    )
fi
if [ -n "${MAX_RESTARTS:-}" ]; then
    meet+=(--max_restarts "$MAX_RESTARTS")
    # Else the new processes read addresses that the dead ones left in torchrun's store, and hang
    # (https://github.com/pytorch/pytorch/issues/135712). Without c10d, it has only that store.
    export TORCH_DISABLE_SHARE_RDZV_TCP_STORE=1
fi
# The cores shared out among the processes; left unset, torch and mmengine warn and take one.
threads=$(($(nproc) / gpus))
threads=$((threads > 0 ? threads : 1))
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-$threads} MKL_NUM_THREADS=${MKL_NUM_THREADS:-$threads}

exec python -m torch.distributed.run "${meet[@]}" --nproc_per_node "$gpus" \
    "$(dirname "$0")/$script" --launcher pytorch "$@"
