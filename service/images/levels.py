"""Levels of any range to those of 8 bits: what is white is said by the file, or seen in its levels.

A photo in 12 of 16 bits, or from 0 to 1, would be black if its levels were taken as they are.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from service.errors import InvalidImage

WHITES = {
    "u": (255, 1023, 4095, 65535, 2**32 - 1),
    "i": (255, 1023, 4095, 32767, 65535, 2**31 - 1),
    "f": (1.0, 255.0, 65535.0),
}
"""What white may be, by NumPy's kind of number: the first of them that no level exceeds."""

DARK = 16
"""Of an image without a level over a 16th of white, white is its own lightest level."""

ROWS_PIXELS = 1 << 20
"""Pixels that are scaled at a time: bounds the memory of what lies between."""

Levels = npt.NDArray[np.unsignedinteger] | npt.NDArray[np.signedinteger] | npt.NDArray[np.floating]


class Range(NamedTuple):
    """The levels that are black and white."""

    black: float
    white: float


FULL_16_BITS = Range(0, 65535)


def found(levels: Levels) -> Range:
    """The range of levels `[height, width]` of more than 8 bits, as they are used.

    Raises:
        InvalidImage: none of them is a number.
    """
    lowest, highest = _extremes(levels)
    if lowest == highest == 0:
        return Range(0, 1)
    white = next((white for white in WHITES[levels.dtype.kind] if highest <= white), None)
    if lowest == highest and (lowest < 0 or white is None):
        return Range(min(lowest, 0), max(highest, 1))
    if lowest < 0 or white is None:
        return Range(lowest, highest)
    return Range(0, white if highest > white / DARK else highest)


def to_eight_bits(levels: Levels, scale: Range) -> npt.NDArray[np.uint8]:
    """Levels as uint8, rounded to nearest; what is no number is black."""
    out = np.empty(levels.shape, np.uint8)
    step = max(1, ROWS_PIXELS // max(1, levels.shape[1]))
    factor = 255 / (scale.white - scale.black)
    for top in range(0, len(levels), step):
        rows = np.nan_to_num(levels[top : top + step].astype(np.float64), posinf=scale.white)
        rows -= scale.black
        rows *= factor
        out[top : top + step] = np.rint(rows).clip(0, 255)
    return out


def _extremes(levels: Levels) -> tuple[float, float]:
    if levels.dtype.kind != "f":
        return int(levels.min()), int(levels.max())
    finite = np.isfinite(levels)
    if not finite.any():
        raise InvalidImage("the image has no level that is a number")
    there = levels[finite]
    return float(there.min()), float(there.max())
