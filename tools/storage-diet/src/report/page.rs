//! The report as one page of HTML that needs nothing else.

use super::{
    Facts, Found, Report,
    claims::{self, What},
};
use crate::{
    disk::{Bytes, Moment},
    plan::bytes::{Rates, Segments, on_disk},
    progress::{clock, size},
    variables::RATE,
};
use std::fmt::Write;

/// Text as it stands in HTML, in an element or a quoted attribute.
fn escaped(text: &str) -> String {
    let mut escaped = String::new();
    for c in text.chars() {
        match c {
            '&' => escaped += "&amp;",
            '<' => escaped += "&lt;",
            '>' => escaped += "&gt;",
            '"' => escaped += "&quot;",
            '\'' => escaped += "&#x27;",
            c => escaped.push(c),
        }
    }
    escaped
}

/// The page.
pub(super) fn page(report: &Report) -> String {
    let Facts { film, frames, start, segment, size: picture, machine, command, remark } = &report.facts;
    let [film, machine, command] = [film, machine, command].map(|text| escaped(text));
    let enlarged = escaped(&report.plan.enlarged);
    let remark = remark.as_ref().map_or(String::new(), |remark| format!("<p>{}</p>", escaped(remark)));
    let caution = if is_judged(report) {
        String::new()
    } else {
        format!(
            "<p><strong>The network's pictures are {enlarged} here, not {}</strong>, so that a small machine gets through. What is \
             compared with the plan is measured at that size; what is extrapolated is for that size too, and the note's claims are \
             printed beside it but not judged.</p>",
            claims::ENLARGED
        )
    };
    let reference = match &report.reference {
        Some(name) => format!(" against {}'s, which saw no mezzanine", escaped(name)),
        None => String::new(),
    };
    format!(
        r#"<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>Storage report</title><style>
{style}</style>
<h1>What each option takes</h1>
<p>{film}: {frames} frames from film frame {start} on, enlarged to {enlarged}, final {picture},
in segments of {segment} frames.</p>
<p class="soft">{machine}. <code>{command}</code></p>{caution}{remark}
<h2>The disk over time</h2>
<p class="key soft"><i class="pre"></i>pre-mezzanine<i class="mezz"></i>upscaled mezzanine<i class="film"></i>film; the dashed line is the planned peak.
All on the same scales, measured ten times a second.</p>
<div class="options">{curves}</div>
<h2>Plan and measurement</h2>
<p class="soft">Planned from {sampled} frames before the runs; green where it is within 10 % of what was then found.</p>
{sizes}
<h2>Time and quality</h2>
<p class="soft">Elsewhere: the share of the processors that other work had meanwhile, {elsewhere:.0}% during the plan. PSNR and SSIM of luma are those of the finished film{reference}.</p>
{times}
<h2>At 5 and 128 minutes, beside the note</h2>
<p class="soft">The bytes a frame that were found, at film length, in segments of ten minutes. A claim holds if this is within 10 % of its range; else it is more or less.</p>
{ahead}
</html>
"#,
        style = include_str!("page.css"),
        curves = curves(report),
        sampled = report.plan.sampled_frames,
        sizes = sizes(report),
        elsewhere = 100.0 * report.plan.elsewhere,
        times = times(report),
        ahead = ahead(report),
    )
}

/// Are the pictures those that the note speaks of?
fn is_judged(report: &Report) -> bool {
    report.plan.enlarged == claims::ENLARGED
}

