/* Fork and exec storms. */
#include "stress.h"

static int shared[4 * PAGE];

/* A tree of processes: each has two children, writes what all have inherited, and sums what they end with. */
static int tree(int depth)
{
    if (!depth)
        return 1;
    pid_t left = child(tree, depth - 1), right = child(tree, depth - 1);
    for (size_t i = 0; i < sizeof shared / sizeof *shared; i += 97)
        shared[i] += depth;
    return result(left) + result(right) + (shared[97] == shared[194] ? 0 : 100);
}

/* Many at once, each with its own copy of the same page. */
static int copy(int number)
{
    for (int round = 0; round < 20; round++)
        for (size_t i = 0; i < sizeof shared / sizeof *shared; i++)
            shared[i] = shared[i] * 5 + number;
    u32 sum = 0;
    for (size_t i = 0; i < sizeof shared / sizeof *shared; i++)
        sum = sum * 31 + shared[i];
    return sum & 0xff;
}

/* This program, executed again and again by the same process. */
static int chain(int left)
{
    char argument[16];
    sprintf(argument, "%d", left);
    execl("/proc/self/exe", "processes", argument, (char *)0);
    return 99;
}

static int reader(int fd)
{
    u32 sum = 0;
    u8 bytes[1000];
    for (ssize_t n; (n = read(fd, bytes, sizeof bytes)) > 0;)
        while (n--)
            sum = sum * 33 + bytes[n & 7];
    return sum ? 7 : 8;
}

int main(int argc, char **argv)
{
    if (argc == 2) {
        int left = atoi(argv[1]);
        return left ? chain(left - 1) : 42;
    }
    printf("tree %d\n", tree(6));
    printf("untouched %d\n", shared[97]);
    pid_t pids[24];
    for (int i = 0; i < 24; i++)
        pids[i] = child(copy, i);
    for (int i = 0; i < 24; i++)
        printf("copy %d %d\n", i, result(pids[i]));
    for (int i = 0; i < 8; i++)
        pids[i] = child(chain, 10);
    for (int i = 0; i < 8; i++)
        printf("chain %d\n", result(pids[i]));
    for (int i = 0; i < 20; i++) {
        pid_t pid = vfork();
        if (!pid) {
            execl("/proc/self/exe", "processes", "0", (char *)0);
            _exit(98);
        }
        if (result(pid) != 42)
            printf("vfork %d\n", i);
    }
    int ends[2];
    MUST(!pipe(ends));
    pid_t pid = fork();
    MUST(pid >= 0);
    if (!pid) {
        close(ends[1]);
        _exit(reader(ends[0]));
    }
    for (int i = 0; i < 300; i++)
        MUST(write(ends[1], shared, 1 + i * 7) == 1 + i * 7);
    close(ends[1]);
    printf("pipe %d\n", result(pid));
    return 0;
}
