#!/usr/bin/env bash
# Removes the data of run.sh: database, keys, images, disks of virtual machines. Asks first; CAIRN_YES=1 does not.
# Keeps the cache of built guest images.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

confirm() {
    [[ ${CAIRN_YES:-} == 1 ]] && return
    echo "This removes all virtual machines, images and settings in $RUN:"
    du -sh "$RUN" 2>/dev/null || true
    local answer=''
    read -r -p "Type yes to go on: " answer || true
    [[ $answer == yes ]] || fail "nothing was removed" "To remove without a question: CAIRN_YES=1 make clean-data"
}

main() {
    require_root
    [[ -d $RUN ]] || { say "nothing to remove: there is no $RUN" && return; }
    confirm
    local domain
    # Domains that libvirt remembers although they are off; after the stop nobody can ask it any more.
    for domain in $(our_domains known); do
        virsh -q -c qemu:///system destroy "$domain" 2>/dev/null || true
        virsh -q -c qemu:///system undefine --nvram "$domain" 2>/dev/null || true
    done
    "$SCRIPTS/stop.sh"
    find "$RUN" -mindepth 1 -maxdepth 1 ! -path "$CAIRN_CACHE" -exec rm -rf {} +
    say "removed"
}

main "$@"
