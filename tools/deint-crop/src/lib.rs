//! Interlaced anamorphic video in, progressive square-pixel cropped BT.709 video out.
//!
//! A frame is deinterlaced on its native planes ([`bwdif`]), so that fields of chroma are never mixed by a resize; then
//! `resample` scales it, crops it and converts its colours in one pass over the rows.

pub mod analyze;
pub mod bars;
pub mod bwdif;
pub mod field_orders;
mod geometry;
pub mod luma;
pub mod phase;
mod sample;

pub use geometry::{Crop, Scale, square_width};

use analyze::Analysis;
use bwdif::{Bwdif, Field, Neighbours, Task};
use clap::Parser;
use cli::{
    ColorArgs, Error, Input, InputArgs, Output, OutputArgs, Result, RunArgs, Session, ThreadArgs, Tool,
};
use field_orders::FieldOrders;
use phase::{Counts, Done, Log, Solver};
use rawstream::{ChromaLocation, ColorRange, FieldOrder, Matrix, PixFmt, VideoFormat, names};
use resample::{Converter, Dither, Kernel, Options, Picture};
use simd::Level;
use std::{io::Write, path::PathBuf};
use timebase::Rational;

/// Interlaced anamorphic video in, progressive square-pixel cropped BT.709 video out
#[derive(Parser, Clone, Debug)]
#[command(name = "deint-crop", version)]
pub struct DeintCrop {
    /// Which field came first [default: auto, what the stream says, else the top one]
    #[arg(long, value_name = "auto|tff|bff", default_value = "auto", hide_default_value = true)]
    pub field: FieldFlag,
    /// Which field came first frame by frame, as the JSON lines in FILE say [default: what the stream says]
    #[arg(long, value_name = "FILE")]
    pub field_orders: Option<PathBuf>,
    /// A frame for each frame, or for each field at twice the rate [default: frame]
    #[arg(long, value_name = "frame|field", default_value = "frame", hide_default_value = true)]
    pub mode: Mode,
    /// Which frames to deinterlace [default: all]
    #[arg(long, value_name = "all|interlaced|none", default_value = "all", hide_default_value = true)]
    pub deint: Deint,
    /// Size to scale to; sar: to square pixels [default: sar where the pixel aspect is known, else none]
    #[arg(long, value_name = "WxH|sar|none")]
    pub scale: Option<Scale>,
    /// Pixel aspect of the input [default: the header's]
    #[arg(long, value_name = "N:D", value_parser = parse_sar)]
    pub sar: Option<Rational>,
    /// Kernel of the scaling: bicubic[:B:C], spline16, spline36 or lanczos[:TAPS] [default: bicubic]
    #[arg(long, value_name = "KERNEL", default_value = "bicubic", hide_default_value = true)]
    pub kernel: Kernel,
    /// The part of the scaled picture to keep [default: none, all of it]
    #[arg(long, value_name = "W:H:X:Y|none", default_value = "none", hide_default_value = true)]
    pub crop: Crop,
    /// Pair the fields of film that is a field out of phase anew, and deinterlace only what fits nowhere [default: off]
    #[arg(long, value_name = "off|auto", default_value = "off", hide_default_value = true)]
    pub field_phase: FieldPhase,
    /// Write a JSON line about every frame that --field-phase decides on to FILE
    #[arg(long, value_name = "FILE")]
    pub log: Option<PathBuf>,
    /// Print, as JSON, what the frames show of fields, bars, pixel aspect and range instead of them
    #[arg(long, conflicts_with_all = ["field", "field_orders", "mode", "deint", "kernel", "crop", "field_phase", "log", "matrix_in",
        "matrix", "range_in", "range", "chromaloc_in", "chromaloc", "out_pix_fmt", "format"])]
    pub analyze: bool,
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

/// `--field`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FieldFlag {
    /// What the stream says of each frame.
    Auto,
    /// This one, whatever the stream says.
    First(Field),
}

names!(FieldFlag, "there are auto, tff and bff":
    "auto" => Auto,
    "tff" => First(Field::Top),
    "bff" => First(Field::Bottom),
);

/// `--mode`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// One frame per frame.
    Frame,
    /// One frame per field.
    Field,
}

