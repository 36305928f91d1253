#!/usr/bin/env bash
# Prepare IWSLT'14 (TED talks), German-English or English-French, for fairseq.
set -euo pipefail

# shellcheck source=data-prep/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

prepare iwslt14 "IWSLT'14 (TED talks), German-English or English-French" "de-en, en-de, en-fr or fr-en" "$@"
