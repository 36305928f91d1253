#!/usr/bin/env bash
# Set up if needed, then run the tests.
set -euo pipefail
# shellcheck source=scripts/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

case ${1:-} in
    -h | --help)
        echo "usage: scripts/test.sh [pytest option ...]     e.g. scripts/test.sh tests/ops -x"
        exit 0
        ;;
esac
"$repo/scripts/setup.sh"
find_python
cd "$repo"
run "$python" -m pytest "$@"
