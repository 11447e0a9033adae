//! What all jobs of a run share.

use crate::{makefile::Makefile, stop::Stop};
use cli::Session;

/// What all jobs of a run share.
#[derive(Clone, Copy)]
pub struct Run<'a> {
    /// The process.
    pub session: &'a Session,
    /// The wish to end.
    pub stop: &'a Stop,
    /// Where options are written down.
    pub makefile: &'a Makefile,
    /// No progress.
    pub quiet: bool,
    /// Pipes are only printed: this machine need not be able to run them.
    pub dry: bool,
}
