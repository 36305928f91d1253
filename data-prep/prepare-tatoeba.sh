#!/usr/bin/env bash
# Prepare Tatoeba (short sentences), German-English; from --source-dir, for fairseq.
set -euo pipefail

# shellcheck source=data-prep/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

prepare tatoeba "Tatoeba (short sentences), German-English; from --source-dir" "de-en or en-de" "$@"
