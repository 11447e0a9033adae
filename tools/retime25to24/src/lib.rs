//! The same frames on a slower clock, resized for the final encode.
//!
//! Every frame that comes in goes out: only the rate that the stream says of itself changes. `resample` does the rest in
//! one pass over the rows. [`map`] holds the time map that audio, subtitles and chapters must follow.

pub mod map;

use clap::Parser;
use cli::{
    ColorArgs, Error, Input, InputArgs, Output, OutputArgs, Result, RunArgs, Session, Size, ThreadArgs, Tool,
    parse_rate,
};
use rawstream::{ChromaLocation, ColorRange, FieldOrder, Matrix, PixFmt, VideoFormat};
use resample::{Converter, Dither, Kernel, Options, Picture};
use simd::Level;
use timebase::{Rational, Spoken};

/// The same frames on a slower clock, resized for the final encode
#[derive(Parser, Clone, Debug)]
#[command(name = "retime25to24", version)]
pub struct Retime25To24 {
    /// Frames a second that come in [default: 25]
    #[arg(long, value_name = "N[/D]", default_value = "25", hide_default_value = true, value_parser = parse_rate)]
    from: Spoken,
    /// Frames a second that go out [default: 24]
    #[arg(long, value_name = "N[/D]", default_value = "24", hide_default_value = true, value_parser = parse_rate)]
    to: Spoken,
    /// Height to scale to; the width follows, even
    #[arg(long, value_name = "ROWS", conflicts_with = "scale", value_parser = clap::value_parser!(u32).range(1..=65536))]
    height: Option<u32>,
    /// Size to scale to
    #[arg(long, value_name = "WxH")]
    scale: Option<Size>,
    /// Kernel of the scaling: bicubic[:B:C], spline16, spline36 or lanczos[:TAPS] [default: lanczos]
    #[arg(long, value_name = "KERNEL", default_value = "lanczos", hide_default_value = true)]
    kernel: Kernel,
    /// Rounding to fewer bits [default: ordered]
    #[arg(long, value_name = "none|ordered|error", default_value = "ordered", hide_default_value = true)]
    dither: Dither,
    /// Read what ffprobe says of the film instead of frames, and print its time map as JSON
    #[arg(long, conflicts_with_all = ["height", "scale", "kernel", "dither", "matrix_in", "matrix", "range_in", "range",
        "chromaloc_in", "chromaloc", "size", "pix_fmt", "rate", "expect_frames", "out_pix_fmt", "format", "threads"])]
    map: bool,
    #[command(flatten)]
    color: ColorArgs,
    #[command(flatten)]
    input: InputArgs,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    threads: ThreadArgs,
    #[command(flatten)]
    run: RunArgs,
}

impl Tool for Retime25To24 {
    const NAME: &'static str = "retime25to24";

    fn run_args(&self) -> &RunArgs {
        &self.run
    }

    fn run(self, session: &Session) -> Result<()> {
        for (flag, rate) in [("--from", &self.from), ("--to", &self.to)] {
            if let Some(note) = &rate.note {
                session.note(format_args!("{flag}: {note}"));
            }
        }
        let (from, to) = (self.from.value, self.to.value);
        if self.map {
            return map::run(session, from, to, self.output.emit());
        }
        let input = Input::open(session, &self.input)?;
        let format = input.format().clone();
        if let Some(rate) = format.rate.filter(|&rate| rate != from) {
            return Err(Error::usage("--from", format!("{from}: the input has {rate} frames a second")));
        }
        let (source, target) = self.pictures(&format)?;
        let written = written(&format, &target, to).bounded().map_err(|e| Error::usage("<stdout>", e))?;
        let container = self.output.container(input.container(), target.pix_fmt);
        let threads = self.threads.count();
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .build()
            .map_err(|e| Error::failed("threads", e))?;
        let options = Options {
            kernel: self.kernel,
            dither: self.dither,
            crop: None,
            bands: threads,
            level: Level::best(),
        };
        let converter = if source == target {
            None
        } else {
            Some(Converter::new(source, target, &options).map_err(|e| Error::usage("--scale", e))?)
        };
        session.setting("width", target.width);
        session.setting("height", target.height);
        session.setting("pix_fmt", target.pix_fmt.name());
        session.setting("from", from.fraction());
        session.setting("r_frame_rate", to.fraction());
        session.setting("kernel", self.kernel.to_string());
        session.setting("dither", self.dither.to_string());
        if !target.pix_fmt.is_rgb() {
            session.setting("color_space", target.matrix.to_string());
            session.setting("color_range", target.range.to_string());
            session.setting("chroma_location", target.chroma_location.to_string());
        }
        let output = Output::begin(session, container, &written, 1)?;
        pool.install(|| self.flow(session, input.ahead()?, output, converter, written.frame_bytes()))
    }
}

