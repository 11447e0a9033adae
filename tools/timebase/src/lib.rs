//! Exact rationals and the one map from 25 to 24 that video, audio, subtitles and chapters share.
//!
//! A time is a whole number of ticks of some clock (a millisecond, a frame, 1/90000 s). Slowing a film from
//! `from` to `to` frames a second multiplies every time by `from/to`; the product is rounded once, to the nearest
//! tick and halves away from zero, so that errors never add up and the map of `-t` is minus the map of `t`.

mod cut;
mod rational;
mod retime;

pub use cut::{Cut, without};
pub use rational::{ParseRationalError, Rational, Spoken};
pub use retime::{Retime, TickMap};
