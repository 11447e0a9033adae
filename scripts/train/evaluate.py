"""Measures a model on film: frames are brought down x4 by area averaging, rounded to 8 bits and enlarged again.

  evaluate.py MODEL [--sr-window BINARY] [--frames N] [--json FILE] NAME='FFMPEG INPUT OPTIONS' ...

  evaluate.py model.safetensors "film=-i film.mkv -vf bwdif,scale=1024:576,crop=1024:432:0:72"

The network runs in PyTorch, or in sr-window where its path is given (MODEL may then be `builtin`). For each clip: luma
PSNR in dB of the model, bicubic (a = -0.5) and lanczos3, all as 8-bit RGB, averaged over the frames; and the root mean
square error of the change from frame to frame, in 8-bit steps, which is what flicker raises.
"""

import argparse
import json
import shlex
import subprocess
from pathlib import Path

import numpy as np
from PIL import Image

SMALLEST = 64  # of the low-resolution frames, either way


def decode(options, frames):
    """uint8 (T, h, w, 3) of what ffmpeg reads with these options."""
    command = ["ffmpeg", "-v", "error", "-nostdin", *shlex.split(options), "-frames:v", str(frames), "-f", "image2pipe", "-c:v", "ppm", "-"]
    data = subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout
    clip = []
    while data:
        _, size, _, rest = data.split(b"\n", 3)
        w, h = map(int, size.split())
        clip.append(np.frombuffer(rest[: w * h * 3], np.uint8).reshape(h, w, 3))
        data = rest[w * h * 3 :]
    return np.stack(clip)


def shrink(clip):
    """Area average x4, rounded to 8 bits."""
    t, h, w, _ = clip.shape
    mean = clip.reshape(t, h // 4, 4, w // 4, 4, 3).mean((2, 4))
    return np.floor(mean + 0.5).astype(np.uint8)


def classical(small, kernel):
    t, h, w, _ = small.shape
    return np.stack([np.asarray(Image.fromarray(f).resize((4 * w, 4 * h), kernel)) for f in small])


def in_torch(model, small):
    import torch

    from network import load

    net, _ = load(model)
    with torch.no_grad():
        film = torch.from_numpy(small).permute(0, 3, 1, 2)[None].float() / 255
        out = net(film)[0][0].clamp(0, 1) * 255
    return out.round().byte().permute(0, 2, 3, 1).numpy()


def in_sr_window(binary, model, small):
    t, h, w, _ = small.shape
    command = [binary, "-s", f"{w}x{h}", "-p", "rgb24", "-r", "25", "-f", "raw", "--weights", model, "--cuts", "off", "--device", "cpu", "-q"]
    out = subprocess.run(command, input=small.tobytes(), check=True, stdout=subprocess.PIPE).stdout
    return np.frombuffer(out, np.uint8).reshape(t, 4 * h, 4 * w, 3)


def luma(clip):
    return clip @ np.array([0.299, 0.587, 0.114])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("clips", nargs="+")
    parser.add_argument("--sr-window")
    parser.add_argument("--frames", type=int, default=20)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--save", type=Path, help="folder for the last frame of every clip and way")
    args = parser.parse_args()
    table = {}
    print(f"{'clip':24} {'size':>9} {'frames':>6} {'ours':>7} {'bicubic':>7} {'lanczos':>7}   {'gain over the better':>20}   flicker: ours, bicubic")
    for spec in args.clips:
        name, options = spec.split("=", 1)
        clip = decode(options, args.frames)
        clip = clip[:, : clip.shape[1] // 4 * 4, : clip.shape[2] // 4 * 4]
        _, h, w, _ = clip.shape
        # What is too small for the network is continued by its mirror image.
        grow = [max(0, 4 * SMALLEST - n) for n in (h, w)]
        whole = np.pad(clip, ((0, 0), (0, grow[0]), (0, grow[1]), (0, 0)), "reflect")
        small = shrink(whole)
        ours = in_sr_window(args.sr_window, args.model, small) if args.sr_window else in_torch(args.model, small)
        ways = {"ours": ours, "bicubic": classical(small, Image.BICUBIC), "lanczos": classical(small, Image.LANCZOS)}
        truth = luma(clip)
        row = {"size": [w, h], "frames": len(clip), "psnr": {}, "change_error": {}}
        for way, frames in ways.items():
            error = luma(frames[:, :h, :w]) - truth
            row["psnr"][way] = float(np.mean(-10 * np.log10((error**2).mean((1, 2)) / 255**2)))
            row["change_error"][way] = float(np.sqrt((np.diff(error, axis=0) ** 2).mean())) if len(clip) > 1 else 0.0
            if args.save:
                args.save.mkdir(parents=True, exist_ok=True)
                Image.fromarray(frames[-1, :h, :w]).save(args.save / f"{name}-{way}.png")
        if args.save:
            Image.fromarray(clip[-1]).save(args.save / f"{name}-truth.png")
        p, c = row["psnr"], row["change_error"]
        gain = p["ours"] - max(p["bicubic"], p["lanczos"])
        print(f"{name:24} {w:>4}x{h:<4} {len(clip):>6} {p['ours']:7.2f} {p['bicubic']:7.2f} {p['lanczos']:7.2f}   {gain:+20.2f}   {c['ours']:.2f}, {c['bicubic']:.2f}", flush=True)
        table[name] = row
    mean = {way: float(np.mean([r["psnr"][way] for r in table.values()])) for way in ("ours", "bicubic", "lanczos")}
    print(f"{'mean':24} {'':16} {mean['ours']:7.2f} {mean['bicubic']:7.2f} {mean['lanczos']:7.2f}   {mean['ours'] - max(mean['bicubic'], mean['lanczos']):+20.2f}")
    if args.json:
        args.json.write_text(json.dumps({"clips": table, "mean": mean}, indent=1) + "\n")


if __name__ == "__main__":
    main()
