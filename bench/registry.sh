#!/usr/bin/env bash
# The registry beside etcd: three etcd members and three router processes in turn, the same callers, the
# same disk. Each measurement begins with empty systems, and only the one that is measured runs. Prints one
# table. Runs from a clean clone, as root on Debian where etcd is not installed yet.
#
#   CALLERS=1,64,1024   callers of one load after the other
#   SECONDS_EACH=10     how long each load is measured
#   ROUNDS=2            how often each is measured on either side, in turn
#   NODES=3 SHARDS=16   router processes and data shards
#   DATA_DIR=.          where the data is, on the disk that is meant
#   BINARIES=DIR        measures these binaries instead of building
#   KEEP=1              keeps logs and data when something goes wrong
. "$(dirname "${BASH_SOURCE[0]}")/processes.sh"

callers=${CALLERS:-1,64,1024} seconds=${SECONDS_EACH:-10} rounds=${ROUNDS:-2}
nodes=${NODES:-3} shards=${SHARDS:-16}

build
install_etcd

measure_etcd() {
  start_etcd
  settle "${etcd_pids[@]}"
  run "$binaries/registry-etcd" --endpoints "$(joined "${etcd_endpoints[@]}")" \
    --server-pids "$(joined "${etcd_pids[@]}")" "$@" || die "etcd could not be measured"
  end "${etcd_pids[@]}"
}

measure_orrery() {
  start_routers "$nodes" "$shards"
  settle "${router_pids[@]}"
  run "$binaries/orrery" bench registry --routers "$(joined "${router_addresses[@]}")" \
    --server-pids "$(joined "${router_pids[@]}")" "$@" || die "orrery could not be measured"
  end "${router_pids[@]}"
}

etcd_reports=() orrery_reports=()
for count in ${callers//,/ }; do
  for ((round = 1; round <= rounds; round++)); do
    for system in etcd orrery; do
      say "$count callers, round $round: $system"
      report=$folder/report-$system-$count-$round.json
      "measure_$system" --callers "$count" --seconds "$seconds" --json >"$report"
      declare -n reports=${system}_reports
      reports+=("$report")
    done
  done
done
"$binaries/side-by-side" --disk "$folder" --etcd "${etcd_reports[@]}" --orrery "${orrery_reports[@]}"
