/* SPDX-License-Identifier: MIT OR Apache-2.0 */

/* The console: a 16550A that start.S has set up, polled. */

#include "rom.h"

#include <stdarg.h>

#define UART_DATA 0
#define UART_IER  1
#define UART_LSR  5

#define IER_ERBFI 0x01 /* received data available */

#define LSR_DR    0x01
#define LSR_THRE  0x20
#define LSR_TEMT  0x40

#define BELL      0x07
#define CTRL_C    0x03
#define CTRL_U    0x15
#define ESCAPE    0x1b
#define DELETE    0x7f

/* Characters typed and not read yet. One place stays free, so that equal positions mean empty. */
static char typed[256];
static uint8_t typed_head, typed_tail;

static void put_raw(char c)
{
    while (!(uart_in(UART_LSR) & LSR_THRE))
        ;
    uart_out(UART_DATA, (uint8_t)c);
}

void put_char(char c)
{
    if (c == '\n')
        put_raw('\r');
    put_raw(c);
}

void flush_output(void)
{
    while (!(uart_in(UART_LSR) & LSR_TEMT))
        ;
}

void listen(bool on)
{
    uart_out(UART_IER, on ? IER_ERBFI : 0);
}

static void put_padded(const char *text, size_t length, unsigned width, bool left, char pad)
{
    size_t padding = width > length ? width - length : 0;

    for (size_t i = 0; !left && i < padding; i++)
        put_char(pad);
    for (size_t i = 0; i < length; i++)
        put_char(text[i]);
    for (size_t i = 0; left && i < padding; i++)
        put_char(' ');
}

/* Writes the digits of `value` at the end of `digits` and returns where they start. */
static char *digits_of(uint32_t value, unsigned base, char *end)
{
    do {
        *--end = "0123456789abcdef"[value % base];
        value /= base;
    } while (value);
    return end;
}

void print(const char *format, ...)
{
    va_list args;

    va_start(args, format);
    for (; *format; format++) {
        if (*format != '%') {
            put_char(*format);
            continue;
        }
        format++;
        bool left = *format == '-';
        char pad = *format == '0' ? '0' : ' ';
        unsigned width = 0;
        if (left || pad == '0')
            format++;
        if (*format == '*') {
            width = va_arg(args, unsigned);
            format++;
        }
        for (; *format >= '0' && *format <= '9'; format++)
            width = width * 10 + (unsigned)(*format - '0');

        char buffer[11];
        char *end = buffer + sizeof(buffer);
        const char *text = buffer;
        size_t length = 0;
        switch (*format) {
        case 'c':
            buffer[0] = (char)va_arg(args, int);
            length = 1;
            break;
        case 's':
            text = va_arg(args, const char *);
            while (text[length])
                length++;
            break;
        case 'd': {
            int32_t value = va_arg(args, int32_t);
            char *start = digits_of(value < 0 ? -(uint32_t)value : (uint32_t)value, 10, end);
            if (value < 0)
                *--start = '-';
            text = start;
            length = (size_t)(end - start);
            break;
        }
        case 'u':
        case 'x':
            text = digits_of(va_arg(args, uint32_t), *format == 'u' ? 10 : 16, end);
            length = (size_t)(end - text);
            break;
        default:
            text = format;
            length = 1;
            break;
        }
        put_padded(text, length, width, left, pad);
    }
    va_end(args);
}

/* Takes in what has arrived, as far as there is room; true if that was a Ctrl-C. */
static bool take_in(void)
{
    while ((uint8_t)(typed_head + 1) != typed_tail && uart_in(UART_LSR) & LSR_DR) {
        char c = (char)uart_in(UART_DATA);
        if (c == CTRL_C) {
            typed_tail = typed_head;
            return true;
        }
        typed[typed_head++] = c;
    }
    return false;
}

bool interrupted(void)
{
    if (!take_in())
        return false;
    print("^C\n");
    return true;
}

/* Waits for a character. A Ctrl-C comes at once, before anything that was typed earlier. */
static char get_char(void)
{
    for (;;) {
        if (take_in())
            return CTRL_C;
        if (typed_tail != typed_head)
            return typed[typed_tail++];
        idle();
    }
}

static void rub_out(size_t count)
{
    while (count--)
        print("\b \b");
}

bool read_line(char *line, size_t size)
{
    static bool after_cr;
    enum { PLAIN, ESCAPED, SEQUENCE } state = PLAIN;
    size_t length = 0;

    for (;;) {
        char c = get_char();
        bool ends_crlf = after_cr && c == '\n';
        after_cr = c == '\r';
        if (ends_crlf)
            continue;

        if (c == CTRL_C) {
            print("^C\n");
            return false;
        }
        if (c == '\r' || c == '\n') {
            put_char('\n');
            line[length] = '\0';
            return true;
        }
        /* Cursor and function keys send ESC [ parameters letter, or ESC O letter: they do nothing here. */
        if (state == ESCAPED) {
            state = c == '[' || c == 'O' ? SEQUENCE : PLAIN;
            continue;
        }
        if (state == SEQUENCE) {
            if (c >= '@' && c <= '~')
                state = PLAIN;
            continue;
        }
        switch (c) {
        case ESCAPE:
            state = ESCAPED;
            break;
        case '\b':
        case DELETE:
            if (length) {
                length--;
                rub_out(1);
            }
            break;
        case CTRL_U:
            rub_out(length);
            length = 0;
            break;
        case '\t':
            c = ' ';
            /* fall through */
        default:
            if (c < ' ' || c > '~')
                break;
            if (length + 1 < size) {
                line[length++] = c;
                put_char(c);
            } else {
                put_char(BELL);
            }
            break;
        }
    }
}

bool parse_number(const char *text, uint32_t *number)
{
    uint32_t value = 0;

    if (text[0] == '0' && (text[1] == 'x' || text[1] == 'X'))
        text += 2;
    if (!*text)
        return false;
    for (; *text; text++) {
        char c = *text | 0x20;
        uint32_t digit;
        if (*text >= '0' && *text <= '9')
            digit = (uint32_t)(*text - '0');
        else if (c >= 'a' && c <= 'f')
            digit = (uint32_t)(c - 'a') + 10;
        else
            return false;
        if (value >> 28)
            return false;
        value = value << 4 | digit;
    }
    *number = value;
    return true;
}

void format_decimal(char *text, uint32_t value)
{
    char digits[10];
    char *end = digits + sizeof(digits);

    for (char *digit = digits_of(value, 10, end); digit < end; digit++)
        *text++ = *digit;
    *text = '\0';
}

uint32_t size_in_units(uint32_t bytes)
{
    if (!(bytes & 0xfffff))
        return bytes >> 20;
    return bytes & 0x3ff ? bytes : bytes >> 10;
}

const char *size_unit(uint32_t bytes)
{
    if (!(bytes & 0xfffff))
        return "MiB";
    return bytes & 0x3ff ? "bytes" : "KiB";
}
