//! A film through the filters: what has to be known, kept, counted and proved around them.
//!
//! | module | idea |
//! | --- | --- |
//! | [`makefile`], [`recipe`] | variables, stages and options, as the Makefile has them; an option's passes |
//! | [`variables`] | what is typed, checked by the types that the tools use |
//! | [`template`], [`values`], [`pipeline`] | a stage's text as an argument vector; what goes into it; a pass as programs |
//! | [`pipe`], [`stop`], [`progress`] | programs side by side, how they end, how far they have come |
//! | [`disc`] | what is given for a film and is none yet |
//! | [`film`], [`reading`], [`timeline`] | which film it is; what was read of it; where each picture belongs |
//! | [`span`], [`check`] | which frames of it; what is asked for before the first |
//! | [`prepare`], [`cropping`], [`crop`] | how pictures are prepared; the edges that its container hides; what `CROP=auto` takes, and what it says of it |
//! | [`order`], [`record`], [`job`], [`ending`] | what is to be made; what a job is; making it; what that took |
//! | [`folder`], [`disk`] | a job's folder, and how large it is |
//! | [`jobs`] | all jobs in OUT: resume, join, verify, status |
//! | [`mux`], [`clock`], [`verify`], [`ocr`] | sound, subtitles and chapters on the one clock; proof; bitmap subtitles as text |
//! | [`plan`], [`report`] | what options would take of disk and time; what they took, as a page |
//! | [`program`], [`probe`] | other programs, and what they know of a film |

mod args;
pub mod check;
pub mod clock;
pub mod crop;
pub mod cropping;
mod cues;
pub mod disc;
pub mod disk;
pub mod ending;
pub mod film;
pub mod folder;
pub mod job;
pub mod jobs;
pub mod makefile;
pub mod mux;
pub mod ocr;
pub mod order;
pub mod pipe;
pub mod pipeline;
pub mod plan;
pub mod prepare;
pub mod probe;
pub mod program;
pub mod progress;
pub mod reading;
pub mod recipe;
pub mod record;
pub mod report;
pub mod run;
pub mod span;
pub mod stop;
pub mod template;
pub mod timeline;
pub mod values;
pub mod variables;
pub mod verify;

pub use args::StorageDiet;
pub use stop::end_with_make;
