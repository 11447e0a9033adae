//! An option's recipe: the passes that make a film, each a pipe of stages.
//!
//! ```text
//! decode | prepare | prores >pre.mov; read-rgb <pre.mov | enlarge | segments(prores >mezz.mkv; read-yuv <mezz.mkv | retime | encode)
//! ```
//!
//! A pass leaves the file behind `>`; another reads it by `<`. What ends in `segments(…)` is made by seg-sink, which runs the
//! passes in the parentheses on each segment. The last pass makes the film's pictures.

use crate::makefile::Makefile;

/// A way to make a film.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recipe {
    /// Of the option.
    pub name: String,
    /// One after another.
    pub passes: Vec<Pass>,
}

/// Stages that work side by side.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pass {
    /// From the first of the pipe to the last.
    pub stages: Vec<Stage>,
    /// The file that the first stage reads, which an earlier pass has left.
    pub input: Option<String>,
    /// The file that the last stage leaves; `None`: the pictures of the film.
    pub output: Option<String>,
}

/// One program of a pipe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stage {
    /// That of its text in the Makefile.
    pub name: String,
    /// What is run on each segment; empty but for seg-sink.
    pub segment: Vec<Pass>,
}

/// The film's pictures, before sound, subtitles and chapters are beside them.
pub const VIDEO: &str = "video.mkv";

impl Recipe {
    /// All that a Makefile has, in its order. Errors: what is wrong with a pipeline.
    pub fn all(makefile: &Makefile) -> Result<Vec<Self>, String> {
        let parse = |(name, text): &(String, String)| Self::parse(name, text);
        makefile.pipelines.iter().map(parse).collect()
    }

    fn parse(name: &str, text: &str) -> Result<Self, String> {
        let wrong = |at: &str| format!("{name}: {at}: cannot be read");
        let mut tokens = tokens(text);
        let passes = passes(&mut tokens).map_err(|at| wrong(&at))?;
        match tokens.next() {
            Some(rest) => Err(wrong(&rest)),
            None => Ok(Self { name: name.into(), passes }),
        }
    }

    /// Does seg-sink make the pictures, so that the work can be shared out and gone on with by segments?
    pub fn is_segmented(&self) -> bool {
        self.passes.last().is_some_and(Pass::is_segmented)
    }

    /// The files that stay on the disk until the film is finished.
    pub fn files(&self) -> impl Iterator<Item = &str> {
        self.passes.iter().filter_map(|pass| pass.output.as_deref())
    }
}

impl Pass {
    /// Does it end in segments?
    pub fn is_segmented(&self) -> bool {
        self.stages.last().is_some_and(|stage| !stage.segment.is_empty())
    }

    /// Does that stage work here?
    pub fn has(&self, stage: &str) -> bool {
        self.stages.iter().any(|s| s.name == stage)
    }

    /// The file that it leaves, [`VIDEO`] where nothing else is said.
    pub fn leaves(&self) -> &str {
        self.output.as_deref().unwrap_or(VIDEO)
    }
}

/// Names and the signs between them.
fn tokens(text: &str) -> std::iter::Peekable<impl Iterator<Item = String>> {
    let mut all: Vec<String> = Vec::new();
    let mut in_name = false;
    for c in text.chars() {
        match c {
            '|' | ';' | '<' | '>' | '(' | ')' => all.push(c.into()),
            c if c.is_whitespace() => {}
            c if in_name => all.last_mut().into_iter().for_each(|name| name.push(c)),
            c => all.push(c.into()),
        }
        in_name = !c.is_whitespace() && !"|;<>()".contains(c);
    }
    all.into_iter().peekable()
}

type Tokens<'a, I> = &'a mut std::iter::Peekable<I>;

fn passes<I: Iterator<Item = String>>(tokens: Tokens<'_, I>) -> Result<Vec<Pass>, String> {
    let mut all = vec![pass(tokens)?];
    while tokens.next_if(|t| t == ";").is_some() {
        all.push(pass(tokens)?);
    }
    Ok(all)
}

fn pass<I: Iterator<Item = String>>(tokens: Tokens<'_, I>) -> Result<Pass, String> {
    let mut pass = Pass { stages: Vec::new(), input: None, output: None };
    loop {
        let mut stage = Stage { name: name(tokens)?, segment: Vec::new() };
        if tokens.next_if(|t| t == "<").is_some() {
            if !pass.stages.is_empty() {
                return Err("<".into());
            }
            pass.input = Some(name(tokens)?);
        }
        if tokens.next_if(|t| t == "(").is_some() {
            stage.segment = passes(tokens)?;
            tokens.next_if(|t| t == ")").ok_or("(")?;
        }
        pass.stages.push(stage);
        if tokens.next_if(|t| t == ">").is_some() {
            pass.output = Some(name(tokens)?);
            return Ok(pass);
        }
        if tokens.next_if(|t| t == "|").is_none() {
            return Ok(pass);
        }
    }
}

fn name<I: Iterator<Item = String>>(tokens: Tokens<'_, I>) -> Result<String, String> {
    match tokens.next() {
        Some(token) if !"|;<>()".contains(&*token) => Ok(token),
        Some(token) => Err(token),
        None => Err("the end".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_recipe_is_read() {
        let text = "decode | prores >pre.mov; read <pre.mov | net | segments(mezz >m; read <m | encode)";
        let recipe = Recipe::parse("option9", text).unwrap();
        let names = |pass: &Pass| pass.stages.iter().map(|s| s.name.clone()).collect::<Vec<_>>().join(" ");
        assert_eq!(
            recipe.passes.iter().map(names).collect::<Vec<_>>(),
            ["decode prores", "read net segments"]
        );
        assert_eq!(recipe.files().collect::<Vec<_>>(), ["pre.mov"]);
        assert_eq!(recipe.passes[1].input.as_deref(), Some("pre.mov"));
        assert!(recipe.is_segmented() && !recipe.passes[0].is_segmented());
        let segment = &recipe.passes[1].stages[2].segment;
        assert_eq!(segment.iter().map(names).collect::<Vec<_>>(), ["mezz", "read encode"]);
        assert_eq!(recipe.passes[1].leaves(), VIDEO);
    }

    #[test]
    fn what_is_no_recipe_is_refused() {
        for (text, at) in [
            ("", "the end"),
            ("a |", "the end"),
            ("a | | b", "|"),
            ("a(b", "("),
            ("a >b c", "c"),
            ("a | b <c", "<"),
        ] {
            assert_eq!(Recipe::parse("x", text), Err(format!("x: {at}: cannot be read")), "{text}");
        }
    }

    #[test]
    fn the_makefile_has_recipes() {
        let all = Recipe::all(Makefile::own()).unwrap();
        assert!(all.iter().any(|recipe| recipe.name == "option5" && recipe.is_segmented()));
    }
}
