#!/usr/bin/env bash
# Generate the microworld, a small German-English corpus, and prepare it for fairseq.
set -euo pipefail

# shellcheck source=scripts/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/../scripts/common.sh"

usage() {
    cat <<END
usage: data-prep/prepare-microworld.sh [-h] [option ...]

Generate the microworld, a small German-English corpus, and prepare it for fairseq.
It runs from any folder; text already prepared with the same settings is not prepared again.

  --destdir DIR      folder to prepare (default: data/microworld in the repository)
  --seed N           of the generator (default: 1)
  --bpe-merges N     joint BPE merges (default: 3000)
  --workers N        processes of fairseq's preprocessor (default: 1)
  --force            prepare again even if nothing changed

Python is \$VENV/bin/python if VENV is set, else .venv/bin/python of the repository, else python3.
END
}

arguments=(--destdir "$repo/data/microworld")
for argument in "$@"; do
    case $argument in
        -h | --help)
            usage
            exit 0
            ;;
        --destdir | --destdir=*) arguments=() ;;
    esac
done

find_python
run "$python" -m labo_data.prepare_microworld ${arguments[@]+"${arguments[@]}"} "$@"
