#!/usr/bin/env bash
# Prepare the corpus tatoeba for fairseq; the options: -h.
set -euo pipefail
# shellcheck source=scripts/common.sh
source "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/../scripts/common.sh"
labo prepare tatoeba "$@"
