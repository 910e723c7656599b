/* SPDX-License-Identifier: MIT OR Apache-2.0 */

/*
 * From the reset vector to C. Up to `enter_ram` everything runs in place from the flash through kseg1, and uses no
 * RAM; the sections of the image are described in rom.ld.
 */

#include "rom.h"

        .set    noreorder
        .set    noat

#define C0_INDEX     $0
#define C0_ENTRYLO0  $2
#define C0_ENTRYLO1  $3
#define C0_CONTEXT   $4
#define C0_PAGEMASK  $5
#define C0_WIRED     $6
#define C0_HWRENA    $7
#define C0_BADVADDR  $8
#define C0_COUNT     $9
#define C0_ENTRYHI   $10
#define C0_COMPARE   $11
#define C0_STATUS    $12
#define C0_CAUSE     $13
#define C0_EPC       $14
#define C0_CONFIG    $16
#define C0_TAGLO     $28
#define C0_TAGHI     $29
#define C0_ERROREPC  $30

#define STATUS_BEV   0x00400000

#define INDEX_STORE_TAG_I 0x08
#define INDEX_STORE_TAG_D 0x09

#ifdef __MIPSEB__
#define ORDER        "big-endian"
#else
#define ORDER        "little-endian"
#endif

        /*
         * The board's own part: the macros board_words, what stands at offset 0x10; board_start, which makes the
         * console reachable and may change $t0 to $t9; and board_data, what that needs.
         */
#include "board.S"

        .section .boot, "ax"

        .globl  reset_vector
reset_vector:
        b       start
        nop

        .org    0x10
        board_words

        /* The exception vectors with Status.BEV = 1. */
        .org    0x200                           /* TLB refill */
        b       boot_exception
        nop
        .org    0x280                           /* XTLB refill */
        b       boot_exception
        nop
        .org    0x300                           /* cache error */
        b       boot_exception
        nop
        .org    0x380                           /* everything else */
        b       boot_exception
        nop
        .org    0x400                           /* interrupt, with Cause.IV = 1 */
        b       boot_exception
        nop
        .org    0x480                           /* EJTAG debug */
        b       boot_exception
        nop

        .org    0x500
start:
        li      $t0, STATUS_BEV                 /* kernel mode, interrupts off, ERL and EXL clear */
        mtc0    $t0, C0_STATUS
        mtc0    $zero, C0_CAUSE
        mfc0    $t0, C0_CONFIG                  /* K0 = 2: kseg0 uncached until the caches are initialised */
        li      $t1, 2
        ins     $t0, $t1, 0, 3
        mtc0    $t0, C0_CONFIG
        mtc0    $zero, C0_HWRENA
        mtc0    $zero, C0_CONTEXT
        mtc0    $zero, C0_COUNT
        li      $t0, -1
        mtc0    $t0, C0_COMPARE                 /* also takes back a pending timer interrupt */
        ehb

        board_start

init_uart:
        li      $t0, CONSOLE
        la      $t1, uart_values
1:      lb      $t2, 0($t1)
        bltz    $t2, 2f
        lb      $t3, 1($t1)
        sll     $t2, $t2, CONSOLE_SHIFT
        addu    $t2, $t2, $t0
        sb      $t3, 0($t2)
        b       1b
        addiu   $t1, $t1, 2
2:
        la      $a0, banner
        bal     boot_print
        nop

        /*
         * The TLB: every entry invalid, each with a page of its own in kseg0, which is never looked up. Config1
         * says how many there are.
         */
        mfc0    $t0, C0_CONFIG
        ext     $t0, $t0, 7, 3                  /* MT: 1 is a TLB */
        li      $t1, 1
        bne     $t0, $t1, init_caches
        mfc0    $t1, C0_CONFIG, 1
        ext     $t1, $t1, 25, 6
        mtc0    $zero, C0_WIRED
        mtc0    $zero, C0_PAGEMASK
        mtc0    $zero, C0_ENTRYLO0
        mtc0    $zero, C0_ENTRYLO1
        lui     $t2, 0x8000
