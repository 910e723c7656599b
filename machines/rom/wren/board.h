/* SPDX-License-Identifier: MIT OR Apache-2.0 */

/* Wren: addresses, and the commands that it has more than others. */

#ifndef BOARD_H
#define BOARD_H

/* Physical addresses seen through kseg1 (uncached). */
#define UART_BASE         0xb8000000 /* three 16550s, 0x100 apart */
#define IO_BASE           0xb9000000 /* ISA I/O port 0 */
#define LOGIC_BASE        0xba000000 /* board registers */
#define FLASH_BASE        0xbc000000

#define RAM_BASE          0x08000000
#define LOW_RAM_LIMIT     0x10000000
#define CONSOLE           UART_BASE
#define CONSOLE_SHIFT     2
#define CONSOLE_INTERRUPT 2

#ifndef __ASSEMBLER__

void command_say(int argc, char **argv);
void command_hear(int argc, char **argv);
void command_tick(int argc, char **argv);
void command_reset(int argc, char **argv);

#define INFO_DETAILS "Also measures the clock, for 10 ms.\n"

#define BOARD_COMMANDS                                                                                                 \
    {"say", false, 3, MAX_WORDS, command_say, "say port word...", "send words and a line feed on a serial port",        \
     "Ports 1 and 2 are the board's, 3 is the one on the ISA bus.\n"},                                                 \
    {"hear", false, 2, 2, command_hear, "hear port", "wait for a line on a serial port",                               \
     "The CPU stops until the port's interrupt comes through the controllers.\n"},                                     \
    {"tick", false, 2, 2, command_tick, "tick count", "wait for interrupts of the timer",                              \
     "Counter 0 of the 8254 interrupts 100 times a second.\n"},                                                        \
    {"reset", false, 1, 1, command_reset, "reset", "reset the board", "Writes 42 to the SOFTRES register.\n"},

#endif
#endif
