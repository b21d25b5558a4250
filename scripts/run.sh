#!/usr/bin/env bash
# From nothing to a running virtual machine on this computer: make run.
#
# Everything is found or made: packages, programs, hypervisor, server, agent, first resources, guest image, VM hello.
# A second run finds all of it, and starts the VM if it is stopped. scripts/lib.sh lists what can be set.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
source "$SCRIPTS/build.sh"

KEY=$RUN/ssh/id_ed25519
VM_NAME=hello

# ---- this computer ----

check_ports() {
    local port
    for port in "$API_PORT" "$PAGE_PORT" "$AGENT_PORT" "$IMAGE_PORT"; do
        if ss -Hltn "sport = :$port" | grep -q .; then
            fail "port $port is taken by: $(ss -Hltnp "sport = :$port" | sed -n 's/.*users:((//p' | head -n 1)" \
                "End that program, or choose another port: CAIRN_API_PORT, CAIRN_PAGE_PORT, CAIRN_AGENT_PORT or CAIRN_IMAGE_PORT=... make run"
        fi
    done
}

# The veth pair of the guests' network. The machine's own interfaces stay as they are.
make_uplink() {
    local gateway=$SUBNET.1 peer=${UPLINK}p
    if [[ ! -e /sys/class/net/$UPLINK ]]; then
        if ip -4 -o route show to match "$gateway" | grep -v '^default' | grep -q .; then
            fail "the network $SUBNET.0/24 is in use on this machine: $(ip -4 -o route get "$gateway" | head -n 1)" \
                "Choose another one for the guests: CAIRN_SUBNET=172.31.77 make run"
        fi
        ip link add "$UPLINK" type veth peer name "$peer" ||
            fail "could not make the network device $UPLINK" "The kernel needs veth devices (module veth)"
    fi
    ip addr show dev "$peer" | grep -q " $gateway/24 " || ip addr add "$gateway/24" dev "$peer"
    ip link set "$UPLINK" up
    ip link set "$peer" up
}

# ---- the platform ----

# STORE=postgres keeps the data in PostgreSQL, STORE=sqlite in a file; without it, where it was kept before.
choose_store() {
    local before
    before=$(cat "$RUN/store" 2>/dev/null || echo sqlite)
    STORE=${STORE:-$before}
    if [[ $STORE != "$before" ]] && server_pid >/dev/null; then
        fail "the platform runs and keeps its data in $before" "make stop, then make run STORE=$STORE"
    fi
    case $STORE in
    sqlite) STORE_URL= ;;
    postgres)
        "$SCRIPTS/install-packages.sh" packages-postgres.txt || exit 1
        say "PostgreSQL"
        # Without the lock of this script, which it would hold for as long as it runs.
        STORE_URL=$("$SCRIPTS/postgres.sh" start "$RUN/postgres" 9>&-) || exit 1
        ;;
    *) fail "there is no store $STORE" "STORE=sqlite or STORE=postgres make run" ;;
    esac
    if [[ $STORE != "$before" && -d $DATA ]]; then
        say "the data was kept in $before and stays there; $STORE begins with its own"
    fi
    echo "$STORE" >"$RUN/store"
}

write_server_config() {
    mkdir -p "$DATA" "$(of_store agent)"
    chmod 700 "$DATA"
    jq -n --arg listen "$LISTEN" --arg api "$API_PORT" --arg page "$PAGE_PORT" --arg agents "$AGENT_PORT" \
        --arg folder "$ROOT/ui/dist" --arg agent "$(of_store agent)" --arg store "$STORE_URL" '{
            apiAddress: ($listen + ":" + $api), pageAddress: ($listen + ":" + $page), agentAddress: ("0.0.0.0:" + $agents),
            pageDir: $folder, localAgentDir: $agent
        } + (if $store == "" then {} else { store: $store } end)' >"$DATA/server.json.new"
    if ! cmp -s "$DATA/server.json.new" "$DATA/server.json" && server_pid >/dev/null; then
        say "the server's settings are others now; restarting it"
        server_ctl stop >/dev/null || true
    fi
    mv "$DATA/server.json.new" "$DATA/server.json"
    ln -sfn ../data/server.log "$RUN/log/cairn-server.log"
}

start_platform() {
    local pid
    if pid=$(service_pid cairn-agent) && is_outdated "$pid"; then
        say "cairn-agent was built anew; restarting it"
        stop_service cairn-agent
    fi
    if pid=$(server_pid) && is_outdated "$pid"; then
        say "cairn-server was built anew; restarting it"
        server_ctl stop >/dev/null || true
    fi
    write_server_config
    if ! server_pid >/dev/null; then
        # An agent that outlived its server holds its own port rightly.
        stop_service cairn-agent
        check_ports
        server_ctl start >/dev/null || fail "the server does not start (the reason is above)" "Its log is $RUN/log/cairn-server.log"
    fi
    service_pid cairn-agent >/dev/null || start_service cairn-agent --dir "$(of_store agent)" --image-store-port "$IMAGE_PORT"
    write_environment
    log_in || fail "the login as admin failed" "If the password was changed, say so: CAIRN_PASSWORD=... make run" \
        "If it is forgotten: $BIN/cairn-ctl --data-dir $DATA reset-password"
}

