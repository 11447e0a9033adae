//! The discs, and what is to come of each.

use super::{
    Becomes::{Noted, Refused, Right, RightOrRefused},
    Disc,
};

/// Those of which a sampled run makes a film.
pub const SAMPLED: [&str; 7] = [
    "open GOP cut",
    "gap of 200 ms",
    "soft pulldown",
    "size",
    "field order",
    "sound 1.0, then 5.1",
    "sound late",
];

pub const CUT_AND_JOINED: [Disc; 7] = [
    Disc { name: "good", file: "film.mkv", made_by: "film film.mkv 4.4", runs: &[("", Right)] },
    Disc {
        name: "open GOP cut",
        file: "film.mkv",
        made_by: "film whole.mkv 4.4; f -ss 1.2 -i whole.mkv -c copy film.mkv",
        runs: &[("", Right), ("START=15 FRAMES=60", Right)],
    },
    Disc {
        name: "appended",
        file: "film.mkv",
        made_by: "film a.mkv 2.04 2.08; mkvmerge -q -o film.mkv a.mkv + a.mkv + a.mkv + a.mkv",
        runs: &[
            (
                "",
                Refused(
                    "frame 51, at 0:00:02.085, is 40 ms late: 1 frame is missing before it, and 3 at 3 places in all; …",
                ),
            ),
            (
                "GAPS=repeat",
                Noted("3 frames are missing, at 3 places: the one before each is shown for as long"),
            ),
            (
                "GAPS=cut",
                Noted("3 frames are missing, at 3 places: sound and subtitles go without them, too"),
            ),
            ("FRAMES=51", Right),
        ],
    },
    Disc {
        name: "appended, open GOPs",
        file: "film.mkv",
        made_by: "film whole.mkv 4.4; f -ss 1.2 -i whole.mkv -c copy a.mkv; mkvmerge -q -o film.mkv a.mkv + a.mkv",
        runs: &[
            (
                "",
                Refused(
                    "frame 96, at 0:00:04.013, is 40 ms too early: pictures overlap there, as where parts were joined; START and FRAMES make a film of one part",
                ),
            ),
            ("FRAMES=95", Right),
            ("START=98", Right),
        ],
    },
    Disc {
        name: "appended .ts",
        file: "film.ts",
        made_by: "film a.mkv 2.04 2.08; f -i a.mkv -c copy a.ts; cat a.ts a.ts >film.ts",
        runs: &[
            (
                "",
                Refused(
                    "frame 51, at 0:00:01.440, is 2000 ms too early: the clock begins anew there, as where parts were joined; FRAMES=51 makes a film of what is before, `mkvmerge -o film.mkv PART + PART` joins parts on one clock",
                ),
            ),
            ("FRAMES=51", Right),
            (
                "START=51",
                Refused(
                    "frame 51, at 0:00:01.440, is 2000 ms too early: the clock begins anew there, as where parts were joined; START=0 FRAMES=51 make a film of what is before, `mkvmerge -o film.mkv PART + PART` joins parts on one clock",
                ),
            ),
        ],
    },
    Disc {
        name: "appended .vob",
        file: "film.vob",
        made_by: "film a.mkv 2.04 2.08; f -i a.mkv -c copy a.vob; cat a.vob a.vob >film.vob",
        runs: &[
            (
                "",
                Refused(
                    "frame 51, at 0:00:00.540, is 2000 ms too early: the clock begins anew there, as where parts were joined; `mkvmerge -o film.mkv */film.vob` gives all of it one clock",
                ),
            ),
            ("FRAMES=51", Right),
            (
                "START=51",
                Refused(
                    "frame 51, at 0:00:00.540, is 2000 ms too early: the clock begins anew there, as where parts were joined; `mkvmerge -o film.mkv */film.vob` gives all of it one clock",
                ),
            ),
        ],
    },
    Disc {
        name: "appended .ts, in order",
        file: "film.ts",
        made_by: "film a.mkv 2.08; f -i a.mkv -c copy a.ts; f -i a.mkv -c copy -output_ts_offset 2.12 b.ts; cat a.ts b.ts >film.ts",
        runs: &[("", Right)],
    },
];

