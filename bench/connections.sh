#!/usr/bin/env bash
# As many connections as a machine allows, over several comets, each with a client of its own, for a process has
# so many descriptors: memory of the comets for each connection, of the whole machine for each, and a push to
# everybody, of whose receipt each connection is to be written to.
#
#   COMETS=10           comets
#   EACH=15000          connections of each; a process needs a descriptor for each
#   TRANSPORT=websocket websocket, tcp or json
#   DATA_DIR, BINARIES, KEEP   as for registry.sh
. "$(dirname "${BASH_SOURCE[0]}")/processes.sh"

comets=${COMETS:-10} each=${EACH:-15000} transport=${TRANSPORT:-websocket}
total=$((comets * each))
# Nobody gives a sign of life while this runs.
silence_ms=7200000

available_kib() { awk '/^MemAvailable:/ { print $2 }' /proc/meminfo; }

# pss_of PID...: memory of processes together in KiB, where shared pages count in part.
pss_of() {
  local pid
  for pid in "$@"; do cat "/proc/$pid/smaps_rollup"; done | awk '/^Pss:/ { sum += $2 } END { print sum }'
}

# start_role ROLE NAME: its section of the configuration comes from the standard input.
start_role() {
  local role=$1 name=$2 admin
  free_port; admin=$port
  { printf '[admin]\nlisten = "127.0.0.1:%s"\n' "$admin"; cat; } >"$folder/$name.toml"
  "$binaries/orrery" "$role" --config "$folder/$name.toml" >"$folder/$name.log" 2>&1 &
  started+=($!)
  until_true 60 "$name is ready" http_ok "127.0.0.1:$admin" /readyz
}

all_are_in() {
  local client
  for client in "$folder"/client-*.log; do grep -q 'connections are held' "$client" || return 1; done
}

build
start_routers 1 16
free_port; edge=$port
free_port; http=$port
free_port; grpc=$port
start_role logic logic <<EOF
[logic]
auth = "open"
routers = ["${router_addresses[0]}"]
http_listen = "127.0.0.1:$http"
grpc_listen = "127.0.0.1:$grpc"
edge_listen = "127.0.0.1:$edge"
heartbeat_ms = $silence_ms
push_timeout_ms = 120000
push_timeout_ms_max = 120000
EOF
comet_pids=() comet_addresses=()
for ((number = 1; number <= comets; number++)); do
  free_port; tcp=$port
  free_port; websocket=$port
  free_port; delivery=$port
  start_role comet "comet-$number" <<EOF
[comet]
id = "many-$number"
logic = ["127.0.0.1:$edge"]
tcp_listen = "127.0.0.1:$tcp"
websocket_listen = "127.0.0.1:$websocket"
delivery_listen = "127.0.0.1:$delivery"
EOF
  comet_pids+=("${started[-1]}")
  if [ "$transport" = tcp ]; then comet_addresses+=("127.0.0.1:$tcp"); else comet_addresses+=("127.0.0.1:$websocket"); fi
done
settle "${comet_pids[@]}"
comets_before=$(pss_of "${comet_pids[@]}") machine_before=$(available_kib)

begun=$SECONDS
for ((number = 0; number < comets; number++)); do
  "$binaries/orrery" bench idle --connections "$each" --transport "$transport" --hold 7200 --first-user $((number * each + 1)) \
    --target-comet "${comet_addresses[number]}" --target-pid "${comet_pids[number]}" >"$folder/client-$number.out" 2>"$folder/client-$number.log" &
  started+=($!)
  until_true 600 "the connections of comet $((number + 1)) are there" grep -q 'connections are held' "$folder/client-$number.log"
  say "$(((number + 1) * each)) connections"
done
took=$((SECONDS - begun))
all_are_in || die "somebody lost its connections"
settle "${comet_pids[@]}"
comets_after=$(pss_of "${comet_pids[@]}") machine_after=$(available_kib)
awk -v n="$total" -v comets="$comets" -v took="$took" -v before="$comets_before" -v after="$comets_after" \
  -v free_before="$machine_before" -v free_after="$machine_after" 'BEGIN {
  printf "%d connections over %d comets, %d s on the way\n", n, comets, took
  printf "comets: %.2f KiB (PSS) for each; %.0f MiB together\n", (after - before) / n, after / 1024
  printf "the machine: %.2f KiB for each, with the kernel at both ends, the registry, and the clients\n", (free_before - free_after) / n
}'

# The memory of the registry is in the machine.
printf 'the router: %d MiB\n' $(($(pss_of "${router_pids[@]}") / 1024))
begun_ms=$(date +%s%3N)
receipt=$(curl -sS --fail-with-body -m 150 -H 'content-type: application/json' "http://127.0.0.1:$http/v1/push" \
  -d '{"target":{"broadcast":{}},"op":1000,"body":"to everybody","wait_for":"written"}') || die "the push failed: $receipt"
printf 'a push to everybody, %d ms: %s\n' $(($(date +%s%3N) - begun_ms)) "$receipt"
