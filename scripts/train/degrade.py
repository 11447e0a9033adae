"""From a clip to what a DVD would have kept of it: a quarter of the size, a little blur and noise, MPEG-2's rounding."""

import math

import torch
import torch.nn.functional as F

from canvases import chance, constant, log_uniform, uniform
from scenes import blur

# ISO/IEC 13818-2, 6.3.11: the default matrix of intra-coded blocks.
INTRA = (
    (8, 16, 19, 22, 26, 27, 29, 34),
    (16, 16, 22, 24, 27, 29, 34, 37),
    (19, 22, 26, 27, 29, 34, 34, 38),
    (22, 22, 26, 27, 29, 34, 37, 40),
    (22, 26, 27, 29, 32, 35, 40, 48),
    (26, 27, 29, 32, 35, 40, 48, 58),
    (26, 27, 29, 34, 38, 46, 56, 69),
    (27, 29, 35, 38, 46, 56, 69, 83),
)
TO_YCBCR = ((0.299, 0.587, 0.114), (-0.168736, -0.331264, 0.5), (0.5, -0.418688, -0.081312))
TO_RGB = ((1.0, 0.0, 1.402), (1.0, -0.344136, -0.714136), (1.0, 1.772, 0.0))


def matrix(rows, x):
    """Channels of x (N, 3, h, w) through a 3x3 matrix."""
    return torch.einsum("ij,njhw->nihw", constant(rows, x.device), x)


def rounded_blocks(plane, scale):
    """A plane (N, 1, h, w), 0 to 255, through the 8x8 cosine transform, quantised with `scale` (N,), and back."""
    n, _, h, w = plane.shape
    k = torch.arange(8, device=plane.device)
    dct = torch.cos((2 * k[None] + 1) * k[:, None] * math.pi / 16) * torch.where(k == 0, 0.125, 0.25)[:, None].sqrt()
    blocks = plane.view(n, h // 8, 8, w // 8, 8).transpose(2, 3)
    step = constant(INTRA, plane.device) * scale.view(n, 1, 1, 1, 1) / 16
    blocks = dct @ blocks @ dct.T
    blocks = dct.T @ ((blocks / step).round() * step) @ dct
    return blocks.transpose(2, 3).reshape(n, 1, h, w)


def mpeg(x, scale):
    """Clips x (B, T, 3, h, w), 0 to 1, coded 4:2:0 with quantiser scales (B,); half of the frames a little coarser.

    The size must be a multiple of 16. Motion compensation is left out: every frame is coded by itself.
    """
    b, t, _, h, w = x.shape
    d = x.device
    coarser = torch.where(torch.arange(t, device=d) % 2 == 1, 1.25, 1.0)
    scale = (scale[:, None] * coarser).flatten()
    # Blocks lie differently in every clip of a film that has been cropped or moved.
    dy, dx = torch.randint(0, 8, (2,), device=d)
    rows = (torch.arange(h, device=d) + dy) % h
    columns = (torch.arange(w, device=d) + dx) % w
    ycc = matrix(TO_YCBCR, x.flatten(0, 1)[:, :, rows][..., columns]) * 255
    luma = rounded_blocks(ycc[:, :1], scale)
    chroma = F.avg_pool2d(ycc[:, 1:], 2).reshape(-1, 1, h // 2, w // 2)
    chroma = rounded_blocks(chroma, scale.repeat_interleave(2)).view(-1, 2, h // 2, w // 2)
    chroma = F.interpolate(chroma, scale_factor=2, mode="bilinear", align_corners=False)
    out = matrix(TO_RGB, torch.cat([luma, chroma], 1)) / 255
    back_rows, back_columns = (torch.arange(h, device=d) - dy) % h, (torch.arange(w, device=d) - dx) % w
    return out[:, :, back_rows][..., back_columns].view(x.shape)


def degrade(clip):
    """Clips (B, T, 3, 4h, 4w) to (B, T, 3, h, w), both 0 to 1; values are whole 255ths."""
    b = len(clip)
    d = clip.device
    frames = clip.flatten(0, 1)
    shape = (b, 1, 1, 1, 1)
    area = F.avg_pool2d(frames, 4)
    cubic = F.interpolate(frames, scale_factor=0.25, mode="bicubic", antialias=True, align_corners=False)
    small = torch.where(chance(shape, 0.8, d) > 0, area.unflatten(0, clip.shape[:2]), cubic.unflatten(0, clip.shape[:2]))
    soft = uniform((b,), 0.2, 0.6, d) * chance((b,), 0.12, d)
    small = blur(small, soft, soft)
    small = small + torch.randn_like(small) * (uniform(shape, 0, 3 / 255, d) * chance(shape, 0.12, d))
    coded = mpeg(small, log_uniform((b,), 1, 6, d))
    small = torch.where(chance(shape, 0.25, d) > 0, coded, small)
    return (small.clamp(0, 1) * 255).round() / 255
