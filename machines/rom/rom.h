/* SPDX-License-Identifier: MIT OR Apache-2.0 */

/* What the parts of the boot ROM share: the functions each file offers. The board's own header is in its folder. */

#ifndef ROM_H
#define ROM_H

/*
 * What a board's header has to say:
 *
 *   RAM_BASE           where the RAM starts, a physical address
 *   LOW_RAM_LIMIT      the most RAM that can follow there
 *   CONSOLE            the console's 16550, through kseg1
 *   CONSOLE_SHIFT      its registers are 1 << CONSOLE_SHIFT bytes apart
 *   CONSOLE_INTERRUPT  the CPU interrupt that a character arrives with, 2 to 6
 *
 * and, for C, BOARD_COMMANDS, the commands that only this board has, and INFO_DETAILS, what the help on info says.
 */
#include "board.h"

/* RAM that belongs to the ROM: vectors, code, data and stack. */
#define ROM_RAM_SIZE    0x10000

#ifndef __ASSEMBLER__

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __MIPSEB__
#define BIG_ENDIAN_CPU true
#else
#define BIG_ENDIAN_CPU false
#endif

/* Between the CPU's order and little-endian. */
static inline uint32_t le32(uint32_t value)
{
    return BIG_ENDIAN_CPU ? __builtin_bswap32(value) : value;
}

static inline uint16_t le16(uint16_t value)
{
    return BIG_ENDIAN_CPU ? __builtin_bswap16(value) : value;
}

#define REG8(address)  (*(volatile uint8_t *)(uintptr_t)(address))
#define REG16(address) (*(volatile uint16_t *)(uintptr_t)(address))
#define REG32(address) (*(volatile uint32_t *)(uintptr_t)(address))

static inline uint8_t uart_in(uint32_t reg)
{
    return REG8(CONSOLE + (reg << CONSOLE_SHIFT));
}

static inline void uart_out(uint32_t reg, uint8_t value)
{
    REG8(CONSOLE + (reg << CONSOLE_SHIFT)) = value;
}

/* Reads and writes of a coprocessor 0 register; the numbers are those of the MIPS32 architecture, volume III. */
#define cp0_read(reg, sel)                                                                                             \
    ({                                                                                                                 \
        uint32_t cp0_value;                                                                                            \
        __asm__ volatile("mfc0 %0, $%1, %2" : "=r"(cp0_value) : "i"(reg), "i"(sel));                                    \
        cp0_value;                                                                                                     \
    })

#define cp0_write(reg, sel, value)                                                                                     \
    __asm__ volatile("mtc0 %z0, $%1, %2\n\tehb" : : "Jr"((uint32_t)(value)), "i"(reg), "i"(sel) : "memory")

#define CP0_COUNT(op, ...)   op(9, 0, ##__VA_ARGS__)
#define CP0_COMPARE(op, ...) op(11, 0, ##__VA_ARGS__)
#define CP0_STATUS(op, ...)  op(12, 0, ##__VA_ARGS__)
#define CP0_INTCTL(op, ...)  op(12, 1, ##__VA_ARGS__)
#define CP0_SRSCTL(op, ...)  op(12, 2, ##__VA_ARGS__)
#define CP0_CAUSE(op, ...)   op(13, 0, ##__VA_ARGS__)
#define CP0_PRID(op, ...)    op(15, 0, ##__VA_ARGS__)
#define CP0_EBASE(op, ...)   op(15, 1, ##__VA_ARGS__)
#define CP0_CONFIG(op, ...)  op(16, 0, ##__VA_ARGS__)
#define CP0_CONFIG1(op, ...) op(16, 1, ##__VA_ARGS__)
#define CP0_CONFIG2(op, ...) op(16, 2, ##__VA_ARGS__)
#define CP0_CONFIG3(op, ...) op(16, 3, ##__VA_ARGS__)

/* console.c: the console, formatted output and the line editor. */

/* Writes one character; a line feed becomes CR LF. */
void put_char(char c);
/* Formats with %c %s %d %u %x %%, a width (a number or *), and the flags '0' and '-'. */
void print(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* Waits until everything written has left the UART. */
void flush_output(void);
/* Switches the interrupt for a received character. */
void listen(bool on);
/* Takes in what was typed; true if that held a Ctrl-C, which is shown and drops what was typed before it. */
bool interrupted(void);
/* Reads a line with editing into `line` of `size` bytes; false if it was given up with Ctrl-C. */
bool read_line(char *line, size_t size);

/* Reads a hexadecimal number of up to 32 bits, with or without 0x. */
bool parse_number(const char *text, uint32_t *number);
/* Formats `value` in decimal into `text`, at least 11 bytes long. */
void format_decimal(char *text, uint32_t value);
/* A size in the largest unit that shows it exactly: `print("%u %s", size_in_units(n), size_unit(n))`. */
uint32_t size_in_units(uint32_t bytes);
const char *size_unit(uint32_t bytes);

/* cpu.c: coprocessor 0, caches, exceptions. */

/* How an exception ended a guarded call. */
struct fault {
    uint32_t code; /* Cause.ExcCode */
};

/* Installs the exception vectors and sets Status to the ROM's own state: kernel mode, interrupts off, BEV = 0. */
void install_vectors(void);
/* Makes code written through the data cache visible to instruction fetch, and memory equal to the data cache. */
void sync_caches(void);
/* Calls fn(arg); false if an exception cut it short, which is then told to the user... */
bool run_reported(void (*fn)(void *), void *arg);
/* ...or, here, to the caller. */
bool run_guarded(void (*fn)(void *), void *arg, struct fault *fault);
/* The name of an exception code. */
const char *exception_name(uint32_t code);
/* Stops the CPU until a character arrives at the console, but not for long. */
void idle(void);
/* One line on the CPU. */
void show_cpu(void);
/* The coprocessor 0 registers that identify and configure the CPU. */
void show_cp0(void);
/* CP0 Count's increments per CPU clock, inverted: clocks per increment. */
uint32_t count_resolution(void);

/* memory.c: the RAM, and the commands on memory. */

/* Finds the size of the RAM below LOW_RAM_LIMIT. */
void find_ram(void);
/* What find_ram found, in bytes. */
extern uint32_t ram_size;
void command_md(int argc, char **argv);
void command_mw(int argc, char **argv);
void command_memtest(int argc, char **argv);

/* A board's own file. */

/* What the board has to have set up before it is looked at; start.S has set the console up. */
void init_board(void);
/* Puts the interrupt controllers in the state that idle() needs: everything masked but the console. */
void init_interrupts(void);
/* Takes the interrupt that idle() ended with from the interrupt controllers. */
void acknowledge_interrupt(void);
/* All RAM that the board says it has, in bytes; 0 if it says nothing. */
uint32_t board_ram_size(void);
/* One line on the board. */
void show_board(void);
/* What is shown of the devices at start-up, and with info. */
void show_devices_briefly(void);
void show_devices(void);

#endif
#endif
