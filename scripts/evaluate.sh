#!/usr/bin/env bash
# Translate a test set with a checkpoint, in batches, and score it.
set -euo pipefail
# shellcheck source=scripts/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

usage() {
    cat <<END
usage: scripts/evaluate.sh --data DIR --checkpoint FILE [option ...] [-- fairseq-generate option ...]

Generate in batches with fairseq-generate, score against the raw references of DIR, and measure
NLL and calibration with the reference given (teacher-forced). Printed, and written to scores.json
in the output folder: BLEU in every convention and chrF, each labelled and with its signature.
Also written: hyp.LANG, hyp.tok.LANG, ref.tok.LANG (one a line, in the test set's order), and logs.

  --data DIR         corpus that a data-prep/ script prepared
  --checkpoint FILE  any translation checkpoint of fairseq for that corpus (with --average also
                     their folder)
  --average N        the mean of the newest N numbered checkpoints beside FILE
  --output DIR       default: SUBSET-scores beside the checkpoint
  --subset NAME      test (default), test1, valid, ...
  --beam N           default: 5
  --lenpen X         length penalty (default: 1)
  --max-tokens N     source tokens in a batch (default: 4000)
                     Hypotheses are cut at 1.2 times the source's length + 10 tokens.
  --cpu              do not use the GPU
  --paper TASK       also print the scores in the conventions of the figures published for TASK
                     (iwslt14.de-en, iwslt14.en-de, iwslt14.en-fr, iwslt14.fr-en, iwslt17.fr-en,
                     wmt14.en-de, wmt14.de-en), beside those figures
  --comet FILE       also score with COMET (package unbabel-comet, a model's local .ckpt file)
  --allow-empty      score empty hypotheses as they are; otherwise they are an error
  -- ...             passed to fairseq-generate as it is, after the above
END
}

for argument in "$@"; do
    case $argument in
        -h | --help) usage; exit 0 ;;
        --) break ;;
    esac
done
find_python
exec "$python" "$repo/scripts/evaluation.py" evaluate "$@"
