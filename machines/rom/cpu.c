/* SPDX-License-Identifier: MIT OR Apache-2.0 */

/* The CPU: what it is, its caches, its exceptions. */

#include "rom.h"

#define STATUS_IE    0x00000001
#define STATUS_CU1   0x20000000

/* Places of the interrupts in both Status (IM) and Cause (IP). */
#define INTERRUPT(n) (0x00000100 << (n))
#define TIMER        7 /* CP0 Compare */

#define CAUSE_BD     0x80000000

#define CONFIG1_FP   0x00000001
#define CONFIG_M     0x80000000

#define VECTOR_CACHE_ERROR 0x100
#define CODE_CACHE_ERROR   30

#define INDEX_INVALIDATE_I 0x00
#define INDEX_WRITEBACK_D  0x01 /* and invalidate */

/* Count increments: 26 ms at 160 MHz. */
#define IDLE_LIMIT (1 << 22)

/* Everything that start.S saves at an exception. $k0 and $k1 are not among it. */
struct frame {
    uint32_t gpr[32];
    uint32_t hi, lo, status, cause, epc, badvaddr, errorepc;
    uint32_t vector;
};

struct frame exception_frame;

/*
 * Where an exception goes. Guards nest: the innermost one takes it. No exception is ever returned from: the guarded
 * call is given up and guard_enter returns false.
 */
struct guard {
    uint32_t saved[11]; /* s0-s7, fp, sp, ra */
    struct guard *outer;
    struct fault *fault; /* filled in for the caller; NULL to tell the user */
};

static struct guard *innermost;

bool guard_enter(struct guard *guard, void (*fn)(void *), void *arg);
void guard_leave(struct guard *guard) __attribute__((noreturn));

const char *exception_name(uint32_t code)
{
    static const char *const names[32] = {
        [0] = "interrupt",
        [1] = "store to a read-only page",
        [2] = "TLB miss (load or fetch)",
        [3] = "TLB miss (store)",
        [4] = "address error (load or fetch)",
        [5] = "address error (store)",
        [6] = "bus error (fetch)",
        [7] = "bus error (load or store)",
        [8] = "system call",
        [9] = "breakpoint",
        [10] = "reserved instruction",
        [11] = "coprocessor unusable",
        [12] = "integer overflow",
        [13] = "trap",
        [15] = "floating-point exception",
        [18] = "coprocessor 2 exception",
        [23] = "watchpoint",
        [24] = "machine check",
        [25] = "thread exception",
        [26] = "DSP disabled",
        [CODE_CACHE_ERROR] = "cache error",
    };

    return code < 32 && names[code] ? names[code] : "unknown exception";
}

static void show_exception(const struct frame *frame, uint32_t code)
{
    static const char names[32][3] = {
        "r0", "at", "v0", "v1", "a0", "a1", "a2", "a3", "t0", "t1", "t2", "t3", "t4", "t5", "t6", "t7",
        "s0", "s1", "s2", "s3", "s4", "s5", "s6", "s7", "t8", "t9", "k0", "k1", "gp", "sp", "fp", "ra",
    };

    print("\nException: %s (code %u)\n", exception_name(code), code);
    print("EPC %08x  Status %08x  Cause %08x", frame->epc, frame->status, frame->cause);
    if (code >= 1 && code <= 5)
        print("  BadVAddr %08x", frame->badvaddr);
    if (code == CODE_CACHE_ERROR)
        print("  ErrorEPC %08x", frame->errorepc);
    if (frame->cause & CAUSE_BD)
        print("\nin the delay slot of the branch at EPC");
    for (unsigned i = 0; i < 32; i++) {
        if (i == 26 || i == 27) /* $k0 and $k1 are lost */
            continue;
        print("%s%s %08x", i % 4 ? "  " : "\n", names[i], frame->gpr[i]);
    }
    print("\nhi %08x  lo %08x\n", frame->hi, frame->lo);
}

/* Called by start.S, on a stack of its own, for every exception taken with Status.BEV = 0. */
__attribute__((noreturn)) void handle_exception(struct frame *frame)
{
    struct guard *guard = innermost;
    uint32_t code = frame->vector == VECTOR_CACHE_ERROR ? CODE_CACHE_ERROR : frame->cause >> 2 & 31;

    if (guard->fault)
        guard->fault->code = code;
    else
        show_exception(frame, code);
    CP0_STATUS(cp0_write, 0);
    guard_leave(guard);
}

bool run_guarded(void (*fn)(void *), void *arg, struct fault *fault)
{
    struct guard guard;

    guard.outer = innermost;
    guard.fault = fault;
    innermost = &guard;
    bool whole = guard_enter(&guard, fn, arg);
    innermost = guard.outer;
    return whole;
}

bool run_reported(void (*fn)(void *), void *arg)
{
    return run_guarded(fn, arg, NULL);
}

struct cache {
    uint32_t line; /* bytes; 0 without a cache */
    uint32_t size; /* bytes */
};

/* Decodes the fields S, L and A of Config1, which start at bit `low` with A. */
static struct cache cache_geometry(unsigned low)
{
    uint32_t config1 = CP0_CONFIG1(cp0_read);
    uint32_t sets = 32 << (((config1 >> (low + 6)) + 1) & 7);
    uint32_t line = config1 >> (low + 3) & 7;
    uint32_t ways = (config1 >> low & 7) + 1;
    struct cache cache = {.line = line ? 2 << line : 0};

    cache.size = cache.line * sets * ways;
    return cache;
}

