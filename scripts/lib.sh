# shellcheck shell=bash disable=SC2034 # the variables are for those who source it
# Shared by run.sh, stop.sh, clean-data.sh and test.sh. Source it; it starts nothing.
#
# Everything one installation keeps lies in $RUN. A machine has one agent, so one installation at a time runs on it; tests run
# theirs on a machine of namespaces (test-host.sh).

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
SCRIPTS=$ROOT/scripts
RUN=$(realpath -m "${CAIRN_RUN:-$ROOT/.run}")
export CAIRN_CACHE=${CAIRN_CACHE:-$ROOT/.run/cache}
PROFILE=${PROFILE:-release}
TARGET=${CARGO_TARGET_DIR:-$ROOT/target}
BIN=$TARGET/$PROFILE
DATA=$RUN/data

# Where API and page are served. The first password is known to everybody, so by default only to this machine; 0.0.0.0 serves
# others too. Agents come with certificates and images with tokens: their ports are always open.
LISTEN=${CAIRN_LISTEN:-127.0.0.1}

API_PORT=${CAIRN_API_PORT:-8080}
PAGE_PORT=${CAIRN_PAGE_PORT:-5000}
AGENT_PORT=${CAIRN_AGENT_PORT:-7443}
IMAGE_PORT=${CAIRN_IMAGE_PORT:-8090}
# The network of the guests: a veth pair. The platform gets one end, the machine keeps the gateway address on the other.
UPLINK=${CAIRN_UPLINK:-cairn-up0}
SUBNET=${CAIRN_SUBNET:-172.30.0}

BEGAN=$EPOCHREALTIME

# Folder of this name for the store that is in use: what hosts and disks belong to is in its database, and means nothing to the
# other one.
of_store() {
    if [[ $(cat "$RUN/store" 2>/dev/null) == postgres ]]; then echo "$RUN/$1-postgres"; else echo "$RUN/$1"; fi
}

# Seconds since the script began, with one digit behind the point.
elapsed() {
    local now=${EPOCHREALTIME/./} began=${BEGAN/./}
    local tenths=$(((now - began) / 100000))
    printf '%d.%d' $((tenths / 10)) $((tenths % 10))
}

say() { printf '[%6s s] %s\n' "$(elapsed)" "$*"; }

# fail WHAT [WHAT-TO-DO...]
fail() {
    printf '\nfailed after %s s: %s\n' "$(elapsed)" "$1" >&2
    shift
    printf '  %s\n' "$@" >&2
    exit 1
}

require_root() { [[ $EUID -eq 0 ]] || fail "this needs root: it starts virtual machines" "Run it again as root, for example: sudo make run"; }

# Runs a command with its output in a log; shows the end of the log and stops if it fails: logged NAME ADVICE COMMAND...
logged() {
    local log=$RUN/log/$1.log advice=$2
    shift 2
    mkdir -p "$RUN/log"
    if ! "$@" >"$log" 2>&1 </dev/null; then
        tail -n 20 "$log" >&2
        fail "$*" "$advice" "The whole output is in $log"
    fi
}

# ---- processes: one pid file each ----

# The pid of a service that runs, else nothing and false. A pid that now belongs to another program does not count.
service_pid() {
    local pid
    pid=$(cat "$RUN/$1.pid" 2>/dev/null) || return 1
    [[ $(readlink "/proc/$pid/exe" 2>/dev/null) == */"$1"* ]] && echo "$pid"
}

# ---- the server: cairn-ctl starts and stops it, here as anywhere ----

server_ctl() { "$BIN/cairn-ctl" --data-dir "$DATA" "$@" 9>&- </dev/null; }

# The pid of this installation's server, else nothing and false.
server_pid() {
    local pid
    pid=$(cat "$DATA/server.pid" 2>/dev/null) || return 1
    [[ $(readlink "/proc/$pid/exe" 2>/dev/null) == */cairn-server* ]] && echo "$pid"
}

# True when the program on disk is newer than the one that runs as this process.
is_outdated() { [[ $(readlink "/proc/$1/exe") == *" (deleted)" ]]; }

# start_service NAME ARGUMENT...: the program NAME of the build, in the background, output to a log.
start_service() {
    local name=$1
    shift
    mkdir -p "$RUN/log"
    # Subshell and setsid: it outlives this script and its terminal. 9 is the lock of run.sh.
    (
        exec 9>&-
        cd "$RUN" || exit
        setsid "$BIN/$name" "$@" >>"$RUN/log/$name.log" 2>&1 </dev/null &
        echo $! >"$RUN/$name.pid"
    )
}

# stop_service NAME [SECONDS]: asks it to end, and makes it end after that time.
stop_service() {
    local name=$1 patience=${2:-15} pid tries
    if pid=$(service_pid "$name"); then
        kill "$pid" 2>/dev/null || true
        # A zombie has no program any more; not every init collects it at once.
        for ((tries = 0; tries < patience * 10; tries++)); do
            service_pid "$name" >/dev/null || break
            sleep 0.1
        done
        if service_pid "$name" >/dev/null; then
            say "$name did not end within $patience s; killing it"
            kill -9 "$pid" 2>/dev/null || true
        fi
    fi
    rm -f "$RUN/$name.pid"
}

# ---- the API ----

# The command line, logged in as this installation's administrator.
cairn() { XDG_CONFIG_HOME=$RUN/cli CAIRN_SERVER=http://127.0.0.1:$API_PORT "$BIN/cairn" "$@" </dev/null; }

server_answers() {
    curl -fs -m 2 -o /dev/null "http://127.0.0.1:$API_PORT/zstack/v1/management-nodes/ready"
}

log_in() {
    mkdir -p "$RUN/cli"
    CAIRN_PASSWORD=${CAIRN_PASSWORD:-password} cairn login --account admin >/dev/null
}

# ---- guests ----

# our_domains running|known: those that have a disk of this installation. For clearing up when the server cannot be
# asked.
our_domains() {
    local domain xml flags=()
    if [[ $1 == known ]]; then flags=(--all); fi
    for domain in $(virsh -q -c qemu:///system list --uuid "${flags[@]}" 2>/dev/null); do
        xml=$(virsh -q -c qemu:///system dumpxml "$domain" 2>/dev/null) || continue
        if [[ $xml == *"'$RUN/"* ]]; then echo "$domain"; fi
    done
}
