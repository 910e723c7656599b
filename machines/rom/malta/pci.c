/* SPDX-License-Identifier: MIT OR Apache-2.0 */

/* PCI configuration space, through the GT-64120's mechanism 1 registers (PCI Local Bus Specification 2.2). */

#include "rom.h"

#define PCI_ID           0x00
#define PCI_COMMAND      0x04
#define PCI_CLASS        0x08
#define PCI_HEADER       0x0c
#define PCI_BAR0         0x10
#define PCI_ROM_TYPE0    0x30
#define PCI_ROM_TYPE1    0x38
#define PCI_INTERRUPT    0x3c

#define COMMAND_DECODE   0x3 /* I/O space and memory space */
#define HEADER_MULTI     0x00800000

uint32_t gt_read(uint32_t offset)
{
    return le32(REG32(GT_BASE + offset));
}

void gt_write(uint32_t offset, uint32_t value)
{
    REG32(GT_BASE + offset) = le32(value);
}

uint32_t pci_read(uint32_t function, uint32_t offset)
{
    gt_write(GT_PCI0_CFGADDR, 0x80000000 | function | offset);
    return gt_read(GT_PCI0_CFGDATA);
}

void pci_write(uint32_t function, uint32_t offset, uint32_t value)
{
    gt_write(GT_PCI0_CFGADDR, 0x80000000 | function | offset);
    gt_write(GT_PCI0_CFGDATA, value);
}

/* Whether the ID register is that of a function: an absent one reads as all ones. */
static bool is_present(uint32_t id)
{
    return (id & 0xffff) != 0xffff;
}

static const char *class_name(uint32_t class)
{
    static const struct {
        uint16_t class;
        const char *name;
    } names[] = {
        {0x0100, "SCSI controller"}, {0x0101, "IDE controller"},      {0x0106, "SATA controller"},
        {0x0108, "NVMe controller"}, {0x0200, "Ethernet controller"}, {0x0300, "VGA controller"},
        {0x0380, "display"},         {0x0401, "audio device"},        {0x0500, "RAM controller"},
        {0x0600, "host bridge"},     {0x0601, "ISA bridge"},          {0x0604, "PCI bridge"},
        {0x0680, "bridge"},          {0x0700, "serial port"},         {0x0780, "communication device"},
        {0x0c03, "USB controller"},  {0x0c05, "SMBus controller"},
    };

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (names[i].class == class)
            return names[i].name;
    return "device";
}

static void show_function(uint32_t function, uint32_t id)
{
    uint32_t class = pci_read(function, PCI_CLASS);

    print("%02x:%02x.%x %04x:%04x %s\n", function >> 16, function >> 11 & 31, function >> 8 & 7, id & 0xffff, id >> 16,
          class_name(class >> 16));
}

void list_pci(const char *heading, const char *indent)
{
    const char *lead = heading;

    for (uint32_t device = 0; device < 32; device++) {
        uint32_t functions = 1;
        for (uint32_t n = 0; n < functions; n++) {
            uint32_t function = PCI_FUNCTION(0, device, n);
            uint32_t id = pci_read(function, PCI_ID);
            if (!is_present(id))
                continue;
            if (n == 0 && pci_read(function, PCI_HEADER) & HEADER_MULTI)
                functions = 8;
            print("%s", lead);
            show_function(function, id);
            lead = indent;
        }
    }
}

/* What an address register says to a write of all ones, with the function's decoders off meanwhile. */
static uint32_t probe_size(uint32_t function, uint32_t offset)
{
    uint32_t command = pci_read(function, PCI_COMMAND) & 0xffff; /* the status bits above clear where 1 is written */
    uint32_t before = pci_read(function, offset);

    pci_write(function, PCI_COMMAND, command & ~(uint32_t)COMMAND_DECODE);
    pci_write(function, offset, 0xffffffff);
    uint32_t answer = pci_read(function, offset);
    pci_write(function, offset, before);
    pci_write(function, PCI_COMMAND, command);
    return answer;
}

