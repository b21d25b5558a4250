#!/usr/bin/env bash
# Ends what run.sh started: virtual machines, agent, server, network of the guests, hypervisor. Leaves the data.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

STOP_SECONDS=60

stop_vms_through_the_api() {
    local vm
    server_answers && log_in 2>/dev/null || return 0
    for vm in $(cairn vm list 'state?=Running,Paused,Unknown' -o json 2>/dev/null | jq -r '.[].uuid'); do
        say "stopping VM $vm"
        cairn vm stop "$vm" --timeout "$STOP_SECONDS" --quiet -o json >/dev/null 9>&- &
    done
    wait
}

# What the server could not stop, or nobody asked it to.
stop_remaining_domains() {
    local domain
    for domain in $(our_domains running); do
        say "powering off VM $domain"
        virsh -q -c qemu:///system destroy "$domain" || true
    done
}

# The agent leaves DHCP servers, their namespaces, rules and the bridge in place when it ends, so that its own restart
# hurts no guest.
remove_guest_network() {
    if [[ -d $RUN/agent && -x $BIN/cairn-agent ]]; then
        "$BIN/cairn-agent" --dir "$RUN/agent" --purge --log warn 9>&- || say "some of the agent's network could not be removed (see above)"
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
    stop_service cairn-server
    stop_remaining_domains
    remove_guest_network
    "$SCRIPTS/hypervisor.sh" stop "$RUN/hypervisor"
    say "stopped; the data stays in $RUN (make clean-data removes it)"
}

main "$@"
