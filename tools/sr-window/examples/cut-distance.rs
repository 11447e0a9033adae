//! Prints the cut distance between every frame and the next of raw rgb24 on standard input: what the threshold was
//! set by. `cut-distance WIDTH HEIGHT < frames`

use rawstream::RgbFmt;
use sr_window::cut::Signature;
use std::io::Read;

fn main() {
    let sizes: Vec<usize> = std::env::args().skip(1).filter_map(|a| a.parse().ok()).collect();
    let [width, height] = sizes[..] else { panic!("usage: cut-distance WIDTH HEIGHT < rgb24") };
    let pix_fmt = RgbFmt::named("rgb24").expect("a format of ours");
    let mut frame = vec![0; pix_fmt.frame_bytes(width, height)];
    let mut before: Option<Signature> = None;
    let mut n = 0;
    while std::io::stdin().read_exact(&mut frame).is_ok() {
        let signature = Signature::of(&frame, width, height, pix_fmt);
        if let Some(before) = &before {
            println!("{n} {:.4}", signature.distance(before));
        }
        before = Some(signature);
        n += 1;
    }
}
