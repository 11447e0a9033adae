"""Trains the built-in model from nothing: `python3 scripts/train/train.py --out DIR` on one GPU.

Scenes are generated on the device, degraded in several ways each and learnt from, in CUDA graphs. The learning rate
falls along a cosine of the time spent, so that a run of any length ends well. DIR gets `model.safetensors` (moving
average of the weights, float32, every minute and at the end) and `log.jsonl`.
"""

import argparse
import json
import math
import time
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import save_file

from degrade import TO_YCBCR, degrade
from network import BUILTIN, BasicVsrPp, load, multiplications
from canvases import Canvases, constant
from scenes import scenes


def luma(x):
    return torch.einsum("c,btchw->bthw", constant(TO_YCBCR[0], x.device), x)


def psnr(x, y):
    return -10 * torch.log10(((x - y) ** 2).mean((1, 2, 3)))


def picture_loss(out, clip):
    """Half Charbonnier's, half the logarithm of each clip's luma error: what PSNR counts, for soft clips as for rough."""
    error = out - clip
    square = luma(error).square().mean((1, 2, 3))
    return 0.5 * (error.square() + 1e-6).sqrt().mean() + 0.01 * (square + 1e-4).log().mean()


def flow_loss(levels, truth):
    """Distance to the true flow (B, T-1, 2, h, w) at every level of the pyramid, in pixels of the finest."""
    total = 0
    for flow in levels:
        factor = truth.shape[-1] // flow.shape[-1]
        wanted = F.avg_pool2d(truth.flatten(0, 1), factor).view_as(flow)
        total = total + ((flow * factor - wanted).square().sum(2) + 0.01).sqrt().mean()
    return total / len(levels)


