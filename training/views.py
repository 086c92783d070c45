"""Altered copies of pictures, as people and programs alter them: what must embed alike.

After the copies of SSCD (Pizzi et al., 2022, arXiv:2202.10261): cut, turned, recoloured, blurred,
compressed, overlaid. Every step works on the whole batch `x`, float [n, 3, r, r] in [0, 1], and
happens to each image with a chance of its own.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Generator, Tensor
from torch.nn.functional import avg_pool2d, conv2d, grid_sample, interpolate, pad

from training.fields import log_uniform, one_of, uniform
from training.shapes import SHAPES

Step = Callable[[Generator, Tensor], Tensor]


@dataclass(frozen=True)
class Strength:
    """How far copies depart from their picture: chances and the ends of ranges.

    Attributes:
        least_area: Smallest cut, as a share of the picture's area.
        turn: Chance of a rotation.
        colour: How far colours may move; 1 is far.
        others: Chance of each other step.
    """

    least_area: float
    turn: float
    colour: float
    others: float


MILD = Strength(least_area=0.5, turn=0.1, colour=0.25, others=0.1)
STRONG = Strength(least_area=0.15, turn=0.4, colour=0.8, others=0.25)
LESSON = Strength(least_area=0.15, turn=0.4, colour=0.8, others=0.4)


def copies(g: Generator, pictures: Tensor, side: int, strength: Strength) -> Tensor:
    """An altered copy of each picture: uint8 [n, 3, S, S] -> float [n, 3, side, side]."""
    return _worsen(g, _alter(g, pictures, side, strength), strength)


def lesson(g: Generator, pictures: Tensor, side: int, smaller: int) -> tuple[Tensor, Tensor]:
    """Strong copies for a pupil, and for its teacher the same ones smaller and still sharp.

    uint8 [n, 3, S, S] -> float [n, 3, side, side] and [n, 3, smaller, smaller].
    """
    x = _alter(g, pictures, side, LESSON)
    return _worsen(g, x, LESSON), avg_pool2d(x, side // smaller)


def _alter(g: Generator, pictures: Tensor, side: int, strength: Strength) -> Tensor:
    """Another cut, other colours, something over it."""
    x = recolour(g, cut(g, pictures, side, strength), strength)
    return _some(g, x, strength.others, overlay)


def _worsen(g: Generator, x: Tensor, strength: Strength) -> Tensor:
    """The same to see, in less quality."""
    x = _some(g, x, strength.others, blur)
    x = _some(g, x, strength.others / 2, coarsen)
    x = _some(g, x, strength.others, compress)
    return _some(g, x, strength.others / 3, grain)


def cut(g: Generator, pictures: Tensor, side: int, strength: Strength) -> Tensor:
    """A rectangle of each picture, perhaps turned or mirrored, resampled to [n, 3, side, side].

    Sampled at twice the resolution and averaged where the picture is large enough, so that little
    aliasing is left. Where a turned rectangle reaches beyond the picture there is black, white,
    one colour, or the picture mirrored.
    """
    n = len(pictures)
    source = pictures.float() / 255
    finer = 2 if source.shape[-1] >= 2 * side else 1
    area = log_uniform(g, strength.least_area, 1, n)
    aspect = log_uniform(g, 0.7, 1.43, n)
    height, width = (area * aspect).sqrt().clamp(max=1), (area / aspect).sqrt().clamp(max=1)
    turned = torch.rand(n, generator=g)
    slight = uniform(g, -0.5, 0.5, n)
    quarter = torch.randint(1, 4, (n,), generator=g) * (math.pi / 2)
    free = uniform(g, -math.pi, math.pi, n)
    angle = torch.zeros(n)
    for share, kind in ((1.0, slight), (0.5, quarter), (0.25, free)):
        angle = torch.where(turned < strength.turn * share, kind, angle)
    mirror = torch.where(torch.rand(n, generator=g) < 0.15, -1.0, 1.0)
    place = uniform(g, -1, 1, n, 2) * torch.stack([1 - width, 1 - height], 1)
    # Turn first, then scale: the rectangle's axes in the picture's coordinates.
    affine = torch.stack(
        [
            torch.stack([width * mirror * angle.cos(), -width * angle.sin(), place[:, 0]], 1),
            torch.stack([height * mirror * angle.sin(), height * angle.cos(), place[:, 1]], 1),
        ],
        1,
    )
    grid = torch.nn.functional.affine_grid(
        affine, [n, 3, finer * side, finer * side], align_corners=False
    )
    mirrored = (torch.rand(n, generator=g) < 0.3).view(n, 1, 1, 1)
    beyond = (grid.abs() > 1).any(3)[:, None]
    seen = grid_sample(source, grid, padding_mode="reflection", align_corners=False)
    colour = torch.rand(n, 3, 1, 1, generator=g)
    plain = torch.randint(0, 2, (n, 1, 1, 1), generator=g).float().expand(n, 3, 1, 1)
    fill = torch.where(torch.rand(n, 1, 1, 1, generator=g) < 0.6, plain, colour)
    return avg_pool2d(torch.where(beyond & ~mirrored, fill, seen), finer)


def recolour(g: Generator, x: Tensor, strength: Strength) -> Tensor:
    """Brightness, contrast, saturation, hue, white balance and gamma, each by chance."""
    n, s = len(x), strength.colour
    gain = 1 + 0.5 * s * uniform(g, -1, 1, n, 1, 1, 1)
    balance = 1 + 0.25 * s * uniform(g, -1, 1, n, 3, 1, 1)
    contrast = 1 + 0.6 * s * uniform(g, -1, 1, n, 1, 1, 1)
    saturation = 1 + s * uniform(g, -1, 1, n, 1, 1, 1)
    saturation = torch.where(torch.rand(n, 1, 1, 1, generator=g) < 0.12 * s, 0.0, saturation)
    grey = x.mean(1, keepdim=True)
    y = _turn_hue(x, uniform(g, -1, 1, n) * (math.pi / 3) * s)
    y = (grey + (y - grey) * saturation) * gain * balance
    mean = y.mean((1, 2, 3), keepdim=True)
    y = (mean + (y - mean) * contrast + 0.15 * s * uniform(g, -1, 1, n, 1, 1, 1)).clamp(0, 1)
    y = (y + 1e-4) ** log_uniform(g, math.exp(-0.5 * s), math.exp(0.5 * s), n, 1, 1, 1)
    inverted = torch.rand(n, 1, 1, 1, generator=g) < 0.02 * s
    y = torch.where(inverted, 1 - y, y)
    return torch.where(torch.rand(n, 1, 1, 1, generator=g) < 0.8, y, x).clamp(0, 1)


def _turn_hue(x: Tensor, angle: Tensor) -> Tensor:
    """Colours turned about the grey axis, angle [n] in radians (Rodrigues' formula)."""
    axis = torch.full((3,), 1 / math.sqrt(3))
    cross = torch.tensor([[0, -1, 1], [1, 0, -1], [-1, 1, 0]]) / math.sqrt(3)
    turn = (
        angle.cos()[:, None, None] * torch.eye(3)
        + angle.sin()[:, None, None] * cross
        + (1 - angle.cos())[:, None, None] * axis.outer(axis)
    )
    return torch.einsum("nij,njhw->nihw", turn, x)


def overlay(g: Generator, x: Tensor) -> Tensor:
    """A part of another image, a plain shape or marks like writing over a part of each."""
    n, _, side, _ = x.shape
    other = x.roll(1, 0).flip(3)
    plain = torch.rand(n, 3, 1, 1, generator=g).expand_as(x)
    ink = torch.where(torch.rand(n, 1, 1, 1, generator=g) < 0.5, other, plain)
    marks = one_of(g, n, side, SHAPES)[:, None]
    box = torch.rand(n, 1, 1, 1, generator=g) < 0.4
    mask = torch.where(box, torch.ones_like(marks), marks)
    height, width = log_uniform(g, 0.15, 0.75, 2, n)
    place = uniform(g, -1, 1, n, 2)
    zero = torch.zeros(n)
    affine = torch.stack(
        [
            torch.stack([1 / width, zero, -place[:, 0] * (1 - width) / width], 1),
            torch.stack([zero, 1 / height, -place[:, 1] * (1 - height) / height], 1),
        ],
        1,
    )
    grid = torch.nn.functional.affine_grid(affine, [n, 4, side, side], align_corners=False)
    laid = grid_sample(torch.cat([ink, mask], 1), grid, align_corners=False)
    veil = torch.rand(n, 1, 1, 1, generator=g) < 0.2  # all over, but thin
    opacity = laid[:, 3:] * uniform(g, 0.5, 1, n, 1, 1, 1)
    thin = uniform(g, 0.1, 0.45, n, 1, 1, 1)
    return torch.where(veil, x + (ink - x) * thin, x + (laid[:, :3] - x) * opacity)


def blur(g: Generator, x: Tensor) -> Tensor:
    """Gaussian, up to a twentieth of the side in standard deviation."""
    n, _, side, _ = x.shape
    reach = max(2, side // 10)
    sigma = log_uniform(g, 0.5, max(0.6, side / 20), n, 1)
    kernel = (-((torch.arange(-reach, reach + 1) / sigma) ** 2) / 2).exp()
    kernel = (kernel / kernel.sum(1, keepdim=True)).repeat_interleave(3, 0)[:, None]
    y = pad(x, (reach,) * 4, mode="replicate").reshape(1, 3 * n, side + 2 * reach, -1)
    y = conv2d(conv2d(y, kernel[..., None], groups=3 * n), kernel[:, :, None], groups=3 * n)
    return y.reshape(x.shape)


def coarsen(g: Generator, x: Tensor) -> Tensor:
    """Shrunk to between a fifth and a half, and enlarged again."""
    side = x.shape[-1]
    small = max(8, int(side * float(uniform(g, 0.2, 0.5, 1))))
    return interpolate(
        interpolate(x, (small, small), mode="area"), (side, side), mode="bilinear"
    ).clamp(0, 1)


_CENTRES = (torch.arange(8) + 0.5) * math.pi / 8
DCT = (torch.arange(8)[:, None] * _CENTRES).cos() * 0.5
DCT[0] /= math.sqrt(2)
STEPS = 12 + 6.5 * (torch.arange(8)[:, None] + torch.arange(8)[None, :])
"""About the luminance table of JPEG's annex K at quality 50, for samples of 0 to 255."""


def compress(g: Generator, x: Tensor) -> Tensor:
    """What JPEG loses: rounding of the cosine transform of blocks of 8, quality about 15 to 75."""
    n, _, side, _ = x.shape
    blocks = (x * 255 - 128).view(n, 3, side // 8, 8, side // 8, 8).transpose(3, 4)
    light = blocks.mean(1, keepdim=True)
    split = torch.cat([light, blocks - light], 1)
    steps = STEPS * log_uniform(g, 0.5, 3.5, n, 1, 1, 1, 1, 1)
    waves = DCT @ split @ DCT.T
    back = DCT.T @ ((waves / steps).round() * steps) @ DCT
    y = (back[:, 1:] + back[:, :1]).transpose(3, 4).reshape_as(x)
    return ((y + 128) / 255).clamp(0, 1)


def grain(g: Generator, x: Tensor) -> Tensor:
    """Noise of a sensor at high gain."""
    spread = uniform(g, 0.02, 0.12, len(x), 1, 1, 1)
    return (x + spread * torch.randn(x.shape, generator=g)).clamp(0, 1)


def _some(g: Generator, x: Tensor, chance: float, step: Step) -> Tensor:
    """The step for a share of the batch, the rest as it is."""
    chosen = (torch.rand(len(x), generator=g) < chance).nonzero()[:, 0]
    if not chosen.numel():
        return x
    return x.index_copy(0, chosen, step(g, x[chosen]))
