#!/usr/bin/env bash
# How long the routes of a comet stay that is not heard of any more. See `expiry --help`, which gets all
# arguments: bench/expiry.sh --silences 2 --kills 2
#
#   DATA_DIR, BINARIES  as for registry.sh
set -euo pipefail
repository=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
binaries=${BINARIES:-$repository/target/release}
if [ -z "${BINARIES:-}" ]; then
  (cd "$repository" && cargo build --release --locked -p orrery -p orrery-bench)
fi
exec "$binaries/expiry" --binary "$binaries/orrery" --data "${DATA_DIR:-$PWD}" "$@"
