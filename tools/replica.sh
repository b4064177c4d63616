#!/usr/bin/env bash
# usage: replica.sh [WORK_DIR]
#
# The paper's tables in small, on CamVid and a CPU: what docs/replica.md reports. Stopped and started
# again, it goes on where it was. WORK_DIR is work_dirs/replica by default.
#
# From the environment: SEEDS (default '0 1') and TABLES (default 'cascade50 cascade101 aspp'); several
# at once share the work if one of these differs.
set -euo pipefail
source "$(dirname "$0")/usage.sh"
check_usage 0 1 "$@"

cd "$(dirname "$0")/.."
WORK_DIR=${1:-work_dirs/replica}
SEEDS=${SEEDS:-0 1}
TABLES=${TABLES:-cascade50 cascade101 aspp}
for tables in $TABLES; do
    case $tables in
        cascade50 | cascade101 | aspp) ;;
        *) echo "TABLES: $tables is none of cascade50, cascade101, aspp" >&2; exit 2 ;;
    esac
done
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1}

SMALL=(
    model.backbone.base_channels=8
    train_dataloader.batch_size=4
    train_dataloader.num_workers=0
    train_dataloader.persistent_workers=False
    optim_wrapper.optimizer.lr=0.03
)

# What ImageNet is to the paper: a backbone that has seen something. From scratch, at
# output_stride 32, up to block4.
pretrain() {
    local depth=$1 folder=$WORK_DIR/start_r$1
    [ -f "$folder/iter_2000.pth" ] && return
    mkdir -p "$folder"
    python tools/paper.py config "table2/r$depth-block4" -o "$folder/config.py" --dataset camvid \
        --iters 2000 --cfg-options model.output_stride=32 train_cfg.val_interval=1000 "${SMALL[@]}"
    python tools/train.py "$folder/config.py" --work-dir "$folder" --resume
}

# rows DEPTH OPTION ROW...: OPTION is one more setting
rows() {
    local depth=$1 option=$2
    shift 2
    pretrain "$depth"
    python tools/paper.py run "$@" --dataset camvid --iters 300 --seed $SEEDS --work-dir "$WORK_DIR" \
        --cfg-options "${SMALL[@]}" $option \
        test_dataloader.num_workers=0 test_dataloader.persistent_workers=False \
        model.backbone.init_cfg.type=Pretrained model.backbone.init_cfg.prefix=backbone. \
        "model.backbone.init_cfg.checkpoint=$WORK_DIR/start_r$depth/iter_2000.pth"
}

CROP="train_dataloader.dataset.pipeline.3.crop_size=(257,257) model.data_preprocessor.size=(257,257)"
for tables in $TABLES; do
    case $tables in
        cascade50) rows 50 "$CROP" table1 'table2/r50-*' ;;
        cascade101)
            rows 101 "$CROP" 'table2/r101-*' 'table3/mg111-*' \
                table3/mg121-block4 table3/mg121-block7 table3/mg124-block4 table3/mg124-block7
            ;;
        aspp) rows 101 model.decode_head.channels=64 table5 table8 table10 ;;
    esac
done
python tools/paper.py compare "$WORK_DIR"
