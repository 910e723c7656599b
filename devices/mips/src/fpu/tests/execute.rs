//! Runs an instruction by its name.

use crate::fpu::*;

/// What an instruction does: its result (for C.cond, condition code 0) unless it traps, and FCSR.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Effect {
    pub result: Option<u64>,
    pub fcsr: u32,
}

/// The names that [`execute`] knows, except the compares, with spaces between.
pub const NAMES: &str = "\
    add_s add_d sub_s sub_d mul_s mul_d div_s div_d sqrt_s sqrt_d recip_s recip_d rsqrt_s rsqrt_d \
    abs_s abs_d neg_s neg_d madd_s madd_d msub_s msub_d nmadd_s nmadd_d nmsub_s nmsub_d round_w_s \
    round_w_d round_l_s round_l_d trunc_w_s trunc_w_d trunc_l_s trunc_l_d ceil_w_s ceil_w_d \
    ceil_l_s ceil_l_d floor_w_s floor_w_d floor_l_s floor_l_d cvt_w_s cvt_w_d cvt_l_s cvt_l_d \
    cvt_s_d cvt_d_s cvt_s_w cvt_d_w cvt_s_l cvt_d_l";

/// Runs `op`, such as `add_d`, or `c12_s` for C.LT.S. Operands are in the order `fs`, `ft`, `fr`;
/// of those of formats S and W the low 32 bits count.
pub fn execute(op: &str, fcsr: u32, fs: u64, ft: u64, fr: u64) -> Effect {
    let mut fcsr = Fcsr(fcsr);
    let result = run(op, &mut fcsr, fs, ft, fr);
    Effect {
        result: result.ok(),
        fcsr: fcsr.0,
    }
}

fn run(op: &str, fcsr: &mut Fcsr, fs: u64, ft: u64, fr: u64) -> Result<u64, FpTrap> {
    if let Some((cond, format)) = op.strip_prefix('c').and_then(|rest| rest.split_once('_'))
        && let Ok(cond) = cond.parse()
    {
        match format {
            "s" => c_cond_s(fcsr, cond, 0, fs as u32, ft as u32)?,
            _ => c_cond_d(fcsr, cond, 0, fs, ft)?,
        }
        return Ok(fcsr.cc(0).into());
    }
    macro_rules! dispatch {
        ($($name:ident($($operand:expr),+)),+ $(,)?) => {
            match op {
                $(stringify!($name) => $name(fcsr, $($operand),+).map(u64::from),)+
                _ => panic!("no instruction {op}"),
            }
        };
    }
    let (s, t, r) = (fs as u32, ft as u32, fr as u32);
    dispatch!(
        add_s(s, t),
        add_d(fs, ft),
        sub_s(s, t),
        sub_d(fs, ft),
        mul_s(s, t),
        mul_d(fs, ft),
        div_s(s, t),
        div_d(fs, ft),
        sqrt_s(s),
        sqrt_d(fs),
        recip_s(s),
        recip_d(fs),
        rsqrt_s(s),
        rsqrt_d(fs),
        abs_s(s),
        abs_d(fs),
        neg_s(s),
        neg_d(fs),
        madd_s(r, s, t),
        madd_d(fr, fs, ft),
        msub_s(r, s, t),
        msub_d(fr, fs, ft),
        nmadd_s(r, s, t),
        nmadd_d(fr, fs, ft),
        nmsub_s(r, s, t),
        nmsub_d(fr, fs, ft),
        round_w_s(s),
        round_w_d(fs),
        round_l_s(s),
        round_l_d(fs),
        trunc_w_s(s),
        trunc_w_d(fs),
        trunc_l_s(s),
        trunc_l_d(fs),
        ceil_w_s(s),
        ceil_w_d(fs),
        ceil_l_s(s),
        ceil_l_d(fs),
        floor_w_s(s),
        floor_w_d(fs),
        floor_l_s(s),
        floor_l_d(fs),
        cvt_w_s(s),
        cvt_w_d(fs),
        cvt_l_s(s),
        cvt_l_d(fs),
        cvt_s_d(fs),
        cvt_d_s(s),
        cvt_s_w(s),
        cvt_d_w(s),
        cvt_s_l(fs),
        cvt_d_l(fs),
    )
}
