#!/usr/bin/env bash
# Prepare Multi30k (image captions), German-English or English-French, for fairseq.
set -euo pipefail

# shellcheck source=data-prep/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

own_options() {
    cat <<END
  --source-lang L, --target-lang L
                     the same in two options
END
}

prepare multi30k "Multi30k (image captions), German-English or English-French" "de-en, en-de, en-fr or fr-en" "$@"
