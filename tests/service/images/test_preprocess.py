import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image, ImageOps
from PIL.JpegImagePlugin import JpegImageFile

from model_export.__main__ import main
from model_export.catalog import NANO
from model_export.model_card import Preprocessing
from model_export.verify import cosines
from service.engine.model import load
from service.errors import ImageTooLarge, InvalidImage
from service.images.preprocess import preprocess
from service.images.readers.exif import ORIENTATION_TAG
from tests.hostile.corpus import chunk, png
from tests.support.images import encode, jpeg, noise, photos

SWIN_224 = Preprocessing(resize=248, crop=224, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))
MANY = 10**8
WEIGHTS = NANO.included


def embeddable(data: bytes, recipe: Preprocessing = SWIN_224, *, exact: bool = False):
    return preprocess(data, recipe, MANY, exact=exact).pixels


def resize_then_crop(image: Image.Image, resize: int = 248, crop: int = 224):
    """Resize and CenterCrop as torchvision does them, of which timm's transform is made."""
    width, height = image.size
    if width <= height:
        size = (resize, int(resize * height / width))
    else:
        size = (int(resize * width / height), resize)
    resized = image.resize(size, Image.Resampling.BICUBIC)
    left, top = round((size[0] - crop) / 2), round((size[1] - crop) / 2)
    return np.asarray(resized.crop((left, top, left + crop, top + crop)))


def largest_difference(a, b) -> int:
    return int(np.abs(a.astype(int) - b.astype(int)).max())


@pytest.mark.parametrize("name", photos())
def test_equals_resizing_everything_then_cropping(name):
    image = photos()[name]
    assert largest_difference(embeddable(encode(image)), resize_then_crop(image)) <= 1


@pytest.mark.parametrize("size", [(1, 1), (2, 3), (17, 400), (640, 33), (224, 224), (249, 248)])
def test_takes_any_size(size):
    image = photos()["chelsea"].resize(size)
    assert largest_difference(embeddable(encode(image)), resize_then_crop(image)) <= 1


def test_a_very_long_image_is_not_blown_up():
    assert embeddable(encode(noise(20_000, 1))).shape == (224, 224, 3)


@pytest.mark.parametrize("orientation", [1, 6])
@pytest.mark.parametrize(
    "size", [(1, 3000), (3000, 1), (30, 4000), (700, 1500), (1000, 1100), (2500, 2000)]
)
def test_exact_equals_resizing_everything_then_cropping(size, orientation):
    exif = Image.Exif()
    exif[ORIENTATION_TAG] = orientation
    data = encode(photos()["chelsea"].resize(size), "JPEG", exif=exif)
    whole = ImageOps.exif_transpose(Image.open(io.BytesIO(data)))
    assert largest_difference(embeddable(data, exact=True), resize_then_crop(whole)) <= 1


@pytest.mark.parametrize("orientation", range(1, 9))
def test_fast_decodes_large_jpegs_small_and_keeps_to_the_positions(orientation):
    """A smooth image has the same pixels at any scale, so only a wrong position shows."""
    exif = Image.Exif()
    exif[ORIENTATION_TAG] = orientation
    across, down = np.meshgrid(np.linspace(0, 255, 2011), np.linspace(0, 255, 1507))
    ramp = np.stack([across, down, 255 - across], axis=2).astype(np.uint8)
    data = encode(Image.fromarray(ramp), "JPEG", quality=95, subsampling=0, exif=exif)
    fast, exact = embeddable(data), embeddable(data, exact=True)
    assert largest_difference(fast, exact) <= 2
    assert preprocess(data, SWIN_224, MANY)[1:3] == (2011, 1507)


def test_fast_decodes_no_more_of_a_jpeg_than_it_needs(monkeypatch):
    decoded = []
    load = JpegImageFile.load

    def spy(image):
        decoded.append(image.size)
        return load(image)

    monkeypatch.setattr(JpegImageFile, "load", spy)
    data = encode(photos()["china"].resize((2560, 1708)), "JPEG")
    embeddable(data)
    assert decoded[-1] == (1280, 854)
    embeddable(data, exact=True)
    assert decoded[-1] == (2560, 1708)


