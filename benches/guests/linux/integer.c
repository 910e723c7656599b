/* Integer work: sorting, hashing, a matrix product, an interpreter's loop, compression. */
#include "program.h"

/* Quicksort of 65536 numbers, insertion sort below 12. */

static void quicksort(u32 *a, int n)
{
    while (n > 12) {
        u32 x = a[0], y = a[n / 2], z = a[n - 1];
        u32 pivot = x < y ? (y < z ? y : x < z ? z : x) : (x < z ? x : y < z ? z : y);
        int i = -1, j = n;
        for (;;) {
            while (a[++i] < pivot)
                ;
            while (a[--j] > pivot)
                ;
            if (i >= j)
                break;
            u32 t = a[i];
            a[i] = a[j], a[j] = t;
        }
        quicksort(a, j + 1);
        a += j + 1, n -= j + 1;
    }
    for (int i = 1; i < n; i++) {
        u32 t = a[i];
        int j = i;
        for (; j && a[j - 1] > t; j--)
            a[j] = a[j - 1];
        a[j] = t;
    }
}

static u32 sort(int rounds)
{
    enum { N = 65536 };
    static u32 a[N];
    u32 result = 0;
    while (rounds--) {
        for (int i = 0; i < N; i++)
            a[i] = random_u32();
        quicksort(a, N);
        for (int i = 1; i < N; i++)
            result = (result + (a[i - 1] <= a[i])) * 31 + a[i];
    }
    return result;
}

/* Words of a text counted in a table with open addressing, hashed by FNV-1a. */

static u32 hash(int rounds)
{
    enum { SLOTS = 8192, WORDS = 20000, LENGTH = 12 };
    static struct { char word[LENGTH]; u32 count; } table[SLOTS];
    u32 result = 0;
    while (rounds--) {
        memset(table, 0, sizeof table);
        for (int i = 0; i < WORDS; i++) {
            char word[LENGTH] = "";
            u32 n = random_u32() % 4096, h = 2166136261u;
            int length = 3 + n % 8;
            for (int j = 0; j < length; j++) {
                word[j] = 'a' + n % 26;
                n = (n * 1103515245 + 12345) >> 3;
                h = (h ^ (u8)word[j]) * 16777619u;
            }
            u32 slot = h % SLOTS;
            while (table[slot].count && strcmp(table[slot].word, word))
                slot = (slot + 1) % SLOTS;
            if (!table[slot].count++)
                memcpy(table[slot].word, word, LENGTH);
        }
        for (u32 i = 0; i < SLOTS; i++)
            result = result * 31 + table[i].count * i;
    }
    return result;
}

/* The product of matrices of 96 by 96 integers. */

static u32 matrix(int rounds)
{
    enum { N = 96 };
    static int a[N][N], b[N][N], c[N][N];
    for (int i = 0; i < N; i++)
        for (int j = 0; j < N; j++)
            a[i][j] = random_u32() & 1023, b[i][j] = random_u32() & 1023;
    u32 result = 0;
    while (rounds--) {
        for (int i = 0; i < N; i++)
            for (int j = 0; j < N; j++) {
                int sum = 0;
                for (int k = 0; k < N; k++)
                    sum += a[i][k] * b[k][j];
                c[i][j] = sum;
            }
        for (int i = 0; i < N; i++)
            for (int j = 0; j < N; j++)
                a[i][j] = c[i][j] & 1023, result = result * 31 + c[i][j];
    }
    return result;
}

/* A machine with a stack and variables, its instructions reached by a computed jump: it counts the primes below 4000. */

enum { PUSH, LOAD, STORE, ADD, MULTIPLY, REMAINDER, LESS, JUMP, JUMP_IF_NOT, STOP };
static int code[128], length;

static int emit(int op, int operand)
{
    code[length] = op, code[length + 1] = operand;
    length += 2;
    return length - 1;
}

/* The primes found, by `variable < limit` loops over n and its divisors d. */
static void assemble(void)
{
    enum { N, D, PRIMES };
    length = 0;
    emit(PUSH, 0), emit(STORE, PRIMES), emit(PUSH, 3), emit(STORE, N);
    int outer = length;
    emit(LOAD, N), emit(PUSH, 4000), emit(LESS, 0);
    int end = emit(JUMP_IF_NOT, 0);
    emit(PUSH, 3), emit(STORE, D);
    int inner = length;
    emit(LOAD, N), emit(LOAD, D), emit(LOAD, D), emit(MULTIPLY, 0), emit(LESS, 0);
    int more = emit(JUMP_IF_NOT, 0);
    emit(LOAD, PRIMES), emit(PUSH, 1), emit(ADD, 0), emit(STORE, PRIMES);
    int prime = emit(JUMP, 0);
    code[more] = length;
    emit(LOAD, N), emit(LOAD, D), emit(REMAINDER, 0);
    int composite = emit(JUMP_IF_NOT, 0);
    emit(LOAD, D), emit(PUSH, 2), emit(ADD, 0), emit(STORE, D), emit(JUMP, inner);
    code[prime] = code[composite] = length;
    emit(LOAD, N), emit(PUSH, 2), emit(ADD, 0), emit(STORE, N), emit(JUMP, outer);
    code[end] = length;
    emit(LOAD, PRIMES), emit(STOP, 0);
}

