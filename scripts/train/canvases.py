"""Textures made of nothing but random numbers, for training: no picture of anybody is needed.

A *canvas* is a periodic texture: 1/f noise, leaves of all sizes that hide each other (the dead-leaves model, whose edges
and scale-free statistics are close to those of photographs: Lee, Mumford and Huang, 2001), hair and grass combed along
smooth curves, flat tones with outlines, brickwork and writing; some canvases are out of focus.

Everything is branch-free torch on one device, so that it can be captured as a CUDA graph. Randomness comes from
torch's default generator.
"""

import functools
import math

import torch
import torch.nn.functional as F

SIDE = 1024  # of a canvas, in texels; two texels are a pixel of the scene at zoom 1
CELLS = (512, 256, 128, 64, 32, 16, 8)  # sides of the leaves' cells: one leaf of about that size in each
GLYPH = (24, 16)  # rows and columns of a letter


@functools.lru_cache
def constant(values, device):
    """A tensor of these numbers. Kept, since a CUDA graph cannot take numbers from the host while it is captured."""
    return torch.tensor(values, device=device)


def uniform(shape, low, high, device):
    return torch.rand(shape, device=device) * (high - low) + low


def chance(shape, p, device):
    """1 with probability p, else 0."""
    return (torch.rand(shape, device=device) < p).float()


def log_uniform(shape, low, high, device):
    return torch.exp(uniform(shape, math.log(low), math.log(high), device))


def pink(device, low=0.7, high=1.9):
    """Periodic noise (3, SIDE, SIDE) of unit variance; amplitude falls as frequency^-x, x between low and high."""
    fy = torch.fft.fftfreq(SIDE, device=device)[:, None]
    fx = torch.fft.rfftfreq(SIDE, device=device)[None]
    # Stretched along a random direction: grain, fur, clouds.
    turn, stretch = uniform((), 0, math.pi, device), log_uniform((), 1, 6, device)
    u = fx * turn.cos() + fy * turn.sin()
    v = (fy * turn.cos() - fx * turn.sin()) * stretch
    falloff = (u * u + v * v).clamp_min(SIDE**-2).sqrt() ** -uniform((), low, high, device)
    spectrum = torch.fft.rfft2(torch.randn(3, SIDE, SIDE, device=device)) * falloff
    spectrum[:, 0, 0] = 0
    noise = torch.fft.irfft2(spectrum, s=(SIDE, SIDE))
    # Mostly grey: the channels share the first one's noise.
    noise = noise / noise.std((1, 2), keepdim=True)
    noise = noise[:1] + uniform((), 0.1, 0.6, device) * noise
    return noise / noise.std()


