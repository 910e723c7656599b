# SPDX-License-Identifier: MIT OR Apache-2.0
#
# A bare-metal program for two CPUs, which both begin here. What they come to is at 0x80001000:
#
#   00  a spinlock              04  what was counted under it
#   08  what was counted by LL and SC alone
#   0c  the first node of a stack, from which a node is taken and put back: it is the same again, and has another next
#   10  CPUs that have begun    14  CPUs that are done
#   18  interrupts of CPU 0     1c  interrupts of CPU 1
#   20  the sum of what the code gave that CPU 0 rewrites and CPU 1 calls
#   24  the code's number       28  that of the code that was called
#   2c  what each CPU sees of its own memory
#   80  how often
#  100  four nodes of 16 bytes: next, how often taken

        .set    noreorder
        .set    noat

        .equ    SHARED, 0x80001000
        .equ    CODE, 0x80003000
        .equ    OWN, 0xbe000000         # another memory for each CPU
        .equ    CALL0, 0xbf000900       # serial ports: an interrupt of each CPU
        .equ    CALL1, 0xbf000910
        .equ    IER, 1

        .globl  __start
__start:
        la      $t0, cached
        jr      $t0
        nop
cached:
        li      $t0, 0x00400400         # BEV, and the interrupt ends WAIT, but is not taken
        mtc0    $t0, $12
        mfc0    $s0, $15, 1             # EBase.CPUNum
        andi    $s0, 0x3ff
        li      $s1, SHARED
        lw      $s2, 0x80($s1)
        li      $s3, OWN
        addiu   $t0, $s0, 1
        sw      $t0, 0($s3)

        # CPU 0 makes the stack.
        bnez    $s0, begun
        addiu   $t0, $s1, 0x100
        addiu   $t1, $t0, 0x30
1:      addiu   $t2, $t0, 0x10
        sw      $t2, 0($t0)
        bne     $t2, $t1, 1b
        move    $t0, $t2
        sw      $zero, 0($t1)
        addiu   $t0, $s1, 0x100
        sw      $t0, 0x0c($s1)
begun:
1:      ll      $t0, 0x10($s1)
        addiu   $t0, 1
        sc      $t0, 0x10($s1)
        beqz    $t0, 1b
        li      $t1, 2
1:      lw      $t0, 0x10($s1)
        bne     $t0, $t1, 1b
        nop

        move    $s4, $s2
round:
1:      ll      $t0, 0($s1)
        bnez    $t0, 1b
        li      $t0, 1
        sc      $t0, 0($s1)
        beqz    $t0, 1b
        nop
        lw      $t1, 4($s1)
        addiu   $t1, 1
        sync
        sw      $t1, 4($s1)
        sw      $zero, 0($s1)

1:      ll      $t0, 8($s1)
        addiu   $t0, 1
        sc      $t0, 8($s1)
        beqz    $t0, 1b
        nop

1:      ll      $t0, 0x0c($s1)          # take a node: there are more of them than CPUs
        lw      $t1, 0($t0)
        sc      $t1, 0x0c($s1)
        beqz    $t1, 1b
        lw      $t2, 4($t0)
        addiu   $t2, 1
        sw      $t2, 4($t0)
1:      ll      $t1, 0x0c($s1)          # put it back
        move    $t2, $t0
        sw      $t1, 0($t0)
        sc      $t2, 0x0c($s1)
        beqz    $t2, 1b
        nop
        addiu   $s4, -1
        bnez    $s4, round
        nop

        li      $s5, CALL0
        li      $s6, CALL1
        li      $s7, 2                  # "the transmitter is empty" interrupts
        srl     $s4, $s2, 2
        bnez    $s0, answer
        nop
call:   jal     wait
        sb      $s7, IER($s6)
        sb      $zero, IER($s5)
        lw      $t0, 0x18($s1)
        addiu   $t0, 1
        sw      $t0, 0x18($s1)
        addiu   $s4, -1
        bnez    $s4, call
        nop

        li      $t1, CODE
        li      $t0, 0x03e00008         # jr $ra
        sw      $t0, 4($t1)
        sw      $zero, 8($t1)
        srl     $s4, $s2, 5
        li      $t2, 0
1:      addiu   $t2, 1
        lui     $t0, 0x2402             # addiu $v0, $zero, …
        or      $t0, $t0, $t2
        sw      $t0, 0($t1)
        sync
        sw      $t2, 0x24($s1)
2:      lw      $t0, 0x28($s1)
        bne     $t0, $t2, 2b
        nop
        bne     $t2, $s4, 1b
        nop
        b       finish
        nop

answer: jal     wait
        nop
        sb      $zero, IER($s6)
        lw      $t0, 0x1c($s1)
        addiu   $t0, 1
        sw      $t0, 0x1c($s1)
        sb      $s7, IER($s5)
        addiu   $s4, -1
        bnez    $s4, answer
        nop

        li      $s5, CODE
        srl     $s4, $s2, 5
        li      $t2, 0
1:      addiu   $t2, 1
2:      lw      $t0, 0x24($s1)
        bne     $t0, $t2, 2b
        li      $t3, 100
3:      jalr    $s5
        addiu   $t3, -1
        lw      $t0, 0x20($s1)
        addu    $t0, $t0, $v0
        bnez    $t3, 3b
        sw      $t0, 0x20($s1)
        bne     $t2, $s4, 1b
        sw      $t2, 0x28($s1)

finish: lw      $t0, 0($s3)
        sll     $t1, $s0, 2
        addu    $t1, $t1, $s1
        sw      $t0, 0x2c($t1)
        li      $t0, 0x00400000
        mtc0    $t0, $12
1:      ll      $t0, 0x14($s1)
        addiu   $t0, 1
        sc      $t0, 0x14($s1)
        beqz    $t0, 1b
        nop
1:      wait
        b       1b
        nop

        # Until this CPU is called.
wait:   mfc0    $t0, $13
        andi    $t0, 0x400
        bnez    $t0, 1f
        nop
        wait
        b       wait
        nop
1:      jr      $ra
        nop
