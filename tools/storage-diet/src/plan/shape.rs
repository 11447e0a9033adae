//! What the plan has to know of an option: which stages run side by side in each of its passes. All else follows from that.

use serde::{Deserialize, Serialize};
use std::{convert::Infallible, fmt, str::FromStr};

/// A stage, by what it does. Where it writes a mezzanine, the codec's name is part of it: `pre-422`, `mezz-intra`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub enum Stage {
    /// What is learned of a film before its first frame.
    Learn,
    /// The source to the network's pictures: decoded, deinterlaced, scaled, cropped.
    Prepare,
    /// These to the pre-mezzanine, by this codec.
    Pre(String),
    /// The pre-mezzanine to the network's pictures.
    ReadPre,
    /// The network.
    Enlarge,
    /// The network's pictures to the upscaled mezzanine, by this codec.
    Mezz(String),
    /// The upscaled mezzanine to pictures.
    ReadMezz,
    /// Pictures to those of the film, on its clock.
    Retime,
    /// The film's encoder.
    Final,
    /// The film's encoder, on pictures that have been through a pre-mezzanine: its losses make the film smaller.
    FinalPre,
    /// What was encoded is decoded and counted.
    Prove,
    /// Sound, subtitles and chapters join the pictures.
    Mux,
    /// Another, which is one of a film's frames like all of these.
    Other(String),
}

impl From<String> for Stage {
    fn from(name: String) -> Self {
        match name.as_str() {
            "learn" => Self::Learn,
            "prepare" => Self::Prepare,
            "read-pre" => Self::ReadPre,
            "enlarge" => Self::Enlarge,
            "read-mezz" => Self::ReadMezz,
            "retime" => Self::Retime,
            "final" => Self::Final,
            "final-pre" => Self::FinalPre,
            "prove" => Self::Prove,
            "mux" => Self::Mux,
            _ => match name.split_once('-') {
                Some(("pre", codec)) => Self::Pre(codec.into()),
                Some(("mezz", codec)) => Self::Mezz(codec.into()),
                _ => Self::Other(name),
            },
        }
    }
}

impl From<Stage> for String {
    fn from(stage: Stage) -> Self {
        stage.to_string()
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Learn => "learn",
            Self::Prepare => "prepare",
            Self::Pre(codec) => return write!(f, "pre-{codec}"),
            Self::ReadPre => "read-pre",
            Self::Enlarge => "enlarge",
            Self::Mezz(codec) => return write!(f, "mezz-{codec}"),
            Self::ReadMezz => "read-mezz",
            Self::Retime => "retime",
            Self::Final => "final",
            Self::FinalPre => "final-pre",
            Self::Prove => "prove",
            Self::Mux => "mux",
            Self::Other(name) => name,
        })
    }
}

/// Stages side by side, in the order in which a frame goes through them: `prepare enlarge mezz-422`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub struct Pass(pub Vec<Stage>);

impl Pass {
    /// The same for all passes that take as long: what reads a pre-mezzanine takes the place of the preparation, and which codec
    /// wrote that is all the same.
    pub fn kind(&self) -> Self {
        let kind = |stage: &Stage| match stage {
            Stage::ReadPre => Stage::Prepare,
            Stage::Pre(_) => Stage::Pre("any".into()),
            other => other.clone(),
        };
        Self(self.0.iter().map(kind).collect())
    }

    /// Without the proof of what the others write.
    pub fn without_proof(&self) -> Self {
        Self(self.0.iter().filter(|&s| *s != Stage::Prove || self.0.len() == 1).cloned().collect())
    }

    /// Both passes at once.
    pub fn beside(&self, other: &Self) -> Self {
        Self([&self.0[..], &other.0[..]].concat())
    }
}

impl From<String> for Pass {
    fn from(names: String) -> Self {
        Self(names.split_whitespace().map(|name| Stage::from(name.to_owned())).collect())
    }
}

impl FromStr for Pass {
    type Err = Infallible;

    fn from_str(names: &str) -> Result<Self, Infallible> {
        Ok(Self::from(names.to_owned()))
    }
}

impl From<Pass> for String {
    fn from(pass: Pass) -> Self {
        pass.to_string()
    }
}

impl fmt::Display for Pass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.iter().map(Stage::to_string).collect::<Vec<_>>().join(" "))
    }
}

/// An option, as far as disk and time depend on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Its name: `option5`.
    pub name: String,
    /// Another name for it: `tight`.
    pub alias: Option<String>,
    /// One after the other; with segments and a mezzanine, the last two at once, a segment apart.
    pub passes: Vec<Pass>,
    /// The film is made in segments: each is proved, and where there is a mezzanine, that is in segments as well.
    pub segmented: bool,
}

impl Shape {
    /// The stage that writes the pre-mezzanine, where there is one.
    pub fn pre(&self) -> Option<&Stage> {
        self.stages().find(|stage| matches!(stage, Stage::Pre(_)))
    }

    /// The stage that writes the upscaled mezzanine, where there is one.
    pub fn mezz(&self) -> Option<&Stage> {
        self.stages().find(|stage| matches!(stage, Stage::Mezz(_)))
    }

    /// Its film's encoder, as the samples tell its kinds apart.
    pub fn encoder(&self) -> Stage {
        if self.pre().is_some() { Stage::FinalPre } else { Stage::Final }
    }

    /// With segments and a mezzanine: the passes that come before, and the two that are at work at once.
    pub(super) fn overlapped(&self) -> Option<(&[Pass], &Pass, Pass)> {
        match &self.passes[..] {
            [before @ .., network, encode] if self.segmented && self.mezz().is_some() => {
                Some((before, network, encode.beside(&Pass(vec![Stage::Prove]))))
            }
            _ => None,
        }
    }

    /// The passes that come one after the other. Where the film is made in segments, each is proved, and then the whole.
    pub(super) fn in_turn(&self) -> Vec<Pass> {
        let proof = Pass(vec![Stage::Prove]);
        if let Some((before, ..)) = self.overlapped() {
            return [before, &[proof]].concat();
        }
        match &self.passes[..] {
            [before @ .., last] if self.segmented => [before, &[last.beside(&proof), proof]].concat(),
            all => all.to_vec(),
        }
    }

    fn stages(&self) -> impl Iterator<Item = &Stage> {
        self.passes.iter().flat_map(|pass| &pass.0)
    }

    /// Every stage that has to be measured by itself to know it, in the order of a frame.
    pub fn measured_stages(&self) -> Vec<Stage> {
        let mut stages: Vec<_> = self.stages().cloned().collect();
        stages.extend(self.pre().map(|_| Stage::FinalPre));
        stages.extend(self.segmented.then_some(Stage::Prove));
        stages
    }

    /// Every pass that has to be measured as a whole to know it: those of more than one stage. A film in segments is encoded
    /// and proved at once only where that is not measured together with the network.
    pub fn measured_passes(&self) -> Vec<Pass> {
        let mut passes = self.in_turn();
        if let Some((_, network, encode)) = self.overlapped() {
            passes.extend([network.clone(), encode.without_proof(), network.beside(&encode)]);
        }
        passes.retain(|pass| pass.0.len() > 1);
        passes
    }
}
