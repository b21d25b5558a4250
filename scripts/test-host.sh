#!/usr/bin/env bash
# test-host.sh COMMAND...
#
# Runs a command on a machine of its own, as far as Cairn can tell: own network (loopback only), /run, libvirt and processes.
# Whatever it starts (libvirtd, QEMU, dnsmasq) ends with it, and an installation on the real machine is not touched.
set -euo pipefail
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

if [[ ${1:-} != --inside ]]; then
    work=$(mktemp -d "${TMPDIR:-/var/tmp}/cairn-host.XXXXXX")
    status=0
    unshare -m -n -p -u --fork --kill-child --mount-proc bash "$0" --inside "$work" "$@" || status=$?
    rm -rf --one-file-system "$work"
    exit "$status"
fi

work=$2
shift 2
mount --make-rprivate /
hostname cairn-test-host
mkdir -p "$work"/{cgroup,run,etc-libvirt,var-lib,var-log,var-cache}
mount --rbind /sys/fs/cgroup "$work/cgroup"
# /sys shows the network that it was mounted in.
mount -t sysfs sysfs /sys
mount --rbind "$work/cgroup" /sys/fs/cgroup
mount -t tmpfs -o mode=755 tmpfs /run
mkdir -p /run/lock
cp -a /etc/libvirt/. "$work/etc-libvirt/"
cp -a /var/cache/libvirt/. "$work/var-cache/" 2>/dev/null || true
mount --bind "$work/etc-libvirt" /etc/libvirt
mount --bind "$work/var-lib" /var/lib/libvirt
mount --bind "$work/var-log" /var/log/libvirt
mount --bind "$work/var-cache" /var/cache/libvirt
ip link set lo up
export CAIRN_TEST_HOST=$work
"$HERE/hypervisor.sh" start "$work/hypervisor"
status=0
"$@" || status=$?
exit "$status"
