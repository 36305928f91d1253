#!/usr/bin/env bash
# Generate the microworld, a small German-English corpus, and prepare it for fairseq.
set -euo pipefail

repo=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

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

if [[ -n ${VENV:-} ]]; then
    python=$VENV/bin/python
elif [[ -x $repo/.venv/bin/python ]]; then
    python=$repo/.venv/bin/python
else
    python=python3
fi
if ! command -v "$python" >/dev/null; then
    echo "error: expected Python at $python, found none; set VENV to a virtual environment" >&2
    exit 1
fi

export PYTHONPATH=$repo/data-prep${PYTHONPATH:+:$PYTHONPATH}
command=("$python" -m labo_data.prepare_microworld ${arguments[@]+"${arguments[@]}"} "$@")
{
    printf '+ PYTHONPATH=%q' "$PYTHONPATH"
    printf ' %q' "${command[@]}"
    printf '\n'
} >&2
exec "${command[@]}"