# ---- resources, by name ----

# first NOUN CONDITION... : the first one as JSON, or nothing.
first() {
    local noun=$1
    shift
    cairn "$noun" list "$@" -o json | jq -c '.[0] // empty'
}

uuid_of() { jq -r '.uuid'; }

# ensure NOUN NAME VERB ARGUMENT...: prints the uuid of the resource of that name, which is made if it is not there.
ensure() {
    local noun=$1 name=$2 verb=$3 found
    shift 3
    found=$(first "$noun" "name=$name")
    if [[ -z $found ]]; then
        say "  making $noun $name" >&2
        found=$(cairn "$noun" "$verb" --name "$name" "$@" --quiet -o json) ||
            fail "could not make $noun $name (the reason is above)" "The server's log is $RUN/log/cairn-server.log"
    fi
    uuid_of <<<"$found"
}

# attach NOUN UUID FIELD TO TO-UUID: unless FIELD of the resource says that it is attached.
attach() {
    local noun=$1 uuid=$2 field=$3 to=$4 to_uuid=$5
    if first "$noun" "uuid=$uuid" | jq -e --arg to "$to_uuid" --arg field "$field" '.[$field] // [] | index($to)' >/dev/null; then
        return
    fi
    say "  attaching $noun to $to"
    cairn "$noun" attach "--$noun-uuid" "$uuid" "--$to-uuid" "$to_uuid" --quiet -o json >/dev/null ||
        fail "could not attach $noun to $to (the reason is above)" "The server's log is $RUN/log/cairn-server.log"
}

wait_for_host() {
    cairn host wait "$1" --status Connected --timeout 60 --quiet >/dev/null ||
        fail "this host did not connect to the server" "See $RUN/log/cairn-agent.log and $RUN/log/cairn-server.log"
}

ensure_network() {
    local l2 provider
    l2=$(ensure l2-network l2-hello create-no-vlan --zone-uuid "$ZONE" --physical-interface "$UPLINK")
    attach l2-network "$l2" attachedClusterUuids cluster "$CLUSTER"
    L3=$(ensure l3-network net-hello create --l2-network-uuid "$l2")
    ensure ip-range range-hello add --l3-network-uuid "$L3" --start-ip "$SUBNET.10" --end-ip "$SUBNET.250" \
        --netmask 255.255.255.0 --gateway "$SUBNET.1" >/dev/null
    if [[ -z $(first l3-network "uuid=$L3" | jq -r '.networkServices[]?.networkServiceType') ]]; then
        provider=$(cairn network-service list-providers type=Flat -o json | jq -r '.[0].uuid')
        cairn l3-network attach-service "$L3" --network-services "$provider=DHCP,Userdata" --quiet -o json >/dev/null ||
            fail "could not attach DHCP to the network (the reason is above)" "The server's log is $RUN/log/cairn-server.log"
    fi
}

ensure_resources() {
    local host primary store
    mkdir -p "$(of_store primary)" "$(of_store images)"
    ZONE=$(ensure zone zone1 create)
    CLUSTER=$(ensure cluster cluster1 create --zone-uuid "$ZONE" --hypervisor-type KVM)
    primary=$(ensure primary-storage local1 add-local --zone-uuid "$ZONE" --url "$(of_store primary)")
    attach primary-storage "$primary" attachedClusterUuids cluster "$CLUSTER"
    host=$(ensure host "$(hostname)" add-local --cluster-uuid "$CLUSTER" --management-ip 127.0.0.1)
    wait_for_host "$host"
    store=$(ensure backup-storage images1 add-local --url "$(of_store images)")
    attach backup-storage "$store" attachedZoneUuids zone "$ZONE"
    OFFERING=$(ensure instance-offering tiny create --cpu-num 1 --memory-size 256M)
    ensure disk-offering 1g create --disk-size 1G >/dev/null
    ensure_network
    ensure_image "$store"
}

# The name says which build of the image it is, so that a changed script leads to a new image.
ensure_image() {
    local store=$1 name
    name=$(basename "$GUEST_IMAGE" .qcow2)
    IMAGE=$(first image "name=$name" status=Ready | uuid_of)
    [[ -n $IMAGE ]] && return
    say "  adding image $name"
    IMAGE=$(cairn image upload "$GUEST_IMAGE" --name "$name" --format qcow2 --backup-storage-uuids "$store" --quiet -o json | uuid_of) ||
        fail "could not add the guest image (the reason is above)" "See $RUN/log/cairn-agent.log and $RUN/log/cairn-server.log"
}

# ---- the virtual machine ----

make_key() {
    mkdir -p "$RUN/ssh"
    chmod 700 "$RUN/ssh"
    [[ -s $KEY ]] || ssh-keygen -q -t ed25519 -N '' -C cairn-run -f "$KEY" </dev/null
}

