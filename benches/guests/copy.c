/* Memory copy: 1 MiB by words, eight at a time, as a C library does it. */
#include "guest.h"

#define WORDS (1 << 18)

static u32 from[WORDS], to[WORDS];

static void copy(u32 *restrict d, const u32 *restrict s, u32 words)
{
    for (const u32 *end = s + words; s != end; s += 8, d += 8) {
        u32 a = s[0], b = s[1], c = s[2], e = s[3], f = s[4], g = s[5], h = s[6], i = s[7];
        d[0] = a, d[1] = b, d[2] = c, d[3] = e, d[4] = f, d[5] = g, d[6] = h, d[7] = i;
    }
}

void main(void)
{
    u32 result = 0;
    for (u32 i = 0; i < WORDS; i++)
        from[i] = i * 0x9e3779b1;
    for (int round = 0; round < ROUNDS; round++) {
        from[round & (WORDS - 1)] ^= round;
        copy(to, from, WORDS);
        result += to[(u32)round * 7 & (WORDS - 1)];
    }
    done(result);
}
