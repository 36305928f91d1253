#!/usr/bin/env bash
# Prepare IWSLT'17 (TED talks), French-English, for fairseq.
set -euo pipefail

# shellcheck source=data-prep/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

own_options() {
    cat <<END
  --test-set SET     tst2015 (default), tst2010-2015 or tst2017
  --valid-set SET    every-23rd pair of the training text (default) or dev2010
END
}

prepare iwslt17 "IWSLT'17 (TED talks), French-English" "fr-en or en-fr" "$@"
