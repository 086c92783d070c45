import zlib

import numpy as np
import pytest
import tifffile
from PIL import Image, ImageCms

from service.errors import ImageTooLarge, InvalidImage
from service.images.preprocess import preprocess
from tests.hostile.corpus import tiff
from tests.service.images.test_preprocess import (
    SWIN_224,
    embeddable,
    largest_difference,
    resize_then_crop,
    upright,
)
from tests.support.images import encode, noise, photos

PHOTO = photos()["chelsea"].resize((150, 101))
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
    "14 bits in 16": (np.uint16, 16383 / 255),
    "16 bits": (np.uint16, 257),
    "half floats": (np.float16, 1 / 255),
    "doubles": (np.float64, 1 / 255),
    "int64 from 0 to 255": (np.int64, 1),
    "int8 without negative ones": (np.int8, 127 / 255),
}
LAYOUTS = {
    "strips": {"rowsperstrip": 7},
    "deflated tiles": {"tile": (64, 32), "compression": "zlib"},
}


@pytest.mark.parametrize("byteorder", ["<", ">"])
@pytest.mark.parametrize("name", RANGES)
def test_grey_of_any_range_is_the_picture(name, byteorder, tmp_path):
    kind, factor = RANGES[name]
    levels = (GREY.astype(np.float64) * factor).astype(kind)
    data = written(levels, tmp_path, byteorder=byteorder)
    assert largest_difference(embeddable(data), clean(GREY)) <= 3


@pytest.mark.parametrize("planar", [False, True])
@pytest.mark.parametrize("byteorder", ["<", ">"])
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("name", ["float from 0 to 1", "12 bits in 16", "16 bits"])
def test_colour_of_any_range_and_layout_is_the_picture(name, layout, byteorder, planar, tmp_path):
    kind, factor = RANGES[name]
    levels = (COLOUR.astype(np.float64) * factor).astype(kind)
    options = {"byteorder": byteorder, "photometric": "rgb", **LAYOUTS[layout]}
    if planar:
        levels, options["planarconfig"] = np.moveaxis(levels, 2, 0), "separate"
    data = written(levels, tmp_path, **options)
    assert largest_difference(embeddable(data), clean(COLOUR)) <= 2


@pytest.mark.parametrize("byteorder", ["<", ">"])
@pytest.mark.parametrize("tile", [None, (64, 64)])
def test_differences_between_samples_are_summed(tile, byteorder, tmp_path):
    data = written(
        COLOUR.astype(np.int32), tmp_path, photometric="rgb", tile=tile, byteorder=byteorder,
        compression="zlib", predictor=True,
    )  # fmt: skip
    assert largest_difference(embeddable(data), clean(COLOUR)) <= 2


def of_rows(rows: bytes, shape, bits: int, form: int, predictor: int, compression=8) -> bytes:
    """A TIFF of one strip of these bytes, deflated."""
    height, width, samples = shape
    strip = zlib.compress(rows)
    said = {
        256: width, 257: height, 259: compression, 262: 2 if samples == 3 else 1, 277: samples,
        279: len(strip), 317: predictor,
    }  # fmt: skip
    at = 8 + 2 + 12 * (len(said) + 3) + 4
    entries = [(tag, 4, 1, value) for tag, value in said.items()]
    entries += [(258, 3, 1, bits), (339, 3, 1, form), (273, 4, 1, at)]
    return tiff(entries, strip)


def test_differences_between_bytes_of_floats_are_summed():
    """Predictor 3: of each row the bytes of the same significance come together."""
    floats = (COLOUR / 255).astype(">f4")
    height, _, samples = COLOUR.shape
    apart = floats.view(np.uint8).reshape(height, -1, 4).swapaxes(1, 2)
    pixels = apart.reshape(height, -1, samples)
    pixels[:, 1:] -= pixels[:, :-1].copy()
    data = of_rows(pixels.tobytes(), COLOUR.shape, 32, 3, 3)
    assert largest_difference(embeddable(data), clean(COLOUR)) <= 2


