/* SPDX-License-Identifier: MIT OR Apache-2.0 */

/* The RAM, and the commands that look at memory, change it and test it. */

#include "rom.h"

#define KSEG0 0x80000000
#define KSEG1 0xa0000000

#define MIB   0x100000

#define CACHED(offset)   (KSEG0 + RAM_BASE + (offset))
#define UNCACHED(offset) (KSEG1 + RAM_BASE + (offset))

/* memtest without arguments tests this much from this offset in RAM: quick, and clear of the ROM. */
#define TEST_START MIB
#define TEST_SIZE  MIB

/* memtest shows this many errors and counts the others. */
#define SHOWN_ERRORS 10

uint32_t ram_size;

struct access {
    uint32_t address;
    uint32_t width; /* 1, 2 or 4 bytes */
    uint32_t value;
};

static void load(void *arg)
{
    struct access *access = arg;

    switch (access->width) {
    case 1:
        access->value = REG8(access->address);
        break;
    case 2:
        access->value = REG16(access->address);
        break;
    default:
        access->value = REG32(access->address);
        break;
    }
    __asm__ volatile("sync" : : : "memory");
}

static void store(void *arg)
{
    const struct access *access = arg;

    switch (access->width) {
    case 1:
        REG8(access->address) = (uint8_t)access->value;
        break;
    case 2:
        REG16(access->address) = (uint16_t)access->value;
        break;
    default:
        REG32(access->address) = access->value;
        break;
    }
    __asm__ volatile("sync" : : : "memory");
}

/*
 * Whether a word of RAM answers at `*arg`, an offset in RAM, and is not the word at offset 0 seen again. Leaves
 * both as they were. Sets `*arg` to 0 for yes.
 */
static void probe(void *arg)
{
    uint32_t *offset = arg;
    volatile uint32_t *base = &REG32(UNCACHED(0)), *word = &REG32(UNCACHED(*offset));
    uint32_t base_before = *base, word_before = *word;
    const uint32_t mark = 0x5a3cc3a5;

    *base = mark;
    *word = ~mark;
    bool present = *word == ~mark && *base == mark;
    *word = word_before;
    *base = base_before;
    if (present)
        *offset = 0;
}

/*
 * A binary search for the first missing megabyte. The powers of two come before what lies above them, so RAM that
 * repeats itself is noticed where the first copy starts.
 */
void find_ram(void)
{
    uint32_t low = 1, high = LOW_RAM_LIMIT / MIB;

    while (low < high) {
        uint32_t middle = (low + high) / 2;
        uint32_t offset = middle * MIB;
        struct fault fault;
        if (run_guarded(probe, &offset, &fault) && offset == 0)
            low = middle + 1;
        else
            high = middle;
    }
    ram_size = low * MIB;
}

/* The width that the command's suffix asks for; 0, with a message, for an unknown suffix. */
static uint32_t width_of(const char *command)
{
    const char *suffix = command;

    while (*suffix && *suffix != '.')
        suffix++;
    if (!*suffix)
        return 4;
    if (suffix[1] && !suffix[2]) {
        switch (suffix[1]) {
        case 'b':
            return 1;
        case 'h':
            return 2;
        case 'w':
            return 4;
        }
    }
    print("%s: the widths are .b (8 bits), .h (16 bits) and .w (32 bits)\n", command);
    return 0;
}

static bool number_argument(const char *command, const char *text, uint32_t *number)
{
    if (parse_number(text, number))
        return true;
    print("%s: '%s' is not a hexadecimal number of up to 32 bits\n", command, text);
    return false;
}

/* Makes the access; false, with a message, if it raised an exception. */
static bool attempt(const char *command, void (*fn)(void *), struct access *access)
{
    struct fault fault;

    if (run_guarded(fn, access, &fault))
        return true;
    print("%s: %s at %08x\n", command, exception_name(fault.code), access->address);
    return false;
}

void command_md(int argc, char **argv)
{
    uint32_t width = width_of(argv[0]);
    uint32_t address, count;

    if (!width || !number_argument("md", argv[1], &address))
        return;
    count = 64 / width;
    if (argc > 2 && !number_argument("md", argv[2], &count))
        return;

    struct access access = {.address = address, .width = width};
    while (count) {
        uint32_t values[16];
        uint32_t in_row = 0;
        bool whole = true;
        uint32_t row = access.address;

        while (in_row < 16 / width && in_row < count) {
            whole = attempt("md", load, &access);
            if (!whole)
                break;
            values[in_row++] = access.value;
            access.address += width;
        }
        if (in_row) {
            print("%08x:", row);
            for (uint32_t i = 0; i < 16 / width; i++) {
                if (i < in_row)
                    print(" %0*x", 2 * width, values[i]);
                else
                    print("%*s", 2 * width + 1, "");
            }
            print("  ");
            for (uint32_t i = 0; i < in_row * width; i++) {
                uint32_t byte = i % width;
                uint32_t shift = 8 * (BIG_ENDIAN_CPU ? width - 1 - byte : byte);
                char c = (char)(values[i / width] >> shift);
                put_char(c >= ' ' && c <= '~' ? c : '.');
            }
            put_char('\n');
        }
        if (!whole || interrupted())
            return;
        count -= in_row;
    }
}

