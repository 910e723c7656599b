/* Code that runs once: a megabyte is filled with functions of eight instructions, and each is called. */
#include "guest.h"

enum { FUNCTIONS = 32768, LENGTH = 8 };

static u32 code[FUNCTIONS * LENGTH] __attribute__((aligned(4096)));

void main(void)
{
    u32 result = 0;
    for (u32 round = 0; round < ROUNDS; round++) {
        for (u32 i = 0; i < FUNCTIONS; i++) {
            volatile u32 *to = (volatile u32 *)((u32)&code[i * LENGTH] | 0xa0000000);
            u32 n = (i * 31 + round) & 0x7fff;
            to[0] = 0x24820000 | n;             /* addiu v0, a0, n */
            to[1] = 0x00021800 | (n & 31) << 6; /* sll v1, v0, n % 32 */
            to[2] = 0x00621026;                 /* xor v0, v1, v0 */
            to[3] = 0x38430000 | n;             /* xori v1, v0, n */
            to[4] = 0x00021202;                 /* srl v0, v0, 8 */
            to[5] = 0x00431021;                 /* addu v0, v0, v1 */
            to[6] = 0x03e00008;                 /* jr ra */
            to[7] = 0x24420001;                 /* addiu v0, v0, 1 */
            __asm__ volatile("cache 0x10, 0(%0)" :: "r"(&code[i * LENGTH]) : "memory");
        }
        for (u32 i = 0; i < FUNCTIONS; i++)
            result = ((u32 (*)(u32))&code[i * LENGTH])(result);
    }
    done(result);
}
