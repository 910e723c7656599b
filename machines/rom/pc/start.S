/* SPDX-License-Identifier: MIT OR Apache-2.0 */

/*
 * A PC's boot ROM from the reset vector to C: real mode at the end of the first MiB, then protected mode of 32 bits without
 * paging, with segments of 4 GiB. The image is seen at 000f0000; its data, which is copied, and the stack are in the RAM below 64 KiB.
 */

        .section .start, "ax"
        .code16
        .globl  start
start:
        cli
        cld
        lgdtl   %cs:gdt_pointer_offset
        movl    %cr0, %eax
        orb     $1, %al
        movl    %eax, %cr0
        ljmpl   $8, $protected

        .code32
protected:
        movw    $16, %ax
        movw    %ax, %ds
        movw    %ax, %es
        movw    %ax, %ss
        movw    %ax, %fs
        movw    %ax, %gs
        movl    $stack_top, %esp
        movl    $data_start, %edi
        movl    $data_rom, %esi
        movl    $data_size, %ecx
        rep movsb
        movl    $bss_start, %edi
        movl    $bss_size, %ecx
        xorl    %eax, %eax
        rep stosb
        call    rom_main
1:      hlt
        jmp     1b

        .balign 8
gdt:
        .quad   0
        .quad   0x00cf9b000000ffff
        .quad   0x00cf93000000ffff
        .globl  gdt_pointer
gdt_pointer:
        .word   gdt_pointer - gdt - 1
        .long   gdt

        /* Where the CPU starts: 16 bytes below the end. */
        .section .reset, "ax"
        .code16
        ljmpw   $0xf000, $start_offset
        .org    0x10