names!(Mode, "there are frame and field": "frame" => Frame, "field" => Field);

/// `--deint`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deint {
    /// Every frame.
    All,
    /// Frames that are not said to be progressive.
    Interlaced,
    /// No frame.
    None,
}

names!(Deint, "there are all, interlaced and none":
    "all" => All,
    "interlaced" => Interlaced,
    "none" => None,
);

/// `--field-phase`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FieldPhase {
    /// Frames are what they are.
    Off,
    /// Frames are paired anew where that is right.
    Auto,
}

names!(FieldPhase, "there are off and auto": "off" => Off, "auto" => Auto);

fn parse_sar(text: &str) -> std::result::Result<Rational, String> {
    let sar: Rational = text.parse().map_err(|e: timebase::ParseRationalError| e.to_string())?;
    if sar.is_positive() { Ok(sar) } else { Err("a pixel aspect is above zero".into()) }
}

impl Tool for DeintCrop {
    const NAME: &'static str = "deint-crop";

    fn run_args(&self) -> &RunArgs {
        &self.run
    }

    fn run(self, session: &Session) -> Result<()> {
        if self.mode == Mode::Field && self.deint == Deint::None {
            return Err(Error::usage("--mode field", "needs deinterlacing, and --deint is none"));
        }
        if self.field_phase == FieldPhase::Auto && (self.mode, self.deint) != (Mode::Frame, Deint::All) {
            return Err(Error::usage(
                "--field-phase auto",
                "decides itself what to deinterlace, one frame for each",
            ));
        }
        if self.log.is_some() && self.field_phase == FieldPhase::Off {
            return Err(Error::usage("--log", "is about --field-phase auto, which is off"));
        }
        if self.field_orders.is_some() && self.field != FieldFlag::Auto {
            let why = format!("says it of each frame, and --field {} of all", self.field);
            return Err(Error::usage("--field-orders", why));
        }
        if self.field_orders.is_some() && self.deint == Deint::None {
            return Err(Error::usage("--field-orders", "is about deinterlacing, and --deint is none"));
        }
        let list = self.field_orders.as_deref().map(FieldOrders::read).transpose()?;
        let input = Input::open(session, &self.input)?;
        let format = input.format().clone();
        let shape = self.shape(session, &format)?;
        if self.analyze {
            return self.analyze(session, input, &shape);
        }
        let container = self.output.container(input.container(), shape.target.pix_fmt);
        let options = Options {
            kernel: self.kernel,
            dither: Dither::None,
            crop: self.crop.0,
            bands: self.threads.count(),
            level: Level::best(),
        };
        let stage = Stage::new(&self, &shape, &options)?;
        let orders = Orders::new(&self, list, session);
        self.settings(session, &shape);
        let output = Output::begin(session, container, &shape.written, 1)?;
        self.pool()?.install(|| self.flow(session, input.ahead()?, output, stage, orders))
    }
}

/// What the picture is, and what it is to be.
struct Shape {
    source: Picture,
    /// Scaled, not yet cropped.
    target: Picture,
    /// What the output stream says of itself.
    written: VideoFormat,
}

