# A boot sector that enters 64-bit mode with paging, as every kernel does, and ends QEMU through its debug exit
# port with status 33. Some machines have a /dev/kvm that runs real mode and then fails here.
# as -o kvm-probe.o kvm-probe.S && objcopy -O binary -j .text kvm-probe.o kvm-probe.bin
.code16
start:
    cli
    xor %ax, %ax
    mov %ax, %ds
    mov %ax, %es
    # Three page tables at 0x1000, 0x2000, 0x3000 map the first 2 MiB to themselves.
    mov $0x1000, %edi
    xor %eax, %eax
    mov $0xc00, %ecx
    cld
    rep stosl
    movw $0x2003, 0x1000
    movw $0x3003, 0x2000
    movw $0x0083, 0x3000
    mov $0x620, %eax # CR4.PAE, OSFXSR, OSXMMEXCPT
    mov %eax, %cr4
    mov $0x1000, %eax
    mov %eax, %cr3
    mov $0xc0000080, %ecx # EFER.LME
    rdmsr
    or $0x100, %eax
    wrmsr
    lgdtl 0x7c00 + gdt_pointer - start
    mov %cr0, %eax
    or $0x80000001, %eax # paging and protection
    mov %eax, %cr0
    ljmpl $8, $(0x7c00 + long_mode - start)
.code64
long_mode:
    # An instruction that KVM cannot emulate: it must run on the processor.
    pxor %xmm0, %xmm0
    xor %eax, %eax
    cpuid
    mov $0x10, %al
    out %al, $0xf4
    hlt
.balign 8
gdt:
    .quad 0, 0x00209a0000000000
gdt_pointer:
    .word 15
    .long 0x7c00 + gdt - start
.org 510
    .word 0xaa55
