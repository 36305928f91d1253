#!/usr/bin/env bash
# Make the virtual environment that everything runs in.
set -euo pipefail
# shellcheck source=scripts/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

usage() {
    cat <<END
usage: scripts/setup.sh [-h]

Make a virtual environment in .venv (or \$VENV) with fairseq, fairseq_labo and the tools of its
tests, at the versions of scripts/constraints.txt. Running it again takes seconds.

environment:
  VENV     folder of the virtual environment (default: .venv in the repository)
  PYTHON   Python 3.11 or later to make it with (default: python3, python3.12 or python3.11)
  MIN_FREE_MIB  refuse to start with less free disk space (default: 4000, with a GPU 15000)

Python 3.12 takes fairseq as a wheel; elsewhere a C++ compiler builds it, in 3-4 minutes.
Without an NVIDIA GPU the CPU build of torch is taken.
END
}

case ${1:-} in
    '') ;;
    -h | --help) usage; exit 0 ;;
    *) usage >&2; die "unknown argument $1" ;;
esac

constraints=$repo/scripts/constraints.txt
triton=triton==3.9.0 # its interpreter works with numpy 2.4, that of 3.6 does not
has_gpu() {
    nvidia-smi -L >/dev/null 2>&1
}
if has_gpu; then min_free_mib=15000; else min_free_mib=4000; fi
min_free_mib=${MIN_FREE_MIB:-$min_free_mib}

supported() {
    "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null
}

find_base_python() {
    local candidate
    if [[ -n ${PYTHON:-} ]]; then
        supported "$PYTHON" ||
            die "expected Python 3.11 or later at $PYTHON (\$PYTHON), found $("$PYTHON" --version 2>&1 || echo none)"
        base=$PYTHON
        return
    fi
    for candidate in python3 python3.12 python3.11 python3.13; do
        if supported "$candidate"; then
            base=$candidate
            return
        fi
    done
    die "expected Python 3.11 or later on the PATH, found $(python3 --version 2>&1 || echo none);" \
        "install it, or name it: PYTHON=/path/to/python3.11 scripts/setup.sh"
}

check_disk() {
    local free_mib
    mkdir -p "$venv"
    free_mib=$(df -Pm "$venv" | awk 'NR == 2 {print $4}')
    ((free_mib >= min_free_mib)) ||
        die "expected at least $min_free_mib MiB free for $venv, found $free_mib MiB;" \
            "free some, or name another folder: VENV=/elsewhere scripts/setup.sh"
}

check_compiler() {
    local header
    if "$base" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 12))'; then
        return # fairseq comes as a wheel
    fi
    command -v "${CXX:-c++}" >/dev/null || command -v g++ >/dev/null ||
        die "expected a C++ compiler to build fairseq, found neither c++ nor g++;" \
            "install one (Debian: apt install g++), or use Python 3.12, for which there is a wheel"
    header=$("$base" -c 'import sysconfig; print(sysconfig.get_path("include") + "/Python.h")')
    [[ -e $header ]] ||
        die "expected Python's headers at $header, found none; install them (Debian: apt install python3-dev)"
}

pip() {
    run "$venv/bin/python" -m pip --disable-pip-version-check --quiet "$@"
}

# torch first and alone: from the index of CPU builds where there is no GPU, since PyPI's build
# brings several GB of CUDA; without that index (a mirror, no network) from pip's own sources.
install_torch() {
    local torch
    torch=$(grep '^torch==' "$constraints")
    if ! has_gpu; then
        pip install --no-deps --retries 2 --timeout 20 \
            --index-url https://download.pytorch.org/whl/cpu "$torch" ||
            echo "the index of CPU builds was not reached: taking torch from pip's own sources" >&2
    fi
    pip install -c "$constraints" "$torch"
}

install_project() {
    pip install --no-build-isolation "$@" "$repo"
    rm -rf "$repo/build"
}

checksum() {
    "$base" - "$@" <<'END'
import hashlib, pathlib, sys
digest = hashlib.sha256(sys.version.encode())
for top in map(pathlib.Path, sys.argv[1:]):
    for path in sorted(top.rglob("*.py")) if top.is_dir() else [top]:
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
print(digest.hexdigest())
END
}

find_base_python
requirements=$(checksum "$constraints" "$repo/setup.py" "$repo/scripts/setup.sh")
sources=$(checksum "$repo/fairseq_labo")
stamp=$venv/fairseq_labo.setup
if [[ -e $stamp && $(sed -n 1p "$stamp") == "$requirements" ]]; then
    if [[ $(sed -n 2p "$stamp") != "$sources" ]]; then
        install_project --no-deps --force-reinstall
    fi
else
    check_disk
    check_compiler
    run "$base" -m venv "$venv" ||
        die "could not make a virtual environment in $venv (Debian: apt install python3-venv)"
    pip install --upgrade -c "$constraints" pip setuptools wheel Cython ninja numpy
    install_torch
    echo "building fairseq where there is no wheel: 3-4 minutes" >&2
    pip install --no-build-isolation -c "$constraints" "${repo}[fairseq,data,eval,test]"
    rm -rf "$repo/build"
    # The kernels' tests interpret them on the CPU. torch for CUDA brings the Triton it needs.
    "$venv/bin/python" -c 'import triton' 2>/dev/null || pip install "$triton" ||
        echo "without Triton the tests of its kernels are skipped" >&2
fi
printf '%s\n%s\n' "$requirements" "$sources" >"$stamp"
echo "ready: $venv"
