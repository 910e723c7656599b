# SPDX-License-Identifier: MIT OR Apache-2.0
#
# A bare-metal program for the board wren: it prints its command line and a line feed on the first serial port, and resets
# the board. The firmware's arguments: a0 their number, a1 the vector of pointers to them.

        .set    noreorder

        .globl  __start
__start:
        lui     $t0, 0xb800             # the serial port, uncached
        lw      $s0, 4($a1)             # the second argument is the command line
1:      lbu     $t1, 0($s0)
        beqz    $t1, 2f
        addiu   $s0, 1
        jal     put
        nop
        b       1b
        nop
2:      jal     put
        li      $t1, '\n'
        lui     $t0, 0xba00             # the board's registers
        li      $t1, 0x42
        sw      $t1, 0x500($t0)         # SOFTRES
3:      b       3b
        nop

put:    lbu     $t2, 0x14($t0)          # LSR
        andi    $t2, 0x20               # THRE
        beqz    $t2, put
        nop
        jr      $ra
        sb      $t1, 0($t0)             # THR
