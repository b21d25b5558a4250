#!/usr/bin/env bash
# bare-machine.sh
#
# What the lab needs to put a bare Debian machine beside this one: a root file system with systemd, sshd and sudo, and
# nothing that Cairn needs; and a folder of packages from which that machine's own apt installs the rest, because it has
# no way out. Prints the folder that holds both, as root/ and packages/. It is kept under a hash of this script and of the
# lists of packages in $CAIRN_CACHE (default .run/cache), so that only the first run builds. What it holds must not be
# changed: lay something over root/. Everything comes by this machine's own apt, from wherever that gets its packages.
set -euo pipefail

SCRIPTS=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
CACHE=${CAIRN_CACHE:-$SCRIPTS/../.run/cache}
LISTS=$SCRIPTS/../server/src/hardware/ssh/packages
SUITE=bookworm
BASE=(apt systemd systemd-sysv dbus openssh-server sudo iproute2)

say() { echo "bare-machine: $*" >&2; }
fail() {
    say "$*"
    exit 1
}

# Packages that every Debian system has, by what apt says of them.
required_packages() {
    apt-cache dumpavail | awk -v RS= '/\nPriority: required\n/ || /\nEssential: yes\n/' |
        sed -n 's/^Package: //p' | sort -u
}

download() {
    apt-get install -y -q --download-only --no-install-recommends -o APT::Sandbox::User=root \
        -o Dir::State::status="$WORK/no-packages" -o Dir::Cache::archives="$WORK/packages" "$@" \
        </dev/null >"$WORK/apt.log" 2>&1
}

# The packages named and all that they need, as if nothing were installed, and an index over them.
fetch_packages() {
    mkdir -p "$WORK/packages/partial"
    : >"$WORK/no-packages"
    # Old package lists name versions that the mirror no longer has.
    download "$@" || { apt-get update -q >"$WORK/apt.log" 2>&1 </dev/null && download "$@"; } ||
        fail "could not fetch the packages: $(tail -n 3 "$WORK/apt.log")"
    cd "$WORK/packages"
    rm -rf partial lock
    apt-ftparchive packages . >Packages
    apt-ftparchive -o APT::FTPArchive::Release::Suite=$SUITE -o APT::FTPArchive::Release::Codename=$SUITE \
        release . >"$WORK/Release"
    mv "$WORK/Release" Release
    cd - >/dev/null
}

make_root() {
    local names
    names=$(IFS=,; echo "$*")
    mmdebstrap --quiet --variant=essential --include="$names" --dpkgopt=force-unsafe-io $SUITE "$WORK/root" \
        "deb [trusted=yes] copy:$WORK/packages ./" >&2 </dev/null
    # Each machine makes its own.
    rm -f "$WORK"/root/etc/ssh/ssh_host_* "$WORK"/root/etc/apt/sources.list.d/*
    : >"$WORK/root/etc/machine-id"
    echo 'deb [trusted=yes] file:/srv/packages ./' >"$WORK/root/etc/apt/sources.list"
}

build() {
    local required hosts
    WORK=$(mktemp -d "$CACHE/bare-machine.XXXXXX")
    trap 'rm -rf --one-file-system "$WORK"' EXIT
    say "building (once; kept in $CACHE)"
    apt-cache show qemu-system-x86 >/dev/null 2>&1 || apt-get update -q >"$WORK/apt.log" 2>&1 </dev/null ||
        fail "apt-get update failed: $(tail -n 3 "$WORK/apt.log")"
    mapfile -t required < <(required_packages)
    mapfile -t hosts < <(cat "$LISTS"/*)
    fetch_packages "${required[@]}" "${BASE[@]}" "${hosts[@]}"
    make_root "${required[@]}" "${BASE[@]}"
    chmod 755 "$WORK"
    rm -f "$WORK"/{no-packages,apt.log,lock,lock-frontend}
    find "$CACHE" -maxdepth 1 -name 'bare-????????????????' -mtime +7 -exec rm -rf --one-file-system {} +
    mv "$WORK" "$1"
}

inputs_hash() {
    (cd "$SCRIPTS" && sha256sum bare-machine.sh "$LISTS"/*) | sed 's|/.*/||' | sha256sum | cut -c 1-16
}

main() {
    [[ $EUID -eq 0 ]] || fail "this needs root: it unpacks a root file system"
    mkdir -p "$CACHE"
    CACHE=$(cd "$CACHE" && pwd)
    local folder
    folder=$CACHE/bare-$(inputs_hash)
    exec 9>"$CACHE/bare-machine.lock"
    flock 9
    [[ -d $folder ]] || build "$folder"
    echo "$folder"
}

main "$@"
