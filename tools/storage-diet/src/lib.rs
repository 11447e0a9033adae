//! A film through the filters: what has to be known, kept, counted and proved around them.

pub mod ocr;
pub mod probe;
pub mod program;
