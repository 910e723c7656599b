/* SPDX-License-Identifier: MIT OR Apache-2.0 */

/*
 * Wren: two pairs of 8259s, one behind the other, that are asked by polling; an 8254; board registers with an I2C bus and
 * the EEPROM on it that says which board this is; and a flash bank of one 16-bit chip.
 */

#include "rom.h"

#define PIC            0x020
#define PIC2           0x120 /* the second pair, whose INT is input 5 of the first */
#define PIC_SLAVE      0x080 /* from the first of a pair to the second */
#define PIC_ELCR1      0x4d0
#define PIC2_INPUT     5
#define SLAVE_INPUT    2
#define PIC_EOI        0x60 /* of the level in the low bits */
#define PIC_POLL       0x0c
#define POLL_INTERRUPT 0x80

/* Interrupts as irq_wait knows them: an input of the first pair, or 16 plus one of the second. */
#define IRQ_TIMER      0
#define IRQ_ISA_SERIAL 4
#define IRQ_SERIAL(n)  (16 + 3 + (n))

#define PIT            0x040
#define PIT_HZ         1193182

#define ISA_SERIAL     (IO_BASE + 0x3f8)

#define LOGIC_ASCIIPOS 0x418
#define LOGIC_SOFTRES  0x500
#define LOGIC_I2CINP   0xb00
#define LOGIC_I2COE    0xb08
#define LOGIC_I2COUT   0xb10
#define LOGIC_I2CSEL   0xb18
#define SOFTRES_RESET  0x42
#define SDA            1
#define SCL            2

#define EEPROM         0x50
#define EEPROM_NAME    8 /* bytes of name, then two of serial number */

static uint8_t inb(uint32_t port)
{
    return REG8(IO_BASE + port);
}

static void outb(uint32_t port, uint8_t value)
{
    REG8(IO_BASE + port) = value;
}

static uint32_t logic_read(uint32_t offset)
{
    return REG32(LOGIC_BASE + offset);
}

static void logic_write(uint32_t offset, uint32_t value)
{
    REG32(LOGIC_BASE + offset) = value;
}

/* The interrupt controllers. */

static void init_pair(uint32_t base, uint8_t icw1, uint8_t vector)
{
    outb(base, icw1);
    outb(base + 1, vector);
    outb(base + 1, 1 << SLAVE_INPUT);
    outb(base + 1, 0x01);
    outb(base + PIC_SLAVE, icw1);
    outb(base + PIC_SLAVE + 1, vector + 8);
    outb(base + PIC_SLAVE + 1, SLAVE_INPUT);
    outb(base + PIC_SLAVE + 1, 0x01);
    outb(base + 1, 0xff);
    outb(base + PIC_SLAVE + 1, 0xff);
}

/* Unmasks one interrupt, and what it comes through, and masks all others. */
static void irq_only(uint32_t irq)
{
    uint32_t base = irq < 16 ? PIC : PIC2;
    uint32_t input = irq & 15;

    outb(PIC + 1, (uint8_t)~(irq < 16 ? 1u << (input < 8 ? input : SLAVE_INPUT) : 1u << PIC2_INPUT));
    if (irq >= 16)
        outb(PIC2 + 1, (uint8_t)~(1u << (input < 8 ? input : SLAVE_INPUT)));
    outb(base + PIC_SLAVE + 1, input < 8 ? 0xff : (uint8_t)~(1u << (input - 8)));
}

/* The first pair takes edges, but for the second one's INT; the second pair takes levels. */
void init_interrupts(void)
{
    init_pair(PIC, 0x11, 0x00);
    outb(PIC_ELCR1, 1 << PIC2_INPUT);
    init_pair(PIC2, 0x19, 0x10);
    irq_only(IRQ_SERIAL(0));
}

/* Asks a pair which of its inputs wants service, and ends the interrupt; -1 if none does. */
static int poll_pair(uint32_t base)
{
    outb(base, PIC_POLL);
    uint8_t polled = inb(base);
    if (!(polled & POLL_INTERRUPT))
        return -1;
    int input = polled & 7;
    if (input == SLAVE_INPUT) {
        outb(base + PIC_SLAVE, PIC_POLL);
        polled = inb(base + PIC_SLAVE);
        if (polled & POLL_INTERRUPT) {
            outb(base + PIC_SLAVE, (uint8_t)(PIC_EOI | (polled & 7)));
            input = 8 + (polled & 7);
        }
        outb(base, PIC_EOI | SLAVE_INPUT);
        return input;
    }
    if (base != PIC || input != PIC2_INPUT)
        outb(base, (uint8_t)(PIC_EOI | input));
    return input;
}

