"""Scalar fields and colours from a seed: what procedural pictures are painted with.

Every function draws from the `torch.Generator` it is given, for many images at once; `n` is the
number of images, `S` their side. Coordinates run from -1 to 1.
"""

import math
from collections.abc import Callable, Sequence

import torch
from torch import Generator, Tensor

Maker = Callable[[Generator, int, int], Tensor]


def uniform(g: Generator, low: float, high: float, *shape: int) -> Tensor:
    """Numbers in [low, high), of the given shape."""
    return low + (high - low) * torch.rand(shape, generator=g)


def log_uniform(g: Generator, low: float, high: float, *shape: int) -> Tensor:
    """Numbers in [low, high) whose logarithms are uniform."""
    return uniform(g, math.log(low), math.log(high), *shape).exp()


def one_of(g: Generator, n: int, side: int, makers: Sequence[Maker]) -> Tensor:
    """For each of n images what a maker chosen by chance makes; each runs once, for its share."""
    choice = torch.randint(len(makers), (n,), generator=g)
    made: Tensor | None = None
    for i, maker in enumerate(makers):
        share = (choice == i).nonzero()[:, 0]
        if share.numel():
            part = maker(g, share.numel(), side)
            made = part.new_empty(n, *part.shape[1:]) if made is None else made
            made[share] = part
    if made is None:
        raise ValueError("one_of needs at least one image")
    return made


def coordinates(side: int) -> tuple[Tensor, Tensor]:
    """Row and column of every pixel, each [S, S]."""
    line = torch.linspace(-1, 1, side)
    return line[:, None].expand(side, side), line[None, :].expand(side, side)


def noise(g: Generator, n: int, side: int, low: float = 0.6, high: float = 2.2) -> Tensor:
    """Noise with amplitudes falling as 1/f^a, a in [low, high]; standardised, [n, S, S].

    Natural images have a near 1 (Field, 1987); Baradad et al. (2021, arXiv:2106.05963) train on
    such noise. A stretch along a random direction makes grain, hair and water.
    """
    rows = torch.fft.fftfreq(side)[:, None]
    columns = torch.fft.rfftfreq(side)[None, :]
    angle = uniform(g, 0, math.pi, n, 1, 1)
    stretch = log_uniform(g, 1, 4, n, 1, 1)
    along = rows * angle.sin() + columns * angle.cos()
    across = rows * angle.cos() - columns * angle.sin()
    radius = ((along * stretch) ** 2 + across**2).sqrt().clamp_min(1 / side)
    spectrum = torch.fft.rfft2(torch.randn(n, side, side, generator=g))
    field = torch.fft.irfft2(spectrum * radius ** -uniform(g, low, high, n, 1, 1), s=(side, side))
    field = field - field.mean((1, 2), keepdim=True)
    return field / field.std((1, 2), keepdim=True)


def waves(g: Generator, n: int, side: int) -> Tensor:
    """A grating bent by noise: stripes, wood, marble, ripples; [n, S, S] in [-1, 1]."""
    y, x = coordinates(side)
    angle = uniform(g, 0, math.pi, n, 1, 1)
    ring = torch.rand(n, 1, 1, generator=g) < 0.3
    plane = x * angle.cos() + y * angle.sin()
    centre = uniform(g, -1, 1, 2, n, 1, 1)
    rings = ((x - centre[0]) ** 2 + (y - centre[1]) ** 2).sqrt()
    bend = uniform(g, 0, 0.25, n, 1, 1) * noise(g, n, side, 1.5, 2.5)
    phase = torch.where(ring, rings, plane) + bend
    wave = (phase * log_uniform(g, 4, 60, n, 1, 1)).sin()
    sharpness = log_uniform(g, 0.7, 8, n, 1, 1)
    return (wave * sharpness).tanh() / sharpness.tanh()


def ramps(g: Generator, n: int, side: int) -> Tensor:
    """A smooth gradient with a little noise: skies, walls, studio grounds; [n, S, S]."""
    y, x = coordinates(side)
    angle = uniform(g, 0, 2 * math.pi, n, 1, 1)
    ramp = x * angle.cos() + y * angle.sin()
    return ramp * log_uniform(g, 0.1, 1.5, n, 1, 1) + log_uniform(g, 0.01, 0.5, n, 1, 1) * noise(
        g, n, side
    )


