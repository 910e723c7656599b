# One byte to COM1, as early as can be.

        .set    noreorder
        .text
        .globl  __start
__start:
        lui     $t0, 0xb800
        li      $t1, '!'
        sb      $t1, 0x3f8($t0)
1:      wait
        b       1b
        nop
