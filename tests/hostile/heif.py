"""HEIF files, put together from parts as ISO/IEC 14496-12 and 23008-12 have them.

Those that show something, and the bombs, need an encoder: pillow-heif.
"""

import random
import struct
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache

from PIL import Image

from tests.support.images import encode

try:
    import pillow_heif
except ModuleNotFoundError:
    INSTALLED = False
else:
    INSTALLED = True
    # To write them; the service reads them by its own reader.
    pillow_heif.register_heif_opener()

Reference = tuple[bytes, tuple[int, ...]]


@dataclass(frozen=True)
class Item:
    """One item of a file; in `heif` its id is its place in the list, from 1."""

    kind: bytes
    data: bytes = b""
    properties: tuple[bytes, ...] = ()
    references: tuple[Reference, ...] = ()
    hidden: bool = False


def box(kind: bytes, *parts: bytes) -> bytes:
    body = b"".join(parts)
    return struct.pack(">I4s", 8 + len(body), kind) + body


def full(kind: bytes, version: int, flags: int, *parts: bytes) -> bytes:
    return box(kind, struct.pack(">I", version << 24 | flags), *parts)


def heif(items: list[Item], *more: bytes, primary: int = 1, brand: bytes = b"heic") -> bytes:
    """A file of these items; `more` boxes stand beside the others of the metadata."""
    properties = list(dict.fromkeys(one for item in items for one in item.properties))
    ftyp = box(b"ftyp", brand, bytes(4), b"mif1heic")
    size = len(_meta(items, properties, more, primary, 0))
    meta = _meta(items, properties, more, primary, len(ftyp) + size + 8)
    return ftyp + meta + box(b"mdat", *(item.data for item in items))


def _meta(
    items: list[Item], properties: list[bytes], more: tuple[bytes, ...], primary: int, start: int
) -> bytes:
    entries, places, used, references = [], [], [], []
    for number, item in enumerate(items, 1):
        name = b"application/rdf+xml\0" if item.kind == b"mime" else b""
        entries.append(
            full(b"infe", 2, item.hidden, struct.pack(">HH", number, 0), item.kind, b"\0", name)
        )
        places.append(struct.pack(">HHHHII", number, 0, 0, 1, start, len(item.data)))
        start += len(item.data)
        which = (0x8000 | 1 + properties.index(one) for one in item.properties)
        count = len(item.properties)
        used.append(struct.pack(f">HB{count}H", number, count, *which))
        references += [
            box(kind, struct.pack(f">HH{len(to)}H", number, len(to), *to))
            for kind, to in item.references
        ]
    return full(
        b"meta",
        0,
        0,
        full(b"hdlr", 0, 0, bytes(4), b"pict", bytes(13)),
        full(b"pitm", 0, 0, struct.pack(">H", primary)),
        full(b"iloc", 1, 0, struct.pack(">HH", 0x4400, len(items)), *places),
        full(b"iinf", 0, 0, struct.pack(">H", len(items)), *entries),
        full(b"iref", 0, 0, *references),
        box(
            b"iprp",
            box(b"ipco", *properties),
            full(b"ipma", 0, 1, struct.pack(">I", len(items)), *used),
        ),
        *more,
    )


def ispe(width: int, height: int) -> bytes:
    return full(b"ispe", 0, 0, struct.pack(">II", width, height))


def auxiliary(name: bytes = b"urn:mpeg:hevc:2015:auxid:1") -> bytes:
    """What an image beside another is for: transparency, unless said otherwise."""
    return full(b"auxC", 0, 0, name, b"\0")


def clap(width: int, height: int) -> bytes:
    """A cut of this size out of the middle."""
    return box(b"clap", struct.pack(">8I", width, 1, height, 1, 0, 1, 0, 1))


def grid(columns: int, rows: int, width: int, height: int) -> bytes:
    return struct.pack(">BBBBII", 0, 1, rows - 1, columns - 1, width, height)


@cache
def picture(width: int, height: int, mode: str = "RGB") -> Item:
    """One colour, coded in HEVC."""
    return coded(
        encode(
            Image.new(mode, (width, height)), "HEIF", quality=10, enc_params={"preset": "ultrafast"}
        )
    )


