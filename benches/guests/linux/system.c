/* What the kernel does for programs: system calls, pipes, processes, mappings. */
#define _GNU_SOURCE
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "program.h"

/* Ends the program where the kernel refuses something. */
static void must(int holds, const char *what)
{
    if (!holds) {
        perror(what);
        exit(1);
    }
}

/* 1000 calls a round that do next to nothing. */
static u32 calls(int rounds)
{
    u32 result = 0, self = getpid();
    for (int i = 0; i < rounds * 1000; i++)
        result += syscall(SYS_getpid) == self;
    return result;
}

/* 100 times a round, four bytes to another process and back. */
static u32 pipes(int rounds)
{
    int there[2], back[2];
    must(!pipe(there) && !pipe(back), "pipe");
    pid_t child = fork();
    must(child >= 0, "fork");
    u32 value = 0;
    if (!child) {
        close(there[1]), close(back[0]);
        while (read(there[0], &value, sizeof value) == sizeof value) {
            value = value * 31 + 1;
            must(write(back[1], &value, sizeof value) == sizeof value, "write");
        }
        _exit(0);
    }
    for (int i = 0; i < rounds * 100; i++) {
        must(write(there[1], &value, sizeof value) == sizeof value, "write");
        must(read(back[0], &value, sizeof value) == sizeof value, "read");
    }
    close(there[1]);
    must(waitpid(child, 0, 0) == child, "waitpid");
    return value;
}

/* A new process that executes this program again, which does nothing. */
static u32 processes(int rounds)
{
    u32 result = 0;
    for (int i = 0; i < rounds; i++) {
        pid_t child = fork();
        must(child >= 0, "fork");
        if (!child) {
            execl("/proc/self/exe", "system", "nothing", "7", (char *)0);
            _exit(127);
        }
        int status;
        must(waitpid(child, &status, 0) == child, "waitpid");
        result = result * 31 + status;
    }
    return result;
}

static u32 nothing(int code)
{
    _exit(code);
}

/* 64 pages that come, are written, become read-only in part, and go. */
static u32 mappings(int rounds)
{
    enum { PAGES = 64, PAGE = 4096 };
    u32 result = 0;
    for (int i = 0; i < rounds; i++) {
        char *pages = mmap(0, PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        must(pages != MAP_FAILED, "mmap");
        for (int page = 0; page < PAGES; page++)
            pages[page * PAGE + i % PAGE] = page;
        must(!mprotect(pages + PAGES / 2 * PAGE, PAGES / 2 * PAGE, PROT_READ), "mprotect");
        for (int page = 0; page < PAGES; page++)
            result = result * 31 + pages[page * PAGE + i % PAGE];
        must(!munmap(pages, PAGES * PAGE), "munmap");
    }
    return result;
}

int main(int argc, char **argv)
{
    static const struct work works[] = {
        {"calls", calls}, {"pipes", pipes}, {"processes", processes}, {"mappings", mappings}, {"nothing", nothing}, {0},
    };
    return run(works, argc, argv);
}
