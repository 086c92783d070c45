import numpy as np
import pytest
import tifffile
from PIL import Image

from service.errors import InvalidImage
from tests.hostile.corpus import tiff
from tests.service.images.test_preprocess import (
    embeddable,
    largest_difference,
    resize_then_crop,
    upright,
)
from tests.support.images import encode, noise, photos

PHOTO = photos()["chelsea"]
GREY = np.asarray(PHOTO.convert("L"))
COLOUR = np.asarray(PHOTO)


def written(levels, tmp_path, **options) -> bytes:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, levels, **{"photometric": "minisblack"} | options)
    return path.read_bytes()


def clean(levels) -> np.ndarray:
    return resize_then_crop(Image.fromarray(levels).convert("RGB"))


RANGES = {
    "float from 0 to 1": (np.float32, 1 / 255),
    "float from 0 to 255": (np.float32, 1),
    "float from 0 to 65535": (np.float32, 257),
    "int32 from 0 to 255": (np.int32, 1),
    "int32 from 0 to 65535": (np.int32, 257),
    "int32, all of it": (np.int32, (2**31 - 1) // 255),
    "uint32, all of it": (np.uint32, 2**32 // 256),
    "int16 from 0 to 255": (np.int16, 1),
    "int16 from 0 to 4095": (np.int16, 4095 / 255),
    "8 bits in 16": (np.uint16, 1),
    "10 bits in 16": (np.uint16, 1023 / 255),
    "12 bits in 16": (np.uint16, 4095 / 255),
    "16 bits": (np.uint16, 257),
}


@pytest.mark.parametrize("byteorder", ["<", ">"])
@pytest.mark.parametrize("name", RANGES)
def test_grey_of_any_range_is_the_picture(name, byteorder, tmp_path):
    kind, factor = RANGES[name]
    if kind is np.uint32 and byteorder == ">":
        pytest.skip("Pillow does not read it; that it is named is tested below")
    levels = (GREY.astype(np.float64) * factor).astype(kind)
    data = written(levels, tmp_path, byteorder=byteorder)
    assert largest_difference(embeddable(data), clean(GREY)) <= 3


@pytest.mark.parametrize("byteorder", ["<", ">"])
@pytest.mark.parametrize("compression", [None, "zlib"])
@pytest.mark.parametrize("bits", [8, 12, 16])
def test_colour_in_16_bits_is_the_picture(bits, compression, byteorder, tmp_path):
    levels = (COLOUR.astype(np.float64) * (2**bits - 1) / 255).astype(np.uint16)
    data = written(
        levels, tmp_path, photometric="rgb", compression=compression, byteorder=byteorder
    )
    assert largest_difference(embeddable(data), clean(COLOUR)) <= 2


def test_what_the_file_says_of_its_range_counts(tmp_path):
    """Tags 340 and 341, SMinSampleValue and SMaxSampleValue."""
    levels = (GREY.astype(np.float32) - 128) / 10
    data = written(
        levels,
        tmp_path,
        extratags=[(340, "f", 1, -12.8, True), (341, "f", 1, 12.7, True)],
    )
    assert largest_difference(embeddable(data), clean(GREY)) <= 1


def test_another_range_is_spread_over_all_levels(tmp_path):
    """Of elevations, say: nothing tells what is white."""
    levels = np.linspace(-400, 8000, 300 * 300, dtype=np.float32).reshape(300, 300)
    ramp = np.rint(np.linspace(0, 255, 300 * 300)).astype(np.uint8).reshape(300, 300)
    assert largest_difference(embeddable(written(levels, tmp_path)), clean(ramp)) <= 1
    nearly = levels.copy()
    nearly[0, :3] = np.nan, np.inf, -np.inf
    assert largest_difference(embeddable(written(nearly, tmp_path))[20:], clean(ramp)[20:]) <= 1


def test_dark_levels_are_spread_and_black_is_black(tmp_path):
    dark = (GREY // 32).astype(np.int32)
    spread = np.rint(dark * 255 / dark.max()).astype(np.uint8)
    assert largest_difference(embeddable(written(dark, tmp_path)), clean(spread)) <= 1
    for kind in (np.uint16, np.int32, np.float32):
        assert not embeddable(written(np.zeros((40, 40), kind), tmp_path)).any()


def test_levels_that_are_no_numbers_are_refused(tmp_path):
    with pytest.raises(InvalidImage, match="no level that is a number"):
        embeddable(written(np.full((40, 40), np.nan, np.float32), tmp_path))


def test_white_may_be_zero(tmp_path):
    for levels in (GREY.astype(np.uint16) * 257, GREY.astype(np.float32)):
        data = written(levels, tmp_path, photometric="miniswhite")
        assert largest_difference(embeddable(data), clean(255 - GREY)) <= 1


@pytest.mark.parametrize(
    ("levels", "said"),
    [
        (COLOUR.astype(np.float32), "bits a sample .*32, 32, 32.*sample format"),
        (GREY.astype(np.float64), "bits a sample .*64"),
        (GREY.astype(np.float16), "bits a sample .*16"),
    ],
)
def test_a_variant_that_is_not_read_is_named(levels, said, tmp_path):
    photometric = "rgb" if levels.ndim == 3 else "minisblack"
    with pytest.raises(InvalidImage, match=said):
        embeddable(written(levels, tmp_path, photometric=photometric))


def with_two(tag: int, value: int) -> bytes:
    """A TIFF of one grey pixel with another entry of a tag it has or has not."""
    entries = [(256, 4, 1, 8), (257, 4, 1, 8), (258, 3, 1, 8), (262, 3, 1, 1), (273, 4, 1, 200)]
    entries += [(278, 4, 1, 8), (279, 4, 1, 64), (tag, 4, 1, value), (tag, 4, 1, value + 1)]
    data = tiff(sorted(entries))
    return data + bytes(200 - len(data)) + b"\x80" * 64


@pytest.mark.parametrize("tag", [305, 306, 700, 34377, 60000])
def test_a_tag_that_is_not_of_pixels_may_come_twice(tag):
    assert (embeddable(with_two(tag, 1)) == 128).all()


@pytest.mark.parametrize("tag", [256, 273, 277])
def test_a_tag_of_pixels_comes_once(tag):
    with pytest.raises(InvalidImage, match=f"tag {tag} twice"):
        embeddable(with_two(tag, 1))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_turns_as_its_tag_says_whatever_its_xmp_does(orientation):
    stored = noise(301, 250)
    data = encode(stored, "TIFF", tiffinfo={700: b'tiff:Orientation="3"', 274: orientation})
    expected = resize_then_crop(upright(stored, orientation))
    assert largest_difference(embeddable(data), expected) <= 1
