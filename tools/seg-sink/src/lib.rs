//! Frames in; a finished, verified film out; never more than a bounded amount of disk.
//!
//! The film is cut into segments of equal length. The [`intake`](run) gives each segment's frames to a command: to
//! `--mezz`, which writes a mezzanine chunk that `--final` then reads, or straight to `--final`. What a command wrote
//! counts once it is *proved* (its frames counted, decoded), and only what is proved is written down in the
//! [journal](journal). A mezzanine is deleted when the segment made of it is proved. At the end the segments are
//! joined, and the film is proved like everything else.
//!
//! The order in which things reach the disk is the same for every chunk and for the film: written under a temporary
//! name, proved, `fsync`ed, entered in the journal, renamed. So at any moment what the journal says and what lies on
//! the disk together tell where the job stands; [`state`] lists what follows from each way in which they can differ.

mod args;
mod child;
mod control;
mod disk;
mod event;
mod feed;
mod film;
mod finish;
mod folder;
mod group;
mod intake;
mod job;
mod journal;
mod log;
mod pipeline;
mod proof;
mod queue;
mod run;
mod settings;
mod state;
mod status;
mod template;
mod upstream;
pub mod warden;

pub use args::SegSink;
pub use disk::least_disk;

use cli::{Error, Result, RunArgs, Session, Tool};

impl Tool for SegSink {
    const NAME: &'static str = "seg-sink";
    const HANDLES_SIGNALS: bool = true;

    fn run_args(&self) -> &RunArgs {
        &self.run
    }

    fn run(self, session: &Session) -> Result<()> {
        let dir = self.dir.clone().ok_or_else(|| Error::usage("--dir", "says where the job is"))?;
        if self.status {
            status::print(&dir, self.join_so_far.as_deref())
        } else {
            run::run(&self, &dir, session)
        }
    }
}
