import io
import struct

import numpy as np
import pytest
import tifffile
from PIL import Image

from model_export.model_card import Preprocessing
from service.images.cost import DEAREST, PRICES, SMALL_BYTES, Estimates
from tests.support.images import encode, noise

RECIPE = Preprocessing(resize=32, crop=32, mean=(0, 0, 0), std=(1, 1, 1))
LIMIT = 1_000_000
WIDTH, HEIGHT = 640, 480


@pytest.fixture
def estimates():
    return Estimates(RECIPE, LIMIT, exact=True)


def grey(width: int, height: int, form: str, mode: str = "RGB", **options) -> bytes:
    return encode(Image.new(mode, (width, height)), form, **options)


def icon(image: bytes) -> bytes:
    return struct.pack("<HHHBBBBHHII", 0, 1, 1, 0, 0, 0, 0, 1, 32, len(image), 22) + image


def deep(width: int, height: int, kind: type) -> bytes:
    file = io.BytesIO()
    tifffile.imwrite(file, np.zeros((height, width, 3), kind), photometric="rgb")
    return file.getvalue()


@pytest.mark.parametrize(
    ("format_", "file"),
    [
        ("jpeg", grey(WIDTH, HEIGHT, "JPEG", exif=b"Exif\0\0" + bytes(60_000))),
        ("progressive jpeg", grey(WIDTH, HEIGHT, "JPEG", progressive=True)),
        ("png", grey(WIDTH, HEIGHT, "PNG")),
        ("webp", grey(WIDTH, HEIGHT, "WEBP")),
        ("webp", grey(WIDTH, HEIGHT, "WEBP", "RGBA", lossless=True)),
        ("webp", grey(WIDTH, HEIGHT, "WEBP", exif=b"Exif\0\0MM\0*\0\0\0\x08\0\0")),
        ("gif", grey(WIDTH, HEIGHT, "GIF", comment=b"x" * 1000)),
        ("bmp", grey(WIDTH, HEIGHT, "BMP")),
        ("tiff", grey(WIDTH, HEIGHT, "TIFF")),
        ("tiff", grey(WIDTH, HEIGHT, "TIFF", big_tiff=True)),
        ("jpeg without end", grey(WIDTH, HEIGHT, "JPEG")[:-2]),
        ("deep tiff", deep(WIDTH, HEIGHT, np.float64)),
        ("tiff", deep(WIDTH, HEIGHT, np.uint16)),
        ("heif", grey(WIDTH, HEIGHT, "AVIF")),
        ("png", icon(grey(WIDTH, HEIGHT, "PNG"))),
        ("bmp", icon(grey(WIDTH, HEIGHT, "BMP")[14:])),
    ],
)
def test_the_size_is_read_from_the_header(estimates, format_, file):
    assert estimates.estimate(file).decode_bytes == PRICES[format_].pixel_bytes * WIDTH * HEIGHT


def test_a_larger_image_costs_more(estimates):
    small, large = (estimates.estimate(encode(noise(side, side))) for side in (100, 500))
    assert 20 < large.decode_s / small.decode_s < 30


def test_a_large_jpeg_is_cheap_where_it_is_decoded_at_a_fraction_of_its_size():
    file = grey(800, 800, "JPEG")
    exact, fast = (Estimates(RECIPE, LIMIT, exact=exact).estimate(file) for exact in (True, False))
    assert fast.decode_bytes == exact.decode_bytes / 64
    assert fast.decode_s < exact.decode_s


def gif_with_a_frame_beyond_its_screen() -> bytes:
    file = bytearray(grey(WIDTH, HEIGHT, "GIF"))
    file[6:10] = struct.pack("<HH", 1, 1)
    return bytes(file)


def test_a_frame_beyond_the_screen_counts(estimates):
    told = estimates.estimate(gif_with_a_frame_beyond_its_screen())
    assert told.decode_bytes == PRICES["gif"].pixel_bytes * WIDTH * HEIGHT


@pytest.mark.parametrize(
    "file",
    [
        b"\xff\xd8" + b"\xff" * 100_000,
        b"\xff\xd8" + b"\xff\xfe\0\2" * 100_000,
        b"GIF89a" + bytes(7) + b"\x21\xfe" + b"\1x" * 100_000,
        b"\0\0\0\x10ftypavif\0\0\0\0\0\0\0\0meta",
        b"\0\0\1\0\1\0" + b"\xff" * 16,
        *(grey(WIDTH, HEIGHT, form)[:20] for form in ("JPEG", "PNG", "GIF", "BMP", "TIFF", "WEBP")),
    ],
)
def test_what_hides_its_size_counts_as_the_most_expensive(estimates, file):
    assert estimates.estimate(file).decode_bytes == DEAREST.pixel_bytes * LIMIT


@pytest.mark.parametrize("file", [b"", b"no image", grey(1001, 1000, "PNG")])
def test_what_is_refused_costs_nothing(estimates, file):
    assert estimates.estimate(file) == (0, 0)


def test_only_large_images_have_memory_set_aside():
    told = Estimates(RECIPE, 64_000_000, exact=True)
    assert told.estimate(grey(WIDTH, HEIGHT, "PNG")).bounded_bytes == 0
    header = grey(1, 1, "PNG")[:16] + struct.pack(">II", 8000, 8000)
    assert told.estimate(header).bounded_bytes > SMALL_BYTES
