"""BasicVSR++ in PyTorch, with every size free that the Rust engines read from a checkpoint's tensors.

K. Chan et al., "BasicVSR++: Improving Video Super-Resolution with Enhanced Propagation and Alignment", CVPR 2022.
Tensor names are those of the published checkpoints. `check.py` holds it against the parity fixture.

B clips, T frames, C feature channels, h x w low-resolution pixels. Flows are in low-resolution pixels, x before y.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn

BRANCHES = ("backward_1", "forward_1", "backward_2", "forward_2")
OFFSET_LIMIT = 10.0  # pixels, of the residue on top of the flow


@dataclass(frozen=True)
class Sizes:
    """What a checkpoint is free to choose. The defaults are the published network's."""

    channels: int = 64
    extract_blocks: int = 5
    branch_blocks: int = 7
    reconstruct_blocks: int = 5
    offset_channels: tuple = (64, 64, 64)  # of the hidden layers before the offsets
    groups: int = 16
    flow_channels: tuple = (32, 64, 32, 16)  # of the hidden layers of each level
    flow_kernel: int = 7
    flow_levels: int = 6
    tail_channels: tuple = (64, 64, 64)  # after upsample1, upsample2, conv_hr


# The model that is built into the tools. Hidden widths are whole AVX-512 vectors; five flow levels make frames of
# 720 and 1024 x 576 whole multiples of the coarsest level, so that the flow network need not resize them.
BUILTIN = Sizes(
    channels=16,
    extract_blocks=3,
    branch_blocks=2,
    reconstruct_blocks=8,
    offset_channels=(16,),
    groups=2,
    flow_channels=(16, 32, 16),
    flow_kernel=3,
    flow_levels=5,
    tail_channels=(16, 16, 8),
)


def places(h, w, like):
    """Every pixel's own position in grid_sample's coordinates (align_corners), x and y (2, h, w), and a pixel's size
    in them (2, 1, 1)."""
    unit = torch.stack([torch.full((1, 1), 2 / max(n - 1, 1), device=like.device) for n in (w, h)])
    x = torch.arange(w, device=like.device).expand(h, w)
    y = torch.arange(h, device=like.device)[:, None].expand(h, w)
    return torch.stack([x, y]) * unit - 1, unit


def warp(x, flow, padding="zeros"):
    """x (N, c, h, w) sampled at every pixel's own position plus flow (N, 2, h, w), bilinear."""
    own, unit = places(*x.shape[-2:], x)
    grid = torch.addcmul(own, flow, unit).permute(0, 2, 3, 1)
    return F.grid_sample(x.float(), grid, "bilinear", padding, align_corners=True).to(x.dtype)


