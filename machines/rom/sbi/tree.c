/* SPDX-License-Identifier: MIT OR Apache-2.0
 *
 * Reads of the flattened device tree what the firmware uses: Devicetree Specification, release 0.4, chapter 5. Addresses and sizes
 * outside /cpus have two cells, and harts are numbered from 0 in the order in which devices have something for each.
 */
#include "sbi.h"

struct board board;

enum { BEGIN_NODE = 1, END_NODE = 2, PROP = 3, NOP = 4, END = 9 };

/* A property: bytes, and how many. */
struct bytes {
    const u8 *at;
    u32 len;
};

/* What a node says. */
struct node {
    struct bytes compatible, reg, type, shift, clock;
};

/* What the compiler makes of an initialisation. */
void *memset(void *to, int value, unsigned long len);
void *memset(void *to, int value, unsigned long len)
{
    for (u8 *at = to; len; len--)
        *at++ = value;
    return to;
}

static u32 cell(const u8 *at)
{
    return (u32)at[0] << 24 | at[1] << 16 | at[2] << 8 | at[3];
}

static u64 pair(struct bytes of, u32 index)
{
    if (of.len < 8 * index + 8)
        return 0;
    return (u64)cell(of.at + 8 * index) << 32 | cell(of.at + 8 * index + 4);
}

static int same(const char *a, const char *b)
{
    for (; *a == *b; a++, b++)
        if (!*a)
            return 1;
    return 0;
}

/* Whether one of the texts of a property is this. */
static int has(struct bytes list, const char *text)
{
    for (u32 at = 0; at < list.len;) {
        if (same((const char *)list.at + at, text))
            return 1;
        while (at < list.len && list.at[at])
            at++;
        at++;
    }
    return 0;
}

static void *address(struct bytes reg, u32 index)
{
    return (void *)(word)pair(reg, 2 * index);
}

static void look(const struct node *node)
{
    if (has(node->type, "cpu") && node->reg.len == 4 && cell(node->reg.at) < SBI_HARTS)
        board.harts |= (word)1 << cell(node->reg.at);
    if (has(node->type, "memory") && !board.memory_size) {
        board.memory = pair(node->reg, 0);
        board.memory_size = pair(node->reg, 1);
    }
    if (has(node->compatible, "ns16550a") && !board.serial) {
        board.serial = address(node->reg, 0);
        board.serial_shift = node->shift.len == 4 ? cell(node->shift.at) : 0;
        board.serial_clock = node->clock.len == 4 ? cell(node->clock.at) : 0;
    }
    if (has(node->compatible, "riscv,aclint-mswi"))
        board.msip = address(node->reg, 0);
    if (has(node->compatible, "riscv,aclint-mtimer")) {
        board.mtime = address(node->reg, 0);
        board.mtimecmp = address(node->reg, 1);
    }
    if (has(node->compatible, "sifive,clint0") || has(node->compatible, "riscv,clint0")) {
        u8 *clint = address(node->reg, 0);
        board.msip = (volatile u32 *)clint;
        board.mtimecmp = (volatile u32 *)(clint + 0x4000);
        board.mtime = (volatile u32 *)(clint + 0xbff8);
    }
    if (has(node->compatible, "sifive,test0"))
        board.finisher = address(node->reg, 0);
}

/* Fills in the board; says whether there is a tree. */
int read_tree(const void *tree)
{
    const u8 *start = tree;
    if (!start || cell(start) != 0xd00dfeed)
        return 0;
    const u8 *at = start + cell(start + 8), *names = start + cell(start + 12);
    /* Nodes that are open. Those deeper have nothing of interest. */
    struct node open[4] = {0};
    word depth = 0;
    for (;;) {
        u32 token = cell(at);
        at += 4;
        if (token == BEGIN_NODE) {
            while (*at++)
                ;
            at = (const u8 *)(((word)at + 3) & ~(word)3);
            if (depth < 4)
                open[depth] = (struct node){0};
            depth++;
        } else if (token == END_NODE) {
            depth--;
            if (depth < 4)
                look(&open[depth]);
        } else if (token == PROP) {
            struct bytes value = {at + 8, cell(at)};
            const char *name = (const char *)names + cell(at + 4);
            at += 8 + ((value.len + 3) & ~3u);
            if (depth - 1 >= 4)
                continue;
            struct node *node = &open[depth - 1];
            if (same(name, "compatible"))
                node->compatible = value;
            else if (same(name, "reg"))
                node->reg = value;
            else if (same(name, "device_type"))
                node->type = value;
            else if (same(name, "reg-shift"))
                node->shift = value;
            else if (same(name, "clock-frequency"))
                node->clock = value;
        } else if (token != NOP) {
            return token == END;
        }
    }
}
