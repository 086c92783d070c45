"""Inflates bodies in gzip or deflate, in which some clients send JSON."""

import zlib

from service.errors import InvalidRequest, UnsupportedMediaType

GZIP = zlib.MAX_WBITS + 16
"""What zlib calls gzip."""


class Inflater:
    """Inflates a body in bounded steps.

    Args:
        name: of the coding.

    Raises:
        UnsupportedMediaType: this coding is not supported.

    Attributes:
        rest: bytes that are not inflated yet.
    """

    def __init__(self, name: str) -> None:
        if name not in {"gzip", "x-gzip", "deflate"}:
            raise UnsupportedMediaType(
                f"cannot read Content-Encoding {name[:100]!r}: send gzip, deflate or none"
            )
        self._name = name
        self._stream: zlib._Decompress | None = None
        self.rest = b""

    def add(self, data: bytes) -> None:
        """Take the next bytes of the body."""
        self.rest += data
        if self._stream is None and self.rest:
            self._stream = zlib.decompressobj(_window(self._name, self.rest))

    def inflate(self, most: int) -> bytes:
        """The next `most` bytes; fewer if the bytes so far give no more.

        Raises:
            InvalidRequest: the body is damaged, or goes on after its end.
        """
        if self._stream is None:
            return b""
        try:
            data = self._stream.decompress(self.rest, most)
        except zlib.error as error:
            raise InvalidRequest(f"the body cannot be inflated: {error}") from None
        if self._stream.unused_data:
            raise InvalidRequest(f"the body goes on after the end of its {self._name}")
        self.rest = self._stream.unconsumed_tail
        return data

    def end(self) -> None:
        """Check that the body is whole.

        Raises:
            InvalidRequest: it breaks off.
        """
        if self._stream is None or not self._stream.eof:
            raise InvalidRequest(f"the body is not whole: its {self._name} breaks off")


def _window(name: str, data: bytes) -> int:
    """The `wbits` for a body: deflate has zlib's wrapper (RFC 9110), or none."""
    if name != "deflate":
        return GZIP
    return zlib.MAX_WBITS if data[0] & 15 == zlib.DEFLATED else -zlib.MAX_WBITS
