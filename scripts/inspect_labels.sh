#!/usr/bin/env bash
# Show what a loss teaches at each target token of some sentences; the options: -h.
set -euo pipefail
# shellcheck source=scripts/common.sh
source "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/common.sh"
labo inspect "$@"
