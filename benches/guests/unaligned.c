/* Unaligned words: 64 KiB copied from one odd address to another by lwl and lwr, swl and swr. */
#include "guest.h"

enum { WORDS = 16384 };

struct __attribute__((packed)) word {
    u32 value;
};

static u8 from[4 * WORDS + 8], to[4 * WORDS + 8];

static u32 copy(struct word *restrict d, const struct word *restrict s)
{
    u32 sum = 0;
    for (u32 i = 0; i < WORDS; i += 4) {
        u32 a = s[i].value, b = s[i + 1].value, c = s[i + 2].value, e = s[i + 3].value;
        d[i].value = a, d[i + 1].value = b, d[i + 2].value = c, d[i + 3].value = e;
        sum += a ^ b ^ c ^ e;
    }
    return sum;
}

void main(void)
{
    u32 result = 0;
    for (u32 i = 0; i < sizeof from; i++)
        from[i] = i * 37 + (i >> 8);
    for (u32 round = 0; round < ROUNDS; round++) {
        result = result * 31 + copy((struct word *)(to + 1 + (round & 1)), (struct word *)(from + 1 + (round & 2)));
        from[round % sizeof from] += round;
    }
    done(result ^ to[99]);
}
