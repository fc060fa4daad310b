#!/usr/bin/env bash
# quickstart.sh [up [N]]   builds Milena, starts N nodes (3) on 127.0.0.1:9092, 9093, ...; the last line is the bootstrap string
#               down       stops all nodes (SIGTERM: leaders move first)
#               clean      stops all nodes and deletes their data
#               kill ID    SIGKILL, as a crash would
#               stop ID    SIGTERM, waits for the exit
#               start ID   starts a node that was killed or stopped
#               pids       lines `ID PID` of the nodes that run
#               controller the ID of the active controller; nothing, and exit 1, while none leads
# Environment: MILENA_DATA (./data of the checkout), MILENA_BIN (a built milena; nothing is compiled), MILENA_EXTRA (more
# server.properties lines), MILENA_PORT (9092: the first client port; controllers listen 10000 above, admin HTTP 11000 above;
# at most 21768 - N, so that all of them stay below the ports of outgoing connections, 32768 and up),
# CARGO_TARGET_DIR (the user's cache).
set -euo pipefail
MILENA_ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# shellcheck source=deploy/rocksdb.sh
. "$MILENA_ROOT/deploy/rocksdb.sh"
DATA=${MILENA_DATA:-$MILENA_ROOT/data}
PORT=${MILENA_PORT:-9092}
BIN=${MILENA_BIN:-$CARGO_TARGET_DIR/release/milena}

client_port() { echo $((PORT + $1 - 1)); }
controller_port() { echo $((PORT + 10000 + $1 - 1)); }
admin_port() { echo $((PORT + 11000 + $1 - 1)); }
home() { echo "$DATA/node$1"; }
ids() { local d; for d in "$DATA"/node*/; do if [ -d "$d" ]; then d=${d%/}; echo "${d##*node}"; fi; done | sort -n; }

