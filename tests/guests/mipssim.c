/* SPDX-License-Identifier: MIT OR Apache-2.0 */

/*
 * A bare-metal program for the machine mipssim: it looks at everything that the machine has and prints what it sees, then
 * takes commands of one letter: `e` sends back every frame that the network brings, `p` sends frames and waits for what
 * comes back, `l` sends the longest frame that there is, `a` asks a network where its host is and pings it, `o` pings what is
 * outside of the network, `u` prints what is typed in capitals, by interrupt. It runs in QEMU just the same. Linked at 80100000.
 */

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;

#define REG8(at)  (*(volatile u8 *)(at))
#define REG16(at) (*(volatile u16 *)(at))
#define REG32(at) (*(volatile u32 *)(at))

#define IO        0xbfd00000
#define UART      (IO + 0x3f8)
#define NET       (IO + 0x4200)
#define ROM       0xbfc00000
#define NOTHING   0xbf000000

#define NET_BUSY      (NET + 0x08)
#define NET_RX_COUNT  (NET + 0x0c)
#define NET_TX_COUNT  (NET + 0x10)
#define NET_INT_CTL   (NET + 0x14)
#define NET_RX_DATA   (NET + 0x1c)
#define NET_TX_DATA   (NET + 0x20)

#define IM_NET    0x0400
#define IM_UART   0x1000

/* What the exception handler leaves: the last Cause, and how many exceptions there were. */
volatile u32 last_cause, taken;

__asm__(
    "       .set    noreorder\n"
    "       .set    noat\n"
    "       .text\n"
    "       .globl  __start\n"
    "__start:\n"
    "       mfc0    $a0, $12\n"
    "       lui     $sp, 0x8040\n"
    "       j       run\n"
    "       nop\n"
    /* An interrupt goes on with interrupts off, a fetch goes back to its caller, anything else is stepped over. */
    "       .globl  handler, handler_end\n"
    "handler:\n"
    "       lui     $k0, %hi(last_cause)\n"
    "       mfc0    $k1, $13\n"
    "       sw      $k1, %lo(last_cause)($k0)\n"
    "       lui     $k0, %hi(taken)\n"
    "       lw      $k1, %lo(taken)($k0)\n"
    "       addiu   $k1, $k1, 1\n"
    "       sw      $k1, %lo(taken)($k0)\n"
    "       mfc0    $k1, $13\n"
    "       andi    $k1, $k1, 0x7c\n"
    "       beqz    $k1, 1f\n"
    "       mfc0    $k0, $14\n"
    "       addiu   $k1, $k1, -24\n"
    "       beqz    $k1, 2f\n"
    "       move    $k1, $ra\n"
    "       addiu   $k1, $k0, 4\n"
    "2:     mtc0    $k1, $14\n"
    "       ehb\n"
    "       eret\n"
    "1:     mfc0    $k0, $12\n"
    "       ins     $k0, $zero, 0, 1\n"
    "       mtc0    $k0, $12\n"
    "       ehb\n"
    "       eret\n"
    "handler_end:\n"
    "       .set    reorder\n"
    "       .set    at\n");

extern const u32 handler[], handler_end[];

static void set_status(u32 status)
{
    __asm__ volatile("mtc0 %0, $12\n\tehb" : : "r"(status) : "memory");
}

static void put_char(char c)
{
    while (!(REG8(UART + 5) & 0x20))
        ;
    REG8(UART) = (u8)c;
}

static void print(const char *text)
{
    for (; *text; text++)
        put_char(*text);
}

static void print_hex(u32 value)
{
    put_char(' ');
    for (int shift = 28; shift >= 0; shift -= 4)
        put_char("0123456789abcdef"[value >> shift & 15]);
}

static void line(const char *what, const u32 *values, int count)
{
    print(what);
    for (int i = 0; i < count; i++)
        print_hex(values[i]);
    put_char('\n');
}

#define LINE(what, ...)                                                                                                \
    do {                                                                                                               \
        u32 values[] = {__VA_ARGS__};                                                                                  \
        line(what, values, sizeof(values) / sizeof(values[0]));                                                        \
    } while (0)

/* The exception code and pending interrupts of what happened since `before`, or all ones. */
static u32 happened(u32 before)
{
    return taken == before ? ~0u : last_cause & 0xff7c;
}

static void look_at_exceptions(void)
{
    u32 before = taken;
    REG32(NOTHING);
    u32 load = happened(before);
    before = taken;
    REG32(NOTHING) = 1;
    u32 store = happened(before);
    before = taken;
    ((void (*)(void))NOTHING)();
    u32 fetch = happened(before);
    before = taken;
    volatile u32 odd = 0xa0000001;
    __asm__ volatile("lw $0, 0(%0)" : : "r"(odd));
    LINE("exceptions", load, store, fetch, happened(before));
}

