#!/usr/bin/env bash
# Train one model on a prepared corpus.
set -euo pipefail
# shellcheck source=scripts/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

usage() {
    cat <<END
usage: scripts/train.sh --data DIR --save-dir DIR [option ...] [-- fairseq-train option ...]

Train one translation model with fairseq-train, from DIR that a data-prep/ script prepared.
Progress is printed, the whole log goes to SAVE_DIR/train.log (JSON lines). Started again, it
resumes from SAVE_DIR/checkpoint_last.pt, or says that the run is finished. All GPUs of the machine
are used, under SLURM those of all tasks that srun started.

  --data DIR             prepared corpus (holds bin/ and manifest.json)
  --save-dir DIR         checkpoints and log
  --criterion NAME       cross_entropy, label_smoothed_cross_entropy, tsla_cross_entropy or
                         labo_cross_entropy (default)
  --label-smoothing A    weight of the smoothing (default: 0.1; cross_entropy has none)
  --labo-beta B          LABO's temperature (default: 4; inf is label smoothing)
  --smoothing-epochs N   length of stage 1 (tsla_cross_entropy: default half the epochs)
  --smoothing-updates N  the same in updates
  --epochs N             default: 10
  --seed N               default: 1
  --size NAME            small (default): 2+2 layers of 128, for a CPU;
                         iwslt: transformer_iwslt_de_en, wmt: transformer_wmt_en_de (base), with
                         the published settings
  --best-by METRIC       the best checkpoint is that of the lowest NLL on the validation set
                         (nll, default), or of the highest BLEU of its translations (bleu)
  --batch-tokens N       tokens of a batch of all workers together: --max-tokens and --update-freq
                         follow from it and their number (default: --max-tokens for each; with
                         --size wmt 32768, the published batch, unless --update-freq is given)
  --gpus N               GPUs of this machine to use (default: all; 0: the CPU)
  --workers N            data-parallel workers on the CPU (default: 1)
  --nodes N              machines; train.sh is started on each (not needed under srun)
  --node-rank R          number of this machine, from 0
  --master HOST[:PORT]   address of machine 0 (default port: 29500)
  --dry-run              print what would be run, and run nothing
  -- ...                 passed to fairseq-train as it is, after the above
END
}

data='' save_dir='' criterion=labo_cross_entropy label_smoothing=0.1 labo_beta=4
smoothing_epochs='' smoothing_updates='' epochs=10 seed=1 size=small best_by=nll batch_tokens=''
extra=()
launch=()
while (($#)); do
    case $1 in
        -h | --help) usage; exit 0 ;;
        --) shift; extra=("$@"); break ;;
        --dry-run) launch+=("$1"); shift; continue ;;
        --gpus | --workers | --nodes | --node-rank | --master)
            need_value "$@"
            launch+=("$1" "$2")
            ;;
        --data) need_value "$@"; data=$2 ;;
        --save-dir) need_value "$@"; save_dir=$2 ;;
        --criterion) need_value "$@"; criterion=$2 ;;
        --label-smoothing) need_value "$@"; label_smoothing=$2 ;;
        --labo-beta) need_value "$@"; labo_beta=$2 ;;
        --smoothing-epochs) need_value "$@"; smoothing_epochs=$2 ;;
        --smoothing-updates) need_value "$@"; smoothing_updates=$2 ;;
        --epochs) need_value "$@"; epochs=$2 ;;
        --seed) need_value "$@"; seed=$2 ;;
        --size) need_value "$@"; size=$2 ;;
        --best-by) need_value "$@"; best_by=$2 ;;
        --batch-tokens) need_value "$@"; batch_tokens=$2 ;;
        *) usage >&2; die "unknown option $1" ;;
    esac
    shift 2
done
[[ -n $data && -n $save_dir ]] || { usage >&2; die "expected --data and --save-dir"; }
[[ -e $data/bin && -e $data/manifest.json ]] ||
    die "expected a prepared corpus in $data (bin/, manifest.json), found none: run a data-prep/ script"
find_python

