#!/usr/bin/env python3
"""keeping-size.py WEIGHTS FRAMES OUT: how `keeping-size.f32` was made.

The network for inputs of full size (is_low_res_input=False in the reference project): flows on frames a quarter as
large, bicubic; two strided convolutions before the feature extractor; the residue added to the frame itself. PyTorch 2.15
on a CPU, float32, with the network of scripts/train. WEIGHTS: `cargo run --example formula-weights -- WEIGHTS 16 1
--keeping-size`. FRAMES: frames 0 to 2 of 256x264 by the formula in README.md, rgb24. OUT: rows 0, 15, 30 .. and columns
0, 7, 14 .. of every plane, little-endian float32.
"""

import pathlib
import sys

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import nn

root = pathlib.Path(__file__).resolve().parents[4]
sys.path.insert(0, str(root / "scripts/train"))
import network  # noqa: E402


class KeepingSize(network.BasicVsrPp):
    def __init__(self, sizes):
        super().__init__(sizes)
        c = sizes.channels
        self.feat_extract = nn.Sequential(
            nn.Conv2d(3, c, 3, 2, 1),
            nn.LeakyReLU(0.1),
            nn.Conv2d(c, c, 3, 2, 1),
            nn.LeakyReLU(0.1),
            network.Blocks(c, c, sizes.extract_blocks),
        )

    def flows(self, frames):
        small = F.interpolate(frames[0], scale_factor=0.25, mode="bicubic", align_corners=False)
        return super().flows(small[None])


def main(weights, frames, out):
    state = {k.removeprefix("generator."): v for k, v in load_file(weights).items()}
    sizes = network.Sizes(channels=16, branch_blocks=1, offset_channels=(16, 16, 16), tail_channels=(16, 64, 64))
    net = KeepingSize(sizes)
    net.load_state_dict(state)
    x = np.fromfile(frames, np.uint8).reshape(3, 264, 256, 3)
    x = torch.from_numpy(x.transpose(0, 3, 1, 2).astype(np.float32) / 255)
    # The base is the frame itself, not the frame enlarged.
    real, F.interpolate = F.interpolate, lambda x, *a, **k: x if k.get("scale_factor") == 4 else real(x, *a, **k)
    with torch.inference_mode():
        y, _ = net(x[None])
    F.interpolate = real
    y[0, :, :, ::15, ::7].contiguous().numpy().astype("<f4").tofile(out)


main(*sys.argv[1:])
