//! the same frames on a slower clock, resized for the final encode.
