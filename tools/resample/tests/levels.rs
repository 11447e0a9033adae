//! Every level against the portable one: the same bits, for any formats, sizes, kernels and crops, on pictures of
//! noise, of extremes and of both.

use proptest::prelude::*;
use rawstream::{ChromaLocation, ColorRange, Matrix, PixFmt};
use resample::{Converter, Dither, Kernel, Options, Picture, Rect};
use simd::{Level, Portable};

fn frame(seed: u64, picture: &Picture, extreme: bool) -> Vec<u8> {
    let mut state = seed | 1;
    let max = picture.pix_fmt.max();
    let samples = picture.pix_fmt.frame_bytes(picture.width, picture.height) / picture.pix_fmt.sample_bytes();
    let mut bytes = Vec::new();
    for _ in 0..samples {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        let value = if extreme { max * (state >> 40 & 1) as u16 } else { (state >> 32) as u16 & max };
        if picture.pix_fmt.sample_bytes() == 2 {
            bytes.extend(value.to_le_bytes());
        } else {
            bytes.push(value as u8);
        }
    }
    bytes
}

prop_compose! {
    fn pictures()(
        pix_fmt in prop::sample::select(PixFmt::ALL.to_vec()),
        width in 1usize..300,
        height in 1usize..60,
        matrix in prop::sample::select(Matrix::ALL.to_vec()),
        full in any::<bool>(),
        chroma_location in
            prop::sample::select(vec![ChromaLocation::Left, ChromaLocation::Center, ChromaLocation::TopLeft]),
    ) -> Picture {
        let range = if full { ColorRange::Full } else { ColorRange::Limited };
        Picture { width, height, pix_fmt, matrix, range, chroma_location }
    }
}

fn kernels() -> impl Strategy<Value = Kernel> {
    prop_oneof![
        (0.0..1.0f64, 0.0..1.0f64).prop_map(|(b, c)| Kernel::Bicubic { b, c }),
        Just(Kernel::Spline16),
        Just(Kernel::Spline36),
        (1u32..=16).prop_map(|taps| Kernel::Lanczos { taps }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn same_bits(
        seed in any::<u64>(),
        extreme in any::<bool>(),
        source in pictures(),
        target in pictures(),
        kernel in kernels(),
        dither in prop::sample::select(vec![Dither::None, Dither::Ordered, Dither::Error]),
        bands in 1usize..5,
        (x, y) in (0usize..40, 0usize..20),
    ) {
        // A crop that splits no chroma sample, whatever the format.
        let (x, y) = (x / 2 * 2, y / 2 * 2);
        let crop = (x < target.width && y < target.height)
            .then(|| Rect { width: target.width - x, height: target.height - y, x, y });
        let frame = frame(seed, &source, extreme);
        let convert = |level, bands| {
            let options = Options { kernel, dither, crop, bands, level };
            let (width, height) = crop.map_or((target.width, target.height), |c| (c.width, c.height));
            let mut out = vec![0; target.pix_fmt.frame_bytes(width, height)];
            let mut converter = Converter::new(source, target, &options).unwrap();
            converter.convert(&frame, &mut out);
            // A second frame finds the machine as the first one did.
            let first = out.clone();
            converter.convert(&frame, &mut out);
            assert!(first == out);
            out
        };
        let expected = convert(Level::Portable(Portable), 1);
        for level in Level::available() {
            prop_assert!(convert(level, bands) == expected, "{}, {} bands", level, bands);
        }
    }
}
