/* Code that changes: one instruction of a function is written anew before each call. */
#include "guest.h"

static u32 code[8] __attribute__((aligned(32)));

/* Writes a word of code as a boot loader does: past the data cache, then out of the instruction cache. */
static void write(u32 *at, u32 word)
{
    *(volatile u32 *)((u32)at | 0xa0000000) = word;
    __asm__ volatile("cache 0x10, 0(%0)" :: "r"(at) : "memory");
}

void main(void)
{
    u32 result = 0;
    write(&code[0], 0x00851021); /* addu v0, a0, a1 */
    write(&code[2], 0x03e00008); /* jr ra */
    write(&code[3], 0x00021080); /* sll v0, v0, 2 */
    for (u32 round = 0; round < ROUNDS; round++) {
        write(&code[1], 0x24420000 | (round & 0x7fff)); /* addiu v0, v0, round */
        result ^= ((u32 (*)(u32, u32))code)(result, round);
    }
    done(result);
}
