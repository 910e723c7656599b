/* SPDX-License-Identifier: MIT OR Apache-2.0 */

/* The Malta board: addresses, access to PCI, and the commands that it has more than others. */

#ifndef BOARD_H
#define BOARD_H

/* Physical addresses seen through kseg1 (uncached), after board.S has moved the windows of the GT-64120. */
#define PCI_IO_BASE     0xb8000000 /* PCI I/O port 0 */
#define GT_BASE         0xbbe00000 /* GT-64120 registers */
#define FLASH_BASE      0xbe000000 /* 4 MiB monitor flash */
#define FPGA_BASE       0xbf000000 /* CBUS FPGA registers */
#define BOARD_REVISION  0xbfc00010 /* revision word, in the boot ROM */

/* GT-64120 registers (GT-64120 datasheet, section 17). */
#define GT_PCI0_CFGADDR 0xcf8
#define GT_PCI0_CFGDATA 0xcfc
#define GT_PCI0_IACK    0xc34

#define COM1            0x3f8

#define RAM_BASE          0x00000000
#define LOW_RAM_LIMIT     0x10000000
#define CONSOLE           (PCI_IO_BASE + COM1)
#define CONSOLE_SHIFT     0
#define CONSOLE_INTERRUPT 2 /* the 8259 pair */

#ifndef __ASSEMBLER__

#include <stdint.h>

uint8_t inb(uint32_t port);
void outb(uint32_t port, uint8_t value);

/* pci.c: configuration space. */

uint32_t gt_read(uint32_t offset);
void gt_write(uint32_t offset, uint32_t value);
uint32_t pci_read(uint32_t function, uint32_t offset);
void pci_write(uint32_t function, uint32_t offset, uint32_t value);
/* The address of a function in configuration space, as pci_read takes it. */
#define PCI_FUNCTION(bus, device, function) ((bus) << 16 | (device) << 11 | (function) << 8)
/* Lists the functions of bus 0, each line after `indent`, the first one after `heading`. */
void list_pci(const char *heading, const char *indent);
void command_pci(int argc, char **argv);
void command_reset(int argc, char **argv);
void command_poweroff(int argc, char **argv);

#define INFO_DETAILS "Also measures the clock, for 10 ms.\n"

#define BOARD_COMMANDS                                                                                                 \
    {"pci", false, 1, 2, command_pci, "pci [bus:device.function]", "list PCI functions, or show one's header",          \
     "The size of an address register is found by writing all ones to it, with the\n"                                  \
     "function's decoders off for that time.\n"},                                                                      \
    {"reset", false, 1, 1, command_reset, "reset", "reset the board", "Writes 42 to the FPGA's SOFTRES register.\n"},  \
    {"poweroff", false, 1, 1, command_poweroff, "poweroff", "switch the board off",                                    \
     "Sets SUS_EN in the PIIX4's PMCNTRL register.\n"},

#endif
#endif
