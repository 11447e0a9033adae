//! BasicVSR++ in temporal windows: W x H frames in, one for one 4W x 4H frames out, or W x H where the checkpoint keeps
//! the size.
//!
//! | module | idea |
//! | --- | --- |
//! | [`args`] | the flags |
//! | [`window`] | which frames are computed together |
//! | [`cut`] | where scenes begin |
//! | [`run`] | reader, engines, writer: frames through windows, in order |
//! | [`tile`] | a frame in parts, for devices with little memory |
//! | [`child`] | another model, in a process of its own |
//!
//! The network itself is the crate `basicvsrpp`; everything here would be the same around another one, and is,
//! with `--engine`.

pub mod args;
pub mod child;
pub mod cut;
pub mod engines;
pub mod run;
pub mod tile;
pub mod window;
