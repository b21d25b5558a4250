#!/usr/bin/env bash
# Builds in the release profile and measures: prints a table, writes target/bench/latest.json. STORE=postgres: the servers that are
# measured keep their data in a PostgreSQL made for it.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

require_root
mkdir -p "$RUN/log"
"$SCRIPTS/install-packages.sh"
CAIRN_GUEST_IMAGE=$("$SCRIPTS/guest-image.sh")
export CAIRN_GUEST_IMAGE CAIRN_BIN=$TARGET/release
cd "$ROOT"
cargo build --release --workspace --bins
if [[ ${STORE:-} == postgres ]]; then
    "$SCRIPTS/install-packages.sh" packages-postgres.txt
    FOLDER=$(mktemp -d /var/tmp/cairn-bench-postgres.XXXXXX)
    chmod 755 "$FOLDER"
    trap '"$SCRIPTS/postgres.sh" stop "$FOLDER/pg"; rm -rf "$FOLDER"' EXIT
    "$SCRIPTS/postgres.sh" start "$FOLDER/pg" >/dev/null
    CAIRN_TEST_STORE=$("$SCRIPTS/postgres.sh" url "$FOLDER/pg" postgres)
    export CAIRN_TEST_STORE
    "$SCRIPTS/test-host.sh" "$TARGET/release/cairn-bench" "$@"
    exit
fi
exec "$SCRIPTS/test-host.sh" "$TARGET/release/cairn-bench" "$@"