def coded(data: bytes) -> Item:
    """The image of a file that pillow_heif wrote, which has no other."""
    properties = []
    for kind in (b"hvcC", b"ispe"):
        at = data.index(kind) - 4
        properties.append(data[at : at + int.from_bytes(data[at : at + 4])])
    return Item(b"hvc1", data[data.index(b"mdat") + 4 :], tuple(properties))


def sized(item: Item, width: int, height: int) -> Item:
    """The same, with another size in its header."""
    return replace(item, properties=(item.properties[0], ispe(width, height)))


def nals(data: bytes) -> list[bytes]:
    """The units that HEVC data is made of, each with the length in front of it."""
    found = []
    while data:
        size = 4 + int.from_bytes(data[:4])
        found.append(data[:size])
        data = data[size:]
    return found


CODED = Item(
    b"hvc1",
    b"\0\0\0\4\x28\1\xaf\0",
    (box(b"hvcC", b"\1" + bytes(20) + b"\xff", b"\0"), ispe(64, 64)),
)
"""The beginning of a picture's first slice: enough for what does not decode it."""

SIDE = 7900
"""Of a square image just under the default limit of 64 million pixels."""


def _grid(columns: int, rows: int, width: int, height: int, tile: Item) -> list[Item]:
    tiles = [replace(tile, hidden=True)] * (columns * rows)
    made_of = (b"dimg", tuple(range(2, 2 + len(tiles))))
    first = Item(b"grid", grid(columns, rows, width, height), (ispe(width, height),), (made_of,))
    return [first, *tiles]


def _turned() -> bytes:
    image = picture(SIDE, SIDE)
    return heif([replace(image, properties=image.properties + (box(b"irot", b"\1"),) * 60)])


def _cut() -> bytes:
    image = sized(picture(64, 64), 16_000, 16_000)
    return heif([replace(image, properties=(*image.properties, clap(10, 10)))])


def _pictures() -> bytes:
    image = picture(SIDE, SIDE)
    return heif([replace(image, data=image.data * 500)])


def _texts() -> bytes:
    images = [picture(64, 64)] * 200
    about = (b"cdsc", tuple(range(1, 201)))
    return heif([*images, Item(b"mime", bytes(8_000_000), (), (about,))])


def _transparency() -> bytes:
    alpha = picture(SIDE, SIDE, "L")
    return heif(
        [
            picture(SIDE, SIDE),
            replace(
                alpha,
                properties=(*alpha.properties, auxiliary()),
                references=((b"auxl", (1,)),),
            ),
        ]
    )


BOMBS: dict[str, Callable[[], bytes]] = {
    "heic_of_nothing": lambda: heif([picture(SIDE, SIDE)]),
    "heic_of_transparency": _transparency,
    "heic_of_large_tiles": lambda: heif(_grid(31, 31, 64, 64, picture(2000, 2000))),
    "heic_of_turns": _turned,
    "heic_of_a_large_image_cut_small": _cut,
    "heic_of_pictures": _pictures,
    "heic_of_texts": _texts,
}
"""As those of `tests.hostile.corpus`."""


@cache
def files() -> tuple[bytes, ...]:
    """Small ones with all the boxes there are."""
    image, alpha = picture(33, 20), picture(33, 20, "L")
    turned = replace(image, properties=(*image.properties, clap(30, 18), box(b"irot", b"\1")))
    transparency = replace(
        alpha, properties=(*alpha.properties, auxiliary()), references=((b"auxl", (1,)),)
    )
    thumbnail = replace(picture(8, 8), references=((b"thmb", (1,)),))
    exif = Item(b"Exif", bytes(4) + b"MM\0*\0\0\0\x08\0\0", (), ((b"cdsc", (1,)),))
    return (
        heif([turned, transparency, thumbnail, exif]),
        heif([*_grid(2, 2, 120, 100, picture(64, 64)), exif], brand=b"mif1"),
    )


def lying(rng: random.Random, number: int) -> bytes:
    """A number in a table that is not what is there."""
    data = bytearray(rng.choice(files()))
    kinds = (b"ispe", b"iloc", b"ipma", b"iinf", b"infe", b"iref", b"dimg", b"auxl", b"pitm")
    where = data.find(rng.choice((*kinds, b"hvcC", b"clap", b"irot", b"mdat", b"meta")))
    where = max(where, 4) + rng.choice((-4, rng.randrange(4, 40)))
    data[where : where + 4] = struct.pack(">I", number)
    return bytes(data)