def tiles(g: Generator, n: int, side: int) -> Tensor:
    """A grid with mortar, rows set off: bricks, panes, checks, keyboards; [n, S, S] in [-1, 1]."""
    y, x = coordinates(side)
    angle = uniform(g, -0.6, 0.6, n, 1, 1) * (torch.rand(n, 1, 1, generator=g) < 0.5)
    bend = uniform(g, 0, 0.05, n, 1, 1) * noise(g, n, side, 1.5, 2.5)
    u = (x * angle.cos() + y * angle.sin() + bend) * log_uniform(g, 1.5, 12, n, 1, 1)
    v = (y * angle.cos() - x * angle.sin() + bend) * log_uniform(g, 1.5, 12, n, 1, 1)
    u = u + uniform(g, 0, 1, n, 1, 1) * v.floor()
    key = (u.floor() * 12.9898 + v.floor() * 78.233 + uniform(g, 0, 9, n, 1, 1)).sin() * 43758.5453
    tone = 2 * (key - key.floor()) - 1
    gap = uniform(g, 0, 0.15, n, 1, 1)
    mortar = ((u - u.floor()) < gap) | ((v - v.floor()) < gap)
    return torch.where(mortar, uniform(g, -1, 1, n, 1, 1), tone * uniform(g, 0.1, 1, n, 1, 1))


def cells(g: Generator, n: int, side: int, points: int = 48) -> Tensor:
    """A power diagram with bent borders, one tone a cell: leaves, pebbles, fields, facets.

    The regions follow a wide range of sizes, as in dead leaves images (Lee et al., 2001), at the
    cost of one matrix product. [n, S, S] in [-1, 1].
    """
    y, x = coordinates(side)
    bend = uniform(g, 0, 0.15, n, 1, 1) * noise(g, n, side, 1.2, 2.4)
    place = torch.stack([(y + bend).flatten(1), (x - bend).flatten(1)], 2)
    sites = uniform(g, -1.1, 1.1, n, 2, points)
    weight = uniform(g, 0, 0.6, n, 1, 1) * torch.rand(n, 1, points, generator=g) ** 3
    score = 2 * place @ sites - (sites**2).sum(1, keepdim=True) + weight
    tone = uniform(g, -1, 1, n, points)
    return tone.gather(1, score.argmax(2)).view(n, side, side)


SCALARS: tuple[Maker, ...] = (noise, waves, ramps, tiles, cells, noise)


def palettes(g: Generator, n: int, colours: int = 6) -> Tensor:
    """Colours that go together, from dark to light: RGB in [0, 1], [n, colours, 3].

    Lightness varies much and chroma little, around one or two hues, as in photographs; one in
    eight palettes is grey.
    """
    light = uniform(g, 0, 1, n, colours) ** log_uniform(g, 0.5, 2, n, 1)
    light = light.sort(1).values
    chroma = uniform(g, 0, 1, n, 1, 1) ** 2 * 0.5 * (torch.rand(n, 1, 1, generator=g) > 0.125)
    first = uniform(g, 0, 2 * math.pi, n, 1)
    second = first + uniform(g, -math.pi, math.pi, n, 1)
    hue = torch.where(torch.rand(n, colours, generator=g) < 0.6, first, second)
    hue = hue + 0.3 * torch.randn(n, colours, generator=g)
    shift = torch.stack([hue + i * 2 * math.pi / 3 for i in range(3)], 2).cos()
    strength = chroma * torch.rand(n, colours, 1, generator=g) ** 0.5
    return (light[:, :, None] + strength * shift).clamp(0, 1)


def paint(field: Tensor, palette: Tensor) -> Tensor:
    """Colours for a scalar field, interpolated in its palette: [n, S, S] -> [n, 3, S, S]."""
    n, side, _ = field.shape
    last = palette.shape[1] - 1
    place = (field.clamp(-1.5, 1.5) / 3 + 0.5) * last
    lower = place.floor().clamp(0, last - 1)
    share = (place - lower).view(n, -1, 1)
    index = lower.long().view(n, -1, 1).expand(-1, -1, 3)
    # [n, S * S, 3]
    colour = palette.gather(1, index) * (1 - share) + palette.gather(1, index + 1) * share
    return colour.transpose(1, 2).reshape(n, 3, side, side)
