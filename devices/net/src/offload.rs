//! What a controller does for its driver to a frame on the way out: it completes checksums, and cuts what is too long for a frame into
//! segments of TCP.

/// The longest that a driver hands over to be cut: a packet of IP, and the header.
pub const LONGEST_OFFLOADED: usize = (1 << 16) + 64;
/// A driver does not have segments cut shorter than this. Linux's are 48 bytes and more.
const SHORTEST_SEGMENT: usize = 32;

const ETHERTYPE: usize = 12;
const VLAN: [u8; 2] = [0x81, 0x00];
const TCP: u8 = 6;
const FIN: u8 = 1;
const PSH: u8 = 1 << 3;
const CWR: u8 = 1 << 7;

/// The sum of RFC 1071 over bytes, onto one that there was.
fn sum(bytes: &[u8], start: u32) -> u32 {
    let (words, rest) = bytes.as_chunks::<2>();
    let words = words
        .iter()
        .map(|word| u32::from(u16::from_be_bytes(*word)));
    let rest = rest.first().map_or(0, |byte| u32::from(*byte) << 8);
    // Frames are far too short for the sum to overflow.
    words.chain([rest]).fold(start, u32::wrapping_add)
}

fn fold(mut sum: u32) -> u16 {
    while sum >> 16 != 0 {
        sum = (sum >> 16) + (sum & 0xffff);
    }
    !(sum as u16)
}

/// Puts the checksum of `frame[start..end]` at a place of the frame, which holds what is to be added: nothing, or the sum of a pseudo
/// header. False if there is no such place.
pub fn checksum(frame: &mut [u8], start: usize, end: usize, at: usize) -> bool {
    if at < start || at + 2 > frame.len().min(end) {
        return false;
    }
    let total = fold(sum(&frame[start..end.min(frame.len())], 0));
    // All ones is the same number, and is not "no checksum" of UDP.
    let total = if total == 0 { 0xffff } else { total };
    frame[at..at + 2].copy_from_slice(&total.to_be_bytes());
    true
}

/// Where a frame's network header begins.
pub fn network_header(frame: &[u8]) -> usize {
    match frame.get(ETHERTYPE..ETHERTYPE + 2) == Some(&VLAN) {
        true => 18,
        false => 14,
    }
}

