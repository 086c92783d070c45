"""Metadata that cannot be read never costs the picture, in any format, nor turns it."""

import struct
import zlib

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from service.errors import InvalidImage
from service.images.preprocess import thumbnail
from tests.hostile.corpus import chunk
from tests.service.images.test_preprocess import embeddable
from tests.support.images import encode, noise

PHOTO = noise(61, 43)

UNREADABLE = {
    "no header": b"\0\x08\0\x02\x01\x12\0\x03",
    "an address": b"Exif\0\0http://ns.adobe.com/",
    "a header alone": b"Exif\0\0II*\0",
    "empty": b"Exif\0\0",
    "an offset beyond its end": b"Exif\0\0MM\0*\xff\xff\xff\xff",
    "too many entries": b"Exif\0\0MM\0*\0\0\0\x08\xff\xff\x01\x12",
    "an orientation of another kind": b"Exif\0\0MM\0*\0\0\0\x08\0\1\1\x12\0\2\0\0\0\1\x36\0\0\0",
}


@pytest.mark.parametrize("exif", UNREADABLE.values(), ids=UNREADABLE)
@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP", "TIFF"])
def test_exif_that_cannot_be_read_is_none(form, exif):
    options = {"dpi": (72, 72)} if form == "JPEG" else {}
    options |= {"lossless": True} if form == "WEBP" else {}
    clean = embeddable(encode(PHOTO, form, **options))
    given = {"tiffinfo": {34665: 1 << 20}} if form == "TIFF" else {"exif": exif}
    assert np.array_equal(embeddable(encode(PHOTO, form, **options, **given)), clean)


def test_exif_of_an_avif_that_cannot_be_read_is_none():
    exif = Image.Exif()
    exif[0x010E] = "a description"
    data = encode(PHOTO, "AVIF", exif=exif)
    broken = data.replace(b"MM\0*", b"MM??").replace(b"II*\0", b"II??")
    assert broken != data
    assert np.array_equal(embeddable(broken), embeddable(encode(PHOTO, "AVIF")))


def text(name: str, value: str) -> PngImagePlugin.PngInfo:
    info = PngImagePlugin.PngInfo()
    info.add_text(name, value)
    return info


@pytest.mark.parametrize(
    "info",
    [
        text("exif", "not what Pillow takes it for"),
        text("Raw profile type exif", "\nexif\n   8\nno hexadecimal\n"),
        text("XML:com.adobe.xmp", '<x tiff:Orientation="6"/>'),
    ],
)
def test_text_of_a_png_is_not_read(info):
    clean = embeddable(encode(PHOTO))
    assert np.array_equal(embeddable(encode(PHOTO, pnginfo=info)), clean)


CHUNKS = {
    "a profile of 2 MiB": chunk(b"iCCP", b"x\0\0" + zlib.compress(bytes(2 << 20))),
    "text that inflates to 16 MiB": chunk(b"zTXt", b"x\0\0" + zlib.compress(bytes(16 << 20))),
    "a wrong checksum": chunk(b"tIME", bytes(7))[:-1] + b"?",
    "a short pHYs": chunk(b"pHYs", bytes(3)),
    "a profile that is none": chunk(b"iCCP", b"x\0\0garbage"),
    "a chunk that nobody knows": chunk(b"quUX", bytes(100)),
    "an animation that says nothing": chunk(b"acTL", bytes(3)),
    "a wrong transparency": chunk(b"tRNS", bytes(6))[:-1] + b"?",
}


@pytest.mark.parametrize("added", CHUNKS.values(), ids=CHUNKS)
@pytest.mark.parametrize("place", [b"IDAT", b"IEND"])
def test_chunks_that_carry_no_pixels_cost_no_png(added, place):
    data = encode(PHOTO)
    at = data.index(place) - 4
    assert np.array_equal(embeddable(data[:at] + added + data[at:]), embeddable(data))


