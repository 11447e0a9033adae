//! A stage's text, and the argument vector that it comes to.
//!
//! The text is split into words first, and the values are put into the words afterwards: whatever is in a value, it stays
//! one word, and no shell ever sees it. `{name}` stands for a value; `[` and `]` hold words that are left out where a value
//! in them is not there; a word that is nothing but `{name}` becomes as many words as the value has.

use std::collections::BTreeMap;

/// Values by name. A name without a value has no words.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Values(BTreeMap<&'static str, Vec<String>>);

impl Values {
    /// Sets a value of one word.
    pub fn set(&mut self, name: &'static str, value: impl ToString) {
        self.0.insert(name, vec![value.to_string()]);
    }

    /// Sets a value that may be missing.
    pub fn set_or_not(&mut self, name: &'static str, value: Option<impl ToString>) {
        self.0.insert(name, value.map(|v| v.to_string()).into_iter().collect());
    }

    /// Sets a value of several words.
    pub fn set_words(&mut self, name: &'static str, words: Vec<String>) {
        self.0.insert(name, words);
    }

    /// The words of a value; `None` for a name that nothing knows.
    pub fn get(&self, name: &str) -> Option<&[String]> {
        self.0.get(name).map(Vec::as_slice)
    }

    /// The value of one word.
    pub fn word(&self, name: &str) -> Option<&str> {
        self.get(name)?.first().map(String::as_str)
    }
}

/// The argument vector of `text`. Errors: quotes or brackets that do not match, a name that nothing knows.
pub fn fill(text: &str, values: &Values) -> Result<Vec<String>, String> {
    let words = shell_words::split(text).map_err(|e| format!("{text}: {e}"))?;
    let (mut filled, mut group) = (Vec::new(), None::<(Vec<String>, bool)>);
    for word in &words {
        let (open, word) = word.strip_prefix('[').map_or((false, &**word), |rest| (true, rest));
        let (close, word) = word.strip_suffix(']').map_or((false, word), |rest| (true, rest));
        if open && group.replace((Vec::new(), true)).is_some() {
            return Err(format!("{text}: a bracket within brackets"));
        }
        let found = put(word, values)?;
        match (&mut group, found) {
            (Some((words, _)), Some(found)) => words.extend(found),
            (Some((_, whole)), None) => *whole = false,
            (None, Some(found)) => filled.extend(found),
            (None, None) => return Err(format!("{word}: has no value")),
        }
        if close {
            let (words, whole) = group.take().ok_or_else(|| format!("{text}: a bracket too many"))?;
            filled.extend(words.into_iter().filter(|_| whole));
        }
    }
    if group.is_some() { Err(format!("{text}: a bracket is not closed")) } else { Ok(filled) }
}

/// One word with its values in it; `None` where one of them is not there.
fn put(word: &str, values: &Values) -> Result<Option<Vec<String>>, String> {
    let get =
        |name: &str| values.get(name).ok_or_else(|| format!("{{{name}}}: nothing of that name is known"));
    let whole = word.strip_prefix('{').and_then(|w| w.strip_suffix('}')).filter(|name| !name.contains('{'));
    if let Some(name) = whole {
        return Ok(Some(get(name)?.to_vec()).filter(|words| !words.is_empty()));
    }
    let (mut filled, mut rest) = (String::new(), word);
    while let Some((before, after)) = rest.split_once('{') {
        let (name, after) = after.split_once('}').ok_or_else(|| format!("{word}: a brace is not closed"))?;
        filled += before;
        match get(name)? {
            [] => return Ok(None),
            words => filled += &words.join(" "),
        }
        rest = after;
    }
    Ok(Some(vec![filled + rest]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn values() -> Values {
        let mut values = Values::default();
        values.set("src", "a b'$(c)\n--d");
        values.set("crf", 16);
        values.set_or_not("none", None::<u8>);
        values.set_words("all", vec!["-x".into(), "[y]".into()]);
        values
    }

    #[test]
    fn values_stay_words() {
        let fill = |text| fill(text, &values());
        assert_eq!(
            fill("-i {src} p=crf={crf}:x"),
            Ok(vec!["-i".into(), "a b'$(c)\n--d".into(), "p=crf=16:x".into()])
        );
        assert_eq!(
            fill("a [-n {none} b] [-c {crf}] d"),
            Ok(["a", "-c", "16", "d"].map(String::from).to_vec())
        );
        assert_eq!(fill("[{all}] [{none}]"), Ok(["-x", "[y]"].map(String::from).to_vec()));
        assert_eq!(fill("{none}"), Err("{none}: has no value".into()));
        assert_eq!(fill("{what}"), Err("{what}: nothing of that name is known".into()));
        assert_eq!(fill("[a"), Err("[a: a bracket is not closed".into()));
        assert_eq!(fill("a]"), Err("a]: a bracket too many".into()));
    }

    proptest! {
        #[test]
        fn whatever_is_in_a_value_it_is_one_word(value in any::<String>()) {
            let mut values = Values::default();
            values.set("v", &value);
            prop_assert_eq!(fill("a {v} [b={v}]", &values), Ok(vec!["a".into(), value.clone(), format!("b={value}")]));
        }
    }
}
