/* SPDX-License-Identifier: MIT OR Apache-2.0 */

/* What start.S does on the Malta board alone: the GT-64120's windows. */

#define GT_AT_RESET  0xb4000000
#define GT_ISD       0x068

/* The GT-64120's registers are little-endian whatever the CPU is. */
#ifdef __MIPSEB__
#define GT_WORD(x)   ((((x) & 0xff) << 24) | (((x) & 0xff00) << 8) | (((x) >> 8) & 0xff00) | (((x) >> 24) & 0xff))
#else
#define GT_WORD(x)   (x)
#endif

        /* The revision word that identifies a Malta with a CoreLV (GT-64120) to what runs on it. */
        .macro  board_words
        .word   0x00000420
        .endm

        .macro  board_start
        /*
         * The GT-64120's registers start at 0x14000000 and are wanted at 0x1be00000, where programs for the Malta
         * expect them. They are there already when the ROM was entered by a jump and not by a reset.
         */
        li      $t0, GT_AT_RESET
        lw      $t1, GT_ISD($t0)
        li      $t2, GT_WORD(0xa0)
        bne     $t1, $t2, program_gt
        li      $t1, GT_WORD(0xdf)
        sw      $t1, GT_ISD($t0)
program_gt:
        li      $t0, GT_BASE
        la      $t1, gt_values
1:      lw      $t2, 0($t1)
        bltz    $t2, 2f
        lw      $t3, 4($t1)
        addu    $t2, $t2, $t0
        sw      $t3, 0($t2)
        b       1b
        addiu   $t1, $t1, 8
2:
        .endm

        .macro  board_data
        /* Offset and value, in this order: a write to a low decode register also sets the remap register. */
gt_values:
        .word   0x048, GT_WORD(0xc0)            /* PCI0 I/O low and high decode: 0x18000000, 2 MiB */
        .word   0x050, GT_WORD(0x40)
        .word   0x058, GT_WORD(0x80)            /* PCI0 memory 0: 0x10000000, 128 MiB */
        .word   0x060, GT_WORD(0x3f)
        .word   0x080, GT_WORD(0xc1)            /* PCI0 memory 1: 0x18200000, 60 MiB */
        .word   0x088, GT_WORD(0x5e)
        .word   0x0f0, GT_WORD(0)               /* PCI0 I/O remap: ports count from 0 */
        .word   0xc00, GT_WORD(0x00010001)      /* PCI0 command: bytes keep their addresses in both orders */
        .word   0xcf8, GT_WORD(0x80000004)      /* own PCI command register: memory space, bus master */
        .word   0xcfc, GT_WORD(0x00000006)
        .word   -1
        .endm
