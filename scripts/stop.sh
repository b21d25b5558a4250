#!/usr/bin/env bash
# Ends what run.sh started: virtual machines, agent, server, PostgreSQL, network of the guests, hypervisor. Leaves the data.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

STOP_SECONDS=60
STATUS=0

stop_vms_through_the_api() {
    local vm
    server_answers && log_in 2>/dev/null || return 0
    for vm in $(cairn vm list 'state?=Running,Paused,Unknown' -o json 2>/dev/null | jq -r '.[].uuid'); do
        say "stopping VM $vm"
        cairn vm stop "$vm" --timeout "$STOP_SECONDS" --quiet -o json >/dev/null 9>&- &
    done
    wait
}

# What the server could not stop, or nobody asked it to: a changed password must not keep anything running.
stop_remaining_domains() {
    local domain domains tries
    domains=$(our_domains running)
    [[ -n $domains ]] || return 0
    for domain in $domains; do
        say "asking the guest of VM $domain to shut down"
        virsh -q -c qemu:///system shutdown "$domain" >/dev/null 2>&1 || true
    done
    for ((tries = 0; tries < 20; tries++)); do
        [[ -n $(our_domains running) ]] || return 0
        sleep 1
    done
    for domain in $(our_domains running); do
        say "powering off VM $domain"
        virsh -q -c qemu:///system destroy "$domain" || true
    done
}

# A libvirtd that we started serves others too if they run domains in it.
stop_hypervisor() {
    local others
    others=$(virsh -q -c qemu:///system list --uuid 2>/dev/null || true)
    if [[ -n $others ]]; then
        say "libvirtd stays: domains that are not of this installation run in it"
        return
    fi
    "$SCRIPTS/hypervisor.sh" stop "$RUN/hypervisor"
}

# The agent leaves DHCP servers, their namespaces, rules and the bridge in place when it ends, so that its own restart
# hurts no guest.
remove_guest_network() {
    local agent
    agent=$(of_store agent)
    if [[ -d $agent && -x $BIN/cairn-agent ]]; then
        if ! "$BIN/cairn-agent" --dir "$agent" --purge --log warn 9>&-; then
            say "some of the agent's network could not be removed (the reason is above)"
            STATUS=1
        fi
    fi
    if [[ -e /sys/class/net/$UPLINK ]]; then ip link delete "$UPLINK" || true; fi
}

main() {
    require_root
    [[ -d $RUN ]] || { say "nothing to stop: there is no $RUN" && return; }
    exec 9>"$RUN/lock"
    flock -w 300 9 || fail "a run is at work in $RUN" "Wait until it is done, then stop"
    # The programs that run.sh started, whatever PROFILE says now.
    BIN=$(cat "$RUN/bin" 2>/dev/null || echo "$BIN")
    stop_vms_through_the_api
    stop_service cairn-agent
    if server_pid >/dev/null; then server_ctl stop >/dev/null || STATUS=1; fi
    if [[ -d $RUN/postgres ]]; then "$SCRIPTS/postgres.sh" stop "$RUN/postgres" || STATUS=1; fi
    stop_remaining_domains
    remove_guest_network
    stop_hypervisor
    ((STATUS == 0)) || fail "something stays (the reason is above)" "Mend that and run make stop again"
    say "stopped; the data stays in $RUN (make clean-data removes it)"
}

main "$@"
