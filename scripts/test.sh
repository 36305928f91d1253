#!/usr/bin/env bash
# Set up if needed, then run the tests, on all cores.
set -euo pipefail
# shellcheck source=scripts/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

case ${1:-} in
    -h | --help)
        echo "usage: scripts/test.sh [--fast] [pytest option ...]     e.g. scripts/test.sh tests/ops -x"
        echo "  --fast   only the tests that do not train a model (3 minutes on 2 cores, for editing)"
        exit 0
        ;;
esac
selection=()
if [[ ${1:-} == --fast ]]; then selection=(-m "not slow"); shift; fi
"$repo/scripts/setup.sh"
find_python
cd "$repo"
# A thread each: tiny models only wait for each other.
export OMP_NUM_THREADS=1 PYTHONPATH=$repo
unset PYTHONDONTWRITEBYTECODE # or each of the processes that are started compiles all that it imports
cores=$("$python" -c 'from fairseq_labo.experiments.provenance import available_cores as n; print(n())')
run "$python" -m pytest -n "$cores" --dist loadfile ${selection[@]+"${selection[@]}"} "$@"
