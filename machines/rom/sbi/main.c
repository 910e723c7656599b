/* SPDX-License-Identifier: MIT OR Apache-2.0
 *
 * The RISC-V Supervisor Binary Interface, version 2.0: base, timer, IPI, RFENCE, HSM, system reset and debug console, and of the
 * legacy functions timer, console and shutdown.
 */
#include "sbi.h"

enum {
    SUCCESS = 0,
    FAILED = -1,
    NOT_SUPPORTED = -2,
    INVALID_PARAM = -3,
    INVALID_ADDRESS = -5,
    ALREADY_AVAILABLE = -6,
};

/* Extensions, by the letters of their names. */
enum {
    BASE = 0x10,
    TIME = 0x54494d45,
    IPI = 0x735049,
    RFENCE = 0x52464e43,
    HSM = 0x48534d,
    SRST = 0x53525354,
    DBCN = 0x4442434e,
};
enum { LEGACY_SET_TIMER = 0, LEGACY_PUT = 1, LEGACY_GET = 2, LEGACY_SHUTDOWN = 8 };

/* Bits of mip and mie. */
enum { SSIP = 1 << 1, MSIP = 1 << 3, STIP = 1 << 5, MTIP = 1 << 7, SEIP = 1 << 9 };

#define INTERRUPT ((word)1 << (__riscv_xlen - 1))
enum { SUPERVISOR_CALL = 9 };

/* States of a hart (HSM). */
enum { STARTED = 0, STOPPED = 1, START_PENDING = 2, SUSPENDED = 4 };

struct hart {
    word state;
    /* Where it starts, and its argument. */
    word start, argument;
    /* Somebody wants it to take a supervisor software interrupt. */
    word ipi;
    /* One bit for each hart that wants it to execute a fence. */
    word fences;
    /* The fence that it wants others to execute, and how many have not yet. */
    word fence, from, size, asid;
    word left;
};
static struct hart harts[SBI_HARTS];
/* The timer of supervisor mode is its own (Sstc). */
static word has_stimecmp;
/* The tree has been read. */
static word ready;

struct answer {
    word error, value;
};
static struct answer error(int code)
{
    return (struct answer){code, 0};
}
static struct answer value(word value)
{
    return (struct answer){SUCCESS, value};
}

static word get_state(const struct hart *hart)
{
    return __atomic_load_n(&hart->state, __ATOMIC_ACQUIRE);
}
static void set_state(struct hart *hart, word state)
{
    __atomic_store_n(&hart->state, state, __ATOMIC_RELEASE);
}

/* Executes instructions until one of them is not there: %0 is a result, %2 and %3 are operands. */
#define as_far_as_there(instructions, result, a, b)                                                                    \
    do {                                                                                                               \
        word vector_;                                                                                                  \
        __asm__ volatile("lla %1, 1f\n csrrw %1, mtvec, %1\n " instructions "\n .align 2\n 1: csrw mtvec, %1"          \
                         : "+&r"(result), "=&r"(vector_)                                                               \
                         : "r"((word)(a)), "r"((word)(b))                                                              \
                         : "memory");                                                                                  \
    } while (0)

static void interrupt(word hart)
{
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    board.msip[hart] = 1;
}

/* Remote fences (RFENCE), by their function numbers. Those of a hypervisor are not there. */
enum { FENCE_I = 0, SFENCE_VMA = 1, SFENCE_VMA_ASID = 2 };
/* A fence of more than so many bytes is one of everything. */
enum { PAGE = 4096, MOST = 64 * PAGE };

static void fence(const struct hart *by)
{
    if (by->fence == FENCE_I) {
        __asm__ volatile("fence.i" ::: "memory");
        return;
    }
    int one_space = by->fence == SFENCE_VMA_ASID;
    if (by->size > MOST || (!by->from && !by->size)) {
        if (one_space)
            __asm__ volatile("sfence.vma zero, %0" ::"r"(by->asid) : "memory");
        else
            __asm__ volatile("sfence.vma" ::: "memory");
        return;
    }
    word from = by->from & -PAGE, size = by->size + (by->from - from);
    for (word at = 0; at < size; at += PAGE) {
        if (one_space)
            __asm__ volatile("sfence.vma %0, %1" ::"r"(from + at), "r"(by->asid) : "memory");
        else
            __asm__ volatile("sfence.vma %0" ::"r"(from + at) : "memory");
    }
}