void command_mw(int argc, char **argv)
{
    uint32_t width = width_of(argv[0]);
    uint32_t address, value, count = 1;

    if (!width || !number_argument("mw", argv[1], &address) || !number_argument("mw", argv[2], &value))
        return;
    if (argc > 3 && !number_argument("mw", argv[3], &count))
        return;
    if (width < 4 && value >> (8 * width)) {
        print("mw: %x does not fit in %u bits\n", value, 8 * width);
        return;
    }

    struct access access = {.address = address, .width = width, .value = value};
    while (count--) {
        if (!attempt("mw", store, &access))
            return;
        access.address += width;
        if (!(count & 0xfff) && interrupted())
            return;
    }
}

/* Counts a wrong word, and shows the first ones. */
static void check(uint32_t address, uint32_t expected, uint32_t *errors)
{
    uint32_t got = REG32(address);

    if (got == expected)
        return;
    if ((*errors)++ < SHOWN_ERRORS)
        print("  %08x: wrote %08x, read %08x\n", address, expected, got);
}

/* One 1 in each place of the first two words, the other one holding the inverse so that no stale bus level helps. */
static void walk_ones(uint32_t start, uint32_t size, uint32_t *errors)
{
    uint32_t second = size > 4 ? start + 4 : start;

    for (uint32_t bit = 1; bit; bit <<= 1) {
        REG32(second) = ~bit;
        REG32(start) = bit;
        check(start, bit, errors);
        if (second != start)
            check(second, ~bit, errors);
    }
}

/* Every word holds its own address, or the inverse; false if given up with Ctrl-C. */
static bool fill_and_check(uint32_t start, uint32_t size, uint32_t invert, uint32_t *errors)
{
    for (uint32_t at = 0; at < size; at += 4) {
        REG32(start + at) = (start + at) ^ invert;
        if (!(at & 0xffff) && interrupted())
            return false;
    }
    for (uint32_t at = 0; at < size; at += 4) {
        check(start + at, (start + at) ^ invert, errors);
        if (!(at & 0xffff) && interrupted())
            return false;
    }
    return true;
}

void command_memtest(int argc, char **argv)
{
    static const struct {
        const char *name;
        uint32_t segment;
    } views[] = {{"cached", CACHED(0)}, {"uncached", UNCACHED(0)}};
    uint32_t start = CACHED(TEST_START);
    uint32_t size = 0, errors = 0;

    if (argc > 1 && !number_argument("memtest", argv[1], &start))
        return;
    if (argc > 2 && !number_argument("memtest", argv[2], &size))
        return;
    if (start < KSEG0 || start - KSEG0 >= 0x40000000) {
        print("memtest: %08x is not in kseg0 or kseg1 (80000000 to bfffffff)\n", start);
        return;
    }
    uint32_t base = (start & 0xe0000000) + RAM_BASE, offset = start - base;
    if (offset < ROM_RAM_SIZE) {
        print("memtest: the ROM uses the RAM below %08x\n", base + ROM_RAM_SIZE);
        return;
    }
    if (offset >= ram_size) {
        print("memtest: %08x is not in the RAM, which ends at %08x\n", start, base + ram_size);
        return;
    }
    if (argc <= 2)
        size = ram_size - offset < TEST_SIZE ? ram_size - offset : TEST_SIZE;
    if ((start | size) & 3 || !size) {
        print("memtest: start and length must be multiples of 4, the length not 0\n");
        return;
    }
    if (size > ram_size - offset) {
        print("memtest: only %x bytes of RAM are left from %08x\n", ram_size - offset, start);
        return;
    }

    for (size_t i = 0; i < sizeof(views) / sizeof(views[0]); i++) {
        uint32_t at = views[i].segment + offset;
        print("Testing %08x to %08x, %s\n", at, at + size - 1, views[i].name);
        sync_caches(); /* no dirty line of the other view may come back over this one */
        walk_ones(at, size, &errors);
        if (!fill_and_check(at, size, 0, &errors) || !fill_and_check(at, size, ~0u, &errors))
            return;
    }
    sync_caches();
    print("%u %s\n", errors, errors == 1 ? "error" : "errors");
}
