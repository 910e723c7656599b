# SPDX-License-Identifier: MIT OR Apache-2.0
#
# The frame in which random programs run to compare CPUs: it puts the CPU into the state that INPUT describes, runs
# the program, logs every exception and steps over the instruction that raised it, and stores the state that is left.
# All of it is guest code, so both CPUs are set up and looked at in the same way. The layout of INPUT and RESULT is
# known to tests/common/src/frame.rs. Linked at 80000000, the exception vectors.

        .set    noreorder
        .set    noat
        .set    fp=64

#define INPUT           0x80010000
#define RESULT          0x80012000
#define DATA            0x80100000      /* what the program may read and write, DATA_SIZE bytes */
#define DATA_SIZE       0x4000
#define LOG_LIMIT       48

        # INPUT
#define I_STATUS        0
#define I_START         4
#define I_END           8               /* address of the syscall that ends a pass */
#define I_PASSES        12
#define I_SEED          16
#define I_FCSR          20
#define I_HI            24
#define I_LO            28
#define I_FPU           32              /* not 0 if there is one */
#define I_TLB_COUNT     36
#define I_CP0           40              /* EntryHi, PageMask, Wired, Context, HWREna, Cause, EntryLo0, EntryLo1 */
#define I_GPR           128
#define I_FPR           256
#define I_TLB           512

        # RESULT
#define R_GPR           0
#define R_CP0           128
#define R_LOGGED        224             /* bytes of log */
#define R_PASSES        228             /* passes left */
#define R_CHECKSUM      232
#define R_VECTOR        236
#define R_FPR           256
#define R_TLB           512
#define R_LOG           2048

        .globl  __start
__start:
        b       general                 # 000: TLB refill
        li      $k1, 0
        .org    0x180
        b       general
        li      $k1, 1
        .org    0x200
        b       general
        li      $k1, 2

        .org    0x380
        .globl  entry
entry:                                  # 380: the test harness starts here
        lui     $s0, %hi(INPUT)
        ori     $s0, %lo(INPUT)
        lui     $s1, %hi(RESULT)
        ori     $s1, %lo(RESULT)
        lui     $t0, 0x2040             # Status: CU1, BEV
        mtc0    $t0, $12
        ehb
        # The interrupt controllers' ports, where the reset value of the GT-64120 has them: nothing gets through.
        lui     $t0, 0xb000
        li      $t1, 0xff
        sb      $t1, 0x21($t0)
        sb      $t1, 0xa1($t0)
        sw      $zero, R_LOGGED($s1)
        lw      $t0, I_PASSES($s0)
        sw      $t0, R_PASSES($s1)

        # DATA: a sequence of pseudo-random words.
        lui     $t0, %hi(DATA)
        addiu   $t1, $t0, DATA_SIZE
        lw      $t2, I_SEED($s0)
        lui     $t3, 0x0019             # a multiplier of Numerical Recipes' quick generator
        ori     $t3, 0x660d
1:      mul     $t2, $t2, $t3
        addiu   $t2, 0x6f5f
        rotr    $t4, $t2, 13
        sw      $t4, 0($t0)
        addiu   $t0, 4
        bne     $t0, $t1, 1b
        nop

        # The TLB: entries of 16 bytes, EntryHi, EntryLo0, EntryLo1, PageMask.
        lw      $t0, I_TLB_COUNT($s0)
        addiu   $t1, $s0, I_TLB
        move    $t2, $zero
