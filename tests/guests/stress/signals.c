/* Signals: sent, nested, on a stack of their own, from bad accesses, and back into the middle of what they interrupted. */
#include "stress.h"
#include <sys/time.h>

static volatile sig_atomic_t count, depth, deepest;
static sigjmp_buf back;
static u8 *page;

static void counted(int signal, siginfo_t *info, void *context)
{
    (void)context;
    count += signal == SIGUSR1 && info->si_pid == getpid();
}

static void nested(int signal, siginfo_t *info, void *context)
{
    (void)info, (void)context;
    if (++depth > deepest)
        deepest = depth;
    if (depth < 30)
        raise(signal);
    depth--;
    count++;
}

static void jumps(int signal, siginfo_t *info, void *context)
{
    (void)context;
    siglongjmp(back, signal == SIGSEGV ? 1 + ((u8 *)info->si_addr - page) / PAGE : 100 + signal);
}

/* Makes the page what it was not, and has the access done again. */
static void mends(int signal, siginfo_t *info, void *context)
{
    (void)signal, (void)context;
    u8 *at = (u8 *)((uintptr_t)info->si_addr & ~(uintptr_t)(PAGE - 1));
    MUST(!mprotect(at, PAGE, PROT_READ | PROT_WRITE));
    count++;
}

static void ticks(int signal, siginfo_t *info, void *context)
{
    (void)signal, (void)info, (void)context;
    /* What is interrupted must not notice any of this. */
    volatile double x = count + 1;
    for (int i = 0; i < 50; i++)
        x = x * 1.5 + i, x /= 3;
    count++;
}

static int answers(int rounds)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR2);
    int signal;
    for (int i = 0; i < rounds; i++) {
        MUST(!sigwait(&set, &signal));
        MUST(!kill(getppid(), SIGUSR2));
    }
    return 5;
}

/* Work that is interrupted in every place: integers with HI and LO, and doubles. */
__attribute__((noinline)) static u32 work(void)
{
    u32 a = 1;
    double d = 0.5;
    __asm__ volatile("" : "+r"(a));
    for (u32 i = 0; i < 3000000; i++) {
        a = a * 1664525 + 1013904223;
        a ^= (uint64_t)a * i >> 32;
        d = d * 0.999 + (a & 7);
    }
    return a + (u32)d;
}

int main(void)
{
    handle(SIGUSR1, counted, 0);
    for (int i = 0; i < 3000; i++)
        MUST(!kill(getpid(), SIGUSR1));
    printf("sent %d\n", (int)count);

    count = 0;
    handle(SIGUSR1, nested, SA_NODEFER);
    raise(SIGUSR1);
    printf("nested %d, %d deep\n", (int)count, (int)deepest);

    stack_t stack = {.ss_sp = map(16 * PAGE, PROT_READ | PROT_WRITE), .ss_size = 16 * PAGE};
    MUST(!sigaltstack(&stack, 0));
    page = map(16 * PAGE, PROT_NONE);
    handle(SIGSEGV, jumps, SA_ONSTACK);
    handle(SIGFPE, jumps, 0);
    for (volatile int i = 0; i < 16; i++) {
        int where = sigsetjmp(back, 1);
        if (!where)
            printf("read %d\n", ((volatile u8 *)page)[i * PAGE + i]);
        else if (where != 1 + i)
            printf("%d at %d\n", where, i);
    }
    volatile int zero = 0, caught = 0;
    for (volatile int i = 0; i < 100; i++) {
        int signal = sigsetjmp(back, 1);
        if (!signal)
            printf("%d\n", i / zero);
        caught += signal == 100 + SIGFPE;
    }
    printf("divided by zero %d times\n", caught);

    count = 0;
    handle(SIGSEGV, mends, 0);
    for (int i = 0; i < 16; i++)
        page[i * PAGE + 1] = i + 1;
    for (int round = 0; round < 50; round++) {
        MUST(!mprotect(page, 16 * PAGE, PROT_READ));
        for (int i = 0; i < 16; i++)
            page[i * PAGE + 1]++;
    }
    u32 sum = 0;
    for (int i = 0; i < 16; i++)
        sum += page[i * PAGE + 1];
    printf("mended %d, sum %u\n", (int)count, sum);

    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR2);
    MUST(!sigprocmask(SIG_BLOCK, &set, 0));
    pid_t pid = child(answers, 500);
    int signal;
    for (int i = 0; i < 500; i++) {
        MUST(!kill(pid, SIGUSR2));
        MUST(!sigwait(&set, &signal));
    }
    printf("answered, ended with %d\n", result(pid));

    count = 0;
    u32 quiet = work();
    handle(SIGALRM, ticks, SA_RESTART);
    struct itimerval timer = {{0, 1000}, {0, 1000}};
    MUST(!setitimer(ITIMER_REAL, &timer, 0));
    u32 disturbed = work();
    timer = (struct itimerval){0};
    MUST(!setitimer(ITIMER_REAL, &timer, 0));
    printf("work %08x, %s when disturbed\n", quiet, quiet == disturbed && count ? "the same" : "another");
    return 0;
}
