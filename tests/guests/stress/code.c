/* Code that is written, run, written over, moved, mapped twice, and broken into by a debugger. */
#include "stress.h"
#include <sys/ptrace.h>
#ifdef __x86_64__
#include <sys/user.h>
#endif

typedef int (*Function)(int);

/* Writes a function that returns its argument plus a number: its size in bytes. */
static int assemble(void *at, int16_t number)
{
#ifdef __mips__
    u32 code[] = {0x03e00008, 0x24820000 | (uint16_t)number}; /* jr ra; addiu v0, a0, number */
#else
    u8 code[8] = {0x8d, 0x87, number, number >> 8, number < 0 ? 0xff : 0, number < 0 ? 0xff : 0, 0xc3}; /* lea, ret */
#endif
    memcpy(at, code, sizeof code);
    __builtin___clear_cache(at, (char *)at + sizeof code);
    return sizeof code;
}

static Function at(void *code)
{
    return (Function)(uintptr_t)code;
}

/* The functions that the debugger stops. */

__attribute__((noinline, noclone)) static int one(int x)
{
    __asm__ volatile("" : "+r"(x));
    return x * 3 + 1;
}

__attribute__((noinline, noclone)) static int other(int x)
{
    __asm__ volatile("" : "+r"(x));
    return x ^ 0x55;
}

static int debugged(int rounds)
{
    MUST(!ptrace(PTRACE_TRACEME, 0, 0, 0));
    raise(SIGSTOP);
    int x = 1;
    for (int i = 0; i < rounds; i++)
        x = other(one(x)) & 0xffff;
    return x & 0xff;
}

/* Runs a child with a breakpoint in one function, and at each hit in the other instead: how often it was hit, and what
   the child ended with. */
static void debug(int rounds)
{
    void *where = (void *)(uintptr_t)one, *next = (void *)(uintptr_t)other;
#ifdef __mips__
    const long breakpoint = 0x0000000d, mask = -1;
#else
    const long breakpoint = 0xcc, mask = 0xff;
#endif
    pid_t pid = child(debugged, rounds);
    int status, hits = 0;
    MUST(waitpid(pid, &status, 0) == pid && WIFSTOPPED(status));
    for (;;) {
        long code = ptrace(PTRACE_PEEKTEXT, pid, where, 0);
        MUST(!ptrace(PTRACE_POKETEXT, pid, where, (code & ~mask) | breakpoint));
        MUST(!ptrace(PTRACE_CONT, pid, 0, 0));
        MUST(waitpid(pid, &status, 0) == pid);
        if (!WIFSTOPPED(status))
            break;
        MUST(WSTOPSIG(status) == SIGTRAP);
        hits++;
        MUST(!ptrace(PTRACE_POKETEXT, pid, where, code));
#ifdef __x86_64__
        struct user_regs_struct registers;
        MUST(!ptrace(PTRACE_GETREGS, pid, 0, &registers));
        registers.rip = (uintptr_t)where;
        MUST(!ptrace(PTRACE_SETREGS, pid, 0, &registers));
#endif
        void *t = where;
        where = next, next = t;
    }
    printf("debugged: %d hits, %d\n", hits, WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status));
}

int main(void)
{
    enum { PAGES = 16 };
    u8 *code = map(PAGES * PAGE, PROT_READ | PROT_WRITE | PROT_EXEC);
    u32 sum = 0;

    /* The same place, over and over. */
    for (int i = 0; i < 3000; i++) {
        assemble(code + 64, i - 1500);
        sum = sum * 31 + at(code + 64)(i);
        if (i % 3 == 0)
            sum += at(code + 64)(sum & 0xff);
    }
    printf("rewritten %08x\n", sum);

    /* Everywhere, each once, data next to it written meanwhile; and again after a part has changed. */
    for (int round = 0; round < 3; round++) {
        int size = 8;
        for (int i = 0; i + size <= PAGES * PAGE; i += 2 * size)
            if (!round || i % 3 == 0)
                assemble(code + i, i / 8 + round);
        for (int i = 0; i + size <= PAGES * PAGE; i += 2 * size) {
            code[i + size]++;
            sum = sum * 31 + at(code + i)(round);
        }
    }
    printf("everywhere %08x\n", sum);

    /* Across the end of a page: on MIPS the jump is in one and its delay slot in the next, and each changes. */
    for (int i = 0; i < 400; i++) {
        assemble(code + PAGE - 4, i);
        sum = sum * 31 + at(code + PAGE - 4)(i);
        MUST(!mprotect(code + PAGE, PAGE, i & 1 ? PROT_READ | PROT_EXEC : PROT_READ | PROT_WRITE | PROT_EXEC));
        sum = sum * 31 + at(code + PAGE - 4)(-i);
        MUST(!mprotect(code + PAGE, PAGE, PROT_READ | PROT_WRITE | PROT_EXEC));
    }
    printf("across %08x\n", sum);

    /* Written through one address, run through another. */
    int file = memfd_create("code", 0);
    MUST(file >= 0 && !ftruncate(file, PAGE));
    u8 *write = mmap(0, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    u8 *run = mmap(0, PAGE, PROT_READ | PROT_EXEC, MAP_SHARED, file, 0);
    MUST(write != MAP_FAILED && run != MAP_FAILED);
    for (int i = 0; i < 1000; i++) {
        int offset = i % 7 * 64;
        assemble(write + offset, i);
        __builtin___clear_cache((char *)run, (char *)run + PAGE);
        sum = sum * 31 + at(run + offset)(i);
    }
    printf("mapped twice %08x\n", sum);

    /* Never writable and executable at once, as just-in-time compilers do it. */
    for (int i = 0; i < 500; i++) {
        MUST(!mprotect(code, PAGE, PROT_READ | PROT_WRITE));
        assemble(code + i % 13 * 32, i);
        MUST(!mprotect(code, PAGE, PROT_READ | PROT_EXEC));
        sum = sum * 31 + at(code + i % 13 * 32)(i);
    }
    printf("either %08x\n", sum);

    /* Other code at the same addresses: mapped anew, and in a child. */
    MUST(!mprotect(code, PAGE, PROT_READ | PROT_WRITE | PROT_EXEC));
    for (int i = 0; i < 200; i++) {
        MUST(mmap(code, PAGE, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_FIXED | MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == code);
        assemble(code, i * 3);
        sum = sum * 31 + at(code)(i);
    }
    for (int i = 0; i < 40; i++) {
        assemble(code, i);
        int before = at(code)(1);
        pid_t pid = fork();
        MUST(pid >= 0);
        if (!pid) {
            assemble(code, i + 100);
            _exit(at(code)(1));
        }
        sum = sum * 31 + result(pid) - before * 7;
        MUST(at(code)(1) == before);
    }
    printf("anew %08x\n", sum);

    /* Read from a file into place, so that the kernel writes it. */
    for (int i = 0; i < 300; i++) {
        u8 bytes[16];
        int size = assemble(bytes, i);
        MUST(pwrite(file, bytes, size, 512) == size);
        MUST(pread(file, code + 128, size, 512) == size);
        __builtin___clear_cache((char *)code, (char *)code + PAGE);
        sum = sum * 31 + at(code + 128)(i);
    }
    printf("read %08x\n", sum);

    debug(50);
    return 0;
}
