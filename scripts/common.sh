# shellcheck shell=bash
# Sourced by the scripts: where the repository and its Python are, and how commands are shown.

repo=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
venv=${VENV:-$repo/.venv}
export PYTHONPATH=$repo:$repo/data-prep/microworld:$repo/scripts${PYTHONPATH:+:$PYTHONPATH}

die() {
    printf 'error: %s\n' "$*" >&2
    exit 1
}

show_command() {
    printf '+' >&2
    printf ' %q' "$@" >&2
    printf '\n' >&2
}

# Print a command, then run it.
run() {
    show_command "$@"
    "$@"
}

# run_logged LOG COMMAND ...: the same with its output in a log, whose end is shown if it fails.
run_logged() {
    local log=$1
    shift
    show_command "$@"
    "$@" >"$log" 2>&1 || {
        tail -n 15 "$log" >&2
        die "the command failed; its whole output: $log"
    }
}

# The Python of the virtual environment; outside one (a container, a cluster's module) python3.
find_python() {
    if [[ -x $venv/bin/python ]]; then
        python=$venv/bin/python
    elif [[ -n ${VENV:-} ]]; then
        die "expected a virtual environment in $VENV (\$VENV), found none: run scripts/setup.sh"
    else
        python=$(command -v python3) || die "expected python3 on the PATH, found none"
        "$python" -c 'import fairseq, sacrebleu' 2>/dev/null ||
            die "expected $venv, or a python3 with fairseq and sacrebleu, found neither: run scripts/setup.sh"
    fi
}

# An option's value, or an error if the option stands last.
need_value() {
    (($# >= 2)) || die "$1 expects a value, found none; see $0 -h"
}
