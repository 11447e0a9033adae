//! Matrices between R'G'B' and Y'CbCr, and what code values mean.

use rawstream::{ColorRange, Matrix, PixFmt};

/// Rows Y, Cb, Cr; columns R, G, B.
pub(crate) fn from_rgb(matrix: Matrix) -> Matrix3 {
    let (r, b) = matrix.weights();
    let g = 1.0 - r - b;
    let (u, v) = (1.0 / (2.0 - 2.0 * b), 1.0 / (2.0 - 2.0 * r));
    [[r, g, b], [-r * u, -g * u, (1.0 - b) * u], [(1.0 - r) * v, -g * v, -b * v]]
}

/// Rows R, G, B; columns Y, Cb, Cr.
pub(crate) fn to_rgb(matrix: Matrix) -> Matrix3 {
    inverse(&from_rgb(matrix))
}

/// Three by three, row by row.
pub(crate) type Matrix3 = [[f64; 3]; 3];

fn inverse(m: &Matrix3) -> Matrix3 {
    let minor = |r: [usize; 2], c: [usize; 2]| m[r[0]][c[0]] * m[r[1]][c[1]] - m[r[0]][c[1]] * m[r[1]][c[0]];
    let others = [[1, 2], [0, 2], [0, 1]];
    let sign = |i: usize, j: usize| if (i + j).is_multiple_of(2) { 1.0 } else { -1.0 };
    let det: f64 = (0..3).map(|j| sign(0, j) * m[0][j] * minor([1, 2], others[j])).sum();
    std::array::from_fn(|i| std::array::from_fn(|j| sign(i, j) * minor(others[j], others[i]) / det))
}

/// What the code values of a plane mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Coding {
    /// Bits of a sample; `None` for float, where luma and RGB are 0 to 1 and chroma -0.5 to 0.5.
    pub bits: Option<u32>,
    pub full: bool,
    pub chroma: bool,
}

impl Coding {
    pub const FLOAT: Self = Self { bits: None, full: false, chroma: false };

    pub fn new(pix_fmt: PixFmt, range: ColorRange, chroma: bool) -> Self {
        Self { bits: Some(pix_fmt.bits), full: pix_fmt.is_rgb() || range == ColorRange::Full, chroma }
    }

    /// Code value of zero, and code values from 0 to 1 (H.273, 8.3).
    fn offset_and_range(self) -> (f64, f64) {
        let Some(bits) = self.bits else { return (0.0, 1.0) };
        let step = f64::from(1u32 << (bits - 8));
        let max = f64::from((1u32 << bits) - 1);
        match (self.chroma, self.full) {
            (true, false) => (128.0 * step, 224.0 * step),
            (true, true) => (128.0 * step, max),
            (false, false) => (16.0 * step, 219.0 * step),
            (false, true) => (0.0, max),
        }
    }

    /// `to = from * scale + offset`.
    pub fn scale_and_offset(self, to: Self) -> (f32, f32) {
        let ((o_in, r_in), (o_out, r_out)) = (self.offset_and_range(), to.offset_and_range());
        ((r_out / r_in) as f32, (-o_in * r_out / r_in + o_out) as f32)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_and_back() {
        for matrix in Matrix::ALL {
            let (there, back) = (from_rgb(matrix), to_rgb(matrix));
            for (i, row) in back.iter().enumerate() {
                let product: [f64; 3] = std::array::from_fn(|j| (0..3).map(|k| row[k] * there[k][j]).sum());
                for (j, x) in product.into_iter().enumerate() {
                    assert!((x - f64::from(u8::from(i == j))).abs() < 1e-12, "{matrix} {i} {j}: {x}");
                }
            }
        }
    }

    #[test]
    fn white_is_where_the_standards_say() {
        let code = |bits, full| Coding { bits: Some(bits), full, chroma: false };
        for (coding, white) in [(code(8, false), 235.0), (code(10, false), 940.0), (code(16, true), 65535.0)]
        {
            let (scale, offset) = Coding::FLOAT.scale_and_offset(coding);
            assert_eq!(scale + offset, white);
        }
    }
}
