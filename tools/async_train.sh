#!/usr/bin/env bash
# usage: async_train.sh CONFIG REPLICAS [options of train.py]
#        async_train.sh --join HOST:PORT CONFIG REPLICAS [options of train.py]
#
# Trains with asynchronous replicas, one process each, on the GPUs in turn: docs/async.md. The first
# form also starts the holder of the weights, which replicas of other machines join by the second; its
# port is PORT of the environment, else a free one, which the log names. With NNODES, NODE_RANK and
# MASTER_ADDR as for dist_train.sh, the first form on each node comes to the same.
set -euo pipefail
source "$(dirname "$0")/usage.sh"
holder=
if [ "${1:-}" = --join ] && [ $# -ge 2 ]; then
    holder=$2
    shift 2
elif [ "${NODE_RANK:-0}" != 0 ]; then
    holder=${MASTER_ADDR:-127.0.0.1}:${PORT:-29500}
elif [ "${NNODES:-1}" != 1 ]; then
    export PORT=${PORT:-29500}
fi
check_usage 2 any "$@"

config=$1 replicas=$2
shift 2
check_number REPLICAS "$replicas"
export ASYNC_REPLICAS=$replicas
train="$(dirname "$0")/train.py"
if [ -z "$holder" ]; then
    exec python "$train" "$config" "$@"
fi
threads=$(($(nproc) / replicas))
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-$((threads > 0 ? threads : 1))}
status=0 started=()
for ((i = 0; i < replicas; i++)); do
    ASYNC_HOLDER=$holder ASYNC_INDEX=$i python "$train" "$config" "$@" &
    started+=($!)
done
trap 'kill "${started[@]}" 2>/dev/null || true' TERM INT
for process in "${started[@]}"; do
    wait "$process" || status=$?
done
exit "$status"
