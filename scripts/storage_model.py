"""What the options keep on the disk, and how long they take: the arithmetic that `make plan` does beforehand and `make
report` afterwards.

Sizes are bytes, times seconds, a pace is seconds a frame.
"""

import re
import sys
from dataclasses import dataclass
from fractions import Fraction

# The clock of the films, frames a second.
FPS = 25


@dataclass(frozen=True)
class Option:
    """Which stages' files an option has on the disk, and which stages run side by side in each of its passes."""

    passes: tuple
    pre: str | None = None
    mezz: str | None = None
    segmented: bool = False  # seg-sink makes the film in segments, and where there is a mezzanine, that too
    alias: str | None = None


ENCODE = "read-mezz retime final"
OPTIONS = {
    "option0": Option(("prepare pre-422", "read-pre enlarge mezz-422", ENCODE), "pre-422", "mezz-422"),
    "option1": Option(("prepare pre-lt", "read-pre enlarge mezz-422", ENCODE), "pre-lt", "mezz-422"),
    "option2": Option(("prepare enlarge mezz-422", ENCODE), None, "mezz-422"),
    "option3": Option(("prepare enlarge mezz-intra", ENCODE), None, "mezz-intra", alias="tight"),
    "option4": Option(("prepare enlarge retime final prove", "prove"), segmented=True, alias="direct"),
    "option5": Option(("prepare enlarge mezz-422", f"{ENCODE} prove", "prove"), None, "mezz-422", True),
    "recommended": Option(("prepare pre-lt", "read-pre enlarge mezz-422", f"{ENCODE} prove", "prove"), "pre-lt", "mezz-422", True),
}


@dataclass(frozen=True)
class Rates:
    """Bytes a frame: of both mezzanines, of the encoded pictures, and of all else in the film."""

    pre: float
    mezz: float
    video: float
    sound: float


@dataclass(frozen=True)
class Segments:
    """As seg-sink is told: frames in one, and how many are encoded at once. And how long it takes to encode a mezzanine's
    frame, in the time that writing one takes: the longer, the more mezzanines pile up, until seg-sink lets the network
    wait."""

    frames: int
    jobs: int
    lag: float = 1e6
    window: int = 0  # frames that come at a time


def in_segments(frames, rates, segments):
    """The most bytes of mezzanines, and of these and the film, while seg-sink makes one of the others.

    It deletes a mezzanine when the segment made of it is whole, so that right before is when most is there. It lets one
    more be made than are encoded at once. Time is counted in frames written. As these come window by window, half a window
    less is there in the mean.
    """
    jobs, ends = segments.jobs, [*range(segments.frames, frames, segments.frames), frames]
    starts = [0, *ends[:-1]]
    written, done = [], []
    for i, (start, end) in enumerate(zip(starts, ends)):
        begin = max(written[-1] if i else 0, done[i - jobs - 1] if i > jobs else 0)
        written.append(begin + end - start)
        done.append(max(written[i], done[i - jobs] if i >= jobs else 0) + (end - start) * segments.lag)
    mezz = peak = 0
    for i, now in enumerate(done):
        # How far the writing has come by then.
        near = range(i, min(i + jobs + 1, len(ends)))
        by_now = [ends[k] if written[k] <= now else max(starts[k], ends[k] - written[k] + now - segments.window / 2) for k in near]
        there = max(end for k, end in enumerate(by_now, i) if end > starts[k]) - starts[i]
        mezz = max(mezz, rates.mezz * there)
        peak = max(peak, rates.mezz * there + rates.video * ends[i])
    return mezz, peak


def on_disk(option, frames, rates, segments, context=0):
    """The peak and the largest that each kind of file gets, for `frames` frames of an option.

    Three moments can be the worst: the encode, when mezzanines and film are there; the joining of segments, when they and
    the joined pictures are; the muxing, when the pictures, the sound and the film made of both are. A pre-mezzanine begins
    `context` frames early, with what the first window looks at.
    """
    pre, video, sound = rates.pre * (frames + context), rates.video * frames, rates.sound * frames
    mezz = rates.mezz * frames
    encode = mezz + video
    if option.segmented:
        mezz, encode = in_segments(frames, rates, segments)
    join = pre + 2 * video if option.segmented else 0
    return dict(peak=max(pre + encode, join, 2 * (video + sound)), pre=pre, mezz=mezz, final=video + sound)


# Seconds, by every word that seg-sink knows.
UNITS = {word: Fraction(seconds) for seconds, words in {
    "1e-9": "nanos nsec ns", "1e-6": "usec us µs", "1e-3": "millis msec ms", "1": "seconds second secs sec s",
    "60": "minutes minute min mins m", "3600": "hours hour hr hrs h", "86400": "days day d", "604800": "weeks week wk wks w",
}.items() for word in words.split()}


def in_frames(length):
    """A length as seg-sink takes it, in whole frames of the film: 15000f, 10min, 1h 30m, 1.5h."""
    span = rf"\s*(\d+(?:\.\d+)?)\s*({'|'.join(UNITS)})(?![a-zµ])\s*"
    frames = 0
    if re.fullmatch(r"\d+f", length):
        frames = int(length[:-1])
    elif re.fullmatch(f"({span})+", length):
        frames = int(FPS * sum(Fraction(n) * UNITS[unit] for n, unit in re.findall(span, length)))
    if frames < 1:
        raise ValueError(f"{length}: say a time, such as 10min, or frames, such as 15000f")
    return frames


def size(n):
    for unit, scale in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6)):
        if n >= scale:
            return f"{n / scale:.{0 if n >= 100 * scale else 1}f} {unit}"
    return f"{n / 1e3:.1f} kB"


def clock(seconds):
    s = round(seconds)
    return f"{s // 3600}:{s // 60 % 60:02}:{s % 60:02}"


# For shell scripts: a length in frames.
if __name__ == "__main__":
    try:
        print(in_frames(sys.argv[1]))
    except ValueError as wrong:
        sys.exit(str(wrong))
