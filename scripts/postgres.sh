#!/usr/bin/env bash
# postgres.sh start FOLDER | stop FOLDER | url FOLDER [DATABASE]
#
# A PostgreSQL server of this installation: its data, log and socket lie in FOLDER. It runs as the user postgres when root
# starts it, else as whoever does. Who may connect: over the socket root and its own user, as any role, without a password;
# over the loopback address the role cairn with the password in FOLDER/password. start makes the role and the database cairn
# and prints where that is, as CAIRN_STORE wants it; url prints it again, or that of another database.
#
# CAIRN_POSTGRES_PORT is its port on the loopback address; 0: only the socket. CAIRN_POSTGRES_FAST=1 keeps nothing over a
# power cut: for tests.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

ACTION=${1:-}
FOLDER=$(realpath -m "${2:-}")
PORT=${CAIRN_POSTGRES_PORT:-0}
# The socket is named after a port, even where nothing listens on it.
SOCKET_PORT=$((PORT == 0 ? 5432 : PORT))
# Where the server sees FOLDER: somewhere else when the way to it is closed to its user.
SEEN=$FOLDER
MOUNT_POINT=/var/lib/postgresql

programs() {
    local folder
    folder=$(printf '%s\n' /usr/lib/postgresql/*/bin/postgres | sort -V | tail -n 1)
    [[ -x $folder ]] || fail "there is no PostgreSQL on this machine" "Install it: $SCRIPTS/install-packages.sh packages-postgres.txt"
    dirname "$folder"
}

# Runs a program as the server's user, with FOLDER where it sees it.
as_server() {
    local user=()
    if [[ $EUID -eq 0 ]]; then user=(setpriv --reuid=postgres --regid=postgres --init-groups); fi
    if [[ $SEEN == "$FOLDER" ]]; then
        (cd / && exec "${user[@]}" "$@")
        return
    fi
    # A mount that only this program and its children see, and that goes with them.
    # shellcheck disable=SC2016 # the inner shell expands them
    (cd / && exec unshare --mount --propagation private sh -c 'mount --bind "$1" "$2" && shift 2 && exec "$@"' \
        sh "$FOLDER" "$SEEN" "${user[@]}" "$@")
}

make_folder() {
    mkdir -p "$FOLDER"
    if [[ $EUID -ne 0 ]]; then return; fi
    getent passwd postgres >/dev/null || fail "there is no user postgres" "Install PostgreSQL: $SCRIPTS/install-packages.sh packages-postgres.txt"
    chown postgres:postgres "$FOLDER"
    if ! as_server test -x "$FOLDER"; then SEEN=$MOUNT_POINT; fi
    as_server test -w "$SEEN" || fail "the user postgres can't reach $FOLDER" \
        "Choose a folder that everybody may pass through: CAIRN_RUN=/srv/cairn"
}

make_cluster() {
    [[ -s $FOLDER/data/PG_VERSION ]] && return
    rm -rf "$FOLDER/data"
    (umask 077 && openssl rand -hex 24 >"$FOLDER/password")
    chmod 700 "$FOLDER"
    # Both databases of Cairn order text by its bytes: locale C.
    as_server "$POSTGRES/initdb" -D "$SEEN/data" -U postgres --locale=C --encoding=UTF8 \
        --auth-local=peer --auth-host=scram-sha-256 >"$FOLDER/initdb.log" 2>&1 ||
        fail "initdb failed: $(tail -n 1 "$FOLDER/initdb.log")" "The whole output is in $FOLDER/initdb.log"
    local own=postgres
    if [[ $EUID -ne 0 ]]; then own=$(id -un); fi
    printf 'local all all peer map=cairn\nhost all all 127.0.0.1/32 scram-sha-256\n' >"$FOLDER/data/pg_hba.conf"
    printf 'cairn %s %s\n' root cairn root postgres "$own" cairn "$own" postgres | sort -u >"$FOLDER/data/pg_ident.conf"
    echo "include '../cairn.conf'" >>"$FOLDER/data/postgresql.conf"
}

write_settings() {
    {
        echo "unix_socket_directories = '$SEEN'"
        echo "port = $SOCKET_PORT"
        echo "listen_addresses = '$([[ $PORT == 0 ]] || echo 127.0.0.1)'"
        echo "max_connections = 200"
        # No text of a statement that failed: one sets a password.
        echo "log_min_error_statement = panic"
        if [[ ${CAIRN_POSTGRES_FAST:-} == 1 ]]; then printf '%s = off\n' fsync full_page_writes; fi
    } >"$FOLDER/cairn.conf"
}

runs() { as_server "$POSTGRES/pg_ctl" -D "$SEEN/data" status >/dev/null 2>&1; }

# psql as the superuser, over the socket.
psql_here() { "$POSTGRES/psql" -X -q -A -t -h "$FOLDER" -p "$SOCKET_PORT" -U postgres -v ON_ERROR_STOP=1 "$@"; }

# By psql's standard input, which no list of processes shows.
make_database() {
    local there
    there=$(psql_here -d postgres -c "SELECT count(*) FROM pg_roles WHERE rolname = 'cairn'")
    if [[ $there == 0 ]]; then
        psql_here -d postgres <<<"CREATE ROLE cairn LOGIN PASSWORD '$(cat "$FOLDER/password")'"
    fi
    there=$(psql_here -d postgres -c "SELECT count(*) FROM pg_database WHERE datname = 'cairn'")
    if [[ $there == 0 ]]; then
        psql_here -d postgres <<<"CREATE DATABASE cairn OWNER cairn TEMPLATE template0 ENCODING 'UTF8' LC_COLLATE 'C' LC_CTYPE 'C'"
    fi
}

start() {
    local log=$FOLDER/server.log
    ((${#FOLDER} < 80)) || fail "the path $FOLDER is too long for a socket" "Choose a shorter one: CAIRN_RUN=/srv/cairn"
    make_folder
    make_cluster
    if ! runs; then
        if [[ $PORT != 0 ]] && ss -Hltn "src 127.0.0.1 and sport = :$PORT" | grep -q .; then
            fail "port $PORT is taken, PostgreSQL can't listen on it" "Choose another one, 0 for none: CAIRN_POSTGRES_PORT=..."
        fi
        write_settings
        as_server "$POSTGRES/pg_ctl" -D "$SEEN/data" -l "$SEEN/server.log" -w -t 60 start >/dev/null 2>&1 9>&- </dev/null ||
            fail "PostgreSQL does not start: $(tail -n 1 "$log" 2>/dev/null)" "Its log is $log"
    fi
    make_database || fail "the database cairn can't be made (the reason is above)" "PostgreSQL's log is $log"
    url cairn
}

stop() {
    [[ -s $FOLDER/data/postmaster.pid ]] || return 0
    local pid tries
    pid=$(head -n 1 "$FOLDER/data/postmaster.pid")
    [[ $(readlink "/proc/$pid/exe" 2>/dev/null) == */postgres ]] || return 0
    # Fast shutdown: ends connections, takes open transactions back, keeps what was committed.
    kill -INT "$pid"
    for ((tries = 0; tries < 300; tries++)); do
        [[ -e /proc/$pid/exe && -s $FOLDER/data/postmaster.pid ]] || return 0
        sleep 0.1
    done
    fail "PostgreSQL, process $pid, does not end" "Its log is $FOLDER/server.log"
}

# The role over the socket is cairn for its own database; tests make databases, as postgres.
url() {
    local role=postgres port=$SOCKET_PORT
    if [[ $1 == cairn ]]; then role=cairn; fi
    port=$(sed -n 's/^port = //p' "$FOLDER/cairn.conf")
    echo "postgres:///$1?host=$(jq -rn --arg text "$FOLDER" '$text | @uri')&port=$port&user=$role"
}

[[ -n ${2:-} ]] || fail "usage: postgres.sh start FOLDER | stop FOLDER | url FOLDER [DATABASE]"
case $ACTION in
start)
    POSTGRES=$(programs) || exit 1
    start
    ;;
stop) stop ;;
url) url "${3:-cairn}" ;;
*) fail "usage: postgres.sh start FOLDER | stop FOLDER | url FOLDER [DATABASE]" ;;
esac