def test_fast_vectors_of_photos_have_a_cosine_of_four_nines_to_exact(tmp_path):
    """The default model's; docs/decisions.md has those of images that are no photos."""
    path = tmp_path / "default.onnx"
    assert main([WEIGHTS.stem, "--weights", str(WEIGHTS), "--output", str(path)]) == 0
    default = load(path, "cpu", 1, 1)

    def vectors(files, *, exact):
        recipe = default.card.preprocessing
        pixels = [embeddable(data, recipe, exact=exact)[None] for data in files]
        return np.concatenate([default.run(one) for one in pixels])

    large = [ImageOps.scale(photo, 1000 / min(photo.size)) for photo in photos().values()]
    files = [encode(photo, "JPEG", quality=90) for photo in large]
    lowest = cosines(vectors(files, exact=False), vectors(files, exact=True)).min()
    assert 0.9999 <= lowest < 1


def test_crop_and_stretch_recipes():
    image = photos()["coffee"]
    whole = SWIN_224.model_copy(update={"resize": 224})
    assert largest_difference(embeddable(encode(image), whole), resize_then_crop(image, 224)) <= 1
    stretch = SWIN_224.model_copy(update={"resize": 224, "resize_mode": "stretch"})
    stretched = np.asarray(image.resize((224, 224), Image.Resampling.BICUBIC))
    assert largest_difference(embeddable(encode(image), stretch), stretched) <= 1


def upright(image: Image.Image, orientation: int) -> Image.Image:
    """The image turned as a tag says, which no reader has seen."""
    turned = Image.fromarray(np.asarray(image))
    turned.getexif()[ORIENTATION_TAG] = orientation
    return ImageOps.exif_transpose(turned)


@pytest.mark.parametrize("exact", [False, True])
@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize(
    ("form", "options"),
    [
        ("JPEG", {"quality": 95}),
        ("PNG", {}),
        ("WEBP", {"lossless": True}),
        ("AVIF", {}),  # Pillow writes and reads an orientation as `irot` and `imir`
        ("TIFF", {}),
        ("TIFF", {"compression": "tiff_lzw"}),
        ("TIFF", {"compression": "jpeg"}),
        ("TIFF", {"save_all": True, "append_images": [noise(20, 30)]}),
    ],
)
def test_turns_upright_once_in_every_format(form, options, orientation, exact):
    stored = noise(301, 250)
    plain = Image.open(io.BytesIO(encode(stored, form, **options)))
    exif = Image.Exif()
    exif[ORIENTATION_TAG] = orientation
    data = encode(stored, form, exif=exif, **options)
    expected = resize_then_crop(upright(plain, orientation))
    assert largest_difference(embeddable(data, exact=exact), expected) <= 1


@pytest.mark.parametrize("orientation", [0, 9, 65535])
def test_ignores_an_orientation_that_means_nothing(orientation):
    exif = Image.Exif()
    exif[ORIENTATION_TAG] = orientation
    image = noise(50, 40)
    assert np.array_equal(embeddable(encode(image, exif=exif)), embeddable(encode(image)))


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "CMYK", "YCbCr"])
def test_opaque_modes_become_rgb(mode):
    image = photos()["chelsea"].convert(mode)
    expected = resize_then_crop(image.convert("RGB"))
    data = encode(image, "TIFF")
    assert largest_difference(embeddable(data), expected) <= 1


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_transparent_becomes_white(mode):
    image = Image.new("RGBA", (300, 300), (200, 10, 10, 0)).convert(mode)
    assert (embeddable(encode(image)) == 255).all()


def test_palette_with_a_transparent_colour_becomes_white():
    image = Image.new("P", (300, 300), 3)
    image.putpalette([0, 0, 0] * 256)
    assert (embeddable(encode(image, "PNG", transparency=3)) == 255).all()
    assert (embeddable(encode(image, "PNG", transparency=4)) == 0).all()


