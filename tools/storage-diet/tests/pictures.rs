//! Whether a film's pictures are its source's, on films that ffmpeg makes.

use cli::Session;
use std::{
    path::{Path, PathBuf},
    process::Command,
};
use storage_diet::{
    probe::Film,
    reading::Reading,
    timeline::{Gaps, Timeline},
    verify::{Against, verify},
};
use timebase::Rational;

fn ffmpeg(args: &str, filters: &str, crf: u32, out: &Path) {
    let before = ["-v", "error", "-nostdin", "-y"];
    let mut command = Command::new("ffmpeg");
    let filters = format!(
        "{filters},format=yuv420p10le,setparams=range=limited:color_primaries=bt709:color_trc=bt709:colorspace=bt709"
    );
    command.args(before).args(args.split_whitespace()).args(["-vf", &filters]);
    let ended =
        command.args(CODEC.split_whitespace()).arg("-crf").arg(crf.to_string()).arg(out).output().unwrap();
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
}

const CODEC: &str =
    "-fps_mode passthrough -pix_fmt yuv420p10le -c:v libx265 -preset ultrafast -x265-params log-level=error";

/// A source of 50 frames.
fn source(folder: &Path, pictures: &str, filters: &str) -> PathBuf {
    let path = folder.join("source.mkv");
    ffmpeg(&format!("-f lavfi -i {pictures} -frames:v 50"), filters, 24, &path);
    path
}

/// What the proof says of the film that is those frames of the source, half as large.
fn proof(source: &Path, frames: &str) -> Result<(), String> {
    coarse_proof(source, frames, 24)
}

/// The same of a film of that CRF.
fn coarse_proof(source: &Path, frames: &str, crf: u32) -> Result<(), String> {
    let film = source.with_file_name("film.mkv");
    let filters = format!("select='{frames}',scale=iw/2:-2:flags=area,setsar=1,settb=1/24,setpts=N,fps=24");
    ffmpeg(&format!("-i {}", source.display()), &filters, crf, &film);
    let name = format!("{}: pictures: ", film.display());
    let reading = &Reading::of(source, &Film::read(source).unwrap(), &|_| ()).unwrap();
    let timeline = &Timeline::new(&reading.pictures, Rational::whole(25), Gaps::Refuse, 0);
    let against = Against { path: source, reading, timeline, start: 0, prepare: None };
    let proof = verify(&Session::new("storage-diet"), &film, Some(against));
    proof.map_err(|e| e.to_string().replace(&name, ""))
}

#[test]
fn what_cannot_be_told_apart_is_no_finding() {
    let folder = tempfile::tempdir().unwrap();
    for (pictures, filters) in [
        ("mandelbrot=s=320x240:r=25", "fade=in:0:15,fade=out:30:20"),
        ("color=gray:s=320x240:r=25", "noise=alls=100:allf=t"),
        ("testsrc=s=320x240:r=25", "trim=end_frame=1,loop=-1:1"),
        ("color=black:s=320x240:r=25", "null"),
    ] {
        let source = source(folder.path(), pictures, filters);
        assert_eq!(proof(&source, "1"), Ok(()), "{pictures} {filters}");
    }
    let source = source(folder.path(), "testsrc=s=320x240:r=25", "null");
    assert_eq!(proof(&source, "lt(n,1)"), Ok(()), "a film of one frame");
}

#[test]
fn a_film_that_is_a_frame_off_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let source = source(folder.path(), "mandelbrot=s=320x240:r=25", "null");
    let off = |frames: &str| proof(&source, frames).unwrap_err();
    let words = " of 25 are not the source's, the first: frame ";
    let all = off("gt(n,0)");
    assert!(
        all.contains(words) && all.ends_with("frame 0 of the source: it is the one 1 frame after it"),
        "{all}"
    );
    let second_half = off("not(eq(n,24))");
    assert!(
        second_half.contains(words) && second_half.ends_with("it is the one 1 frame after it"),
        "{second_half}"
    );
}

/// Of what is almost still, x265 repeats what it has at CRF 30 and 40.
#[test]
fn a_coarse_film_is_not_called_late() {
    let folder = tempfile::tempdir().unwrap();
    for pictures in ["testsrc=s=320x240:r=25", "mandelbrot=s=320x240:r=25"] {
        let source = source(folder.path(), pictures, "null");
        for crf in [30, 40] {
            assert_eq!(coarse_proof(&source, "1", crf), Ok(()), "{pictures} {crf}");
        }
    }
    // What moves is told from the next frame all the same.
    let mandelbrot = folder.path().join("source.mkv");
    let off = coarse_proof(&mandelbrot, "gt(n,0)", 30).unwrap_err();
    assert!(off.ends_with("it is the one 1 frame after it"), "{off}");
}
