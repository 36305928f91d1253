#!/usr/bin/env bash
# Prepare the microworld, a small generated German-English corpus, for fairseq.
set -euo pipefail

# shellcheck source=data-prep/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

own_options() {
    cat <<END
  --seed N           of the generator (default: 1)
END
}

prepare microworld "the microworld, a small generated German-English corpus" "de-en or en-de" "$@"
