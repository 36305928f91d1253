#!/usr/bin/env bash
# Speed and memory of whole training, beside fairseq's label smoothing; the options: -h.
set -euo pipefail
# shellcheck source=scripts/common.sh
source "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/common.sh"
labo benchmark "$@"
