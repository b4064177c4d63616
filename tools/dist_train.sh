#!/usr/bin/env bash
# usage: dist_train.sh CONFIG GPUS [options of train.py]
#
# Trains with several processes. With GPUs they talk through NCCL, without through gloo. On several
# nodes, run it on each, with NNODES, NODE_RANK, MASTER_ADDR and PORT in the environment.
# MAX_RESTARTS=3 lets torchrun start all processes again, up to three times, when one of them dies.
# It implies --resume, at the first start too.
set -euo pipefail
source "$(dirname "$0")/usage.sh"
check_usage 2 any "$@"

config=$1 gpus=$2
shift 2
exec "$(dirname "$0")/torchrun.sh" "$gpus" train.py "$config" "$@"