static struct cache icache(void)
{
    return cache_geometry(16);
}

static struct cache dcache(void)
{
    return cache_geometry(7);
}

#define cache_index_op(op, cache)                                                                                      \
    for (uint32_t at = 0; at < (cache).size; at += (cache).line)                                                       \
    __asm__ volatile("cache %0, 0(%1)" : : "i"(op), "r"(0x80000000 + at) : "memory")

void sync_caches(void)
{
    struct cache data = dcache(), code = icache();

    cache_index_op(INDEX_WRITEBACK_D, data);
    __asm__ volatile("sync" : : : "memory");
    cache_index_op(INDEX_INVALIDATE_I, code);
    __asm__ volatile("sync\n\tehb" : : : "memory");
}

void install_vectors(void)
{
    extern const uint32_t vectors_flash[];
    extern uint32_t vectors_start[];
    extern const char vectors_size[];

    for (size_t i = 0; i < (uintptr_t)vectors_size / 4; i++)
        vectors_start[i] = vectors_flash[i];
    sync_caches();
    CP0_STATUS(cp0_write, 0x00400000); /* EBase may only change while BEV = 1 */
    CP0_EBASE(cp0_write, vectors_start);
    CP0_CAUSE(cp0_write, 0);
    CP0_STATUS(cp0_write, 0);
}

static void wait_for_interrupt(void *arg)
{
    (void)arg;
    CP0_STATUS(cp0_write, STATUS_IE | INTERRUPT(CONSOLE_INTERRUPT) | INTERRUPT(TIMER));
    for (;;)
        __asm__ volatile("wait");
}

/*
 * The interrupt ends the guarded call wherever it comes, so none can be missed between looking at the UART and
 * stopping. The timer bounds the wait should the UART's interrupt not reach the CPU.
 */
void idle(void)
{
    struct fault fault;

    CP0_COMPARE(cp0_write, CP0_COUNT(cp0_read) + IDLE_LIMIT);
    listen(true);
    run_guarded(wait_for_interrupt, NULL, &fault);
    if (CP0_CAUSE(cp0_read) & INTERRUPT(CONSOLE_INTERRUPT))
        acknowledge_interrupt();
    listen(false);
}

uint32_t count_resolution(void)
{
    uint32_t clocks;

    __asm__ volatile("rdhwr %0, $3" : "=r"(clocks));
    return clocks;
}

/* The floating-point implementation register; only with an FPU. */
static uint32_t read_fir(void)
{
    uint32_t fir;

    CP0_STATUS(cp0_write, STATUS_CU1);
    __asm__ volatile(".set push\n\t.set hardfloat\n\tcfc1 %0, $0\n\t.set pop" : "=r"(fir));
    CP0_STATUS(cp0_write, 0);
    return fir;
}

static void show_cache(const char *name, struct cache cache)
{
    if (cache.size)
        print(", %s %u %s", name, size_in_units(cache.size), size_unit(cache.size));
    else
        print(", no %s", name);
}

void show_cpu(void)
{
    /* Company and processor number of PRId (MIPS Technologies is 1), the name, and its form with an FPU. */
    static const struct {
        uint16_t id;
        const char *name, *with_fpu;
    } models[] = {
        {0x100, "generic", "generic"}, {0x189, "5KEc", "5KEf"}, {0x190, "4KEc", "4KEc"}, {0x193, "24Kc", "24Kf"},
        {0x195, "34Kc", "34Kf"},       {0x196, "24KEc", "24KEf"}, {0x197, "74Kc", "74Kf"}, {0x19c, "M14Kc", "M14Kc"},
    };
    uint32_t prid = CP0_PRID(cp0_read);
    uint32_t config1 = CP0_CONFIG1(cp0_read);
    bool fpu = config1 & CONFIG1_FP;
    const char *name = "unknown";

    for (size_t i = 0; i < sizeof(models) / sizeof(models[0]); i++)
        if (models[i].id == (prid >> 8 & 0xffff))
            name = fpu ? models[i].with_fpu : models[i].name;
    print("CPU   %s (PRId %08x), %s, ", name, prid, fpu ? "FPU" : "no FPU");
    if ((CP0_CONFIG(cp0_read) >> 7 & 7) == 1)
        print("%u TLB entries", (config1 >> 25 & 63) + 1);
    else
        print("no TLB");
    show_cache("I-cache", icache());
    show_cache("D-cache", dcache());
    put_char('\n');
}

void show_cp0(void)
{
    print("CP0   Status   %08x  Cause    %08x  EBase    %08x\n", CP0_STATUS(cp0_read), CP0_CAUSE(cp0_read),
          CP0_EBASE(cp0_read));
    print("      IntCtl   %08x  SRSCtl   %08x  Compare  %08x\n", CP0_INTCTL(cp0_read), CP0_SRSCTL(cp0_read),
          CP0_COMPARE(cp0_read));
    print("      Config   %08x  Config1  %08x", CP0_CONFIG(cp0_read), CP0_CONFIG1(cp0_read));
    if (CP0_CONFIG1(cp0_read) & CONFIG_M) {
        print("  Config2  %08x", CP0_CONFIG2(cp0_read));
        if (CP0_CONFIG2(cp0_read) & CONFIG_M)
            print("\n      Config3  %08x", CP0_CONFIG3(cp0_read));
    }
    if (CP0_CONFIG1(cp0_read) & CONFIG1_FP)
        print("  FIR      %08x", read_fir());
    put_char('\n');
}
