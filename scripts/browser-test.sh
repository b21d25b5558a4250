#!/usr/bin/env bash
# A whole installation and a real browser, on a machine of its own: test.sh calls it within test-host.sh, with everything that
# comes from outside installed and built.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

status=0
CAIRN_YES=1 "$SCRIPTS/clean-data.sh"
"$SCRIPTS/run.sh" || status=$?
if ((status == 0)); then
    (cd "$ROOT/ui" && CAIRN_URL=http://127.0.0.1:$PAGE_PORT npm run e2e) || status=$?
fi
CAIRN_YES=1 "$SCRIPTS/clean-data.sh"
exit "$status"
