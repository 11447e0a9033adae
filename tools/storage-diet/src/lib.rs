//! A film through the filters: what has to be known, kept, counted and proved around them.
//!
//! | module | idea |
//! | --- | --- |
//! | [`makefile`] | variables, stages and options, as the Makefile has them |
//! | [`variables`] | what is typed, checked by the types that the tools use |
//! | [`recipe`] | an option's passes, each a pipe of stages |
//! | [`template`], [`pipeline`] | a stage's text as an argument vector; a pass as programs |
//! | [`pipe`], [`stop`], [`progress`] | programs side by side, how they end, how far they have come |
//! | [`film`], [`span`], [`check`] | which film it is; which frames of it; what is asked for before the first |
//! | [`folder`], [`job`], [`ending`] | a job on the disk, from what was typed to the film, and what that took |
//! | [`jobs`] | all jobs in OUT: resume, join, verify, status |
//! | [`mux`], [`verify`], [`ocr`] | sound, subtitles and chapters; proof; bitmap subtitles as text |
//! | [`plan`], [`disk`], [`report`] | what options would take of disk and time; what they take; both on a page |
//! | [`program`], [`probe`] | other programs, and what they know of a film |

mod args;
pub mod check;
pub mod clock;
pub mod disk;
pub mod ending;
pub mod film;
pub mod folder;
pub mod job;
pub mod jobs;
pub mod makefile;
pub mod mux;
pub mod ocr;
pub mod pipe;
pub mod pipeline;
pub mod plan;
pub mod probe;
pub mod program;
pub mod progress;
pub mod recipe;
pub mod report;
pub mod span;
pub mod stop;
pub mod template;
pub mod variables;
pub mod verify;

pub use args::StorageDiet;
pub use stop::end_with_make;