static u32 execute(void)
{
    static const void *const labels[] = {
        &&push, &&load, &&store, &&add, &&multiply, &&remainder, &&less, &&jump, &&jump_if_not, &&stop,
    };
    int stack[16], variables[4] = {0}, *top = stack;
    const int *at = code;
#define NEXT goto *labels[(at += 2)[-2]]
    NEXT;
push:        *top++ = at[-1]; NEXT;
load:        *top++ = variables[at[-1]]; NEXT;
store:       variables[at[-1]] = *--top; NEXT;
add:         top--, top[-1] += *top; NEXT;
multiply:    top--, top[-1] *= *top; NEXT;
remainder:   top--, top[-1] %= *top; NEXT;
less:        top--, top[-1] = top[-1] < *top; NEXT;
jump:        at = code + at[-1]; NEXT;
jump_if_not: if (!*--top) at = code + at[-1]; NEXT;
stop:        return top[-1];
#undef NEXT
}

static u32 interpreter(int rounds)
{
    u32 result = 0;
    assemble();
    while (rounds--)
        result = result * 31 + execute();
    return result;
}

/* Compression of 256 KiB of text by references to what came before, found through a table of hashes; and back. */

enum { TEXT = 1 << 18, WINDOW = 1 << 15, LONGEST = 255 + 4 };

static u32 squeeze(const u8 *in, u32 length, u8 *out)
{
    static u32 heads[1 << 13];
    u8 *start = out, *flags = out++;
    u32 at = 0, items = 0;
    memset(heads, 0xff, sizeof heads);
    *flags = 0;
    while (at < length) {
        u32 match = 0, from = 0;
        if (at + 4 <= length) {
            u32 key = in[at] | in[at + 1] << 8 | in[at + 2] << 16 | (u32)in[at + 3] << 24;
            u32 *head = &heads[key * 2654435761u >> 19];
            from = *head;
            *head = at;
            if (from != ~0u && at - from < WINDOW)
                while (match < LONGEST && at + match < length && in[from + match] == in[at + match])
                    match++;
        }
        if (match >= 4) {
            *flags |= 1 << items;
            *out++ = at - from, *out++ = (at - from) >> 8, *out++ = match - 4;
            at += match;
        } else
            *out++ = in[at++];
        if (++items == 8)
            flags = out++, *flags = 0, items = 0;
    }
    return out - start;
}

static u32 expand(const u8 *in, u8 *out, u32 length)
{
    u8 *start = out;
    for (u32 flags = 1; out - start < length; flags >>= 1) {
        if (flags == 1)
            flags = *in++ | 0x100;
        if (flags & 1) {
            const u8 *from = out - (in[0] | in[1] << 8);
            for (u32 n = in[2] + 4; n--;)
                *out++ = *from++;
            in += 3;
        } else
            *out++ = *in++;
    }
    return out - start;
}

static u32 compression(int rounds)
{
    static u8 text[TEXT], small[TEXT + TEXT / 8 + 16], again[TEXT + LONGEST];
    static const char *const words[] = {
        "machine ", "composer ", "board ", "device ", "bus ", "and ", "the ", "of ", "a ", "is ", "wire\n", "line ",
        "register ", "interrupt ", "snapshot ", "graph.\n",
    };
    for (u32 at = 0; at < TEXT;) {
        const char *word = words[random_u32() >> 28];
        while (*word && at < TEXT)
            text[at++] = *word++;
        if (at < TEXT && !(random_u32() & 7))
            text[at++] = random_u32();
    }
    u32 result = 0;
    while (rounds--) {
        u32 size = squeeze(text, TEXT, small);
        memset(again, 0, sizeof again);
        expand(small, again, TEXT);
        result = result * 31 + size + memcmp(text, again, TEXT);
        text[rounds & (TEXT - 1)]++;
    }
    return result;
}

int main(int argc, char **argv)
{
    static const struct work works[] = {
        {"sort", sort}, {"hash", hash}, {"matrix", matrix}, {"interpreter", interpreter}, {"compression", compression}, {0},
    };
    return run(works, argc, argv);
}