/* The interrupt that is pending, ended; -1 if there is none. */
static int irq_take(void)
{
    int input = poll_pair(PIC);

    if (input != PIC2_INPUT)
        return input;
    input = poll_pair(PIC2);
    outb(PIC, PIC_EOI | PIC2_INPUT);
    return input < 0 ? -1 : 16 + input;
}

void acknowledge_interrupt(void)
{
    irq_take();
}

static void stop_cpu(void *arg)
{
    (void)arg;
    CP0_STATUS(cp0_write, 0x00008401); /* IM7, IM2, IE */
    for (;;)
        __asm__ volatile("wait");
}

/* Stops the CPU until this interrupt comes, or something is typed at the console, which is looked at now and then. */
static bool irq_wait(uint32_t irq)
{
    for (;;) {
        struct fault fault;
        CP0_COMPARE(cp0_write, CP0_COUNT(cp0_read) + (1 << 22));
        run_guarded(stop_cpu, NULL, &fault);
        if (irq_take() == (int)irq)
            return true;
        if (interrupted())
            return false;
    }
}

/* The serial ports. */

struct port {
    uint32_t base, shift, irq;
};

static bool port_argument(const char *command, const char *text, struct port *port)
{
    static const struct port ports[] = {
        {UART_BASE + 0x100, CONSOLE_SHIFT, IRQ_SERIAL(1)},
        {UART_BASE + 0x200, CONSOLE_SHIFT, IRQ_SERIAL(2)},
        {ISA_SERIAL, 0, IRQ_ISA_SERIAL},
    };
    uint32_t number;

    if (!parse_number(text, &number) || number < 1 || number > 3) {
        print("%s: the ports are 1, 2 and 3\n", command);
        return false;
    }
    *port = ports[number - 1];
    return true;
}

static volatile uint8_t *port_register(const struct port *port, uint32_t number)
{
    return &REG8(port->base + (number << port->shift));
}

/* 115200 8n1, FIFOs on, DTR, RTS and OUT2 on. */
static void port_init(const struct port *port)
{
    *port_register(port, 3) = 0x83;
    *port_register(port, 0) = 1;
    *port_register(port, 1) = 0;
    *port_register(port, 3) = 0x03;
    *port_register(port, 2) = 0x01;
    *port_register(port, 4) = 0x0b;
}

static void port_send(const struct port *port, char c)
{
    while (!(*port_register(port, 5) & 0x20))
        ;
    *port_register(port, 0) = (uint8_t)c;
}

void command_say(int argc, char **argv)
{
    struct port port;

    if (!port_argument("say", argv[1], &port))
        return;
    port_init(&port);
    for (int i = 2; i < argc; i++) {
        for (const char *c = argv[i]; *c; c++)
            port_send(&port, *c);
        port_send(&port, i + 1 < argc ? ' ' : '\n');
    }
}

void command_hear(int argc, char **argv)
{
    struct port port;
    uint32_t interrupts = 0;
    char c = 0;

    (void)argc;
    if (!port_argument("hear", argv[1], &port))
        return;
    port_init(&port);
    irq_only(port.irq);
    *port_register(&port, 1) = 1;
    while (c != '\n' && irq_wait(port.irq)) {
        interrupts++;
        while (c != '\n' && *port_register(&port, 5) & 1) {
            c = (char)*port_register(&port, 0);
            if (c != '\n')
                put_char(c);
        }
    }
    *port_register(&port, 1) = 0;
    init_interrupts();
    print(" (%s)\n", interrupts ? "by interrupt" : "nothing");
}

/* The timer. */

static uint32_t pit_count(void)
{
    outb(PIT + 3, 0x00); /* latch counter 0 */
    uint32_t low = inb(PIT);
    return low | (uint32_t)inb(PIT) << 8;
}

/* Counter 0 as a rate generator. */
static void pit_start(uint32_t divisor)
{
    outb(PIT + 3, 0x34);
    outb(PIT, (uint8_t)divisor);
    outb(PIT, (uint8_t)(divisor >> 8));
}

void command_tick(int argc, char **argv)
{
    uint32_t wanted, count = 0;

    (void)argc;
    if (!parse_number(argv[1], &wanted)) {
        print("tick: '%s' is not a hexadecimal number\n", argv[1]);
        return;
    }
    pit_start(PIT_HZ / 100);
    init_interrupts(); /* forgets the edges that came before */
    irq_only(IRQ_TIMER);
    uint32_t start = CP0_COUNT(cp0_read);
    while (count < wanted && irq_wait(IRQ_TIMER))
        count++;
    uint32_t clocks = (CP0_COUNT(cp0_read) - start) / 100000;
    init_interrupts();
    print("%u ticks in %u.%u million counts\n", count, clocks / 10, clocks % 10);
}