1:      mtc0    $t2, C0_ENTRYHI
        mtc0    $t1, C0_INDEX
        ehb
        tlbwi
        addiu   $t2, $t2, 0x2000
        bnez    $t1, 1b
        addiu   $t1, $t1, -1
        mtc0    $zero, C0_ENTRYHI

        /*
         * A cache of Config1's geometry (its fields S, L and A start at the given bits) gets an invalid tag
         * everywhere. $t0 holds Config1.
         */
        .macro  init_cache sets, line, ways, op
        ext     $t1, $t0, \line, 3
        beqz    $t1, 9f                         /* L = 0: there is none */
        ext     $t2, $t0, \sets, 3
        ext     $t3, $t0, \ways, 3
        li      $t4, 2
        sllv    $t1, $t4, $t1                   /* line: 2 << L bytes */
        addiu   $t2, $t2, 1
        andi    $t2, $t2, 7
        li      $t4, 32
        sllv    $t2, $t4, $t2                   /* sets: 64 << S, and 32 for S = 7 */
        addiu   $t3, $t3, 1
        mul     $t2, $t2, $t3
        mul     $t2, $t2, $t1
        lui     $t3, 0x8000
        addu    $t2, $t2, $t3
8:      cache   \op, 0($t3)
        addu    $t3, $t3, $t1
        bne     $t3, $t2, 8b
        nop
9:
        .endm

init_caches:
        mtc0    $zero, C0_TAGLO
        mtc0    $zero, C0_TAGHI
        mtc0    $zero, C0_TAGLO, 2
        mtc0    $zero, C0_TAGHI, 2
        ehb
        mfc0    $t0, C0_CONFIG, 1
        init_cache sets=22, line=19, ways=16, op=INDEX_STORE_TAG_I
        init_cache sets=13, line=10, ways=7, op=INDEX_STORE_TAG_D
        mfc0    $t0, C0_CONFIG                  /* K0 = 3: kseg0 cached */
        li      $t1, 3
        ins     $t0, $t1, 0, 3
        mtc0    $t0, C0_CONFIG
        ehb

        /* Copy the image to RAM, uncached, so that no cache holds an old view of it. */
        la      $t0, image_flash
        la      $t1, image_start + 0x20000000
        la      $t2, image_end + 0x20000000
1:      lw      $t4, 0($t0)
        lw      $t5, 4($t0)
        lw      $t6, 8($t0)
        lw      $t7, 12($t0)
        sw      $t4, 0($t1)
        sw      $t5, 4($t1)
        sw      $t6, 8($t1)
        sw      $t7, 12($t1)
        addiu   $t1, $t1, 16
        bne     $t1, $t2, 1b
        addiu   $t0, $t0, 16

        la      $t1, bss_start + 0x20000000
        la      $t2, bss_end + 0x20000000
1:      sw      $zero, 0($t1)
        sw      $zero, 4($t1)
        sw      $zero, 8($t1)
        sw      $zero, 12($t1)
        addiu   $t1, $t1, 16
        bne     $t1, $t2, 1b
        nop

enter_ram:
        la      $sp, stack_top - 16             /* room for the callee's home slots (o32) */
        la      $t0, rom_main
        jr.hb   $t0
        move    $ra, $zero

        /* An exception that the vectors in RAM could not take: show what is known and stop. */
boot_exception:
        la      $a0, text_exception
        bal     boot_print
        nop
        bal     boot_print_hex
        mfc0    $a0, C0_CAUSE
        la      $a0, text_epc
        bal     boot_print
        nop
        bal     boot_print_hex
        mfc0    $a0, C0_EPC
        la      $a0, text_badvaddr
        bal     boot_print
        nop
        bal     boot_print_hex
        mfc0    $a0, C0_BADVADDR
        la      $a0, text_status
        bal     boot_print
        nop
        bal     boot_print_hex
        mfc0    $a0, C0_STATUS
        la      $a0, text_errorepc
        bal     boot_print
        nop
        bal     boot_print_hex
        mfc0    $a0, C0_ERROREPC
        la      $a0, text_end
        bal     boot_print
        nop
1:      wait
        b       1b
        nop

        /* Print the string at $a0. Changes $a0, $t0 to $t3 and $v0. */
boot_print:
        move    $t3, $ra
1:      lbu     $v0, 0($a0)
        beqz    $v0, 2f
        nop
        bal     boot_put_char
        addiu   $a0, $a0, 1
        b       1b
        nop
2:      jr      $t3
        nop

        /* Print $a0 as eight hexadecimal digits. Changes $a0, $t0 to $t4 and $v0. */
boot_print_hex:
        move    $t3, $ra
        li      $t4, 8
1:      srl     $v0, $a0, 28
        sltiu   $t0, $v0, 10
        bnez    $t0, 2f
        sll     $a0, $a0, 4
        addiu   $v0, $v0, 'a' - '0' - 10
2:      bal     boot_put_char
        addiu   $v0, $v0, '0'
        addiu   $t4, $t4, -1
        bnez    $t4, 1b
        nop
        jr      $t3
        nop

        /* Print the character $v0. A UART that never gets ready is not waited for. Changes $t0 to $t2. */
boot_put_char:
        li      $t0, CONSOLE
        li      $t1, 0x10000
