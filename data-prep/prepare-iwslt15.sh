#!/usr/bin/env bash
# Prepare IWSLT'15 (TED talks), English-Vietnamese, for fairseq.
set -euo pipefail

# shellcheck source=data-prep/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

prepare iwslt15 "IWSLT'15 (TED talks), English-Vietnamese" "en-vi or vi-en" "$@"
