#!/usr/bin/env bash
# hypervisor.sh start|stop|status [DIR]
#
# Makes sure that libvirt answers at qemu:///system. A libvirtd that is running already is used as it is. On machines
# without one (containers, CI: no systemd) a private libvirtd is started, with its configuration, pid and log in DIR
# (default .run/hypervisor), in the machine's own network and file system. Stopping it leaves guests running.
#
# Where /dev/kvm exists and cannot run a guest, libvirtd does not get to see it: it would probe it for minutes.
set -euo pipefail

SCRIPTS=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
URI=qemu:///system

fail() {
    echo "hypervisor: $*" >&2
    exit 1
}

libvirt_answers() { timeout 10 virsh -q -c "$URI" uri >/dev/null 2>&1; }

our_pid() {
    local pid
    pid=$(cat "$DIR/libvirtd.pid" 2>/dev/null) || return 1
    [[ $(readlink "/proc/$pid/exe" 2>/dev/null) == */libvirtd ]] && echo "$pid"
}

# Runs a 512-byte guest that enters 64-bit mode and uses one instruction that only a real processor can run.
tiny_guest_runs() {
    local work=$DIR/probe status=0
    mkdir -p "$work"
    as -o "$work/guest.o" "$SCRIPTS/kvm-probe.S"
    objcopy -O binary -j .text "$work/guest.o" "$work/guest.bin"
    timeout -k 1 3 qemu-system-x86_64 -accel kvm -m 64 -nodefaults -display none -no-reboot \
        -drive "file=$work/guest.bin,format=raw,if=ide" -device isa-debug-exit,iobase=0xf4,iosize=1 \
        >"$work/log" 2>&1 </dev/null || status=$?
    [[ $status -eq 33 ]]
}

probe_kvm() {
    if [[ ! -e /dev/kvm ]]; then
        echo "emulation (no /dev/kvm)"
    elif ! grep -qwE 'vmx|svm' /proc/cpuinfo; then
        echo "emulation (/dev/kvm is there, the processor has no virtualization)"
    elif ! tiny_guest_runs; then
        echo "emulation (/dev/kvm is there, but a small test guest did not run)"
    else
        echo "kvm"
    fi
}

# The result holds until the machine restarts.
accelerator() {
    local cache=$DIR/accelerator boot
    boot=$(cat /proc/sys/kernel/random/boot_id)
    if [[ $(head -n 1 "$cache" 2>/dev/null) != "$boot" ]]; then
        { echo "$boot" && probe_kvm; } >"$cache.new"
        mv "$cache.new" "$cache"
    fi
    tail -n 1 "$cache"
}

write_config() {
    [[ -s $DIR/host-uuid ]] || cp /proc/sys/kernel/random/uuid "$DIR/host-uuid"
    cat >"$DIR/libvirtd.conf" <<EOF
auth_unix_rw = "none"
auth_unix_ro = "none"
unix_sock_rw_perms = "0700"
host_uuid = "$(cat "$DIR/host-uuid")"
log_outputs = "3:file:$DIR/libvirtd.log"
EOF
    cat >"$DIR/qemu.conf" <<EOF
user = "root"
group = "root"
security_driver = "none"
stdio_handler = "file"
remember_owner = 0
# Guests share the /dev of libvirtd: a private one per guest cannot be made while a file stands in for /dev/kvm.
namespaces = []
EOF
}

# A mount made later (a test's small file system) must reach libvirtd, so its mount namespace follows the machine's.
# systemd shares / in this way at boot; here nobody did.
share_mounts() {
    [[ $(findmnt -no PROPAGATION /) == shared* ]] || mount --make-rshared / 2>/dev/null || true
}

# Runs inside the new mount namespace: our qemu.conf, and a read-only file in place of a useless /dev/kvm. It must not
# even look writable: libvirtd throws its knowledge about QEMU away, and asks QEMU again at every turn (4 s each),
# while "no KVM" is what it knows and a writable /dev/kvm is what it sees.
# shellcheck disable=SC2016 # expanded by the inner shell
IN_NAMESPACE='
    set -e
    mount --bind "$1/qemu.conf" /etc/libvirt/qemu.conf
    if [ "$2" = hide ]; then
        : >"$1/no-kvm"
        mount --bind "$1/no-kvm" /dev/kvm
        mount -o remount,bind,ro /dev/kvm
    fi
    exec libvirtd -f "$1/libvirtd.conf" -p "$1/libvirtd.pid"
'

launch() {
    local hide=show
    [[ $1 == kvm || ! -e /dev/kvm ]] || hide=hide
    rm -f "$DIR/libvirtd.pid"
    share_mounts
    setsid unshare --mount --propagation slave sh -c "$IN_NAMESPACE" sh "$DIR" "$hide" \
        >"$DIR/libvirtd.out" 2>&1 </dev/null 9>&- &
    local child=$! tries
    for ((tries = 0; tries < 600; tries++)); do
        if libvirt_answers; then return; fi
        kill -0 "$child" 2>/dev/null || break
        sleep 0.1
    done
    tail -n 20 "$DIR/libvirtd.out" "$DIR/libvirtd.log" >&2 || true
    if kill -0 "$child" 2>/dev/null; then
        kill "$child"
        fail "libvirtd did not answer within 60 s (log above); is another libvirtd hanging?"
    fi
    fail "libvirtd ended at once (log above); try: $SCRIPTS/install-packages.sh"
}

describe() {
    local owner="the machine's own libvirtd" pid
    if pid=$(our_pid); then owner="private libvirtd, pid $pid"; fi
    echo "hypervisor: $owner; guests run under $(accelerator)"
}

start() {
    type libvirtd virsh >/dev/null 2>&1 ||
        fail "libvirt is not installed; run $SCRIPTS/install-packages.sh"
    [[ $EUID -eq 0 ]] || fail "run as root"
    mkdir -p "$DIR"
    if ! libvirt_answers; then
        local accelerator
        accelerator=$(accelerator)
        write_config
        launch "$accelerator"
    fi
    describe
}

stop() {
    local pid tries
    pid=$(our_pid) || return 0
    kill "$pid"
    for ((tries = 0; tries < 100; tries++)); do
        our_pid >/dev/null || break
        sleep 0.1
    done
    if our_pid >/dev/null; then kill -9 "$pid"; fi
    rm -f "$DIR/libvirtd.pid"
    echo "hypervisor: libvirtd stopped"
}

status() {
    libvirt_answers || fail "libvirt does not answer at $URI"
    describe
}

main() {
    DIR=${2:-${CAIRN_TEST_HOST:-$SCRIPTS/../.run}/hypervisor}
    DIR=$(realpath -m "$DIR")
    case ${1:-} in
    start | stop | status) "$1" ;;
    *) fail "usage: hypervisor.sh start|stop|status [DIR]" ;;
    esac
}

main "$@"
