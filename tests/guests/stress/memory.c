/* Mappings: they come and go, change, move, are shared, and hold other things at the same addresses elsewhere. */
#include "stress.h"

static u32 state = 1;

static u32 next(void)
{
    return state = state * 1664525 + 1013904223, state >> 8;
}

/* Pages with a known content or none, changed at random and checked as they are. */
static u32 churn(int rounds)
{
    enum { PAGES = 96 };
    static struct { u32 *at; u32 value; int writable; } pages[PAGES];
    u32 sum = 0;
    while (rounds--) {
        u32 n = next() % PAGES, what = next() % 8;
        u32 *at = pages[n].at;
        if (!at) {
            pages[n].at = at = map(PAGE, PROT_READ | PROT_WRITE);
            pages[n].value = at[0] = at[PAGE / 4 - 1] = next();
            pages[n].writable = 1;
        } else if (what == 0) {
            MUST(!munmap(at, PAGE));
            pages[n].at = 0;
        } else if (what < 3) {
            pages[n].writable ^= 1;
            MUST(!mprotect(at, PAGE, pages[n].writable ? PROT_READ | PROT_WRITE : PROT_READ));
        } else if (what == 3) {
            u32 *to = mremap(at, PAGE, 2 * PAGE, MREMAP_MAYMOVE);
            MUST(to != MAP_FAILED && !to[PAGE / 4]);
            MUST(!munmap(to + PAGE / 4, PAGE));
            pages[n].at = to;
        } else if (pages[n].writable)
            pages[n].value = at[0] = at[PAGE / 4 - 1] = next();
        for (int i = 0; i < PAGES; i += 5)
            if (pages[i].at) {
                MUST(pages[i].at[0] == pages[i].value && pages[i].at[PAGE / 4 - 1] == pages[i].value);
                sum = sum * 31 + pages[i].value;
            }
    }
    for (int i = 0; i < PAGES; i++)
        if (pages[i].at)
            MUST(!munmap(pages[i].at, PAGE));
    return sum;
}

/* Two processes with other contents at the same addresses take turns. */
static int turns[2][2];
static u32 *both;

static int turn(int who)
{
    u8 byte = 0;
    for (int i = 0; i < 64; i++)
        both[i * PAGE / 4] = who * 1000 + i;
    for (int round = 0; round < 200; round++) {
        MUST(read(turns[who][0], &byte, 1) == 1);
        for (int i = 0; i < 64; i++)
            if (both[i * PAGE / 4]++ != (u32)(who * 1000 + i + round))
                return 1;
        MUST(write(turns[1 - who][1], &byte, 1) == 1);
    }
    return 11 + who;
}

/* Memory that is shared, written by one and read by the other, through two addresses each. */
static int file;

static int writes(int rounds)
{
    u32 *one = mmap(0, 8 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    u32 *other = mmap(0, 8 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    MUST(one != MAP_FAILED && other != MAP_FAILED);
    for (int round = 0; round < rounds; round++)
        for (int i = 0; i < 8 * PAGE / 4; i += 61) {
            u32 *at = (i ^ round) & 1 ? one : other;
            at[i] = at[i] * 3 + round;
            if (one[i] != other[i])
                return 1;
        }
    return 21;
}

int main(void)
{
    printf("churn %08x\n", churn(6000));

    both = map(64 * PAGE, PROT_READ | PROT_WRITE);
    MUST(!pipe(turns[0]) && !pipe(turns[1]));
    pid_t zero = child(turn, 0), one = child(turn, 1);
    MUST(write(turns[0][1], "", 1) == 1);
    printf("turns %d %d\n", result(zero), result(one));

    file = memfd_create("shared", 0);
    MUST(file >= 0 && !ftruncate(file, 8 * PAGE));
    printf("shared %d\n", result(child(writes, 40)));
    u32 sum = 0, *at = mmap(0, 8 * PAGE, PROT_READ, MAP_PRIVATE, file, 0);
    MUST(at != MAP_FAILED);
    for (int i = 0; i < 8 * PAGE / 4; i++)
        sum = sum * 31 + at[i];
    printf("shared %08x\n", sum);

    /* More pages than any TLB has entries for, near ones and far ones. */
    enum { MANY = 2048 };
    u32 *many = map(MANY * PAGE, PROT_READ | PROT_WRITE);
    for (int round = 0; round < 6; round++)
        for (u32 i = 0; i < MANY; i++)
            many[i * 421 % MANY * PAGE / 4 + i % (PAGE / 4)] += i + round;
    for (u32 i = 0; i < MANY * PAGE / 4; i += 7)
        sum = sum * 31 + many[i];
    printf("many %08x\n", sum);
    MUST(!madvise(many, MANY * PAGE, MADV_DONTNEED));
    for (u32 i = 0; i < MANY; i++)
        MUST(!many[i * PAGE / 4]);

    /* Words at addresses that are no multiples of four; what the CPU does not do, the kernel does. */
    u8 bytes[64];
    for (int i = 0; i < 64; i++)
        bytes[i] = i * 37;
    sum = 0;
    for (int i = 0; i < 56; i++) {
        volatile u32 *word = (volatile u32 *)(bytes + i);
        volatile uint16_t *half = (volatile uint16_t *)(bytes + i + 5);
        *word += i;
        *half ^= i;
        sum = sum * 31 + *word + *half;
    }
    printf("unaligned %08x\n", sum);
    return 0;
}
