#!/usr/bin/env bash
# install-packages.sh [LIST]: installs the packages of a list in this folder, scripts/packages.txt if none is named, that are
# missing. Does nothing, quickly, when all are there.
# Starts no daemon: what Cairn needs running, its own scripts start.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

LIST=${1:-packages.txt}
POLICY=/usr/sbin/policy-rc.d
policy_is_ours=false

wanted_packages() {
    sed -e 's/#.*//' -e '/^[[:space:]]*$/d' "$LIST"
}

missing_packages() {
    comm -23 <(wanted_packages | sort -u) \
        <(dpkg-query -W -f '${db:Status-Status} ${Package}\n' 2>/dev/null | sed -n 's/^installed //p' | sort -u)
}

fail() {
    echo "install-packages: $1" >&2
    exit 1
}

# Without this file, installing openssh-server or libvirt would start them on the spot.
forbid_daemon_starts() {
    [[ -e $POLICY ]] && return
    printf '#!/bin/sh\nexit 101\n' >"$POLICY"
    chmod 755 "$POLICY"
    policy_is_ours=true
}

allow_daemon_starts() {
    if $policy_is_ours; then rm -f "$POLICY"; fi
}

# True when apt knows a version of every package given; an empty package list knows none.
all_known_to_apt() {
    local known
    known=$(LC_ALL=C apt-cache policy "$@" 2>/dev/null | grep -c 'Candidate: [^(]' || true)
    [[ $known -eq $# ]]
}

apt_install() {
    DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends \
        -o DPkg::Lock::Timeout=300 -o Dpkg::Options::=--force-confold -o Dpkg::Use-Pty=0 "$@" </dev/null
}

refresh_package_lists() {
    echo "install-packages: refreshing the package lists"
    apt-get update -q -o DPkg::Lock::Timeout=300 </dev/null
}

main() {
    command -v dpkg-query >/dev/null || fail "this is not a Debian system; install what $LIST names by hand"
    local missing
    mapfile -t missing < <(missing_packages)
    [[ ${#missing[@]} -gt 0 ]] || return 0
    echo "install-packages: missing: ${missing[*]}"
    [[ $EUID -eq 0 ]] || fail "run as root, or install these packages yourself: apt-get install ${missing[*]}"

    trap allow_daemon_starts EXIT
    forbid_daemon_starts
    local refreshed=false
    if ! all_known_to_apt "${missing[@]}"; then
        refresh_package_lists || fail "apt-get update failed; check /etc/apt/sources.list and the network, then run this again"
        refreshed=true
    fi
    if ! apt_install "${missing[@]}"; then
        # Old lists point at versions the mirror no longer has.
        $refreshed || refresh_package_lists || true
        apt_install "${missing[@]}" || fail "apt-get install failed (see above); repair it, then run this again"
    fi
    mapfile -t missing < <(missing_packages)
    [[ ${#missing[@]} -eq 0 ]] || fail "still missing after the installation: ${missing[*]}"
}

main "$@"