pub const ON_ANOTHER_CLOCK: [Disc; 8] = [
    Disc {
        name: "gap of 1 frame",
        file: "film.mkv",
        made_by: "missing film.mkv 4.4 'eq(n,60)'",
        runs: &[
            ("", Refused("frame 60, at 0:00:02.445, is 40 ms late: 1 frame is missing before it; …")),
            ("GAPS=repeat", Noted("1 frame is missing: the one before each is shown for as long")),
            ("GAPS=cut", Noted("1 frame is missing: sound and subtitles go without them, too")),
            ("START=64", Right),
        ],
    },
    Disc {
        name: "gap of 200 ms",
        file: "film.mkv",
        made_by: "missing film.mkv 4.4 'between(n,70,74)'",
        runs: &[
            ("", Refused("frame 70, at 0:00:03.005, is 200 ms late: 5 frames are missing before it; …")),
            ("GAPS=repeat", Noted("5 frames are missing: the one before each is shown for as long")),
            ("GAPS=cut", Noted("5 frames are missing: sound and subtitles go without them, too")),
        ],
    },
    Disc {
        name: "gap of 2 s",
        file: "film.mkv",
        made_by: "missing film.mkv 6.4 'between(n,55,104)'",
        runs: &[
            ("", Refused("frame 55, at 0:00:04.205, is 2000 ms late: 50 frames are missing before it; …")),
            ("GAPS=repeat", Noted("50 frames are missing: the one before each is shown for as long")),
            ("GAPS=cut", Noted("50 frames are missing: sound and subtitles go without them, too")),
        ],
    },
    Disc {
        name: "variable rate",
        file: "film.mkv",
        made_by: "missing film.mkv 4.4 'eq(mod(n,7),4)'",
        runs: &[
            (
                "",
                Refused(
                    "frame 4, at 0:00:00.205, is 40 ms late: 1 frame is missing before it, and 15 at 15 places in all; …",
                ),
            ),
            (
                "GAPS=repeat",
                Noted("15 frames are missing, at 15 places: the one before each is shown for as long"),
            ),
            (
                "GAPS=cut",
                Noted("15 frames are missing, at 15 places: sound and subtitles go without them, too"),
            ),
        ],
    },
    Disc {
        name: "stills",
        file: "film.mkv",
        made_by: "missing film.mkv 6.4 'between(n,42,59)+between(n,92,109)'",
        runs: &[
            (
                "",
                Refused(
                    "frame 42, at 0:00:02.405, is 720 ms late: 18 frames are missing before it, and 36 at 2 places in all; …",
                ),
            ),
            (
                "GAPS=repeat",
                Noted("36 frames are missing, at 2 places: the one before each is shown for as long"),
            ),
            (
                "GAPS=cut",
                Noted("36 frames are missing, at 2 places: sound and subtitles go without them, too"),
            ),
        ],
    },
    Disc {
        name: "soft pulldown",
        file: "film.mkv",
        made_by: "f -f lavfi -i \"$(beeps 5)\" $ac3 s.ac3; mkvmerge -q -o film.mkv soft.m2v s.ac3",
        runs: &[
            ("", Refused(PULLDOWN)),
            ("GAPS=repeat", Refused(PULLDOWN)),
            ("FROM=24", Right),
            ("FROM=24 START=24 FRAMES=72", Right),
        ],
    },
    Disc {
        name: "soft pulldown, 24 even frames",
        file: "film.mkv",
        made_by: "f -f lavfi -i \"$(beeps 5)\" $ac3 s.ac3; mkvmerge -q -o film.mkv --default-duration 0:24fps soft.m2v s.ac3",
        runs: &[("", Refused(PULLDOWN)), ("FROM=24", Right)],
    },
    Disc {
        name: "video of 50 frames a second",
        file: "film.mkv",
        made_by: "f -f lavfi -i \"$(pictures 4.4),fps=50\" -f lavfi -i \"$(beeps 4.4)\" $mpeg $ac3 film.mkv",
        runs: &[("", Refused("50/1 frames a second; this is for films at 25/1"))],
    },
];

const PULLDOWN: &str = "24/1 frames a second, 10 of them with repeat flags; this is for films at 25/1; \
                        FROM=24 takes it as that, and slows nothing";