class FlowLevel(nn.Module):
    def __init__(self, sizes):
        super().__init__()
        widths = (8, *sizes.flow_channels, 2)
        self.basic_module = nn.ModuleList(
            nn.ModuleDict({"conv": nn.Conv2d(a, b, sizes.flow_kernel, padding=sizes.flow_kernel // 2)})
            for a, b in zip(widths, widths[1:])
        )

    def forward(self, x):
        for layer in self.basic_module[:-1]:
            x = F.relu(layer["conv"](x))
        return self.basic_module[-1]["conv"](x)


class SpyNet(nn.Module):
    """A pyramid of small networks, each of which corrects the flow of the level before. Ranjan and Black, CVPR 2017."""

    def __init__(self, sizes):
        super().__init__()
        self.basic_module = nn.ModuleList(FlowLevel(sizes) for _ in range(sizes.flow_levels))
        self.register_buffer("mean", torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1))

    def forward(self, reference, support):
        """Flows (N, 2, h, w) of every level in float32, the finest last and at the frames' own size."""
        h, w = reference.shape[-2:]
        multiple = 1 << (len(self.basic_module) - 1)
        full = [-(-h // multiple) * multiple, -(-w // multiple) * multiple]
        pyramid = []
        for x in (reference, support):
            x = x.float() if full == [h, w] else F.interpolate(x.float(), full, mode="bilinear", align_corners=False)
            levels = [(x - self.mean) / self.std]
            for _ in self.basic_module[1:]:
                levels.append(F.avg_pool2d(levels[-1], 2))
            pyramid.append(levels[::-1])
        n, _, ch, cw = pyramid[0][0].shape
        flow = reference.new_zeros(n, 2, ch, cw, dtype=torch.float32)
        flows = []
        for level, (ref, supp) in enumerate(zip(*pyramid)):
            if level > 0:
                flow = 2 * F.interpolate(flow, scale_factor=2, mode="bilinear", align_corners=True)
            seen = torch.cat([ref, warp(supp, flow, "border"), flow], 1)
            flow = flow + self.basic_module[level](seen).float()
            flows.append(flow)
        if full != [h, w]:
            flow = F.interpolate(flow, (h, w), mode="bilinear", align_corners=False)
            flows[-1] = flow * flow.new_tensor([w / full[1], h / full[0]]).view(1, 2, 1, 1)
        return flows


class Block(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.conv1 = nn.Conv2d(c, c, 3, padding=1)
        self.conv2 = nn.Conv2d(c, c, 3, padding=1)

    def forward(self, x):
        return x + self.conv2(F.relu(self.conv1(x)))


class Blocks(nn.Module):
    def __init__(self, cin, c, count):
        super().__init__()
        self.main = nn.Sequential(
            nn.Conv2d(cin, c, 3, padding=1),
            nn.LeakyReLU(0.1),
            nn.Sequential(*(Block(c) for _ in range(count))),
        )

    def forward(self, x):
        return self.main(x)


class Align(nn.Module):
    """Second-order flow-guided deformable alignment. The first half of the groups belongs to the first order."""

    def __init__(self, sizes):
        super().__init__()
        c = sizes.channels
        self.groups = sizes.groups
        self.weight = nn.Parameter(torch.empty(c, 2 * c, 3, 3))
        self.bias = nn.Parameter(torch.zeros(c))
        layers = []
        cin = 3 * c + 4
        for width in sizes.offset_channels:
            layers += [nn.Conv2d(cin, width, 3, padding=1), nn.LeakyReLU(0.1)]
            cin = width
        layers.append(nn.Conv2d(cin, 27 * sizes.groups, 3, padding=1))
        self.conv_offset = nn.Sequential(*layers)

    def forward(self, features, spatial, flows):
        """`features` of the previous visit and the one before (2N, C, h, w) brought to the frame with this `spatial`
        feature, by way of the `flows` to them (2N, 2, h, w)."""
        n, c, h, w = spatial.shape
        g = self.groups
        seen = warp(features, flows)
        raw = self.conv_offset(torch.cat([seen[:n], spatial, seen[n:], flows[:n].to(seen), flows[n:].to(seen)], 1))
        offsets, mask = raw.split([18 * g, 9 * g], 1)
        # Offsets are (dy, dx) for each tap of each group; those of the first half of the groups come on top of flow 1.
        residue = OFFSET_LIMIT * torch.tanh(offsets.float()).view(n, g, 9, 2, h, w).flip(3)
        flow = flows.view(2, n, 1, 1, 2, h, w).transpose(0, 1).expand(n, 2, g // 2, 1, 2, h, w).reshape(n, g, 1, 2, h, w)
        own, unit = places(h, w, raw)
        around = torch.arange(9, device=raw.device)
        tap = torch.stack([around % 3 - 1, around // 3 - 1], 1)[:, :, None, None] * unit
        grid = torch.addcmul(own + tap, residue + flow, unit).permute(0, 1, 2, 4, 5, 3).reshape(n * g, 9 * h, w, 2)
        x = torch.cat([features[:n], features[n:]], 1).float().reshape(n * g, 2 * c // g, h, w)
        taps = F.grid_sample(x, grid, "bilinear", "zeros", align_corners=True)
        taps = taps.view(n, g, -1, 9, h, w) * mask.sigmoid().view(n, g, 1, 9, h, w)
        out = self.weight.reshape(c, 18 * c) @ taps.reshape(n, 18 * c, h * w)
        return out.view(n, c, h, w) + self.bias.view(c, 1, 1).to(out.dtype)


class Upsample(nn.Module):
    def __init__(self, cin, cout):
        super().__init__()
        self.upsample_conv = nn.Conv2d(cin, 4 * cout, 3, padding=1)

    def forward(self, x):
        return F.leaky_relu(F.pixel_shuffle(self.upsample_conv(x), 2), 0.1)


class BasicVsrPp(nn.Module):
    def __init__(self, sizes):
        super().__init__()
        c = sizes.channels
        t1, t2, t3 = sizes.tail_channels
        self.sizes = sizes
        self.spynet = SpyNet(sizes)
        self.feat_extract = Blocks(3, c, sizes.extract_blocks)
        self.deform_align = nn.ModuleDict({b: Align(sizes) for b in BRANCHES})
        self.backbone = nn.ModuleDict(
            {b: Blocks((2 + i) * c, c, sizes.branch_blocks) for i, b in enumerate(BRANCHES)}
        )
        self.reconstruction = Blocks(5 * c, c, sizes.reconstruct_blocks)
        self.upsample1 = Upsample(c, t1)
        self.upsample2 = Upsample(t1, t2)
        self.conv_hr = nn.Conv2d(t2, t3, 3, padding=1)
        self.conv_last = nn.Conv2d(t3, 3, 3, padding=1)
        self.reset()

    def reset(self):
        """He initialisation; what is added to something starts small, and the alignment starts at the flow."""
        for module in self.modules():
            if isinstance(module, (nn.Conv2d, Align)):
                nn.init.kaiming_normal_(module.weight, 0.1)
                nn.init.zeros_(module.bias)
        for module in self.modules():
            if isinstance(module, Block):
                module.conv2.weight.data *= 0.1
            elif isinstance(module, FlowLevel):
                module.basic_module[-1]["conv"].weight.data *= 0.1
            elif isinstance(module, Align):
                module.conv_offset[-1].weight.data.zero_()
        self.conv_last.weight.data *= 0.1

    def flows(self, frames):
        """All levels of the backward and of the forward flows of frames (B, T, 3, h, w), each (B, T-1, 2, ..)."""
        b, t = frames.shape[:2]
        earlier, later = frames[:, :-1].flatten(0, 1), frames[:, 1:].flatten(0, 1)
        levels = self.spynet(torch.cat([earlier, later]), torch.cat([later, earlier]))
        both = [f.view(2, b, t - 1, *f.shape[1:]) for f in levels]
        return [f[0] for f in both], [f[1] for f in both]

    def forward(self, frames, watch=None):
        """RGB frames (B, T, 3, h, w), 0 to 1, to (B, T, 3, 4h, 4w), not clamped; and the flows of all levels.

        `watch(name, frame, tensor)` sees the intermediate results.
        """
        watch = watch or (lambda *_: None)
        b, t, _, h, w = frames.shape
        backward, forward = self.flows(frames) if t > 1 else ([], [])
        spatial = self.feat_extract(frames.flatten(0, 1)).unflatten(0, (b, t))
        found = [[spatial[:, i]] for i in range(t)]
        # Flows to the previous visit and, from the second on, to the one before it, in the order of the visits.
        steps = {True: None, False: None}
        for back in steps if t > 1 else ():
            near = backward[-1].flip(1) if back else forward[-1]
            onward = warp(near[:, :-1].flatten(0, 1), near[:, 1:].flatten(0, 1)) if t > 2 else near[:, 1:].flatten(0, 1)
            steps[back] = near, near[:, 1:] + onward.unflatten(0, (b, t - 2))
        for branch in BRANCHES:
            back = branch.startswith("backward")
            align, backbone = self.deform_align[branch], self.backbone[branch]
            for visit, i in enumerate(reversed(range(t)) if back else range(t)):
                here = found[i][0]
                if visit == 0:
                    first, aligned = torch.zeros_like(here), torch.zeros_like(here)
                else:
                    near = steps[back][0][:, visit - 1]
                    far = steps[back][1][:, visit - 2] if visit > 1 else torch.zeros_like(near)
                    aligned = align(torch.cat([first, second]), here, torch.cat([near, far]))
                    watch(f"aligned_{branch}", i, aligned)
                first, second = aligned + backbone(torch.cat([*found[i], aligned], 1)), first
                watch(branch, i, first)
                found[i].append(first)
        x = torch.stack([torch.cat(f, 1) for f in found], 1).flatten(0, 1)
        x = self.upsample2(self.upsample1(self.reconstruction(x)))
        x = self.conv_last(F.leaky_relu(self.conv_hr(x), 0.1))
        base = F.interpolate(frames.flatten(0, 1), scale_factor=4, mode="bilinear", align_corners=False)
        return (base + x.float()).unflatten(0, (b, t)), (backward, forward)


def multiplications(sizes):
    """Multiply-adds of the convolutions for each low-resolution pixel of each frame, by part of the network."""
    c = sizes.channels
    t1, t2, t3 = sizes.tail_channels
    level = (8, *sizes.flow_channels, 2)
    offset = (3 * c + 4, *sizes.offset_channels, 27 * sizes.groups)
    chain = lambda widths: sum(a * b for a, b in zip(widths, widths[1:]))
    blocks = lambda count: count * 2 * 9 * c * c
    pyramid = sum(0.25**k for k in range(sizes.flow_levels))
    return {
        "flow": round(2 * pyramid * sizes.flow_kernel**2 * chain(level)),
        "extraction": 9 * 3 * c + blocks(sizes.extract_blocks),
        "offsets": 4 * 9 * chain(offset),
        "deformable": 4 * 9 * 2 * c * c,
        "backbones": 9 * (2 + 3 + 4 + 5) * c * c + 4 * blocks(sizes.branch_blocks),
        "reconstruction": 9 * 5 * c * c + blocks(sizes.reconstruct_blocks),
        "tail": 9 * (c * 4 * t1 + 4 * t1 * 4 * t2 + 16 * t2 * t3 + 16 * t3 * 3),
    }


def sizes_of(state):
    """The sizes of the network whose tensors these are, named as in `BasicVsrPp.state_dict()`."""

    def widths(name):
        """Output channels of layers `name.0`, `name.1`, .. as far as they have weights."""
        layers = sorted(int(k.split(".")[len(name.split("."))]) for k in state if k.startswith(name + ".") and k.endswith(".weight"))
        layer = lambda i: state.get(f"{name}.{i}.weight", state.get(f"{name}.{i}.conv.weight"))
        return tuple(layer(i).shape[0] for i in layers)

    def blocks(name):
        return len({k.split(".")[-3] for k in state if k.startswith(f"{name}.main.2.")})

    level = "spynet.basic_module.0.basic_module"
    offset = widths("deform_align.backward_1.conv_offset")
    return Sizes(
        channels=state["feat_extract.main.0.bias"].shape[0],
        extract_blocks=blocks("feat_extract"),
        branch_blocks=blocks("backbone.backward_1"),
        reconstruct_blocks=blocks("reconstruction"),
        offset_channels=offset[:-1],
        groups=offset[-1] // 27,
        flow_channels=widths(level)[:-1],
        flow_kernel=state[f"{level}.0.conv.weight"].shape[-1],
        flow_levels=len({k.split(".")[2] for k in state if k.startswith("spynet.basic_module.")}),
        tail_channels=(
            state["upsample1.upsample_conv.bias"].shape[0] // 4,
            state["upsample2.upsample_conv.bias"].shape[0] // 4,
            state["conv_hr.bias"].shape[0],
        ),
    )


def load(path):
    """The network of a safetensors file, in float32, and what the file says about itself."""
    from safetensors import safe_open

    with safe_open(path, "pt") as file:
        state = {name.removeprefix("generator."): file.get_tensor(name).float() for name in file.keys()}
        about = file.metadata() or {}
    state.pop("step_counter", None)
    net = BasicVsrPp(sizes_of(state))
    net.load_state_dict(state)
    return net.eval(), about
