#!/usr/bin/env bash
# Set up if needed, then run the tests, on all cores.
set -euo pipefail
# shellcheck source=scripts/common.sh
source "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/common.sh"

case ${1:-} in
    -h | --help)
        echo "usage: scripts/test.sh [--fast] [pytest option ...]     e.g. scripts/test.sh tests/ops -x"
        echo "  --fast   only the tests that do not train a model (1 to 3 minutes on 2 cores, for editing)"
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
# The tests make and remove a quarter of a million files: in memory, where that has room for them
# and programs may be run from it, they wait for no disk.
memory=/dev/shm
free=$(df --output=avail -k "$memory" 2>/dev/null | tail -n 1)
ours=
if [[ -z ${TMPDIR:-} && -w $memory ]] && ((${free:-0} >= 4 * 1024 * 1024)) &&
    ! grep -q " $memory .*noexec" /proc/mounts; then
    ours=$(mktemp -d -p "$memory" labo-tests.XXXXXX)
    export TMPDIR=$ours
fi
cores=$("$python" -c 'from fairseq_labo.experiments.provenance import available_cores as n; print(n())')
status=0
run "$python" -m pytest -n "$cores" --dist loadfile --no-loadscope-reorder \
    ${selection[@]+"${selection[@]}"} "$@" || status=$?
if [[ $ours && $status == 0 ]]; then
    rm -rf "$ours"
elif [[ $ours ]]; then
    echo "what the failed tests left is in $ours, in memory: remove it afterwards" >&2
fi
exit $status
