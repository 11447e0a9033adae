//! The YUV4MPEG2 header line. Grammar: mjpegtools' `yuv4mpeg(5)`; names of deep formats: ffmpeg's.

use crate::{ChromaLocation, ColorRange, FieldOrder, PixFmt, VideoFormat};
use timebase::Rational;

/// The first bytes of a stream.
pub(crate) const MAGIC: &[u8] = b"YUV4MPEG2";
/// The first bytes of a frame's line.
pub(crate) const FRAME: &[u8] = b"FRAME";
/// ffmpeg refuses longer headers, the newline included.
pub(crate) const MAX_WRITTEN: usize = 96;
/// Longer ones are not headers; a bound on what a torn or foreign stream can make us hold.
pub(crate) const MAX_READ: usize = 4096;

/// `C` values, their pixel formats and what they say of the siting. The first row of a format is the one written when
/// the siting is unknown.
const SPACES: [(&str, &str, Option<ChromaLocation>); 17] = [
    ("420jpeg", "yuv420p", Some(ChromaLocation::Center)),
    ("420mpeg2", "yuv420p", Some(ChromaLocation::Left)),
    ("420paldv", "yuv420p", Some(ChromaLocation::TopLeft)),
    ("420", "yuv420p", None),
    ("422", "yuv422p", None),
    ("444", "yuv444p", None),
    ("420p10", "yuv420p10le", None),
    ("422p10", "yuv422p10le", None),
    ("444p10", "yuv444p10le", None),
    ("420p12", "yuv420p12le", None),
    ("422p12", "yuv422p12le", None),
    ("444p12", "yuv444p12le", None),
    ("420p16", "yuv420p16le", None),
    ("422p16", "yuv422p16le", None),
    ("444p16", "yuv444p16le", None),
    ("420mpeg2p10", "yuv420p10le", Some(ChromaLocation::Left)),
    ("420jpegp10", "yuv420p10le", Some(ChromaLocation::Center)),
];

/// The field order of an `I` value; `Ok(None)` for unknown and mixed.
fn interlacing(value: &str) -> Result<Option<FieldOrder>, String> {
    match value {
        "p" => Ok(Some(FieldOrder::Progressive)),
        "t" => Ok(Some(FieldOrder::Tff)),
        "b" => Ok(Some(FieldOrder::Bff)),
        "?" | "m" => Ok(None),
        _ => Err(format!("unknown interlacing I{value}")),
    }
}

/// Reads a header line without its newline.
pub(crate) fn parse_header(line: &str) -> Result<VideoFormat, String> {
    let mut words = line.split(' ').filter(|w| !w.is_empty());
    if words.next() != Some("YUV4MPEG2") {
        return Err(format!("not a YUV4MPEG2 header: `{line}`"));
    }
    let (mut width, mut height, mut subsampling) = (None, None, None);
    let mut format = VideoFormat::new(0, 0, PixFmt::ALL[0]);
    for word in words {
        let bad = || format!("bad tag {word} in the YUV4MPEG2 header");
        let mut rest = word.chars();
        let tag = rest.next();
        let value = rest.as_str();
        match tag {
            Some('W') => width = Some(value.parse().map_err(|_| bad())?),
            Some('H') => height = Some(value.parse().map_err(|_| bad())?),
            // 0:0 is the specification's word for "unknown".
            Some('F') if value != "0:0" => {
                let rate: Rational = value.parse().map_err(|_| bad())?;
                format.rate = Some(rate).filter(|r| r.is_positive()).ok_or_else(bad).map(Some)?;
            }
            Some('A') if value != "0:0" => {
                let sar: Rational = value.parse().map_err(|_| bad())?;
                format.sar = Some(sar).filter(|r| r.is_positive()).ok_or_else(bad).map(Some)?;
            }
            Some('F' | 'A') => {}
            Some('I') => format.field_order = interlacing(value)?,
            Some('C') => {
                let (_, name, siting) = SPACES
                    .iter()
                    .find(|(c, ..)| *c == value)
                    .ok_or_else(|| format!("unsupported chroma C{value} in the YUV4MPEG2 header"))?;
                format.pix_fmt = PixFmt::named(name).ok_or_else(bad)?;
                format.chroma_location = *siting;
            }
            Some('X') => match value {
                "COLORRANGE=LIMITED" => format.color_range = Some(ColorRange::Limited),
                "COLORRANGE=FULL" => format.color_range = Some(ColorRange::Full),
                _ => match value.strip_prefix("YSCSS=") {
                    // ffmpeg's older spelling of `C`.
                    Some(space) => subsampling = SPACES.iter().find(|(c, ..)| c.eq_ignore_ascii_case(space)),
                    None => format.extensions.push(value.to_owned()),
                },
            },
            _ => return Err(bad()),
        }
    }
    format.chroma_location = format.chroma_location.or(subsampling.and_then(|(.., siting)| *siting));
    match (width, height) {
        (Some(w @ 1..=65536), Some(h @ 1..=65536)) => (format.width, format.height) = (w, h),
        _ => return Err(format!("no usable width and height in the YUV4MPEG2 header: `{line}`")),
    }
    Ok(format)
}

