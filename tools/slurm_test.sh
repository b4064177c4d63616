#!/usr/bin/env bash
# usage: slurm_test.sh PARTITION JOB_NAME CONFIG CHECKPOINT [options of test.py]
#
# Evaluates under Slurm. The environment is that of slurm_train.sh.
set -euo pipefail
source "$(dirname "$0")/usage.sh"
check_usage 4 any "$@"

exec "$(dirname "$0")/srun.sh" "$1" "$2" test.py "${@:3}"
