/* disk read|write DEVICE MIB: moves so much, 1 MiB at a time, past the guest's cache.
   disk random DEVICE MIB READS DEPTH: that many reads of 4 KiB at random places of the first MIB, by DEPTH processes at once. */

#define _GNU_SOURCE
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { MIB = 1 << 20, BLOCK = 4096 };

static void fail(const char *what)
{
    perror(what);
    _exit(1);
}

/* Every word tells where it is, so that what is read can be looked at. */
static void fill(uint32_t *words, uint32_t mib)
{
    for (uint32_t n = 0; n < MIB / sizeof *words; n++)
        words[n] = mib * 0x9e3779b9u + n;
}

static int look(const uint32_t *words, size_t bytes, uint64_t at)
{
    for (size_t n = 0; n < bytes / sizeof *words; n += 128) {
        uint64_t place = at + n * sizeof *words;
        if (words[n] != (uint32_t)(place / MIB) * 0x9e3779b9u + (uint32_t)(place % MIB / sizeof *words))
            return 0;
    }
    return 1;
}

static void reads(const char *device, void *buffer, uint32_t mib, uint32_t count, uint32_t seed)
{
    int disk = open(device, O_RDONLY | O_DIRECT);
    if (disk < 0)
        fail(device);
    for (; count > 0; count--) {
        seed = seed * 1664525 + 1013904223;
        uint64_t at = (uint64_t)(seed >> 8) % ((uint64_t)mib * MIB / BLOCK) * BLOCK;
        if (pread64(disk, buffer, BLOCK, at) != BLOCK || !look(buffer, BLOCK, at))
            fail("read");
    }
    close(disk);
}

int main(int argc, char **argv)
{
    void *buffer;
    if (argc < 4 || posix_memalign(&buffer, BLOCK, MIB))
        return 2;
    uint32_t mib = strtoul(argv[3], NULL, 10);
    if (!strcmp(argv[1], "random") && argc == 6) {
        uint32_t count = strtoul(argv[4], NULL, 10), depth = strtoul(argv[5], NULL, 10);
        for (uint32_t n = 0; n < depth; n++)
            if (fork() == 0) {
                reads(argv[2], buffer, mib, count / depth, n * 7919 + 1);
                _exit(0);
            }
        int status, bad = 0;
        while (wait(&status) > 0)
            bad |= status;
        puts(bad ? "failed" : "done");
        return bad != 0;
    }
    int write_it = !strcmp(argv[1], "write");
    int disk = open(argv[2], (write_it ? O_WRONLY : O_RDONLY) | O_DIRECT);
    if (disk < 0)
        fail(argv[2]);
    for (uint32_t n = 0; n < mib; n++) {
        if (write_it) {
            fill(buffer, n);
            if (write(disk, buffer, MIB) != MIB)
                fail("write");
        } else if (read(disk, buffer, MIB) != MIB || !look(buffer, MIB, (uint64_t)n * MIB)) {
            fail("read");
        }
    }
    if (write_it && fdatasync(disk))
        fail("flush");
    puts("done");
    return 0;
}
