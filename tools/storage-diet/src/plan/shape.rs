//! What the plan has to know of an option: which stages run side by side in each of its passes. All else follows from that.

use crate::{
    makefile::Makefile,
    recipe::{self, Recipe},
};
use serde::{Deserialize, Serialize};
use std::{fmt, ops::Range};

/// A stage, by what it does. Where it writes a mezzanine, the Makefile's name for it comes after that: `pre-prores-lt`,
/// `mezz-intra`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub enum Stage {
    /// What is learned of a film before its first frame.
    Learn,
    /// The source to the network's pictures: decoded, deinterlaced, scaled, cropped.
    Prepare,
    /// These to the pre-mezzanine, by the stage that the Makefile calls so.
    Pre(String),
    /// The pre-mezzanine to the network's pictures.
    ReadPre,
    /// The network.
    Enlarge,
    /// The network's pictures to the upscaled mezzanine, by the stage that the Makefile calls so.
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

/// Stages side by side, in the order in which a frame goes through them: `prepare enlarge mezz-intra`.
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
    /// That of each recipe of a Makefile.
    pub fn all(makefile: &Makefile, recipes: &[Recipe]) -> Vec<Self> {
        let alias =
            |name: &str| makefile.aliases.iter().find(|(_, of)| of == name).map(|(alias, _)| alias.clone());
        recipes.iter().map(|recipe| Self { alias: alias(&recipe.name), ..Self::of(recipe) }).collect()
    }

    /// That of a recipe.
    pub fn of(recipe: &Recipe) -> Self {
        let names = |piece: Piece| Pass(piece.stages.into_iter().map(|(stage, _)| stage).collect());
        let passes = pieces(recipe).into_iter().map(names).collect();
        Self { name: recipe.name.clone(), alias: None, passes, segmented: recipe.is_segmented() }
    }

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
    pub fn overlapped(&self) -> Option<(&[Pass], &Pass, Pass)> {
        match &self.passes[..] {
            [before @ .., network, encode] if self.segmented && self.mezz().is_some() => {
                Some((before, network, encode.beside(&Pass(vec![Stage::Prove]))))
            }
            _ => None,
        }
    }

    /// With segments: all that is at work at once while they are made.
    pub fn at_once(&self) -> Option<Pass> {
        match (self.overlapped(), self.passes.last()) {
            (Some((_, network, encode)), _) => Some(network.beside(&encode)),
            (None, Some(last)) if self.segmented => Some(last.beside(&Pass(vec![Stage::Prove]))),
            _ => None,
        }
    }

    /// The passes that come one after the other. Where the film is made in segments, each is proved, and then the whole.
    pub(super) fn in_turn(&self) -> Vec<Pass> {
        let proof = Pass(vec![Stage::Prove]);
        match (self.overlapped(), self.at_once(), self.passes.split_last()) {
            (Some((before, ..)), ..) => [before, &[proof]].concat(),
            (None, Some(at_once), Some((_, before))) => [before, &[at_once, proof]].concat(),
            _ => self.passes.clone(),
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

    /// Every pass that has to be measured as a whole to know it: those of more than one stage. What is at work at once is so as
    /// well, and its two halves.
    pub fn measured_passes(&self) -> Vec<Pass> {
        let mut passes = self.in_turn();
        if let Some((_, network, encode)) = self.overlapped() {
            passes.extend([network.clone(), encode.without_proof()]);
            passes.extend(self.at_once());
        }
        passes.retain(|pass| pass.0.len() > 1);
        passes
    }
}

/// A pass of a recipe, as it is without segments.
pub(super) struct Piece {
    /// Its stages, and which of the pass's programs each is.
    pub(super) stages: Vec<(Stage, Range<usize>)>,
    /// In the recipe's words.
    pub(super) pass: recipe::Pass,
}

/// The passes of a recipe in one piece: what is run on each segment is run on all of it.
pub(super) fn pieces(recipe: &Recipe) -> Vec<Piece> {
    let mut passes = Vec::new();
    for pass in &recipe.passes {
        match pass.stages.split_last() {
            Some((last, ahead)) if pass.is_segmented() => {
                let mut of_segment = last.segment.clone();
                of_segment[0].stages.splice(..0, ahead.iter().cloned());
                of_segment[0].input.clone_from(&pass.input);
                passes.extend(of_segment);
            }
            _ => passes.push(pass.clone()),
        }
    }
    let (mut behind, count) = (false, passes.len());
    let piece = |(i, pass)| Piece { stages: named(&pass, i + 1 == count, &mut behind), pass };
    passes.into_iter().enumerate().map(piece).collect()
}

/// The stages of a pass, and which of its programs each is; `behind` says whether the network comes before them. What decodes
/// the source and what prepares its pictures are one stage: neither is ever without the other.
pub(super) fn named(pass: &recipe::Pass, is_last: bool, behind: &mut bool) -> Vec<(Stage, Range<usize>)> {
    let (mut stages, mut from) = (Vec::new(), 0);
    for (i, stage) in pass.stages.iter().enumerate() {
        let (reads, ends) = (i == 0 && pass.input.is_some(), i + 1 == pass.stages.len());
        let stage = match stage.name.as_str() {
            "decode" => continue,
            _ if reads && *behind => Stage::ReadMezz,
            _ if reads => Stage::ReadPre,
            name if ends && pass.output.is_some() && *behind => Stage::Mezz(name.into()),
            name if ends && pass.output.is_some() => Stage::Pre(name.into()),
            _ if ends && is_last => Stage::Final,
            name => Stage::from(name.to_owned()),
        };
        *behind |= stage == Stage::Enlarge;
        stages.push((stage, from..i + 1));
        from = i + 1;
    }
    stages
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in crate::plan) fn shapes() -> Vec<Shape> {
        let makefile = Makefile::own();
        Shape::all(makefile, &Recipe::all(makefile).unwrap())
    }

    fn passes(passes: Vec<Pass>) -> Vec<String> {
        passes.iter().map(Pass::to_string).collect()
    }

    #[test]
    fn recipes_have_shapes() {
        let shape = |name: &str| shapes().into_iter().find(|shape| shape.name == name).unwrap();
        let option1 = shape("option1");
        assert_eq!(
            passes(option1.in_turn()),
            ["prepare pre-prores-lt", "read-pre enlarge mezz-prores", "read-mezz retime final"]
        );
        assert_eq!((option1.encoder(), option1.segmented), (Stage::FinalPre, false));
        let tight = shape("option3");
        assert_eq!(tight.alias.as_deref(), Some("tight"));
        assert_eq!((tight.pre(), tight.mezz()), (None, Some(&Stage::Mezz("intra".into()))));
        let option4 = shape("option4");
        assert_eq!(passes(option4.in_turn()), ["prepare enlarge retime final prove", "prove"]);
        assert_eq!(option4.overlapped(), None);
        let recommended = shape("recommended");
        assert_eq!(passes(recommended.in_turn()), ["prepare pre-prores-lt", "prove"]);
        let (_, network, encode) = recommended.overlapped().unwrap();
        assert_eq!(
            (network.to_string(), encode.to_string()),
            ("read-pre enlarge mezz-prores".into(), "read-mezz retime final prove".into())
        );
    }

    #[test]
    fn a_stage_is_its_name() {
        for name in [
            "learn",
            "prepare",
            "pre-x",
            "read-pre",
            "enlarge",
            "mezz-a-b",
            "read-mezz",
            "retime",
            "final",
            "final-pre",
            "prove",
            "mux",
            "denoise",
        ] {
            assert_eq!(Stage::from(name.to_owned()).to_string(), name);
        }
        assert_eq!(Stage::from("read-pre".to_owned()), Stage::ReadPre);
    }

    #[test]
    fn what_takes_as_long_is_of_one_kind() {
        let kind = |names: &str| Pass::from(names.to_owned()).kind();
        assert_eq!(kind("prepare pre-a"), kind("prepare pre-b"));
        assert_eq!(kind("read-pre enlarge mezz-a"), kind("prepare enlarge mezz-a"));
        assert_ne!(kind("prepare enlarge mezz-a"), kind("prepare enlarge mezz-b"));
    }
}
