"""A seeded corpus of images that are broken, lie, or are built to cost more than they look.

Nothing here asserts; `tests/service/images/test_hostile.py` and `python -m tests.hostile` do.
"""

import io
import lzma
import math
import random
import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache

from PIL import Image

from tests.hostile import heif

MODES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "YCbCr", "LAB", "HSV", "I", "I;16", "F")
OPTIONS: dict[str, tuple[dict[str, object], ...]] = {
    "JPEG": (
        {},
        {"progressive": True, "quality": 30},
        {"subsampling": 2, "optimize": True},
        {"exif": b"Exif\0\0MM\0*\0\0\0\x08\0\1\1\x12\0\3\0\0\0\1\0\6\0\0\0\0\0\0"},
        {"icc_profile": b"not a profile" * 7000},
    ),
    "PNG": ({}, {"compress_level": 0}, {"bits": 1}, {"bits": 2}, {"bits": 4}),
    "TIFF": tuple(
        {"compression": name}
        for name in (
            *("raw", "packbits", "tiff_lzw", "tiff_deflate", "tiff_adobe_deflate"),
            *("jpeg", "group3", "group4", "tiff_ccitt", "lzma", "zstd"),
        )
    ),
    "WEBP": ({}, {"lossless": True}, {"quality": 5, "method": 0}),
    "AVIF": ({"speed": 10}, {"speed": 10, "subsampling": "4:4:4"}),
    "GIF": ({}, {"interlace": 0}),
    "HEIF": ({"quality": 10}, {"quality": -1, "chroma": 444}),
}
CONTENT_TYPES = (
    *("image/png", "image/jpeg", "image/webp", "image/heic", "image/svg+xml", "image/x-unknown"),
    *("application/octet-stream", "IMAGE/PNG; charset=utf-8", "image/"),
)
NUMBERS = (0, 1, 2, 7, 255, 256, 32767, 32768, 65535, 65536, 2**31 - 1, 2**31, 2**32 - 1)
BYTES = (0x00, 0x01, 0x7F, 0x80, 0xFE, 0xFF)
FEW = 0.01
"""Share of the samples that are large and slow to make and to decode."""


@dataclass(frozen=True)
class Sample:
    """A file to post, and what it claims to be."""

    kind: str
    data: bytes
    content_type: str


def samples(seed: int) -> Iterator[Sample]:
    """Samples without end; the same ones for the same seed, Pillow and pillow-heif."""
    rng = random.Random(seed)  # noqa: S311 - not a secret
    common = (sound, truncated, flipped, overwritten, spliced, lying, nonsense, polyglot, metadata)
    while True:
        if rng.random() < FEW:
            name = rng.choice(tuple(BOMBS))
            data = bomb(name)
        else:
            make = rng.choice(common)
            name, data = make.__name__, make(rng)
        yield Sample(name, data, rng.choice(CONTENT_TYPES))


def encode(image: Image.Image, form: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, form, **options)
    return file.getvalue()


@cache
def sound_files() -> tuple[bytes, ...]:
    """Every format that Pillow writes, in every mode that it takes, several sizes and options."""
    Image.init()
    # Ghostscript, PDF and the stubs have nothing to decode.
    forms = sorted(set(Image.SAVE) - {"EPS", "PDF", "WMF", "BUFR", "GRIB", "HDF5", "PALM"})
    files = []
    rng = random.Random(0)  # noqa: S311 - not a secret
    for size in ((1, 1), (33, 20)):
        noise = Image.frombytes("RGB", size, rng.randbytes(3 * size[0] * size[1]))
        for form in forms:
            for mode in MODES:
                for options in OPTIONS.get(form, ({},)):
                    try:
                        files.append(encode(_in_mode(noise, mode), form, **options))
                    except (OSError, ValueError, KeyError, TypeError, RuntimeError, SystemError):
                        continue  # this format has no such mode
    frames = [noise.convert("P")] * 20
    files += [
        encode(frames[0], form, save_all=True, append_images=frames[1:])
        for form in ("GIF", "PNG", "WEBP", "TIFF", "AVIF", *["HEIF"] * heif.INSTALLED)
    ]
    return tuple(files)


