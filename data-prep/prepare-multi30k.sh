#!/usr/bin/env bash
# Prepare Multi30k (image captions, German and English) for fairseq.
set -euo pipefail

# shellcheck source=scripts/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/../scripts/common.sh"

usage() {
    cat <<END
usage: data-prep/prepare-multi30k.sh [-h] [option ...]

Prepare Multi30k (image captions, German and English) for fairseq.
It runs from any folder; text already prepared with the same settings is not prepared again.

  --destdir DIR      folder to prepare (default: data/multi30k in the repository)
  --source-dir DIR   folder with the release (default: download it)
  --source-lang L    de (default) or en
  --target-lang L    en (default) or de
  --bpe-merges N     joint BPE merges (default: 8000)
  --workers N        processes of fairseq's preprocessor (default: 1)
  --force            prepare again even if nothing changed

Python is \$VENV/bin/python if VENV is set, else .venv/bin/python of the repository, else python3.
END
}

arguments=(--destdir "$repo/data/multi30k")
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
run "$python" -m labo_data.multi30k ${arguments[@]+"${arguments[@]}"} "$@"
