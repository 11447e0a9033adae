//! When the subtitles of a film come.

use crate::probe;
use cli::Result;
use std::{collections::BTreeMap, path::Path};
use timebase::Rational;

/// Seconds at which the cues of each subtitle stream begin that has any, by the stream's index; in the file's order.
///
/// Errors: ffprobe cannot read the film.
pub fn cues(film: &Path) -> Result<BTreeMap<usize, Vec<Rational>>> {
    let mut streams: BTreeMap<usize, Vec<Rational>> = BTreeMap::new();
    probe::lines(film, "packet=stream_index,pts_time", &["-select_streams", "s"], |line| {
        let mut fields = line.split('|');
        let stream = fields.next().and_then(|index| index.parse().ok());
        let time = fields.next().and_then(|time| time.parse().ok());
        if let Some((stream, time)) = stream.zip(time) {
            streams.entry(stream).or_default().push(time);
        }
    })?;
    Ok(streams)
}
