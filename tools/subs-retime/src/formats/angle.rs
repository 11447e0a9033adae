//! Text with `<i>` in it, as SubRip and WebVTT have it.

use crate::cue::{Losses, Piece, Style, push_text};

/// Reads text in which `<b>`, `<i>` and `<u>` are styles and other tags are lost; `name` says which loss a tag is, or
/// that it is no tag.
pub(super) fn read(text: &str, name: fn(&str) -> Option<&'static str>, losses: &mut Losses) -> Vec<Piece> {
    let mut pieces = Vec::new();
    let mut rest = text;
    // Where the next `>` stands; to look for it anew at every `<` would be quadratic where one closes many.
    let mut closing = 0;
    while let Some(at) = rest.find(['<', '\n']) {
        push_text(&mut pieces, rest[..at].trim_end_matches('\r'));
        if rest[at..].starts_with('\n') {
            pieces.push(Piece::Break);
            rest = &rest[at + 1..];
            continue;
        }
        let inside = text.len() - rest.len() + at + 1;
        if closing < inside {
            let Some(ahead) = text[inside..].find('>') else {
                push_text(&mut pieces, &rest[at..]);
                return pieces;
            };
            closing = inside + ahead;
        }
        let (tag, after) = (&text[inside..closing], &text[closing + 1..]);
        let (on, word) = tag.strip_prefix('/').map_or((true, tag), |word| (false, word));
        let style = if word.len() == 1 { Style::of(&word.to_ascii_lowercase()) } else { None };
        match (style, name(word)) {
            (Some(style), _) => pieces.push(Piece::Style(style, on)),
            (None, Some(what)) if on => losses.add(what),
            (None, Some(_)) => (),
            (None, None) => {
                push_text(&mut pieces, &rest[at..=at]);
                rest = &rest[at + 1..];
                continue;
            }
        }
        rest = after;
    }
    push_text(&mut pieces, rest);
    pieces
}

/// Writes text with its styles as tags; `escape` does what the format needs done to the characters.
pub(super) fn write(pieces: &[Piece], escape: fn(&str) -> String) -> String {
    let piece = |piece: &Piece| match piece {
        Piece::Text(text) => escape(text),
        Piece::Break => "\n".to_owned(),
        Piece::Style(style, on) => format!("<{}{}>", if *on { "" } else { "/" }, style.letter()),
    };
    pieces.iter().map(piece).collect()
}
