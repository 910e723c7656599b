/* What the programs that put stress on a machine share. Each prints lines that are the same on every machine that works. */
#define _GNU_SOURCE
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

typedef uint8_t u8;
typedef uint32_t u32;

enum { PAGE = 4096 };

/* Ends the program where the kernel refuses something. */
#define MUST(holds) must(holds, #holds, __LINE__)

static inline void must(int holds, const char *what, int line)
{
    if (!holds) {
        fprintf(stderr, "line %d: %s: %s\n", line, what, strerror(errno));
        _exit(1);
    }
}

/* A child that runs a function and ends with its value. */
static inline pid_t child(int (*run)(int), int argument)
{
    fflush(stdout);
    pid_t pid = fork();
    MUST(pid >= 0);
    if (!pid)
        _exit(run(argument));
    return pid;
}

/* The value that a child ended with, or 1000 and the number of the signal that ended it. */
static inline int result(pid_t pid)
{
    int status;
    MUST(waitpid(pid, &status, 0) == pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
}

static inline void *map(size_t size, int protection)
{
    void *at = mmap(0, size, protection, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    MUST(at != MAP_FAILED);
    return at;
}

static inline void handle(int signal, void (*handler)(int, siginfo_t *, void *), int flags)
{
    struct sigaction action = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO | flags};
    MUST(!sigaction(signal, &action, 0));
}
