#!/usr/bin/env bash
# From nothing to a table of BLEU: four criterions, one corpus.
set -euo pipefail
# shellcheck source=scripts/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

usage() {
    cat <<END
usage: scripts/demo.sh [option ...]

Set up if needed, prepare a corpus, train a small transformer with each criterion, translate the
test set, and print one table (BLEU, NLL, words/s, seconds) and some translations side by side.
Without options: the embedded German-English corpus, about 5 minutes on 2 CPU cores after setup.
A model that is already trained and scored with the same settings is not trained again.

  --corpus NAME      microworld (default, generated) or multi30k (real image captions)
  --source-dir DIR   multi30k: take its files from DIR instead of downloading them
  --data DIR         an already prepared corpus instead of --corpus
  --epochs N         default: 2 for microworld, 10 for others
  --criterions LIST  default: "cross_entropy label_smoothed_cross_entropy tsla_cross_entropy
                     labo_cross_entropy"
  --seed N           default: 1
  --jobs N           models trained at a time (default: one for each CPU core, or 1 with a GPU),
                     each with its share of the cores
  --no-setup         use the Python at hand (a container, a cluster's module)
  --output DIR       trained models and table (default: runs/demo-CORPUS-EPOCHS-SEED)
END
}

setup=yes corpus=microworld source_dir='' data='' epochs='' seed=1 jobs='' output=''
criterions='cross_entropy label_smoothed_cross_entropy tsla_cross_entropy labo_cross_entropy'
while (($#)); do
    case $1 in
        -h | --help) usage; exit 0 ;;
        --no-setup) setup=no; shift; continue ;;
        --corpus) need_value "$@"; corpus=$2 ;;
        --source-dir) need_value "$@"; source_dir=$2 ;;
        --data) need_value "$@"; data=$2; corpus=$(basename "$2") ;;
        --epochs) need_value "$@"; epochs=$2 ;;
        --criterions) need_value "$@"; criterions=$2 ;;
        --seed) need_value "$@"; seed=$2 ;;
        --jobs) need_value "$@"; jobs=$2 ;;
        --output) need_value "$@"; output=$2 ;;
        *) usage >&2; die "unknown option $1" ;;
    esac
    shift 2
done
[[ -z $source_dir || $corpus == multi30k ]] || die "--source-dir goes with --corpus multi30k, found $corpus"
# The generated corpus is learned in 2 epochs; real text needs more, and then more dropout.
if [[ $corpus == microworld ]]; then default_epochs=2 dropout=0.1; else default_epochs=10 dropout=0.2; fi
epochs=${epochs:-$default_epochs}
output=${output:-$repo/runs/demo-$corpus-$epochs-$seed}

step() {
    printf '\n== %s (%d s)\n' "$1" "$SECONDS" >&2
}

if [[ $setup == yes ]]; then
    step "setup"
    "$repo/scripts/setup.sh"
fi
find_python

if [[ -z $data ]]; then
    step "corpus: $corpus"
    data=$repo/data/$corpus
    case $corpus in
        microworld) "$repo/data-prep/prepare-microworld.sh" --destdir "$data" ;;
        multi30k)
            "$repo/data-prep/prepare-multi30k.sh" --destdir "$data" \
                ${source_dir:+--source-dir "$source_dir"}
            ;;
        *) die "unknown corpus $corpus: expected microworld or multi30k" ;;
    esac
fi

cores=$(nproc 2>/dev/null || echo 1)
if [[ -z $jobs ]]; then
    if nvidia-smi -L >/dev/null 2>&1; then jobs=1; else jobs=$cores; fi
fi
folders=() waiting=()
for criterion in $criterions; do
    folder=$output/$criterion
    folders+=("$folder")
    if [[ -e $folder/test-scores/scores.json ]]; then
        step "$criterion: trained and scored before; to do it again, remove $folder"
    else
        # A training that was cut off starts afresh, or its time and speed would be of a part.
        if [[ -e $folder ]]; then
            [[ -e $folder/train.log ]] || die "expected a folder of the demo's own, found something else: $folder"
            rm -rf "$folder"
        fi
        waiting+=("$criterion")
    fi
done
((jobs <= ${#waiting[@]} || ${#waiting[@]} == 0)) || jobs=${#waiting[@]}
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-$((cores / jobs > 0 ? cores / jobs : 1))}

one_model() {
    local folder=$output/$1
    "$repo/scripts/train.sh" --data "$data" --save-dir "$folder" --criterion "$1" \
        --epochs "$epochs" --seed "$seed" -- --dropout "$dropout" &&
        "$repo/scripts/evaluate.sh" --data "$data" --checkpoint "$folder/checkpoint_best.pt"
}

if ((${#waiting[@]})); then
    step "training for $epochs epochs, translating and scoring: $jobs at a time, $OMP_NUM_THREADS threads each"
fi
trap 'kill $(jobs -p) 2>/dev/null || true' EXIT
pids=()
for criterion in ${waiting[@]+"${waiting[@]}"}; do
    while (($(jobs -rp | wc -l) >= jobs)); do wait -n || die "a model failed; see above"; done
    one_model "$criterion" 2>&1 | sed -u "s/^/[${criterion/cross_entropy/ce}] /" &
    pids+=($!)
done
for pid in ${pids[@]+"${pids[@]}"}; do
    wait "$pid" || die "a model failed; see above"
done

step "result"
"$python" "$repo/scripts/summarize.py" --data "$data" --output "$output/table.md" "${folders[@]}"
printf '\n%d seconds in all; models, hypotheses and table: %s\n' "$SECONDS" "$output" >&2
