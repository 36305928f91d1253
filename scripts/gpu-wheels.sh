#!/usr/bin/env bash
# Collect what a GPU machine without a network needs beside Python 3.12, torch and Triton.
set -euo pipefail
# shellcheck source=scripts/common.sh
source "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/common.sh"

usage() {
    cat <<END
usage: scripts/gpu-wheels.sh [--all] FOLDER [REQUIREMENT ...]

Download wheels for CPython 3.12 on x86-64 Linux into FOLDER, in the versions of scripts/locks/, and
liger-kernel: what a machine lacks that has torch, Triton, scikit-learn, matplotlib, sacrebleu,
sentencepiece and pytest (25 MiB); with --all what one lacks that has torch and Triton (102 MiB).
Each REQUIREMENT comes beside them (flash-attn).
There, in the repository:

  python3.12 -m venv --system-site-packages .venv    # sees the machine's torch and Triton
  .venv/bin/python -m pip install --no-index --no-deps FOLDER/*.whl
  .venv/bin/python -m fairseq_labo.experiments.cli benchmark --acceptance runs/acceptance

environment: PYTHON  of the pip that downloads (default: python3)
END
}

all=0
if [[ ${1:-} == --all ]]; then all=1; shift; fi
case ${1:-} in -h | --help) usage; exit 0 ;; '' | -*) usage >&2; die "expected a FOLDER, found ${1:-none}" ;; esac
folder=$1; shift
mkdir -p "$folder"
names=(fairseq-fixed hydra-core omegaconf bitarray cffi pycparser mock cloudpickle PyYAML sacremoses
    joblib click tqdm subword-nmt requests urllib3 certifi charset-normalizer idna pytest-xdist execnet)
others=(regex sacrebleu portalocker tabulate lxml colorama sentencepiece scikit-learn scipy threadpoolctl
    narwhals matplotlib contourpy cycler fonttools kiwisolver pillow pyparsing python-dateutil
    setuptools packaging pytest iniconfig pluggy pygments)
if ((all)); then names+=("${others[@]}"); fi
pin() { # NAME: with the version of the lock
    grep -ioE "^$1==[^ ;\\]+" "$repo/scripts/locks/py312.txt" ||
        die "$1: expected its version in scripts/locks/py312.txt, found none"
}
wanted=("$@" liger-kernel)
for name in "${names[@]}"; do wanted+=("$(pin "$name")"); done
antlr=$(pin antlr4-python3-runtime)
platforms=()
for tag in 2_28 2_27 2_24 2_17 2_12 2_5; do platforms+=(--platform "manylinux_${tag}_x86_64"); done
platforms+=(--platform manylinux2014_x86_64 --platform manylinux1_x86_64)
pip=("${PYTHON:-python3}" -m pip --quiet)
"${pip[@]}" download --no-deps --only-binary=:all: --python-version 3.12 --implementation cp \
    "${platforms[@]}" --dest "$folder" "${wanted[@]}"
# There is no wheel of it, only a source.
"${pip[@]}" wheel --no-deps --wheel-dir "$folder" "$antlr"
echo "$(find "$folder" -name '*.whl' | wc -l) wheels, $(du -sm "$folder" | cut -f1) MiB: $folder" >&2
