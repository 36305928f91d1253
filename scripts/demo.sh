#!/usr/bin/env bash
# From nothing to a table of BLEU: set up unless --no-setup is given, then labo demo (options: -h).
set -euo pipefail
# shellcheck source=scripts/common.sh
source "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/common.sh"
setup=yes options=()
for option in "$@"; do
    case $option in
        --no-setup) setup=no ;;
        -h | --help) setup=no options+=("$option") ;;
        *) options+=("$option") ;;
    esac
done
if [[ $setup == yes ]]; then "$repo/scripts/setup.sh"; fi
labo demo ${options[@]+"${options[@]}"}
