"""Moving scenes cut out of canvases: a background and objects, each with its own motion in sub-pixel steps, seen by a
camera that pans, zooms and turns. The true motion is known and returned. Branch-free, as the canvases are.
"""

import math

import torch
import torch.nn.functional as F

from canvases import SIDE, chance, constant, log_uniform, uniform

OVER = 2  # samples of a scene for each pixel, across and down


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
