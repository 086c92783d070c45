import base64
import io

import numpy as np
import pytest
from PIL import Image

from service.errors import InvalidImage
from service.images.readers import jpeg as reader
from tests.service.images.test_preprocess import embeddable, largest_difference
from tests.support.images import encode, jpeg, noise, photos


@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("size", [(61, 43), (640, 427), (2560, 1708)])
@pytest.mark.parametrize("exact", [False, True])
def test_an_end_marker_may_be_missing(progressive, size, exact):
    data = encode(photos()["china"].resize(size), "JPEG", quality=90, progressive=progressive)
    whole = embeddable(data, exact=exact)
    for kept in (-1, -2):
        assert np.array_equal(embeddable(data[:kept], exact=exact), whole)


@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
def test_no_row_may_be_missing(progressive, mode):
    data = encode(photos()["china"].convert(mode), "JPEG", quality=90, progressive=progressive)
    for kept in (0.2, 0.9, 0.99, 0.999):
        with pytest.raises(InvalidImage, match=r"cut off|damaged"):
            embeddable(data[: int(len(data) * kept)])


def with_frame(marker: int) -> bytes:
    data = bytearray(jpeg("china"))
    data[data.index(b"\xff\xc0") + 1] = marker
    return bytes(data)


@pytest.mark.parametrize(
    ("marker", "said"),
    [(0xC3, "lossless"), (0xC5, "hierarchical"), (0xCB, "arithmetic"), (0xF7, "JPEG-LS")],
)
def test_a_variant_that_is_not_read_is_named(marker, said):
    with pytest.raises(InvalidImage, match=f"JPEG is .*{said}"):
        embeddable(with_frame(marker))


def test_twelve_bits_are_named():
    data = bytearray(jpeg("china"))
    data[data.index(b"\xff\xc0") + 4] = 12
    with pytest.raises(InvalidImage, match="12-bit"):
        embeddable(bytes(data))


def test_metadata_is_read_but_not_decoded():
    exif = Image.Exif()
    exif[0x0112] = 6
    data = encode(noise(20, 30), "JPEG", exif=exif, icc_profile=b"p" * 100_000, comment=b"c" * 999)
    image = reader.open_image(data, 10_000)
    assert (image.info["orientation"], image.info["icc_profile"]) == (6, b"p" * 100_000)
    assert isinstance(image.fp, io.BytesIO)
    assert len(image.fp.getvalue()) < len(data) - 100_000


def test_a_profile_with_a_part_missing_is_none():
    data = encode(noise(20, 30), "JPEG", icc_profile=b"p" * 100_000)
    first = data.index(b"ICC_PROFILE")
    at = data.index(b"ICC_PROFILE", first + 1)
    image = reader.open_image(data[:at] + b"?" + data[at + 1 :], 10_000)
    assert "icc_profile" not in image.info


ARITHMETIC = base64.b64decode(
    "/9j/4AAQSkZJRgABAQAAAQABAAD/2wBDABALDA4MChAODQ4SERATGCgaGBYWGDEjJR0oOjM9PDkzODdASFxOQERXRTc4UG1R"
    "V19iZ2hnPk1xeXBkeFxlZ2P/2wBDARESEhgVGC8aGi9jQjhCY2NjY2NjY2NjY2NjY2NjY2NjY2NjY2NjY2NjY2NjY2NjY2Nj"
    "Y2NjY2NjY2NjY2NjY2P/yQARCAAQABgDASIAAhEBAxEB/8wACgAQEAUBEBEF/9oADAMBAAIRAxEAPwD1ncgMIFCeogBWSW+A"
    "1eXVHc59OdbK8bC0kA50ZtMFCPGv1cM5K7qvoq0MJeu6oTE0A0USYc++t89HTaxoJt7qKB3SG+sAdSCeMoAOK8m79GsBdYmI"
    "dK/SpfvzgP/Z"
)
"""The file that is made in the test below, by `jpegtran -arithmetic`."""


def test_arithmetic_coding_is_read():
    data = encode(photos()["chelsea"].resize((24, 16)), "JPEG", quality=50)
    assert largest_difference(embeddable(ARITHMETIC), embeddable(data)) <= 2


def test_one_in_arithmetic_coding_may_lack_its_end_but_no_row():
    assert np.array_equal(embeddable(ARITHMETIC[:-2]), embeddable(ARITHMETIC))
    with pytest.raises(InvalidImage, match="cut off"):
        embeddable(ARITHMETIC[:-20])