/* Does what others want of this hart. */
static void serve(word self)
{
    struct hart *hart = &harts[self];
    if (!board.msip)
        return;
    board.msip[self] = 0;
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    if (__atomic_exchange_n(&hart->ipi, 0, __ATOMIC_ACQ_REL))
        csr_set("mip", SSIP);
    word wanted = __atomic_exchange_n(&hart->fences, 0, __ATOMIC_ACQ_REL);
    for (word by = 0; wanted; by++, wanted >>= 1) {
        if (!(wanted & 1))
            continue;
        fence(&harts[by]);
        /* It may wait for the last one. */
        if (__atomic_sub_fetch(&harts[by].left, 1, __ATOMIC_ACQ_REL) == 0)
            interrupt(by);
    }
}

/* The harts that a mask and its base mean, or none if it names one that there is none of or that does not run. */
static word selected(word mask, word base)
{
    word all = 0;
    for (word n = 0; n < SBI_HARTS; n++)
        if (board.harts >> n & 1 && get_state(&harts[n]) != STOPPED)
            all |= (word)1 << n;
    if (base == (word)-1)
        return all;
    if (base >= SBI_HARTS)
        return 0;
    word meant = mask << base;
    return meant >> base != mask || meant & ~board.harts ? 0 : meant & all;
}

static int is_wrong(word mask, word base)
{
    if (base == (word)-1)
        return 0;
    return mask && (base >= SBI_HARTS || (mask << base) >> base != mask || mask << base & ~board.harts);
}

static struct answer send_ipi(word mask, word base)
{
    if (is_wrong(mask, base))
        return error(INVALID_PARAM);
    word to = selected(mask, base);
    for (word n = 0; to; n++, to >>= 1) {
        if (!(to & 1))
            continue;
        __atomic_store_n(&harts[n].ipi, 1, __ATOMIC_RELEASE);
        interrupt(n);
    }
    return value(0);
}

static struct answer remote_fence(word self, word function, const word *a)
{
    struct hart *hart = &harts[self];
    if (function > SFENCE_VMA_ASID)
        return error(NOT_SUPPORTED);
    if (is_wrong(a[0], a[1]))
        return error(INVALID_PARAM);
    hart->fence = function;
    hart->from = a[2];
    hart->size = a[3];
    hart->asid = a[4];
    word to = selected(a[0], a[1]);
    word others = to & ~((word)1 << self), count = 0;
    for (word rest = others; rest; rest &= rest - 1)
        count++;
    __atomic_store_n(&hart->left, count, __ATOMIC_RELEASE);
    for (word n = 0; others; n++, others >>= 1) {
        if (!(others & 1))
            continue;
        __atomic_or_fetch(&harts[n].fences, (word)1 << self, __ATOMIC_ACQ_REL);
        interrupt(n);
    }
    if (to >> self & 1)
        fence(hart);
    /* Whoever is waited for may be waiting for this one. */
    while (__atomic_load_n(&hart->left, __ATOMIC_ACQUIRE)) {
        __asm__ volatile("wfi" ::: "memory");
        if (csr_read("mip") & MSIP)
            serve(self);
    }
    return value(0);
}

static void set_timer(word self, u64 at)
{
    if (has_stimecmp) {
#if __riscv_xlen == 64
        csr_write("0x14d", at);
#else
        csr_write("0x14d", -1);
        csr_write("0x15d", at >> 32);
        csr_write("0x14d", (word)at);
#endif
        return;
    }
    if (!board.mtimecmp)
        return;
    volatile u32 *compare = board.mtimecmp + 2 * self;
    compare[1] = -1;
    compare[0] = (u32)at;
    compare[1] = at >> 32;
    csr_clear("mip", STIP);
    csr_set("mie", MTIP);
}

static _Noreturn void finish(word how)
{
    if (board.finisher)
        *board.finisher = how;
    rest();
}

/* System reset (SRST). */
static struct answer reset(word kind, word reason)
{
    if (kind > 2 || (reason > 1 && (reason < 0xe0000000 || reason > 0xffffffff)))
        return error(INVALID_PARAM);
    if (!board.finisher)
        return error(NOT_SUPPORTED);
    if (kind)
        finish(0x7777);
    finish(reason == 1 ? 1 << 16 | 0x3333 : 0x5555);
}

