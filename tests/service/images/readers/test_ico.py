import io
import struct

import numpy as np
import pytest
from PIL import Image

from service.errors import ImageTooLarge, InvalidImage
from service.images.preprocess import preprocess
from tests.service.images.test_preprocess import (
    SWIN_224,
    embeddable,
    largest_difference,
    png_header,
    resize_then_crop,
)
from tests.support.images import encode, photos

ICON = photos()["chelsea"].resize((64, 64))


def over_white(image: Image.Image) -> Image.Image:
    return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")


def directory(kind: int, *bodies: tuple[int, bytes]) -> bytes:
    """Images, each after its side."""
    at = 6 + 16 * len(bodies)
    head = struct.pack("<HHH", 0, kind, len(bodies))
    for side, body in bodies:
        head += struct.pack("<BBBBHHII", side, side, 0, 0, 1, 32, len(body), at)
        at += len(body)
    return head + b"".join(body for _, body in bodies)


def bitmap(image: Image.Image) -> bytes:
    """What an icon has of a BMP: no file header, twice the height, a mask that hides nothing."""
    buffer = io.BytesIO()
    image.save(buffer, "ICO", bitmap_format="bmp", sizes=[image.size])
    return buffer.getvalue()[22:]


@pytest.mark.parametrize("kind", [1, 2])
@pytest.mark.parametrize("form", ["png", "bmp"])
def test_the_largest_image_is_read(kind, form):
    small = ICON.resize((16, 16)).rotate(180)
    bodies = [(image.width, encode(image) if form == "png" else bitmap(image)) for image in
              (small, ICON)]  # fmt: skip
    data = directory(kind, *bodies)
    assert largest_difference(embeddable(data), resize_then_crop(ICON)) <= 1
    assert preprocess(data, SWIN_224, 10**4)[1:] == (64, 64, "ico")


@pytest.mark.parametrize("mode", ["RGBA", "RGB", "L", "1"])
@pytest.mark.parametrize("bitmap_format", ["png", "bmp"])
def test_every_mode_is_read_and_transparency_is_white(mode, bitmap_format):
    image = ICON.copy()
    image.putalpha(Image.fromarray(np.tri(64, 64, dtype=np.uint8) * 255))
    image = image.convert(mode)
    data = encode(image, "ICO", bitmap_format=bitmap_format, sizes=[(64, 64)])
    expected = over_white(image.convert("RGBA"))
    assert largest_difference(embeddable(data), resize_then_crop(expected)) <= 2


def test_an_image_that_is_larger_than_it_says_is_refused():
    with pytest.raises(ImageTooLarge):
        preprocess(directory(1, (16, png_header(9000, 9000))), SWIN_224, 10**6)
    body = bytearray(bitmap(ICON))
    body[4:12] = struct.pack("<ii", 9000, 18000)
    with pytest.raises(ImageTooLarge):
        preprocess(directory(2, (16, bytes(body))), SWIN_224, 10**6)


def test_a_damaged_icon_is_refused():
    for data in (directory(1), directory(1, (16, b"")), directory(2, (64, bitmap(ICON)[:999]))):
        with pytest.raises(InvalidImage):
            embeddable(data)
