/* What the programs share: a console. */
typedef unsigned char u8;
typedef unsigned int u32;

/* COM1 of the Malta board, in kseg1. */
#define THR ((volatile u8 *)0xb80003f8)
#define LSR ((volatile u8 *)0xb80003fd)

static void put_char(char c)
{
    while (!(*LSR & 0x20))
        ;
    *THR = c;
}

/* Prints the line that ends every program: its result. */
static void done(u32 result)
{
    for (const char *c = "done "; *c; c++)
        put_char(*c);
    for (int shift = 28; shift >= 0; shift -= 4)
        put_char("0123456789abcdef"[result >> shift & 15]);
    put_char('\n');
}

/* Where an exception handler goes, and how it gets there: through kseg1, past the data cache. Nothing has run there, so
   no instruction cache holds anything of it. */
static inline void install(u32 vector, const u32 *handler, const u32 *end)
{
    for (volatile u32 *to = (volatile u32 *)(vector | 0xa0000000); handler < end;)
        *to++ = *handler++;
}