def _in_mode(image: Image.Image, mode: str) -> Image.Image:
    if mode in {"LAB", "HSV", "I;16", "F", "I", "PA"}:
        return Image.frombytes(
            mode, image.size, (image.tobytes() * 4)[: _size_of(mode, image.size)]
        )
    return image.convert(mode)


def _size_of(mode: str, size: tuple[int, int]) -> int:
    return len(Image.new(mode, size).tobytes())


def sound(rng: random.Random) -> bytes:
    return rng.choice(sound_files())


def truncated(rng: random.Random) -> bytes:
    """Cut near the beginning, near the end, or anywhere."""
    data = sound(rng)
    return data[
        : rng.choice(
            (rng.randrange(64), len(data) - rng.randrange(1, 16), rng.randrange(len(data)))
        )
    ]


def flipped(rng: random.Random) -> bytes:
    """A few bits turned over."""
    data = bytearray(sound(rng))
    for _ in range(rng.choice((1, 2, 5, 30))):
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    return bytes(data)


def overwritten(rng: random.Random) -> bytes:
    """Extreme bytes in the header, where lengths and types are."""
    data = bytearray(sound(rng))
    for _ in range(rng.choice((1, 3, 10))):
        data[rng.randrange(min(len(data), 256))] = rng.choice(BYTES)
    return bytes(data)


def spliced(rng: random.Random) -> bytes:
    """The head of one file and the tail of another, or a part left out or repeated."""
    one, other = sound(rng), sound(rng)
    a, b = rng.randrange(len(one)), rng.randrange(len(other))
    c = rng.randrange(len(one))
    return rng.choice((one[:a] + other[b:], one[:a] + one[c:], one[:a] * 2 + one[a:]))


def nonsense(rng: random.Random) -> bytes:
    """A signature, then noise; or noise, text, or next to nothing."""
    signatures = [data[: rng.randrange(4, 24)] for data in (sound(rng), sound(rng))]
    return rng.choice((*signatures, b"", b"<svg onload='alert(1)'/>")) + rng.randbytes(
        rng.randrange(400)
    )


def lying(rng: random.Random) -> bytes:
    """A header whose sizes, depths and counts are not those of its data; checksums are right."""
    number = rng.choice(NUMBERS)
    other = rng.choice((rng.choice(NUMBERS), 8))
    makers = [_lying_png, _lying_bmp, _lying_gif, _lying_jpeg, _lying_tiff, _lying_webp]
    return rng.choice(makers + [_lying_heic] * heif.INSTALLED)(rng, number, other)


def png(
    size: tuple[int, int],
    pixels: bytes,
    *,
    depth: int = 8,
    color: int = 2,
    interlaced: int = 0,
    before: bytes = b"",
    after: bytes = b"",
) -> bytes:
    """A PNG with a header, chunks, the given compressed pixels, and more chunks."""
    header = struct.pack(">IIBBBBB", *size, depth, color, 0, 0, interlaced)
    return b"".join(
        (
            *(b"\x89PNG\r\n\x1a\n", chunk(b"IHDR", header), before),
            *(chunk(b"IDAT", pixels), after, chunk(b"IEND")),
        )
    )


def chunk(kind: bytes, body: bytes = b"") -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def _lying_png(rng: random.Random, number: int, other: int) -> bytes:
    return png(
        (number, other),
        zlib.compress(rng.randbytes(rng.randrange(2000))),
        depth=rng.choice((0, 1, 2, 4, 8, 16, 32)),
        color=rng.randrange(8),
        interlaced=rng.randrange(3),
    )


def _lying_bmp(rng: random.Random, number: int, other: int) -> bytes:
    data = bytearray(encode(Image.new("RGB", (9, 9)), "BMP"))
    data[18:26] = struct.pack("<II", number, other)
    data[28:34] = struct.pack("<HI", rng.choice((0, 1, 4, 8, 16, 24, 32, 99)), rng.randrange(7))
    data[46:50] = struct.pack("<I", rng.choice(NUMBERS))
    return bytes(data)


