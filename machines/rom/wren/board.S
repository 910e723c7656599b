/* SPDX-License-Identifier: MIT OR Apache-2.0 */

/* Wren needs nothing before its console answers. */

        .macro  board_words
        .endm

        .macro  board_start
        .endm

        .macro  board_data
        .endm