/// A table; cells are HTML.
fn table(heads: &[&str], rows: &[Vec<String>]) -> String {
    let line = |tag: &str, cells: &mut dyn Iterator<Item = &str>| {
        let cells: String = cells.map(|cell| format!("<{tag}>{cell}</{tag}>")).collect();
        format!("<tr>{cells}</tr>")
    };
    let head = line("th", &mut heads.iter().copied());
    let body: String = rows.iter().map(|row| line("td", &mut row.iter().map(String::as_str))).collect();
    format!(r#"<div class="wide"><table><thead>{head}</thead><tbody>{body}</tbody></table></div>"#)
}

fn verdict(good: bool, words: &str) -> String {
    format!(r#"<span class="{}">{words}</span>"#, if good { "good" } else { "bad" })
}

/// What was planned, what was found, and how far off that is.
fn against(planned: f64, found: f64, shown: impl Fn(f64) -> String) -> [String; 3] {
    let off = planned / found - 1.0;
    let off =
        if found > 0.0 { verdict(off.abs() <= 0.1, &format!("{:+.1}%", 100.0 * off)) } else { String::new() };
    [shown(planned), shown(found), off]
}

fn bytes_against(planned: u64, found: u64) -> [String; 3] {
    against(planned as f64, found as f64, |bytes| size(bytes as u64))
}

/// The disk over time, a figure for each option, on the same scales.
fn curves(report: &Report) -> String {
    let longest = report.options.iter().map(|found| found.report.wall_s).fold(0.0, f64::max);
    let peak = |found: &Found| found.report.peak_bytes.max(found.planned.peak_bytes.expected);
    let largest = 1.05 * report.options.iter().map(peak).max().unwrap_or(0) as f64;
    let figure = |found: &Found| {
        format!(
            r#"<figure><h3>{name}</h3><span class="soft">peak {peak}, film {film}, {wall:.1} s</span>{curve}<div class="axis"><span>0</span><span>{high} high, {longest:.0} s wide</span></div></figure>"#,
            name = escaped(&found.report.option),
            peak = size(found.report.peak_bytes),
            film = size(found.report.final_bytes),
            wall = found.report.wall_s,
            curve = curve(&found.moments, longest, largest, found.planned.peak_bytes.expected as f64),
            high = size(largest as u64),
        )
    };
    report.options.iter().map(figure).collect()
}

/// Stacked areas: all else, the upscaled mezzanine, and the pre-mezzanine.
fn curve(moments: &[Moment], seconds: f64, bytes: f64, planned: f64) -> String {
    let (width, height) = (480.0, 180.0);
    let began = moments.first().map_or(0.0, |moment| moment.at);
    let x = |at: f64| (at - began) / seconds * width;
    let y = |n: f64| height - n / bytes * height;
    // A size holds until the next one.
    let step = |line: &[f64]| -> Vec<String> {
        let until = |i: usize| moments[(i + 1).min(line.len() - 1)].at;
        let points =
            |(i, &n): (usize, &f64)| [moments[i].at, until(i)].map(|at| format!("{:.1},{:.1}", x(at), y(n)));
        line.iter().enumerate().flat_map(points).collect()
    };
    let mut svg = format!(
        r#"<svg viewBox="0 -4 {width} {}" role="img" aria-label="bytes on the disk over time">"#,
        height + 8.0
    );
    for i in 0..5 {
        let y = height * f64::from(i) / 4.0;
        let _ = write!(svg, r#"<line class="grid" x1="0" x2="{width}" y1="{y}" y2="{y}"/>"#);
    }
    let mut below = vec![0.0; moments.len()];
    for kind in ["film", "mezz", "pre"] {
        let of = |bytes: &Bytes| match kind {
            "film" => bytes.film,
            "mezz" => bytes.mezz,
            _ => bytes.pre,
        };
        let above: Vec<f64> = below.iter().zip(moments).map(|(b, m)| b + of(&m.bytes) as f64).collect();
        let mut points = step(&above);
        points.extend(step(&below).into_iter().rev());
        let _ = write!(svg, r#"<polygon class="{kind}" points="{}"/>"#, points.join(" "));
        below = above;
    }
    let y = y(planned);
    let _ = write!(svg, r#"<line class="plan" x1="0" x2="{width}" y1="{y:.1}" y2="{y:.1}"/></svg>"#);
    svg
}

/// Plan and measurement of every size.
fn sizes(report: &Report) -> String {
    let row = |found: &Found| {
        let (planned, is) = (&found.planned, &found.report);
        let files = &planned.files_bytes;
        let mut row = vec![escaped(&is.option)];
        row.extend(bytes_against(planned.peak_bytes.expected, is.peak_bytes));
        for (planned, is) in
            [(files.film, is.final_bytes), (files.pre, is.files_bytes.pre), (files.mezz, is.files_bytes.mezz)]
        {
            row.extend(planned.map_or(Default::default(), |planned| bytes_against(planned.expected, is)));
        }
        row
    };
    let heads = [
        "option",
        "peak: plan",
        "found",
        "off",
        "film: plan",
        "found",
        "off",
        "pre: plan",
        "found",
        "off",
        "mezzanine: plan",
        "found",
        "off",
    ];
    table(&heads, &report.options.iter().map(row).collect::<Vec<_>>())
}

/// Plan and measurement of time, and how good the films are.
fn times(report: &Report) -> String {
    let row = |found: &Found| {
        let is = &found.report;
        let mut row = vec![escaped(&is.option)];
        row.extend(against(found.planned.wall_s.expected, is.wall_s, clock));
        row.extend([clock(is.cpu_s), format!("{:.0}%", 100.0 * is.elsewhere)]);
        row.extend(match &found.quality {
            _ if report.reference.as_ref() == Some(&is.option) => ["itself".into(), String::new()],
            Some(quality) => {
                let psnr = quality.psnr_db.map_or("inf".into(), |psnr| format!("{psnr:.2}"));
                [format!("{psnr} dB"), format!("{:.4}", quality.ssim)]
            }
            None => Default::default(),
        });
        row
    };
    let heads = ["option", "time: plan", "found", "off", "processor", "elsewhere", "PSNR", "SSIM"];
    table(&heads, &report.options.iter().map(row).collect::<Vec<_>>())
}

/// An option's bytes a frame, as its run had them. Those of a mezzanine in segments are from a run that had all of it; `None`
/// where there was none.
fn measured_rates(report: &Report, found: &Found) -> Option<Rates> {
    let (frames, files) = (found.report.frames as f64, found.report.files_bytes);
    let is_whole = |other: &&Found| other.shape.mezz() == found.shape.mezz() && !other.shape.segmented;
    let mezz = match found.shape.overlapped() {
        Some(_) => report.options.iter().find(is_whole)?.report.files_bytes.mezz,
        None => files.mezz,
    };
    Some(Rates {
        pre: files.pre as f64 / (found.report.frames + report.plan.context) as f64,
        mezz: mezz as f64 / frames,
        video: files.video as f64 / frames,
        sound: files.film.saturating_sub(files.video) as f64 / frames,
    })
}

/// What was found, at the lengths of film that the note speaks of.
fn ahead(report: &Report) -> String {
    let mut rows = Vec::new();
    for found in &report.options {
        let Some(rates) = measured_rates(report, found) else { continue };
        let lag = found.planned.lag.unwrap_or(Segments::SLOWEST);
        let segments = Segments { frames: claims::SEGMENT, jobs: 1, lag, window: 0 };
        for minutes in claims::MINUTES {
            let bytes = on_disk(&found.shape, minutes * 60 * RATE, rates, segments, 0);
            for what in What::ALL {
                let claims: Vec<_> = claims::of(&found.report.option, what, minutes).collect();
                let is = what.of(&bytes);
                if is <= 0.0 || (claims.is_empty() && what != What::Peak) {
                    continue;
                }
                let judged = claims.iter().map(|claim| match claim.against(is) {
                    _ if !is_judged(report) => "not judged".into(),
                    word => verdict(word == "holds", word),
                });
                rows.push(vec![
                    format!("{}, {}", escaped(&found.report.option), what.name()),
                    format!("{minutes} min"),
                    size(is as u64),
                    claims.iter().map(|claim| claim.words()).collect::<Vec<_>>().join(" / "),
                    judged.collect::<Vec<_>>().join(" / "),
                ]);
            }
        }
    }
    table(&["what", "length", "from this run", "the note", ""], &rows)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::{
        plan::{
            earlier::FilesFound,
            model::{Files, Row, Spread},
            shape::{Pass, Shape},
            table::Plan,
        },
        report::{Quality, Took},
    };

    fn spread<T: Copy>(value: T) -> Spread<T> {
        Spread { low: value, expected: value, high: value }
    }

    fn found(option: &str, passes: &[&str], [pre, mezz, video]: [u64; 3]) -> Found {
        let film = Some(spread(video + 10));
        let files_bytes = Files { pre: None, mezz: Some(spread(mezz)).filter(|_| mezz > 0), film };
        Found {
            shape: Shape {
                name: option.into(),
                alias: None,
                passes: passes.iter().map(|names| Pass::from((*names).to_owned())).collect(),
                segmented: false,
            },
            planned: Row {
                option: option.into(),
                peak_bytes: spread(2000),
                files_bytes,
                wall_s: spread(60.0),
                lag: None,
            },
            report: Took {
                option: option.into(),
                frames: 100,
                wall_s: 50.0,
                cpu_s: 70.0,
                elsewhere: 0.256,
                machine: "a machine".into(),
                peak_bytes: 1900,
                final_bytes: video + 10,
                files_bytes: FilesFound { pre, mezz, video, film: video + 10 },
            },
            json: serde_json::Value::Null,
            moments: vec![
                Moment { at: 1000.0, bytes: Bytes { pre: 0, mezz: 0, film: 0 } },
                Moment { at: 1025.0, bytes: Bytes { pre: 0, mezz, film: video } },
                Moment { at: 1050.0, bytes: Bytes { pre: 0, mezz: 0, film: video } },
            ],
            quality: Some(Quality { psnr_db: Some(40.126), ssim: 0.98765 }),
        }
    }

    fn report(enlarged: &str) -> Report {
        let options = vec![
            found("option3", &["prepare enlarge mezz-intra", "read-mezz retime final"], [0, 78_125_000, 100]),
            found("option4", &["prepare enlarge retime final"], [0, 0, 1000]),
        ];
        let plan = Plan {
            source: "/film.mkv".into(),
            frames: 100,
            sampled_frames: 48,
            enlarged: enlarged.into(),
            context: 0,
            free_bytes: 1,
            machine: "a machine".into(),
            elsewhere: 0.125,
            earlier: Vec::new(),
            options: Vec::new(),
            five_minutes: Vec::new(),
            recommended: "option4".into(),
            reason: "so".into(),
        };
        let facts = Facts {
            film: "<script>alert('&\"')</script>.mkv".into(),
            frames: 100,
            start: 7,
            segment: 48,
            size: "256x144".into(),
            machine: "a <machine>".into(),
            command: "make report SRC='<b>'".into(),
            remark: Some("No <NVENC>.".into()),
        };
        Report { facts, plan, options, reference: Some("option4".into()) }
    }

    #[test]
    fn what_is_not_ours_is_text() {
        let page = page(&report(claims::ENLARGED));
        assert!(page.contains("<p>&lt;script&gt;alert(&#x27;&amp;&quot;&#x27;)&lt;/script&gt;.mkv: 100 frames from film frame 7 on"));
        assert!(page.contains("a &lt;machine&gt;. <code>make report SRC=&#x27;&lt;b&gt;&#x27;</code>"));
        assert!(page.contains("<p>No &lt;NVENC&gt;.</p>"));
        for outside in ["<script", "<b>", "<machine", "http", "src=", "href=", "url("] {
            assert!(!page.contains(outside), "{outside}");
        }
    }

    #[test]
    fn plan_and_measurement_are_side_by_side() {
        let page = page(&report(claims::ENLARGED));
        let cells = |cells: &[&str]| cells.iter().map(|cell| format!("<td>{cell}</td>")).collect::<String>();
        let sizes = [
            "option4",
            "2.0 kB",
            "1.9 kB",
            r#"<span class="good">+5.3%</span>"#,
            "1.0 kB",
            "1.0 kB",
            r#"<span class="good">+0.0%</span>"#,
        ];
        assert!(page.contains(&cells(&sizes)));
        let times = [
            "option3",
            "0:01:00",
            "0:00:50",
            r#"<span class="bad">+20.0%</span>"#,
            "0:01:10",
            "26%",
            "40.13 dB",
            "0.9877",
        ];
        assert!(page.contains(&cells(&times)));
        assert!(page.contains("<td>26%</td><td>itself</td><td></td>"));
    }

    #[test]
    fn the_note_is_judged_only_by_pictures_of_its_size() {
        let judged = page(&report(claims::ENLARGED));
        // 781,250 bytes a frame are 5.9 GB in 5 minutes and 150 GB in 128: as the note says.
        let holds = r#"<span class="good">holds</span>"#;
        for (minutes, size, claim) in [(5, "5.9 GB", "4 to 8 GB"), (128, "150 GB", "100 to 200 GB")] {
            let row = format!(
                "<td>option3, upscaled mezzanine</td><td>{minutes} min</td><td>{size}</td><td>{claim}</td><td>{holds}</td>"
            );
            assert!(judged.contains(&row), "{row}");
        }
        assert!(judged.contains(r#"<td>option4, film</td><td>5 min</td><td>75.8 kB</td><td>0.75 to 1.3 GB</td><td><span class="bad">less</span></td>"#));
        let other = page(&report("256x256"));
        assert!(other.contains("The network's pictures are 256x256 here, not 4096x1728"));
        assert!(!other.contains("holds</span>") && other.contains("<td>not judged</td>"));
    }

    #[test]
    fn a_size_holds_until_the_next_one() {
        let moments = [(0, 0.0), (90, 5.0), (45, 10.0)]
            .map(|(film, at)| Moment { at, bytes: Bytes { pre: 0, mezz: 0, film } });
        let svg = curve(&moments, 20.0, 90.0, 45.0);
        let film = "0.0,180.0 120.0,180.0 120.0,0.0 240.0,0.0 240.0,90.0 240.0,90.0";
        assert!(svg.contains(&format!(r#"<polygon class="film" points="{film} "#)), "{svg}");
        assert!(svg.contains(r#"<line class="plan" x1="0" x2="480" y1="90.0" y2="90.0"/>"#), "{svg}");
    }
}
