"""Metadata that cannot be read never costs the picture, in any format, nor turns it."""

import struct
import zlib

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

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
