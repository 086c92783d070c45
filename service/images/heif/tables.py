"""The tables of a HEIF file: what its items are, where they are, what they say and refer to.

ISO/IEC 14496-12, 8.11, and 23008-12, 9.3. What readers may understand differently is refused: a
table or an item that comes twice, items in other items, other versions.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from service.errors import InvalidImage
from service.images.heif.boxes import Box, Numbers, boxes

SHARED_BYTES = 16 * 1024 * 1024
"""Items may be the same bytes: as many more than the file has."""

MAX_PIECES = 32
"""That an item is in: as many as libheif reads."""


class Kind(NamedTuple):
    """An item's four letters, and where they stand."""

    name: bytes
    named_at: int


class Reference(NamedTuple):
    """From an item to others; the box names what for."""

    box: Box
    item: int
    others: tuple[int, ...]


class Tables(NamedTuple):
    """What a file says of its items, by their numbers.

    Attributes:
        primary: the item that is the image.
        places: the parts of the file that an item's content is in.
        properties: its boxes, some of which transform it.
    """

    primary: int
    kinds: Mapping[int, Kind]
    places: Mapping[int, Sequence[slice]]
    properties: Mapping[int, Sequence[Box]]
    references: Sequence[Reference]


def read(data: bytes, meta: Box) -> Tables:
    """The tables in a file's `meta`.

    Raises:
        InvalidImage: they are ambiguous, too long, or say that items are larger than their file.
        IndexError, KeyError, struct.error: they are damaged.
    """
    found: dict[bytes, Box] = {}
    for box in boxes(data, meta.start + 4, meta.end):
        if box.kind in found:
            raise InvalidImage("the HEIC has a table twice")
        found[box.kind] = box
    numbers = Numbers(data, found[b"pitm"])
    return Tables(
        primary=numbers.number(4 if numbers.number(4) >> 24 else 2),
        kinds=_kinds(data, found[b"iinf"]),
        places=_places(data, found[b"iloc"], found.get(b"idat")),
        properties=_properties(data, found[b"iprp"]),
        references=list(_references(data, found[b"iref"])) if b"iref" in found else [],
    )


def _kinds(data: bytes, box: Box) -> dict[int, Kind]:
    numbers = Numbers(data, box)
    numbers.times(4 if numbers.number(4) >> 24 else 2)
    kinds: dict[int, Kind] = {}
    for entry in boxes(data, numbers.at, box.end):
        numbers = Numbers(data, entry)
        version = numbers.number(4) >> 24
        item = numbers.number(4 if version == 3 else 2)
        if entry.kind != b"infe" or version not in {2, 3} or item in kinds:
            raise InvalidImage("the HEIC lists its items in another way")
        numbers.bytes(2)
        kinds[item] = Kind(numbers.bytes(4), numbers.at - 4)
    return kinds


def _places(data: bytes, box: Box, idat: Box | None) -> dict[int, list[slice]]:
    numbers = Numbers(data, box)
    version, sizes = numbers.number(4) >> 24, numbers.number(2)
    offset_size, length_size, base_size = sizes >> 12, sizes >> 8 & 15, sizes >> 4 & 15
    index_size = sizes & 15 if version else 0
    item_size = 4 if version == 2 else 2
    places: dict[int, list[slice]] = {}
    room = len(data) + SHARED_BYTES
    for _ in numbers.times(item_size):
        item = numbers.number(item_size)
        method = numbers.number(2) & 15 if version else 0
        numbers.bytes(2)
        base = numbers.number(base_size)
        if method == 1 and idat:
            base += idat.start
        pieces = []
        for _ in numbers.times(2):
            numbers.bytes(index_size)
            start = base + numbers.number(offset_size)
            length = numbers.number(length_size) or len(data)  # none is the rest of the file
            pieces.append(slice(start, start + length))
            room -= length
        if item in places or len(pieces) > MAX_PIECES or method > 1:
            raise InvalidImage("the HEIC keeps an item in too many places")
        places[item] = pieces
    if room < 0:
        raise InvalidImage("the items of the HEIC are larger than its file")
    return places


def _properties(data: bytes, box: Box) -> Mapping[int, list[Box]]:
    parts = list(boxes(data, box.start, box.end))
    listed = [
        one for part in parts if part.kind == b"ipco" for one in boxes(data, part.start, part.end)
    ]
    properties = defaultdict[int, list[Box]](list)
    for part in parts:
        if part.kind == b"ipma":
            numbers = Numbers(data, part)
            header = numbers.number(4)
            index_size = 1 + (header & 1)
            for _ in numbers.times(4):
                item = numbers.number(4 if header >> 24 else 2)
                for _ in numbers.times(1):
                    index = numbers.number(index_size) & (0x7FFF if header & 1 else 0x7F)
                    if index:
                        properties[item].append(listed[index - 1])
    return properties


def _references(data: bytes, box: Box) -> Iterator[Reference]:
    numbers = Numbers(data, box)
    size = 4 if numbers.number(4) >> 24 else 2
    for part in boxes(data, numbers.at, box.end):
        numbers = Numbers(data, part)
        item = numbers.number(size)
        yield Reference(part, item, tuple(numbers.number(size) for _ in numbers.times(2)))