1:      lbu     $t2, 5 << CONSOLE_SHIFT($t0)    /* LSR */
        andi    $t2, $t2, 0x20                  /* THRE */
        bnez    $t2, 2f
        addiu   $t1, $t1, -1
        bnez    $t1, 1b
        nop
2:      jr      $ra
        sb      $v0, 0($t0)

        .balign 4
        board_data

        /* Offset and value: 115200 8n1, FIFOs on and empty, DTR, RTS and OUT2 (the interrupt's gate) on. */
uart_values:
        .byte   1, 0x00                         /* IER */
        .byte   3, 0x83                         /* LCR: DLAB */
        .byte   0, 0x01                         /* DLL */
        .byte   1, 0x00                         /* DLM */
        .byte   3, 0x03                         /* LCR */
        .byte   2, 0x07                         /* FCR */
        .byte   4, 0x0b                         /* MCR */
        .byte   -1

banner:
        .asciz  "\r\nSolderless ROM 1.0 (" ORDER ")\r\n"
text_exception:
        .asciz  "\r\nException with Status.BEV set\r\nCause "
text_epc:
        .asciz  " EPC "
text_badvaddr:
        .asciz  " BadVAddr "
text_status:
        .asciz  " Status "
text_errorepc:
        .asciz  " ErrorEPC "
text_end:
        .asciz  "\r\nStopped.\r\n"

        /* The exception vectors with Status.BEV = 0. $k1 tells the handler which one was taken. */
        .section .vectors, "ax"
        .balign 16

        .macro  vector offset
        .org    \offset
        lui     $k0, %hi(exception_entry)
        addiu   $k0, $k0, %lo(exception_entry)
        jr      $k0
        li      $k1, \offset
        .endm

        vector  0x000                           /* TLB refill */
        vector  0x080                           /* XTLB refill */
        vector  0x100                           /* cache error */
        vector  0x180                           /* everything else */
        vector  0x200                           /* interrupt, with Cause.IV = 1 */

        .text

        /* Save everything in `exception_frame` (struct frame in cpu.c) and go on in C, on a stack of its own. */
exception_entry:
        lui     $k0, %hi(exception_frame)
        addiu   $k0, $k0, %lo(exception_frame)
        .irp    n, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 28, 29, 30, 31
        sw      $\n, \n * 4($k0)
        .endr
        mfhi    $t0
        sw      $t0, 32 * 4($k0)
        mflo    $t0
        sw      $t0, 33 * 4($k0)
        mfc0    $t0, C0_STATUS
        sw      $t0, 34 * 4($k0)
        mfc0    $t0, C0_CAUSE
        sw      $t0, 35 * 4($k0)
        mfc0    $t0, C0_EPC
        sw      $t0, 36 * 4($k0)
        mfc0    $t0, C0_BADVADDR
        sw      $t0, 37 * 4($k0)
        mfc0    $t0, C0_ERROREPC
        sw      $t0, 38 * 4($k0)
        sw      $k1, 39 * 4($k0)
        la      $sp, exception_stack_top - 16
        la      $t0, handle_exception
        jr      $t0
        move    $a0, $k0

        /* bool guard_enter(struct guard *guard, void (*fn)(void *), void *arg): see cpu.c. */
        .globl  guard_enter
guard_enter:
        sw      $s0, 0($a0)
        sw      $s1, 4($a0)
        sw      $s2, 8($a0)
        sw      $s3, 12($a0)
        sw      $s4, 16($a0)
        sw      $s5, 20($a0)
        sw      $s6, 24($a0)
        sw      $s7, 28($a0)
        sw      $fp, 32($a0)
        sw      $sp, 36($a0)
        sw      $ra, 40($a0)
        addiu   $sp, $sp, -24
        sw      $ra, 20($sp)
        jalr    $a1
        move    $a0, $a2
        lw      $ra, 20($sp)
        addiu   $sp, $sp, 24
        jr      $ra
        li      $v0, 1

        /* void guard_leave(struct guard *guard): makes that guard's guard_enter return false. */
        .globl  guard_leave
guard_leave:
        lw      $s0, 0($a0)
        lw      $s1, 4($a0)
        lw      $s2, 8($a0)
        lw      $s3, 12($a0)
        lw      $s4, 16($a0)
        lw      $s5, 20($a0)
        lw      $s6, 24($a0)
        lw      $s7, 28($a0)
        lw      $fp, 32($a0)
        lw      $sp, 36($a0)
        lw      $ra, 40($a0)
        jr      $ra
        move    $v0, $zero

        .bss
        .balign 16
        .space  2048
exception_stack_top:
