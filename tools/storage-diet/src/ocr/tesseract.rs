//! Pictures of text, read by tesseract.

use super::pictures::{Event, Letters};
use cli::{Error, Result, ends_with_us};
use std::{
    fs, io,
    path::Path,
    process::{Command, Stdio},
    thread,
};

/// A word of a picture.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Word {
    /// What letters the picture was made for.
    pub(super) letters: Letters,
    /// When the picture appears.
    pub(super) start_ms: i64,
    /// Block, paragraph and line that it is in.
    pub(super) line: [u32; 3],
    /// How sure tesseract is, 0 to 100.
    pub(super) confidence: f64,
    /// Where it is in the picture.
    pub(super) area: Area,
    /// The word.
    pub(super) text: String,
}

/// A rectangle of pixels, its right and bottom edges not included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Area {
    pub(super) left: u32,
    pub(super) top: u32,
    pub(super) right: u32,
    pub(super) bottom: u32,
}

impl Area {
    /// The smallest that holds both.
    pub(super) fn with(self, other: Self) -> Self {
        Self {
            left: self.left.min(other.left),
            top: self.top.min(other.top),
            right: self.right.max(other.right),
            bottom: self.bottom.max(other.bottom),
        }
    }
}

/// Is tesseract there, with what it takes to read that language?
pub(super) fn can_read(language: &str) -> Result<()> {
    let package = "tesseract-ocr";
    let known = output(Command::new("tesseract").arg("--list-langs")).map_err(|e| match e {
        Failure::NotThere => Error::failed("tesseract", format!("not installed; the package is {package}")),
        Failure::Error(e) => e,
    })?;
    if known.lines().any(|known| known == language) {
        return Ok(());
    }
    let package = format!("{package}-{}", language.replace('_', "-"));
    Err(Error::failed("tesseract", format!("cannot read {language}; the package is {package}")))
}

/// Reads the pictures of `events` in `folder`, as many at once as there are cores.
///
/// Errors: tesseract fails.
pub(super) fn read(folder: &Path, events: &[Event], language: &str) -> Result<Vec<Word>> {
    let pictures = events.iter().flat_map(|event| Letters::BOTH.map(|letters| (letters, event.start_ms)));
    let pictures: Vec<_> =
        pictures.filter(|(letters, start)| folder.join(letters.picture(*start)).exists()).collect();
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let part = pictures.len().div_ceil(cores).max(1);
    thread::scope(|scope| {
        let readers: Vec<_> = pictures
            .chunks(part)
            .enumerate()
            .map(|(n, pictures)| scope.spawn(move || read_some(folder, n, pictures, language)))
            .collect();
        let words = readers
            .into_iter()
            .map(|reader| reader.join().map_err(|_| Error::failed("bug", "a reader died"))?);
        Ok(words.collect::<Result<Vec<_>>>()?.concat())
    })
}

/// One run of tesseract, which loads its models once for all of `pictures`.
fn read_some(folder: &Path, n: usize, pictures: &[(Letters, i64)], language: &str) -> Result<Vec<Word>> {
    let list = format!("list-{n}");
    let names: String = pictures.iter().map(|(letters, start)| letters.picture(*start) + "\n").collect();
    fs::write(folder.join(&list), names).map_err(|e| Error::cannot("write", &list, &e))?;
    let mut tesseract = Command::new("tesseract");
    // Its own threads are slower than as many processes.
    tesseract.current_dir(folder).env("OMP_THREAD_LIMIT", "1");
    tesseract.args([&list, "stdout", "--psm", "6", "-l", language, "tsv"]);
    let tsv = output(&mut tesseract).map_err(|e| match e {
        Failure::NotThere => Error::failed("tesseract", "not found"),
        Failure::Error(e) => e,
    })?;
    Ok(words(&tsv, pictures))
}

/// The words in tesseract's table of the pages `pictures`. Its columns: level, page, block, paragraph, line, word, left,
/// top, width, height, confidence, text; what is not of level 5 is no word.
fn words(tsv: &str, pictures: &[(Letters, i64)]) -> Vec<Word> {
    let word = |row: &str| {
        let columns: Vec<_> = row.split('\t').collect();
        let &["5", page, block, paragraph, line, _, left, top, width, height, confidence, text] =
            &columns[..]
        else {
            return None;
        };
        let number = |text: &str| text.parse::<u32>().ok();
        let (letters, start_ms) = *pictures.get(number(page)?.checked_sub(1)? as usize)?;
        let (left, top) = (number(left)?, number(top)?);
        let area = Area {
            left,
            top,
            right: left.checked_add(number(width)?)?,
            bottom: top.checked_add(number(height)?)?,
        };
        // An I that stands alone.
        let text = text.replace('|', "I");
        let line = [number(block)?, number(paragraph)?, number(line)?];
        let word = Word { letters, start_ms, line, confidence: confidence.parse().ok()?, area, text };
        (!word.text.trim().is_empty()).then_some(word)
    };
    tsv.lines().filter_map(word).collect()
}

enum Failure {
    NotThere,
    Error(Error),
}

/// What a program writes to standard output.
fn output(command: &mut Command) -> std::result::Result<String, Failure> {
    let output = ends_with_us(command.stdin(Stdio::null())).output().map_err(|e| match e.kind() {
        io::ErrorKind::NotFound => Failure::NotThere,
        _ => Failure::Error(Error::cannot("start", "tesseract", &e)),
    })?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let last = said
        .lines()
        .rfind(|line| !line.trim().is_empty())
        .map_or_else(|| output.status.to_string(), str::to_owned);
    Err(Failure::Error(Error::failed("tesseract", last)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_a_table() {
        let tsv = "level\tpage_num\tblock_num\tpar_num\tline_num\tword_num\tleft\ttop\twidth\theight\tconf\ttext\n\
                   1\t1\t0\t0\t0\t0\t0\t0\t720\t90\t-1\t\n\
                   4\t1\t1\t1\t1\t0\t41\t24\t344\t38\t-1\t\n\
                   5\t1\t1\t1\t1\t1\t41\t24\t86\t30\t96.463631\tWho\n\
                   5\t1\t1\t1\t1\t2\t144\t24\t101\t30\t95\t \n\
                   5\t2\t1\t2\t3\t1\t1\t2\t3\t4\t60.5\t|'\"m\n\
                   5\t3\t1\t1\t1\t1\t1\t2\t3\t4\t60\tno such page\n\
                   5\t2\t1\t1\t1\t1\t1\t2\t3\t4\tx\tno number\n\
                   5\t2\t1\n";
        let word = |letters, line, confidence, [left, top, right, bottom]: [u32; 4], text: &str| Word {
            letters,
            start_ms: 480,
            line,
            confidence,
            area: Area { left, top, right, bottom },
            text: text.into(),
        };
        assert_eq!(
            words(tsv, &[(Letters::Light, 480), (Letters::Dark, 480)]),
            [
                word(Letters::Light, [1, 1, 1], 96.463631, [41, 24, 127, 54], "Who"),
                word(Letters::Dark, [1, 2, 3], 60.5, [1, 2, 4, 6], "I'\"m"),
            ]
        );
    }
}