impl DeintCrop {
    fn shape(&self, session: &Session, format: &VideoFormat) -> Result<Shape> {
        let pix_fmt = match self.output.out_pix_fmt {
            Some(pix_fmt) => pix_fmt,
            None => PixFmt::named("rgb48le").unwrap_or(format.pix_fmt),
        };
        if let (Some(declared), Some(header)) = (self.sar, format.sar)
            && declared != header
        {
            let header = format!("{}:{}", header.num(), header.den());
            return Err(Error::usage("--sar", format!("contradicts the header, which says {header}")));
        }
        let sar = self.sar.or(format.sar);
        let (width, height) = match (self.scale, sar) {
            (Some(Scale::To(size)), _) => (size.width, size.height),
            (Some(Scale::Sar) | None, Some(sar)) => (square_width(format.width, sar), format.height),
            (Some(Scale::Sar), None) => {
                return Err(Error::usage(
                    "--scale sar",
                    "the input does not say its pixel aspect; --sar N:D can",
                ));
            }
            (Some(Scale::None), _) => (format.width, format.height),
            (None, None) => {
                session.note(
                    "the input does not say its pixel aspect, so it is not scaled; --sar or --scale can",
                );
                (format.width, format.height)
            }
        };
        // With nothing to scale, crop or convert the samples are not to be touched either, unless a flag says so.
        let same = (width, height) == (format.width, format.height)
            && pix_fmt == format.pix_fmt
            && self.crop.0.is_none();
        let source = Picture {
            width: format.width,
            height: format.height,
            pix_fmt: format.pix_fmt,
            matrix: self.color.matrix_in.unwrap_or(Matrix::Bt470bg),
            range: self.color.range_in.or(format.color_range).unwrap_or(ColorRange::Limited),
            chroma_location: self
                .color
                .chromaloc_in
                .or(format.chroma_location)
                .unwrap_or(ChromaLocation::Left),
        };
        let hd = Picture {
            matrix: Matrix::Bt709,
            range: ColorRange::Limited,
            chroma_location: ChromaLocation::Left,
            ..source
        };
        let default = if same { source } else { hd };
        let target = Picture {
            width,
            height,
            pix_fmt,
            matrix: self.color.matrix.unwrap_or(default.matrix),
            range: self.color.range.unwrap_or(default.range),
            chroma_location: self.color.chromaloc.unwrap_or(default.chroma_location),
        };
        let twice = if self.mode == Mode::Field { 2 } else { 1 };
        let mut written = format.clone();
        (written.width, written.height) = self.crop.0.map_or((width, height), |c| (c.width, c.height));
        written.pix_fmt = pix_fmt;
        written.rate = format.rate.and_then(|r| r.checked_mul(Rational::whole(twice)));
        let stretch = Rational::new((format.width * height) as i64, (width * format.height) as i64);
        written.sar = match (self.scale, sar) {
            (Some(Scale::Sar) | None, Some(_)) => Some(Rational::whole(1)),
            (_, sar) => sar.zip(stretch).and_then(|(sar, stretch)| sar.checked_mul(stretch)),
        };
        if self.deint != Deint::None {
            written.field_order = Some(FieldOrder::Progressive);
        }
        written.color_range = Some(if pix_fmt.is_rgb() { ColorRange::Full } else { target.range });
        written.chroma_location = Some(target.chroma_location);
        let written = written.bounded().map_err(|e| Error::usage("<stdout>", e))?;
        Ok(Shape { source, target, written })
    }

    fn analyze(&self, session: &Session, input: Input<'_>, shape: &Shape) -> Result<()> {
        let mut analysis = Analysis::new(input.format())
            .ok_or_else(|| Error::usage("--analyze", "needs YUV; RGB says nothing of how it was coded"))?;
        let verdict = self.pool()?.install(|| -> Result<_> {
            let mut input = input.ahead()?;
            let emit = self.output.emit();
            let (mut frame, mut next) = (Vec::new(), Vec::new());
            let mut more = emit.frames != Some(0) && input.read(&mut frame)?;
            let mut n = 0;
            while more && emit.end().is_none_or(|end| n < end) {
                more = input.read(&mut next)?;
                if emit.contains(n) {
                    analysis.add(&frame, more.then_some(&next));
                }
                std::mem::swap(&mut frame, &mut next);
                n += 1;
            }
            emit.check(n)?;
            Ok(analysis.verdict((shape.target.width, shape.target.height)))
        })?;
        session.fact("analysis", verdict.clone());
        let mut out = std::io::stdout().lock();
        writeln!(out, "{verdict:#}").and_then(|()| out.flush()).map_err(|e| Error::stdout(&e))
    }

    fn pool(&self) -> Result<rayon::ThreadPool> {
        rayon::ThreadPoolBuilder::new()
            .num_threads(self.threads.count())
            .build()
            .map_err(|e| Error::failed("threads", e))
    }

