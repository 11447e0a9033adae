//! Writes frames that come from a formula to standard output, a few and there and back again, as `rgb48le`, for benches:
//! `formula-frames WxH COUNT`.

use basicvsrpp::formula;
use std::io::{self, Write};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let usage = "usage: formula-frames WxH COUNT";
    let [size, count] = &std::env::args().skip(1).collect::<Vec<_>>()[..] else { return Err(usage.into()) };
    let (width, height) = size.split_once('x').ok_or(usage)?;
    let frames = formula::film(width.parse()?, height.parse()?, count.parse()?);
    let mut out = io::stdout().lock();
    frames.iter().try_for_each(|frame| out.write_all(frame))?;
    Ok(())
}
