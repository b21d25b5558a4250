#!/usr/bin/env bash
# second-host.sh ADDRESS KEY
#
# A second machine for the test of AddKVMHost: namespaces with an sshd, an own libvirtd, an own /etc, /run and package
# database, at the end of a cable to this machine (ADDRESS.1 here, ADDRESS.2 there; ADDRESS is three numbers). Users: root
# and 'worker' (may use sudo) with password 'right', 'nobody2' without sudo. KEY.pub lets root in. Prints its pid when it is
# ready, and ends with its standard input. Whatever was started there ends with it; the machine's own files stay as they are.
set -euo pipefail
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

if [[ $1 != --inside ]]; then
    address=$1 key=$2
    work=$(mktemp -d "${TMPDIR:-/var/tmp}/cairn-host.XXXXXX")
    # shellcheck disable=SC2317 # a trap calls it
    cleanup() {
        [[ -z ${pid:-} ]] || kill -9 "$pid" 2>/dev/null || true
        wait 2>/dev/null || true
        ip link del cairn-h1 2>/dev/null || true
        rm -rf --one-file-system "$work"
    }
    trap cleanup EXIT
    ip link del cairn-h1 2>/dev/null || true
    unshare -m -n -p -u --fork --kill-child --mount-proc bash "$0" --inside "$work" "$address" "$key" >&2 &
    outer=$!
    for ((i = 0; i < 100; i++)); do
        pid=$(pgrep -P "$outer" 2>/dev/null | head -n 1) && break
        sleep 0.05
    done
    ip link add cairn-h1 type veth peer name eth0 netns "$pid"
    ip addr add "$address.1/24" dev cairn-h1
    ip link set cairn-h1 up
    for ((i = 0; i < 600; i++)); do
        [[ ! -e $work/ready ]] || break
        kill -0 "$pid" 2>/dev/null || exit 1
        sleep 0.1
    done
    echo "$pid"
    cat >/dev/null
    exit 0
fi

work=$2 address=$3 key=$4
mount --make-rprivate /
hostname second-host
mkdir -p "$work"/{cgroup,layers}
mount -t tmpfs tmpfs "$work/layers"
mount --rbind /sys/fs/cgroup "$work/cgroup"
mount -t sysfs sysfs /sys
mount --rbind "$work/cgroup" /sys/fs/cgroup
# Changes to these folders stay here.
for folder in /etc /var/lib /var/cache /var/log /usr/local; do
    layer=$work/layers/${folder//\//-}
    mkdir -p "$layer/up" "$layer/work"
    mount -t overlay overlay -o "lowerdir=$folder,upperdir=$layer/up,workdir=$layer/work" "$folder"
done
mount -t tmpfs -o mode=755 tmpfs /run
mkdir -p /run/lock /run/sshd
rm -rf /var/lib/libvirt/qemu/* /var/lib/cairn-agent /etc/libvirt/qemu/*.xml
ip link set lo up
until ip link show eth0 >/dev/null 2>&1; do sleep 0.05; done
ip addr add "$address.2/24" dev eth0
ip link set eth0 up

for user in worker nobody2; do useradd -M -d /tmp -s /bin/sh "$user"; done
printf '%s\n' root:right worker:right nobody2:right | chpasswd
mkdir -p /etc/sudoers.d /etc/keys
printf 'worker ALL=(ALL) ALL\n' >/etc/sudoers.d/worker
cp "$key.pub" /etc/keys/root
chmod 644 /etc/keys/root
ssh-keygen -q -t ed25519 -N '' -f /etc/keys/host
cat >/etc/sshd_second <<EOF
HostKey /etc/keys/host
AuthorizedKeysFile /etc/keys/%u
StrictModes no
PermitRootLogin yes
PasswordAuthentication yes
UsePAM no
PidFile none
EOF
/usr/sbin/sshd -f /etc/sshd_second
"$HERE/../../scripts/hypervisor.sh" start "$work/hypervisor"
touch "$work/ready"
trap : TERM
while :; do
    sleep infinity &
    wait
done
