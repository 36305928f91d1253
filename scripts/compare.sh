#!/usr/bin/env bash
# Run a study (methods x seeds on one corpus), and report it; the options: -h.
set -euo pipefail
# shellcheck source=scripts/common.sh
source "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/common.sh"
labo compare "$@"
