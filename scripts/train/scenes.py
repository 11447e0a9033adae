"""Moving scenes made of nothing but random numbers, for training: no picture of anybody is needed.

A *canvas* is a periodic texture: leaves of all sizes that hide each other (the dead-leaves model, whose edges and
scale-free statistics are close to those of photographs: Lee, Mumford and Huang, 2001), 1/f noise, brickwork and
writing. A *scene* is a background and objects cut out of canvases, each with its own motion in sub-pixel steps, seen
by a camera that pans, zooms and turns. The true motion is known and returned.

Everything is branch-free torch on one device, so that it can be captured as a CUDA graph. Randomness comes from
torch's default generator.
"""

import functools
import math

import torch
import torch.nn.functional as F

SIDE = 1024  # of a canvas, in texels; two texels are a pixel of the scene at zoom 1
OVER = 2  # samples of a scene for each pixel, across and down
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

    def canvas(self):
        d = self.device
        rough, smooth = pink(d), pink(d, 1.4, 2.4)
        mean = uniform((3, 1, 1), -0.08, 0.08, d) + uniform((), 0.2, 0.8, d)
        base = mean + smooth * uniform((), 0.0, 0.25, d) + rough * uniform((), 0, 0.12, d) * chance((), 0.7, d)
        leaves, covered = self._leaves(rough, mean)
        keep = chance((), 0.85, d)
        picture = base * (1 - covered * keep) + leaves * covered * keep
        bricks, drawn = self._bricks(rough)
        drawn = drawn * chance((), 0.25, d)
        picture = picture * (1 - drawn) + bricks * drawn
        ink = self._writing() * chance((), 0.22, d)
        colour = uniform((3, 1, 1), -0.3, 0.3, d) + torch.rand((), device=d).round()
        return (picture * (1 - ink) + colour * ink).clamp(0, 1)

    def _leaves(self, rough, mean):
        """Leaves in front of each other and where there are any: (3, SIDE, SIDE), (SIDE, SIDE)."""
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
            grey = torch.randn(one, device=d) * uniform((), 0.05, 0.3, d)
            looks = torch.cat(
                [
                    mean + grey + torch.randn(3, n, n, device=d) * uniform((), 0.005, 0.07, d),
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
        """Rows of stones, windows, planks, checks: colours (3, SIDE, SIDE) and where they are drawn, 0 or 1."""
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
        """Lines of words: how much ink (SIDE, SIDE), 0 to 1."""
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
        return ink * written[row, column]


class Motion:
    """Where a layer's texture is found: pixel p of frame i shows canvas place `zoom_i * turn_i * (p + sway) + shift_i`.

    All parameters are (B,) or (B, T); pixels are counted from the middle of the picture.
    """

    def __init__(self, batch, frames, camera, device, calm):
        d, b, t = device, batch, frames
        self.time = torch.arange(t, device=d) - (t - 1) / 2
        speed = 10 * torch.rand(b, device=d) ** 2.5 * (1 - calm)
        heading = uniform((b,), 0, 2 * math.pi, d)
        velocity = torch.stack([heading.cos(), heading.sin()], -1) * speed[:, None]
        if camera is not None:
            depth = log_uniform((b, 1, 1), 0.6, 1.6, d)
            path = camera.path * depth
            self.spin, self.growth = camera.spin, camera.growth
        else:
            path = torch.zeros(b, t, 2, device=d)
            pan = chance((b,), 0.6, d)
            far = uniform((b, 1), 0, 2 * math.pi, d)
            drift = torch.cat([far.cos(), 0.4 * far.sin()], 1) * (22 * torch.rand(b, 1, device=d) ** 2.5) * pan[:, None]
            path = path + drift[:, None] * self.time[:, None]
            shake = torch.randn(b, t, 2, device=d) * (0.8 * torch.rand(b, 1, 1, device=d) ** 2 * pan[:, None, None])
            path = path + shake
            moving = chance((b, 1), 0.5, d)
            self.spin = 0.02 * uniform((b, 1), -1, 1, d) ** 3 * moving
            self.growth = 0.03 * uniform((b, 1), -1, 1, d) ** 3 * moving
        own = velocity[:, None] * self.time[:, None]
        bend = torch.randn(b, 1, 2, device=d) * 0.12 * speed[:, None, None]
        self.path = path + own + bend * (self.time**2 * 0.5)[:, None]
        own_turn = 0.03 * uniform((b, 1), -1, 1, d) ** 3 * (speed > 0.5)[:, None]
        angle = uniform((b, 1), 0, 2 * math.pi, d) + (self.spin + own_turn) * self.time
        zoom = OVER * log_uniform((b, 1), 0.7, 1.5, d) * torch.exp(self.growth * self.time)
        squash = log_uniform((b, 1), 0.8, 1.25, d)
        self.a = torch.stack([zoom * angle.cos() * squash, -zoom * angle.sin(), zoom * angle.sin() * squash, zoom * angle.cos()], -1)
        self.origin = uniform((b, 1, 2), 0, SIDE, d)
        self.amount = 3 * torch.rand(b, 1, 1, device=d) ** 2 * chance((b, 1, 1), 0.25, d) * (1 - calm)[:, None, None]
        wave = log_uniform((b, 1, 1), 50, 250, d)
        way = uniform((b, 1, 1), 0, 2 * math.pi, d)
        self.wave = [way.cos() * 2 * math.pi / wave, way.sin() * 2 * math.pi / wave]
        self.phase = uniform((b, 1), 0, 2 * math.pi, d) + uniform((b, 1), 0.1, 0.7, d) * self.time

    def place(self, x, y, at=slice(None)):
        """Canvas coordinates of pixels x, y, both (B, T, n); `at` chooses other frames than 0..T for their motion."""
        phase = self.phase[:, at, None] + x * self.wave[0] + y * self.wave[1]
        u = x + self.path[:, at, None, 0] + self.amount * phase.sin()
        v = y + self.path[:, at, None, 1] + self.amount * (phase * 1.3).cos()
        a = self.a[:, at, None]
        return a[..., 0] * u + a[..., 1] * v + self.origin[..., :1], a[..., 2] * u + a[..., 3] * v + self.origin[..., 1:]

    def follow(self, x, y, here, there):
        """Where pixels of the frames `here` are found in the frames `there`, one after the other."""
        px, py = self.place(x, y, here)
        a = self.a[:, there, None]
        det = a[..., 0] * a[..., 3] - a[..., 1] * a[..., 2]
        fx, fy = x, y
        for _ in range(4):  # Newton with the affine part as the derivative
            qx, qy = self.place(fx, fy, there)
            ex, ey = px - qx, py - qy
            fx = fx + (a[..., 3] * ex - a[..., 1] * ey) / det
            fy = fy + (a[..., 0] * ey - a[..., 2] * ex) / det
        return fx, fy


class Outline:
    """The outline of an object in its own canvas's coordinates: a wavy blob, or ragged foliage."""

    def __init__(self, motion, batch, side, device):
        d, b = device, batch
        self.size = log_uniform((b, 1, 1), 0.06, 0.45, d) * side * OVER * 0.8
        middle = uniform((b, 1, 1), -0.5, 0.5, d) * side, uniform((b, 1, 1), -0.5, 0.5, d) * side
        still = len(motion.time) // 2
        x, y = motion.place(*middle, slice(still, still + 1))
        self.middle = x, y
        self.waves = torch.randn(b, 1, 1, 6, device=d) * constant((0, 0.25, 0.12, 0.1, 0.06, 0.05), d)
        self.phases = uniform((b, 1, 1, 6), 0, 2 * math.pi, d)
        self.slim = log_uniform((b, 1, 1), 0.12, 1, d)
        self.soft = log_uniform((b, 1, 1), 0.5, 6, d)  # texels
        self.ragged = chance((b, 1, 1), 0.3, d)
        self.level = uniform((b, 1, 1), 0.25, 0.6, d)
        self.present = chance((b, 1, 1), 0.6, d)

    def alpha(self, x, y, grey):
        """How much of the object is seen at canvas places x, y, where its canvas has the luma `grey`."""
        ox, oy = (x - self.middle[0]) * self.slim, y - self.middle[1]
        angle = torch.atan2(oy, ox)
        radius = self.size * (1 + sum(self.waves[..., k] * torch.cos(k * angle + self.phases[..., k]) for k in range(1, 6)))
        inside = ((radius - (ox * ox + oy * oy + 1e-6).sqrt()) / self.soft + 0.5).clamp(0, 1)
        holes = ((grey - self.level) * 12 + 0.5).clamp(0, 1)
        return inside * torch.where(self.ragged > 0, holes, torch.ones_like(holes)) * self.present


def look_up(canvases, x, y):
    """Canvases (B, 3, SIDE, SIDE) at texel places x, y (B, T, n), bilinear and periodic: (B, 3, T, n)."""
    grid = torch.stack([torch.remainder(x, SIDE), torch.remainder(y, SIDE)], -1) * (2 / SIDE) - 1
    return F.grid_sample(canvases, grid, "bilinear", "border", align_corners=False)


def blur(x, across, down):
    """Gaussian blur of x (B, T, 3, h, w) with standard deviations (B,) in pixels."""
    b, t, c, h, w = x.shape
    reach = 5
    place = torch.arange(-reach, reach + 1, device=x.device)
    x = x.reshape(b, t * c, h, w).transpose(0, 1)
    for sigma, shape, pad in ((across, (b, 1, 1, -1), (reach, reach, 0, 0)), (down, (b, 1, -1, 1), (0, 0, reach, reach))):
        kernel = torch.exp(-0.5 * (place / sigma.clamp_min(0.05)[:, None]) ** 2)
        kernel = (kernel / kernel.sum(1, keepdim=True)).view(shape)
        x = F.conv2d(F.pad(x, pad, "replicate"), kernel, groups=b)
    return x.transpose(0, 1).reshape(b, t, c, h, w)


def scenes(canvases, batch, frames, side, objects=3):
    """Clips (B, T, 3, side, side), 0 to 1, and the true backward and forward flows (B, T-1, 2, side/4, side/4) of the
    clips at a quarter of the size, in pixels of that size, as the network defines them."""
    d = canvases.device
    b, t, s = batch, frames, side
    fine = ((torch.arange(s * OVER, device=d) + 0.5) / OVER - s / 2)
    gy, gx = (g.reshape(1, 1, -1) for g in torch.meshgrid(fine, fine, indexing="ij"))
    coarse = (torch.arange(s // 4, device=d) + 0.5) * 4 - s / 2
    cy, cx = (g.reshape(1, 1, -1).expand(b, t, -1) for g in torch.meshgrid(coarse, coarse, indexing="ij"))
    last, first = slice(0, t - 1), slice(1, t)
    still = chance((b,), 0.3, d)
    camera = Motion(b, t, None, d, torch.ones(b, device=d))
    picture = flow_back = flow_on = None
    for layer in range(1 + objects):
        motion = Motion(b, t, camera, d, still if layer else torch.ones(b, device=d))
        which = torch.randint(0, len(canvases.store), (b,), device=d)
        canvas = canvases.store[which]
        x, y = motion.place(gx.expand(b, t, -1), gy.expand(b, t, -1))
        colour = look_up(canvas, x, y)
        gain = uniform((b, 1, 1, 1), 0.6, 1.3, d)
        colour = colour * gain
        forth = torch.stack(motion.follow(cx[:, last], cy[:, last], last, first), 2)
        back = torch.stack(motion.follow(cx[:, first], cy[:, first], first, last), 2)
        if layer == 0:
            picture, flow_on, flow_back = colour, forth, back
            continue
        outline = Outline(motion, b, s, d)
        alpha = outline.alpha(x, y, colour.mean(1))
        picture = picture + (colour - picture) * alpha[:, None]
        x, y = motion.place(cx, cy)
        seen = outline.alpha(x, y, look_up(canvas, x, y).mean(1) * gain[:, 0])[:, :, None] > 0.5
        flow_on = torch.where(seen[:, last], forth, flow_on)
        flow_back = torch.where(seen[:, first], back, flow_back)
    picture = F.avg_pool2d(picture.reshape(b * 3 * t, 1, s * OVER, s * OVER), OVER).view(b, 3, t, s, s).transpose(1, 2)
    # The lens, the scan, the master: from pixel-sharp to soft, often softer across than down.
    softness = uniform((b,), 0, 1.1, d) * chance((b,), 0.7, d)
    picture = blur(picture, softness * uniform((b,), 1, 1.5, d), softness)
    gamma = log_uniform((b, 1, 1, 1, 1), 0.7, 1.5, d)
    picture = picture.clamp(0, 1) ** gamma
    bars = (uniform((b, 1, 1, 1, 1), 0, 0.3, d) * chance((b, 1, 1, 1, 1), 0.06, d)) * s
    row = torch.arange(s, device=d).view(1, 1, 1, s, 1)
    picture = picture * (row >= bars)
    here = torch.stack([cx, cy], 2)
    size = (b, t - 1, 2, s // 4, s // 4)
    # The true flow of the network's forward branch goes from a frame to the one before it.
    return picture, ((flow_on - here[:, last]) / 4).view(size), ((flow_back - here[:, first]) / 4).view(size)
