#!/usr/bin/env bash
# What a million users cost: memory, disk, snapshots under load, restarts, catching up. See
# `million --help`, which gets all arguments: bench/million.sh --users 1000000
#
#   DATA_DIR, BINARIES  as for registry.sh
set -euo pipefail
repository=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
binaries=${BINARIES:-$repository/target/release}
if [ -z "${BINARIES:-}" ]; then
  (cd "$repository" && cargo build --release --locked -p orrery -p orrery-bench)
fi
exec "$binaries/million" --binary "$binaries/orrery" --data "${DATA_DIR:-$PWD}" "$@"
