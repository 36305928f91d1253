#!/usr/bin/env bash
# Train one model on a prepared corpus; the options: -h.
set -euo pipefail
# shellcheck source=scripts/common.sh
source "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/common.sh"
labo train "$@"