/// Cuts a frame of TCP over IPv4 or IPv6 into segments of at most `mss` bytes, each with headers of its own. `ip` and `tcp` are where
/// those begin. False, with nothing done, if that cannot be.
pub fn segment(
    frame: &[u8],
    ip: usize,
    tcp: usize,
    mss: usize,
    mut each: impl FnMut(&[u8]),
) -> bool {
    let version = frame.get(ip).map_or(0, |byte| byte >> 4);
    let least = match version {
        4 => 20,
        6 => 40,
        _ => return false,
    };
    let Some(length) = frame.get(tcp + 12).map(|byte| usize::from(byte >> 4) * 4) else {
        return false;
    };
    let headers = tcp + length;
    if tcp < ip + least || length < 20 || headers > frame.len() || mss < SHORTEST_SEGMENT {
        return false;
    }
    let (head, payload) = frame.split_at(headers);
    let number =
        |at: usize| u32::from_be_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
    let (sequence, flags) = (number(tcp + 4), head[tcp + 13]);
    let identification = u16::from_be_bytes([head[ip + 4], head[ip + 5]]);
    let pieces = payload.chunks(mss).count();
    for (n, piece) in payload.chunks(mss).enumerate() {
        let mut out = [head, piece].concat();
        let rest = out.len() - ip;
        let mut put = |at: usize, value: u16| out[at..at + 2].copy_from_slice(&value.to_be_bytes());
        if version == 4 {
            put(ip + 2, rest as u16);
            put(ip + 4, identification.wrapping_add(n as u16));
            put(ip + 10, 0);
            let header = fold(sum(&out[ip..tcp], 0));
            out[ip + 10..ip + 12].copy_from_slice(&header.to_be_bytes());
        } else {
            put(ip + 4, (rest - 40) as u16);
        }
        let sequence = sequence.wrapping_add((n * mss) as u32);
        out[tcp + 4..tcp + 8].copy_from_slice(&sequence.to_be_bytes());
        let mut without = 0;
        if n + 1 < pieces {
            without |= FIN | PSH;
        }
        if n > 0 {
            without |= CWR;
        }
        out[tcp + 13] = flags & !without;
        let addresses = match version {
            4 => ip + 12..ip + 20,
            _ => ip + 8..ip + 40,
        };
        let pseudo = sum(&out[addresses], u32::from(TCP) + (out.len() - tcp) as u32);
        out[tcp + 16..tcp + 18].copy_from_slice(&[0, 0]);
        let total = fold(sum(&out[tcp..], pseudo));
        out[tcp + 16..tcp + 18].copy_from_slice(&total.to_be_bytes());
        each(&out);
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A frame of TCP over IPv4 with so much data and no checksums.
    fn frame(data: usize) -> Vec<u8> {
        let mut frame = vec![0; 14 + 20 + 20];
        frame[12] = 8;
        frame[14] = 0x45;
        frame[18..20].copy_from_slice(&0x1234u16.to_be_bytes());
        frame[23] = TCP;
        frame[26..34].copy_from_slice(&[10, 0, 2, 15, 10, 0, 2, 2]);
        frame[38..42].copy_from_slice(&0xffff_fff0u32.to_be_bytes());
        frame[46] = 0x50;
        frame[47] = FIN | PSH | CWR | 0x10;
        frame.extend((0..data).map(|n| n as u8));
        frame
    }

    #[test]
    fn segments_hold_the_data_and_have_headers_of_their_own() {
        let whole = frame(250);
        let mut out = Vec::new();
        assert!(segment(&whole, 14, 34, 100, |piece| out.push(piece.to_vec())));
        let data: Vec<u8> = out.iter().flat_map(|piece| piece[54..].to_vec()).collect();
        assert_eq!(data, whole[54..]);
        let lengths: Vec<_> = out
            .iter()
            .map(|piece| u16::from_be_bytes([piece[16], piece[17]]))
            .collect();
        assert_eq!(lengths, [140, 140, 90]);
        let ids: Vec<_> = out.iter().map(|piece| piece[19]).collect();
        assert_eq!(ids, [0x34, 0x35, 0x36]);
        let sequences: Vec<_> = out.iter().map(|piece| piece[38..42].to_vec()).collect();
        assert_eq!(sequences[1], 0x54u32.to_be_bytes());
        let flags: Vec<_> = out.iter().map(|piece| piece[47]).collect();
        assert_eq!(flags, [CWR | 0x10, 0x10, FIN | PSH | 0x10]);
        for piece in &out {
            // A sum over what holds its own checksum is nothing.
            assert_eq!(fold(sum(&piece[14..34], 0)), 0);
            let pseudo = sum(&piece[26..34], 6 + (piece.len() - 34) as u32);
            assert_eq!(fold(sum(&piece[34..], pseudo)), 0);
        }
    }

    #[test]
    fn a_checksum_is_completed_where_there_is_a_place_for_it() {
        let mut whole = frame(101);
        let pseudo = !fold(sum(&whole[26..34], 6 + (whole.len() - 34) as u32));
        whole[50..52].copy_from_slice(&pseudo.to_be_bytes());
        let end = whole.len();
        assert!(checksum(&mut whole, 34, end, 50));
        let pseudo = sum(&whole[26..34], 6 + (whole.len() - 34) as u32);
        assert_eq!(fold(sum(&whole[34..], pseudo)), 0);
        for (start, at) in [(34, end - 1), (end, end), (1 << 16, 50), (34, 20)] {
            assert!(!checksum(&mut whole, start, end, at), "{start} {at}");
        }
    }

    #[test]
    fn what_is_no_tcp_is_not_cut() {
        let whole = frame(100);
        for (ip, tcp, mss) in [
            (14, 34, 0),
            (14, 200, 100),
            (14, 20, 100),
            (0, 34, 100),
            (1 << 20, 34, 100),
        ] {
            assert!(
                !segment(&whole, ip, tcp, mss, |_| panic!("cut")),
                "{ip} {tcp} {mss}"
            );
        }
        let mut long = whole;
        long[46] = 0xf0;
        long.truncate(80);
        assert!(!segment(&long, 14, 34, 100, |_| panic!("cut")));
    }
}
