//! Integer instructions, branches and delay slots.

use super::{CODE, NOP, Rig, i, r};

#[test]
fn a_loop_sums() {
    let mut rig = Rig::new(|_| ());
    rig.put(
        CODE,
        &[
            i(0x09, 0, 8, 10),
            r(0x21, 9, 8, 9, 0),
            i(0x09, 8, 8, 0xffff),
            i(0x05, 8, 0, 0xfffd),
            NOP,
            i(0x04, 0, 0, 0xffff),
            NOP,
        ],
    );
    rig.run(200);
    assert_eq!(rig.get(9), 55);
    assert_eq!(rig.pc(), CODE + 20);
    assert_eq!(
        rig.bench.around.now, 201,
        "a branch and its slot may be one too many"
    );
}