vm_json() { first vm "name=$VM_NAME" 'state!=Destroyed'; }

ensure_vm() {
    local vm state
    make_key
    vm=$(vm_json)
    state=$(jq -r '.state' <<<"${vm:-null}")
    case $state in
    Running) say "VM $VM_NAME is running" && return ;;
    null)
        say "creating VM $VM_NAME"
        set -- create "$VM_NAME" --instance-offering-uuid "$OFFERING" --image-uuid "$IMAGE" --l3-network-uuids "$L3" \
            --system-tag "sshkey::$(cat "$KEY.pub")"
        ;;
    Paused) say "resuming VM $VM_NAME" && set -- resume "$(uuid_of <<<"$vm")" ;;
    *) say "starting VM $VM_NAME, which is $state" && set -- start "$(uuid_of <<<"$vm")" ;;
    esac
    cairn vm "$@" --timeout 180 --quiet -o json >/dev/null ||
        fail "VM $VM_NAME does not start (the reason is above)" \
            "Look at the VM on the page, at $RUN/log/cairn-agent.log and $RUN/log/cairn-server.log"
}

write_ssh_config() {
    cat >"$RUN/ssh/config" <<EOF
Host $VM_NAME
    HostName $1
    User root
    IdentityFile $KEY
    IdentitiesOnly yes
    UserKnownHostsFile /dev/null
    StrictHostKeyChecking no
    LogLevel ERROR
EOF
}

# The guest answers at the address that the platform says it has, and says itself that it has it.
wait_for_guest() {
    local address deadline=$((SECONDS + 240)) guest
    address=$(vm_json | jq -r '.vmNics[0].ip')
    [[ $address == "$SUBNET".* ]] || fail "VM $VM_NAME has no address of the network $SUBNET.0/24 (it has: $address)" \
        "Delete the VM on the page and run this again"
    write_ssh_config "$address"
    while ((SECONDS < deadline)); do
        guest=$(ssh -F "$RUN/ssh/config" -o BatchMode=yes -o ConnectTimeout=2 "$VM_NAME" ip -4 -o addr </dev/null 2>/dev/null || true)
        if grep -qF " $address/" <<<"$guest"; then
            ADDRESS=$address
            return
        fi
        sleep 0.3
    done
    fail "the guest of VM $VM_NAME does not answer SSH at $address" "Look at its console on the page" \
        "The DHCP server's and the VM's events are in $RUN/log/cairn-agent.log"
}

write_environment() {
    cat >"$RUN/env" <<EOF
# source this to use the command line with this installation
export PATH=$BIN:\$PATH XDG_CONFIG_HOME=$RUN/cli CAIRN_SERVER=http://127.0.0.1:$API_PORT CAIRN_HOME=$DATA
EOF
}

print_summary() {
    local others="this machine only; CAIRN_LISTEN=0.0.0.0 make run opens it to others"
    if [[ $LISTEN != 127.* ]]; then others="open to other machines: change the password: cairn account update admin --password-file -"; fi
    cat <<EOF

Cairn runs. VM $VM_NAME has the address $ADDRESS and answers.

  Page          http://localhost:$PAGE_PORT   ($others)
  Login         admin / ${CAIRN_PASSWORD:-password}
  Into the VM   ssh -F $RUN/ssh/config $VM_NAME
  Command line  source $RUN/env; cairn vm list
  Stop          make stop   (keeps the data; make clean-data removes it)

  $(elapsed) s in all: $PREPARED s programs and hypervisor, $PLATFORM s the platform, $GUEST s the guest ($ACCELERATOR)
EOF
}

# Seconds since the mark given.
since() { awk -v now="$(elapsed)" -v mark="$1" 'BEGIN { printf "%.1f", now - mark }'; }

main() {
    require_root
    mkdir -p "$RUN/log" "$CAIRN_CACHE"
    exec 9>"$RUN/lock"
    flock -n 9 || fail "another run or stop is at work in $RUN" "Wait until it is done"

    say "packages"
    "$SCRIPTS/install-packages.sh" || exit 1
    choose_store
    say "programs ($PROFILE) and page"
    build_programs
    build_page
    ACCELERATOR=$("$SCRIPTS/hypervisor.sh" start "$RUN/hypervisor" 9>&-) || exit 1
    say "$ACCELERATOR"
    ACCELERATOR=${ACCELERATOR##*; }
    GUEST_IMAGE=$("$SCRIPTS/guest-image.sh") || fail "the guest image could not be built (the reason is above)" \
        "It is built from Debian packages: check the network and apt, then run this again"
    make_uplink
    echo "$BIN" >"$RUN/bin"
    PREPARED=$(elapsed)

    say "server and agent"
    start_platform
    say "zone, host, storage, network, offerings, image"
    ensure_resources
    ensure_vm
    PLATFORM=$(since "$PREPARED")

    local mark
    mark=$(elapsed)
    say "waiting for the guest's address and SSH"
    wait_for_guest
    GUEST=$(since "$mark")
    print_summary
}

main "$@"
