/* What the programs share: work by name, a generator of numbers, and the line that ends each. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef uint8_t u8;
typedef uint32_t u32;
typedef uint64_t u64;

struct work {
    const char *name;
    u32 (*run)(int rounds);
};

/* Marsaglia's xorshift, the same in every run. */
static u32 random_state = 2463534242u;

static inline u32 random_u32(void)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 17;
    random_state ^= random_state << 5;
    return random_state;
}

/* Runs the work that the first argument names, as many rounds as the second says, and prints its result. */
static inline int run(const struct work *works, int argc, char **argv)
{
    for (const struct work *work = works; work->name; work++)
        if (argc == 3 && !strcmp(work->name, argv[1])) {
            printf("%08x\n", work->run(atoi(argv[2])));
            return 0;
        }
    fprintf(stderr, "usage: %s WORK ROUNDS\n", argv[0]);
    return 2;
}
