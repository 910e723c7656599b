# SPDX-License-Identifier: MIT OR Apache-2.0
#
# The least a bare-metal program for the Malta board can be: it prints "Hello: ", its command line and a line feed on
# COM1, and switches the board off. The firmware's arguments: a0 their number, a1 the vector of pointers to them.

        .set    noreorder

# Everything on PCI is little-endian, and so are the GT-64120's registers.
#ifdef __MIPSEB__
#define SUS_EN          0x0020
#define NO_BYTE_SWAP    0x01000100
#else
#define SUS_EN          0x2000
#define NO_BYTE_SWAP    0x00010001
#endif

        .globl  __start
__start:
        lui     $t0, 0xb800             # PCI I/O, uncached
        lw      $s0, 4($a1)             # the second argument is the command line
        la      $a0, greeting
        jal     print
        nop
        jal     print
        move    $a0, $s0
        la      $a0, end
        jal     print
        nop

        # The PIIX4's power management (device 10, function 3): its registers to port 0x1000, decoded.
        lui     $t1, 0xbbe0             # GT-64120
        li      $t2, NO_BYTE_SWAP
        sw      $t2, 0xc00($t1)         # PCI0 command
        li      $t2, 0x80005340
        li      $t3, 0x1000
        jal     configure
        nop
        li      $t2, 0x80005380
        jal     configure
        li      $t3, 1
        li      $t2, 0x80005304
        jal     configure
        li      $t3, 1
        li      $t3, SUS_EN
        sh      $t3, 0x1004($t0)        # PMCNTRL: soft off
1:      b       1b
        nop

# Writes t3 to the PCI configuration register t2.
configure:
#ifdef __MIPSEB__
        wsbh    $t2, $t2
        rotr    $t2, $t2, 16
        wsbh    $t3, $t3
        rotr    $t3, $t3, 16
#endif
        sw      $t2, 0xcf8($t1)
        jr      $ra
        sw      $t3, 0xcfc($t1)

print:
        lbu     $t2, 0($a0)
        beqz    $t2, 2f
        addiu   $a0, 1
1:      lbu     $t3, 0x3fd($t0)         # LSR
        andi    $t3, 0x20               # THRE
        beqz    $t3, 1b
        nop
        b       print
        sb      $t2, 0x3f8($t0)         # THR
2:      jr      $ra
        nop

        .data
greeting:
        .asciz  "Hello: "
end:
        .asciz  "\n"
