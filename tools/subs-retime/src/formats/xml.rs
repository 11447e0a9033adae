//! What the XML formats share: a walk over the elements, and where in the file a part of it stands.

use super::Broken;
use quick_xml::{Reader, errors::SyntaxError, escape::resolve_predefined_entity, events::Event};

/// Shows every event of `text` to `see`, with how many elements are open around it; why the walk ended early, if it
/// did.
pub(super) fn walk(text: &str, mut see: impl FnMut(&Event<'_>, usize)) -> Option<Broken> {
    let mut reader = Reader::from_str(text);
    let mut depth = 0usize;
    loop {
        let broken = |torn, at, reason| Some(Broken { whole: 0, at, torn, reason });
        match reader.read_event() {
            Err(error) => {
                use quick_xml::Error::Syntax;
                let cut_short = matches!(error, Syntax(kind) if kind != SyntaxError::InvalidBangMarkup);
                return broken(cut_short, reader.error_position() as usize, error.to_string());
            }
            Ok(Event::Eof) if depth == 0 => return None,
            Ok(Event::Eof) => {
                return broken(true, text.len(), format!("ends inside {depth} open elements"));
            }
            Ok(event) => {
                depth -= usize::from(matches!(event, Event::End(_)));
                see(&event, depth);
                depth += usize::from(matches!(event, Event::Start(_)));
            }
        }
    }
}

/// The byte of `text` at which `part`, a piece of it, begins.
pub(super) fn offset(text: &str, part: &str) -> Option<usize> {
    let at = (part.as_ptr() as usize).checked_sub(text.as_ptr() as usize)?;
    (at + part.len() <= text.len()).then_some(at)
}

/// The name of the first element, without its prefix.
pub(super) fn root(text: &str) -> Option<String> {
    let mut reader = Reader::from_str(text);
    loop {
        match reader.read_event().ok()? {
            Event::Start(element) | Event::Empty(element) => {
                return Some(element.local_name().as_ref().to_owned());
            }
            Event::Eof => return None,
            _ => (),
        }
    }
}

/// Adds the characters of an event to a text: what stands there, with its references resolved.
pub(super) fn say(event: &Event<'_>, said: &mut String) {
    match event {
        Event::Text(text) => said.push_str(text),
        Event::CData(text) => said.push_str(text),
        Event::GeneralRef(name) => match name.resolve_char_ref() {
            Ok(Some(character)) => said.push(character),
            _ => said.push_str(resolve_predefined_entity(name).unwrap_or_default()),
        },
        _ => (),
    }
}
