#!/usr/bin/env bash
# Translate a test set with a checkpoint, in batches, and score it.
set -euo pipefail
# shellcheck source=scripts/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

usage() {
    cat <<END
usage: scripts/evaluate.sh --data DIR --checkpoint FILE [option ...] [-- fairseq-generate option ...]

Generate in batches with fairseq-generate and score against the raw references of DIR:
detokenized, cased sacreBLEU and chrF with their signatures, and NLL per target token.
Written to the output folder: hyp.LANG, hyp.tok.LANG, scores.json, and the logs.

  --data DIR         corpus that a data-prep/ script prepared
  --checkpoint FILE  any translation checkpoint of fairseq for that corpus
  --output DIR       default: SUBSET-scores beside the checkpoint
  --subset NAME      test (default), test1, valid, ...
  --beam N           default: 5
  --lenpen X         length penalty (default: 1)
  --max-tokens N     source tokens in a batch (default: 4000)
                     Hypotheses are cut at 1.2 times the source's length + 10 tokens.
  -- ...             passed to fairseq-generate as it is, after the above
END
}

data='' checkpoint='' output='' subset=test beam=5 lenpen=1 max_tokens=4000 extra=()
while (($#)); do
    case $1 in
        -h | --help) usage; exit 0 ;;
        --) shift; extra=("$@"); break ;;
        --data) need_value "$@"; data=$2 ;;
        --checkpoint) need_value "$@"; checkpoint=$2 ;;
        --output) need_value "$@"; output=$2 ;;
        --subset) need_value "$@"; subset=$2 ;;
        --beam) need_value "$@"; beam=$2 ;;
        --lenpen) need_value "$@"; lenpen=$2 ;;
        --max-tokens) need_value "$@"; max_tokens=$2 ;;
        *) usage >&2; die "unknown option $1" ;;
    esac
    shift 2
done
[[ -n $data && -n $checkpoint ]] || { usage >&2; die "expected --data and --checkpoint"; }
[[ -e $data/bin && -e $data/manifest.json ]] ||
    die "expected a prepared corpus in $data (bin/, manifest.json), found none: run a data-prep/ script"
[[ -e $checkpoint ]] || die "expected a checkpoint at $checkpoint, found none: train one with scripts/train.sh"
find_python
output=${output:-$(dirname "$checkpoint")/$subset-scores}
mkdir -p "$output"

# By default fairseq drops the last sentences if they do not fill a multiple of 8.
common=("$data/bin" --user-dir "$repo/fairseq_labo" --task translation --path "$checkpoint"
    --required-batch-size-multiple 1)
start=$(date +%s)
run_logged "$output/generate.log" "$python" -m fairseq_cli.generate "${common[@]}" \
    --gen-subset "$subset" --results-path "$output" --beam "$beam" --lenpen "$lenpen" \
    --max-len-a 1.2 --max-len-b 10 --max-tokens "$max_tokens" --post-process subword_nmt --log-format simple --log-interval 5 \
    ${extra[@]+"${extra[@]}"}
seconds=$(($(date +%s) - start))
run_logged "$output/validate.log" "$python" -m fairseq_cli.validate "${common[@]}" \
    --valid-subset "$subset" --max-tokens "$max_tokens" --log-format json
"$python" "$repo/scripts/score.py" --generated "$output/generate-$subset.txt" --data "$data" \
    --subset "$subset" --checkpoint "$checkpoint" --output "$output" \
    --validation-log "$output/validate.log" --beam "$beam" --lenpen "$lenpen" --seconds "$seconds"
