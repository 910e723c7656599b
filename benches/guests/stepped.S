# SPDX-License-Identifier: MIT OR Apache-2.0
#
# A loop without an end, to be stepped through.

        .set    noreorder
        .globl  __start
__start:
        lui     $t2, 0x8020
        nop
1:      addiu   $t0, $t0, 1
        sw      $t0, 0($t2)
        lw      $t1, 0($t2)
        b       1b
        addiu   $t3, $t3, 1