/* What a hart that stands still waits for: to be started. */
_Noreturn void wait_to_start(word self)
{
    struct hart *hart = &harts[self];
    csr_write("mie", MSIP);
    while (get_state(hart) != START_PENDING) {
        __asm__ volatile("wfi" ::: "memory");
        if (__atomic_load_n(&ready, __ATOMIC_ACQUIRE) && csr_read("mip") & MSIP)
            serve(self);
    }
    /* What was wanted of it before is done by starting. */
    serve(self);
    csr_clear("mip", SSIP | STIP);
    /* All that supervisor mode can handle, it does: but for its own calls. */
    csr_write("medeleg", 0xb1ff);
    csr_write("mideleg", SSIP | STIP | SEIP);
    csr_write("mcounteren", 7);
    csr_write("scounteren", 7);
    /* Sstc, memory types and cache-block instructions. */
    word compared = 0;
#if __riscv_xlen == 64
    as_far_as_there("csrs 0x30a, %2\n csrr %0, 0x30a", compared, (word)3 << 62 | 0xf0, 0);
#else
    as_far_as_there("csrs 0x30a, %2\n csrs 0x31a, %3\n csrr %0, 0x31a", compared, 0xf0, (word)1 << 31);
#endif
    has_stimecmp = compared >> (__riscv_xlen - 1);
    set_timer(self, -1);
    /* The firmware's memory is its own, and all else everybody's. */
    word own = (word)firmware >> 2 | (SBI_SIZE / 8 - 1);
    word all = 0;
    as_far_as_there("csrw pmpaddr0, %2\n li %0, -1\n csrw pmpaddr1, %0\n csrw pmpcfg0, %3", all, own, 0x1f18);
    set_state(hart, STARTED);
    enter(self, hart->argument, hart->start, 1);
}

/* Hart state management (HSM). */
static struct answer manage(word self, word function, const word *a)
{
    struct hart *hart = &harts[a[0] < SBI_HARTS ? a[0] : 0];
    int there = a[0] < SBI_HARTS && board.harts >> a[0] & 1;
    switch (function) {
    case 0: {
        word stopped = STOPPED;
        if (!there)
            return error(INVALID_PARAM);
        if (a[1] & 1 || a[1] - (word)firmware < SBI_SIZE)
            return error(INVALID_ADDRESS);
        if (get_state(hart) != STOPPED)
            return error(ALREADY_AVAILABLE);
        hart->start = a[1];
        hart->argument = a[2];
        if (!__atomic_compare_exchange_n(&hart->state, &stopped, START_PENDING, 0, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))
            return error(ALREADY_AVAILABLE);
        interrupt(a[0]);
        return value(0);
    }
    case 1:
        set_state(&harts[self], STOPPED);
        wait_to_start(self);
    case 2:
        return there ? value(get_state(hart)) : error(INVALID_PARAM);
    case 3: {
        word kind = a[0] & 0xffffffff;
        if (kind != 0 && kind != 0x80000000)
            return error(kind & 0x70000000 ? INVALID_PARAM : NOT_SUPPORTED);
        set_state(&harts[self], SUSPENDED);
        while (!(csr_read("mip") & csr_read("mie") & (SSIP | STIP | SEIP))) {
            __asm__ volatile("wfi" ::: "memory");
            if (csr_read("mip") & MSIP)
                serve(self);
        }
        set_state(&harts[self], STARTED);
        if (kind)
            enter(self, a[2], a[1], 1);
        return value(0);
    }
    default:
        return error(NOT_SUPPORTED);
    }
}

/* The debug console (DBCN). */
static struct answer console(word function, const word *a)
{
    if (function == 2) {
        put(a[0]);
        return value(0);
    }
    if (function > 2)
        return error(NOT_SUPPORTED);
    /* Memory, and not that of the firmware. */
    u64 at = a[1], len = a[0];
#if __riscv_xlen == 32
    at |= (u64)a[2] << 32;
#else
    if (a[2])
        return error(INVALID_PARAM);
#endif
    u64 offset = at - board.memory, own = (word)firmware;
    if (offset > board.memory_size || len > board.memory_size - offset || (at < own + SBI_SIZE && own < at + len))
        return error(INVALID_PARAM);
    if (at != (word)at)
        return error(INVALID_PARAM);
    volatile u8 *bytes = (volatile u8 *)(word)at;
    word done = 0;
    for (; done < len; done++) {
        if (function == 0) {
            put(bytes[done]);
            continue;
        }
        int c = get();
        if (c < 0)
            break;
        bytes[done] = c;
    }
    return value(done);
}