    fn settings(&self, session: &Session, shape: &Shape) {
        session.setting("width", shape.written.width);
        session.setting("height", shape.written.height);
        session.setting("pix_fmt", shape.target.pix_fmt.name());
        session.setting("scale", format!("{}x{}", shape.target.width, shape.target.height));
        session.setting("crop", self.crop.to_string());
        session.setting("kernel", self.kernel.to_string());
        if !shape.source.pix_fmt.is_rgb() {
            session.setting("matrix_in", shape.source.matrix.to_string());
            session.setting("range_in", shape.source.range.to_string());
        }
        if !shape.target.pix_fmt.is_rgb() {
            session.setting("color_space", shape.target.matrix.to_string());
            session.setting("color_range", shape.target.range.to_string());
            session.setting("chroma_location", shape.target.chroma_location.to_string());
        }
        if let Some(rate) = shape.written.rate {
            session.setting("r_frame_rate", rate.fraction());
        }
    }

    /// Reads, deinterlaces, converts and writes until the input ends or `--frames` are done.
    fn flow(
        &self,
        session: &Session,
        mut input: Input<'_>,
        mut output: Output<'_>,
        mut stage: Stage,
        mut orders: Orders<'_>,
    ) -> Result<()> {
        let emit = self.output.emit();
        let fields = if self.mode == Mode::Field { 2 } else { 1 };
        if let Some(frames) = self.output.frames {
            session.expect(frames * fields);
        }
        let mut solver = match self.field_phase {
            FieldPhase::Off => None,
            FieldPhase::Auto => Some(Solver::new(input.format()).ok_or_else(|| {
                Error::usage("--field-phase auto", "needs YUV; RGB has no luma to compare fields by")
            })?),
        };
        let mut log = self.log.as_deref().map(Log::create).transpose()?;
        let mut counts = Counts::default();
        // The frame before, this one, and the one after.
        let (mut previous, mut current, mut next) = (Vec::new(), Vec::new(), Vec::new());
        let mut more = emit.frames != Some(0) && input.read(&mut current)?;
        let mut order = orders.of(0, &input);
        // Has any frame been deinterlaced yet? ffmpeg does not look at the time axis for the first one.
        let mut begun = false;
        let mut n = 0;
        while more && emit.end().is_none_or(|end| n < end) {
            let ahead = input.read(&mut next);
            more = matches!(ahead, Ok(true));
            if ahead.is_err() && self.input.expect_frames.is_some() {
                // The film goes on where this stream broke off: its last frame lacks its neighbour.
                return ahead.map(drop);
            }
            let next_order = if more { orders.of(n + 1, &input) } else { order };
            let touched = match self.deint {
                Deint::All => true,
                Deint::Interlaced => order.interlaced,
                Deint::None => false,
            };
            // Every frame is looked at, emitted or not: those that show nothing go with the ones before them.
            // Where the order changes, another film begins, whose fields are none of this one's.
            let pair = (more && !next_order.changes).then_some(&*next);
            let decision = solver.as_mut().map(|s| {
                if order.changes {
                    s.begin();
                }
                s.decide(&current, pair)
            });
            if emit.contains(n) {
                let mut around = Neighbours {
                    previous: if n > 0 { &previous } else { &current },
                    current: &current,
                    next: if more { &next } else { &current },
                };
                for second in [false, true].into_iter().take(fields as usize) {
                    let keep = if second { order.first.other() } else { order.first };
                    // The second field of the last frame has no neighbour after it.
                    let alone = if second { !more } else { !begun && more };
                    let mut task = touched.then_some(Task { keep, second, alone });
                    if let (Some(solver), Some(decision)) = (&solver, decision) {
                        counts.add(decision.done);
                        match decision.done {
                            Done::Kept => task = None,
                            Done::TopWithNext | Done::BottomWithNext => {
                                (around.current, task) = (&solver.woven, None)
                            }
                            Done::Deinterlaced => {
                                let keep = decision.keep.unwrap_or(keep);
                                task = Some(Task { keep, second: keep != order.first, alone: false });
                            }
                        }
                        if let Some(log) = &mut log {
                            log.line(&decision.line(n))?;
                        }
                    }
                    stage.make(around, task);
                    output.pass(&mut stage.out)?;
                }
            }
            ahead?;
            begun |= touched;
            std::mem::swap(&mut previous, &mut current);
            std::mem::swap(&mut current, &mut next);
            order = next_order;
            n += 1;
        }
        output.finish()?;
        if solver.is_some() {
            session.fact("field_phase", counts.value());
        }
        if let Some(log) = log {
            log.finish()?;
        }
        emit.check(n)
    }
}