def _lying_gif(rng: random.Random, number: int, other: int) -> bytes:
    data = bytearray(encode(Image.new("P", (9, 9)), "GIF"))
    where = rng.choice((6, data.rindex(b",") + 5))
    data[where : where + 4] = struct.pack("<HH", number & 0xFFFF, other & 0xFFFF)
    return bytes(data)


def _lying_jpeg(rng: random.Random, number: int, other: int) -> bytes:
    data = bytearray(encode(Image.new("RGB", (9, 9)), "JPEG", progressive=rng.random() < 0.5))
    where = max(data.find(b"\xff\xc0"), data.find(b"\xff\xc2"))
    data[where + 5 : where + 9] = struct.pack(">HH", number & 0xFFFF, other & 0xFFFF)
    if rng.random() < 0.3:
        data[where + 4 + rng.choice((0, 5))] = rng.randrange(256)  # precision or components
    return bytes(data)


def _lying_tiff(rng: random.Random, number: int, other: int) -> bytes:
    tags = {
        256: number if rng.random() < 0.5 else 9,
        257: other,
        258: rng.choice((1, 8, 16, 32)),
        259: rng.choice((1, 2, 5, 7, 8, 32773, 34925, 50000, 99)),
        262: rng.randrange(10),
        273: rng.choice((8, number)),
        277: rng.choice((1, 2, 3, 4, 5, 60000)),
        278: other,
        279: rng.choice(NUMBERS),
        284: rng.randrange(4),
        317: rng.randrange(4),
        322: rng.choice((1, 16, number)),
        323: rng.choice((16, other)),
        324: 8,
        325: number,
        338: rng.randrange(4),
        339: rng.randrange(6),
        330: number,
        34665: 8,
        34853: 8,
    }
    kept = {tag: value for tag, value in tags.items() if rng.random() < 0.7}
    return tiff([(tag, 4, rng.choice((1, 1, 1, 3)), value) for tag, value in kept.items()])


def tiff(entries: list[tuple[int, int, int, int]], tail: bytes = b"", following: int = 0) -> bytes:
    """A TIFF of one directory, entries as tag, type, count and value or offset."""
    directory = b"".join(struct.pack("<HHII", *entry) for entry in sorted(entries))
    return (
        b"II*\0\x08\0\0\0"
        + struct.pack("<H", len(entries))
        + directory
        + struct.pack("<I", following)
        + tail
    )


def _lying_webp(rng: random.Random, number: int, other: int) -> bytes:
    data = bytearray(encode(Image.new("RGBA", (9, 9)), "WEBP", lossless=rng.random() < 0.5))
    where = rng.choice((4, 16, 20, 24, 27))
    data[where : where + 4] = struct.pack("<I", rng.choice((number, other)))
    return bytes(data)


def _lying_heic(rng: random.Random, number: int, other: int) -> bytes:
    return heif.lying(rng, rng.choice((number, other)))


def polyglot(rng: random.Random) -> bytes:
    """A file that is two things at once."""
    script = b"<html><script>alert(document.domain)</script></html>"
    archive = b"PK\x03\x04" + rng.randbytes(100) + b"PK\x05\x06" + bytes(18)
    image = sound(rng)
    return rng.choice(
        (image + archive, image + script, script + image, b"%PDF-1.7\n" + image, archive + image)
    )


def metadata(rng: random.Random) -> bytes:
    """EXIF, ICC and text that are broken, nested or point at themselves."""
    exif = (
        b"Exif\0\0"
        + rng.choice((b"MM\0*", b"II*\0", b"\0\0\0\0"))
        + struct.pack(">I", rng.choice((8, 0, 2**32 - 1, rng.randrange(64))))
    )
    exif += struct.pack(">HHHII", rng.choice((1, 65535)), 0x0112, rng.randrange(14), 1, 6)
    exif += rng.randbytes(rng.randrange(200))
    profile = struct.pack(">I", rng.choice(NUMBERS)) + rng.randbytes(rng.randrange(3000))
    image = Image.new(rng.choice(("L", "RGB")), (9, 9))
    if rng.random() < 0.5:
        return encode(image, rng.choice(("JPEG", "WEBP")), exif=exif, icc_profile=profile)
    before = b"".join(
        (
            chunk(b"eXIf", exif[rng.choice((0, 6)) :]),
            chunk(b"iCCP", b"icc\0\0" + zlib.compress(profile)[: rng.randrange(4000)]),
            chunk(rng.choice((b"zTXt", b"iTXt", b"tEXt", b"tRNS", b"PLTE")), rng.randbytes(40)),
        )
    )
    return png((2, 2), zlib.compress(bytes(14)), before=before)