static struct answer base(word function, const word *a)
{
    switch (function) {
    case 0:
        return value(2 << 24);
    case 1:
        /* Nobody has given it a number: "SLDR". */
        return value(0x534c4452);
    case 2:
        return value(1);
    case 3:
        switch (a[0]) {
        case BASE:
        case DBCN:
        case LEGACY_SET_TIMER:
        case LEGACY_PUT:
        case LEGACY_GET:
            return value(1);
        case TIME:
            return value(has_stimecmp || board.mtimecmp);
        case IPI:
        case RFENCE:
        case HSM:
            return value(!!board.msip);
        case SRST:
        case LEGACY_SHUTDOWN:
            return value(!!board.finisher);
        default:
            return value(0);
        }
    case 4:
        return value(csr_read("mvendorid"));
    case 5:
        return value(csr_read("marchid"));
    case 6:
        return value(csr_read("mimpid"));
    default:
        return error(NOT_SUPPORTED);
    }
}

/* What a call of the supervisor's answers. */
static struct answer call(word self, word extension, word function, const word *a)
{
    switch (extension) {
    case BASE:
        return base(function, a);
    case TIME:
        if (function)
            return error(NOT_SUPPORTED);
        set_timer(self, __riscv_xlen == 64 ? a[0] : a[0] | (u64)a[1] << 32);
        return value(0);
    case IPI:
        return function || !board.msip ? error(NOT_SUPPORTED) : send_ipi(a[0], a[1]);
    case RFENCE:
        return board.msip ? remote_fence(self, function, a) : error(NOT_SUPPORTED);
    case HSM:
        return board.msip ? manage(self, function, a) : error(NOT_SUPPORTED);
    case SRST:
        return function ? error(NOT_SUPPORTED) : reset(a[0], a[1]);
    case DBCN:
        return console(function, a);
    default:
        return error(NOT_SUPPORTED);
    }
}

/* The legacy functions answer in a0 alone. */
static int call_legacy(word self, struct frame *frame)
{
    word *a = frame->a;
    switch (a[7]) {
    case LEGACY_SET_TIMER:
        set_timer(self, __riscv_xlen == 64 ? a[0] : a[0] | (u64)a[1] << 32);
        a[0] = 0;
        return 1;
    case LEGACY_PUT:
        put(a[0]);
        a[0] = 0;
        return 1;
    case LEGACY_GET:
        a[0] = get();
        return 1;
    case LEGACY_SHUTDOWN:
        finish(0x5555);
    default:
        return 0;
    }
}

void trapped(struct frame *frame)
{
    word self = csr_read("mhartid"), cause = csr_read("mcause");
    if (cause == (INTERRUPT | 3)) {
        serve(self);
    } else if (cause == (INTERRUPT | 7)) {
        csr_clear("mie", MTIP);
        csr_set("mip", STIP);
    } else if (cause == SUPERVISOR_CALL) {
        csr_write("mepc", csr_read("mepc") + 4);
        if (call_legacy(self, frame))
            return;
        struct answer answer = call(self, frame->a[7], frame->a[6], frame->a);
        frame->a[0] = answer.error;
        frame->a[1] = answer.value;
    } else {
        say("sbi: hart ");
        say_decimal(self);
        say(" stops: cause ");
        say_number(cause);
        say(", value ");
        say_number(csr_read("mtval"));
        say(", at ");
        say_number(csr_read("mepc"));
        say("\n");
        rest();
    }
}

/* What the first hart does. */
_Noreturn void first(word self, const void *tree, const struct next *next)
{
    for (word n = 0; n < SBI_HARTS; n++)
        harts[n].state = STOPPED;
    int found = read_tree(tree);
    console_start();
    word count = 0;
    for (word rest = board.harts; rest; rest &= rest - 1)
        count++;
    say("Solderless SBI 1.0, ");
    say_decimal(count);
    say(count == 1 ? " hart\n" : " harts\n");
    if (!found || !(board.harts >> self & 1)) {
        say("sbi: there is no device tree of this board\n");
        rest();
    }
    if (next->magic != 0x4942534f || !next->address) {
        say("sbi: there is nothing to start\n");
        rest();
    }
    harts[self].start = next->address;
    harts[self].argument = (word)tree;
    harts[self].state = START_PENDING;
    __atomic_store_n(&ready, 1, __ATOMIC_RELEASE);
    wait_to_start(self);
}
