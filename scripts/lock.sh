#!/usr/bin/env bash
# Write scripts/locks/: every distribution that set-up installs, pinned with hashes.
set -euo pipefail
# shellcheck source=scripts/common.sh
source "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/common.sh"

usage() {
    cat <<END
usage: scripts/lock.sh [3.11 3.12 3.13]

For each Python version (default: all three) resolve setup.py with all extras and write
  scripts/locks/pyXY.txt       everything but torch and what it brings
  scripts/locks/pyXY-cuda.txt  torch's build for CUDA, with NVIDIA's libraries and Triton
  scripts/locks/pyXY-cpu.txt   Triton for the interpreter of the kernels' tests on a CPU
all with the hashes of the package index. Needs uv on the PATH (pip install uv) and the index.
Versions are the newest that fit; those that must stay are pinned in scripts/locks/pins.txt.
END
}

case ${1:-} in -h | --help) usage; exit 0 ;; esac
command -v uv >/dev/null || die "expected uv on the PATH, found none: pip install uv"
locks=$repo/scripts/locks
# fairseq-fixed asks for torchaudio, which translation does not use and which does not load
# beside every torch; it would keep transformers' Trainer from being imported.
overrides=$(mktemp)
trap 'rm -f "$overrides"' EXIT
echo "torchaudio; python_version < '3'" >"$overrides"

compile() { # VERSION OUTPUT ARGUMENT ...
    local version=$1 output=$2
    shift 2
    run uv pip compile --quiet --python-version "$version" --python-platform x86_64-unknown-linux-gnu \
        --generate-hashes --no-annotate --upgrade --overrides "$overrides" \
        --custom-compile-command "scripts/lock.sh" --output-file "$output" "$@"
}

versions=("$@")
((${#versions[@]})) || versions=(3.11 3.12 3.13)
for version in "${versions[@]}"; do
    [[ $version =~ ^3\.[0-9]+$ ]] || { usage >&2; die "expected versions like 3.12, found $version"; }
    prefix=$locks/py${version/./}
    grep '^torch==' "$locks/pins.txt" | compile "$version" "$prefix-cuda.txt" -
    grep '^triton==' "$locks/pins.txt" | compile "$version" "$prefix-cpu.txt" --no-deps -
    brought=()
    while read -r name; do brought+=(--no-emit-package "$name"); done \
        < <(grep -oE '^(torch|triton|nvidia-[a-z0-9-]+|cuda-[a-z0-9-]+)' "$prefix-cuda.txt")
    compile "$version" "$prefix.txt" "${brought[@]}" --constraints <(grep -v '^triton==' "$locks/pins.txt") \
        "$repo/setup.py" --extra all --extra examples --extra docs --extra test "$locks/build.in"
done
