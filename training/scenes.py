"""Pictures of scenes, drawn by a program from a seed.

A sheet of 32 pictures is drawn together: a ground of its own for each, then things cut from a bank
that the whole sheet shares, laid over one another at random places and sizes, lit, and exposed as a
camera might. Pictures of one sheet show the same things in other arrangements, in the same few
palettes, so that telling them apart needs more than colours and textures.
"""

import math

import torch
from torch import Generator, Tensor
from torch.nn.functional import affine_grid, grid_sample

from training import fields, shapes
from training.fields import log_uniform, uniform

SHEET = 32
SIDE = 256
"""Side of a picture in pixels: what the service's 224 pixels are cut from."""

THINGS = 64
THING_SIDE = 112
LAYERS = 14
PALETTES = 10


def sheet(seed: int, number: int, side: int = SIDE) -> Tensor:
    """The pictures of one sheet, uint8 [SHEET, 3, S, S]; the same for the same arguments."""
    g = torch.Generator().manual_seed(seed * 1_000_003 + number)
    colours = fields.palettes(g, PALETTES)
    bank = _things(g, colours)
    pictures = _grounds(g, colours, SHEET, side)
    count = log_uniform(g, 1, LAYERS, SHEET).round()
    for layer in range(LAYERS):
        shown = (count > layer).nonzero()[:, 0]
        if shown.numel():
            pictures[shown] = _lay(g, pictures[shown], bank, small=layer / LAYERS)
    return (_expose(g, pictures) * 255).round().to(torch.uint8)


def _grounds(g: Generator, colours: Tensor, n: int, side: int) -> Tensor:
    """Painted fields, some of them two joined at a horizon; [n, 3, S, S] in [0, 1]."""
    painted = []
    for _ in range(2):
        field = fields.one_of(g, n, side, fields.SCALARS)
        detail = fields.noise(g, n, side, 0.3, 1.5) * uniform(g, 0, 0.3, n, 1, 1)
        palette = colours[torch.randint(len(colours), (n,), generator=g)]
        painted.append(fields.paint(field + detail, palette))
    y, x = fields.coordinates(side)
    slope = 0.2 * torch.randn(n, 1, 1, generator=g)
    bend = 0.1 * torch.rand(n, 1, 1, generator=g) * fields.noise(g, n, side, 1.8, 2.6)
    below = (y + slope * x + bend > uniform(g, -0.6, 0.6, n, 1, 1)) & (
        torch.rand(n, 1, 1, generator=g) < 0.5
    )
    return torch.where(below[:, None], painted[0], painted[1])


def _things(g: Generator, colours: Tensor) -> Tensor:
    """The bank: colour, lit from one side, and opacity; [THINGS, 4, s, s] in [0, 1]."""
    mask = fields.one_of(g, THINGS, THING_SIDE, shapes.SHAPES)
    field = fields.one_of(g, THINGS, THING_SIDE, fields.SCALARS)
    palette = colours[torch.randint(len(colours), (THINGS,), generator=g)]
    colour = fields.paint(field * uniform(g, 0.1, 1, THINGS, 1, 1), palette)
    y, x = fields.coordinates(THING_SIDE)
    angle = uniform(g, 0, 2 * math.pi, THINGS, 1, 1)
    light = 1 + uniform(g, 0, 0.6, THINGS, 1, 1) * (x * angle.cos() + y * angle.sin())
    return torch.cat([(colour * light[:, None]).clamp(0, 1), mask[:, None]], 1)


def _lay(g: Generator, pictures: Tensor, bank: Tensor, small: float) -> Tensor:
    """One thing over each picture, turned, sized and placed by chance, with a shadow below it."""
    n, _, side, _ = pictures.shape
    size = log_uniform(g, 0.12, 1 - 0.5 * small, n)
    shape = log_uniform(g, 0.6, 1.6, n)
    turn = torch.where(torch.rand(n, generator=g) < 0.5, uniform(g, -0.3, 0.3, n), _any_angle(g, n))
    across = torch.stack([turn.cos() / size, turn.sin() / size], 1) * shape[:, None]
    down = torch.stack([-turn.sin() / size, turn.cos() / size], 1)
    place = uniform(g, -1, 1, n, 2, 1)
    linear = torch.stack([across, down], 1)  # picture to thing, [n, 2, 2]
    affine = torch.cat([linear, -linear @ place], 2)
    chosen = bank[torch.randint(len(bank), (n,), generator=g)]
    grid = affine_grid(affine, [n, 4, side, side], align_corners=False)
    laid = grid_sample(chosen, grid, align_corners=False)
    opacity = laid[:, 3:] * torch.where(torch.rand(n, 1, 1, 1, generator=g) < 0.85, 1.0, 0.6)
    gap = max(1, side // 40)
    shadow = torch.roll(opacity, (gap, gap), (2, 3)) * uniform(g, 0, 0.6, n, 1, 1, 1)
    return laid[:, :3] * opacity + pictures * (1 - shadow) * (1 - opacity)


def _any_angle(g: Generator, n: int) -> Tensor:
    return uniform(g, -math.pi, math.pi, n)


def _expose(g: Generator, pictures: Tensor) -> Tensor:
    """Light falling off across the picture, a cast, gamma, grain; one in ten is grey."""
    n, _, side, _ = pictures.shape
    y, x = fields.coordinates(side)
    angle = _any_angle(g, n).view(n, 1, 1)
    light = 1 + uniform(g, 0, 0.4, n, 1, 1) * (x * angle.cos() + y * angle.sin())
    cast = 1 + 0.08 * torch.randn(n, 3, 1, 1, generator=g)
    lit = (pictures * light[:, None] * cast).clamp(0, 1) ** log_uniform(g, 0.7, 1.5, n, 1, 1, 1)
    lit = lit + uniform(g, 0, 0.04, n, 1, 1, 1) * torch.randn(n, 1, side, side, generator=g)
    grey = torch.rand(n, 1, 1, 1, generator=g) < 0.1
    return torch.where(grey, lit.mean(1, keepdim=True), lit).clamp(0, 1)
