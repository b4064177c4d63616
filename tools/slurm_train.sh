#!/usr/bin/env bash
# usage: slurm_train.sh PARTITION JOB_NAME CONFIG [options of train.py]
#
# Trains under Slurm. From the environment: GPUS (all, default 4), GPUS_PER_NODE (4), CPUS_PER_TASK
# (5) and SRUN_ARGS.
#
# Two minutes before the time is up, Slurm sends SIGUSR1 (SRUN_ARGS=--signal=... changes that).
# Training then saves and ends with the status 138, and this script goes on where it was: in a new
# allocation, or inside a batch job by requeueing it. There, sbatch sends the signal:
#   sbatch --signal=USR1@120 --requeue --open-mode=append [...] --wrap 'tools/slurm_train.sh ...'
set -euo pipefail
source "$(dirname "$0")/usage.sh"
check_usage 3 any "$@"

status=0
SRUN_ARGS="--signal=USR1@120 ${SRUN_ARGS:-}" "$(dirname "$0")/srun.sh" "$1" "$2" train.py "${@:3}" || status=$?
if [ "$status" != 138 ]; then
    exit "$status"
fi
if [ -n "${SLURM_JOB_ID:-}" ]; then
    exec scontrol requeue "$SLURM_JOB_ID"  # train.py sees that it was, and resumes
fi
exec "$0" "$@" --resume
