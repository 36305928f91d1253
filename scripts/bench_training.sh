#!/usr/bin/env bash
# Speed and memory of whole training, our criterions beside fairseq's label smoothing.
set -euo pipefail
# shellcheck source=scripts/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

usage() {
    cat <<END
usage: scripts/bench_training.sh --data DIR [option ...]

Train the same model on the same data with label_smoothed_cross_entropy, labo_cross_entropy
(beta 2) and tsla_cross_entropy (stage 1), for a few updates, in turns of alternating order.
Prints words per second and peak memory of each, their medians, and ours over fairseq's.
Leave the machine alone meanwhile. A GPU is used when there is one.

  --data DIR     prepared corpus (holds bin/ and manifest.json)
  --updates N    updates of each training (default: 150; the first tenth is not timed)
  --max-tokens N of a batch (default: 2000)
  --repeats N    trainings of each criterion (default: 3)
  --size NAME    model of scripts/train.sh: small (default: 2+2 layers of 128) or iwslt
  --seed N       default: 1
  --output FILE  JSON file of the results (default: bench_training.json)
END
}

data='' arguments=()
while (($#)); do
    case $1 in
        -h | --help) usage; exit 0 ;;
        --data) need_value "$@"; data=$2; arguments+=("$1" "$2") ;;
        --updates | --repeats | --max-tokens | --size | --seed | --output)
            need_value "$@"
            arguments+=("$1" "$2")
            ;;
        *) usage >&2; die "unknown option $1" ;;
    esac
    shift 2
done
[[ -n $data ]] || { usage >&2; die "expected --data"; }
[[ -e $data/bin && -e $data/manifest.json ]] ||
    die "expected a prepared corpus in $data (bin/, manifest.json), found none: run a data-prep/ script"
find_python
run "$python" -m fairseq_labo.experiments.training.benchmark "${arguments[@]}"
