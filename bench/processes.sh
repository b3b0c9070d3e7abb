# Processes of a benchmark: starts them with their data below one folder, and ends them whatever happens.
# To be sourced. Everything is on 127.0.0.1, on free ports.
set -euo pipefail

repository=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# The data's disk matters more than any figure here: the system's folder for temporary files is often in
# memory, where a sync costs nothing.
folder=$(mktemp -d "${DATA_DIR:-$PWD}/orrery-bench-XXXXXX")
# Binaries of an earlier build can be measured too.
binaries=${BINARIES:-$repository/target/release}

started=()       # every process, to be ended
taken_ports=()   # handed out and perhaps not listened on yet
etcd_pids=() etcd_endpoints=()
router_pids=() router_addresses=()

say() { printf 'bench: %s\n' "$*" >&2; }
die() { say "$*"; exit 1; }
joined() { local IFS=,; printf '%s' "$*"; }

end_all() {
  local status=$? pid
  trap - EXIT INT TERM HUP
  for pid in ${started[@]+"${started[@]}"}; do kill -KILL "$pid" 2>/dev/null || true; done
  wait 2>/dev/null || true
  if [ "$status" -ne 0 ] && [ -n "${KEEP:-}" ]; then say "logs and data stay in $folder"; else rm -rf "$folder"; fi
  exit "$status"
}
trap end_all EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

# Puts a port that nobody listens on into `port`. Below the range that the kernel takes ports for
# outgoing connections from, so that nobody gets it meanwhile.
free_port() {
  while :; do
    port=$((20000 + RANDOM % 12000))
    case " ${taken_ports[*]-} " in *" $port "*) continue ;; esac
    if ! (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then
      taken_ports+=("$port")
      return
    fi
  done
}

# until_true SECONDS WHAT COMMAND...
until_true() {
  local deadline=$((SECONDS + $1)) what=$2
  shift 2
  until "$@" >/dev/null 2>&1; do
    [ "$SECONDS" -lt "$deadline" ] || die "in vain waited until $what; see $folder"
    sleep 0.1
  done
}

# Runs a command to its end, and is interrupted by signals meanwhile, which a command in the foreground
# would hold up.
run() {
  "$@" &
  started+=($!)
  wait $!
}

build() {
  [ -n "${BINARIES:-}" ] && return
  (cd "$repository" && cargo build --release --locked -p orrery -p orrery-bench) || die "the build failed"
}

install_etcd() {
  command -v etcd >/dev/null && return
  say "installing etcd"
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends etcd-server >/dev/null
}

# Three empty members with etcd's defaults but for addresses and folders.
start_etcd() {
  local number cluster=() peers=() clients=()
  etcd_pids=() etcd_endpoints=()
  rm -rf "$folder"/etcd-*
  for number in 1 2 3; do
    free_port; peers[number]=$port
    free_port; clients[number]=$port
    cluster+=("m$number=http://127.0.0.1:${peers[number]}")
  done
  for number in 1 2 3; do
    etcd --name "m$number" --data-dir "$folder/etcd-$number" \
      --listen-client-urls "http://127.0.0.1:${clients[number]}" \
      --advertise-client-urls "http://127.0.0.1:${clients[number]}" \
      --listen-peer-urls "http://127.0.0.1:${peers[number]}" \
      --initial-advertise-peer-urls "http://127.0.0.1:${peers[number]}" \
      --initial-cluster "$(joined "${cluster[@]}")" --initial-cluster-state new \
      >"$folder/etcd-$number.log" 2>&1 &
    started+=($!) etcd_pids+=($!)
    etcd_endpoints+=("127.0.0.1:${clients[number]}")
  done
  for number in 1 2 3; do
    until_true 30 "etcd member $number is healthy" http_ok "127.0.0.1:${clients[number]}" /health
  done
}

# http_ok HOST:PORT PATH: whether the answer is 200.
http_ok() {
  local line
  exec 3<>"/dev/tcp/${1%:*}/${1##*:}" || return 1
  printf 'GET %s HTTP/1.0\r\nHost: bench\r\n\r\n' "$2" >&3
  IFS= read -r -t 2 line <&3 || line=
  exec 3<&- 3>&-
  [[ $line == *" 200 "* ]]
}

# start_routers NODES SHARDS: empty router processes with the defaults but for addresses and folders, as
# one cluster.
start_routers() {
  local nodes=$1 shards=$2 number admins=() registries
  router_pids=() router_addresses=()
  rm -rf "$folder"/router-*
  for ((number = 1; number <= nodes; number++)); do
    local registry peers
    free_port; registry=$port
    free_port; peers=$port
    free_port; admins[number]=$port
    mkdir "$folder/router-$number"
    router_config "$number" "$registry" "$peers" "${admins[number]}" "$nodes" "$shards" \
      >"$folder/router-$number/router.toml"
    "$binaries/orrery" router --config "$folder/router-$number/router.toml" \
      >"$folder/router-$number/log" 2>&1 &
    started+=($!) router_pids+=($!)
    router_addresses+=("127.0.0.1:$registry")
  done
  registries=$(joined "${router_addresses[@]}")
  if [ "$nodes" -gt 1 ]; then
    until_true 30 "a cluster of $nodes nodes is made" \
      "$binaries/orrery" ctl cluster bootstrap --nodes "$registries" --shards "$shards" --replicas "$nodes"
  fi
  for ((number = 1; number <= nodes; number++)); do
    until_true 60 "router $number is ready" http_ok "127.0.0.1:${admins[number]}" /readyz
  done
}

# end PID...: in order, so that others can be started.
end() {
  local pid
  for pid in "$@"; do kill -TERM "$pid" 2>/dev/null || true; done
  for pid in "$@"; do wait "$pid" 2>/dev/null || true; done
}

router_config() {
  cat <<EOF
[admin]
listen = "127.0.0.1:$4"
[store]
path = "$folder/router-$1/data"
[router]
node_id = $1
registry_listen = "127.0.0.1:$2"
peers_listen = "127.0.0.1:$3"
EOF
  # One node alone needs nobody to make a cluster of it.
  if [ "$5" -eq 1 ]; then printf 'found_alone = true\nshards = %s\n' "$6"; fi
}

# ticks_of PID...: processor time used together so far, in hundredths of a second.
ticks_of() {
  local pid stat sum=0 fields
  for pid in "$@"; do
    stat=$(<"/proc/$pid/stat") || die "process $pid has ended"
    read -ra fields <<<"${stat##*) }"
    sum=$((sum + fields[11] + fields[12]))
  done
  printf '%s' "$sum"
}

# settle PID...: waits until processes are done with what their start left, half a minute at most.
settle() {
  local before after turn
  for ((turn = 0; turn < 15; turn++)); do
    before=$(ticks_of "$@")
    sleep 2
    after=$(ticks_of "$@")
    [ $((after - before)) -gt 40 ] || return 0   # a fifth of a core
  done
  say "the processes do not come to rest"
}
