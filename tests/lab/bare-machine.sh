#!/usr/bin/env bash
# bare-machine.sh FOLDER NUMBER KEY
#
# A machine of its own beside this one: Debian with systemd as its first process, sshd and sudo, and nothing else, on a
# throw-away copy of FOLDER/root (see scripts/bare-machine.sh), at the end of a cable: 172.30.96.(4N+1) here and
# 172.30.96.(4N+2) there, N being NUMBER. Its apt knows only FOLDER/packages. It has no /dev/kvm. Users root and 'worker'
# (may use sudo) have the password 'right'; KEY.pub lets both in. Device up0 is for networks of guests; its other end
# has 172.30.95.1.
#
# Prints the pid of its first process whenever it has booted, so once more after a reboot. Ends with its standard input,
# and everything there ends with it.
set -euo pipefail

[[ ${IN_OWN_MOUNTS:-} == yes ]] || IN_OWN_MOUNTS=yes exec unshare --mount --propagation private "$0" "$@"

FOLDER=$1 NUMBER=$2 KEY=$3
NAME=cairn-bm$NUMBER
HERE=172.30.96.$((4 * NUMBER + 1))
THERE=172.30.96.$((4 * NUMBER + 2))

# The folders of the groups that it lives in, one per hierarchy.
groups() {
    local kind path
    while IFS=: read -r _ kind path; do
        case $kind in
        '') for path in "/sys/fs/cgroup/unified$path" "/sys/fs/cgroup$path"; do
            if [[ -e $path/cgroup.procs ]]; then echo "${path%/}/$NAME" && break; fi
        done ;;
        *) echo "/sys/fs/cgroup/${kind#name=}${path%/}/$NAME" ;;
        esac
    done </proc/self/cgroup
}

# shellcheck disable=SC2317 # a trap calls it
remove_groups() {
    local group
    for group in "${GROUPS_OF_IT[@]}"; do
        find "$group" -depth -type d -exec rmdir {} +
    done
}

# shellcheck disable=SC2317 # a trap calls it
cleanup() {
    trap '' TERM INT
    # What is gone already is as well.
    set +e
    exec 2>/dev/null
    if [[ -n ${first:-} ]]; then kill -9 "$first"; fi
    if [[ -n ${runner:-} ]]; then
        for ((i = 0; i < 50; i++)); do
            kill -0 "$runner" || break
            sleep 0.1
        done
        kill -9 "$runner"
        wait "$runner"
    fi
    ip link del "$NAME"
    for ((i = 0; i < 30; i++)); do
        remove_groups
        [[ -d ${GROUPS_OF_IT[0]} ]] || break
        sleep 0.1
    done
    umount -l "$WORK"
    rmdir "$WORK"
}

# The root file system: what changes stays in memory, also over a reboot.
lay_out() {
    mount -t tmpfs -o mode=755 tmpfs "$WORK"
    mkdir -p "$WORK"/{up,work,root}
    mount -t overlay overlay -o "lowerdir=$FOLDER/root,upperdir=$WORK/up,workdir=$WORK/work" "$WORK/root"
    local root=$WORK/root user
    echo "$NAME" >"$root/etc/hostname"
    printf '127.0.0.1 localhost\n127.0.1.1 %s\n' "$NAME" >"$root/etc/hosts"
    printf 'PermitRootLogin yes\n' >"$root/etc/ssh/sshd_config.d/lab.conf"
    ssh-keygen -A -f "$root" >/dev/null
    chroot "$root" useradd --create-home --shell /bin/sh worker
    printf '%s\n' root:right worker:right | chroot "$root" chpasswd
    printf 'worker ALL=(ALL) ALL\n' >"$root/etc/sudoers.d/worker"
    for user in root home/worker; do
        install -d -m 700 "$root/$user/.ssh"
        install -m 600 "$KEY.pub" "$root/$user/.ssh/authorized_keys"
        chroot "$root" chown -R "${user##*/}:" "/$user/.ssh"
    done
    # What the runner keeps of machines stays here as well.
    mkdir -p "$WORK/runner"
    [[ ! -d /run/systemd ]] || mount --bind "$WORK/runner" /run/systemd
}

power_on() {
    local group
    for group in "${GROUPS_OF_IT[@]}"; do
        mkdir -p "$group"
        # A new group of this kind has no processors and no memory until it is given some.
        for what in cpus mems; do
            [[ ! -e $group/cpuset.$what ]] || cat "$group/../cpuset.$what" >"$group/cpuset.$what" 2>/dev/null || true
        done
    done
    (
        for group in "${GROUPS_OF_IT[@]}"; do echo "$BASHPID" >"$group/cgroup.procs"; done
        export SYSTEMD_NSPAWN_API_VFS_WRITABLE=yes
        exec setpriv --pdeathsig KILL systemd-nspawn --quiet --directory="$WORK/root" --machine="$NAME" --boot \
            --register=no --keep-unit --private-network --console=pipe --setenv=container=cairn \
            --capability=all --system-call-filter='@keyring bpf' --bind-ro="$FOLDER/packages:/srv/packages"
    ) >&2 </dev/null &
    runner=$!
}

# The pid of its first process, once it is systemd in a network of its own.
first_process() {
    local pid
    pid=$(pgrep -P "$runner" -x systemd 2>/dev/null) || return 1
    [[ $(readlink "/proc/$pid/ns/net") != "$(readlink /proc/self/ns/net)" ]] && echo "$pid"
}

plug_in() {
    ip link del "$NAME" 2>/dev/null || true
    ip link add "$NAME" type veth peer name eth0 netns "$first"
    ip addr add "$HERE/30" dev "$NAME"
    ip link set "$NAME" up
    nsenter -t "$first" -n sh -e -c "
        ip link set lo up
        ip addr add $THERE/30 dev eth0
        ip link set eth0 up
        ip link add up0 type veth peer name up0p
        ip addr add 172.30.95.1/24 dev up0p
        ip link set up0 up
        ip link set up0p up"
    for ((i = 0; i < 300; i++)); do
        if (: <"/dev/tcp/$THERE/22") 2>/dev/null; then break; fi
        sleep 0.1
    done
    # A real machine's libvirt may make groups; the runner mounts them read-only.
    # shellcheck disable=SC2016 # expanded there
    nsenter -t "$first" -m -C sh -c 'for c in /sys/fs/cgroup /sys/fs/cgroup/*; do mount -o remount,bind,rw "$c"; done' \
        2>/dev/null || true
}

WORK=$(mktemp -d "${TMPDIR:-/var/tmp}/cairn-bare.XXXXXX")
mapfile -t GROUPS_OF_IT < <(groups)
trap cleanup EXIT
trap 'exit 0' TERM INT
lay_out
power_on
first=
while true; do
    if ! kill -0 "$runner" 2>/dev/null; then
        status=0
        wait "$runner" || status=$?
        # So the runner says that the machine wants to boot again.
        [[ $status -eq 133 ]] || break
        power_on
    fi
    if now=$(first_process) && [[ $now != "$first" ]]; then
        first=$now
        plug_in
        echo "$first"
    fi
    # Its end is the end of the machine; nothing is ever said.
    status=0
    read -r -t 0.2 _ || status=$?
    [[ $status -gt 128 ]] || exit 0
done
echo "bare-machine: the machine went off" >&2
exit 1
