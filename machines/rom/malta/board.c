/* SPDX-License-Identifier: MIT OR Apache-2.0 */

/*
 * The Malta board: FPGA, flash, and the PIIX4 south bridge with its interrupt controllers, power management and SMBus.
 * Register names are those of the MIPS Malta User's Manual and of Intel's 82371AB datasheet.
 */

#include "rom.h"

#define FPGA_STATUS   0x208
#define FPGA_ASCIIPOS 0x418
#define FPGA_SOFTRES  0x500
#define SOFTRES_RESET 0x42

#define PIC1          0x020
#define PIC2          0x0a0
#define PIC_ELCR2     0x4d1
#define PIC_EOI       0x20
#define COM1_IRQ      4

#define PIIX4_ISA     PCI_FUNCTION(0, 10, 0)
#define PIIX4_PM      PCI_FUNCTION(0, 10, 3)
#define PIIX4_ISA_ID  0x71108086
#define PIIX4_PM_ID   0x71138086

#define ISA_PIRQRC    0x60
#define PM_PMBA       0x40
#define PM_PMREGMISC  0x80
#define PM_SMBBA      0x90
#define PCI_COMMAND   0x04

#define PM_BASE       0x1000
#define PM_PMCNTRL    (PM_BASE + 0x04)
#define PM_PMTMR      (PM_BASE + 0x08)
#define PMCNTRL_SUS_EN 0x2000 /* with SUS_TYP 0: soft off */

#define SMB_BASE      0x1100
#define SMBHSTSTS     (SMB_BASE + 0)
#define SMBHSTCNT     (SMB_BASE + 2)
#define SMBHSTCMD     (SMB_BASE + 3)
#define SMBHSTADD     (SMB_BASE + 4)
#define SMBHSTDAT0    (SMB_BASE + 5)
#define HSTSTS_INTR   0x02
#define HSTSTS_ERRORS 0x1c /* device error, collision, failure */
#define HSTCNT_BYTE_DATA 0x48 /* start; byte data protocol */

#define SPD_ADDRESS   0x50
#define SPD_TYPE      2
#define SPD_BANKS     5
#define SPD_DENSITY   31
#define SPD_TYPE_SDR  4
#define SPD_TYPE_DDR2 8

/* How often a register is looked at before the device is taken to be silent. */
#define PATIENCE 100000

uint8_t inb(uint32_t port)
{
    return REG8(PCI_IO_BASE + port);
}

void outb(uint32_t port, uint8_t value)
{
    REG8(PCI_IO_BASE + port) = value;
}

static void outw(uint32_t port, uint16_t value)
{
    REG16(PCI_IO_BASE + port) = le16(value);
}

static uint32_t inl(uint32_t port)
{
    return le32(REG32(PCI_IO_BASE + port));
}

static void fpga_write(uint32_t offset, uint32_t value)
{
    REG32(FPGA_BASE + offset) = value;
}

static void show_on_display(const char text[8])
{
    for (uint32_t i = 0; i < 8; i++)
        fpga_write(FPGA_ASCIIPOS + 8 * i, (uint8_t)text[i]);
}

/* Vectors 0x00 and 0x08, normal end of interrupt. */
void init_interrupts(void)
{
    outb(PIC1, 0x11);
    outb(PIC1 + 1, 0x00);
    outb(PIC1 + 1, 0x04);
    outb(PIC1 + 1, 0x01);
    outb(PIC1 + 1, (uint8_t)~(1 << COM1_IRQ));
    outb(PIC2, 0x11);
    outb(PIC2 + 1, 0x08);
    outb(PIC2 + 1, 0x02);
    outb(PIC2 + 1, 0x01);
    outb(PIC2 + 1, 0xff);
}

void acknowledge_interrupt(void)
{
    gt_read(GT_PCI0_IACK);
    outb(PIC1, PIC_EOI);
}

void init_board(void)
{
    show_on_display("SOLDRLSS");
    init_interrupts();
    if (pci_read(PIIX4_ISA, 0) == PIIX4_ISA_ID) {
        /* PIRQA and B go to IRQ 10, C and D to IRQ 11, both level-triggered as PCI lines must be. */
        pci_write(PIIX4_ISA, ISA_PIRQRC, 0x0b0b0a0a);
        outb(PIC_ELCR2, 1 << (10 - 8) | 1 << (11 - 8));
    }
    if (pci_read(PIIX4_PM, 0) == PIIX4_PM_ID) {
        pci_write(PIIX4_PM, PM_PMBA, PM_BASE | 1);
        pci_write(PIIX4_PM, PM_PMREGMISC, 1);
        pci_write(PIIX4_PM, PM_SMBBA, SMB_BASE | 1);
        pci_write(PIIX4_PM, PCI_COMMAND, 1);
    }
}

void show_board(void)
{
    static const char *const cores[] = {[1] = "CoreLV", [2] = "CoreBonito", [3] = "CoreFPGA", [4] = "CoreSYS"};
    uint32_t revision = REG32(BOARD_REVISION);
    uint32_t core = revision >> 10 & 63;

    print("Board %s", (revision >> 4 & 15) == 2 ? "Malta" : "unknown");
    if (core < sizeof(cores) / sizeof(cores[0]) && cores[core])
        print(" with %s", cores[core]);
    print(" (revision word %08x), switched to %s-endian\n", revision,
          REG32(FPGA_BASE + FPGA_STATUS) & 2 ? "big" : "little");
}