@pytest.mark.parametrize("bits", [2, 10, 12, 14])
@pytest.mark.parametrize("levels", [GREY[..., None], COLOUR], ids=["grey", "colour"])
def test_packed_bits_are_read(levels, bits):
    few = levels.astype(np.uint32) * (2**bits - 1) // 255
    single = few[..., None] >> np.arange(bits - 1, -1, -1) & 1
    rows = np.packbits(single.reshape(len(few), -1).astype(np.uint8), axis=1)
    data = of_rows(rows.tobytes(), levels.shape, bits, 1, 1)
    expected = np.rint(few * 255 / (2**bits - 1)).astype(np.uint8)
    assert largest_difference(embeddable(data), clean(expected.squeeze())) <= 1


@pytest.mark.parametrize("premultiplied", [False, True])
@pytest.mark.parametrize("name", ["12 bits in 16", "16 bits", "float from 0 to 1"])
@pytest.mark.parametrize("grey", [False, True])
def test_what_is_transparent_is_white(grey, name, premultiplied, tmp_path):
    kind, factor = RANGES[name]
    faded = np.linspace(1, 0, GREY.shape[1])[None, :, None]
    colour = (GREY[..., None] if grey else COLOUR).astype(np.float64)
    stored = colour * faded if premultiplied else colour
    levels = np.dstack([stored, np.broadcast_to(faded * 255, (*GREY.shape, 1))]) * factor
    data = written(
        levels.astype(kind), tmp_path, photometric="minisblack" if grey else "rgb",
        planarconfig="contig", extrasamples=["assocalpha" if premultiplied else "unassalpha"],
    )  # fmt: skip
    over = np.rint(colour * faded + 255 * (1 - faded)).astype(np.uint8)
    assert largest_difference(embeddable(data), clean(over[..., 0] if grey else over)) <= 3


@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
@pytest.mark.parametrize("photometric", [8, 9])
def test_lab_is_the_picture(photometric, kind, tmp_path):
    """Photometric interpretation 8 has signed a and b, 9 has them from 0."""
    lab, screen = ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")
    signed = np.array(ImageCms.profileToProfile(PHOTO, screen, lab, outputMode="LAB"))
    if photometric == 9:
        signed[..., 1:] ^= 0x80
    levels = signed.astype(kind) << (8 * np.dtype(kind).itemsize - 8)
    data = written(levels, tmp_path, photometric=photometric)
    assert np.abs(embeddable(data).astype(int) - clean(COLOUR)).mean() <= 2


def test_samples_that_take_too_much_memory_are_refused(tmp_path):
    data = written(np.zeros((100, 100, 3)), tmp_path, photometric="rgb", compression="zlib")
    assert preprocess(data, SWIN_224, 30_000).width == 100
    with pytest.raises(ImageTooLarge, match="240000 bytes of samples"):
        preprocess(data, SWIN_224, 10_000)


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


def test_a_variant_that_is_not_read_is_named(tmp_path):
    waves = written(COLOUR.astype(np.complex64), tmp_path, photometric="rgb")
    with pytest.raises(InvalidImage, match=r"bits a sample .*64, 64, 64.*sample format .*6, 6, 6"):
        embeddable(waves)
    for compression, said in ((34712, "compression 34712"), (50001, "compressed as WebP")):
        with pytest.raises(InvalidImage, match=said):
            embeddable(of_rows(COLOUR.tobytes(), COLOUR.shape, 8, 1, 1, compression))


def with_two(tag: int, value: int) -> bytes:
    """A TIFF of one grey pixel with another entry of a tag it has or has not."""
    entries = [(256, 4, 1, 8), (257, 4, 1, 8), (258, 3, 1, 8), (262, 3, 1, 1), (273, 4, 1, 200)]
    entries += [(278, 4, 1, 8), (279, 4, 1, 64), (tag, 4, 1, value), (tag, 4, 1, value + 1)]
    data = tiff(sorted(entries))
    return data + bytes(200 - len(data)) + b"\x80" * 64


@pytest.mark.parametrize("tag", [274, 305, 306, 700, 34377, 34675, 60000])
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