/* The size that the answer to all ones gives, `fixed` being the bits that are no address. */
static void show_size(uint32_t before, uint32_t answer, uint32_t fixed)
{
    uint32_t size = -(answer & ~fixed);

    /* A window of 64 KiB of ports may leave the upper half of the register unimplemented. */
    if (!(answer >> 16))
        size &= 0xffff;
    if (answer == before || size & (size - 1))
        print(", fixed\n");
    else
        print(", %u %s\n", size_in_units(size), size_unit(size));
}

static void show_bars(uint32_t function, uint32_t header_type)
{
    uint32_t count = header_type == 0 ? 6 : header_type == 1 ? 2 : 0;

    for (uint32_t i = 0; i < count; i++) {
        uint32_t offset = PCI_BAR0 + 4 * i;
        uint32_t bar = pci_read(function, offset);
        uint32_t answer = probe_size(function, offset);
        if (!bar && !answer)
            continue;
        print("  BAR%u ", i);
        if (bar & 1) {
            print("I/O    %08x", bar & ~3u);
            show_size(bar, answer, 3);
            continue;
        }
        print("memory %08x", bar & ~15u);
        if ((bar & 6) == 4 && i + 1 < count)
            print(" (64 bits, upper half %08x)", pci_read(function, PCI_BAR0 + 4 * ++i));
        print("%s", bar & 8 ? ", prefetchable" : "");
        show_size(bar, answer, 15);
    }
    if (count) {
        uint32_t offset = header_type == 0 ? PCI_ROM_TYPE0 : PCI_ROM_TYPE1;
        uint32_t rom = pci_read(function, offset);
        uint32_t answer = probe_size(function, offset);
        if (answer & ~1u) {
            print("  ROM  memory %08x%s", rom & ~0x7ffu, rom & 1 ? "" : ", disabled");
            show_size(rom, answer, 0x7ff);
        }
    }
}

static void dump_function(uint32_t function)
{
    uint32_t id = pci_read(function, PCI_ID);

    if (!is_present(id)) {
        print("pci: there is no function at %02x:%02x.%x\n", function >> 16, function >> 11 & 31, function >> 8 & 7);
        return;
    }
    show_function(function, id);
    uint32_t command = pci_read(function, PCI_COMMAND);
    uint32_t class = pci_read(function, PCI_CLASS);
    uint32_t header = pci_read(function, PCI_HEADER);
    uint32_t interrupt = pci_read(function, PCI_INTERRUPT);
    print("  class %06x, revision %02x, header type %02x\n", class >> 8, class & 0xff, header >> 16 & 0xff);
    print("  command %04x, status %04x\n", command & 0xffff, command >> 16);
    if (interrupt >> 8 & 0xff)
        print("  interrupt pin %c, line %u\n", (char)('A' - 1 + (interrupt >> 8 & 7)), interrupt & 0xff);
    show_bars(function, header >> 16 & 0x7f);
    for (uint32_t offset = 0; offset < 0x40; offset += 4) {
        if (offset % 16 == 0)
            print("  %02x:", offset);
        print(" %08x%s", pci_read(function, offset), offset % 16 == 12 ? "\n" : "");
    }
}

/* Ends `text` at its first `separator` and returns what follows that, NULL if there is none. */
static char *cut(char *text, char separator)
{
    for (; *text; text++) {
        if (*text == separator) {
            *text = '\0';
            return text + 1;
        }
    }
    return NULL;
}

/* Reads [bus:]device.function, in hexadecimal as the list shows it. */
static bool parse_function(char *text, uint32_t *function)
{
    uint32_t bus = 0, device, number;
    char *rest = cut(text, ':');

    if (rest && !parse_number(text, &bus))
        return false;
    char *device_text = rest ? rest : text;
    char *number_text = cut(device_text, '.');
    if (!number_text || !parse_number(device_text, &device) || !parse_number(number_text, &number))
        return false;
    if (bus > 255 || device > 31 || number > 7)
        return false;
    *function = PCI_FUNCTION(bus, device, number);
    return true;
}

void command_pci(int argc, char **argv)
{
    uint32_t function;

    if (argc == 1)
        list_pci("", "");
    else if (parse_function(argv[1], &function))
        dump_function(function);
    else
        print("pci: a function is named bus:device.function in hexadecimal, such as 00:0a.1\n");
}
