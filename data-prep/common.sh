# shellcheck shell=bash
# Sourced by the prepare scripts: usage, default folder, and the command that they all run.

# shellcheck source=scripts/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/../scripts/common.sh"

# usage CORPUS WHAT PAIRS: the help of prepare-CORPUS.sh; its own options come from own_options.
usage() {
    cat <<END
usage: data-prep/prepare-$1.sh [-h] [option ...]

Prepare $2, for fairseq.
It runs from any folder. Started again it goes on where it stopped; what is done is not done again.

  --pair PAIR        $3 (default: the first)
END
    if declare -F own_options >/dev/null; then own_options; fi
    cat <<END
  --destdir DIR      folder to prepare (default: data/$1 in the repository)
  --archive FILE     a file of the release that you have, under its own name; may be repeated
  --source-dir DIR   folder with the release's files, or with what they unpack to
                     (without --archive and --source-dir the release is downloaded)
  --workers N        processes (default: 1)
  --bpe KIND         subword-nmt or sentencepiece (default: the recipe's)
  --bpe-size N       merges of subword-nmt, or pieces of SentencePiece (default: the recipe's);
                     --bpe-merges N is the same
  --joined-dictionary, --no-joined-dictionary
                     one dictionary for both sides, or two (default: the recipe's)
  --keep-case        do not lowercase where the recipe does
  --accept-counts    go on where counts of lines differ from the published ones
  --force            prepare again even if nothing changed
  --dry-run          say what would be done, and do nothing

Python is \$VENV/bin/python if VENV is set, else .venv/bin/python of the repository, else python3.
END
}

# prepare CORPUS WHAT PAIRS ARGUMENT ...
prepare() {
    local corpus=$1 what=$2 pairs=$3 argument destination
    shift 3
    destination=(--destdir "$repo/data/$corpus")
    for argument in "$@"; do
        case $argument in
            -h | --help)
                usage "$corpus" "$what" "$pairs"
                exit 0
                ;;
            --destdir | --destdir=*) destination=() ;;
        esac
    done
    find_python
    run "$python" -m fairseq_labo.experiments.data.prepare "$corpus" ${destination[@]+"${destination[@]}"} "$@"
}