SIDE = 7900
"""Of a square image just under the default limit of 64 million pixels."""

MANY = 200_000
"""As many parts as a few megabytes hold; a real file has tens."""


TINY = zlib.compress(bytes(8 * 25))
"""The pixels of an 8 x 8 PNG."""


def _gif() -> bytes:
    return encode(Image.new("P", (8, 8)), "GIF")


def _jpeg() -> bytes:
    return encode(Image.new("L", (8, 8)), "JPEG")


def _noise(size: int) -> bytes:
    return random.Random(0).randbytes(size)  # noqa: S311 - not a secret


BOMBS: dict[str, Callable[[], bytes]] = {
    "png_of_zeros": lambda: png((SIDE, SIDE), zlib.compress(bytes((SIDE * 3 + 1) * SIDE), 1)),
    "png_of_more_zeros_than_pixels": lambda: png((8, 8), zlib.compress(bytes(200_000_000), 1)),
    "png_over_the_limit": lambda: png((30_000, 30_000), zlib.compress(bytes(10_000_000))),
    "png_of_empty_texts": lambda: png((8, 8), TINY, before=chunk(b"tEXt") * MANY),
    "png_of_empty_pixels": lambda: png((8, 8), b"", before=chunk(b"IDAT") * MANY),
    "png_of_empty_ends": lambda: png((8, 8), TINY, after=chunk(b"tEXt") * MANY),
    "png_text_bomb": lambda: png(
        (8, 8), TINY, before=chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(1_000_000))) * 500
    ),
    "png_profile_bomb": lambda: png(
        (8, 8), TINY, before=chunk(b"iCCP", b"a\0\0" + zlib.compress(bytes(100_000_000)))
    ),
    "gif_of_frames": lambda: animation(1500),
    "gif_of_comments": lambda: _gif()[:13] + b"!\xfe\1a\0" * MANY + _gif()[13:],
    "gif_of_a_long_comment": lambda: (
        _gif()[:13] + b"!\xfe" + (b"\xff" + b"a" * 255) * 20_000 + b"\0" + _gif()[13:]
    ),
    "jpeg_of_fill_bytes": lambda: b"\xff\xd8" + b"\xff" * 4_000_000 + _jpeg()[2:],
    "jpeg_of_comments": lambda: b"\xff\xd8" + b"\xff\xfe\0\2" * MANY + _jpeg()[2:],
    "jpeg_of_scans": lambda: scans((SIDE, SIDE), 2000),
    "tiff_of_tiles": lambda: tiles(MANY * 5),
    "tiff_of_one_huge_tile": lambda: tiff(
        [
            *((256, 4, 1, 8), (257, 4, 1, 8), (258, 4, 1, 8), (259, 4, 1, 8), (262, 4, 1, 1)),
            *((322, 4, 1, 32_000), (323, 4, 1, 32_000), (324, 4, 1, 150), (325, 4, 1, 2000)),
        ],
        tail=zlib.compress(bytes(2_000_000))[:2000],
    ),
    "tiff_directory_of_itself": lambda: tiff(
        [(256, 4, 1, 8), (257, 4, 1, 8), (330, 4, 1, 8), (34665, 4, 1, 8)], following=8
    ),
    "png_of_transparency": lambda: png(
        (SIDE, SIDE), zlib.compress((b"\4" + bytes(SIDE * 4)) * SIDE, 1), color=6
    ),
    "png_of_16_bits": lambda: png(
        (SIDE, SIDE), zlib.compress(bytes((SIDE * 8 + 1) * SIDE), 1), depth=16, color=6
    ),
    "jpeg_of_scans_that_are_read": lambda: scans((SIDE, SIDE), 14),
    "jpeg_in_arithmetic_coding": lambda: scans((SIDE, SIDE), 14).replace(
        b"\xff\xc2", b"\xff\xca"
    ),  # the data means nothing then
    "tiff_of_scans": lambda: shared((SIDE, SIDE), (SIDE, 1580), 7, scans((SIDE, 1580), 80)),
    "tiff_of_scans_that_are_read": lambda: shared(
        (SIDE, SIDE), (SIDE, 1580), 7, scans((SIDE, 1580), 12)
    ),
    "tiff_of_tall_tiles": lambda: shared(
        (16 * 4000, 900), (16, 4_000_000), 8, zlib.compress(bytes(16 * 4_000_000), 9)
    ),
    "tiff_of_the_same_tile": lambda: shared(
        (SIDE, SIDE), (512, 512), 34925, lzma.compress(_noise(512 * 512))
    ),
    "webp_lossless_of_transparency": lambda: encode(
        Image.radial_gradient("L").resize((SIDE, SIDE)).convert("LA").convert("RGBA"),
        "WEBP",
        lossless=True,
        quality=0,
        method=0,
    ),
    "webp_of_nothing": lambda: encode(Image.new("RGB", (SIDE, SIDE)), "WEBP", quality=1, method=0),
    "avif_of_nothing": lambda: encode(Image.new("RGB", (4000, 4000)), "AVIF", speed=10),
    "bmp_of_runs": lambda: runs((SIDE, SIDE)),
} | (heif.BOMBS if heif.INSTALLED else {})
"""Files that are small to send and large, long or deep to read."""


