//! The shape of pictures as MPEG-2 has it. Each sequence header says it anew; a container such as Matroska says it once, and
//! ffprobe shows what the container says, so that a change would not be seen.

use crate::{
    probe::Stream,
    program::{Program, file},
};
use cli::Result;
use std::path::Path;

/// From a tick of the stream's clock on, pictures are of this shape.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Shape {
    /// Tick of the first picture behind the header.
    pub from: i64,
    /// `aspect_ratio_information` (ISO/IEC 13818-2, table 6-3).
    pub code: u8,
}

impl Shape {
    /// That of a whole picture, `16:9`. Code 1 is square pixels.
    pub fn display_aspect_ratio(self) -> &'static str {
        match self.code {
            2 => "4:3",
            3 => "16:9",
            4 => "221:100",
            _ => "square pixels",
        }
    }
}

/// Where the sequence headers of `video` say another shape than the one before; none where all say the same, or where it is no
/// MPEG-2. Nothing is decoded: of each packet only a sequence header is looked at.
///
/// Errors: ffmpeg cannot read it.
pub(super) fn shapes(path: &Path, video: &Stream) -> Result<Vec<Shape>> {
    if video.codec() != "mpeg2video" {
        return Ok(Vec::new());
    }
    let ffmpeg = Program::new("ffmpeg").about(format_args!("{}: pictures", path.display()));
    let ffmpeg = ffmpeg.args(["-hide_banner", "-nostdin", "-nostats", "-loglevel", "info", "-copyts", "-i"]);
    let map = format!("0:{}", video.index);
    // 179 is sequence_header_code.
    let headers = ["-c", "copy", "-bsf", "filter_units=pass_types=179,trace_headers", "-f", "null", "-"];
    let (mut shapes, mut from) = (Vec::new(), None);
    ffmpeg.arg(file(path)).args(["-map", &map]).args(headers).listen(|line| {
        let (at, code) = told(line);
        from = at.or(from);
        if let (Some(code), Some(from)) = (code, from)
            && shapes.last().is_none_or(|last: &Shape| last.code != code)
        {
            shapes.push(Shape { from, code });
        }
    })?;
    shapes.truncate(if shapes.len() > 1 { shapes.len() } else { 0 });
    Ok(shapes)
}

/// What a line of ffmpeg's `trace_headers` says: when a packet's picture is shown, or of which shape it is.
fn told(line: &str) -> (Option<i64>, Option<u8>) {
    let at = line.split_once("] Packet: ").and_then(|(_, packet)| {
        let (_, rest) = packet.split_once(" pts ")?;
        rest.split(',').next()?.parse().ok()
    });
    let code = line.split_once(" aspect_ratio_information ").and_then(|(_, rest)| {
        let (_, code) = rest.split_once("= ")?;
        code.trim().parse().ok()
    });
    (at, code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_ffmpeg() {
        let packet = "[trace_headers @ 0x5580] Packet: 12 bytes, key frame, pts 3045, dts -35, duration 40.";
        let aspect =
            "[trace_headers @ 0x5580] 32          aspect_ratio_information                       0011 = 3";
        assert_eq!(told(packet), (Some(3045), None));
        assert_eq!(told(aspect), (None, Some(3)));
        assert_eq!(told("[trace_headers @ 0x5580] Packet: 12 bytes, key frame, no pts."), (None, None));
        assert_eq!(Shape { from: 0, code: 3 }.display_aspect_ratio(), "16:9");
    }
}
