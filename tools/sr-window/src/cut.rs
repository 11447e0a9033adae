//! Where scenes begin. The decision for a frame looks at the frame before and at the frame itself, at nothing else,
//! so that it is the same wherever a run was started.

use rawstream::RgbFmt;

/// Cells across and down.
const CELLS: usize = 4;
/// Luma levels of a histogram.
const LEVELS: usize = 32;
/// Above this share of changed luma a scene begins. Measured with the example `cut-distance`: from frame to frame of a
/// shot 0.06 at most (two film-like clips, arm movements in close-up), from one unrelated picture to another 0.32 to 0.92.
const THRESHOLD: f32 = 0.25;

/// What of a frame the decision looks at: a luma histogram for each of 4 x 4 cells, in shares of the cell.
#[derive(Clone, Debug)]
pub struct Signature(Vec<[f32; LEVELS]>);

impl Signature {
    /// Looks at a frame in wire order, `width` x `height`.
    pub fn of(frame: &[u8], width: usize, height: usize, pix_fmt: RgbFmt) -> Self {
        let components = [0, 1, 2].map(|c| pix_fmt.component(c));
        let step = components[0].step;
        let first = components.map(|c| pix_fmt.plane_range(width, height, c.plane).start + c.offset);
        let level = |at: usize| {
            let sample = if pix_fmt.sample_bytes() == 1 {
                u32::from(frame[at]) << 8
            } else {
                u32::from(u16::from_le_bytes([frame[at], frame[at + 1]])) << (16 - pix_fmt.bits)
            };
            sample & 0xffff
        };
        let mut cells = vec![[0u32; LEVELS]; CELLS * CELLS];
        let mut counts = [0u32; CELLS * CELLS];
        // Every second pixel of every second row tells as much.
        for y in (0..height).step_by(2) {
            for x in (0..width).step_by(2) {
                let [r, g, b] = first.map(|first| level(first + (y * width + x) * step));
                // BT.709 in 1/256; 16 bits.
                let luma = (54 * r + 183 * g + 19 * b) >> 8;
                let cell = (y * CELLS / height) * CELLS + x * CELLS / width;
                // Shared between the two nearest levels: a small change of brightness is a small change here.
                let position = luma * (LEVELS as u32 - 1);
                let (low, part) = ((position >> 16) as usize, (position >> 8) & 0xff);
                cells[cell][low] += 256 - part;
                cells[cell][(low + 1).min(LEVELS - 1)] += part;
                counts[cell] += 256;
            }
        }
        let share = |(cell, &count): (&[u32; LEVELS], &u32)| cell.map(|n| n as f32 / count.max(1) as f32);
        Self(cells.iter().zip(&counts).map(share).collect())
    }

    /// How much of the picture's luma has changed, 0 (nothing) to 1 (all).
    pub fn distance(&self, other: &Self) -> f32 {
        let cell = |(a, b): (&[f32; LEVELS], &[f32; LEVELS])| {
            a.iter().zip(b).map(|(a, b)| (a - b).abs()).sum::<f32>() / 2.0
        };
        self.0.iter().zip(&other.0).map(cell).sum::<f32>() / self.0.len() as f32
    }

    /// Does a scene begin with this frame, after `before`?
    pub fn is_cut(&self, before: &Self) -> bool {
        self.distance(before) > THRESHOLD
    }
}
