import io
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image, ImageOps

from service.errors import ImageTooLarge, InvalidImage, ServiceError
from service.images.formats import format_of
from service.images.preprocess import preprocess
from service.images.readers.exif import ORIENTATION_TAG
from tests.hostile import heif
from tests.hostile.corpus import BYTES, bomb
from tests.service.images.test_preprocess import (
    SWIN_224,
    embeddable,
    largest_difference,
    resize_then_crop,
)
from tests.support.images import encode, noise, photos

needs_pillow_heif = pytest.mark.skipif(not heif.INSTALLED, reason="the heic extra is not installed")
SMALL = SWIN_224.model_copy(update={"resize": 32, "crop": 32})
LOSSLESS = {"quality": -1, "chroma": 444, "matrix_coefficients": 0}


def test_without_the_extra_it_says_what_to_install():
    """In a process in which pillow-heif cannot be imported, wherever it is installed."""
    code = """
import sys
sys.modules["pillow_heif"] = None
from model_export.model_card import Preprocessing
from service.errors import InvalidImage
from service.images.formats import NAMES
from service.images.preprocess import preprocess
recipe = Preprocessing(resize=32, crop=32, mean=(0, 0, 0), std=(1, 1, 1))
assert "HEIC" not in NAMES
for brands in (b"heic", b"hevc", b"mif1....mif1heic", b"avif", b"mif1....avif"):
    try:
        preprocess(b"\\0\\0\\0\\x20ftyp" + brands + bytes(40), recipe, 1000)
    except InvalidImage as error:
        print(error)
"""
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    said = told.stdout.splitlines()
    assert said[:3] == ["HEIC images need the heic extra: pip install 'swin-embed[heic]'"] * 3
    assert all("the AVIF cannot be read" in line for line in said[3:])
    assert len(said) == 5


@needs_pillow_heif
@pytest.mark.parametrize("name", ["chelsea", "china"])
@pytest.mark.parametrize("tile_size", [0, 128])
def test_a_photo_is_what_it_is_in_other_formats(name, tile_size):
    photo = photos()[name]
    data = encode(photo, "HEIF", tile_size=tile_size, **LOSSLESS)
    assert largest_difference(embeddable(data), embeddable(encode(photo))) <= 2
    assert preprocess(data, SWIN_224, 10**6)[1:] == (*photo.size, "heic")
    assert format_of(data[:16])


@needs_pillow_heif
@pytest.mark.parametrize("exact", [False, True])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_turned_once(orientation, exact):
    """The encoder writes an orientation as `irot` and `imir`, and leaves it in EXIF too."""
    exif = Image.Exif()
    exif[ORIENTATION_TAG] = orientation
    stored = photos()["chelsea"].crop((0, 0, 300, 200))
    data = encode(stored, "HEIF", exif=exif.tobytes(), **LOSSLESS)
    assert (b"irot" in data or b"imir" in data) == (orientation > 1)
    exif_too = encode(stored, exif=exif)
    upright = ImageOps.exif_transpose(Image.open(io.BytesIO(exif_too)))
    assert largest_difference(embeddable(data, exact=exact), resize_then_crop(upright)) <= 2
    assert preprocess(data, SWIN_224, 10**6)[1:3] == upright.size


@needs_pillow_heif
def test_orientation_in_metadata_alone_turns_nothing():
    """ISO/IEC 23008-12 has readers ignore it."""
    exif = Image.Exif()
    exif[ORIENTATION_TAG] = 6
    image = heif.coded(encode(photos()["chelsea"], "HEIF", **LOSSLESS))
    item = heif.Item(b"Exif", bytes(4) + exif.tobytes(), (), ((b"cdsc", (1,)),))
    told, plain = heif.heif([image, item]), heif.heif([image])
    assert np.array_equal(embeddable(told), embeddable(plain))


@needs_pillow_heif
def test_transparent_becomes_white():
    for mode in ("RGBA", "LA"):
        image = Image.new("RGBA", (300, 200), (200, 10, 10, 0)).convert(mode)
        assert (embeddable(encode(image, "HEIF", quality=-1)) == 255).all()
    half = Image.new("RGBA", (300, 200), (0, 0, 0, 128))
    assert np.unique(embeddable(encode(half, "HEIF", quality=-1))) == pytest.approx(127, abs=1)


