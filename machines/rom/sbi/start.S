/* SPDX-License-Identifier: MIT OR Apache-2.0
 *
 * All harts start here, in machine mode: a0 is the hart's number, a1 the address of a device tree, a2 that of a struct next.
 */
#include "sbi.h"

        .section .text.start, "ax"
        .globl start
start:
        li      t0, SBI_HARTS
        bgeu    a0, t0, rest
        csrw    mie, zero
        csrw    satp, zero
        lla     t0, trap
        csrw    mtvec, t0
        call    own_stack
        lla     t0, drawn
        li      t1, 1
        amoadd.w t1, t1, (t0)
        bnez    t1, 1f
        call    first
1:      call    wait_to_start

/* A hart that has nothing to do any more. */
        .globl rest
rest:
        csrw    mie, zero
        wfi
        j       rest

/* sp is the end of the stack of the hart a0. */
own_stack:
        lla     sp, stacks
        addi    t0, a0, 1
        li      t1, SBI_STACK
1:      add     sp, sp, t1
        addi    t0, t0, -1
        bnez    t0, 1b
        ret

/* Goes on with a0 the hart and a1 an argument at the address a2, in supervisor mode or in machine mode. */
        .globl enter
enter:
        call    own_stack
        csrw    mscratch, sp
        csrw    mepc, a2
        li      t0, 3 << 11
        csrc    mstatus, t0
        beqz    a3, 1f
        li      t0, 1 << 11
1:      csrs    mstatus, t0
        li      t0, 1 << 7              /* no interrupts in what comes, but for those of a lower mode */
        csrc    mstatus, t0
        csrw    satp, zero
        csrw    sie, zero
        csrw    stvec, zero
        csrw    sscratch, zero
        csrwi   sstatus, 0
        fence.i
        sfence.vma
        mret

        .align 2
trap:
        csrrw   sp, mscratch, sp
        addi    sp, sp, -WORD * FRAME_WORDS
        STORE   ra, WORD * FRAME_RA(sp)
        .irp    n, 0, 1, 2, 3, 4, 5, 6
        STORE   t\n, WORD * (FRAME_T + \n)(sp)
        .endr
        .irp    n, 0, 1, 2, 3, 4, 5, 6, 7
        STORE   a\n, WORD * (FRAME_A + \n)(sp)
        .endr
        csrr    t0, mscratch
        STORE   t0, WORD * FRAME_SP(sp)
        mv      a0, sp
        call    trapped
        LOAD    ra, WORD * FRAME_RA(sp)
        .irp    n, 0, 1, 2, 3, 4, 5, 6
        LOAD    t\n, WORD * (FRAME_T + \n)(sp)
        .endr
        .irp    n, 0, 1, 2, 3, 4, 5, 6, 7
        LOAD    a\n, WORD * (FRAME_A + \n)(sp)
        .endr
        addi    sp, sp, WORD * FRAME_WORDS
        csrw    mscratch, sp
        LOAD    sp, WORD * (FRAME_SP - FRAME_WORDS)(sp)
        mret

        .data
        .align 2
drawn:  .word   0
