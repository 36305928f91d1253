# shellcheck shell=bash
# Sourced by the scripts: where the repository and its Python are, and the command `labo` of both.

unset CDPATH # with it, cd prints where it goes
repo=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
if [[ $repo == *:* ]]; then # where PYTHONPATH, and fairseq, would be parted
    echo "error: expected a clone in a path without a colon, found $repo: rename the folder" >&2
    exit 1
fi
venv=${VENV:-$repo/.venv}
[[ $venv == /* ]] || venv=$PWD/$venv

die() {
    printf 'error: %s\n' "$*" >&2
    exit 1
}

# Print a command, then run it.
run() {
    printf '+' >&2
    printf ' %q' "$@" >&2
    printf '\n' >&2
    "$@"
}

# The Python of the virtual environment; outside one (a container, a cluster's module) python3.
find_python() {
    if [[ -x $venv/bin/python ]]; then
        python=$venv/bin/python
        unset PYTHONPATH PYTHONHOME # other versions of its packages, if a shell sets them
    elif [[ -n ${VENV:-} ]]; then
        die "expected a virtual environment in $VENV (\$VENV), found none: run scripts/setup.sh"
    else
        python=$(command -v python3) || die "expected python3 on the PATH, found none"
        "$python" -c 'import fairseq, sacrebleu' 2>/dev/null ||
            die "expected $venv, or a python3 with fairseq and sacrebleu, found neither: run scripts/setup.sh"
    fi
}

# The command with this repository's code; data/ and runs/ are the repository's by default.
labo() {
    find_python
    export PYTHONPATH=$repo${PYTHONPATH:+:$PYTHONPATH} LABO_HOME=${LABO_HOME:-$repo}
    exec "$python" -m fairseq_labo.experiments.cli "$@"
}