# The command line of a process, empty for one that is gone. It reads as empty for a moment while the process turns into
# another program, too: then it is read again.
command_line() { # pid
  local line stat
  while line=$({ tr '\0' ' ' < "/proc/$1/cmdline"; } 2> /dev/null); [ -z "$line" ]; do
    stat=$({ cat "/proc/$1/stat"; } 2> /dev/null) || return 0
    [[ ${stat##*) } != [ZX]* ]] || return 0
  done
  echo "$line"
}

# The node's process id while it runs; a recycled id of another program does not count.
pid_of() {
  local pid
  pid=$(cat "$(home "$1")/pid" 2> /dev/null) || return 1
  [[ $(command_line "$pid") == *"$(home "$1")/server.properties "* ]] && echo "$pid"
}

build() {
  [ -z "${MILENA_BIN:-}" ] || { [ -x "$BIN" ] || { say "MILENA_BIN=$BIN is not a program"; exit 1; }; return 0; }
  milena_build_tools
  milena_rocksdb
  say "building $BIN"
  (cd "$MILENA_ROOT" && cargo build --quiet --release --locked -p milena-cli)
}

# A group's first members get 100 ms to arrive (Kafka: 3 s): consumers that start together get one assignment, not one each.
configure() { # id n
  local id=$1 n=$2 voters="" i rf isr
  for i in $(seq "$n"); do voters+="${voters:+,}$i@127.0.0.1:$(controller_port "$i")"; done
  rf=$((n < 3 ? n : 3)) isr=$((n < 3 ? 1 : 2))
  mkdir -p "$(home "$id")"
  cat > "$(home "$id")/server.properties" << P
process.roles=broker,controller
node.id=$id
controller.quorum.voters=$voters
controller.listener.names=CONTROLLER
listeners=PLAINTEXT://127.0.0.1:$(client_port "$id"),CONTROLLER://127.0.0.1:$(controller_port "$id")
advertised.listeners=PLAINTEXT://127.0.0.1:$(client_port "$id")
inter.broker.listener.name=PLAINTEXT
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT
log.dirs=$(home "$id")/log
milena.admin.listen=127.0.0.1:$(admin_port "$id")
num.partitions=4
default.replication.factor=$rf
min.insync.replicas=$isr
offsets.topic.replication.factor=$rf
transaction.state.log.replication.factor=$rf
transaction.state.log.min.isr=$isr
share.coordinator.state.topic.replication.factor=$rf
share.coordinator.state.topic.min.isr=$isr
group.initial.rebalance.delay.ms=100
auto.create.topics.enable=true
${MILENA_EXTRA:-}
P
}

start() { # id
  local home; home=$(home "$1")
  [ -f "$home/server.properties" ] || { say "there is no node $1; nodes: $(ids | xargs)"; exit 1; }
  pid_of "$1" > /dev/null && return 0
  # A session of its own: the node outlives this terminal. Settings come from the file alone, whatever this shell exports.
  local v without=(-u CLUSTER_ID)
  for v in $(compgen -e KAFKA_); do without+=(-u "$v"); done
  setsid env "${without[@]}" "$BIN" server --config "$home/server.properties" >> "$home/server.log" 2>&1 < /dev/null &
  echo $! > "$home/pid"
}

# Waits until a process that was just started has become the node, or is gone.
settle() { # id
  local pid; pid=$(cat "$(home "$1")/pid")
  until pid_of "$1" > /dev/null || [ -z "$(command_line "$pid")" ]; do sleep 0.005; done
}

is_ready() { # id
  local status
  { exec 3<> "/dev/tcp/127.0.0.1/$(admin_port "$1")"; } 2> /dev/null || return 1
  printf 'GET /ready HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n' >&3
  read -r -t 2 status <&3 || status=
  exec 3<&- 3>&-
  [[ $status == *" 200 "* ]]
}

wait_ready() { # id
  local deadline=$((SECONDS + ${MILENA_WAIT:-60}))
  settle "$1"
  until is_ready "$1"; do
    if ! pid_of "$1" > /dev/null || [ $SECONDS -ge $deadline ]; then
      say "node $1 is not healthy; the end of $(home "$1")/server.log:"
      tail -n 15 "$(home "$1")/server.log" >&2
      return 1
    fi
    sleep 0.02
  done
}

wait_gone() { # id seconds
  local pid deadline=$((SECONDS + $2))
  while pid=$(pid_of "$1"); do
    [ $SECONDS -lt $deadline ] || return 1
    sleep 0.01
  done
}

signal() { # name id
  local pid
  pid=$(pid_of "$2") || return 0
  kill "-$1" "$pid" 2> /dev/null || true
}

bootstrap() { # n
  local i b=""
  for i in $(seq "$1"); do b+="${b:+,}127.0.0.1:$(client_port "$i")"; done
  echo "$b"
}

# A port of the ephemeral range may be taken by any outgoing connection: a node could not start again.
check_ports() { # nodes
  local most=$((32768 - 11000 - $1))
  [[ $PORT =~ ^[1-9][0-9]{0,4}$ ]] && ((PORT <= most)) && return
  say "MILENA_PORT=$PORT: allowed: 1 to $most for a cluster of $1 (its admin ports, 11000 above, must stay below 32768)"
  exit 2
}

up() { # n
  local n=$1 i have
  [[ $n =~ ^[1-9]$ ]] || { say "up '$n': how many nodes? allowed: 1 to 9"; exit 2; }
  check_ports "$n"
  have=$(ids | wc -l)
  [ "$have" = 0 ] || [ "$have" = "$n" ] || { say "$DATA holds a cluster of $have nodes: use up $have, or clean first"; exit 1; }
  build
  for i in $(seq "$n"); do configure "$i" "$n"; done
  for i in $(seq "$n"); do start "$i"; done
  for i in $(seq "$n"); do wait_ready "$i"; done
  cat << T
$n nodes run; data and logs are in $DATA. Try next:
  kcat -b 127.0.0.1:$(client_port 1) -L                                     # the cluster as a client sees it
  echo hello | kcat -b 127.0.0.1:$(client_port 1) -t first -P -X acks=all   # a record, acknowledged by all in-sync replicas
  $0 kill 1 && kcat -b $(bootstrap "$n") -t first -C -e   # the first kill: the record is still there
T
  bootstrap "$n"
}

down() {
  local i
  for i in $(ids); do signal TERM "$i"; done
  for i in $(ids); do wait_gone "$i" 10 || signal TERM "$i"; done
  for i in $(ids); do wait_gone "$i" 5 || { say "node $i does not stop: SIGKILL"; signal KILL "$i"; }; done
  for i in $(ids); do wait_gone "$i" 5 || { say "node $i is still there"; return 1; }; rm -f "$(home "$i")/pid"; done
}

id_of() { # command id
  local known; known=$(ids | xargs)
  [ -n "${2:-}" ] || { say "$1: which node? nodes: ${known:-none; use up first}"; exit 2; }
  [[ $2 =~ ^[0-9]+$ ]] && [ -d "$(home "$2")" ] || { say "$1 $2: there is no node $2; nodes: ${known:-none; use up first}"; exit 2; }
  echo "$2"
}

# Standard output is the ID or nothing.
controller() {
  local i all=""
  for i in $(ids); do all+="${all:+,}127.0.0.1:$(controller_port "$i")"; done
  [ -n "$all" ] || { say "controller: there are no nodes; use up first"; exit 2; }
  "$BIN" quorum --controllers "$all" --leader
}

have=$(ids | wc -l)
[ "${1:-up}" = up ] || check_ports "$((have > 0 ? have : 3))"
case ${1:-up} in
  up) up "${2-3}" ;;
  down) down ;;
  clean) down; for i in $(ids); do rm -rf "$(home "$i")"; done; rmdir "$DATA" 2> /dev/null || true ;;
  kill) i=$(id_of "$1" "${2:-}"); signal KILL "$i"; wait_gone "$i" 5 ;;
  stop) i=$(id_of "$1" "${2:-}"); signal TERM "$i"; wait_gone "$i" 40 || { say "node $i does not stop"; exit 1; } ;;
  start) i=$(id_of "$1" "${2:-}"); start "$i"; settle "$i" ;;
  pids) for i in $(ids); do pid=$(pid_of "$i") && echo "$i $pid"; done; true ;;
  controller) controller ;;
  *) sed -n '2,14s/^# \{0,1\}//p' "$0"; exit 2 ;;
esac