@pytest.mark.parametrize(
    ("depth", "row", "colour", "seen"),
    [
        (1, b"\0", (0,), 0),
        (2, b"\x55\x55", (1,), 85),
        (4, b"\x55" * 4, (5,), 85),
        (8, b"\x55" * 8, (85,), 85),
        (16, b"\x55\x11" * 8, (0x5511,), 85),
        (8, b"\x55\x66\x77" * 8, (0x55, 0x66, 0x77), (0x55, 0x66, 0x77)),
        (16, b"\x55\x11\x66\x22\x77\x33" * 8, (0x5511, 0x6622, 0x7733), (0x55, 0x66, 0x77)),
    ],
)
def test_a_transparent_colour_becomes_white_in_every_depth(depth, row, colour, seen):
    """A PNG names it in its own bits; another colour stays."""
    rows, color = zlib.compress((b"\0" + row) * 8), 2 if len(colour) == 3 else 0

    def naming(levels):
        named = chunk(b"tRNS", struct.pack(f">{len(levels)}H", *levels))
        return embeddable(png((8, 8), rows, depth=depth, color=color, before=named))

    assert (naming(colour) == 255).all()
    other = tuple(level ^ 2 ** (depth - 1) for level in colour)
    assert (naming(other) == seen).all()


def test_half_transparent_is_blended_over_white():
    image = Image.new("RGBA", (300, 300), (0, 0, 0, 128))
    assert np.unique(embeddable(encode(image))) == pytest.approx(127, abs=1)


def test_sixteen_bit_grey_is_scaled_not_clipped():
    ramp = np.linspace(0, 65535, 300 * 300).reshape(300, 300)
    image = Image.fromarray(ramp.astype(np.uint16))
    expected = Image.fromarray(np.rint(ramp / 257).astype(np.uint8)).convert("RGB")
    assert largest_difference(embeddable(encode(image)), resize_then_crop(expected)) <= 1


def test_only_the_sixteen_bits_that_are_named_are_transparent():
    """Not all that look the same in 8."""
    image = Image.fromarray(np.full((300, 300), 0x5511, np.uint16))
    assert (embeddable(encode(image, transparency=0x5511)) == 255).all()
    assert (embeddable(encode(image, transparency=0x5512)) == 0x55).all()


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF"])
def test_formats(form):
    assert embeddable(encode(photos()["coffee"], form)).shape == (224, 224, 3)


def test_first_frame_of_an_animation():
    first, second = noise(60, 60, seed=1).quantize(), noise(60, 60, seed=2).quantize()
    still = encode(first, "GIF")
    animated = encode(first, "GIF", save_all=True, append_images=[second] * 3)
    assert np.array_equal(embeddable(animated), embeddable(still))


@pytest.mark.parametrize("form", ["PPM", "PCX", "TGA", "JPEG2000", "PDF"])
def test_other_formats_are_refused(form):
    with pytest.raises(InvalidImage, match="known format"):
        embeddable(encode(noise(32, 32), form))


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"%PDF-1.7 ", "a PDF"),
        (b"\n<svg xmlns=''/>", "an SVG"),
        (b"\xff\x0a" + bytes(40), "JPEG XL"),
        (b"\0\0\0\x0cjP  \r\n\x87\n", "JPEG 2000"),
    ],
)
def test_what_is_sent_in_place_of_an_image_is_named(data, said):
    with pytest.raises(InvalidImage, match=f"it is {said}"):
        embeddable(data)


@pytest.mark.parametrize("data", [b"", b"hello, I am text", b"\0" * 1000, b"\x89PNG\r\n\x1a\n"])
def test_not_an_image(data):
    with pytest.raises(InvalidImage):
        embeddable(data)


@pytest.mark.parametrize("kept", [0.1, 0.5, 0.99])
def test_a_truncated_image_is_refused(kept):
    data = jpeg("china")
    with pytest.raises(InvalidImage):
        embeddable(data[: int(len(data) * kept)])


def png_header(width: int, height: int) -> bytes:
    """A PNG that claims a size and holds one row's worth of nothing."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(b"\0" * 10)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        for kind, body in chunks
    )


@pytest.mark.parametrize("side", [9_000, 12_000, 20_000, 2**31 - 1])
def test_a_huge_image_is_refused_by_its_header(side):
    with pytest.raises(ImageTooLarge, match=r"pixels"):
        preprocess(png_header(side, side), SWIN_224, 64_000_000)


def test_the_pixel_limit_is_inclusive():
    data = encode(noise(100, 100))
    assert preprocess(data, SWIN_224, 10_000)[1:] == (100, 100, "png")
    with pytest.raises(ImageTooLarge, match="100 x 100"):
        preprocess(data, SWIN_224, 9_999)
