/* TLB refills: a walk over 512 pairs of pages, more than the TLB and any emulator's extension of it hold, so that every
   load misses. The refill handler walks a page table of two levels, as Linux's does. */
#include "guest.h"

#define PAIRS 512

extern const u32 refill[], refill_end[];
u32 directory[1024] __attribute__((aligned(4096)));
static u32 pages[1024] __attribute__((aligned(4096)));
/* Behind the program: what is walked over. */
#define MEMORY 0x00800000
static u32 *const memory = (u32 *)(0x80000000 | MEMORY);

__asm__(
    "       .set    noreorder\n"
    "refill:\n"
    "       mfc0    $k0, $8\n"                  /* BadVAddr */
    "       lui     $k1, %hi(directory)\n"
    "       srl     $k0, $k0, 22\n"
    "       sll     $k0, $k0, 2\n"
    "       addu    $k1, $k1, $k0\n"
    "       lw      $k1, %lo(directory)($k1)\n"
    "       mfc0    $k0, $4\n"                  /* Context: BadVAddr >> 13 << 4 */
    "       srl     $k0, $k0, 1\n"
    "       andi    $k0, $k0, 0xff8\n"
    "       addu    $k1, $k1, $k0\n"
    "       lw      $k0, 0($k1)\n"
    "       lw      $k1, 4($k1)\n"
    "       mtc0    $k0, $2\n"                  /* EntryLo0 */
    "       mtc0    $k1, $3\n"                  /* EntryLo1 */
    "       ehb\n"
    "       tlbwr\n"
    "       eret\n"
    "refill_end:\n"
    "       .set    reorder\n");

void main(void)
{
    install(0x80000000, refill, refill_end);
    for (u32 i = 0; i < 2 * PAIRS; i++)
        pages[i] = (MEMORY + i * 4096) >> 6 | 0x1f; /* cacheable, dirty, valid, global */
    for (u32 i = 0; i < PAIRS; i++)
        memory[i * 2048] = i;
    directory[1] = (u32)pages;
    __asm__ volatile("mtc0 $0, $5; mtc0 $0, $6; mtc0 $0, $4; mtc0 $0, $10; ehb"); /* PageMask, Wired, Context, EntryHi */
    u32 result = 0;
    for (int round = 0; round < ROUNDS; round++)
        for (u32 i = 0; i < PAIRS; i++)
            result += *(volatile u32 *)(0x400000 + i * 8192) ^ round;
    done(result);
}