2:      lw      $t3, 0($t1)
        lw      $t4, 4($t1)
        lw      $t5, 8($t1)
        lw      $t6, 12($t1)
        mtc0    $t3, $10
        mtc0    $t4, $2
        mtc0    $t5, $3
        mtc0    $t6, $5
        mtc0    $t2, $0
        ehb
        tlbwi
        addiu   $t2, 1
        bne     $t2, $t0, 2b
        addiu   $t1, 16

        lw      $t0, I_CP0+0($s0)
        mtc0    $t0, $10                # EntryHi
        lw      $t0, I_CP0+4($s0)
        mtc0    $t0, $5                 # PageMask
        lw      $t0, I_CP0+8($s0)
        mtc0    $t0, $6                 # Wired
        lw      $t0, I_CP0+12($s0)
        mtc0    $t0, $4                 # Context
        lw      $t0, I_CP0+16($s0)
        mtc0    $t0, $7                 # HWREna
        lw      $t0, I_CP0+20($s0)
        mtc0    $t0, $13                # Cause
        lw      $t0, I_CP0+24($s0)
        mtc0    $t0, $2                 # EntryLo0
        lw      $t0, I_CP0+28($s0)
        mtc0    $t0, $3                 # EntryLo1
        mtc0    $zero, $0               # Index
        mtc0    $zero, $11              # Compare

        lw      $t0, I_FPU($s0)
        beqz    $t0, 4f
        lw      $t0, I_STATUS($s0)
        # Status as the program has it, but that no exception can come in between: FR matters to the loads.
        lui     $t1, 0x2040
        lui     $t2, 0x0400
        and     $t2, $t0
        or      $t1, $t2
        mtc0    $t1, $12
        ehb
        .irp    n, 0,2,4,6,8,10,12,14,16,18,20,22,24,26,28,30
        ldc1    $f\n, I_FPR+8*\n($s0)
        .endr
        beqz    $t2, 3f                 # FR=0: the pairs are all there is
        nop
        .irp    n, 1,3,5,7,9,11,13,15,17,19,21,23,25,27,29,31
        ldc1    $f\n, I_FPR+8*\n($s0)
        .endr
3:      lw      $t1, I_FCSR($s0)
        ctc1    $t1, $31
4:      lw      $t1, I_HI($s0)
        mthi    $t1
        lw      $t1, I_LO($s0)
        mtlo    $t1
        lw      $t1, I_START($s0)
        mtc0    $t1, $14                # EPC
        mtc0    $zero, $30              # ErrorEPC
        ori     $t0, 2                  # EXL until eret
        mtc0    $t0, $12
        ehb
        move    $k0, $s0
        move    $k1, $zero
        .irp    n, 1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,28,29,30,31
        lw      $\n, I_GPR+4*\n($k0)
        .endr
        eret

# Every exception comes here; k1 says through which vector. An entry of the log: how many bytes of log there are with
# it, EPC, Cause, BadVAddr, Status, Context, EntryHi, the vector.
        .globl  general
general:
        lui     $k0, %hi(RESULT)
        ori     $k0, %lo(RESULT)
        sw      $k1, R_VECTOR($k0)
        lw      $k1, R_LOGGED($k0)
        addu    $k0, $k0, $k1
        addiu   $k1, 32
        sw      $k1, R_LOG($k0)
        mfc0    $k1, $14
        sw      $k1, R_LOG+4($k0)
        mfc0    $k1, $13
        sw      $k1, R_LOG+8($k0)
        mfc0    $k1, $8
        sw      $k1, R_LOG+12($k0)
        mfc0    $k1, $12
        sw      $k1, R_LOG+16($k0)
        mfc0    $k1, $4
        sw      $k1, R_LOG+20($k0)
        mfc0    $k1, $10
        sw      $k1, R_LOG+24($k0)
        lui     $k1, %hi(RESULT)
        ori     $k1, %lo(RESULT)
        lw      $k1, R_VECTOR($k1)
        sw      $k1, R_LOG+28($k0)
        lw      $k1, R_LOG($k0)
        lui     $k0, %hi(RESULT)
        ori     $k0, %lo(RESULT)
        sw      $k1, R_LOGGED($k0)
        mfc0    $k0, $13
        ext     $k0, $k0, 3, 4
        addiu   $k0, -2
        bnez    $k0, 3f
        mfc0    $k0, $10
        andi    $k0, 0xff               # an address error leaves anything in EntryHi.VPN2
        mtc0    $k0, $10
3:      addiu   $k1, -32*LOG_LIMIT
        bgez    $k1, finish
        lui     $k1, %hi(INPUT)
        ori     $k1, %lo(INPUT)
        lw      $k1, I_END($k1)
        mfc0    $k0, $14
        beq     $k0, $k1, end_of_pass
        mfc0    $k1, $13
        andi    $k0, $k1, 0x7c
        beqz    $k0, interrupt          # goes on where it was
        mfc0    $k0, $14
        bltz    $k1, 1f                 # in a delay slot: the branch is stepped over as well
        addiu   $k0, 4
        b       2f
        nop
1:      addiu   $k0, 4
2:      mtc0    $k0, $14
        ehb
        eret

