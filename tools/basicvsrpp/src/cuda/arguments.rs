//! What kernels take, field by field as in `tensor.cuh` and `motion.cu`.
//!
//! Every address in here is that of a [`View`](super::view::View) whose length has been checked.

use super::format::PixelFormat;
use std::{
    ffi::c_void,
    mem::{offset_of, size_of},
};

/// The most inputs of a convolution.
pub const MAX_INPUTS: usize = 24;

/// The most pairs of frames in a batch of the flow network's.
pub const MAX_PAIRS: usize = 64;

#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct Picture {
    pub frame: u64,
    pub out: u64,
    pub in_format: PixelFormat,
    pub out_format: PixelFormat,
    pub invalid: u64,
    pub w: i32,
    pub h: i32,
    pub out_w: i32,
    pub step: f32,
}

#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct Convolution {
    pub input: [u64; MAX_INPUTS],
    pub weight: u64,
    pub bias: u64,
    pub residual: [u64; 2],
    pub out: u64,
    pub flow: u64,
    pub out_flow: u64,
    pub in_plane: i64,
    pub in_image: i64,
    pub out_plane: i64,
    pub out_image: i64,
    pub inputs: i32,
    pub planes: i32,
    pub couts: i32,
    pub h: i32,
    pub w: i32,
    pub y0: i32,
    pub y1: i32,
    pub in_row: i32,
    pub out_row: i32,
    pub activation: i32,
    pub store: i32,
    pub tiles: i32,
    pub picture: Picture,
}

#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct Deformable {
    pub first: u64,
    pub second: u64,
    pub first_flow: u64,
    pub second_flow: u64,
    pub offsets: u64,
    pub weight: u64,
    pub bias: u64,
    pub out: u64,
    pub plane: i64,
    pub channels: i32,
    pub groups: i32,
    pub couts: i32,
    pub h: i32,
    pub w: i32,
}

#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct Condition {
    pub first: u64,
    pub second: u64,
    pub first_flow: u64,
    pub second_flow: u64,
    pub out_first: u64,
    pub out_second: u64,
    pub plane: i64,
    pub planes: i32,
    pub w: i32,
    pub h: i32,
}

#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct FlowInput {
    pub pyramid: u64,
    pub coarse: u64,
    pub flow: u64,
    pub out: u64,
    pub w: i32,
    pub h: i32,
    pub pairs: [[i32; 2]; MAX_PAIRS],
}

/// A value as a kernel's parameter.
pub fn argument<T>(value: &T) -> *const c_void {
    std::ptr::from_ref(value).cast()
}

/// Size and offsets of a struct, in bytes. The same numbers stand in `tensor.cuh` and `motion.cu`.
macro_rules! layout {
    ($($type:ident $size:literal { $($field:ident $offset:literal)* })*) => {
        $(const _: () = {
            assert!(size_of::<$type>() == $size);
            $(assert!(offset_of!($type, $field) == $offset);)*
        };)*
    };
}
layout! {
    PixelFormat 40 { bytes 0 step 4 first 8 max 32 level 36 }
    Picture 120 { frame 0 out 8 in_format 16 out_format 56 invalid 96 w 104 h 108 out_w 112 step 116 }
    Convolution 448 {
        input 0 weight 192 bias 200 residual 208 out 224 flow 232 out_flow 240
        in_plane 248 in_image 256 out_plane 264 out_image 272
        inputs 280 planes 284 couts 288 h 292 w 296 y0 300 y1 304 in_row 308 out_row 312
        activation 316 store 320 tiles 324 picture 328
    }
    Deformable 96 {
        first 0 second 8 first_flow 16 second_flow 24 offsets 32 weight 40 bias 48 out 56
        plane 64 channels 72 groups 76 couts 80 h 84 w 88
    }
    Condition 72 {
        first 0 second 8 first_flow 16 second_flow 24 out_first 32 out_second 40 plane 48 planes 56 w 60 h 64
    }
    FlowInput 552 { pyramid 0 coarse 8 flow 16 out 24 w 32 h 36 pairs 40 }
}
