//! The network against the reference's numbers.
//!
//! The formula cases are the project's own (`tests/data`); the larger set outside of the repository joins them where
//! it is there.

mod difference;
mod formula;
mod recording;
mod shared_parity;
