//! What a convolution is to do: inputs, output, rows.

use super::{arguments, format::PixelFormat, view::View};
use crate::EngineError;
use std::ops::Range;

/// What is done to the sums of a convolution: `Activation` in `tensor.cuh`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    /// Nothing.
    None = 0,
    /// `max(x, 0)`.
    Relu = 1,
    /// `max(x, x / 10)`.
    Leaky = 2,
    /// Offsets to 10 tanh, masks to sigmoid.
    Offsets = 3,
}

/// Where a convolution's sums go.
#[derive(Clone, Copy, Debug)]
pub enum Target<'a> {
    /// A feature.
    Feature(View<'a>),
    /// A feature of twice the size.
    Shuffled(View<'a>),
    /// The first flow plus the sums becomes the second.
    Flow(View<'a>, View<'a>),
    /// The finished frame.
    Picture(Picture<'a>),
}

/// A finished frame: the sums and the input frame, enlarged.
#[derive(Clone, Copy, Debug)]
pub struct Picture<'a> {
    /// The input frame.
    pub frame: View<'a>,
    /// Of the input frame.
    pub in_format: PixelFormat,
    /// Size of the input frame.
    pub size: (usize, usize),
    /// The output frame, of the size of the convolution.
    pub out: View<'a>,
    /// Of the output frame.
    pub out_format: PixelFormat,
    /// An `int`, set to 1 where a sum is not finite.
    pub invalid: View<'a>,
}

impl Picture<'_> {
    /// For an output frame of `out_w` x `out_h`.
    pub(super) fn arguments(
        &self,
        (out_w, out_h): (usize, usize),
    ) -> Result<arguments::Picture, EngineError> {
        let (w, h) = self.size;
        let (samples, bytes) = self.in_format.samples(w * h);
        let (out_samples, out_bytes) = self.out_format.samples(out_w * out_h);
        Ok(arguments::Picture {
            frame: self.frame.address("the input frame", samples, bytes)?,
            out: self.out.address("the output frame", out_samples, out_bytes)?,
            in_format: self.in_format,
            out_format: self.out_format,
            invalid: self.invalid.address("the flag for invalid numbers", 1, 4)?,
            w: w as i32,
            h: h as i32,
            out_w: out_w as i32,
            step: w as f32 / out_w as f32,
        })
    }
}

/// The part of a picture that a buffer holds.
#[derive(Clone, Copy, Debug)]
pub struct Rows {
    /// The picture's row that comes first.
    pub first: usize,
    /// How many rows.
    pub count: usize,
}

/// One call of a convolution. Each view is exactly as long as what it holds.
#[derive(Clone, Debug)]
pub struct Call<'a> {
    /// The planes that are read, in any number of views.
    pub inputs: &'a [View<'a>],
    /// Where the sums go.
    pub target: Target<'a>,
    /// Features that are added before the activation, laid out like the output: up to two.
    pub residuals: &'a [View<'a>],
    /// The activation.
    pub activation: Activation,
    /// Size of the picture that is read.
    pub size: (usize, usize),
    /// Rows to compute.
    pub rows: Range<usize>,
    /// What the inputs hold.
    pub held: Rows,
    /// What the output has room for, in rows of the output.
    pub room: Rows,
    /// Pictures of a batch, one after another in input and output.
    pub images: usize,
}

impl<'a> Call<'a> {
    /// Over a whole picture of `w` x `h`.
    pub fn new(
        inputs: &'a [View<'a>],
        target: Target<'a>,
        activation: Activation,
        (w, h): (usize, usize),
    ) -> Self {
        let scale = if matches!(target, Target::Shuffled(_)) { 2 } else { 1 };
        Self {
            inputs,
            target,
            residuals: &[],
            activation,
            size: (w, h),
            rows: 0..h,
            held: Rows { first: 0, count: h },
            room: Rows { first: 0, count: scale * h },
            images: 1,
        }
    }

    /// Planes that an input has.
    pub(super) fn planes_of(&self, pixel: usize, input: View) -> usize {
        input.bytes() / (self.images * self.held.count * self.size.0 * pixel)
    }

    /// The address of `count` planes from the `first` on, counted through all inputs. They lie in one of these.
    pub(super) fn planes(&self, pixel: usize, first: usize, count: usize) -> Result<u64, EngineError> {
        let plane = self.held.count * self.size.0;
        let mut inside = first;
        for input in self.inputs {
            let planes = self.planes_of(pixel, *input);
            if inside + count <= planes {
                let address = input.address("an input", self.images * planes * plane, pixel)?;
                return Ok(address + (inside * plane * pixel) as u64);
            }
            let Some(rest) = inside.checked_sub(planes) else { break };
            inside = rest;
        }
        Err(EngineError::Failed(format!("planes {first} to {} are not in one input", first + count)))
    }
}

#[cfg(test)]
mod tests {
    use super::{super::view::tests::view, *};

    const W: usize = 20;
    const H: usize = 12;
    /// Bytes of a feature of 64 channels.
    const FEATURE: usize = 8 * W * H * 16;

    #[test]
    fn planes_are_found_in_the_input_that_holds_them() {
        let plane = W * H * 16;
        let inputs = [view(1 << 20, FEATURE), view(2 << 20, FEATURE + 4 * plane)];
        let target = Target::Feature(view(3 << 20, FEATURE));
        let call = Call::new(&inputs, target, Activation::Relu, (W, H));
        assert_eq!(call.planes(16, 4, 4).unwrap(), (1 << 20) + 4 * plane as u64);
        assert_eq!(call.planes(16, 8, 10).unwrap(), 2 << 20);
        assert_eq!(call.planes(16, 16, 4).unwrap(), (2 << 20) + 8 * plane as u64);
        for (first, count) in [(4, 8), (16, 8), (20, 1)] {
            let error = call.planes(16, first, count).unwrap_err().to_string();
            assert_eq!(error, format!("planes {first} to {} are not in one input", first + count));
        }
        // An input that is no whole number of planes has none.
        let inputs = [view(1 << 20, FEATURE + 16)];
        assert!(Call { inputs: &inputs, ..call }.planes(16, 0, 4).is_err());
    }
}