languages=$("$python" -c '
import json, sys
manifest = json.load(open(sys.argv[1]))
joined = manifest.get("joined_dictionary", True)
print(manifest["source_lang"], manifest["target_lang"], "joined" if joined else "separate",
      manifest.get("subwords", "subword-nmt"))' "$data/manifest.json")
read -r source_lang target_lang dictionaries subwords <<<"$languages"
# One embedding for everything needs one dictionary.
case $dictionaries in
    joined) share=--share-all-embeddings ;;
    *) share=--share-decoder-input-output-embed ;;
esac

# Which flags the criterion takes, and under which name it reports plain NLL in validation:
# the best checkpoint is chosen by NLL for every criterion.
smoothing=()
if [[ -n $smoothing_epochs ]]; then smoothing+=(--smoothing-epochs "$smoothing_epochs"); fi
if [[ -n $smoothing_updates ]]; then smoothing+=(--smoothing-updates "$smoothing_updates"); fi
best=loss
case $criterion in
    cross_entropy) smoothing=() ;;
    label_smoothed_cross_entropy)
        smoothing=(--label-smoothing "$label_smoothing")
        best=nll_loss
        ;;
    tsla_cross_entropy)
        if ((${#smoothing[@]} == 0)); then smoothing=(--smoothing-epochs $(((epochs + 1) / 2))); fi
        smoothing+=(--label-smoothing "$label_smoothing")
        ;;
    labo_cross_entropy)
        smoothing+=(--label-smoothing "$label_smoothing" --labo-beta "$labo_beta")
        ;;
    *) die "unknown criterion $criterion; see scripts/train.sh -h" ;;
esac

case $size in
    small)
        model=(--arch transformer "$share" --dropout 0.1
            --encoder-layers 2 --encoder-embed-dim 128 --encoder-ffn-embed-dim 256
            --encoder-attention-heads 4 --decoder-layers 2 --decoder-embed-dim 128
            --decoder-ffn-embed-dim 256 --decoder-attention-heads 4
            --lr 5e-3 --warmup-updates 200 --max-tokens 1000
            --required-batch-size-multiple 1) # or fairseq drops the end of the validation set
        ;;
    iwslt)
        model=(--arch transformer_iwslt_de_en "$share" --dropout 0.3
            --weight-decay 1e-4 --lr 5e-4 --warmup-updates 4000 --max-tokens 4096)
        ;;
    wmt)
        model=(--arch transformer_wmt_en_de "$share" --dropout 0.1
            --lr 5e-4 --warmup-updates 4000 --warmup-init-lr 1e-7 --max-tokens 4096)
        if [[ " ${extra[*]-} " != *" --update-freq "* ]]; then : "${batch_tokens:=32768}"; fi
        ;;
    *) die "unknown size $size: expected small, iwslt or wmt" ;;
esac

case $best_by in
    nll) best=(--best-checkpoint-metric "$best") ;;
    bleu)
        best=(--eval-bleu --eval-bleu-args '{"beam": 5, "max_len_a": 1.2, "max_len_b": 10}'
            --eval-bleu-detok moses --eval-bleu-remove-bpe "${subwords/subword-nmt/subword_nmt}"
            --best-checkpoint-metric bleu --maximize-best-checkpoint-metric)
        ;;
    *) die "unknown metric $best_by: expected nll or bleu" ;;
esac
if [[ -n $batch_tokens ]]; then launch+=(--batch-tokens "$batch_tokens"); fi

exec "$python" -m fairseq_labo.experiments.training.launch --save-dir "$save_dir" ${launch[@]+"${launch[@]}"} \
    -- "$data/bin" --user-dir "$repo/fairseq_labo" \
    --task translation --source-lang "$source_lang" --target-lang "$target_lang" \
    --criterion "$criterion" ${smoothing[@]+"${smoothing[@]}"} "${model[@]}" \
    --optimizer adam --adam-betas '(0.9, 0.98)' --lr-scheduler inverse_sqrt \
    --max-epoch "$epochs" --seed "$seed" --save-dir "$save_dir" \
    "${best[@]}" --no-epoch-checkpoints \
    --num-workers 0 --log-format json --log-interval 50 ${extra[@]+"${extra[@]}"}