@cache
def bomb(name: str) -> bytes:
    """One of `BOMBS`, built once."""
    return BOMBS[name]()


def animation(frames: int) -> bytes:
    """A GIF of many frames, of which only the first counts."""
    first, *rest = (Image.new("RGB", (8, 8), (n % 256, n // 256, 0)) for n in range(frames))
    return encode(first, "GIF", save_all=True, append_images=rest)


def scans(size: tuple[int, int], count: int) -> bytes:
    """A progressive JPEG whose last refinement comes again and again: little data, much work."""
    data = encode(Image.new("L", size), "JPEG", progressive=True, quality=1)
    last = data.rindex(b"\xff\xda")
    return data[:-2] + data[last:-2] * count + data[-2:]


def tiles(count: int) -> bytes:
    """A TIFF with a tile a pixel."""
    where = 8 + 2 + 12 * 9 + 4
    return tiff(
        [
            *((256, 4, 1, 1000), (257, 4, 1, count // 1000), (258, 4, 1, 8), (259, 4, 1, 1)),
            *((262, 4, 1, 1), (322, 4, 1, 1), (323, 4, 1, 1), (324, 4, count, where)),
            (325, 4, 1, 1),
        ],
        tail=struct.pack("<I", 8) * count,
    )


def shared(size: tuple[int, int], tile: tuple[int, int], compression: int, data: bytes) -> bytes:
    """A TIFF whose tiles are all the same compressed bytes."""
    count = math.prod(-(-side // of_tile) for side, of_tile in zip(size, tile, strict=True))
    where = 8 + 2 + 12 * 9 + 4
    return tiff(
        [
            *((256, 4, 1, size[0]), (257, 4, 1, size[1]), (258, 4, 1, 8)),
            *((259, 4, 1, compression), (262, 4, 1, 1), (322, 4, 1, tile[0]), (323, 4, 1, tile[1])),
            *((324, 4, count, where), (325, 4, count, where + 4 * count)),
        ],
        tail=struct.pack("<I", where + 8 * count) * count
        + struct.pack("<I", len(data)) * count
        + data,
    )


def runs(size: tuple[int, int]) -> bytes:
    """A BMP in run-length encoding that ends its lines at once."""
    data = bytearray(encode(Image.new("P", (9, 9)), "BMP"))
    data[18:26] = struct.pack("<ii", *size)
    data[30:34] = struct.pack("<I", 1)
    start = struct.unpack_from("<I", data, 10)[0]
    return bytes(data[:start]) + b"\0\0" * size[1] + b"\0\1"
