//! subtitles or chapters in, the same with every time on the slower clock out.