@needs_pillow_heif
def test_ten_bits_become_eight():
    pillow_heif = pytest.importorskip("pillow_heif")
    photo = photos()["coffee"]
    wide = (np.asarray(photo).astype(np.uint16) * 257).tobytes()
    file = io.BytesIO()
    pillow_heif.from_bytes("RGB;16", photo.size, wide).save(file, **LOSSLESS)
    assert b"pixi\0\0\0\0\3\x0a\x0a\x0a" in file.getvalue()
    assert largest_difference(embeddable(file.getvalue()), embeddable(encode(photo))) <= 2
    ramp = np.linspace(0, 65535, 300 * 300).reshape(300, 300).astype(np.uint16)
    grey = encode(Image.fromarray(ramp), "HEIF", quality=-1)
    assert largest_difference(embeddable(grey), embeddable(encode(Image.fromarray(ramp)))) <= 2


@needs_pillow_heif
def test_of_several_images_the_primary_one():
    frames = [noise(60, 60, seed=seed) for seed in range(3)]
    still = encode(frames[0], "HEIF")
    several = encode(frames[0], "HEIF", save_all=True, append_images=frames[1:])
    assert np.array_equal(embeddable(several), embeddable(still))


@needs_pillow_heif
def test_the_general_brand_is_read_by_the_codec_there_is():
    data = heif.heif([heif.picture(64, 64)], brand=b"mif1")
    assert preprocess(data, SWIN_224, 10**4).format == "heic"
    avif = encode(noise(64, 64), "AVIF")
    assert preprocess(avif.replace(b"avif", b"mif1", 1), SWIN_224, 10**4).format == "avif"


@needs_pillow_heif
def test_pixels_are_limited_by_the_header():
    data = heif.heif([heif.sized(heif.picture(64, 64), 9000, 9000)])
    with pytest.raises(ImageTooLarge, match="9000 x 9000"):
        preprocess(data, SWIN_224, 64_000_000)
    photo = heif.heif([heif.picture(100, 100)])
    assert preprocess(photo, SWIN_224, 10_000)[1:3] == (100, 100)
    with pytest.raises(ImageTooLarge, match="100 x 100"):
        preprocess(photo, SWIN_224, 9_999)


@needs_pillow_heif
@pytest.mark.parametrize("size", [(64, 63), (4000, 4000), (1, 1), (0, 0)])
def test_a_header_that_lies_is_refused(size):
    """Larger pictures than it says before they are decoded, others after."""
    with pytest.raises(InvalidImage):
        embeddable(heif.heif([heif.sized(heif.picture(1024, 1024), *size)]))


@needs_pillow_heif
def test_a_cut_that_reaches_beyond_the_image_is_refused():
    image = heif.picture(64, 64)
    for size in ((200, 200), (64, 65)):
        cut = replace(image, properties=(*image.properties, heif.clap(*size)))
        with pytest.raises(InvalidImage, match="another size"):
            embeddable(heif.heif([cut]))


@needs_pillow_heif
@pytest.mark.parametrize("name", ["heic_of_large_tiles", "heic_of_a_large_image_cut_small"])
def test_a_small_image_of_large_parts_is_refused(name):
    with pytest.raises(ImageTooLarge, match="parts"):
        preprocess(bomb(name), SWIN_224, 64_000_000)


@needs_pillow_heif
def test_texts_are_not_looked_at():
    assert preprocess(bomb("heic_of_texts"), SWIN_224, 64_000_000).format == "heic"


@needs_pillow_heif
@pytest.mark.parametrize("number", range(2))
def test_cut_anywhere_it_is_refused(number):
    data = heif.files()[number]
    for where in range(len(data)):
        with pytest.raises(InvalidImage):
            embeddable(data[:where])


@pytest.mark.slow
@needs_pillow_heif
@pytest.mark.parametrize("number", range(2))
def test_a_wrong_byte_anywhere_is_survived(number):
    data = heif.files()[number]
    answers = set()
    for where in range(len(data)):
        for byte in BYTES:
            try:
                preprocess(data[:where] + bytes([byte]) + data[where + 1 :], SMALL, 10**6)
                answers.add("read")
            except ServiceError as error:
                answers.add(type(error).__name__)
    assert answers == {"read", "InvalidImage", "ImageTooLarge"}
