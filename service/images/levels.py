"""Levels of any range to those of 8 bits: what is white is said by the file, or seen in its levels.

A photo in 12 of 16 bits, or from 0 to 1, would be black if its levels were taken as they are.
"""

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from service.errors import InvalidImage

WHITES = {
    "u": (255, 1023, 4095, 16383, 65535, 2**32 - 1),
    "i": (255, 1023, 4095, 16383, 32767, 65535, 2**31 - 1),
    "f": (1.0, 255.0, 65535.0),
}
"""What white may be, by NumPy's kind of number: the first of them that no level exceeds.

Of 8, 10, 12, 14, 16 and 32 bits; or it is the largest number that the type can hold."""

DARK = 16
"""Of an image without a level over a 16th of white, white is its own lightest level."""

Levels = npt.NDArray[np.number[Any]]


class Range(NamedTuple):
    """The levels that are black and white."""

    black: float
    white: float


FULL_16_BITS = Range(0, 65535)


def found(parts: Iterable[Levels]) -> Range:
    """The range of levels of more than 8 bits, as they are used, seen in all parts of an image.

    Raises:
        InvalidImage: none of them is a number.
    """
    extremes = [there for part in parts if (there := _extremes(part))]
    if not extremes:
        raise InvalidImage("the image has no level that is a number")
    lowest = min(low for low, _, _ in extremes)
    highest = max(high for _, high, _ in extremes)
    kind = extremes[0][2]
    if lowest == highest == 0:
        return Range(0, 1)
    white = next((white for white in _whites(kind) if highest <= white), None)
    if lowest == highest and (lowest < 0 or white is None):
        return Range(min(lowest, 0), max(highest, 1))
    if lowest < 0 or white is None:
        return Range(lowest, highest)
    return Range(0, white if highest > white / DARK else highest)


def to_eight_bits(levels: Levels, scale: Range) -> npt.NDArray[np.uint8]:
    """Levels as uint8, rounded to nearest; what is no number is black."""
    if levels.dtype.kind != "f" and levels.itemsize <= 2:  # few enough to look them up
        kind: np.dtype[Any] = levels.dtype
        lowest, highest = int(np.iinfo(kind).min), int(np.iinfo(kind).max)
        table = _scaled(np.arange(lowest, highest + 1), scale)
        looked_up: npt.NDArray[np.uint8] = table[levels.astype(np.int32) - lowest]
        return looked_up
    return _scaled(levels, scale)


def _scaled(levels: Levels, scale: Range) -> npt.NDArray[np.uint8]:
    light = np.nan_to_num(levels.astype(np.float64), posinf=scale.white)
    light -= scale.black
    light *= 255 / (scale.white - scale.black)
    return np.rint(light).clip(0, 255).astype(np.uint8)


def _whites(kind: np.dtype[Any]) -> Iterable[float]:
    if kind.kind == "f":
        return WHITES["f"]
    most = int(np.iinfo(kind).max)
    return [*(white for white in WHITES[kind.kind] if white < most), most]


def _extremes(levels: Levels) -> tuple[float, float, np.dtype[Any]] | None:
    """The lowest and the highest level and their type; None where none is a number."""
    there = levels[np.isfinite(levels)] if levels.dtype.kind == "f" else levels
    if there.size == 0:
        return None
    return there.min().item(), there.max().item(), levels.dtype
