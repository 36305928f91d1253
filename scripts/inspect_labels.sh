#!/usr/bin/env bash
# Show what label smoothing and LABO would teach at each target token of some sentences.
set -euo pipefail
# shellcheck source=scripts/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

usage() {
    cat <<END
usage: scripts/inspect_labels.sh --data DIR --checkpoint FILE [option ...]

For each target token of some sentence pairs, with the reference given up to there: the smoothing
distribution of label smoothing (uniform), and that of LABO, P* = softmax(z / beta) of the
checkpoint's logits z, as a table of its likeliest types, and as a figure.

  --data DIR           corpus that a data-prep/ script prepared
  --checkpoint FILE    any translation checkpoint of fairseq for that corpus
  --sentences N,N,...  sentences of the subset, counted from 0 (default: 0)
  --subset NAME        default: test
  --source TEXT --target TEXT
                       a sentence pair of your own instead; may be repeated
  --beta B [B ...]     LABO's temperature; several are shown side by side (default: 2)
  --label-smoothing A  weight of the smoothing, for the captions (default: 0.1)
  --top K              types shown (default: 5)
  --figure FILE        write FILE.png and FILE.svg (numbered if there are several sentences)
  --cpu                do not use the GPU
END
}

for argument in "$@"; do
    case $argument in -h | --help) usage; exit 0 ;; esac
done
find_python
exec "$python" "$repo/scripts/evaluation.py" inspect_labels "$@"
