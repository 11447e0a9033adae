#![no_main]
//! Conversions from any text format to any other: an error or a file, never a panic.

use subs_retime::{Format, Map, convert::convert};
use timebase::{Rational, Retime};

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    let [from, to, text @ ..] = input else { return };
    let format = |n: &u8| Format::ALL[usize::from(*n) % Format::ALL.len()];
    let instants = Retime::new(Rational::new(25, 24).unwrap()).unwrap();
    let map = Map { instants, frame_rate: Rational::whole(25) };
    let _ = convert(&String::from_utf8_lossy(text), format(from), format(to), map);
});
