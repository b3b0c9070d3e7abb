#!/usr/bin/env bash
# How long a shard takes no writes when its leader dies, or when it is moved. See `failover --help`, which
# gets all arguments: bench/failover.sh --kills 50 --moves 50
#
#   DATA_DIR, BINARIES  as for registry.sh
set -euo pipefail
repository=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
binaries=${BINARIES:-$repository/target/release}
if [ -z "${BINARIES:-}" ]; then
  (cd "$repository" && cargo build --release --locked -p orrery -p orrery-bench)
fi
exec "$binaries/failover" --binary "$binaries/orrery" --data "${DATA_DIR:-$PWD}" "$@"