/* Common Flash Memory Interface: the two 16-bit chips of the bank answer alike, the lower one is looked at. */
static void show_flash(void)
{
    static volatile uint32_t *const flash = &REG32(FLASH_BASE);

    flash[0x55] = 0x00980098;
    bool query = (flash[0x10] & 0xff) == 'Q' && (flash[0x11] & 0xff) == 'R' && (flash[0x12] & 0xff) == 'Y';
    uint32_t command_set = (flash[0x13] & 0xff) | (flash[0x14] & 0xff) << 8;
    uint32_t log2_size = flash[0x27] & 31;
    flash[0] = 0x00ff00ff;
    if (!query) {
        print("Flash no CFI chip answers at %08x\n", FLASH_BASE);
        return;
    }
    flash[0] = 0x00900090;
    uint32_t manufacturer = flash[0] & 0xffff, device = flash[1] & 0xffff;
    flash[0] = 0x00ff00ff;
    print("Flash CFI at %08x, %u %s, command set %04x, manufacturer %04x, device %04x\n", FLASH_BASE,
          size_in_units(1u << log2_size), size_unit(1u << log2_size), command_set, manufacturer, device);
}

/* Reads a byte of an EEPROM on the SMBus; false if none answers. */
static bool smbus_read(uint8_t address, uint8_t index, uint8_t *value)
{
    outb(SMBHSTSTS, HSTSTS_INTR | HSTSTS_ERRORS);
    outb(SMBHSTADD, (uint8_t)(address << 1 | 1));
    outb(SMBHSTCMD, index);
    outb(SMBHSTCNT, HSTCNT_BYTE_DATA);
    for (uint32_t i = 0; i < PATIENCE; i++) {
        uint8_t status = inb(SMBHSTSTS);
        if (status & HSTSTS_ERRORS)
            return false;
        if (status & HSTSTS_INTR) {
            *value = inb(SMBHSTDAT0);
            return true;
        }
    }
    return false;
}

/*
 * JEDEC's serial presence detect: each bit of the density byte is a bank's size. Two bits are two unlike banks, one
 * bit is the size of all of them. Bits 0 to 4 are worth 4 to 64 MiB for SDR, and 1 to 16 GiB for DDR2.
 */
uint32_t board_ram_size(void)
{
    uint8_t type, banks, density;
    uint32_t mib = 0, sizes = 0;

    if (!smbus_read(SPD_ADDRESS, SPD_TYPE, &type) || !smbus_read(SPD_ADDRESS, SPD_BANKS, &banks)
        || !smbus_read(SPD_ADDRESS, SPD_DENSITY, &density))
        return 0;
    if (type != SPD_TYPE_SDR && type != SPD_TYPE_DDR2)
        return 0;
    for (uint32_t bit = 0; bit < 8; bit++) {
        if (!(density >> bit & 1))
            continue;
        mib += type == SPD_TYPE_DDR2 && bit < 5 ? 1024u << bit : 4u << bit;
        sizes++;
    }
    if (sizes == 1)
        mib *= banks;
    return mib < 4096 ? mib << 20 : 0;
}

static void show_spd(void)
{
    uint32_t size = board_ram_size();

    if (size)
        print("SPD   %u MiB by the EEPROM of the memory module\n", size >> 20);
    else
        print("SPD   no EEPROM of a memory module that makes sense\n");
}

/* a * b / c, if that fits in 32 bits. */
static uint32_t scale(uint32_t a, uint32_t b, uint32_t c)
{
    uint64_t product = (uint64_t)a * b;
    uint32_t remainder = 0, quotient = 0;

    for (int bit = 63; bit >= 0; bit--) {
        uint32_t carry = remainder >> 31;
        remainder = remainder << 1 | (uint32_t)(product >> 63);
        product <<= 1;
        quotient <<= 1;
        if (carry || remainder >= c) {
            remainder -= c;
            quotient |= 1;
        }
    }
    return quotient;
}

/* Count against the power management timer (24 bits at 3.579545 MHz), for 10 ms. */
static void show_clock(void)
{
    const uint32_t timer_khz = 3580, wanted = 10 * timer_khz;
    uint32_t ticks = 0, count_before = CP0_COUNT(cp0_read), before = inl(PM_PMTMR), count = 0;

    for (uint32_t i = 0; ticks < wanted && (ticks || i < PATIENCE); i++) {
        ticks = (inl(PM_PMTMR) - before) & 0xffffff;
        count = CP0_COUNT(cp0_read) - count_before;
    }
    if (ticks < wanted) {
        print("Clock not measured: the power management timer stands still\n");
        return;
    }
    uint32_t count_khz = scale(count, 3579545, ticks) / 1000;
    uint32_t resolution = count_resolution();
    uint32_t khz = count_khz * resolution;
    print("Clock %u.%u MHz (Count %u.%u MHz by the power management timer)\n", khz / 1000, khz / 100 % 10,
          count_khz / 1000, count_khz / 100 % 10);
}

void show_devices_briefly(void)
{
    list_pci("PCI   ", "      ");
}

void show_devices(void)
{
    show_clock();
    show_spd();
    show_flash();
    show_devices_briefly();
}

/* Gives what was just asked for half a second of Count at 160 MHz to happen. */
static void linger(void)
{
    uint32_t start = CP0_COUNT(cp0_read);

    while (CP0_COUNT(cp0_read) - start < 80000000)
        ;
}

void command_reset(int argc, char **argv)
{
    (void)argc;
    (void)argv;
    flush_output();
    fpga_write(FPGA_SOFTRES, SOFTRES_RESET);
    linger();
    print("reset: the board did not reset\n");
}

void command_poweroff(int argc, char **argv)
{
    (void)argc;
    (void)argv;
    flush_output();
    outw(PM_PMCNTRL, PMCNTRL_SUS_EN);
    linger();
    print("poweroff: the board is still on\n");
}
