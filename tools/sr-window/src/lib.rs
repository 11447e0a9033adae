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
//! | [`engine`] | what enlarges a sequence |
//! | [`engines`] | which ones there are, from the flags |
//! | [`child`] | another model, in a process of its own |
//!
//! The network itself is the crate `basicvsrpp`; everything here would be the same around another one, and is,
//! with `--engine`.

pub mod args;
pub mod child;
pub mod cut;
pub mod engine;
pub mod engines;
pub mod run;
pub mod tile;
pub mod window;

use args::Args;
use cli::{Error, Result, RunArgs, Session, Tool};
use serde_json::{Value, json};
use std::io::Write;

impl Tool for Args {
    const NAME: &'static str = "sr-window";

    fn run_args(&self) -> &RunArgs {
        &self.run
    }

    fn run(self, session: &Session) -> Result<()> {
        if self.info {
            return print(engines::model(&self.weights)?.info());
        }
        if self.devices {
            return print(&engines::devices());
        }
        if self.plan {
            return print(&plan(&self));
        }
        run::run(&self, session)
    }
}

/// What `--plan` prints: where standard input may begin, and the window that emits `--start`.
fn plan(args: &Args) -> Value {
    let (grid, start) = (args.grid(), args.output.start);
    let j = grid.index(start);
    json!({
        "start": start,
        "first_frame": grid.first_frame_needed(start),
        "window": j,
        "emits": [grid.emits(j).start, grid.emits(j).end],
        "computes": [grid.computes(j).start, grid.computes(j).end],
    })
}

fn print(value: &Value) -> Result<()> {
    let mut stdout = std::io::stdout().lock();
    writeln!(stdout, "{value}").and_then(|()| stdout.flush()).map_err(|e| Error::stdout(&e))
}
