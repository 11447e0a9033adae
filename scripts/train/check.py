"""Holds network.py against the parity fixture of the Rust engines.

  cargo run --release -p basicvsrpp --example formula-weights -- formula.safetensors 16 1
  python3 scripts/train/check.py formula.safetensors c16b1-72x64-t4

The fixture, its formulas and its tolerances: tools/basicvsrpp/tests/data/README.md.
"""

import json
import sys
from pathlib import Path

import numpy as np
import torch

from network import load

DATA = Path(__file__).parents[2] / "tools/basicvsrpp/tests/data"
MASK = (1 << 64) - 1


def random(seed, i):
    """Output number i of SplitMix64 started at seed."""
    with np.errstate(over="ignore"):
        z = np.uint64(seed) + (i.astype(np.uint64) + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return z ^ (z >> np.uint64(31))


def fnv1a64(text):
    h = 0xCBF29CE484222325
    for byte in text.encode():
        h = ((h ^ byte) * 0x100000001B3) & MASK
    return h


def frames(width, height, count):
    """The fixture's film: (count, 3, height, width), 0 to 255."""
    seed = fnv1a64("frames")

    def noise(plane, cell, x, y):
        a, fx, b, fy = x // cell, x % cell, y // cell, y % cell
        corner = lambda q, r: (random(seed, (plane * 4096 + r) * 4096 + q) >> np.uint64(56)).astype(np.int64)
        top = corner(a, b) * (cell - fx) + corner(a + 1, b) * fx
        bottom = corner(a, b + 1) * (cell - fx) + corner(a + 1, b + 1) * fx
        return (top * (cell - fy) + bottom * fy) // cell**2

    film = np.empty((count, 3, height, width), np.float32)
    for k in range(count):
        x = 4 * np.arange(width)[None] + 1024 + 7 * k
        y = 4 * np.arange(height)[:, None] + 1024 - 5 * k
        for c in range(3):
            film[k, c] = ((9 * noise(c, 64, x, y) + 4 * noise(3, 20, x, y) + 3 * noise(4 + c, 8, x, y)) // 8 - 128).clip(0, 255)
    return film


@torch.no_grad()
def main(weights, name):
    case = next(c for c in json.loads((DATA / "manifest.json").read_text())["cases"] if c["name"] == name)
    net, _ = load(weights)
    seen = {}
    film = torch.from_numpy(frames(case["width"], case["height"], case["frames"]))[None] / 255
    out, (backward, forward) = net(film, lambda what, frame, x: seen.__setitem__((what, frame), x[0]))
    seen |= {("output", i): x for i, x in enumerate(out[0])}
    seen |= {("flow_backward", i): x for i, x in enumerate(backward[-1][0])}
    seen |= {("flow_forward", i): x for i, x in enumerate(forward[-1][0], 1)}
    failed = False
    for want in case["expected"]:
        what, shape = want["what"], want["shape"]
        if (what, want["frames"][0]) not in seen or not (DATA / want["file"]).exists():
            continue
        rows, cols = (slice(a["first"], a["first"] + a["step"] * a["count"], a["step"]) for a in (want["rows"], want["cols"]))
        have = torch.stack([seen[what, f][..., rows, cols] for f in want["frames"]])
        if "channels" in want:
            a = want["channels"]
            have = have[:, a["first"] : a["first"] + a["step"] * a["count"] : a["step"]]
        error = np.abs(have.numpy() - np.fromfile(DATA / want["file"], "<f4").reshape(shape)).max()
        limit = 2e-5 if what == "output" else 1e-4
        failed |= not error <= limit
        print(f"{what}: largest difference {error:.1e} of at most {limit:.0e}")
    return failed


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    sys.exit(main(*sys.argv[1:]))
