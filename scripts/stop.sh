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

# The agent leaves DHCP servers, their namespaces and the bridge running, so that its own restart hurts no guest.
remove_guest_network() {
    local file pid namespace bridge
    while read -r file; do
        pid=$(cat "$file")
        [[ $(readlink "/proc/$pid/exe" 2>/dev/null) == */dnsmasq ]] || continue
        namespace=$(ip netns identify "$pid" 2>/dev/null || true)
        kill "$pid" 2>/dev/null || true
        if [[ -n $namespace ]]; then ip netns delete "$namespace" || true; fi
    done < <(find "$RUN/agent" -type f \( -name pid -o -name '*.pid' \) 2>/dev/null)
    bridge=$(basename "$(readlink "/sys/class/net/$UPLINK/master" 2>/dev/null)")
    if [[ -n $bridge ]]; then ip link delete "$bridge" || true; fi
    if [[ -e /sys/class/net/$UPLINK ]]; then ip link delete "$UPLINK" || true; fi
}

main() {
    require_root
    [[ -d $RUN ]] || { say "nothing to stop: there is no $RUN" && return; }
    exec 9>"$RUN/lock"
    flock -w 300 9 || fail "a run is at work in $RUN" "Wait until it is done, then stop"
    stop_vms_through_the_api
    stop_service cairn-agent
    stop_service cairn-server
    stop_remaining_domains
    remove_guest_network
    "$SCRIPTS/hypervisor.sh" stop "$RUN/hypervisor"
    say "stopped; the data stays in $RUN (make clean-data removes it)"
}

main "$@"
