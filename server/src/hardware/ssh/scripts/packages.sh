# Installs packages. Input: their names, one a line.
packages=
while IFS= read -r package; do packages="$packages $package"; done
export DEBIAN_FRONTEND=noninteractive LC_ALL=C
install() {
    apt-get install -y -q --no-install-recommends -o DPkg::Lock::Timeout=300 -o Dpkg::Options::=--force-confold \
        -o Dpkg::Use-Pty=0 $packages </dev/null 2>&1
}
# The package lists may name versions that the mirror no longer has: then they are read anew.
install || { apt-get update -q -o DPkg::Lock::Timeout=300 </dev/null 2>&1 && install; }
