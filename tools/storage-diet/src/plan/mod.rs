//! What each option takes of disk and time, predicted from samples of the film that really go through every stage.

pub mod bytes;
pub mod earlier;
pub mod model;
pub mod samples;
pub mod shape;
pub mod table;
pub mod time;

/// The clock of the films, frames a second.
pub const FPS: i64 = 25;
