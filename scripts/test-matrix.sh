#!/usr/bin/env bash
# Install, test, train and evaluate under every Python and torch that setup.py claims.
set -euo pipefail
# shellcheck source=scripts/common.sh
source "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/common.sh"

usage() {
    cat <<END
usage: scripts/test-matrix.sh [ROW ...]     e.g. scripts/test-matrix.sh 3.12:2.6.0 3.13:newest

Each row is PYTHON:TORCH (3.11, 3.12, 3.13; a version of torch, or newest), or 3.11:lowest, where
every requirement has its lowest version that setup.py allows. Default: 3.11:lowest (torch 2.6.0),
2.6.0 for the others, newest for each Python, and 3.12:2.11.0, which GPU machines have. A row makes an environment, runs the fast tests, 20 updates of training and
an evaluation, and is removed again (5 GB each while it lasts, 5-15 minutes). Its log and outcome
go to results/compatibility/, of which python -m scripts.tables makes the table of
docs/compatibility.md.

environment: WORK  folder for the environments (default: a new one in \$TMPDIR)
Python is taken from the PATH or from pyenv; 3.11:lowest needs uv on the PATH.
END
}

case ${1:-} in -h | --help) usage; exit 0 ;; esac
unset PYTHONPATH PYTHONHOME PIP_TARGET PIP_PREFIX
export PIP_USER=0 OMP_NUM_THREADS=1
results=$repo/results/compatibility
work=${WORK:-$(mktemp -d)}
rm -rf "$work/outcomes"
mkdir -p "$results" "$work/outcomes"
work=$(cd "$work" && pwd)
from_here=$(realpath --relative-to="$repo" "$work")
from_here=${from_here//./\\.}

python_of() { # 3.12
    local candidate
    for candidate in "${PYENV_ROOT:-$HOME/.pyenv}"/versions/"$1".*/bin/python3 "python$1"; do
        if "$candidate" -c 'import sys' 2>/dev/null; then echo "$candidate"; return; fi
    done
    die "expected Python $1 on the PATH or in pyenv, found none"
}

install() { # PYTHON TORCH, into $venv
    local lock=$repo/scripts/locks/py${1/./}.txt pip=("$venv/bin/python" -m pip -qq install) torch=torch
    "$(python_of "$1")" -m venv "$venv"
    if [[ $2 == lowest ]]; then
        # fairseq-fixed is the same in both, and pulls in what translation does not use.
        "${pip[@]}" --require-hashes --no-deps -r <(without fairseq-fixed "$lock")
        uv pip compile --quiet --resolution lowest-direct --python-version "$1" --no-emit-package \
            fairseq-fixed --no-annotate "$repo/setup.py" --extra eval >"$work/lowest.txt"
        "${pip[@]}" -r "$work/lowest.txt"
    else
        "${pip[@]}" --require-hashes --no-deps -r <(without fairseq-fixed "$lock")
        if [[ $2 != newest ]]; then torch=torch==$2; fi
        "${pip[@]}" "$torch"
    fi
    "$venv/bin/python" -c 'import triton' 2>/dev/null ||
        "${pip[@]}" --require-hashes --no-deps -r "$repo/scripts/locks/py${1/./}-cpu.txt"
    "${pip[@]}" --no-build-isolation --no-deps "fairseq-fixed==0.12.3.1" "$repo"
}

without() { # DISTRIBUTION LOCK: the lock without that one
    awk -v name="$1==" 'index($0, name) == 1 {skip = 1} !skip {print} skip && !/\\$/ {skip = 0}' "$2"
}

check() { # in $venv: fast tests, training, evaluation
    local labo="$venv/bin/labo" runs=$work/runs
    cd "$repo"
    "$venv/bin/python" -m pytest -q -m "not slow" -n 2 -p no:cacheprovider
    cd "$work" # the installed package, not the repository
    rm -rf "$runs"
    "$labo" prepare microworld --destdir "$runs/data"
    "$labo" train --data "$runs/data" --save-dir "$runs/labo" --gpus 0 -- --max-update 20
    "$labo" evaluate --data "$runs/data" --checkpoint "$runs/labo/checkpoint_best.pt" --cpu \
        --beam 1 --allow-empty
}

versions() {
    "$venv/bin/python" - <<'END'
import platform
from importlib.metadata import version
print(platform.python_version(), *(version(name) for name in ("torch", "numpy", "fairseq-fixed")), sep="\t")
END
}

rows=("$@")
if ((${#rows[@]} == 0)); then
    rows=(3.11:lowest 3.11:newest 3.12:2.6.0 3.12:2.11.0 3.12:newest 3.13:2.6.0 3.13:newest)
fi
failed=0
# The commit, and the outcomes at the end: else the next row's would be "dirty", and its tests find
# that the table of the documents is another.
trap 'find "$work/outcomes" -name "*.tsv" -exec mv -t "$results" {} +' EXIT
commit=$(git -C "$repo" describe --always --dirty 2>/dev/null || echo "commit not known")
for row in "${rows[@]}"; do
    version=${row%%:*} torch=${row#*:}
    venv=$work/venv-$version-$torch
    log=$results/py$version-torch-$torch.log
    echo "$row: $log" >&2
    started=$SECONDS outcome=failed
    rm -rf "$venv"
    # Not in a condition (&&, ||, if): bash would ignore errors inside.
    set +e
    echo "$commit" >"$log"
    (set -e; install "$version" "$torch"; check) >>"$log" 2>&1
    status=$?
    set -e
    # The log is published: no paths of this machine, nor from here to there.
    sed -i -E -e "s#(^|[^[:alnum:]_/.])$from_here/venv-#\\1WORK/venv-#g" "$log"
    sed -i -e "s#${TMPDIR:-/tmp}/pytest-of-[^/]*#PYTEST#g; s#$work#WORK#g; s#$repo/*#REPOSITORY/#g" \
        -e "s#${repo%/*}/shared#../shared#g; s#$HOME#HOME#g" "$log"
    if ((status == 0)); then outcome=passed; else failed=1; fi
    tests=$(grep -oE '([0-9]+ failed, )?[0-9]+ passed[^=]*' "$log" | tail -n 1 | sed 's/ in .*//' || true)
    printf '%s\t%s\t%s\t%s\t%s\t%s\n' "$(date +%F)" "$row" "$(versions 2>/dev/null || printf '%s\t-\t-\t-' "$version")" \
        "$outcome" "${tests:--}" "$((SECONDS - started)) s" >"$work/outcomes/py$version-torch-$torch.tsv"
    rm -rf "$venv"
done
exit "$failed"
