#!/usr/bin/env bash
# several-servers.sh start [COUNT] | status | kill NUMBER | begin NUMBER | stop | clean
#
# Several servers (3 if not said) on this machine, on a PostgreSQL and a NATS server of their own: to see what happens when
# one dies. Nothing of it is reachable from other machines. docs/howto/several-servers.md goes through it.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
source "$SCRIPTS/build.sh"

RUN=$RUN/several-servers
NATS_PORT=${CAIRN_NATS_PORT:-14222}
# Server N has API, page, agents and servers on this port and the three above; every server has ten.
FIRST_PORT=${CAIRN_FIRST_PORT:-18010}

# ---- PostgreSQL and NATS ----

start_postgres() {
    "$SCRIPTS/install-packages.sh" packages-postgres.txt || exit 1
    "$SCRIPTS/postgres.sh" start "$RUN/postgres" >/dev/null || exit 1
}

start_nats() {
    service_pid nats-server >/dev/null && return
    mkdir -p "$RUN/log"
    if (exec 3<>"/dev/tcp/127.0.0.1/$NATS_PORT") 2>/dev/null; then
        fail "port $NATS_PORT is in use on this machine" "Choose another one for the message bus: CAIRN_NATS_PORT=15222 $0 ..."
    fi
    (
        cd "$RUN" || exit
        setsid nats-server --addr 127.0.0.1 --port "$NATS_PORT" >>"$RUN/log/nats-server.log" 2>&1 </dev/null &
        echo $! >"$RUN/nats-server.pid"
    )
}

# ---- the servers ----

folder_of() { echo "$RUN/server-$1"; }
port_of() { echo $((FIRST_PORT + 10 * ($1 - 1) + $2)); }
api_of() { echo "http://127.0.0.1:$(port_of "$1" 0)"; }

numbers() {
    local folder
    for folder in "$RUN"/server-*/; do
        [[ -d $folder ]] && basename "$folder" | sed 's/server-//'
    done | sort -n
}

# The pid of a server that runs, else nothing and false.
pid_of() {
    local pid
    pid=$(cat "$(folder_of "$1")/pid" 2>/dev/null) || return 1
    [[ $(readlink "/proc/$pid/exe" 2>/dev/null) == */cairn-server* ]] && echo "$pid"
}

health() { curl -fs -m 15 "$(api_of "$1")/health"; }

begin() {
    local folder file
    folder=$(folder_of "$1")
    pid_of "$1" >/dev/null && return
    mkdir -p "$folder/pki"
    chmod 700 "$folder"
    if [[ $1 != 1 ]]; then
        for file in secret.key pki/ca.pem pki/ca.key; do
            [[ -e $folder/$file ]] || cp -p "$(folder_of 1)/$file" "$folder/$file"
        done
    fi
    (
        cd "$folder" || exit
        CAIRN_STORE=$("$SCRIPTS/postgres.sh" url "$RUN/postgres") CAIRN_NATS=nats://127.0.0.1:$NATS_PORT \
            setsid "$BIN/cairn-server" --data-dir "$folder" --api "127.0.0.1:$(port_of "$1" 0)" --page "127.0.0.1:$(port_of "$1" 1)" \
            --agents "127.0.0.1:$(port_of "$1" 2)" --peers "127.0.0.1:$(port_of "$1" 3)" >>"$folder/server.log" 2>&1 </dev/null &
        echo $! >"$folder/pid"
    )
    local tries
    for ((tries = 0; tries < 60; tries++)); do
        sleep 0.5
        health "$1" >/dev/null && return
        pid_of "$1" >/dev/null || break
    done
    fail "server $1 does not answer" "Its log is $folder/server.log"
}

kill_server() {
    local pid
    pid=$(pid_of "$1") || fail "server ${1:-(which?)} does not run" "Those that do: $0 status"
    kill -9 "$pid"
    say "server $1 was killed"
}

status() {
    local number leader pid
    for number in $(numbers); do
        if ! pid=$(pid_of "$number"); then
            echo "server $number  down"
            continue
        fi
        leader=$(health "$number" | jq -r '.managementNode // empty') || leader=
        if [[ -z $leader ]]; then
            echo "server $number  pid $pid  $(api_of "$number")  waits for a leader"
        elif [[ $leader == "$(cat "$(folder_of "$number")/node")" ]]; then
            echo "server $number  pid $pid  $(api_of "$number")  leads"
        else
            echo "server $number  pid $pid  $(api_of "$number")  follows"
        fi
    done
}

start() {
    local number count=$1
    [[ $count =~ ^[1-9]$ ]] || fail "the count of servers is 1 to 9"
    mkdir -p "$RUN/log"
    "$SCRIPTS/install-packages.sh"
    build_programs
    start_postgres
    start_nats
    for ((number = 1; number <= count; number++)); do
        begin "$number"
    done
    cat >"$RUN/env" <<EOF
# source this to use the command line with these servers
export PATH=$BIN:\$PATH XDG_CONFIG_HOME=$RUN/cli CAIRN_PROFILE=server-1
EOF
    mkdir -p "$RUN/cli"
    # A profile for each server.
    for number in $(numbers); do
        XDG_CONFIG_HOME=$RUN/cli CAIRN_PROFILE=server-$number CAIRN_SERVER=$(api_of "$number") CAIRN_PASSWORD=${CAIRN_PASSWORD:-password} \
            "$BIN/cairn" login --account admin >/dev/null </dev/null
    done
    status
    echo "Command line: source $RUN/env; cairn management-node list"
}

stop() {
    local number pid tries
    for number in $(numbers); do
        pid=$(pid_of "$number") || continue
        kill "$pid"
        for ((tries = 0; tries < 100; tries++)); do
            pid_of "$number" >/dev/null || break
            sleep 0.1
        done
        if pid_of "$number" >/dev/null; then kill -9 "$pid"; fi
    done
    stop_service nats-server
    "$SCRIPTS/postgres.sh" stop "$RUN/postgres"
}

clean() {
    stop
    rm -rf "$RUN"
}

case ${1:-} in
start) start "${2:-3}" ;;
status) status ;;
kill) kill_server "${2:-}" ;;
begin) begin "${2:?which server}" ;;
stop) stop ;;
clean) clean ;;
*) fail "what is to be done?" "$0 start [COUNT] | status | kill NUMBER | begin NUMBER | stop | clean" ;;
esac
