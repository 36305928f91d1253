#!/usr/bin/env bash
# Run a study (methods x seeds on one corpus) and write its report.
set -euo pipefail
# shellcheck source=scripts/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

usage() {
    cat <<END
usage: scripts/compare.sh STUDY.yaml --output DIR [option ...]

Train and evaluate what is missing of a study, then write its report: Markdown, HTML in a single
file, all numbers as JSON, figures as PNG and SVG. Where the corpus is not there yet, it is prepared
first, if the study says how. Stopped or killed at any point it goes on where it was when started
again. The form of a study file is described in fairseq_labo/evaluation/study.py; studies/ and
recipes/ hold some.

  STUDY.yaml       corpus, methods, seeds, test sets, training flags, grids
  --output DIR     runs/ (one folder a run: config, logs, environment, checkpoints, scores) and
                   report/ (report.md, report.html, results.json, figures/)
  --data DIR       the prepared corpus, instead of the folder that the study names
  --source-dir DIR, --archive FILE
                   for the preparation: the release's files (else they are downloaded)
  --jobs N         runs at a time (default: 1), each with its share of the CPU's cores
                   (\$OMP_NUM_THREADS, if set, is each run's number of threads)
  --only PATTERN   only runs of such names (labo/*, */seed-1); may be repeated. Their scores are
                   printed; the report comes when all runs are done
  --note TEXT      a sentence for the report, e.g. what else ran on the machine
  --report-only    run nothing; write the report of a study that is done
END
}

for argument in "$@"; do
    case $argument in -h | --help) usage; exit 0 ;; esac
done
find_python
exec "$python" "$repo/scripts/evaluation.py" compare "$@"