impl Retime25To24 {
    /// What comes in and what goes out.
    fn pictures(&self, format: &VideoFormat) -> Result<(Picture, Picture)> {
        let (width, height) = match (self.scale, self.height) {
            (Some(size), _) => (size.width, size.height),
            (None, Some(height)) => {
                (even_width(format.width, format.height, height as usize), height as usize)
            }
            (None, None) => (format.width, format.height),
        };
        let pix_fmt = match self.output.out_pix_fmt {
            Some(pix_fmt) => pix_fmt,
            None => PixFmt::named("yuv420p10le").unwrap_or(format.pix_fmt),
        };
        let source = Picture {
            width: format.width,
            height: format.height,
            pix_fmt: format.pix_fmt,
            matrix: self.color.matrix_in.unwrap_or(Matrix::Bt709),
            range: self.color.range_in.or(format.color_range).unwrap_or(ColorRange::Limited),
            chroma_location: self
                .color
                .chromaloc_in
                .or(format.chroma_location)
                .unwrap_or(ChromaLocation::Left),
        };
        let target = Picture {
            width,
            height,
            pix_fmt,
            matrix: self.color.matrix.unwrap_or(Matrix::Bt709),
            range: self.color.range.unwrap_or(ColorRange::Limited),
            chroma_location: self.color.chromaloc.unwrap_or(ChromaLocation::Left),
        };
        Ok((source, target))
    }

    fn flow(
        &self,
        session: &Session,
        mut input: Input<'_>,
        mut output: Output<'_>,
        mut converter: Option<Converter>,
        frame_bytes: usize,
    ) -> Result<()> {
        let emit = self.output.emit();
        if let Some(frames) = self.output.frames {
            session.expect(frames);
        }
        let (mut frame, mut out) = (Vec::new(), vec![0; frame_bytes]);
        let mut n = 0;
        while emit.end().is_none_or(|end| n < end) && input.read(&mut frame)? {
            if emit.contains(n) {
                match &mut converter {
                    Some(converter) => {
                        converter.convert(&frame, &mut out);
                        output.pass(&mut out)?;
                    }
                    None => output.pass(&mut frame)?,
                }
            }
            n += 1;
        }
        output.finish()?;
        emit.check(n)
    }
}

/// The width that keeps the shape of `width` x `height` at `rows` rows, to the nearest even number.
pub fn even_width(width: usize, height: usize, rows: usize) -> usize {
    let (num, den) = (width * rows, height * 2);
    ((2 * num + den) / (2 * den) * 2).clamp(2, 65536)
}

/// What the output stream says of itself.
fn written(format: &VideoFormat, target: &Picture, rate: Rational) -> VideoFormat {
    let stretch = Rational::new((format.width * target.height) as i64, (target.width * format.height) as i64);
    // Square pixels stay square: an even width is the nearest one, not another aspect.
    let keeps_shape = target.width == even_width(format.width, format.height, target.height);
    let sar = match format.sar {
        Some(sar) if !keeps_shape => stretch.and_then(|stretch| sar.checked_mul(stretch)),
        sar => sar,
    };
    VideoFormat {
        width: target.width,
        height: target.height,
        pix_fmt: target.pix_fmt,
        rate: Some(rate),
        sar,
        field_order: Some(format.field_order.unwrap_or(FieldOrder::Progressive)),
        color_range: Some(if target.pix_fmt.is_rgb() { ColorRange::Full } else { target.range }),
        chroma_location: Some(target.chroma_location),
        extensions: format.extensions.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn widths_are_even_and_keep_the_shape() {
        assert_eq!(even_width(4096, 1728, 1440), 3414); // 3413.33: 3414 is nearer than 3412
        assert_eq!(even_width(4096, 2304, 1440), 2560);
        assert_eq!(even_width(1920, 1080, 1440), 2560);
        assert_eq!(even_width(3, 1000, 10), 2);
    }
}
