/* SPDX-License-Identifier: MIT OR Apache-2.0 */

/* The machine mipssim. Its devices interrupt the CPU directly, and nothing on it needs to be set up. */

#include "rom.h"

#define NET_PORT    0x4200

void init_board(void)
{
}

void init_interrupts(void)
{
}

void acknowledge_interrupt(void)
{
}

uint32_t board_ram_size(void)
{
    return 0;
}

void show_board(void)
{
    print("Board MIPSsim, %s-endian\n", BIG_ENDIAN_CPU ? "big" : "little");
}

/* The interface names itself with two words, "MIPS" and "NET0". */
void show_devices_briefly(void)
{
    static const uint32_t name[2] = {0x5350494d, 0x3054454e};

    for (int i = 0; i < 2; i++) {
        if (REG32(IO_BASE + NET_PORT + 4 * i) != name[i]) {
            print("Net   none\n");
            return;
        }
    }
    print("Net   MIPSNET at port %x\n", NET_PORT);
}

void show_devices(void)
{
    show_devices_briefly();
}
