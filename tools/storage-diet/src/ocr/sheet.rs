//! A page for a person: every picture beside what was read in it, the doubtful ones first.

use super::{cue::Cue, tesseract::Area};
use base64::{display::Base64Display, engine::general_purpose::STANDARD};
use cli::{Error, Result};
use quick_xml::escape::escape;
use std::{fs, io, path::Path};

const HEAD: &str = "\
<!DOCTYPE html><meta charset=\"utf-8\"><title>Subtitles as read</title>
<style>
body { font: 16px sans-serif } td { padding: 4px 12px; border-top: 1px solid #ccc; white-space: pre-line }
.doubt { background: #fdd } i { display: block; zoom: 0.4; border: 20px solid #fff }
</style><table>
";

/// All of a picture of the largest disc of our time base, for a cue of which nothing could be read.
const WHOLE: Area = Area { left: 0, top: 0, right: 2160, bottom: 1728 };

/// The page; the pictures themselves are in it.
///
/// Errors: a picture cannot be read.
pub(super) fn page(cues: &[Cue], pictures: &Path) -> Result<String> {
    let (doubtful, sure): (Vec<&Cue>, Vec<&Cue>) = cues.iter().partition(|cue| cue.is_doubtful());
    let mut page = HEAD.to_owned();
    for cue in [doubtful, sure].concat() {
        let path = pictures.join(cue.letters.picture(cue.start_ms));
        let picture = match fs::read(&path) {
            // An event of which no picture was made.
            Err(e) if e.kind() == io::ErrorKind::NotFound => Vec::new(),
            read => read.map_err(|e| Error::cannot("read", path.display(), &e))?,
        };
        page += &row(cue, &picture);
    }
    Ok(page + "</table>\n")
}

fn row(cue: &Cue, png: &[u8]) -> String {
    let Area { left, top, right, bottom } = cue.area.unwrap_or(WHOLE);
    let class = if cue.is_doubtful() { " class=doubt" } else { "" };
    let (seconds, confidence) = (cue.start_ms as f64 / 1000.0, cue.confidence);
    let (width, height) = (right - left, bottom - top);
    let data = Base64Display::new(png, &STANDARD);
    format!(
        "<tr{class}><td>{seconds} s<td>{confidence}<td><i style=\"width:{width}px;height:{height}px;\
         background:url(data:image/png;base64,{data}) -{left}px -{top}px\"></i><td>{}\n",
        escape(&cue.text)
    )
}

#[cfg(test)]
mod tests {
    use super::{super::pictures::Letters, *};

    fn cue(start_ms: i64, confidence: u8, text: &str) -> Cue {
        let area = Some(Area { left: 3, top: 4, right: 33, bottom: 24 });
        Cue { start_ms, end_ms: start_ms + 1, text: text.into(), confidence, letters: Letters::Dark, area }
    }

    #[test]
    fn what_was_read_is_text_and_no_markup() {
        let text = "<script>alert(\"1\")</script>\n& 'it'";
        assert_eq!(
            row(&cue(480, 90, text), b"PNG"),
            "<tr><td>0.48 s<td>90<td><i style=\"width:30px;height:20px;\
             background:url(data:image/png;base64,UE5H) -3px -4px\"></i>\
             <td>&lt;script&gt;alert(&quot;1&quot;)&lt;/script&gt;\n&amp; &apos;it&apos;\n"
        );
    }

    #[test]
    fn doubtful_cues_come_first() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("dark-2000.png"), b"PNG").unwrap();
        let unread = Cue { area: None, ..cue(3000, 0, "") };
        let page = page(&[cue(1000, 60, "sure"), cue(2000, 59, "doubtful"), unread], folder.path()).unwrap();
        let rows: Vec<_> = page.strip_prefix(HEAD).unwrap().lines().collect();
        assert_eq!(rows.len(), 4);
        assert!(rows[0].starts_with("<tr class=doubt><td>2 s<td>59<td>") && rows[0].contains("base64,UE5H)"));
        assert!(rows[1].contains("<td>3 s<td>0<td><i style=\"width:2160px;height:1728px;"));
        assert!(rows[2].starts_with("<tr><td>1 s<td>60<td>") && rows[2].ends_with("<td>sure"));
        assert_eq!(rows[3], "</table>");
    }
}