def test_a_png_may_lack_its_end():
    data = encode(PHOTO)
    assert np.array_equal(embeddable(data[:-12]), embeddable(data))


@pytest.mark.parametrize("marker", [0xE1, 0xE2, 0xED, 0xEF, 0xFE])
def test_segments_that_carry_no_pixels_cost_no_jpeg(marker):
    data = encode(PHOTO, "JPEG")
    for body in (b"", b"Exif\0\0MM", b"ICC_PROFILE\0\1", b"Photoshop 3.0\x008BIM", b"MPF\0MM\0*"):
        added = struct.pack(">BBH", 0xFF, marker, len(body) + 2) + body
        assert np.array_equal(embeddable(data[:2] + added + data[2:]), embeddable(data))


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF"])
@pytest.mark.parametrize(
    "said", [b'tiff:Orientation="6"', b'tiff:Orientation="66"', b"<tiff:Orientation>3<"]
)
def test_xmp_alone_turns_nothing(form, said):
    """Browsers do not turn by it either."""
    xmp = b'<x:xmpmeta xmlns:tiff="http://ns.adobe.com/tiff/1.0/" ' + said + b"/>"
    if form == "PNG":
        given = {"pnginfo": text("XML:com.adobe.xmp", xmp.decode())}
    else:
        given = {"tiffinfo": {700: xmp}} if form == "TIFF" else {"xmp": xmp}
    assert np.array_equal(embeddable(encode(PHOTO, form, **given)), embeddable(encode(PHOTO, form)))


@pytest.mark.parametrize("body", [b"JFIF\0", b"JFIF\0\1\1", b"Adobe", b"Adobe\0\x64\0\0"])
def test_segments_of_jfif_and_adobe_that_are_too_short_are_left_out(body):
    data = encode(PHOTO, "JPEG")
    marker = b"\xff\xe0" if body.startswith(b"JFIF") else b"\xff\xee"
    segment = marker + struct.pack(">H", len(body) + 2) + body
    assert np.array_equal(embeddable(data[:20] + segment + data[20:]), embeddable(data))


@pytest.mark.parametrize(
    ("color", "trns"),
    [("RGB", b""), ("RGB", b"\0"), ("RGB", bytes(7)), ("L", bytes(6)), ("RGBA", bytes(6)),
     ("P", b""), ("P", bytes(65))],
)  # fmt: skip
def test_a_transparent_colour_of_another_length_is_none(color, trns):
    image = PHOTO.quantize(64) if color == "P" else PHOTO.convert(color)
    data = encode(image)
    at = data.index(b"IDAT") - 4
    added = data[:at] + chunk(b"tRNS", trns) + data[at:]
    assert np.array_equal(embeddable(added), embeddable(data))


def test_a_png_without_its_palette_says_so():
    data = encode(PHOTO.quantize(64))
    at = data.index(b"IDAT") - 4
    with pytest.raises(InvalidImage, match="no palette"):
        embeddable(data[:33] + data[at:])


@pytest.mark.parametrize("size", [3, 4, 100])
def test_a_gamma_that_is_none_costs_no_picture(size):
    data = encode(PHOTO)
    at = data.index(b"IDAT") - 4
    odd = data[:at] + chunk(b"gAMA", b"\xff" * size) + data[at:]
    shown = thumbnail(odd, 100, 10_000, "apply")
    assert np.array_equal(np.asarray(shown), np.asarray(PHOTO))


@pytest.mark.parametrize(
    "extension",
    [b"\x01\0", b"\x55\0", b"\xf9\0", b"\xf9\1\0\0", b"\xfe\3abc\0", b"\xff\x0bXMP DataXMP\2<x\0"],
)
def test_extensions_of_a_gif_cost_no_picture(extension):
    data = encode(PHOTO.quantize(64), "GIF")
    at = 13 + (3 << (data[10] & 7) + 1)
    odd = data[:at] + b"\x21" + extension + data[at:]
    assert np.array_equal(embeddable(odd), embeddable(data))
