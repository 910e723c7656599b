# SPDX-License-Identifier: MIT OR Apache-2.0
#
# A bare-metal program to be debugged, which goes round for ever with interrupts off. What it counts is at 0x80001000.

        .set    noreorder
        .set    noat

        .globl  rounds, total, unread, later, mapped, mapped_alias
        rounds = 0x80001000
        total = 0x80001004
        unread = 0x80001008
        # Code that comes there in the second round.
        later = 0x80002000
        # A page with code, at a translated address and where it is.
        mapped = 0x00400000
        mapped_alias = 0x80003000

        .globl  __start, cached, round, work, inner, slots, slot, rewritten, patch, loaded, translated
        .ent    __start
__start:
        li      $t0, 0x00400000         # BEV; no interrupts
        mtc0    $t0, $12
        ehb
        li      $sp, 0x80008000
        li      $s1, 0x80001000
        li      $s0, 0
        sw      $zero, 0($s1)
        li      $s3, 0
        # Page 3 of memory, at `mapped`.
        li      $t0, 0x00400000
        mtc0    $t0, $10
        li      $t0, 0x000000df
        mtc0    $t0, $2
        li      $t0, 1
        mtc0    $t0, $3
        mtc0    $zero, $5
        mtc0    $zero, $0
        ehb
        tlbwi
        ehb
        la      $t0, piece
        la      $t1, mapped_alias
        lw      $t2, 0($t0)
        sw      $t2, 0($t1)
        lw      $t2, 4($t0)
        sw      $t2, 4($t1)
        sw      $zero, 8($t1)
        synci   0($t1)
        sync
round:
        jal     work
        nop
        jal     slots
        nop
        jal     rewritten
        nop
        jal     loaded
        nop
        jal     translated
        nop
        addiu   $s0, $s0, 1
        sw      $s0, 0($s1)
        b       round
        nop
        .end    __start

        # A hot loop.
        .ent    work
work:   li      $t0, 200
inner:  addu    $t1, $t1, $t0
        sw      $t1, 4($s1)
        bnez    $t0, inner
        addiu   $t0, $t0, -1
        jr      $ra
        nop
        .end    work

        # In every fourth round what is in the slot of a branch is jumped to.
        .ent    slots
slots:  move    $t3, $zero
        b       1f
slot:   addiu   $s2, $s2, 1
1:      bnez    $t3, 2f
        andi    $t0, $s0, 3
        bnez    $t0, 2f
        li      $t3, 1
        la      $t1, slot
        jr      $t1
        nop
2:      jr      $ra
        nop
        .end    slots

        # Adds 1 or 2, by an instruction that is written each time.
        .ent    rewritten
rewritten:
        andi    $t0, $s0, 1
        addiu   $t0, $t0, 1
        lui     $t1, 0x2673             # addiu $s3, $s3, …
        or      $t1, $t1, $t0
        la      $t2, patch
        sw      $t1, 0($t2)
        synci   0($t2)
        sync
        la      $t2, patch
        jr      $t2
        nop
        .end    rewritten
        .ent    patch
patch:  nop
        jr      $ra
        nop
        .end    patch

        .ent    loaded
loaded: la      $t1, later
        blez    $s0, 2f
        nop
        li      $t0, 1
        bne     $s0, $t0, 1f
        nop
        la      $t0, piece
        lw      $t2, 0($t0)
        sw      $t2, 0($t1)
        lw      $t2, 4($t0)
        sw      $t2, 4($t1)
        sw      $zero, 8($t1)
        synci   0($t1)
        sync
1:      jr      $t1
        nop
2:      jr      $ra
        nop
        .end    loaded

        # The same code, by turns at both of its addresses.
        .ent    translated
translated:
        la      $t1, mapped
        andi    $t0, $s0, 1
        bnez    $t0, 1f
        nop
        la      $t1, mapped_alias
1:      jr      $t1
        nop
        .end    translated

piece:  addiu   $s4, $s4, 1
        jr      $ra
