/* System calls: a user-mode loop of `syscall`. The kernel's side saves a part of the program's state, reads the cause,
   returns a value and goes on past the instruction. The call with v0 = 1 ends the program. */
#include "guest.h"

extern const u32 vector[], vector_end[];
u32 frame[8];

__asm__(
    "       .set    noreorder\n"
    "vector:\n"
    "       lui     $k1, %hi(frame)\n"
    "       addiu   $k1, $k1, %lo(frame)\n"
    "       sw      $a0, 0($k1)\n"
    "       sw      $a1, 4($k1)\n"
    "       sw      $sp, 8($k1)\n"
    "       sw      $ra, 12($k1)\n"
    "       mfc0    $k0, $12\n"                 /* Status */
    "       sw      $k0, 16($k1)\n"
    "       mfc0    $t0, $13\n"                 /* Cause */
    "       ext     $t0, $t0, 2, 5\n"
    "       addiu   $t0, $t0, -8\n"             /* Sys */
    "       bnez    $t0, 1f\n"
    "       mfc0    $t1, $14\n"                 /* EPC */
    "       bnez    $v0, 1f\n"
    "       addiu   $t1, $t1, 4\n"
    "       mtc0    $t1, $14\n"
    "       li      $v0, 3\n"
    "       lw      $a0, 0($k1)\n"
    "       lw      $a1, 4($k1)\n"
    "       lw      $sp, 8($k1)\n"
    "       lw      $ra, 12($k1)\n"
    "       lw      $k0, 16($k1)\n"
    "       mtc0    $k0, $12\n"
    "       ehb\n"
    "       eret\n"
    "1:     lui     $t0, %hi(report)\n"
    "       addiu   $t0, $t0, %lo(report)\n"
    "       jr      $t0\n"
    "       move    $a0, $a1\n"
    "vector_end:\n"
    "user:  move    $v0, $zero\n"
    "       syscall\n"
    "       addiu   $a0, $a0, -1\n"
    "       bnez    $a0, user\n"
    "       addu    $a1, $a1, $v0\n"
    "       li      $v0, 1\n"
    "       syscall\n"
    "       .set    reorder\n");

/* Reached from the last call, and from an exception that is no call. */
__attribute__((used)) void report(u32 sum)
{
    done(sum);
    for (;;)
        __asm__ volatile("wait");
}

void main(void)
{
    install(0x80000180, vector, vector_end);
    /* The first 32 MiB are user memory, one to one: a TLB entry of 16 MiB pages (Index, EntryHi, PageMask, EntryLo0,
       EntryLo1; cacheable, dirty, valid, global). */
    __asm__ volatile(
        "mtc0 $0, $0\n\t"
        "mtc0 $0, $10\n\t"
        "mtc0 %0, $5\n\t"
        "mtc0 %1, $2\n\t"
        "mtc0 %2, $3\n\t"
        "ehb\n\t"
        "tlbwi" :: "r"(0x01ffe000), "r"(0x1f), "r"(0x1000000 >> 6 | 0x1f));
    /* Into user mode: EPC, and Status with UM and EXL. */
    __asm__ volatile(
        "la $8, user\n\t"
        "ext $8, $8, 0, 29\n\t"
        "mtc0 $8, $14\n\t"
        "mtc0 %0, $12\n\t"
        "move $4, %1\n\t"
        "move $5, $0\n\t"
        "ehb\n\t"
        "eret" :: "r"(0x12), "r"(ROUNDS) : "$4", "$5", "$8");
}
