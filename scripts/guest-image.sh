#!/usr/bin/env bash
# guest-image.sh [--password PASSWORD] [OUT.qcow2]
#
# Builds a small Linux guest from Debian packages: cloud kernel, busybox, dropbear (SSH), guest agent and a first-boot
# script that reads a config drive or the metadata service. It boots from its own disk in a few seconds, even emulated.
# Prints the path of the image. The result is kept under a hash of this script and scripts/guest-image/ in $CAIRN_CACHE
# (default .run/cache), so that only the first run builds. Mounts nothing and needs no loop device.
#
# root logs in by SSH key only, unless --password gives a password.
set -euo pipefail

SCRIPTS=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
FILES=$SCRIPTS/guest-image
CACHE=${CAIRN_CACHE:-$SCRIPTS/../.run/cache}
DISK_MIB=128
BOOT_MIB=24

# Copied with their libraries. Everything else is the static busybox: under emulation a dynamic program takes
# 45 ms to start and a static one 10, and booting is mostly starting programs.
PROGRAMS=(
    usr/sbin/dropbear usr/bin/dropbearkey usr/sbin/qemu-ga sbin/resize2fs
    usr/sbin/chpasswd lib/x86_64-linux-gnu/security/pam_unix.so
)
# These look names up, which crashes in the static busybox, or are missing from it.
DYNAMIC_APPLETS=(wget ping ping6 telnet nc traceroute ftpget ftpput tftp rdate hostname nslookup blkid)
PACKAGES=(busybox dropbear-bin qemu-guest-agent e2fsprogs passwd libpam-modules)
# Loaded before the root file system is mounted: at once, and only when no virtio disk has it.
MODULES_VIRTIO=(virtio_pci virtio_blk)
MODULES_OTHER=(sd_mod virtio_scsi ahci ata_piix nvme)
MODULES_GUEST=(
    virtio_pci virtio_blk virtio_scsi virtio_net virtio_console virtio_balloon virtio-rng virtio_mem
    ahci ata_piix sd_mod sr_mod nvme e1000 e1000e 8139cp isofs vfat nls_utf8 nls_iso8859-1 nls_cp437 nls_ascii
    8021q button evdev
)

say() { echo "guest-image: $*" >&2; }
fail() {
    say "$*"
    exit 1
}

apt_with() { apt-get -q -o APT::Sandbox::User=root -o APT::Install-Recommends=false "$@" </dev/null >"$WORK/apt.log" 2>&1; }

# Packages and everything they need, as if nothing were installed. The kernel comes without its tools.
fetch_packages() {
    local debs=$WORK/debs kernel
    mkdir -p "$debs/partial"
    : >"$WORK/no-packages"
    apt-cache show linux-image-cloud-amd64 dropbear-bin >/dev/null 2>&1 ||
        apt_with update || fail "apt-get update failed: $(tail -n 3 "$WORK/apt.log")"
    kernel=$(apt-cache show --no-all-versions linux-image-cloud-amd64 | sed -n 's/^Depends: *\([^ ,]*\).*/\1/p')
    apt_with install -y -d -o Dir::State::status="$WORK/no-packages" -o Dir::Cache::archives="$debs" "${PACKAGES[@]}" ||
        fail "could not fetch the packages of the guest: $(tail -n 3 "$WORK/apt.log")"
    (cd "$debs" && apt_with download "$kernel" busybox-static) ||
        fail "could not fetch the kernel of the guest: $(tail -n 3 "$WORK/apt.log")"
}

unpack_packages() {
    local deb to
    mkdir -p "$WORK"/{debian,static,kernel}
    for deb in "$WORK"/debs/*.deb; do
        case ${deb##*/} in
        busybox-static_*) to=static ;;
        linux-image-*) to=kernel ;;
        perl* | libperl* | dpkg_* | debconf_*) continue ;;
        *) to=debian ;;
        esac
        dpkg-deb -x "$deb" "$WORK/$to"
    done
    KERNEL_VERSION=$(basename "$WORK"/kernel/lib/modules/*)
    depmod -b "$WORK/kernel" "$KERNEL_VERSION"
}

# The programs, the libraries that Debian's own loader finds for them, and the two busyboxes under their names.
install_programs() {
    local root=$1 program library applet
    mkdir -p "$root"/{bin,sbin,lib,lib64,usr/bin,usr/sbin,usr/lib,etc/dropbear,root/.ssh,proc,sys,dev,run,tmp,var/lib,mnt}
    ln -s ../run "$root/var/run"
    ln -s ../../lib "$root/usr/lib/x86_64-linux-gnu"
    mkdir -p "$root/lib/x86_64-linux-gnu/security"
    for program in "${PROGRAMS[@]}"; do
        cp "$WORK/debian/$program" "$root/$program"
    done
    list_libraries | sort -u | while read -r library; do cp -L "$library" "$root/lib/"; done
    cp -L "$WORK/debian/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2" "$root/lib64/"
    cp -L "$WORK"/debian/lib/x86_64-linux-gnu/libnss_{files,dns}.so.2 "$root/lib/"
    cp "$WORK/debian/bin/busybox" "$root/usr/lib/busybox"
    for applet in "${DYNAMIC_APPLETS[@]}"; do ln -s ../usr/lib/busybox "$root/bin/$applet"; done
    cp "$WORK/static/bin/busybox" "$root/bin/"
    for applet in $("$WORK/static/bin/busybox" --list); do
        [[ -e $root/bin/$applet ]] || ln -s busybox "$root/bin/$applet"
    done
    ln -s ../bin/busybox "$root/sbin/init"
    for applet in poweroff reboot halt; do ln -s shutdown "$root/sbin/$applet"; done
}

list_libraries() {
    local lib=$WORK/debian/lib/x86_64-linux-gnu program
    for program in bin/busybox "${PROGRAMS[@]}"; do
        "$lib/ld-linux-x86-64.so.2" --library-path "$lib:$WORK/debian/usr/lib/x86_64-linux-gnu" \
            --list "$WORK/debian/$program" | awk '$3 ~ /^\// { print $3 }'
    done
}

# Paths of the files of the modules named and of those they need, in the order to load them.
module_files() {
    local module
    for module in "$@"; do
        modprobe -d "$WORK/kernel" -S "$KERNEL_VERSION" --show-depends "$module" 2>/dev/null |
            awk '$1 == "insmod" { print $2 }' || true
    done | awk '!seen[$0]++'
}

install_modules() {
    local modules=$1/lib/modules/$KERNEL_VERSION file
    mkdir -p "$modules"
    module_files "${MODULES_GUEST[@]}" | while read -r file; do
        install -D -m 644 "$file" "$modules/${file#*"/$KERNEL_VERSION/"}"
    done
    cp "$WORK/kernel/lib/modules/$KERNEL_VERSION"/modules.{builtin,builtin.modinfo,order} "$modules/"
    depmod -b "$1" "$KERNEL_VERSION"
}

write_accounts() {
    local root=$1 hash='*'
    [[ -z $PASSWORD ]] || hash=$(openssl passwd -6 -stdin <<<"$PASSWORD")
    echo 'root:x:0:0:root:/root:/bin/sh' >"$root/etc/passwd"
    printf 'root:x:0:\ntty:x:5:\n' >"$root/etc/group"
    echo "root:$hash:19000:0:99999:7:::" >"$root/etc/shadow"
    chmod 600 "$root/etc/shadow"
    chmod 700 "$root/root" "$root/root/.ssh"
    chmod 1777 "$root/tmp"
}

build_root() {
    local root=$WORK/root
    install_programs "$root"
    install_modules "$root"
    cp -R "$FILES/root/." "$root/"
    ln -s /run/resolv.conf "$root/etc/resolv.conf"
    ln -s /proc/mounts "$root/etc/mtab"
    write_accounts "$root"
}

add_boot_modules() {
    local to=$1 list=$2 file
    shift 2
    module_files "$@" | while read -r file; do
        cp "$file" "$to/lib/"
        basename "$file"
    done >"$to/$list"
}

build_initrd() {
    local initrd=$WORK/initrd
    mkdir -p "$initrd"/{bin,proc,sys,dev,new,lib}
    cp "$WORK/static/bin/busybox" "$initrd/bin/"
    install -m 755 "$FILES/initrd-init" "$initrd/init"
    add_boot_modules "$initrd" modules.virtio "${MODULES_VIRTIO[@]}"
    add_boot_modules "$initrd" modules.other "${MODULES_OTHER[@]}"
    (cd "$initrd" && find . | cpio -o -H newc --quiet -R 0:0) >"$WORK/initrd.img"
}

# MBR, a FAT partition for the boot loader (it can be filled without mounting it), and the root file system.
build_disk() {
    local disk=$WORK/disk.raw boot=$WORK/boot.fat boot_start=2048 root_start=$((2048 + BOOT_MIB * 2048))
    mkfs.fat -C -F 16 -n BOOT -h "$boot_start" "$boot" $((BOOT_MIB * 1024)) >/dev/null
    mcopy -i "$boot" "$WORK/kernel/boot/vmlinuz-$KERNEL_VERSION" ::vmlinuz
    mcopy -i "$boot" "$WORK/initrd.img" ::initrd
    mcopy -i "$boot" "$FILES/syslinux.cfg" ::syslinux.cfg
    syslinux --install "$boot"

    truncate -s "${DISK_MIB}M" "$disk"
    printf '%s,%s,6,*\n%s,,L\n' "$boot_start" "$((BOOT_MIB * 2048))" "$root_start" | sfdisk -q "$disk"
    dd if=/usr/lib/SYSLINUX/mbr.bin of="$disk" conv=notrunc bs=440 count=1 status=none
    dd if="$boot" of="$disk" conv=notrunc,sparse bs=1M seek=1 status=none
    mke2fs -q -t ext4 -b 4096 -m 0 -J size=4 -L guest-root -d "$WORK/root" \
        -E "offset=$((root_start * 512)),root_owner=0:0,lazy_itable_init=1" "$disk" "$((DISK_MIB - 1 - BOOT_MIB))M"
    qemu-img convert -f raw -O qcow2 -c "$disk" "$WORK/guest.qcow2"
}

build() {
    WORK=$(mktemp -d "$CACHE/guest-image.XXXXXX")
    trap 'rm -rf "$WORK"' EXIT
    say "building (once; kept in $CACHE)"
    fetch_packages
    unpack_packages
    build_root
    build_initrd
    build_disk
    mv "$WORK/guest.qcow2" "$1"
    find "$CACHE" -maxdepth 1 -name 'guest-*.qcow2' -mtime +7 -delete
}

inputs_hash() {
    (
        cd "$SCRIPTS"
        printf '%s\n' "$PASSWORD"
        find guest-image.sh guest-image -type f -print0 | sort -z | xargs -0 sha256sum
    ) | sha256sum | cut -c 1-16
}

main() {
    PASSWORD=
    local out='' image
    while [[ $# -gt 0 ]]; do
        case $1 in
        --password) PASSWORD=${2:?a password must follow --password} && shift 2 ;;
        -*) fail "unknown option $1; usage: guest-image.sh [--password PASSWORD] [OUT.qcow2]" ;;
        *) out=$1 && shift ;;
        esac
    done
    mkdir -p "$CACHE"
    CACHE=$(cd "$CACHE" && pwd)
    image=$CACHE/guest-$(inputs_hash).qcow2
    # Two builds at once would only do the same work twice.
    exec 9>"$CACHE/guest-image.lock"
    flock 9
    [[ -s $image ]] || build "$image"
    [[ -z $out ]] || cp --reflink=auto "$image" "$out"
    echo "${out:-$image}"
}

main "$@"
