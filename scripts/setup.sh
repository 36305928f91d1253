#!/usr/bin/env bash
# Make the virtual environment that everything runs in.
set -euo pipefail
# shellcheck source=scripts/common.sh
source "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/common.sh"

usage() {
    cat <<END
usage: scripts/setup.sh [-h]

Make a virtual environment in .venv (or \$VENV) with fairseq, fairseq_labo and the tools of its
tests: the versions of scripts/locks/, checked by their hashes (but torch's CPU build). Running it
again takes seconds; two at once wait for each other, and one that was killed is made anew.

environment:
  VENV     folder of the virtual environment (default: .venv in the repository)
  PYTHON   Python 3.11, 3.12 or 3.13 to make it with (default: 3.12 if there is one, for it takes
           fairseq as a wheel; else python3, 3.11 or 3.13, which build it: a C++ compiler, 4 minutes)
  MIN_FREE_MIB  refuse to start with less free disk space (default: by what is to be installed)

Without an NVIDIA GPU the CPU build of torch is taken, if its index can be reached.
END
}

case ${1:-} in
    '') ;;
    -h | --help) usage; exit 0 ;;
    *) usage >&2; die "unknown argument $1" ;;
esac

# What a shell may hold would send packages elsewhere, or hide one that is missing.
unset PYTHONPATH PYTHONHOME PIP_TARGET PIP_PREFIX PIP_ROOT PIP_NO_DEPS PIP_REQUIREMENT PIP_DRY_RUN
export PIP_USER=0 PIP_REQUIRE_VIRTUALENV=0 PYTHONNOUSERSITE=1

locks=$repo/scripts/locks
cpu_mib=4000 cuda_mib=9000 # the environment, and what pip unpacks meanwhile
has_gpu() {
    nvidia-smi -L >/dev/null 2>&1
}

version_of() {
    "$1" -c 'import sys; print("%d%d" % sys.version_info[:2])' 2>/dev/null
}

find_base_python() {
    local candidate candidates=(python3.12)
    if [[ -n ${PYTHON:-} ]]; then
        candidates=("$PYTHON")
    else
        # pyenv keeps versions that are not on the PATH.
        candidates+=("${PYENV_ROOT:-$HOME/.pyenv}"/versions/3.12.*/bin/python3.12)
        candidates+=(python3 python3.11 python3.13)
    fi
    for candidate in "${candidates[@]}"; do
        version=$(version_of "$candidate") || continue
        if [[ -e $locks/py$version.txt ]]; then
            base=$candidate
            return
        fi
    done
    if [[ -n ${PYTHON:-} ]]; then
        die "expected Python 3.11, 3.12 or 3.13 at $PYTHON (\$PYTHON), found" \
            "$(command -v "$PYTHON" >/dev/null && "$PYTHON" --version 2>&1 || echo "no program there")"
    fi
    die "expected Python 3.11, 3.12 or 3.13 on the PATH, found $(python3 --version 2>&1 || echo none);" \
        "install it, or name it: PYTHON=/path/to/python3.12 scripts/setup.sh"
}

check_disk() { # MIB WHAT
    local free_mib
    [[ ${MIN_FREE_MIB:-0} =~ ^[0-9]+$ ]] || die "\$MIN_FREE_MIB: expected a number, found $MIN_FREE_MIB"
    free_mib=$(df -Pm "$(dirname "$venv")" | awk 'NR == 2 {print $4}')
    ((free_mib >= ${MIN_FREE_MIB:-$1})) ||
        die "expected at least ${MIN_FREE_MIB:-$1} MiB free for $venv ($2), found $free_mib MiB;" \
            "free some, or name another folder: VENV=/elsewhere scripts/setup.sh"
}

check_compiler() {
    local header
    if [[ $version == 312 ]]; then return; fi # fairseq comes as a wheel
    command -v "${CXX:-c++}" >/dev/null || command -v g++ >/dev/null ||
        die "expected a C++ compiler to build fairseq, found neither c++ nor g++;" \
            "install one (Debian: apt install g++), or Python 3.12, for which there is a wheel"
    header=$("$base" -c 'import sysconfig; print(sysconfig.get_path("include") + "/Python.h")')
    [[ -e $header ]] ||
        die "expected Python's headers at $header, found none; install them (Debian: apt install python3-dev)"
}

# --no-deps: the lock files are whole, and torchaudio, which fairseq-fixed asks for, is left out.
pip() {
    run "$venv/bin/python" -m pip --disable-pip-version-check --quiet install --no-deps --no-compile "$@"
}

