#!/usr/bin/env bash
# Prepare WMT'14 (news), English-German, for fairseq.
set -euo pipefail

# shellcheck source=data-prep/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

own_options() {
    cat <<END
  --news-commentary V
                     v9, WMT'14's (default), or v12, of fairseq's script
END
}

prepare wmt14 "WMT'14 (news), English-German" "en-de or de-en" "$@"
