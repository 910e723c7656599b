/* SPDX-License-Identifier: MIT OR Apache-2.0 */

/* The machine mipssim: RAM, an ISA bus with a serial port and a network interface. */

#ifndef BOARD_H
#define BOARD_H

#define IO_BASE           0xbfd00000 /* ISA I/O port 0 */

#define RAM_BASE          0x00000000
#define LOW_RAM_LIMIT     0x1fc00000
#define CONSOLE           (IO_BASE + 0x3f8)
#define CONSOLE_SHIFT     0
#define CONSOLE_INTERRUPT 4

#define INFO_DETAILS      ""
#define BOARD_COMMANDS

#endif
