/* Loops that are as tight as loops get, where what an emulator adds to each turn or block shows most. */
#include "program.h"
#include "../sha256.h"

enum { TURNS = 1000000 };

/* Instructions of a loop that counts n down. */
#define COUNT(n, sum, body) \
    __asm__ volatile(".set push; .set noreorder; 1:" body ".set pop" : "+r"(n), "+r"(sum))

/* Two instructions: the branch tests what its slot changes. */
static u32 two(int rounds)
{
    u32 sum = 0;
    while (rounds--) {
        u32 n = TURNS;
        COUNT(n, sum, "bnez %0, 1b; addiu %0, %0, -1;");
        sum = sum * 31 + n;
    }
    return sum;
}

static u32 three(int rounds)
{
    u32 sum = 0;
    while (rounds--) {
        u32 n = TURNS;
        COUNT(n, sum, "addiu %0, %0, -1; bnez %0, 1b; nop;");
        sum = sum * 31 + n;
    }
    return sum;
}

static u32 four(int rounds)
{
    u32 sum = 0;
    while (rounds--) {
        u32 n = TURNS;
        COUNT(n, sum, "addu %1, %1, %0; addiu %0, %0, -1; bnez %0, 1b; nop;");
    }
    return sum;
}

/* A shift register of 32 bits with feedback (Galois's form). */
static u32 lfsr(int rounds)
{
    u32 x = 0xace1;
    while (rounds--)
        for (int n = 0; n < TURNS; n++) {
            u32 out = x & 1;
            x >>= 1;
            if (out)
                x ^= 0xa3000000;
        }
    return x;
}

/* SHA-256 of a message of blocks that are each the digest before it, twice. */
static u32 sha256(int rounds)
{
    u32 block[16], state[8] = {
        0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19,
    };
    while (rounds--)
        for (int n = 0; n < 1000; n++) {
            for (int i = 0; i < 16; i++)
                block[i] = state[i & 7];
            compress(state, block);
        }
    return state[0];
}

int main(int argc, char **argv)
{
    static const struct work works[] = {
        {"two", two}, {"three", three}, {"four", four}, {"lfsr", lfsr}, {"sha256", sha256}, {0},
    };
    return run(works, argc, argv);
}
