//! What a job is, as its folder has it.

use crate::{
    film::Source,
    folder::{AFRESH, Finished, RECORD, SEGMENTS, read},
    reading::{FieldOrder, Reading},
    recipe::{Recipe, VIDEO},
    span::Span,
    timeline::Timeline,
    values,
    variables::{Variables, is_crop},
};
use cli::{Error, Result};
use deint_crop::field_orders::FieldOrders;
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, path::Path};

/// What a job is, kept in its folder. Anybody may have written it: nothing in it is taken for more than it says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    /// Of what is written here.
    pub version: u32,
    /// The option's name.
    pub option: String,
    /// The variables that the film depends on.
    pub settings: BTreeMap<String, String>,
    /// The film that it is made from.
    pub source: Source,
    /// What that was read to be.
    pub reading: Reading,
    /// The crop, where `CROP=auto` was asked for.
    pub crop: Option<String>,
    /// The picture's size before the network, `WxH`.
    pub prepared: String,
    /// The finished film, or part of one.
    pub finished: Option<Finished>,
}

/// The version of records that this writes and reads.
pub const VERSION: u32 = 2;

impl Record {
    /// That of a job's folder.
    pub fn read(job: &Path) -> Result<Self> {
        let path = job.join(RECORD);
        let record: Self = read(&path)?;
        let wrong = |why: String| Err(Error::failed(path.display(), format!("{why}; {AFRESH}")));
        if record.version != VERSION {
            return wrong(format!("is of version {}; this is for {VERSION}", record.version));
        }
        if !record.reading.is_sound() {
            return wrong("reading: is none that was made".into());
        }
        if !record.crop.as_deref().is_none_or(is_crop) {
            return wrong(format!("crop: {:?} is none", record.crop));
        }
        if record.prepared.parse::<cli::Size>().is_err() {
            return wrong(format!("prepared: {:?} is not WxH", record.prepared));
        }
        Ok(record)
    }

    /// Where the film's pictures belong.
    pub fn timeline(&self, variables: &Variables) -> Timeline {
        values::timeline(&self.reading, variables)
    }

    /// The frames of the job's film.
    ///
    /// Errors (usage): more than there are.
    pub fn span(&self, variables: &Variables) -> Result<Span> {
        Span::new(&self.timeline(variables), variables)
    }

    /// Which field of each frame comes first, where that is not the same of all that are read.
    pub fn field_orders(&self, timeline: &Timeline, span: Span) -> Option<FieldOrders> {
        let pictures = &self.reading.pictures;
        let of: Vec<FieldOrder> = pictures.each().map(|(_, kind)| pictures.kinds[kind].field_order).collect();
        let order = |frame: u64| of.get(timeline.of_source(frame) as usize).copied().unwrap_or_default();
        let mut orders = (0..span.read).map(order);
        let first = orders.next()?;
        orders.any(|order| order != first).then(|| (0..span.read).map(|frame| order(frame).into()).collect())
    }

    /// The variables of the job, checked as if they were typed.
    pub fn variables(&self, typed: &[(String, String)]) -> Result<Variables> {
        Variables::kept(&self.settings, typed)
    }
}

/// How far a job has come that is found in a folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stands {
    /// Nothing of it is worth keeping.
    Empty,
    /// It can be gone on with.
    Open,
    /// Its film is there.
    Done,
}

impl Record {
    /// Is the film there that this says was finished?
    pub fn is_finished(&self, path: &Path) -> bool {
        self.finished.as_ref().is_some_and(|finished| self.bytes(path) == Some(finished.bytes))
    }

    /// Why the film that is there is not the one that was finished; `None` where it is, where none was finished, and where none
    /// is there.
    pub fn damage(&self, path: &Path) -> Option<String> {
        let (was, is) = (self.finished.as_ref()?.bytes, self.bytes(path)?);
        (was != is).then(|| format!("is not the film that was finished: it has {is} bytes, that had {was}"))
    }

    /// Bytes of the film that is there, or of the part.
    fn bytes(&self, path: &Path) -> Option<u64> {
        let meta = path.join(self.film()).symlink_metadata().ok()?;
        meta.is_file().then_some(meta.len())
    }

    /// What the job leaves: a film, or a part of one.
    pub fn film(&self) -> &'static str {
        if self.settings.get("PART").is_none_or(String::is_empty) { "film.mkv" } else { "part.mkv" }
    }

    /// How far this job, found at `path`, has come, and is it the one that is asked for?
    ///
    /// Errors: it is another one, and something of it is worth keeping.
    pub fn stands(
        &self,
        path: &Path,
        recipe: &Recipe,
        variables: &Variables,
        source: &Source,
    ) -> Result<Stands> {
        let is_finished = self.is_finished(path);
        let is_file = |name: &str| path.join(name).symlink_metadata().is_ok_and(|meta| meta.is_file());
        let has_chunks = |stage: &str| {
            let chunks = std::fs::read_dir(path.join(SEGMENTS).join(stage)).into_iter().flatten().flatten();
            chunks.map(|chunk| chunk.file_name()).any(|name| {
                let name = name.to_string_lossy();
                name.ends_with(".mkv") && !name.ends_with(".part.mkv")
            })
        };
        if !is_finished
            && !recipe.files().chain([VIDEO]).any(is_file)
            && !["mezz", "final"].into_iter().any(has_chunks)
        {
            return Ok(Stands::Empty);
        }
        let failed = |why: String| Error::failed(path.display(), why);
        let was = if is_finished { "was made" } else { "was begun" };
        let afresh = format!("{AFRESH}, or say another OUT");
        if let Err(why) = self.source.same(source) {
            return Err(failed(format!("{was} from another film: {} {why}; {afresh}", variables.get("SRC"))));
        }
        let now = variables.to_keep();
        let others =
            now.iter().filter(|(name, value)| *name != "SRC" && self.settings.get(*name) != Some(*value));
        let others: Vec<String> = others
            .map(|(name, value)| {
                let shown =
                    |value: &str| if value.is_empty() { "not set".to_owned() } else { value.to_owned() };
                let then = shown(self.settings.get(name).map_or("", String::as_str));
                format!("{name} was {then}, is {}", shown(value))
            })
            .collect();
        if others.is_empty() {
            return Ok(if is_finished { Stands::Done } else { Stands::Open });
        }
        let out = shell_words::quote(variables.get("OUT"));
        let go_on =
            if is_finished { String::new() } else { format!("`make resume OUT={out}` goes on with those; ") };
        Err(failed(format!("{was} with other settings ({}); {go_on}{afresh}", others.join(", "))))
    }
}

/// What a job leaves: a film, or a part of one.
pub fn film_name(variables: &Variables) -> &'static str {
    if variables.part().is_some() { "part.mkv" } else { "film.mkv" }
}