/// What is known of a frame's fields.
#[derive(Clone, Copy)]
struct Order {
    first: Field,
    interlaced: bool,
    /// It is another one than that of the interlaced frame before it.
    changes: bool,
}

/// Decides the field order of each frame, with a note, once, where neither flag nor list nor stream gives it.
struct Orders<'a> {
    flag: FieldFlag,
    list: Option<FieldOrders>,
    session: &'a Session,
    /// The note is not needed, or was given.
    said: bool,
    /// The first field of the interlaced frame seen last.
    last: Option<Field>,
}

impl<'a> Orders<'a> {
    fn new(args: &DeintCrop, list: Option<FieldOrders>, session: &'a Session) -> Self {
        // Frames that are left alone need no order.
        let said = args.deint == Deint::None || (list.is_some() && args.deint == Deint::Interlaced);
        Self { flag: args.field, list, session, said, last: None }
    }

    /// That of frame `n`, which was read last.
    fn of(&mut self, n: u64, input: &Input<'_>) -> Order {
        let declared = match &self.list {
            Some(list) => Some(list.of(n)),
            None => input.field_order(),
        };
        let first = match (self.flag, declared) {
            (FieldFlag::First(field), _) => field,
            (FieldFlag::Auto, Some(FieldOrder::Tff)) => Field::Top,
            (FieldFlag::Auto, Some(FieldOrder::Bff)) => Field::Bottom,
            (FieldFlag::Auto, unknown) => {
                if !std::mem::replace(&mut self.said, true) {
                    let why = match (&self.list, unknown) {
                        (Some(_), _) => format!("frame {n} is said to be progressive, where"),
                        (None, Some(_)) => "the input is said to be progressive:".into(),
                        (None, None) => "the input does not say its field order:".into(),
                    };
                    self.session.note(format_args!("{why} the top field is taken as the first"));
                }
                Field::Top
            }
        };
        let interlaced = match declared {
            Some(order) => order != FieldOrder::Progressive,
            None => self.flag != FieldFlag::Auto,
        };
        let changes = interlaced && self.last.is_some_and(|last| last != first);
        if interlaced {
            self.last = Some(first);
        }
        Order { first, interlaced, changes }
    }
}

/// Makes output frames from input frames.
struct Stage {
    bwdif: Option<Bwdif>,
    converter: Option<Converter>,
    /// The deinterlaced frame, not yet converted.
    progressive: Vec<u8>,
    /// The frame made last.
    out: Vec<u8>,
    source: Picture,
}

impl Stage {
    fn new(args: &DeintCrop, shape: &Shape, options: &Options) -> Result<Self> {
        let Shape { source, target, written } = shape;
        let bwdif = match args.deint {
            Deint::None => None,
            _ => Some(
                Bwdif::new(source.pix_fmt, source.width, source.height, options.level)
                    .map_err(|e| Error::usage("<stdin>", e))?,
            ),
        };
        let unchanged = source == target && options.crop.is_none();
        let converter = if unchanged {
            None
        } else {
            Some(Converter::new(*source, *target, options).map_err(|e| Error::usage("--crop", e))?)
        };
        let frame_bytes = source.pix_fmt.frame_bytes(source.width, source.height);
        Ok(Self {
            bwdif,
            converter,
            progressive: vec![0; frame_bytes],
            out: vec![0; written.frame_bytes()],
            source: *source,
        })
    }

    /// Makes `self.out` from the current frame: deinterlaced as `task` says, or as it is.
    fn make(&mut self, around: Neighbours<'_>, task: Option<Task>) {
        let source = self.source;
        let all = |plane| 0..source.pix_fmt.plane_size(source.width, source.height, plane).1;
        match (&mut self.converter, &self.bwdif, task) {
            (Some(converter), Some(bwdif), Some(task)) => {
                bwdif.deinterlace(around, task, |plane| converter.source_rows(plane), &mut self.progressive);
                converter.convert(&self.progressive, &mut self.out);
            }
            (Some(converter), ..) => converter.convert(around.current, &mut self.out),
            (None, Some(bwdif), Some(task)) => bwdif.deinterlace(around, task, all, &mut self.out),
            (None, ..) => self.out.copy_from_slice(around.current),
        }
    }
}