install_torch() {
    local torch
    torch=$(grep '^torch==' "$locks/pins.txt")
    if has_gpu; then
        pip --require-hashes -r "$locks/py$version-cuda.txt"
        return
    fi
    pip --retries 1 --timeout 20 --index-url https://download.pytorch.org/whl/cpu "$torch" || {
        echo "the index of CPU builds was not reached: taking torch from pip's own sources" >&2
        check_disk "$cuda_mib" "they may hold the CUDA build only"
        pip "$torch"
        # PyPI's build for Linux does not load without NVIDIA's libraries.
        "$venv/bin/python" -c 'import torch' 2>/dev/null ||
            pip --require-hashes -r "$locks/py$version-cuda.txt"
    }
    # The kernels' tests interpret them on the CPU; a build for CUDA has its own Triton.
    "$venv/bin/python" -c 'import triton' 2>/dev/null || pip --require-hashes -r "$locks/py$version-cpu.txt"
}

install_all() {
    local first
    check_compiler
    mkdir -p "$venv"
    touch "$unfinished" # first: what is killed while it removes files is made anew, too
    find "$venv" -mindepth 1 -maxdepth 1 ! -name "${unfinished##*/}" -exec rm -rf {} +
    run "$base" -m venv "$venv" ||
        die "could not make a virtual environment in $venv (Debian: apt install python3-venv)"
    # Everything but fairseq, which is built with torch, numpy and Cython where it has no wheel.
    first=$(mktemp)
    awk '/^fairseq-fixed==/ {skip = 1} !skip {print} skip && !/\\$/ {skip = 0}' \
        "$locks/py$version.txt" >"$first"
    pip --require-hashes -r "$first"
    rm -f "$first"
    install_torch
    if [[ $version != 312 ]]; then echo "building fairseq: 3-4 minutes" >&2; fi
    pip --no-build-isolation --require-hashes -r "$locks/py$version.txt"
    pip --no-build-isolation "$repo"
    keep_byte_code
}

# Of what a training and an evaluation import: with PYTHONDONTWRITEBYTECODE, which images of Docker
# like to set, every command would compile it anew, for 7 seconds.
keep_byte_code() {
    local modules="fairseq_cli.train, fairseq_cli.generate, matplotlib.pyplot, sacrebleu, scipy.stats"
    env -u PYTHONDONTWRITEBYTECODE -u PYTHONPYCACHEPREFIX "$venv/bin/python" -W ignore -c "import $modules" \
        >/dev/null 2>"$unfinished" || die "what was installed does not load: $(cat "$unfinished")"
}

checksum() {
    "$base" - "$@" <<'END'
import hashlib, pathlib, sys
digest = hashlib.sha256(sys.version.encode())
for top in map(pathlib.Path, sys.argv[1:]):
    inside = [path for path in top.rglob("*") if path.is_file() and path.suffix != ".pyc"]
    for path in sorted(inside) if top.is_dir() else [top]:
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
print(digest.hexdigest())
END
}

find_base_python
venv=$(mkdir -p "$(dirname "$venv")" && cd "$(dirname "$venv")" && pwd)/$(basename "$venv")
if command -v flock >/dev/null; then
    exec 9>"$venv.lock"
    flock --nonblock 9 || {
        echo "another set-up is at work on $venv: waiting for it" >&2
        flock 9
    }
fi
requirements=$(checksum "$locks" "$repo/scripts/setup.sh")
sources=$(checksum "$repo/fairseq_labo" "$repo/setup.py")
stamp=$venv/fairseq_labo.setup
unfinished=$venv/fairseq_labo.unfinished
if [[ -e $venv && ! -e $stamp && ! -e $unfinished && -n $(ls -A "$venv") ]]; then
    die "expected nothing in $venv, or an environment that this script made, found something else," \
        "which would be lost; choose another folder: VENV=/elsewhere scripts/setup.sh"
fi
if [[ ! -e $stamp || -e $unfinished || $(sed -n 1p "$stamp") != "$requirements" ]]; then
    if has_gpu; then check_disk "$cuda_mib" "with a GPU"; else check_disk "$cpu_mib" "without a GPU"; fi
    install_all
elif [[ $(sed -n 2p "$stamp") != "$sources" ]]; then
    pip --no-build-isolation --force-reinstall "$repo"
fi
printf '%s\n%s\n' "$requirements" "$sources" >"$stamp"
rm -f "$unfinished"
echo "ready: $venv ($("$venv/bin/python" --version))"
