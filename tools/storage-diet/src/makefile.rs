//! The Makefile is where variables, stages and options are written down, once: make runs the targets, and this reads the
//! rest of it.
//!
//! Of the lines that make would expand (`name = text`), those in capitals are variables with their defaults, and the others
//! are text of the stages, in which `$(name)` stands for that of another line. `option: pipeline = …` are the options. What
//! is assigned by `:=` is make's own business.

use std::{collections::BTreeMap, sync::LazyLock};

/// What was read.
#[derive(Clone, Debug, Default)]
pub struct Makefile {
    /// Names in capitals and their defaults, in order.
    pub variables: Vec<(String, String)>,
    /// Text by name.
    texts: BTreeMap<String, String>,
    /// Each option's name and pipelines, in order.
    pub pipelines: Vec<(String, String)>,
    /// Other names of options: `tight: option3`.
    pub aliases: Vec<(String, String)>,
    /// What `make help` says of a target.
    abouts: BTreeMap<String, String>,
}

impl Makefile {
    /// The one that this program was built with.
    pub fn own() -> &'static Self {
        static OWN: LazyLock<Makefile> = LazyLock::new(|| Makefile::parse(include_str!("../../../Makefile")));
        &OWN
    }

    /// Reads a Makefile's text. Lines of other kinds are passed over.
    pub fn parse(text: &str) -> Self {
        let mut read = Self::default();
        // A line that ends with a backslash goes on in the next, as make has it.
        let joined = text.replace("\\\n", " ");
        for line in joined.lines().filter(|line| !line.starts_with(['\t', '#', ' '])) {
            if let Some((target, rest)) =
                line.split_once(": pipeline =").filter(|(target, _)| is_name(target))
            {
                read.pipelines.push((target.into(), words(rest)));
            } else if let Some((name, rest)) = line.split_once('=').filter(|(name, _)| !name.contains(':')) {
                let (name, value) = (name.trim(), rest.split('#').next().unwrap_or_default().trim());
                if name.bytes().all(|b| b.is_ascii_uppercase() || b == b'_') {
                    read.variables.push((name.into(), value.into()));
                } else if !name.contains([' ', '$', '(']) {
                    read.texts.insert(name.into(), words(value));
                }
            } else if let Some((target, about)) = line.split_once(" ## ") {
                let (target, needs) = target.split_once(':').unwrap_or((target, ""));
                read.abouts.insert(target.into(), about.trim().into());
                read.aliases.push((target.into(), needs.trim().into()));
            }
        }
        let is_option = |name: &str| read.pipelines.iter().any(|(option, _)| option == name);
        let aliases = std::mem::take(&mut read.aliases);
        read.aliases = aliases.into_iter().filter(|(_, option)| is_option(option)).collect();
        read
    }

    /// The text of that name, with those that it names in `$(…)` in their places. `choose` fills in a `{name}` within the
    /// name of a text, as in `$(encode-{encoder})`. Errors: the name of a text that is not there.
    pub fn text(&self, name: &str, choose: &dyn Fn(&str) -> Option<String>) -> Result<String, String> {
        let mut rest = self.texts.get(name).ok_or_else(|| name.to_owned())?.as_str();
        let mut whole = String::new();
        while let Some(at) = rest.find("$(") {
            let end = at + rest[at..].find(')').ok_or_else(|| name.to_owned())?;
            let mut inner = rest[at + 2..end].to_owned();
            if let Some((head, choice)) = inner.trim_end_matches('}').split_once('{') {
                inner = format!("{head}{}", choose(choice).unwrap_or_default());
            }
            whole += &rest[..at];
            whole += &self.text(&inner, choose)?;
            rest = &rest[end + 1..];
        }
        Ok(whole + rest)
    }

    /// The endings of the names that begin so: `x265` and `svtav1` for `encode-`.
    pub fn choices<'a>(&'a self, head: &'a str) -> impl Iterator<Item = &'a str> {
        self.texts.keys().filter_map(move |name| name.strip_prefix(head))
    }

    /// What `make help` says of a target.
    pub fn about(&self, target: &str) -> &str {
        self.abouts.get(target).map_or("", String::as_str)
    }
}

fn is_name(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
}

fn words(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_makefile_is_read() {
        let read = Makefile::parse(
            "own := no\nCRF =# of the film\nHEIGHT = 1440# rows\ntool = program \\\n    $(flags-{kind}) end\n\
             flags-a = -a 1\nflags-b = -b\noption9: ## words\noption9: pipeline = one | \\\n  two >file\nnine: option9 ## so\n\
             check: ## not an option\n\trecipe = no\n",
        );
        assert_eq!(read.variables, [("CRF".into(), String::new()), ("HEIGHT".into(), "1440".to_owned())]);
        assert_eq!(read.text("tool", &|_| Some("a".into())), Ok("program -a 1 end".into()));
        assert_eq!(read.text("tool", &|_| Some("c".into())), Err("flags-c".into()));
        assert_eq!(read.choices("flags-").collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!(read.pipelines, [("option9".into(), "one | two >file".to_owned())]);
        assert_eq!(read.aliases, [("nine".into(), "option9".to_owned())]);
        assert_eq!(read.about("option9"), "words");
    }
}
