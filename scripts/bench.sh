#!/usr/bin/env bash
# Builds in the release profile and measures: prints a table, writes target/bench/latest.json.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

require_root
mkdir -p "$RUN/log"
"$SCRIPTS/install-packages.sh"
CAIRN_GUEST_IMAGE=$("$SCRIPTS/guest-image.sh")
export CAIRN_GUEST_IMAGE CAIRN_BIN=$TARGET/release
cd "$ROOT"
cargo build --release --workspace --bins
exec "$SCRIPTS/test-host.sh" "$TARGET/release/cairn-bench" "$@"
