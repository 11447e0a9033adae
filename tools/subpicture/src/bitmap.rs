//! A picture of a few colours.

/// A picture whose pixels are places in a palette.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bitmap {
    /// Pixels across, above 0.
    pub width: usize,
    /// Row after row.
    pub pixels: Vec<u8>,
}

impl Bitmap {
    /// Rows down.
    pub fn height(&self) -> usize {
        self.pixels.len() / self.width
    }

    /// The rows, from the top.
    pub fn rows(&self) -> impl DoubleEndedIterator<Item = &[u8]> {
        self.pixels.chunks_exact(self.width)
    }

    /// The picture made of these rows and columns of this one, in this order. One that is not there is left out.
    pub fn of(&self, rows: &[usize], columns: &[usize]) -> Self {
        let rows = rows.iter().filter_map(|&row| self.pixels.chunks_exact(self.width).nth(row));
        let pixels = rows.flat_map(|row| columns.iter().filter_map(|&column| row.get(column))).copied();
        let width = columns.iter().filter(|&&column| column < self.width).count().max(1);
        Self { width, pixels: pixels.collect() }
    }
}
