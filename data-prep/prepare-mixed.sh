#!/usr/bin/env bash
# Prepare TED-15k + Tatoeba + Multi30k, German-English; from --source-dir, for fairseq.
set -euo pipefail

# shellcheck source=data-prep/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

prepare mixed "TED-15k + Tatoeba + Multi30k, German-English, tested on TED; from --source-dir" "de-en or en-de" "$@"
