#!/usr/bin/env bash
# What router processes take that nobody asks anything: processor time of all of them together over half
# a minute, from /proc/PID/stat.
#
#   SHARDS=16,64        data shards, one cluster after the other
#   NODES=3             router processes
#   SECONDS_EACH=30     how long each is watched
#   DATA_DIR, BINARIES, KEEP   as for registry.sh
. "$(dirname "${BASH_SOURCE[0]}")/processes.sh"

seconds=${SECONDS_EACH:-30} nodes=${NODES:-3}

build
for shards in $(tr , ' ' <<<"${SHARDS:-16,64}"); do
  start_routers "$nodes" "$shards"
  # Leaders go where they are preferred, and what the founding left is done.
  settle "${router_pids[@]}"
  sleep 5
  before=$(ticks_of "${router_pids[@]}")
  sleep "$seconds"
  after=$(ticks_of "${router_pids[@]}")
  # A tick is a hundredth of a second: ticks a second are percent of one core.
  awk -v ticks=$((after - before)) -v s="$seconds" -v nodes="$nodes" -v shards="$shards" 'BEGIN {
    bar["16"] = 5; bar["64"] = 10
    percent = ticks / s
    printf "%d idle routers with %d shards: %.1f %% of one core together", nodes, shards, percent
    if (shards in bar && nodes == 3)
      printf " (asked: under %d %%): %s", bar[shards], percent < bar[shards] ? "bar reached" : "BAR MISSED"
    print ""
  }'
  end "${router_pids[@]}"
done
