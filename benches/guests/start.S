# Entry of the bare-metal programs: a stack, the FPU on, exceptions through RAM, an empty TLB, then main. A program that
# returns from main waits, so that it uses no more of its emulator's time.

        .set    noreorder
        .text
        .globl  __start
__start:
        lui     $sp, 0x8040
        lui     $t0, 0x2000             # Status: CU1
        mtc0    $t0, $12
        # Entries that match nothing: addresses in kseg0, each its own, for two that match are a machine check.
        mtc0    $zero, $2               # EntryLo0
        mtc0    $zero, $3               # EntryLo1
        mtc0    $zero, $5               # PageMask
        mfc0    $t0, $16, 1             # Config1
        ext     $t0, $t0, 25, 6         # the number of entries, less one
        lui     $t1, 0x8000
1:      mtc0    $t0, $0                 # Index
        mtc0    $t1, $10                # EntryHi
        ehb
        tlbwi
        addiu   $t1, $t1, 0x2000
        bnez    $t0, 1b
        addiu   $t0, $t0, -1
        jal     main
        nop
1:      wait
        b       1b
        nop
