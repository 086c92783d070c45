"""What HEIF files are built of: boxes, and numbers in them (ISO/IEC 14496-12, 4.2)."""

import struct
from collections.abc import Iterator
from typing import NamedTuple

from service.errors import InvalidImage

MAX_PARTS = 1000
"""Of whatever is listed: as many items as libheif reads."""


class Box(NamedTuple):
    """Its name and where that stands; where its body begins and ends."""

    kind: bytes
    named_at: int
    start: int
    end: int


def boxes(data: bytes, at: int, end: int) -> Iterator[Box]:
    """The boxes that fill a part of a file.

    Raises:
        InvalidImage: there are more than `MAX_PARTS`.
        IndexError, struct.error: they do not fill it.
    """
    count = 0
    while at < end:
        count += 1
        if count > MAX_PARTS:
            raise InvalidImage(f"the HEIC has more than {MAX_PARTS} parts")
        size, kind = struct.unpack_from(">I4s", data, at)
        start = at + 8
        if size == 1:
            (size,) = struct.unpack_from(">Q", data, start)
            start += 8
        stop = at + size if size else end
        if not start <= stop <= end:
            raise IndexError
        yield Box(kind, at + 4, start, stop)
        at = stop


class Numbers:
    """What stands in a box's body, one after the other.

    Raises:
        IndexError: by each method, where the box ends too early.
    """

    def __init__(self, data: bytes, box: Box) -> None:
        self._data, self.at, self._end = data, box.start, box.end

    def bytes(self, size: int) -> bytes:
        """So many bytes."""
        if self.at + size > self._end:
            raise IndexError
        self.at += size
        return self._data[self.at - size : self.at]

    def number(self, size: int) -> int:
        """A number of so many bytes, the highest first."""
        return int.from_bytes(self.bytes(size))

    def times(self, size: int) -> range:
        """As often as a number says.

        Raises:
            InvalidImage: that is more than `MAX_PARTS` times.
        """
        count = self.number(size)
        if count > MAX_PARTS:
            raise InvalidImage(f"the HEIC has more than {MAX_PARTS} parts")
        return range(count)
