/* Integer work: a CRC-32 by table over 64 KiB, and a sieve of Eratosthenes up to 65536. */
#include "guest.h"

#define SIZE 65536

static u32 table[256];
static u8 bytes[SIZE];

static u32 crc32(u32 crc, const u8 *data, u32 len)
{
    for (u32 i = 0; i < len; i++)
        crc = table[(crc ^ data[i]) & 0xff] ^ crc >> 8;
    return crc;
}

static u32 sieve(void)
{
    u32 primes = 0;
    for (u32 i = 0; i < SIZE; i++)
        bytes[i] = 1;
    for (u32 i = 2; i < SIZE; i++) {
        if (!bytes[i])
            continue;
        primes++;
        for (u32 j = i + i; j < SIZE; j += i)
            bytes[j] = 0;
    }
    return primes;
}

void main(void)
{
    u32 result = 0;
    for (u32 i = 0; i < 256; i++) {
        u32 crc = i;
        for (int bit = 0; bit < 8; bit++)
            crc = crc & 1 ? 0xedb88320 ^ crc >> 1 : crc >> 1;
        table[i] = crc;
    }
    for (int round = 0; round < ROUNDS; round++) {
        result += sieve();
        result = crc32(result, bytes, SIZE);
    }
    done(result);
}
