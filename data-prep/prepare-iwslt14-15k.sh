#!/usr/bin/env bash
# Prepare IWSLT14-15k (14,937 pairs of IWSLT'14, tokenized; from --source-dir), for fairseq.
set -euo pipefail

# shellcheck source=data-prep/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

prepare iwslt14-15k "IWSLT14-15k (14,937 pairs of IWSLT'14, tokenized; from --source-dir)" "de-en or en-de" "$@"
