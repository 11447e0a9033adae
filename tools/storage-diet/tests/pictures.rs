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
    let filters = format!("{filters},scale=out_color_matrix=bt709:out_range=tv");
    ffmpeg(&format!("-f lavfi -i {pictures} -frames:v 50"), &filters, 24, &path);
    path
}

/// What the proof says of the film that is those frames of the source, half as large.
fn proof(source: &Path, frames: &str) -> Result<(), String> {
    coarse_proof(source, frames, 24)
}

/// The same of a film of that CRF.
fn coarse_proof(source: &Path, frames: &str, crf: u32) -> Result<(), String> {
    let filters = format!("select='{frames}',scale=iw/2:-2:flags=area");
    proof_of(source, &filters, crf).map_err(|e| e.replace("pictures: ", ""))
}

/// The same of the film that those filters make of the source.
fn proof_of(source: &Path, filters: &str, crf: u32) -> Result<(), String> {
    let film = source.with_file_name("film.mkv");
    let filters = format!("{filters},setsar=1,settb=1/24,setpts=N,fps=24");
    ffmpeg(&format!("-i {}", source.display()), &filters, crf, &film);
    let name = format!("{}: ", film.display());
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

/// A source in all colours that move, in that matrix and range, and says so.
fn colourful(folder: &Path, matrix: &str, range: &str) -> PathBuf {
    let path = folder.join("source.mkv");
    let plane = |phase: u32| format!("130+90*sin((X+{phase})/23+N/9)*cos(Y/31-N/13)+20*X/W");
    let pictures = format!(
        "nullsrc=s=192x144:r=25,format=gbrp,geq=r='{}':g='{}':b='{}',scale=out_color_matrix={matrix}:out_range={range},format=yuv420p",
        plane(0),
        plane(60),
        plane(100)
    );
    let encode = format!("-frames:v 25 -c:v ffv1 -colorspace {matrix} -color_range {range}");
    let mut command = Command::new("ffmpeg");
    command.args(["-v", "error", "-nostdin", "-y", "-f", "lavfi", "-i", &pictures]);
    let ended = command.args(encode.split_whitespace()).arg(&path).output().unwrap();
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
    path
}

/// ffmpeg's filter from there to what a film is in.
fn to_bt709(matrix: &str, range: &str) -> String {
    format!(
        "scale=iw/2:-2:flags=area:in_color_matrix={matrix}:in_range={range}:out_color_matrix=bt709:out_range=tv,format=yuv420p"
    )
}

#[test]
fn the_levels_of_a_film_are_its_sources_whatever_that_is_in() {
    let folder = tempfile::tempdir().unwrap();
    for (matrix, range) in [("bt470bg", "tv"), ("bt709", "tv"), ("bt470bg", "pc"), ("bt709", "pc")] {
        let source = colourful(folder.path(), matrix, range);
        assert_eq!(proof_of(&source, &to_bt709(matrix, range), 30), Ok(()), "{matrix} {range}");
    }
}

#[test]
fn levels_that_are_not_the_sources_are_found() {
    let folder = tempfile::tempdir().unwrap();
    let source = colourful(folder.path(), "bt470bg", "tv");
    let right = to_bt709("bt470bg", "tv");
    for (wrong, expected) in [
        ("lutyuv=y=val+7", " brighter than the source's (luma "),
        ("lutyuv=y=val-7", " darker than the source's (luma "),
        ("lutyuv=u=val+7", " above the source's ("),
        ("lutyuv=v=val-7", " below the source's ("),
        ("lutyuv=y=(val-128)*0.9+128", " of the source's contrast (spread "),
        ("lutyuv=u=(val-128)*0.8+128:v=(val-128)*0.8+128", " of the source's colour (Cb and Cr "),
        ("hue=s=0", " has 0.00 of the source's colour (Cb and Cr "),
        ("swapuv", " of the source's colour (Cb and Cr "),
    ] {
        let found = proof_of(&source, &format!("{right},{wrong}"), 24).unwrap_err();
        assert!(found.starts_with("levels: ") && found.contains(expected), "{wrong}: {found}");
        assert!(
            found.ends_with("; 24 of 24 are off") || found.ends_with("; 25 of 25 are off"),
            "{wrong}: {found}"
        );
    }
    let found = proof_of(&source, &to_bt709("bt709", "tv"), 24).unwrap_err();
    let as_bt709 = "levels: the colours are as of a source in bt709, not in bt470bg (off by ";
    assert!(found.starts_with(as_bt709), "{found}");
    let found = proof_of(&source, &to_bt709("bt470bg", "pc"), 24).unwrap_err();
    assert!(found.starts_with("levels: "), "full range: {found}");
    let found = proof_of(&source, &format!("{right},lutyuv=y=val-20:enable='gte(n,18)'"), 24).unwrap_err();
    assert!(found.contains(" darker than ") && found.contains("; 7 of 2"), "a part of it: {found}");
}
