/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#ifndef SBI_H
#define SBI_H

/* How many harts there may be, numbered from 0; what each has as a stack; and what of the memory the firmware takes. The linker's
 * script and the boot protocol know them as well. */
#ifndef SBI_HARTS
#error "the Makefile says how many harts there may be"
#endif

#if __riscv_xlen == 64
#define LOAD ld
#define STORE sd
#define WORD 8
#else
#define LOAD lw
#define STORE sw
#define WORD 4
#endif

/* What a trap saves: what a called function may change, and sp. */
#define FRAME_RA 0
#define FRAME_T 1
#define FRAME_A 8
#define FRAME_SP 16
#define FRAME_WORDS 18

#ifndef __ASSEMBLER__

typedef unsigned char u8;
typedef unsigned int u32;
typedef unsigned long long u64;
typedef unsigned long word;

struct frame {
    word ra, t[7], a[8], sp, unused;
};

/* What starts the firmware says of what comes after it: OpenSBI, include/sbi/fw_dynamic.h. */
struct next {
    word magic, version, address, mode, options, boot_hart;
};

#define csr_read(csr)                                                                                                  \
    ({                                                                                                                 \
        word value_;                                                                                                   \
        __asm__ volatile("csrr %0, " csr : "=r"(value_)::"memory");                                                    \
        value_;                                                                                                        \
    })
#define csr_write(csr, value) __asm__ volatile("csrw " csr ", %0" ::"rK"((word)(value)) : "memory")
#define csr_set(csr, value) __asm__ volatile("csrs " csr ", %0" ::"rK"((word)(value)) : "memory")
#define csr_clear(csr, value) __asm__ volatile("csrc " csr ", %0" ::"rK"((word)(value)) : "memory")

/* start.S */
_Noreturn void enter(word hart, word argument, word address, word supervisor);
_Noreturn void rest(void);
extern u8 firmware[];

/* main.c */
_Noreturn void first(word hart, const void *tree, const struct next *next);
_Noreturn void wait_to_start(word hart);
void trapped(struct frame *frame);

/* tree.c: what there is, by the device tree. */
struct board {
    /* Of a 16550: its registers, how far apart, and the clock in Hz. */
    volatile u8 *serial;
    u32 serial_shift, serial_clock;
    /* Of each hart: its software interrupt, and what its timer is compared with. */
    volatile u32 *msip;
    volatile u32 *mtime, *mtimecmp;
    /* The test finisher. */
    volatile u32 *finisher;
    /* The main memory. */
    u64 memory, memory_size;
    /* One bit for each hart. */
    word harts;
};
extern struct board board;
int read_tree(const void *tree);

/* console.c */
void console_start(void);
void put(char c);
int get(void);
void say(const char *text);
void say_number(word value);
void say_decimal(word value);

#endif
#endif
