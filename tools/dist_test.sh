#!/usr/bin/env bash
# usage: dist_test.sh CONFIG CHECKPOINT GPUS [options of test.py]
#
# Evaluates with several processes. As dist_train.sh, also on several nodes.
set -euo pipefail
source "$(dirname "$0")/usage.sh"
check_usage 3 any "$@"

config=$1 checkpoint=$2 gpus=$3
shift 3
exec "$(dirname "$0")/torchrun.sh" "$gpus" test.py "$config" "$checkpoint" "$@"
