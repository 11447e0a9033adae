//! Pixel formats by ffmpeg's names: plane order, packing and endianness are ffmpeg's.

use std::{
    fmt,
    ops::{Deref, Range},
    str::FromStr,
};

/// How samples lie in a frame.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Layout {
    /// One plane for each component, one after another.
    Planar,
    /// One plane, three samples for each pixel.
    Packed,
}

/// What the components are.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Color {
    /// Planes Y, Cb, Cr. Chroma planes are `width >> sub_w` by `height >> sub_h`, rounded up: `sub_w` is 1 for 4:2:0 and
    /// 4:2:2, `sub_h` for 4:2:0.
    Yuv { sub_w: u32, sub_h: u32 },
    /// Where R, G and B are: the position in the pixel (packed) or the plane number (planar).
    Rgb { order: [usize; 3] },
}

/// Where the samples of a component lie, in the words of FFmpeg's `AVComponentDescriptor`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Component {
    /// The plane that holds it.
    pub plane: usize,
    /// Bytes before its first sample in each row of the plane.
    pub offset: usize,
    /// Bytes from one of its samples to the next in a row.
    pub step: usize,
}

/// One of the pixel formats that flow between the tools: an entry of [`PixFmt::ALL`].
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct PixFmt {
    name: &'static str,
    color: Color,
    layout: Layout,
    /// Bits of a sample: 8, 10, 12 or 16. Above 8 a sample takes two bytes, little-endian, low bits used.
    pub bits: u32,
}

const fn yuv(name: &'static str, sub_w: u32, sub_h: u32, bits: u32) -> PixFmt {
    PixFmt { name, color: Color::Yuv { sub_w, sub_h }, layout: Layout::Planar, bits }
}

const fn rgb(name: &'static str, layout: Layout, order: [usize; 3], bits: u32) -> PixFmt {
    PixFmt { name, color: Color::Rgb { order }, layout, bits }
}

impl PixFmt {
    /// Every format, in the order of the manual page.
    pub const ALL: [Self; 19] = [
        yuv("yuv420p", 1, 1, 8),
        yuv("yuv422p", 1, 0, 8),
        yuv("yuv444p", 0, 0, 8),
        yuv("yuv420p10le", 1, 1, 10),
        yuv("yuv422p10le", 1, 0, 10),
        yuv("yuv444p10le", 0, 0, 10),
        yuv("yuv420p12le", 1, 1, 12),
        yuv("yuv422p12le", 1, 0, 12),
        yuv("yuv444p12le", 0, 0, 12),
        yuv("yuv420p16le", 1, 1, 16),
        yuv("yuv422p16le", 1, 0, 16),
        yuv("yuv444p16le", 0, 0, 16),
        rgb("rgb24", Layout::Packed, [0, 1, 2], 8),
        rgb("bgr24", Layout::Packed, [2, 1, 0], 8),
        rgb("rgb48le", Layout::Packed, [0, 1, 2], 16),
        rgb("bgr48le", Layout::Packed, [2, 1, 0], 16),
        rgb("gbrp", Layout::Planar, [2, 0, 1], 8),
        rgb("gbrp10le", Layout::Planar, [2, 0, 1], 10),
        rgb("gbrp16le", Layout::Planar, [2, 0, 1], 16),
    ];

