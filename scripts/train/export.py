"""Turns a trained model into the one that is built in: float16, with its provenance in the file.

  export.py TRAINED.safetensors --quality EVALUATION.json --output tools/basicvsrpp/models/builtin.safetensors

What the alignment hands on is damped by `--fade`: a clip of six frames does not teach the recurrence to stay bounded, and
undamped its error grows over a window of a hundred. 0.75 costs 0.1 dB on five frames; over 60 nothing grows any more.

EVALUATION.json is what `evaluate.py --json` says of the exported file; without it none is noted. `--commit` is the
commit whose scripts trained it, that of the checkout unless told.
"""

import argparse
import json
import subprocess
from pathlib import Path

from safetensors import safe_open
from safetensors.torch import save_file

from network import BRANCHES

RECIPE = (
    "generated scenes: dead leaves, combed hair and grass, flat tones with outlines, 1/f noise, brickwork and writing on a"
    " background and up to three objects with sub-pixel motion, some out of focus; x4 down by area averaging (80 %) or"
    " bicubic, some slightly blurred, noisy or MPEG-2 coded"
)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("trained", type=Path)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--quality", type=Path)
    parser.add_argument("--commit")
    parser.add_argument("--fade", type=float, default=0.75)
    args = parser.parse_args()
    with safe_open(args.trained, "pt") as file:
        tensors = {name: file.get_tensor(name) for name in sorted(file.keys())}
        about = dict(file.metadata())
    for branch in BRANCHES:
        for part in ("weight", "bias"):
            tensors[f"generator.deform_align.{branch}.{part}"] *= args.fade
    tensors = {name: tensor.half().contiguous() for name, tensor in tensors.items()}
    commit = args.commit or subprocess.run(
        ["git", "-C", Path(__file__).parent, "rev-parse", "--short=12", "HEAD"], check=True, text=True, stdout=subprocess.PIPE
    ).stdout.strip()
    about |= {"name": "builtin", "licence": "MIT", "commit": commit, "data": RECIPE, "fade": str(args.fade)}
    if args.quality:
        clips = json.loads(args.quality.read_text())["clips"]
        about["quality"] = "luma PSNR in dB, ours / bicubic / lanczos3: " + ", ".join(
            f"{name} " + " / ".join(f"{row['psnr'][way]:.2f}" for way in ("ours", "bicubic", "lanczos")) for name, row in clips.items()
        )
    args.output.parent.mkdir(parents=True, exist_ok=True)
    save_file(tensors, args.output, about)
    print(f"{args.output}: {args.output.stat().st_size} bytes")


if __name__ == "__main__":
    main()
