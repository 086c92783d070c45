"""Bodies in gzip or deflate, as some clients send JSON."""

import zlib

from service.errors import InvalidRequest, UnsupportedMediaType

GZIP = zlib.MAX_WBITS + 16
"""What zlib calls gzip."""


class Inflater:
    """Inflates a body, bounded in each step.

    Args:
        name: of the coding.

    Raises:
        UnsupportedMediaType: it is none of those that are read.

    Attributes:
        rest: what was given and is not inflated yet.
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
        """Take what comes next of the body."""
        self.rest += data
        if self._stream is None and self.rest:
            self._stream = zlib.decompressobj(_window(self._name, self.rest))

    def inflate(self, most: int) -> bytes:
        """At most so many bytes more; fewer if there are no more in what was given.

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
    """How zlib is to read a body: deflate in zlib's wrapper, as RFC 9110 has it, or bare."""
    if name != "deflate":
        return GZIP
    return zlib.MAX_WBITS if data[0] & 15 == zlib.DEFLATED else -zlib.MAX_WBITS