static void look_at_memory(void)
{
    u32 before = taken, end = 0;
    /* -m 64 and --ram 64MiB; what is behind it does not answer. */
    REG32(0xa3fffffc) = 0x12345678;
    u32 last = REG32(0xa3fffffc);
    REG32(0xa4000000);
    end = happened(before);
    LINE("ram", last, end);
    REG32(ROM + 0x80000) = 0x12345678;
    LINE("rom", REG32(ROM + 0x80000), REG32(ROM + 0xffffc), REG32(ROM + 0x110000), REG32(ROM + 0x3ffffc));
}

static void look_at_ports(void)
{
    REG8(IO + 0x80) = 1;
    LINE("ports", REG8(IO), REG8(IO + 0x80), REG16(IO + 0x300), REG32(IO + 0x400), REG32(IO + 0x4224),
         REG32(IO + 0xfffc));
}

static void look_at_the_uart(void)
{
    u32 registers[8];
    for (int i = 0; i < 8; i++)
        registers[i] = i == 6 ? REG8(UART + i) & 0xf0 : REG8(UART + i);
    line("uart", registers, 8);
    REG8(UART + 3) = 0x83;
    u32 low = REG8(UART), high = REG8(UART + 1);
    REG8(UART) = 1;
    REG8(UART + 1) = 0;
    REG8(UART + 3) = 0x03;
    REG8(UART + 7) = 0xa5;
    LINE("divisor", low, high, REG8(UART + 3), REG8(UART + 7));
    /* Looped back: four characters, their levels, and back. */
    REG8(UART + 2) = 0x07;
    REG8(UART + 4) = 0x1b;
    for (int i = 0; i < 4; i++)
        REG8(UART) = (u8)('a' + i);
    u32 iir = REG8(UART + 2), lsr = REG8(UART + 5), msr = REG8(UART + 6);
    u32 got = 0;
    for (int i = 0; i < 4; i++)
        got = got << 8 | REG8(UART);
    u32 after = REG8(UART + 5);
    REG8(UART + 4) = 0x0b;
    LINE("loop", iir, lsr, msr, got, after, REG8(UART + 6), REG8(UART + 6));
    /* The transmitter's interrupt, which is there at once. */
    u32 before = taken;
    set_status(IM_UART | 1);
    REG8(UART + 1) = 2;
    for (volatile int i = 0; i < 1000 && taken == before; i++)
        ;
    u32 cause = happened(before), what = REG8(UART + 2), none = REG8(UART + 2);
    REG8(UART + 1) = 0;
    set_status(0);
    LINE("transmit", cause, what, none);
}

static void look_at_the_network(void)
{
    LINE("network", REG32(NET), REG32(NET + 4), REG8(NET), REG8(NET + 1), REG32(NET_BUSY), REG32(NET_RX_COUNT),
         REG32(NET_TX_COUNT), REG32(NET_INT_CTL), REG32(NET + 0x18), REG32(NET_RX_DATA), REG32(NET_TX_DATA));
    u32 before = taken;
    set_status(IM_NET | 1);
    REG32(NET_INT_CTL) = 0x80000000;
    for (volatile int i = 0; i < 1000 && taken == before; i++)
        ;
    u32 cause = happened(before);
    LINE("test", cause, REG32(NET_INT_CTL), REG32(NET_INT_CTL), REG32(NET_BUSY));
    REG32(NET_INT_CTL) = 0;
    set_status(0);
    LINE("open", REG32(NET_INT_CTL), REG32(NET_BUSY));
    REG32(NET_TX_COUNT) = 2000;
    u32 refused = REG32(NET_TX_COUNT);
    REG32(NET_TX_COUNT) = 60;
    u32 count = REG32(NET_TX_COUNT);
    for (int i = 0; i < 60; i++)
        REG8(NET_TX_DATA) = i < 6 ? 0xff : (u8)i;
    LINE("sent", refused, count, REG32(NET_TX_COUNT), REG32(NET_INT_CTL), REG32(NET_BUSY));
    REG32(NET_INT_CTL) = 3;
    LINE("done", REG32(NET_INT_CTL), REG32(NET_BUSY));
}

static u8 frame[1514];

static void send(u32 length)
{
    REG32(NET_TX_COUNT) = length;
    for (u32 i = 0; i < length; i++)
        REG8(NET_TX_DATA) = frame[i];
    while (!(REG32(NET_INT_CTL) & 1))
        ;
    REG32(NET_INT_CTL) = 1;
}

/* Waits for the interrupt of a frame, takes it, and returns its length. A `wait` here could miss the interrupt. */
static u32 receive(void)
{
    while (!(REG32(NET_INT_CTL) & 2)) {
        u32 before = taken;
        set_status(IM_NET | 1);
        while (taken == before)
            ;
        set_status(0);
    }
    u32 length = REG32(NET_RX_COUNT);
    for (u32 i = 0; i < length; i++)
        frame[i] = REG8(NET_RX_DATA);
    REG32(NET_INT_CTL) = 2;
    return length;
}

static u32 sum(u32 length)
{
    u32 sum = 0;
    for (u32 i = 0; i < length; i++)
        sum = (sum << 5 | sum >> 27) ^ frame[i];
    return sum;
}

