#!/usr/bin/env bash
# Translate a test set with a checkpoint, and score it; the options: -h.
set -euo pipefail
# shellcheck source=scripts/common.sh
source "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/common.sh"
labo evaluate "$@"