    /// The format of that name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|f| f.name == name)
    }

    /// ffmpeg's name.
    pub const fn name(self) -> &'static str {
        self.name
    }

    /// True for the RGB formats.
    pub const fn is_rgb(self) -> bool {
        matches!(self.color, Color::Rgb { .. })
    }

    /// The same, known to be RGB; `None` for the YUV formats.
    pub fn rgb(self) -> Option<RgbFmt> {
        self.is_rgb().then_some(RgbFmt(self))
    }

    /// Bytes of one sample: 1 up to 8 bits, else 2.
    pub const fn sample_bytes(self) -> usize {
        if self.bits > 8 { 2 } else { 1 }
    }

    /// The largest sample value.
    pub const fn max(self) -> u16 {
        ((1u32 << self.bits) - 1) as u16
    }

    /// log2 of the chroma subsampling, horizontal and vertical; zeros where there is none.
    pub const fn subsampling(self) -> (u32, u32) {
        match self.color {
            Color::Yuv { sub_w, sub_h } => (sub_w, sub_h),
            Color::Rgb { .. } => (0, 0),
        }
    }

    /// Where component `c` lies: 0 to 2 are Y, Cb and Cr, or R, G and B.
    pub const fn component(self, c: usize) -> Component {
        let place = match self.color {
            Color::Yuv { .. } => c,
            Color::Rgb { order } => order[c],
        };
        let bytes = self.sample_bytes();
        match self.layout {
            Layout::Planar => Component { plane: place, offset: 0, step: bytes },
            Layout::Packed => Component { plane: 0, offset: place * bytes, step: 3 * bytes },
        }
    }

    /// Planes of a frame: 3 when planar, 1 when packed.
    pub const fn planes(self) -> usize {
        match self.layout {
            Layout::Planar => 3,
            Layout::Packed => 1,
        }
    }

    /// Samples across and rows down of plane `plane` in a picture of `width` x `height`; a packed row counts three
    /// samples for each pixel.
    pub const fn plane_size(self, width: usize, height: usize, plane: usize) -> (usize, usize) {
        match self.layout {
            Layout::Packed => (width * 3, height),
            Layout::Planar => {
                let (sub_w, sub_h) = self.subsampling();
                if plane == 0 {
                    (width, height)
                } else {
                    (width.div_ceil(1 << sub_w), height.div_ceil(1 << sub_h))
                }
            }
        }
    }

    /// Bytes of a row of plane `plane` in a picture of `width` pixels across.
    pub const fn row_bytes(self, width: usize, plane: usize) -> usize {
        self.plane_size(width, 1, plane).0 * self.sample_bytes()
    }

    /// The bytes of plane `plane` within a frame of `width` x `height`.
    pub fn plane_range(self, width: usize, height: usize, plane: usize) -> Range<usize> {
        let bytes = |plane| self.row_bytes(width, plane) * self.plane_size(width, height, plane).1;
        let start = (0..plane).map(bytes).sum();
        start..start + bytes(plane)
    }

    /// Bytes of one frame of `width` x `height`.
    pub fn frame_bytes(self, width: usize, height: usize) -> usize {
        self.plane_range(width, height, self.planes() - 1).end
    }
}

/// A pixel format of red, green and blue: what takes no other format asks for this type.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct RgbFmt(PixFmt);

impl RgbFmt {
    /// The RGB format of that name.
    pub fn named(name: &str) -> Option<Self> {
        PixFmt::named(name)?.rgb()
    }
}

impl Deref for RgbFmt {
    type Target = PixFmt;

    fn deref(&self) -> &PixFmt {
        &self.0
    }
}

impl fmt::Debug for RgbFmt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for RgbFmt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for PixFmt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

impl fmt::Display for PixFmt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

impl FromStr for PixFmt {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        Self::named(name).ok_or_else(|| {
            let all: Vec<_> = Self::ALL.iter().map(|f| f.name).collect();
            format!("unknown pixel format; there are {}", all.join(" "))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_ffmpegs() {
        let bytes = |name: &str, w, h| PixFmt::named(name).unwrap().frame_bytes(w, h);
        assert_eq!(bytes("yuv420p", 720, 576), 622_080);
        assert_eq!(bytes("yuv420p", 5, 3), 5 * 3 + 2 * 3 * 2);
        assert_eq!(bytes("yuv422p10le", 5, 3), 2 * (5 * 3 + 2 * 3 * 3));
        assert_eq!(bytes("rgb48le", 1024, 432), 1024 * 432 * 6);
        assert_eq!(bytes("gbrp10le", 3, 3), 54);
    }

    /// As `av_pix_fmt_desc_get` gives them: (plane, offset, step) of each component.
    #[test]
    fn components_are_ffmpegs() {
        for (name, places) in [
            ("yuv422p", [(0, 0, 1), (1, 0, 1), (2, 0, 1)]),
            ("yuv420p10le", [(0, 0, 2), (1, 0, 2), (2, 0, 2)]),
            ("rgb24", [(0, 0, 3), (0, 1, 3), (0, 2, 3)]),
            ("bgr24", [(0, 2, 3), (0, 1, 3), (0, 0, 3)]),
            ("rgb48le", [(0, 0, 6), (0, 2, 6), (0, 4, 6)]),
            ("bgr48le", [(0, 4, 6), (0, 2, 6), (0, 0, 6)]),
            ("gbrp", [(2, 0, 1), (0, 0, 1), (1, 0, 1)]),
            ("gbrp16le", [(2, 0, 2), (0, 0, 2), (1, 0, 2)]),
        ] {
            let components = [0, 1, 2].map(|c| PixFmt::named(name).unwrap().component(c));
            assert_eq!(
                components,
                places.map(|(plane, offset, step)| Component { plane, offset, step }),
                "{name}"
            );
        }
    }
}
