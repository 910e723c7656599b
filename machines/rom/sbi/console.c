/* SPDX-License-Identifier: MIT OR Apache-2.0
 *
 * The console: a 16550 (Texas Instruments, TL16C550C datasheet), 115200 8n1. Without one there is none.
 */
#include "sbi.h"

enum { DATA = 0, IER = 1, FCR = 2, LCR = 3, LSR = 5 };

static volatile u8 *port(u32 number)
{
    return board.serial + (number << board.serial_shift);
}

void console_start(void)
{
    if (!board.serial)
        return;
    u32 divisor = (board.serial_clock + 8 * 115200) / (16 * 115200);
    *port(LCR) = 0x83;
    *port(DATA) = divisor;
    *port(IER) = divisor >> 8;
    *port(LCR) = 3;
    *port(IER) = 0;
    *port(FCR) = 7;
}

void put(char c)
{
    if (!board.serial)
        return;
    while (!(*port(LSR) & 0x20))
        ;
    *port(DATA) = c;
}

/* A character, or -1. */
int get(void)
{
    if (!board.serial || !(*port(LSR) & 1))
        return -1;
    return *port(DATA);
}

void say(const char *text)
{
    for (; *text; text++) {
        if (*text == '\n')
            put('\r');
        put(*text);
    }
}

void say_number(word value)
{
    say("0x");
    int at = 8 * sizeof value - 4;
    while (at && !(value >> at))
        at -= 4;
    for (; at >= 0; at -= 4)
        put("0123456789abcdef"[value >> at & 15]);
}

/* Below 100. */
void say_decimal(word value)
{
    if (value >= 10)
        put('0' + value / 10);
    put('0' + value % 10);
}