pub const BROKEN: [Disc; 9] = [
    Disc {
        name: "bad sector .mkv",
        file: "film.mkv",
        made_by: "film film.mkv 4.4; lost film.mkv 45",
        runs: &[("", RightOrRefused("frame *, at *, is * late: *; …")), ("GAPS=repeat", Noted("*"))],
    },
    Disc {
        name: "bad sectors .mkv",
        file: "film.mkv",
        made_by: "film film.mkv 4.4; for n in 30 31 60 85; do lost film.mkv $n; done",
        runs: &[("", RightOrRefused("frame *, at *, is * late: *; …")), ("GAPS=repeat", Noted("*"))],
    },
    Disc {
        name: "bad sector .vob",
        file: "film.vob",
        made_by: "film a.mkv 4.4; f -i a.mkv -c copy film.vob; lost film.vob 45",
        runs: &[("", RightOrRefused("frame *, at *, is * late: *; …")), ("GAPS=repeat", Noted("*"))],
    },
    Disc {
        name: "bad sector .ts",
        file: "film.ts",
        made_by: "film a.mkv 4.4; f -i a.mkv -c copy film.ts; lost film.ts 45",
        runs: &[("", RightOrRefused("frame *, at *, is * late: *; …")), ("GAPS=repeat", Noted("*"))],
    },
    Disc {
        name: "half of a film",
        file: "film.mkv",
        made_by: "film a.mkv 4.4; of a.mkv 50 >film.mkv",
        runs: &[
            (
                "",
                Refused(
                    "ends at *; its header says 0:00:04.416: a copy that broke off; FRAMES=* makes a film of what is there",
                ),
            ),
            ("FRAMES=40", Noted("its pictures decode with errors: File ended prematurely")),
        ],
    },
    Disc {
        name: "90 % of a film",
        file: "film.mkv",
        made_by: "film a.mkv 4.4; of a.mkv 90 >film.mkv",
        runs: &[
            (
                "",
                Refused(
                    "ends at *; its header says 0:00:04.416: a copy that broke off; FRAMES=* makes a film of what is there",
                ),
            ),
            ("FRAMES=90", Noted("its pictures decode with errors: File ended prematurely")),
        ],
    },
    Disc {
        name: "half of a .vob",
        file: "film.vob",
        made_by: "film a.mkv 4.4; f -i a.mkv -c copy a.vob; of a.vob 50 >film.vob",
        runs: &[("", Noted("*"))],
    },
    Disc {
        name: "half of a .ts",
        file: "film.ts",
        made_by: "film a.mkv 4.4; f -i a.mkv -c copy a.ts; of a.ts 50 >film.ts",
        runs: &[("", Noted("*"))],
    },
    Disc {
        name: "good .ts",
        file: "film.ts",
        made_by: "film a.mkv 4.4; f -i a.mkv -c copy film.ts",
        runs: &[("", Right), ("START=20 FRAMES=80", Right)],
    },
];

pub const CHANGING: [Disc; 6] = [
    Disc {
        name: "size",
        file: "film.mkv",
        made_by: "film a.mkv 3.04; size=704x576 film b.mkv 3.04; concat film.mkv a.mkv b.mkv",
        runs: &[
            (
                "",
                Refused(
                    "frame 75, at 0:00:03.045, is 704x576 and not 720x576; START and FRAMES make a film of one part",
                ),
            ),
            ("FRAMES=75", Right),
            ("START=75", Right),
        ],
    },
    Disc {
        name: "pixel aspect",
        file: "film.mkv",
        made_by: "sar=16/15 film a.mkv 3.04; film b.mkv 3.04; concat film.mkv a.mkv b.mkv",
        runs: &[
            (
                "",
                Refused(
                    "frame 75, at 0:00:03.045, is 16:9 and not 4:3; START and FRAMES make a film of one part",
                ),
            ),
            ("FRAMES=75", Right),
            ("START=75", Right),
        ],
    },
    Disc {
        name: "pixel aspect .ts",
        file: "film.ts",
        made_by: "sar=16/15 film a.mkv 3.04; film b.mkv 3.04; concat film.ts a.mkv b.mkv",
        runs: &[
            (
                "",
                Refused(
                    "frame 75, at 0:00:04.480, is 16:9 and not 4:3; START and FRAMES make a film of one part",
                ),
            ),
            ("FRAMES=75", Right),
            ("START=75", Right),
        ],
    },
    Disc {
        name: "field order",
        file: "film.mkv",
        made_by: "mpeg=\"$mpeg -flags +ildct+ilme -top 1\"; film a.mkv 2.08; mpeg=\"${mpeg/top 1/top 0}\"; film b.mkv 2.08; \
                  concat film.mkv a.mkv b.mkv a.mkv",
        runs: &[("", Right), ("START=25", Right)],
    },
    Disc {
        name: "colour tags",
        file: "film.mkv",
        made_by: "film a.mkv 3.04; mpeg=\"$mpeg -colorspace bt709 -color_primaries bt709 -color_trc bt709\"; film b.mkv 3.04; concat film.mkv a.mkv b.mkv",
        runs: &[
            (
                "",
                Refused(
                    "frame 76, at 0:00:03.045, is matrix bt709 and not unknown; START and FRAMES make a film of one part",
                ),
            ),
            ("FRAMES=76", Right),
        ],
    },
    Disc {
        name: "field order, soft",
        file: "film.mkv",
        made_by: "film a.mkv 2.08; mpeg=\"$mpeg -flags +ildct+ilme -top 1\"; film b.mkv 2.08; concat film.mkv a.mkv b.mkv",
        runs: &[("", Right)],
    },
];

