"""Outlines from a seed: masks [n, S, S] in [0, 1] of the things in a procedural picture."""

import math

import torch
from torch import Generator, Tensor

from training.fields import Maker, coordinates, log_uniform, uniform


def contours(g: Generator, n: int, side: int, waves: int = 6) -> Tensor:
    """A closed curve whose radius is a sum of sines, filled.

    After VisualAtom (Takashima et al., 2023, arXiv:2303.01112), whose contours are drawn, not
    filled. The weights fall with frequency, so that pebbles, leaves, stars and cogs come out.
    """
    y, x = coordinates(side)
    angle, radius = torch.atan2(y, x), (x * x + y * y).sqrt()
    order = torch.arange(1, waves + 1).view(1, waves, 1, 1)
    fall = uniform(g, 0.5, 2.5, n, 1, 1, 1)
    weight = uniform(g, 0, 0.45, n, waves, 1, 1) * order**-fall
    multiple = torch.randint(1, 4, (n, 1, 1, 1), generator=g)
    phase = uniform(g, 0, 2 * math.pi, n, waves, 1, 1)
    outline = 0.6 + 0.6 * (weight * (order * multiple * angle + phase).cos()).sum(1)
    return _inside(outline.clamp(0.05, 0.95) - radius, side)


def polygons(g: Generator, n: int, side: int) -> Tensor:
    """A rounded rectangle, a lozenge or an ellipse, by the exponent of a superellipse."""
    y, x = coordinates(side)
    power = log_uniform(g, 0.7, 12, n, 1, 1)
    wide, tall = uniform(g, 0.25, 0.95, n, 1, 1), uniform(g, 0.25, 0.95, n, 1, 1)
    norm = ((x.abs() / wide) ** power + (y.abs() / tall) ** power) ** (1 / power)
    return _inside((1 - norm) * torch.minimum(wide, tall), side)


def frames(g: Generator, n: int, side: int) -> Tensor:
    """A shape with its middle left out: rings, windows, outlines."""
    outer = contours(g, n, side, waves=3)
    y, x = coordinates(side)
    inner = ((x / 0.45) ** 2 + (y / uniform(g, 0.2, 0.5, n, 1, 1)) ** 2).sqrt()
    return outer * (1 - _inside((1 - inner) * 0.4, side))


def strokes(g: Generator, n: int, side: int) -> Tensor:
    """Lines of marks with gaps between, like writing, railings and twigs."""
    y, x = coordinates(side)
    rows = torch.randint(1, 7, (n, 1, 1), generator=g)
    v = (y * 0.5 + 0.5) * rows
    rate = log_uniform(g, 6, 30, n, 1, 1)
    jitter = (v.floor() * 37.7 + uniform(g, 0, 9, n, 1, 1)).sin() * 9
    mark = (x * rate + jitter).sin() + 0.8 * (x * rate * 0.37 + 2 * jitter).sin()
    mark = mark + 0.7 * (x * rate * 1.9 + y * rate * uniform(g, -1, 1, n, 1, 1)).sin()
    line = (v - v.floor() - 0.5).abs()
    return ((mark > 0.2) & (line < uniform(g, 0.15, 0.45, n, 1, 1))).float()


def fractals(g: Generator, n: int, side: int, points: int = 1500, steps: int = 24) -> Tensor:
    """Attractors of random iterated function systems, drawn by the chaos game.

    Anderson and Farrell (2022, arXiv:2110.03091) choose the singular values of each map so that
    the attractor fills the picture; so does this.
    """
    maps = 4
    turn = uniform(g, 0, 2 * math.pi, 2, n, maps)
    large = uniform(g, 0.55, 0.85, n, maps)
    small = large * uniform(g, 0.3, 1, n, maps)
    flip = torch.randint(0, 2, (n, maps), generator=g) * 2 - 1

    def rotation(angle: Tensor) -> Tensor:
        row = torch.stack([angle.cos(), -angle.sin()], -1)
        return torch.stack([row, torch.stack([angle.sin(), angle.cos()], -1)], -2)

    scale = torch.diag_embed(torch.stack([large, small * flip], -1))
    matrices = rotation(turn[0]) @ scale @ rotation(turn[1])  # [n, maps, 2, 2]
    moves = uniform(g, -1, 1, n, maps, 2)
    at = torch.zeros(n, points, 2)
    seen = []
    images = torch.arange(n)[:, None]
    for step in range(steps):
        chosen = torch.randint(maps, (n, points), generator=g)
        at = (matrices[images, chosen] @ at[..., None])[..., 0] + moves[images, chosen]
        if step >= 8:
            seen.append(at)
    cloud = torch.cat(seen, 1)
    low, high = cloud.amin(1, keepdim=True), cloud.amax(1, keepdim=True)
    grid = ((cloud - low) / (high - low).clamp_min(1e-6) * (side * 0.9) + side * 0.05).long()
    flat = (grid[..., 0] * side + grid[..., 1]).clamp(0, side * side - 1)
    counts = torch.zeros(n, side * side).scatter_add_(1, flat, torch.ones(flat.shape))
    counts = torch.nn.functional.max_pool2d(counts.view(n, 1, side, side), 3, 1, 1)[:, 0]
    return counts.clamp(0, 3) / 3


SHAPES: tuple[Maker, ...] = (contours, polygons, contours, polygons, frames, strokes, fractals)


def _inside(distance: Tensor, side: int) -> Tensor:
    """A mask from how far inside the outline a pixel lies, its edge one or two pixels soft."""
    return (distance * side * 0.5 + 0.5).clamp(0, 1)
