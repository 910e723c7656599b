# SPDX-License-Identifier: MIT OR Apache-2.0
#
# A bare-metal program that is always writing memory, and finds out whether that is as it should be. In round n the word with
# number i of its 4 MiB, one in each 64 bytes, becomes n + i; it has to be n - 1 + i before. Every eighth round prints n in
# hexadecimal on COM1, and a word that is another prints "bad". The port's interrupt line goes up and down with what is sent; nobody
# takes the interrupt.

        .set    noreorder

        first = 0x80400000
        last = 0x80800000

        .globl  __start
__start:
        li      $t0, 0x00400000         # BEV; no interrupts
        mtc0    $t0, $12
        ehb
        lui     $s7, 0xb800             # PCI I/O, uncached
        li      $t0, 8                  # MCR: OUT2
        sb      $t0, 0x3fc($s7)
        li      $t0, 2                  # IER: the transmitter is empty
        sb      $t0, 0x3f9($s7)
        li      $s0, 0                  # n
        # Round 0 has nothing to check.
        li      $t0, first
        li      $t1, last
        li      $t2, 0
1:      sw      $t2, 0($t0)
        addiu   $t2, $t2, 1
        addiu   $t0, $t0, 64
        bne     $t0, $t1, 1b
        nop
round:
        li      $t0, first
        li      $t1, last
        move    $t2, $s0                # n - 1 + i
        addiu   $s0, $s0, 1
1:      lw      $t3, 0($t0)
        bne     $t3, $t2, bad
        addiu   $t2, $t2, 1
        sw      $t2, 0($t0)
        addiu   $t0, $t0, 64
        bne     $t0, $t1, 1b
        nop
        andi    $t0, $s0, 7
        bnez    $t0, round
        nop
        li      $s1, 28
2:      srlv    $t0, $s0, $s1
        andi    $t0, $t0, 15
        sltiu   $t1, $t0, 10
        bnez    $t1, 3f
        addiu   $a0, $t0, '0'
        addiu   $a0, $t0, 'a' - 10
3:      jal     put
        addiu   $s1, $s1, -4
        bgez    $s1, 2b
        nop
        jal     put
        li      $a0, '\n'
        b       round
        nop
bad:
        jal     put
        li      $a0, 'b'
        jal     put
        li      $a0, 'a'
        jal     put
        li      $a0, 'd'
        jal     put
        li      $a0, '\n'
4:      b       4b
        nop

# Prints the character in a0.
put:
5:      lbu     $t0, 0x3fd($s7)
        andi    $t0, $t0, 0x20
        beqz    $t0, 5b
        nop
        jr      $ra
        sb      $a0, 0x3f8($s7)
