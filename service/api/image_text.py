"""Images as text: data URIs, bare base64 and, where the operator allows it, addresses."""

import binascii
import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from service.errors import InvalidRequest

DATA_URI = re.compile(r"data:[^,]{0,256}?(?P<base64>;\s*base64)?,", re.IGNORECASE)
ADDRESS = re.compile(r"https?://", re.IGNORECASE)

STANDARD = bytes.maketrans(b"-_", b"+/")
PIECE = 1 << 18
"""Bytes decoded in one call, which keeps the interpreter from the event loop: a multiple of 4."""

HEX = np.full(256, 16, np.uint8)
"""The value of each hexadecimal digit, 16 for what is none."""
HEX[np.frombuffer(b"0123456789abcdef", np.uint8)] = range(16)
HEX[np.frombuffer(b"ABCDEF", np.uint8)] = range(10, 16)


@dataclass(frozen=True)
class ImageText:
    """An image as text and the part of the request it came in, such as `input[1]`."""

    param: str
    text: str

    @property
    def is_address(self) -> bool:
        """Whether it is an http or https URL."""
        return ADDRESS.match(self.text) is not None


def decode_all(images: Sequence[ImageText]) -> list[bytes | None]:
    """Each image's bytes; of addresses None.

    Raises:
        InvalidRequest: one is no image text.
    """
    return [None if image.is_address else decode(image.text, image.param) for image in images]


def decode(text: str, param: str | None) -> bytes:
    """The bytes in a data URI (RFC 2397) or in base64, with white space around it or not.

    Raises:
        InvalidRequest: it is neither, or empty.
    """
    text = text.strip()
    uri = DATA_URI.match(text)
    try:
        data = text[uri.end() if uri else 0 :].encode("ascii")
        if uri:
            data = decode_percent(data)
        image = data if uri and not uri["base64"] else decode_base64(data)
    except ValueError as error:
        raise InvalidRequest(
            "this model embeds images: send a data URI (data:image/jpeg;base64,...) or base64; "
            "this is neither",
            param=param,
        ) from error
    if not image:
        raise InvalidRequest("the image is empty", param=param)
    return image


def decode_base64(text: bytes) -> bytes:
    """Base64 in either alphabet of RFC 4648, with or without padding, in lines or not.

    Raises:
        ValueError: it is not base64.
    """
    digits = text.translate(STANDARD, b"\r\n").rstrip(b"=")
    if b"=" in digits:
        raise ValueError("padding within base64")
    digits += b"=" * (-len(digits) % 4)
    pieces = range(0, len(digits), PIECE)
    return b"".join(binascii.a2b_base64(digits[at : at + PIECE], strict_mode=True) for at in pieces)


def decode_percent(text: bytes) -> bytes:
    """Text with each `%41` as the byte it stands for; a `%` without two digits stays."""
    if b"%" not in text:
        return text
    pieces = []
    start = 0
    while start < len(text):
        end = start + PIECE
        if end < len(text) and (broken := text.rfind(b"%", end - 2, end)) >= 0:
            end = broken
        pieces.append(_percent_piece(text[start:end]))
        start = end
    return b"".join(pieces)


def _percent_piece(text: bytes) -> bytes:
    codes = np.frombuffer(text + b"  ", np.uint8).copy()
    at = np.flatnonzero(codes == ord("%"))
    high, low = HEX[codes[at + 1]], HEX[codes[at + 2]]
    real = (high < 16) & (low < 16)
    at = at[real]
    codes[at] = high[real] * 16 + low[real]
    keep = np.ones(len(codes), bool)
    keep[at + 1] = keep[at + 2] = keep[-2:] = False
    return codes[keep].tobytes()
