"""The primary image of a HEIF file by itself, and what it takes to decode.

A HEIF file is a small file system: images, thumbnails, metadata and films, made of each other as
tables say. libheif reads them all, and what an image costs is not in its header. So what the
primary image is made of is counted here, and the rest is given a name that libheif skips.
`docs/decisions.md` has what files took without this.
"""

import contextlib
import math
import struct
from collections import Counter, defaultdict

from service.errors import InvalidImage
from service.images.heif import tables
from service.images.heif.boxes import Box, Numbers, boxes
from service.images.heif.tables import Tables

BLOCK = 64
"""HEVC codes whole blocks, of at most this many pixels a side."""

MAX_UNITS = 10_000
"""Of HEVC in all that the image is made of: headers, messages and slices."""

TRANSFORMS = {b"clap", b"irot", b"imir"}
"""Each is a pass over all pixels, and needed once (ISO/IEC 23000-22, 7.3.6.7)."""

ALPHA = b"urn:mpeg:hevc:2015:auxid:1\0", b"urn:mpeg:mpegB:cicp:systems:auxiliary:alpha\0"

NEEDED_REFERENCES = {b"dimg", b"auxl", b"prem"}
"""What a grid is made of, what is whose transparency, and whether it is multiplied in."""

HIDDEN = b"free"
"""The name of what shall not be read."""


def still(data: bytes) -> tuple[bytes, int]:
    """The primary image by itself.

    Args:
        data: a HEIF file.

    Returns:
        The file, with everything where it was, in which nothing else can be found; and how many
        pixels a decoder goes through, with whole tiles and transparency.

    Raises:
        InvalidImage: it is damaged, or not one picture in HEVC, whole or as a grid of tiles.
    """
    try:
        return _still(data)
    except (IndexError, KeyError, ValueError, struct.error) as error:
        raise InvalidImage("the HEIC is damaged") from error


def _still(data: bytes) -> tuple[bytes, int]:
    hidden = []
    meta = None
    end = 0
    with contextlib.suppress(IndexError, struct.error):  # a tail that is no box is cut off
        for box in boxes(data, 0, len(data)):
            if box.kind == b"meta" and meta is None:
                meta = box
            elif box.kind not in {b"ftyp", b"mdat"}:
                hidden.append(box.named_at)
            end = box.end
    if meta is None:
        raise InvalidImage("the HEIC has no still image")
    data = data[:end]
    listed = tables.read(data, meta)
    image = _Image(data, listed)
    pixels = image.coded_pixels(listed.primary)
    hidden += [kind.named_at for item, kind in listed.kinds.items() if item not in image.items]
    hidden += [
        reference.box.named_at
        for reference in listed.references
        if reference.box.kind not in NEEDED_REFERENCES
    ]
    shown = bytearray(data)
    for at in hidden:
        shown[at : at + 4] = HIDDEN
    return bytes(shown), pixels


class _Image:
    """Follows what an image is made of.

    Attributes:
        items: what it has come by.
    """

    def __init__(self, data: bytes, listed: Tables) -> None:
        self._data, self._listed = data, listed
        self._units = 0
        self._bytes_left = len(data)
        self.items: set[int] = set()
        self._tiles = defaultdict[int, list[int]](list)
        self._alphas = defaultdict[int, set[int]](set)
        for box, item, others in listed.references:
            if box.kind == b"dimg":
                self._tiles[item] += others
            elif box.kind == b"auxl" and self._is_alpha(item):
                for other in others:
                    self._alphas[other].add(item)

    def coded_pixels(self, item: int, *, tile: bool = False, alpha: bool = False) -> int:
        """Of an item and what it is made of.

        Args:
            item: its number.
            tile: it is a tile, and no grid itself.
            alpha: it is a transparency, and has none itself.
        """
        if item in self.items:
            raise InvalidImage("the HEIC has a part of itself twice")
        self.items.add(item)
        kind = self._listed.kinds[item].name
        times = Counter(box.kind for box in self._listed.properties[item])
        if any(times[transform] > 1 for transform in TRANSFORMS):
            raise InvalidImage("the HEIC is turned or cut too often")
        numbers = self._property(item, b"ispe")
        numbers.bytes(4)
        size = numbers.number(4), numbers.number(4)
        if kind == b"hvc1":
            self._check_picture(item)
            pixels = math.prod(math.ceil(side / BLOCK) * BLOCK for side in size)
        elif kind == b"grid" and not tile:
            self._check_grid(item, size)
            tiles = self._tiles[item]
            pixels = sum(self.coded_pixels(one, tile=True, alpha=alpha) for one in tiles)
        else:
            raise InvalidImage("the HEIC is not a picture in HEVC, whole or as a grid of tiles")
        alphas = self._alphas[item]
        if len(alphas) > 1 - alpha:
            raise InvalidImage("the HEIC has more than one transparency")
        return pixels + sum(self.coded_pixels(one, tile=tile, alpha=True) for one in alphas)

    def _property(self, item: int, kind: bytes) -> Numbers:
        """The only property of a kind."""
        (box,) = (box for box in self._listed.properties[item] if box.kind == kind)
        return Numbers(self._data, box)

    def _content(self, item: int) -> bytes:
        content = b"".join(self._data[place] for place in self._listed.places[item])
        self._bytes_left -= len(content)
        if self._bytes_left < 0:
            raise InvalidImage("the image is larger than the file of the HEIC")
        return content

    def _is_alpha(self, item: int) -> bool:
        return any(
            box.kind == b"auxC" and self._data[box.start + 4 : box.end].startswith(ALPHA)
            for box in self._listed.properties[item]
        )

    def _check_grid(self, item: int, size: tuple[int, int]) -> None:
        """Its canvas is as large as it says (ISO/IEC 23008-12, 6.6.2.3)."""
        content = self._content(item)
        if struct.unpack_from(">II" if content[1] & 1 else ">HH", content, 4) != size:
            raise InvalidImage("the HEIC has another size than it says")

    def _check_picture(self, item: int) -> None:
        """It is one: a decoder may go through any number that it does not show."""
        numbers = self._property(item, b"hvcC")  # ISO/IEC 14496-15, 8.3.3.1
        numbers.bytes(21)
        length_size = (numbers.number(1) & 3) + 1
        pictures = 0
        for _ in numbers.times(1):
            numbers.bytes(1)
            for _ in numbers.times(2):
                pictures += self._begins_picture(numbers.bytes(numbers.number(2)))
        content = self._content(item)
        numbers = Numbers(content, Box(b"", 0, 0, len(content)))
        while numbers.at < len(content):
            pictures += self._begins_picture(numbers.bytes(numbers.number(4)))
        if pictures != 1 or length_size != 4:
            raise InvalidImage("the HEIC has more than one picture where one belongs")

    def _begins_picture(self, unit: bytes) -> bool:
        """ITU-T H.265, 7.3.1.2 and 7.3.6.1: a slice, and the first of its picture."""
        self._units += 1
        if self._units > MAX_UNITS:
            raise InvalidImage(f"the HEIC has more than {MAX_UNITS} units of HEVC")
        return len(unit) > 2 and unit[0] >> 1 & 63 < 32 and unit[2] >= 0x80
