import struct

import numpy as np
import pytest

from service.errors import ImageTooLarge, InvalidImage
from service.images.preprocess import preprocess
from tests.service.images.test_preprocess import (
    SWIN_224,
    embeddable,
    largest_difference,
    resize_then_crop,
)
from tests.support.images import encode, photos

PHOTO = photos()["chelsea"].resize((60, 44))
LEVELS = np.asarray(PHOTO)


def bmp(rows: bytes, bits: int, compression: int = 0, after: bytes = b"", *, size=40, up=True):
    width, height = PHOTO.size
    fields = struct.pack("<iiHHIIIIII", width, height if up else -height, 1, bits, compression,
                         len(rows), 0, 0, 0, 0)  # fmt: skip
    header = struct.pack("<I", size) + (fields + after).ljust(size - 4, b"\0")
    header += after[max(0, size - 40) :] if size == 40 else b""
    begins = 14 + len(header)
    return struct.pack("<2sIII", b"BM", begins + len(rows), 0, begins) + header + rows


def packed(masks: tuple[int, ...], word: str, alpha: int = 0) -> bytes:
    """The photo, last row first, each channel in the bits of its mask."""
    out = np.zeros(LEVELS.shape[:2], np.uint32)
    for channel, mask in enumerate(masks[:3]):
        shift = (mask & -mask).bit_length() - 1
        most = mask >> shift
        out |= ((LEVELS[..., channel].astype(np.uint32) * most + 127) // 255) << shift
    if len(masks) == 4:
        out |= np.uint32(alpha)
    return out[::-1].astype(word).tobytes()


@pytest.mark.parametrize(
    ("masks", "word", "bits"),
    [
        ((0xF00, 0xF0, 0xF), "<u2", 16),
        ((0xF000, 0xF00, 0xF0), "<u2", 16),
        ((0x7E0, 0x1F, 0xF800), "<u2", 16),
        ((0x3FF00000, 0xFFC00, 0x3FF), "<u4", 32),
        ((0xFF, 0xFF00, 0xFF0000), "<u4", 32),
    ],
)
def test_any_bit_fields_are_read(masks, word, bits):
    data = bmp(packed(masks, word), bits, 3, struct.pack("<3I", *masks))
    step = max(255 // (mask >> (mask & -mask).bit_length() - 1) for mask in masks)
    assert largest_difference(embeddable(data), resize_then_crop(PHOTO)) <= step + 2


def test_4444_has_transparency():
    masks = (0xF00, 0xF0, 0xF, 0xF000)
    opaque, clear = (
        bmp(packed(masks, "<u2", alpha), 16, 3, struct.pack("<4I", *masks), size=56)
        for alpha in (0xF000, 0)
    )
    assert largest_difference(embeddable(opaque), resize_then_crop(PHOTO)) <= 20
    assert (embeddable(clear) == 255).all()


def test_two_bits_are_read():
    places = (LEVELS.mean(axis=2) // 64).astype(np.uint8)[::-1]
    rows = np.bitwise_or.reduce(places.reshape(44, 15, 4) << [6, 4, 2, 0], axis=2).astype(np.uint8)
    rows = np.pad(rows, [(0, 0), (0, 1)])
    palette = b"".join(bytes([level, level, level, 0]) for level in (0, 85, 170, 255))
    data = bmp(rows.tobytes(), 2)
    data = data[:10] + struct.pack("<I", 54 + 16) + data[14:54] + palette + data[54:]
    seen = np.array([0, 85, 170, 255])[places[::-1]]
    assert largest_difference(embeddable(data)[112, 112], seen.mean()) < 200
    assert np.unique(preprocess(data, SWIN_224, 10**6).pixels).size > 4


def run_lengths() -> bytes:
    out = bytearray()
    for row in LEVELS[::-1]:
        for pixel in row[:30]:
            out += bytes([1, *pixel[::-1]])
        literal = row[30:, ::-1].tobytes()
        out += bytes([0, 30]) + literal + bytes(len(literal) % 2) + b"\0\0"
    return bytes(out) + b"\0\1"


def test_rle24_is_read():
    data = bmp(run_lengths(), 24, 4, size=64)
    assert largest_difference(embeddable(data), resize_then_crop(PHOTO)) <= 1
    with pytest.raises(InvalidImage, match="BMP"):
        embeddable(data[: len(data) // 2])


def test_a_small_header_of_os2_is_read():
    rows = LEVELS[::-1, :, ::-1].tobytes()
    head = struct.pack("<IiiHH", 16, *PHOTO.size, 1, 24)
    data = struct.pack("<2sIII", b"BM", 0, 0, 30) + head + rows
    assert largest_difference(embeddable(data), resize_then_crop(PHOTO)) <= 1


@pytest.mark.parametrize(
    ("bits", "compression", "said"),
    [(0, 4, "holds a JPEG"), (0, 5, "holds a PNG"), (7, 0, "7 bits a pixel"), (8, 9, "9")],
)
def test_a_variant_that_is_not_read_is_named(bits, compression, said):
    with pytest.raises(InvalidImage, match=said):
        embeddable(bmp(bytes(9999), bits, compression))


def test_what_is_cut_off_or_too_large_is_refused():
    data = bmp(packed((0xF00, 0xF0, 0xF), "<u2"), 16, 3, struct.pack("<3I", 0xF00, 0xF0, 0xF))
    with pytest.raises(InvalidImage, match="cut off"):
        embeddable(data[:-100])
    with pytest.raises(ImageTooLarge):
        preprocess(data, SWIN_224, 1000)
    with pytest.raises(InvalidImage, match="its header"):
        embeddable(b"BM" + bytes(12))


def test_more_colours_than_there_can_be_are_as_many_as_there_can_be():
    data = bytearray(encode(photos()["chelsea"].resize((40, 30)).quantize(256), "BMP"))
    whole = embeddable(bytes(data))
    data[46:50] = (1000).to_bytes(4, "little")
    assert np.array_equal(embeddable(bytes(data)), whole)
