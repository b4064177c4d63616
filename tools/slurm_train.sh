#!/usr/bin/env bash
# Train under Slurm: slurm_train.sh PARTITION JOB_NAME CONFIG [options of train.py]
# From the environment: GPUS (all, default 4), GPUS_PER_NODE (4), CPUS_PER_TASK (5) and SRUN_ARGS.
set -euo pipefail

if [ $# -lt 3 ]; then
    echo "usage: $0 PARTITION JOB_NAME CONFIG [options of train.py]" >&2
    exit 2
fi
exec "$(dirname "$0")/srun.sh" "$1" "$2" train.py "${@:3}"