pub const WITH_OTHER_SOUND: [Disc; 13] = [
    Disc {
        name: "sound 1.0, then 5.1",
        file: "film.mkv",
        made_by: SOUNDS_MONO_WIDE,
        runs: &[
            ("", Noted("sound track 0: its layout changes; all of it becomes 5.1(side)")),
            ("START=20 FRAMES=80", Noted("sound track 0: its layout changes; all of it becomes 5.1(side)")),
        ],
    },
    Disc {
        name: "sound 5.1, then 2.0",
        file: "film.mkv",
        made_by: "ac3='-c:a ac3 -b:a 384k -ac 6'; film a.mkv 2.08; ac3='-c:a ac3 -b:a 192k -ac 2'; film b.mkv 2.08; \
                  concat film.mkv a.mkv b.mkv",
        runs: &[("", Noted("sound track 0: its layout changes; all of it becomes 5.1(side)"))],
    },
    Disc {
        name: "sound 2.0, then 5.1, back to back",
        file: "film.mkv",
        made_by: "f -f lavfi -i \"$(pictures 4.16)\" $mpeg v.m2v; f -f lavfi -i \"$(beeps 2.08)\" -c:a ac3 -b:a 192k -ac 2 a.ac3; \
                  f -f lavfi -i \"$(beeps 2.08)\" -c:a ac3 -b:a 384k -ac 6 b.ac3; cat a.ac3 b.ac3 >s.ac3; mkvmerge -q -o film.mkv v.m2v s.ac3",
        runs: &[("", Noted("sound track 0: its layout changes; all of it becomes 5.1(side)"))],
    },
    Disc {
        name: "sound 48, then 44.1 kHz",
        file: "film.mkv",
        made_by: "film a.mkv 2.08; ac3=\"$ac3 -ar 44100\"; film b.mkv 2.08; concat film.mkv a.mkv b.mkv",
        runs: &[("", Noted("sound track 0: its rate changes; all of it becomes 48000 Hz"))],
    },
    Disc {
        name: "MP2 48, then 44.1 kHz",
        file: "film.mkv",
        made_by: "f -f lavfi -i \"$(pictures 4.16)\" $mpeg v.m2v; f -f lavfi -i \"$(beeps 2.088)\" -c:a mp2 a.mp2; \
                  samples=44100; f -f lavfi -i \"$(beeps 2.09)\" -c:a mp2 b.mp2; cat a.mp2 b.mp2 >s.mp2; mkvmerge -q -o film.mkv v.m2v s.mp2",
        runs: &[("", Noted("sound track 0: its rate changes; all of it becomes 48000 Hz"))],
    },
    Disc {
        name: "sound early",
        file: "film.mkv",
        made_by: "film a.mkv 4.4; mkvmerge -q -o film.mkv --sync 1:-300 a.mkv",
        runs: &[("", Right), ("START=20", Right)],
    },
    Disc {
        name: "sound late",
        file: "film.mkv",
        made_by: "film a.mkv 4.4; mkvmerge -q -o film.mkv --sync 1:700 a.mkv",
        runs: &[
            ("", Noted("sound track 0 goes on for 0.7 s when the pictures are over, left out")),
            ("START=10", Noted("sound track 0 goes on for 0.7 s when the pictures are over, left out")),
        ],
    },
    Disc {
        name: "sound late .ts",
        file: "film.ts",
        made_by: "film a.mkv 4.4; f -i a.mkv -itsoffset 0.7 -i a.mkv -map 0:v -map 1:a -c copy film.ts",
        runs: &[
            ("", Noted("sound track 0 goes on for 0.7 s when the pictures are over, left out")),
            ("START=10", Noted("sound track 0 goes on for 0.7 s when the pictures are over, left out")),
        ],
    },
    Disc { name: "sound short", file: "film.mkv", made_by: "film film.mkv 4.4 2.8", runs: &[("", Right)] },
    Disc {
        name: "sound long",
        file: "film.mkv",
        made_by: "film film.mkv 2.8 4.4",
        runs: &[
            ("", Noted("sound track 0 goes on for 1.6 s when the pictures are over, left out")),
            ("START=20 FRAMES=50", Right),
        ],
    },
    Disc {
        name: "sound with a hole",
        file: "film.mkv",
        made_by: "film a.mkv 5.4; f -i a.mkv -c copy -bsf:a \"noise=drop='between(n,52,78)'\" film.mkv",
        runs: &[("", Right), ("START=20", Right)],
    },
    Disc {
        name: "sound with a hole .ts",
        file: "film.ts",
        made_by: "film a.mkv 5.4; f -i a.mkv -c copy -bsf:a \"noise=drop='between(n,52,78)'\" film.ts",
        runs: &[("", Right)],
    },
    Disc {
        name: "sound with a hole, and pictures",
        file: "film.mkv",
        made_by: "missing a.mkv 5.4 'between(n,70,74)'; f -i a.mkv -c copy -bsf:a \"noise=drop='between(n,52,78)'\" film.mkv",
        runs: &[
            ("GAPS=repeat", Noted("5 frames are missing: the one before each is shown for as long")),
            ("GAPS=cut", Noted("5 frames are missing: sound and subtitles go without them, too")),
        ],
    },
];

