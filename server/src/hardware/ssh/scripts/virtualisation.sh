# Whether QEMU runs at all; the agent finds out whether guests run on KVM.
qemu-system-x86_64 --version 2>&1 && qemu-img --version 2>&1