static void echo(void)
{
    print("echoing\n");
    for (;;) {
        u32 length = receive();
        for (int i = 0; i < 6; i++) {
            u8 swap = frame[i];
            frame[i] = frame[6 + i];
            frame[6 + i] = swap;
        }
        send(length);
        LINE("echoed", length, sum(length));
    }
}

/* Sends a frame and waits for its echo, the mark of which is what was its source. */
static void ping(u32 length, u32 mark)
{
    for (u32 j = 0; j < length; j++)
        frame[j] = (u8)(j * 7 + mark);
    send(length);
    u32 back;
    do
        back = receive();
    while (frame[0] != (u8)(6 * 7 + mark));
    LINE("back", length, back, frame[6], sum(back));
}

static void put(u8 *to, const u8 *from, int count)
{
    while (count--)
        *to++ = *from++;
}

/* The checksum of the Internet (RFC 1071), which goes to `at`. */
static void check(u8 *at, const u8 *from, int count)
{
    u32 sum = 0;
    for (int i = 0; i < count; i += 2)
        sum += (u32)from[i] << 8 | from[i + 1];
    sum = (sum & 0xffff) + (sum >> 16);
    sum = ~((sum & 0xffff) + (sum >> 16));
    at[0] = (u8)(sum >> 8);
    at[1] = (u8)sum;
}

/* As 10.0.2.15, asks for 10.0.2.2, and pings this address by way of it. */
static void ask(const u8 *to)
{
    static const u8 arp[42] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x52, 0x54, 0, 0x12, 0x34, 0x56, 8, 6,
                               0, 1, 8, 0, 6, 4, 0, 1, 0x52, 0x54, 0, 0x12, 0x34, 0x56, 10, 0, 2, 15,
                               0, 0, 0, 0, 0, 0, 10, 0, 2, 2};
    static const u8 echo[50] = {0, 0, 0, 0, 0, 0, 0x52, 0x54, 0, 0x12, 0x34, 0x56, 8, 0,
                                0x45, 0, 0, 36, 0, 1, 0, 0, 64, 1, 0, 0, 10, 0, 2, 15, 10, 0, 2, 2,
                                8, 0, 0, 0, 0, 7, 0, 9, 'a', 'h', 'o', 'y', '!', 0, 0, 0};
    put(frame, arp, 42);
    send(42);
    do
        receive();
    while (frame[12] != 8 || frame[13] != 6 || frame[21] != 2);
    LINE("host", (u32)frame[22] << 8 | frame[23], (u32)frame[24] << 24 | frame[25] << 16 | frame[26] << 8 | frame[27],
         (u32)frame[28] << 24 | frame[29] << 16 | frame[30] << 8 | frame[31]);
    u8 host[6];
    put(host, frame + 22, 6);
    put(frame, echo, 50);
    put(frame, host, 6);
    put(frame + 30, to, 4);
    check(frame + 24, frame + 14, 20);
    check(frame + 36, frame + 34, 16);
    send(50);
    u32 length;
    do
        length = receive();
    while (frame[12] != 8 || frame[13] != 0 || frame[23] != 1);
    LINE("ping", length, frame[34], frame[29], frame[41]);
    if (!frame[34])
        print((char *)frame + 42);
    put_char('\n');
}

static void upper(void)
{
    print("typing\n");
    REG8(UART + 4) = 0x0b;
    REG8(UART + 1) = 1;
    for (u8 c = 0; c != '\r';) {
        u32 before = taken;
        set_status(IM_UART | 1);
        while (taken == before)
            ;
        set_status(0);
        while (REG8(UART + 5) & 1) {
            c = REG8(UART);
            put_char(c >= 'a' && c <= 'z' ? (char)(c - 32) : (char)c);
        }
    }
    REG8(UART + 1) = 0;
    put_char('\n');
}

__attribute__((noreturn, used)) void run(u32 status)
{
    u32 prid;

    __asm__ volatile("mfc0 %0, $15" : "=r"(prid));
    volatile u32 *to = (volatile u32 *)0xa0000180;
    for (const u32 *from = handler; from < handler_end;)
        *to++ = *from++;
    set_status(0);
    LINE("cpu", status, prid);
    look_at_exceptions();
    look_at_memory();
    look_at_ports();
    look_at_the_uart();
    look_at_the_network();
    for (;;) {
        print("> ");
        while (!(REG8(UART + 5) & 1))
            ;
        switch (REG8(UART)) {
        case 'e':
            echo();
            break;
        case 'p':
            ping(60, 1);
            ping(20, 2);
            ping(61, 3);
            ping(1513, 4);
            break;
        case 'l':
            ping(1514, 5);
            break;
        case 'a':
            ask((const u8[]){10, 0, 2, 2});
            break;
        case 'o':
            ask((const u8[]){192, 0, 2, 1});
            break;
        case 'u':
            upper();
            break;
        }
    }
}