class Run:
    def __init__(self, args):
        self.args = args
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        torch.manual_seed(args.seed)
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
        self.net = BasicVsrPp(BUILTIN).to(self.device, memory_format=torch.channels_last)
        if args.resume:
            self.net.load_state_dict(load(args.resume)[0].state_dict())
        self.average = {k: v.clone() for k, v in self.net.state_dict().items()}
        self.rate, self.offset_rate, self.guide = (torch.zeros((), device=self.device) for _ in range(3))
        fused = {"fused": True, "capturable": True} if self.device.type == "cuda" else {}
        if self.device.type == "cuda":
            for align in self.net.deform_align.values():  # a third of the time is their many small operations
                align.compile()
        # Offsets are ten times what their layer says and must not jump about.
        offsets = [p for name, p in self.net.named_parameters() if "conv_offset" in name]
        others = [p for name, p in self.net.named_parameters() if "conv_offset" not in name]
        groups = [{"params": offsets, "lr": self.offset_rate}, {"params": others, "lr": self.rate}]
        self.adam = torch.optim.Adam(groups, betas=(0.9, 0.99), **fused)
        self.seen = torch.zeros(3, device=self.device)
        self.canvases = Canvases(args.canvases, self.device)
        b, t, s = args.batch, args.frames, args.side
        flow = (b, t - 1, 2, s // 4, s // 4)
        self.batch = [torch.zeros(n, device=self.device) for n in ((b, t, 3, s, s), flow, flow)]

    @torch.no_grad()
    def film(self):
        """Replaces the batch of clips and its true flows."""
        args = self.args
        for kept, new in zip(self.batch, scenes(self.canvases, args.batch, args.frames, args.side)):
            kept.copy_(new)

    def step(self):
        """Learns from the batch, degraded anew."""
        clip, backward, forward = self.batch
        with torch.no_grad():
            small = degrade(clip)
        with torch.autocast(self.device.type, torch.bfloat16):
            out, (back, on) = self.net(small)
        picture = picture_loss(out, clip)
        flow = 0.5 * (flow_loss(back, backward) + flow_loss(on, forward))
        self.adam.zero_grad(set_to_none=False)
        (picture + self.guide * flow).backward()
        norm = torch.nn.utils.clip_grad_norm_(self.net.parameters(), 0.1)
        if self.device.type == "cuda":
            self.adam.found_inf = 1 - norm.isfinite().float()  # such a step is left out
        self.adam.step()
        with torch.no_grad():
            torch._foreach_lerp_(list(self.average.values()), list(self.net.state_dict().values()), 0.002)
            self.seen.copy_(torch.stack([picture, flow, norm]))

    def captured(self, work):
        """`work` as something to call again and again: a CUDA graph where there is CUDA."""
        if self.device.type != "cuda":
            return work
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(3):
                work()
        torch.cuda.current_stream().wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            work()
        return graph.replay

    @torch.no_grad()
    def held_out(self):
        """Luma PSNR on scenes that are not trained on (clean area averaging): the model's and bicubic's."""
        if not hasattr(self, "exam"):
            self.exam = [scenes(self.canvases, 16, self.args.frames, self.args.side)[0] for _ in range(2)]
        net = BasicVsrPp(BUILTIN).to(self.device)
        net.load_state_dict(self.average)
        ours, cubic = [], []
        for clip in self.exam:
            small = (F.avg_pool2d(clip.flatten(0, 1), 4).unflatten(0, clip.shape[:2]) * 255).round() / 255
            up = F.interpolate(small.flatten(0, 1), scale_factor=4, mode="bicubic", align_corners=False)
            ours.append(psnr(luma(net(small)[0].clamp(0, 1)), luma(clip)))
            cubic.append(psnr(luma(up.unflatten(0, clip.shape[:2]).clamp(0, 1)), luma(clip)))
        ours, cubic = (torch.cat(x).clamp(max=60) for x in (ours, cubic))
        return {"psnr": ours.mean().item(), "gain": (ours - cubic).mean().item(), "worst": (ours - cubic).min().item()}

    def save(self, steps, seconds):
        tensors = {f"generator.{k}": v.float().cpu().contiguous() for k, v in self.average.items()}
        about = {
            "steps": str(steps),
            "seconds": f"{seconds:.0f}",
            "resumed": load(self.args.resume)[1].get("steps", "?") + " steps" if self.args.resume else "no",
            "seed": str(self.args.seed),
            "batch": f"{self.args.batch} clips of {self.args.frames} frames, {self.args.side}x{self.args.side}",
            "device": torch.cuda.get_device_name() if self.device.type == "cuda" else "cpu",
        }
        save_file(tensors, self.args.out / "model.safetensors", about)

    def train(self):
        args = self.args
        args.out.mkdir(parents=True, exist_ok=True)
        begin = time.time()
        log = open(args.out / "log.jsonl", "w")

        def note(**facts):
            line = json.dumps({"seconds": round(time.time() - begin, 1)} | facts)
            print(line, flush=True)
            log.write(line + "\n")
            log.flush()

        paint = self.captured(self.canvases.paint)
        for _ in range(args.canvases):
            paint()
        note(canvases=args.canvases)
        self.held_out()  # scenes of canvases that are painted over before long
        for _ in range(args.canvases):
            paint()
        film = self.captured(self.film)
        film()
        step = self.captured(self.step)
        if self.device.type == "cuda":
            torch.cuda.synchronize()
            note(memory=round(torch.cuda.max_memory_allocated() / 2**30, 1), **{k: v // 1000 for k, v in multiplications(BUILTIN).items()})
        warm = time.time()
        left = begin + args.seconds - warm
        steps, noted, saved = 0, warm, warm
        while steps < args.steps and (now := time.time()) - begin < args.seconds:
            done = min((now - warm) / left, 1)
            self.rate.fill_(args.rate * min(1, (steps + 1) / 100) * (0.5 + 0.5 * math.cos(math.pi * done)) + 1e-6)
            self.offset_rate.copy_(0.2 * self.rate)
            self.guide.fill_(0.05 * (1 - done) ** 2 + 0.002)
            if steps % args.uses == 0:
                film()
            if steps % args.paint_every == 0:
                paint()
            step()
            steps += 1
            if steps % 20 == 0:  # the device is never more than this far behind the clock
                picture, flow, norm = self.seen.tolist()
                if now - noted > 10:
                    note(steps=steps, picture=round(picture, 5), flow=round(flow, 3), norm=round(norm, 4), per_second=round(steps / (now - warm), 1))
                    noted = now
                if now - saved > 55:
                    self.save(steps, now - begin)
                    note(**{k: round(v, 3) for k, v in self.held_out().items()})
                    saved = time.time()
        self.save(steps, time.time() - begin)
        note(steps=steps, **{k: round(v, 3) for k, v in self.held_out().items()})


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seconds", type=float, default=540)
    parser.add_argument("--steps", type=int, default=10**9)
    parser.add_argument("--resume", type=Path, help="begin with these weights")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--frames", type=int, default=6)
    parser.add_argument("--side", type=int, default=192, help="of the clips, in high-resolution pixels")
    parser.add_argument("--rate", type=float, default=2e-3)
    parser.add_argument("--canvases", type=int, default=160)
    parser.add_argument("--paint-every", type=int, default=12, help="steps for each new canvas")
    parser.add_argument("--uses", type=int, default=2, help="steps for each batch of scenes")
    Run(parser.parse_args()).train()


if __name__ == "__main__":
    main()