/// The field order that a `FRAME` line gives its frame (`Ixyz`, first letter), if it gives one.
pub(crate) fn parse_frame_line(line: &str) -> Result<Option<FieldOrder>, String> {
    let mut order = None;
    for word in line.split(' ').skip(1).filter(|w| !w.is_empty()) {
        if let Some(value) = word.strip_prefix('I') {
            order = match value.as_bytes().first() {
                Some(b't' | b'T') => Some(FieldOrder::Tff),
                Some(b'b' | b'B') => Some(FieldOrder::Bff),
                Some(b'1' | b'2' | b'3' | b'p') => Some(FieldOrder::Progressive),
                _ => return Err(format!("unknown presentation {word} in a FRAME line")),
            };
        }
    }
    Ok(order)
}

/// The header line with its newline, under [`MAX_WRITTEN`] bytes.
pub(crate) fn header(format: &VideoFormat) -> Result<String, String> {
    let named = |(_, name, _): &&(&str, &str, Option<ChromaLocation>)| *name == format.pix_fmt.name();
    // The deep formats have one name that ffmpeg knows; only 8-bit 4:2:0 has one for each siting.
    let sited =
        SPACES.iter().find(|(_, name, siting)| *name == "yuv420p" && *siting == format.chroma_location);
    let space = if format.pix_fmt.name() == "yuv420p" { sited } else { SPACES.iter().find(named) };
    let (space, ..) =
        space.ok_or_else(|| format!("YUV4MPEG2 cannot carry {}; ask for raw", format.pix_fmt))?;
    let pair = |r: Option<Rational>| r.map_or("0:0".to_owned(), |r| format!("{}:{}", r.num(), r.den()));
    let interlacing = match format.field_order {
        Some(FieldOrder::Progressive) => "p",
        Some(FieldOrder::Tff) => "t",
        Some(FieldOrder::Bff) => "b",
        None => "?",
    };
    let mut line = format!(
        "YUV4MPEG2 W{} H{} F{} I{interlacing} A{} C{space}",
        format.width,
        format.height,
        pair(format.rate),
        pair(format.sar)
    );
    match format.color_range {
        Some(ColorRange::Limited) => line.push_str(" XCOLORRANGE=LIMITED"),
        Some(ColorRange::Full) => line.push_str(" XCOLORRANGE=FULL"),
        None => {}
    }
    let is_deep = format.pix_fmt.bits > 8 && format.pix_fmt.subsampling() == (1, 1);
    let siting = sited.filter(|(.., siting)| is_deep && siting.is_some());
    let siting = siting.map(|(name, ..)| format!("YSCSS={}", name.to_uppercase()));
    for extension in siting.iter().chain(&format.extensions) {
        // An unknown tag is worth passing on, yet not at the price of a header that ffmpeg refuses.
        if line.len() + extension.len() + 3 <= MAX_WRITTEN {
            line.push_str(" X");
            line.push_str(extension);
        }
    }
    line.push('\n');
    if line.len() > MAX_WRITTEN {
        return Err(format!(
            "the YUV4MPEG2 header would take {} bytes; ffmpeg reads {MAX_WRITTEN}",
            line.len()
        ));
    }
    Ok(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ffmpegs_own_header_round_trips() {
        let line = "YUV4MPEG2 W720 H576 F25:1 It A64:45 C420mpeg2 XYSCSS=420MPEG2 XCOLORRANGE=LIMITED";
        let format = parse_header(line).unwrap();
        assert_eq!((format.width, format.height), (720, 576));
        assert_eq!(format.field_order, Some(FieldOrder::Tff));
        assert_eq!(format.chroma_location, Some(ChromaLocation::Left));
        assert_eq!(format.extensions, [""; 0]);
        assert_eq!(parse_header(header(&format).unwrap().trim_end()).unwrap(), format);
    }

    #[test]
    fn every_yuv_format_round_trips_and_rgb_is_refused() {
        for pix_fmt in PixFmt::ALL {
            let format = VideoFormat::new(33, 17, pix_fmt);
            match header(&format) {
                Ok(line) => assert_eq!(parse_header(line.trim_end()).unwrap().pix_fmt, pix_fmt),
                Err(e) => {
                    assert!(pix_fmt.is_rgb());
                    assert_eq!(e, format!("YUV4MPEG2 cannot carry {pix_fmt}; ask for raw"));
                }
            }
        }
    }

    /// In `C` at 8 bits, in `XYSCSS` above; whatever else the one or the other says.
    #[test]
    fn siting_is_carried() {
        use ChromaLocation::{Center, Left, TopLeft};
        for (space, siting, written) in [
            ("C420p10 XYSCSS=420JPEG", Some(Center), "C420p10 XYSCSS=420JPEG"),
            ("XYSCSS=420PALDV C420p16", Some(TopLeft), "C420p16 XYSCSS=420PALDV"),
            ("C420jpegp10", Some(Center), "C420p10 XYSCSS=420JPEG"),
            ("C420p10 XYSCSS=420P10", None, "C420p10"),
            ("C420jpeg XYSCSS=420MPEG2", Some(Center), "C420jpeg"),
            ("C420 XYSCSS=420MPEG2", Some(Left), "C420mpeg2"),
            ("C422p10 XYSCSS=422P10", None, "C422p10"),
        ] {
            let format = parse_header(&format!("YUV4MPEG2 W4 H2 {space}")).unwrap();
            assert_eq!(format.chroma_location, siting, "{space}");
            let line = format!("YUV4MPEG2 W4 H2 F0:0 I? A0:0 {written}\n");
            assert_eq!(header(&format).unwrap(), line, "{space}");
        }
    }

    #[test]
    fn long_extensions_never_break_the_limit() {
        let mut format = VideoFormat::new(720, 576, PixFmt::ALL[0]);
        format.extensions = vec!["A".repeat(60), "B=1".into()];
        let line = header(&format).unwrap();
        assert!(line.len() <= MAX_WRITTEN && line.contains(" XB=1") && !line.contains("AAA"), "{line}");
    }

    #[test]
    fn bad_headers_are_named() {
        for (line, message) in [
            (
                "YUV4MPEG2 W720 F25:1",
                "no usable width and height in the YUV4MPEG2 header: `YUV4MPEG2 W720 F25:1`",
            ),
            ("YUV4MPEG2 W720 Hx", "bad tag Hx in the YUV4MPEG2 header"),
            ("YUV4MPEG2 W7 H7 Cmono", "unsupported chroma Cmono in the YUV4MPEG2 header"),
            ("YUV4MPEG2 W7 H7 Iz", "unknown interlacing Iz"),
            ("YUV4MPEG2 W7 H7 F25:0", "bad tag F25:0 in the YUV4MPEG2 header"),
            ("YUV4MPEG2 W7 H7 Z", "bad tag Z in the YUV4MPEG2 header"),
        ] {
            assert_eq!(parse_header(line).unwrap_err(), message);
        }
    }
}