class Canvases:
    """A store of canvases (count, 3, SIDE, SIDE), 0 to 1, of which one at a time is painted anew."""

    def __init__(self, count, device):
        self.device = device
        self.glyphs = self._glyphs(96)
        self.store = torch.empty(count, 3, SIDE, SIDE, device=device)
        self.next = torch.zeros(1, dtype=torch.long, device=device)

    def paint(self):
        """Replaces the oldest canvas."""
        self.store.index_copy_(0, self.next, self.canvas()[None])
        self.next.add_(1).remainder_(len(self.store))

    # What a canvas is made of: each layer is its colours (3, SIDE, SIDE) and where it covers (SIDE, SIDE), 0 to 1.

    def canvas(self):
        d = self.device
        rough, smooth = pink(d), pink(d, 1.4, 2.4)
        mean = uniform((3, 1, 1), -0.08, 0.08, d) + uniform((), 0.2, 0.8, d)
        light = smooth * uniform((), 0.0, 0.25, d)
        picture = mean + light + rough * uniform((), 0, 0.12, d) * chance((), 0.6, d)
        for layer, often in (
            (self._leaves(rough, mean + light), 0.6),
            (self._strands(mean + light), 0.5),
            (self._tones(mean), 0.2),
            (self._bricks(rough), 0.2),
            (self._writing(), 0.2),
        ):
            colour, covered = layer
            # Some layers lie everywhere, some in patches.
            patch = ((pink(d, 1.6, 2.2)[0] - uniform((), -1, 1, d)) * log_uniform((), 2, 40, d)).clamp(0, 1)
            patch = torch.maximum(patch, chance((), 0.5, d))
            covered = covered * patch * chance((), often, d)
            picture = picture * (1 - covered) + colour * covered
        return self._focus(picture).clamp(0, 1)

    def _focus(self, picture):
        """Some pictures blurred as by a lens, many texels wide."""
        d = self.device
        fy = torch.fft.fftfreq(SIDE, device=d)[:, None]
        fx = torch.fft.rfftfreq(SIDE, device=d)[None]
        sigma = log_uniform((), 0.7, 12, d) * chance((), 0.2, d)
        gauss = torch.exp(-2 * (math.pi * sigma) ** 2 * (fy * fy + fx * fx))
        return torch.fft.irfft2(torch.fft.rfft2(picture) * gauss, s=(SIDE, SIDE))

    def _strands(self, ground):
        """Hair, fur, grass: tapering strands that hide each other, combed along smooth curves, thick or fine."""
        d = self.device
        y = torch.arange(SIDE, device=d)[:, None].expand(SIDE, SIDE)
        x = torch.arange(SIDE, device=d)[None].expand(SIDE, SIDE)
        bend = pink(d, 1.8, 2.6)
        angle = uniform((), 0, 2 * math.pi, d) + bend[0] * uniform((), 0.05, 0.7, d)
        most = 400
        across = log_uniform((), 70, most, d)  # strands side by side
        width = SIDE / across  # texels
        v, u = y * (across / SIDE), x * (across / SIDE)
        row, column = v.long(), u.long()
        jitter = uniform((2, most + 1, most + 1), -0.25, 0.25, d)[:, row, column]
        away = ((v % 1 - 0.5 - jitter[0]) ** 2 + (u % 1 - 0.5 - jitter[1]) ** 2) / 0.25**2
        taper = log_uniform((), 0.3, 2, d)
        there = chance((most + 1, most + 1), uniform((), 0.1, 0.9, d), d)
        front = (torch.rand(most + 1, most + 1, device=d) + there)[row, column] - taper * away
        front = torch.where(away < 1, front, torch.full_like(front, -9))
        shade = torch.randn(most + 1, most + 1, device=d)[row, column]
        streaks = pink(d, 0.1, 0.9)[0]
        # Each round makes the strands twice as dense in steps along their length, down to less than their width.
        strands = torch.stack([front, shade, torch.zeros(SIDE, SIDE, device=d), streaks])
        length = width * log_uniform((), 4, 40, d)
        for k in range(1, 8):
            stride = length * 0.5**k
            sy = (y + stride * angle.sin()).round().long() % SIDE
            sx = (x + stride * angle.cos()).round().long() % SIDE
            there = strands[:, sy, sx]
            ahead = torch.cat([(there[0] - taper * 0.5**k)[None], there[1:2], there[2:3] + 0.5**k])
            hidden = torch.where(ahead[:1] > strands[:1], ahead, strands[:3])
            strands = torch.cat([hidden, (strands[3:] + there[3:]) * 0.5])
        front, shade, along, streaks = strands
        contrast = uniform((), 0.02, 0.25, d)
        tint = self._tone() * 0.5 + 0.5
        grey = shade * contrast + (along - 0.5) * uniform((), -0.4, 0.4, d)
        grey = torch.where(front > -4, grey, grey - uniform((), 0, 0.3, d))
        grey = grey * chance((), 0.75, d) + streaks / streaks.std() * uniform((), 0, 0.15, d) * chance((), 0.6, d)
        return ground + grey * tint + bend[1] * uniform((), 0, 0.1, d), 1.0

    def _tones(self, mean):
        """Flat or softly shaded regions with curved borders, some with outlines: drawn animation, maps, branches."""
        d = self.device
        noise = pink(d, 1.7, 2.6)[0]
        height = noise * log_uniform((), 0.8, 8, d)
        level = torch.remainder(height.floor().long(), 32)
        palette = mean + torch.randn(1, 32, 1, device=d) * uniform((), 0, 0.35, d) + torch.randn(3, 32, 1, device=d) * uniform((), 0, 0.12, d)
        colour = palette[:, level, 0] + (height % 1 - 0.5) * uniform((), -0.15, 0.15, d)
        # The distance to the border, in texels, by the height's slope.
        slope = ((height.roll(-1, 0) - height.roll(1, 0)) ** 2 + (height.roll(-1, 1) - height.roll(1, 1)) ** 2).sqrt() / 2
        away = (0.5 - (height % 1 - 0.5).abs()) / slope.clamp_min(1e-4)
        outline = (log_uniform((), 0.6, 6, d) - away + 0.5).clamp(0, 1) * chance((), 0.7, d)
        ink = uniform((3, 1, 1), -0.1, 0.1, d) + torch.rand((), device=d).round()
        only_outlines = chance((), 0.4, d)
        return colour * (1 - outline) + ink * outline, torch.maximum(outline, 1 - only_outlines)

    def _leaves(self, rough, ground):
        """Leaves in front of each other."""
        d = self.device
        y = torch.arange(SIDE, device=d, dtype=torch.float32)[:, None] + 0.5
        x = torch.arange(SIDE, device=d, dtype=torch.float32)[None] + 0.5
        top = torch.zeros(SIDE, SIDE, device=d)
        local = torch.zeros(3, SIDE, SIDE, device=d)  # place within the leaf: along, across, distance from the middle
        look = torch.zeros(14, SIDE, SIDE, device=d)
        # The canvas has a direction which its leaves keep more or less: grass and hair, or none at all.
        main, spread = uniform((), 0, math.pi, d), uniform((), 0.1, 3.2, d) * chance((), 0.75, d) + 0.05
        slim = log_uniform((), 1, 9, d)
        finest = torch.randint(0, len(CELLS), (), device=d)  # sizes below this are rare
        for scale, cell in enumerate(CELLS):
            n = SIDE // cell
            one = (1, n, n)
            present = chance(one, uniform((), 0.15, 0.95, d) * torch.where(scale > finest, 0.12, 1.0), d)
            angle = main + spread * torch.randn(one, device=d)
            a = cell * uniform(one, 0.35, 1.0, d)
            b = a / (slim * log_uniform(one, 0.5, 1.6, d)).clamp(1, 12)
            shape = torch.cat(
                [
                    present * torch.rand(one, device=d),  # who is in front
                    (torch.arange(n, device=d)[None, None] + torch.rand(one, device=d)) * cell,
                    (torch.arange(n, device=d)[None, :, None] + torch.rand(one, device=d)) * cell,
                    angle.cos() / a,
                    angle.sin() / a,
                    a / b,
                    torch.where(torch.rand(one, device=d) < 0.6, 2.0, torch.where(torch.rand(one, device=d) < 0.5, 1.0, 9.0)),
                ]
            )
            # Most leaves differ little from their surroundings, a few much.
            grey = torch.randn(one, device=d) * uniform((), 0.02, 0.25, d) * log_uniform(one, 0.3, 2, d)
            looks = torch.cat(
                [
                    F.avg_pool2d(ground, cell) + grey + torch.randn(3, n, n, device=d) * uniform((), 0, 0.05, d),
                    torch.randn(3, n, n, device=d) * 0.05 + torch.randn(one, device=d) * 0.12,  # shading along
                    uniform(one, 0, 0.14, d) * chance(one, 0.5, d),  # noise
                    uniform(one, 0, 0.2, d) * chance(one, 0.15, d),  # stripes
                    log_uniform(one, 4, 40, d),  # how many
                    uniform(one, -0.5, 0.5, d),  # and how slanted
                    torch.randint(0, SIDE, (2, n, n), device=d).float(),  # which piece of the noise
                    uniform(one, -0.1, 0.3, d) * chance(one, 0.6, d),  # darker at the rim
                    torch.zeros(one, device=d),
                ]
            )
            for dy in (-1, 0, 1):
                for dx in (-1, 0, 1):
                    turned = shape.roll((dy, dx), (1, 2))
                    p, cx, cy, cos, sin, ratio, power = (
                        v.repeat_interleave(cell, 0).repeat_interleave(cell, 1) for v in turned
                    )
                    wrap = lambda v: torch.remainder(v + SIDE / 2, SIDE) - SIDE / 2
                    ox, oy = wrap(x - cx), wrap(y - cy)
                    u = ox * cos + oy * sin
                    v = (oy * cos - ox * sin) * ratio
                    distance = u.abs() ** power + v.abs() ** power
                    wins = (p > top) & (distance < 1)
                    top = torch.where(wins, p, top)
                    local = torch.where(wins, torch.stack([u, v, distance]), local)
                    painted = looks.roll((dy, dx), (1, 2)).repeat_interleave(cell, 1).repeat_interleave(cell, 2)
                    look = torch.where(wins, painted, look)
        u, v, distance = local
        iy = torch.remainder(y + look[11], SIDE).long()
        ix = torch.remainder(x + look[10], SIDE).long()
        colour = look[:3] + look[3:6] * u + look[6] * rough[:, iy, ix]
        colour = colour + look[7] * torch.sin(look[8] * (u + look[9] * v))
        colour = colour - look[12] * distance**2
        return colour, (top > 0).float()

    def _bricks(self, rough):
        """Rows of stones, windows, planks, checks."""
        d = self.device
        rows, columns = torch.randint(10, 130, (2,), device=d)
        y = torch.arange(SIDE, device=d)[:, None] / SIDE * rows
        x = torch.arange(SIDE, device=d)[None] / SIDE * columns
        x = x + (y.floor() % 2) * uniform((), 0, 1, d).round() * 0.5
        row, column = y.long(), (x.long() % columns).clamp(0, 129)
        joint = uniform((), 0.03, 0.4, d)
        solid = ((y % 1 > joint) & (x % 1 > joint * rows / columns)).float()
        shade = self._tone() + torch.randn(1, 130, 130, device=d) * uniform((), 0, 0.2, d)
        stone = shade[:, row.expand(SIDE, SIDE), column.expand(SIDE, SIDE)] + rough * uniform((), 0, 0.08, d)
        colour = stone * solid + self._tone() * (1 - solid)
        return colour, torch.maximum(solid, chance((), 0.6, d))

    def _tone(self):
        """A colour (3, 1, 1), rarely far from grey."""
        d = self.device
        return torch.rand(1, 1, 1, device=d) + torch.randn(3, 1, 1, device=d) * uniform((), 0.02, 0.15, d)

    def _glyphs(self, count):
        """Letters of no alphabet, out of strokes: (count, rows, columns), 0 to 1."""
        d = self.device
        y = (torch.arange(GLYPH[0] * 4, device=d) / 4)[:, None]
        x = (torch.arange(GLYPH[1] * 4, device=d) / 4)[None]
        ink = torch.zeros(count, GLYPH[0] * 4, GLYPH[1] * 4, device=d)
        grid = torch.tensor([[4.0, 3.0], [12.0, 3.0], [4.0, 11.5], [12.0, 11.5], [4.0, 20.0], [12.0, 20.0], [8.0, 3.0], [8.0, 20.0]], device=d)
        thick = uniform((count, 1, 1), 0.9, 1.9, d)
        for stroke in range(5):
            ends = grid[torch.randint(0, len(grid), (count, 2), device=d)]
            (ax, ay), (bx, by) = ends[:, 0].T[..., None, None], ends[:, 1].T[..., None, None]
            length = ((bx - ax) ** 2 + (by - ay) ** 2).clamp_min(1e-3)
            along = (((x - ax) * (bx - ax) + (y - ay) * (by - ay)) / length).clamp(0, 1)
            away = ((x - ax - along * (bx - ax)) ** 2 + (y - ay - along * (by - ay)) ** 2).sqrt()
            ink = torch.maximum(ink, (away < thick).float() * chance((count, 1, 1), 1.0 if stroke < 2 else 0.6, d))
        return F.avg_pool2d(ink[:, None], 2)[:, 0]

    def _writing(self):
        """Lines of words."""
        d = self.device
        rows = torch.randint(8, 56, (), device=d)
        columns = (rows * uniform((), 1.4, 2.4, d)).long()
        y = torch.arange(SIDE, device=d)[:, None] / SIDE * rows
        x = torch.arange(SIDE, device=d)[None] / SIDE * columns
        row, column = y.long().expand(SIDE, SIDE), x.long().expand(SIDE, SIDE)
        letters = torch.randint(0, len(self.glyphs), (56, 136), device=d)
        written = chance((56, 136), 0.8, d) * chance((56, 1), 0.6, d) * chance((56, 17), 0.6, d).repeat_interleave(8, 1)
        gh, gw = self.glyphs.shape[1:]
        ink = self.glyphs[letters[row, column], ((y % 1) * gh).long(), ((x % 1) * gw).long()]
        return uniform((3, 1, 1), -0.3, 0.3, d) + torch.rand((), device=d).round(), ink * written[row, column]


