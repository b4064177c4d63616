#!/usr/bin/env bash
# usage: srun.sh PARTITION JOB_NAME SCRIPT [arguments of SCRIPT]
#
# What slurm_train.sh and slurm_test.sh share: runs train.py or test.py by srun.
set -euo pipefail
source "$(dirname "$0")/usage.sh"
check_usage 3 any "$@"

gpus=${GPUS:-4} gpus_per_node=${GPUS_PER_NODE:-4}
partition=$1 job_name=$2 script=$3
shift 3
if ! [ -f "$(dirname "$0")/$script" ]; then
    echo "SCRIPT must be train.py or test.py, but got '$script'" >&2
    exit 2
fi
# SRUN_ARGS holds several words
# shellcheck disable=SC2086
exec srun -p "$partition" \
    --job-name="$job_name" \
    --gres=gpu:"$gpus_per_node" \
    --ntasks="$gpus" \
    --ntasks-per-node="$gpus_per_node" \
    --cpus-per-task="${CPUS_PER_TASK:-5}" \
    --kill-on-bad-exit=1 \
    ${SRUN_ARGS:-} \
    python -u "$(dirname "$0")/$script" --launcher slurm "$@"