const SOUNDS_MONO_WIDE: &str = "ac3='-c:a ac3 -b:a 96k -ac 1'; film a.mkv 2.08; ac3='-c:a ac3 -b:a 384k -ac 6'; film b.mkv 2.08; \
                                concat film.mkv a.mkv b.mkv";

pub const SHARED: [Disc; 7] = [
    Disc {
        name: "shared open-gop-cut",
        file: "film.mkv",
        made_by: "shared open-gop-cut.mkv",
        runs: &[("", Right)],
    },
    Disc {
        name: "shared gap-200ms",
        file: "film.mkv",
        made_by: "shared gap-200ms.mkv",
        runs: &[
            ("", Refused("frame 80, at 0:00:03.405, is 200 ms late: 5 frames are missing before it; …")),
            ("GAPS=repeat", Noted("5 frames are missing: the one before each is shown for as long")),
            ("GAPS=cut", Noted("5 frames are missing: sound and subtitles go without them, too")),
        ],
    },
    Disc {
        name: "shared vfr-drop7",
        file: "film.mkv",
        made_by: "shared vfr-drop7.mkv",
        runs: &[
            (
                "",
                Refused(
                    "frame 6, at 0:00:00.325, is 40 ms late: 1 frame is missing before it, and 21 at 21 places in all; …",
                ),
            ),
            (
                "GAPS=repeat",
                Noted("21 frames are missing, at 21 places: the one before each is shown for as long"),
            ),
        ],
    },
    Disc {
        name: "shared ac3-mono-then-51",
        file: "film.mkv",
        made_by: "shared ac3-mono-then-51.mkv",
        runs: &[("", Noted("sound track 0: its layout changes; all of it becomes 5.1(side)"))],
    },
    Disc {
        name: "shared programme.ts",
        file: "film.ts",
        made_by: "shared programme.ts",
        runs: &[(
            "",
            Noted(
                "ends within a group of pictures: the last picture, which is behind missing ones, is left out",
            ),
        )],
    },
    Disc {
        name: "shared c-bt709",
        file: "film.mkv",
        made_by: "shared c-bt709.mkv",
        runs: &[(
            "",
            Noted(
                "says that its colours are in bt709, and is taken at its word; MATRIX=bt470bg takes them for PAL's",
            ),
        )],
    },
    Disc { name: "shared ch", file: "film.mkv", made_by: "shared ch.mkv", runs: &[("", Right)] },
];
