#!/usr/bin/env bash
# Robots for long: random operations on simulated hosts that break and a server that is killed; everything is checked after every
# hundred operations. What fails is written to target/robot and made as short as it gets. Settings, all of them optional:
#
#   SEEDS    how many lists of operations (20)
#   OPS      operations of each (10000)
#   SEED     the first one (1)
#   TIME     seconds after which no further list is begun (none)
#   WORKERS  lists at the same time (as many as there are processors)
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

cd "$ROOT"
cargo build --release -p cairn-robot
args=(--seed "${SEED:-1}" --seeds "${SEEDS:-20}" --ops "${OPS:-10000}" --workers "${WORKERS:-$(nproc)}" --shrink 600)
if [[ -n ${TIME:-} ]]; then args+=(--time "$TIME"); fi
exec "$TARGET/release/cairn-robot" "${args[@]}" --folder "$TARGET/robot" "$@"
