/* SPDX-License-Identifier: MIT OR Apache-2.0 */

/* What a PC's boot ROM found: the CPU, memory, and the functions on the PCI bus. */

#include <stdbool.h>
#include <stdint.h>

#define COM1 0x3f8

static void out8(uint16_t port, uint8_t value)
{
        __asm__ volatile("outb %0, %1" : : "a"(value), "Nd"(port));
}

static uint8_t in8(uint16_t port)
{
        uint8_t value;
        __asm__ volatile("inb %1, %0" : "=a"(value) : "Nd"(port));
        return value;
}

static void out32(uint16_t port, uint32_t value)
{
        __asm__ volatile("outl %0, %1" : : "a"(value), "Nd"(port));
}

static uint32_t in32(uint16_t port)
{
        uint32_t value;
        __asm__ volatile("inl %1, %0" : "=a"(value) : "Nd"(port));
        return value;
}

/* A UART that never gets ready is not waited for. */
static void put_char(char c)
{
        for (unsigned tries = 0; tries < 0x10000 && !(in8(COM1 + 5) & 0x20); tries++)
                ;
        out8(COM1, (uint8_t)c);
}

static void print(const char *text)
{
        for (; *text; text++) {
                if (*text == '\n')
                        put_char('\r');
                put_char(*text);
        }
}

static void print_hex(uint32_t value, int digits)
{
        while (digits-- > 0)
                put_char("0123456789abcdef"[value >> (4 * digits) & 15]);
}

static void print_number(uint32_t value)
{
        char digits[11];
        char *at = digits + sizeof digits - 1;
        *at = 0;
        do {
                *--at = (char)('0' + value % 10);
                value /= 10;
        } while (value);
        print(at);
}

struct cpuid {
        uint32_t a, b, c, d;
};

static struct cpuid cpuid(uint32_t leaf)
{
        struct cpuid r;
        __asm__ volatile("cpuid" : "=a"(r.a), "=b"(r.b), "=c"(r.c), "=d"(r.d) : "a"(leaf), "c"(0));
        return r;
}

/* Whether EFLAGS.ID can be changed. */
static bool has_cpuid(void)
{
        uint32_t before, after;
        __asm__ volatile("pushfl; popl %0; movl %0, %1; xorl $0x200000, %1; pushl %1; popfl; pushfl; popl %1"
                         : "=&r"(before), "=&r"(after));
        return (before ^ after) & 0x200000;
}

static void print_bytes(uint32_t word)
{
        for (int n = 0; n < 4; n++, word >>= 8)
                if (word & 0xff)
                        put_char((char)word);
}

struct feature {
        uint8_t bit;
        char name[9];
};

static const struct feature features[] = {
        {0, "fpu"}, {3, "pse"}, {4, "tsc"}, {5, "msr"}, {6, "pae"}, {8, "cx8"}, {9, "apic"}, {11, "sep"},
        {12, "mtrr"}, {13, "pge"}, {15, "cmov"}, {23, "mmx"}, {24, "fxsr"}, {25, "sse"}, {26, "sse2"},
};
static const struct feature extended_features[] = {
        {11, "syscall"}, {20, "nx"}, {29, "lm"},
};

static void print_features(const struct feature *table, unsigned count, uint32_t bits)
{
        for (unsigned n = 0; n < count; n++)
                if (bits >> table[n].bit & 1) {
                        put_char(' ');
                        print(table[n].name);
                }
}

#define COUNT(table) (sizeof(table) / sizeof(table)[0])

static void show_cpu(void)
{
        print("CPU   ");
        if (!has_cpuid()) {
                print("no CPUID\n");
                return;
        }
        struct cpuid vendor = cpuid(0), version = cpuid(1);
        uint32_t last = cpuid(0x80000000).a;
        if (last >= 0x80000004) {
                for (uint32_t leaf = 0x80000002; leaf <= 0x80000004; leaf++) {
                        struct cpuid brand = cpuid(leaf);
                        print_bytes(brand.a);
                        print_bytes(brand.b);
                        print_bytes(brand.c);
                        print_bytes(brand.d);
                }
        } else {
                print_bytes(vendor.b);
                print_bytes(vendor.d);
                print_bytes(vendor.c);
        }
        print(" (");
        print_hex(version.a, 8);
        print("),");
        print_features(features, COUNT(features), version.d);
        if (last >= 0x80000001)
                print_features(extended_features, COUNT(extended_features), cpuid(0x80000001).d);
        print("\n");
}

/* Memory from 1 MiB on in one piece: each MiB holds two patterns, and is left as it was. */
static uint32_t megabytes(void)
{
        uint32_t n;
        for (n = 1; n < 0xe00; n++) {
                volatile uint32_t *at = (volatile uint32_t *)(n << 20);
                uint32_t old = *at;
                *at = 0x55aa0000 ^ n;
                bool there = *at == (0x55aa0000 ^ n);
                *at = ~(0x55aa0000 ^ n);
                there = there && *at == ~(0x55aa0000 ^ n);
                *at = old;
                if (!there)
                        break;
        }
        return n;
}

static uint32_t config(uint32_t devfn, uint32_t offset)
{
        out32(0xcf8, 0x80000000 | devfn << 8 | offset);
        return in32(0xcfc);
}

struct class {
        uint16_t class;
        char name[18];
};

static const struct class classes[] = {
        {0x0101, "IDE controller"}, {0x0200, "Ethernet"}, {0x0300, "VGA"}, {0x0600, "host bridge"},
        {0x0601, "ISA bridge"}, {0x0604, "PCI bridge"}, {0x0680, "bridge"}, {0x0700, "serial ports"},
        {0x0c03, "USB controller"},
};

static void show_pci(void)
{
        const char *title = "PCI   ";
        for (uint32_t devfn = 0; devfn < 0x100; devfn++) {
                uint32_t id = config(devfn, 0);
                if (id == 0xffffffff) {
                        if (!(devfn & 7))
                                devfn |= 7;
                        continue;
                }
                uint16_t class = (uint16_t)(config(devfn, 8) >> 16);
                print(title);
                title = "      ";
                print("00:");
                print_hex(devfn >> 3, 2);
                put_char('.');
                print_hex(devfn & 7, 1);
                put_char(' ');
                print_hex(id & 0xffff, 4);
                put_char(':');
                print_hex(id >> 16, 4);
                for (unsigned n = 0; n < COUNT(classes); n++)
                        if (classes[n].class == class) {
                                put_char(' ');
                                print(classes[n].name);
                        }
                print("\n");
                if (!(devfn & 7) && !(config(devfn, 0xc) >> 16 & 0x80))
                        devfn |= 7;
        }
}

/* 115200 8n1, FIFOs on and empty, DTR, RTS and OUT2 on. */
static const uint8_t uart[][2] = {
        {1, 0x00}, {3, 0x83}, {0, 0x01}, {1, 0x00}, {3, 0x03}, {2, 0x07}, {4, 0x0b},
};

void rom_main(void)
{
        for (unsigned n = 0; n < COUNT(uart); n++)
                out8(COM1 + uart[n][0], uart[n][1]);
        print("\nSolderless ROM 1.0 (x86)\n");
        show_cpu();
        print("RAM   ");
        print_number(megabytes());
        print(" MiB\n");
        show_pci();
        print("There is nothing to boot.\n");
}
