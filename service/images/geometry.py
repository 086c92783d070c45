"""Where the pixels of a crop lie in a stored image: turned, resized, cut, in one step."""

from typing import NamedTuple

from PIL import Image

from model_export.model_card import Preprocessing

Box = tuple[float, float, float, float]
"""Left, top, right, bottom, in pixels."""

Size = tuple[int, int]
"""Width and height, in pixels."""


class Turn(NamedTuple):
    """What turns a stored image upright.

    `sides` says which side of the upright image (0 left, 1 top, 2 right, 3 bottom) the stored left,
    top, right and bottom become.
    """

    transpose: Image.Transpose | None
    sides: tuple[int, int, int, int]

    @property
    def swaps_axes(self) -> bool:
        return self.sides[0] % 2 == 1


# EXIF 2.32, 4.6.4 A, tag Orientation.
TURNS = {
    1: Turn(None, (0, 1, 2, 3)),
    2: Turn(Image.Transpose.FLIP_LEFT_RIGHT, (2, 1, 0, 3)),
    3: Turn(Image.Transpose.ROTATE_180, (2, 3, 0, 1)),
    4: Turn(Image.Transpose.FLIP_TOP_BOTTOM, (0, 3, 2, 1)),
    5: Turn(Image.Transpose.TRANSPOSE, (1, 0, 3, 2)),
    6: Turn(Image.Transpose.ROTATE_270, (1, 2, 3, 0)),
    7: Turn(Image.Transpose.TRANSVERSE, (3, 2, 1, 0)),
    8: Turn(Image.Transpose.ROTATE_90, (3, 0, 1, 2)),
}


def upright(size: Size, turn: Turn) -> Size:
    """A stored size as seen upright, or the other way round."""
    return size[::-1] if turn.swaps_axes else size


def resized_size(size: Size, turn: Turn, recipe: Preprocessing) -> Size:
    """The size, in the stored image's directions, that the whole image would be resized to."""
    return upright(recipe.resized(*upright(size, turn)), turn)


def crop_of_resized(resized: Size, turn: Turn, recipe: Preprocessing) -> tuple[int, int, int, int]:
    """The crop in the stored image once it is resized, in whole pixels."""
    across, down = upright(resized, turn)
    left, top = recipe.offset(across), recipe.offset(down)
    margins = (left, top, across - recipe.crop - left, down - recipe.crop - top)
    # From here on in the stored image's own directions.
    left, top, right, bottom = (margins[side] for side in turn.sides)
    return left, top, resized[0] - right, resized[1] - bottom


def crop_box(size: Size, resized: Size, turn: Turn, recipe: Preprocessing) -> Box:
    """The part of a stored image that ends up in the crop."""
    left, top, right, bottom = crop_of_resized(resized, turn, recipe)
    x, y = size[0] / resized[0], size[1] / resized[1]
    return (left * x, top * y, right * x, bottom * y)


def columns_first(size: Size, resized: Size) -> bool:
    """Whether Pillow resamples columns before rows: where it shrinks the height far more.

    The rule of ImagingResampleInner in Pillow 13; older versions always begin with rows.
    """
    return size[1] - resized[1] > max(0, 2 * (size[0] - resized[0]))
