//! Serial presence detect: what a memory module tells about itself (JEDEC Standard 21-C, section 4.1.2).

/// Bytes that the standard defines.
pub(crate) const LEN: usize = 128;

const TYPE: usize = 2;
const RANKS: usize = 5;
const RANK_DENSITY: usize = 31;
const CHECKSUM: usize = 63;

const SDRAM: u8 = 4;
const DDR2: u8 = 8;

/// What does not depend on the size: a PC133 module, 64 bits wide, CAS latency 2.
const FIXED: [(usize, u8); 27] = [
    (0, 128),    // bytes in use
    (1, 8),      // log2 of the device's size
    (3, 13),     // row address bits
    (4, 10),     // column address bits
    (6, 64),     // data width
    (8, 1),      // LVTTL
    (9, 0x75),   // clock period 7.5 ns
    (10, 0x54),  // access time 5.4 ns
    (12, 0x82),  // refresh every 7.8 us, self-refresh
    (13, 8),     // width of a chip
    (15, 1),     // clocks between random column accesses
    (16, 0x8f),  // bursts of 1, 2, 4, 8 and a page
    (17, 4),     // banks in a chip
    (18, 2),     // CAS latency 2
    (19, 1),     // CS latency 0
    (20, 1),     // write latency 0
    (27, 20),    // row precharge, ns
    (28, 15),    // row to row delay, ns
    (29, 20),    // RAS to CAS delay, ns
    (30, 45),    // RAS pulse, ns
    (32, 0x15),  // command set-up 1.5 ns
    (33, 0x08),  // command hold 0.8 ns
    (34, 0x15),  // data set-up 1.5 ns
    (35, 0x08),  // data hold 0.8 ns
    (62, 0x12),  // revision 1.2
    (126, 100),  // clock frequency, MHz
    (127, 0xf4), // features at that frequency
];

/// The ranks of memory of `size` bytes: how many, and a set of their sizes in which bit n stands for 4 MiB << n. A module
/// has up to three, each a power of two from 4 MiB to 16 GiB, no two alike.
fn ranks(size: u64) -> (u8, u16) {
    let mut sizes = 0u16;
    let mut ranks = 0;
    let mut left = size >> 22;
    while left != 0 && ranks < 3 {
        let log2 = left.ilog2().min(12);
        sizes |= 1 << log2;
        left -= 1 << log2;
        ranks += 1;
    }
    (ranks, sizes)
}

/// How much of memory of `size` bytes its SPD can tell of.
pub(crate) fn told(size: u64) -> u64 {
    u64::from(ranks(size).1) << 22
}

/// The SPD of memory of `size` bytes; of sizes that no ranks make the largest part that can be told is told.
pub(crate) fn spd(size: u64) -> [u8; LEN] {
    let mut bytes = [0; LEN];
    for (at, value) in FIXED {
        bytes[at] = value;
    }
    let (mut ranks, mut sizes) = ranks(size);
    if ranks == 1 && sizes > 1 {
        ranks = 2;
        sizes >>= 1;
    }
    // The standard reuses the low five bits: 4 to 64 MiB on SDRAM, 1 to 16 GiB on DDR2.
    let low = sizes as u8 & 0x1f;
    let high = (sizes >> 8) as u8 & 0x1f;
    let ddr2 = high != 0 || low == 0;
    bytes[TYPE] = if ddr2 { DDR2 } else { SDRAM };
    bytes[RANKS] = ranks;
    bytes[RANK_DENSITY] = sizes as u8 & 0xe0 | if ddr2 { high } else { low };
    bytes[CHECKSUM] = bytes[..CHECKSUM]
        .iter()
        .fold(0, |sum: u8, byte| sum.wrapping_add(*byte));
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_told_as_a_malta_board_tells_them() {
        for (mib, kind, ranks, density, checksum) in [
            (16, SDRAM, 2, 0x02, 0x83),
            (20, SDRAM, 2, 0x05, 0x86),
            (24, SDRAM, 2, 0x06, 0x87),
            (28, SDRAM, 3, 0x07, 0x89),
            (60, SDRAM, 3, 0x0e, 0x90),
            (256, DDR2, 2, 0x20, 0xa5),
            (512, DDR2, 2, 0x40, 0xc5),
            (1024, DDR2, 2, 0x80, 0x05),
            (1536, DDR2, 2, 0x81, 0x06),
            (2048, DDR2, 2, 0x01, 0x86),
        ] {
            let bytes = spd(mib << 20);
            assert_eq!(
                (bytes[2], bytes[5], bytes[31], bytes[63]),
                (kind, ranks, density, checksum),
                "{mib} MiB"
            );
        }
    }

    #[test]
    fn every_size_is_told_as_far_as_it_can_be() {
        for size in (0..4096).map(|n| n << 20).chain([u64::MAX, 1 << 40]) {
            let bytes = spd(size);
            let sum = bytes[..63].iter().map(|b| u32::from(*b)).sum::<u32>() as u8;
            assert_eq!(bytes[63], sum);
            assert!(bytes[5] <= 3);
            assert!(told(size) <= size && told(told(size)) == told(size));
        }
    }
}