/* Count against the timer, for 10 ms. */
static void show_clock(void)
{
    const uint32_t wanted = PIT_HZ / 100;

    pit_start(0x10000);
    uint32_t start = CP0_COUNT(cp0_read), before = pit_count(), passed = 0, count = 0;
    for (uint32_t i = 0; passed < wanted && i < 100000; i++) {
        passed = (before - pit_count()) & 0xffff;
        count = CP0_COUNT(cp0_read) - start;
    }
    if (passed < wanted) {
        print("Clock not measured: the timer stands still\n");
        return;
    }
    /* Below 2 GHz, nothing here is above 32 bits. */
    uint32_t khz = count / passed * (PIT_HZ / 1000) + count % passed * (PIT_HZ / 1000) / passed;
    print("Clock %u MHz (Count %u MHz by the 8254)\n", (khz * count_resolution() + 500) / 1000, (khz + 500) / 1000);
}

/* The I2C bus: the lines are driven low by enabling an output of 0. */

static void i2c_lines(uint32_t high)
{
    logic_write(LOGIC_I2COE, ~high & (SDA | SCL));
    for (int i = 0; i < 10; i++)
        __asm__ volatile("nop");
}

static void i2c_start(void)
{
    i2c_lines(SDA);
    i2c_lines(SDA | SCL);
    i2c_lines(SCL);
    i2c_lines(0);
}

static bool i2c_clock(bool bit)
{
    uint32_t sda = bit ? SDA : 0;

    i2c_lines(sda);
    i2c_lines(sda | SCL);
    bool level = logic_read(LOGIC_I2CINP) & SDA;
    i2c_lines(sda);
    return level;
}

/* Sends a byte; whether it was acknowledged. */
static bool i2c_send(uint8_t byte)
{
    for (int i = 7; i >= 0; i--)
        i2c_clock(byte >> i & 1);
    return !i2c_clock(true);
}

static uint8_t i2c_receive(bool more)
{
    uint8_t byte = 0;

    for (int i = 0; i < 8; i++)
        byte = (uint8_t)(byte << 1 | i2c_clock(true));
    i2c_clock(!more);
    return byte;
}

static bool read_eeprom(uint8_t *bytes, uint32_t count)
{
    logic_write(LOGIC_I2COUT, 0);
    logic_write(LOGIC_I2CSEL, 1);
    i2c_start();
    bool there = i2c_send(EEPROM << 1) && i2c_send(0);
    if (there) {
        i2c_start();
        there = i2c_send(EEPROM << 1 | 1);
    }
    for (uint32_t i = 0; there && i < count; i++)
        bytes[i] = i2c_receive(i + 1 < count);
    i2c_lines(0);
    i2c_lines(SCL);
    i2c_lines(SDA | SCL);
    return there;
}

void init_board(void)
{
    static const char text[] = "  WREN  ";

    for (uint32_t i = 0; i < 8; i++)
        logic_write(LOGIC_ASCIIPOS + 8 * i, (uint8_t)text[i]);
    init_interrupts();
}

uint32_t board_ram_size(void)
{
    return 0;
}

void show_board(void)
{
    uint8_t bytes[EEPROM_NAME + 2];

    if (!read_eeprom(bytes, sizeof(bytes))) {
        print("Board unknown: its EEPROM does not answer\n");
        return;
    }
    print("Board ");
    for (int i = 0; i < EEPROM_NAME && bytes[i] > ' ' && bytes[i] <= '~'; i++)
        put_char((char)bytes[i]);
    print(", number %u\n", bytes[EEPROM_NAME] << 8 | bytes[EEPROM_NAME + 1]);
}

void show_devices_briefly(void)
{
    show_board();
}

/* Common Flash Memory Interface, a 16-bit chip. */
void show_devices(void)
{
    static volatile uint16_t *const flash = &REG16(FLASH_BASE);

    show_clock();
    flash[0x55] = 0x98;
    bool query = (flash[0x10] & 0xff) == 'Q' && (flash[0x11] & 0xff) == 'R' && (flash[0x12] & 0xff) == 'Y';
    uint32_t log2_size = flash[0x27] & 31;
    flash[0] = 0xff;
    if (query)
        print("Flash CFI at %08x, %u %s\n", FLASH_BASE, size_in_units(1u << log2_size), size_unit(1u << log2_size));
    else
        print("Flash no CFI chip answers at %08x\n", FLASH_BASE);
}

void command_reset(int argc, char **argv)
{
    (void)argc;
    (void)argv;
    flush_output();
    logic_write(LOGIC_SOFTRES, SOFTRES_RESET);
    for (volatile uint32_t i = 0; i < 10000000; i++)
        ;
    print("reset: the board did not reset\n");
}