interrupt:
        mfc0    $k1, $13                # a software interrupt: the request is taken back
        ins     $k1, $zero, 8, 2
        mtc0    $k1, $13
        ehb
        eret

end_of_pass:
        lui     $k0, %hi(RESULT)
        ori     $k0, %lo(RESULT)
        lw      $k1, R_PASSES($k0)
        addiu   $k1, -1
        blez    $k1, finish
        sw      $k1, R_PASSES($k0)
        lui     $k1, %hi(INPUT)
        ori     $k1, %lo(INPUT)
        lw      $k1, I_START($k1)
        mtc0    $k1, $14
        ehb
        eret

        .globl  finish
finish:
        lui     $k0, %hi(RESULT)
        ori     $k0, %lo(RESULT)
        .irp    n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,28,29,30,31
        sw      $\n, R_GPR+4*\n($k0)
        .endr
        mfhi    $t0
        sw      $t0, R_CP0+0($k0)
        mflo    $t0
        sw      $t0, R_CP0+4($k0)
        mfc0    $t0, $12
        sw      $t0, R_CP0+8($k0)
        mfc0    $t0, $13
        sw      $t0, R_CP0+12($k0)
        mfc0    $t0, $14
        sw      $t0, R_CP0+16($k0)
        mfc0    $t0, $8
        sw      $t0, R_CP0+20($k0)
        mfc0    $t0, $4
        sw      $t0, R_CP0+24($k0)
        mfc0    $t0, $10
        sw      $t0, R_CP0+28($k0)
        mfc0    $t0, $2
        sw      $t0, R_CP0+32($k0)
        mfc0    $t0, $3
        sw      $t0, R_CP0+36($k0)
        mfc0    $t0, $5
        sw      $t0, R_CP0+40($k0)
        mfc0    $t0, $6
        sw      $t0, R_CP0+44($k0)
        mfc0    $t0, $0
        sw      $t0, R_CP0+48($k0)
        mfc0    $t0, $7
        sw      $t0, R_CP0+52($k0)
        mfc0    $t0, $30
        sw      $t0, R_CP0+56($k0)
        lui     $s0, %hi(INPUT)
        ori     $s0, %lo(INPUT)
        lw      $t0, I_FPU($s0)
        beqz    $t0, 4f
        mfc0    $t1, $12
        lui     $t2, 0x0400             # FR
        and     $t2, $t1
        lui     $t1, 0x2040
        or      $t1, $t2
        mtc0    $t1, $12
        ehb
        cfc1    $t0, $31
        sw      $t0, R_CP0+60($k0)
        .irp    n, 0,2,4,6,8,10,12,14,16,18,20,22,24,26,28,30
        sdc1    $f\n, R_FPR+8*\n($k0)
        .endr
        beqz    $t2, 3f
        nop
        .irp    n, 1,3,5,7,9,11,13,15,17,19,21,23,25,27,29,31
        sdc1    $f\n, R_FPR+8*\n($k0)
        .endr
3:      ctc1    $zero, $31              # whatever Cause bits it has, no exception from here on
4:      lui     $t1, 0x0040
        mtc0    $t1, $12
        ehb
        lw      $t0, I_TLB_COUNT($s0)
        addiu   $t1, $k0, R_TLB
        move    $t2, $zero
5:      mtc0    $t2, $0
        ehb
        tlbr
        ehb
        mfc0    $t3, $10
        sw      $t3, 0($t1)
        mfc0    $t3, $2
        sw      $t3, 4($t1)
        mfc0    $t3, $3
        sw      $t3, 8($t1)
        mfc0    $t3, $5
        sw      $t3, 12($t1)
        addiu   $t2, 1
        bne     $t2, $t0, 5b
        addiu   $t1, 16

        # A sum that sees every word of DATA and its place.
        lui     $t0, %hi(DATA)
        addiu   $t1, $t0, DATA_SIZE
        move    $t2, $zero
6:      lw      $t3, 0($t0)
        rotr    $t2, $t2, 27
        addu    $t2, $t2, $t3
        addiu   $t0, 4
        bne     $t0, $t1, 6b
        xor     $t2, $t2, $t0
        sw      $t2, R_CHECKSUM($k0)
        .globl  done
done:   b       done                    # the harness waits here
        nop
