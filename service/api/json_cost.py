"""Estimates how long a JSON text takes to read, from its bytes, before anything is built.

msgspec reads a text in one call that holds the interpreter lock, which blocks the event loop even
from another thread. Nothing here reads more than `PIECE_BYTES` in one call.
"""

import re

import numpy as np

MAX_TOKENS = 2_000_000
"""The most commas, brackets and escapes. A parser reads some 50 million of them a second."""

MAX_OBJECTS = 200_000
"""The most strings and objects: each becomes a Python object, larger than its text."""

SPACES_PER_TOKEN = 5
WIDE_BYTES_PER_TOKEN = 4
"""White spaces, and bytes of strings with non-ASCII characters, that take as long to read as one
token. ASCII strings are copied, a hundred bytes in that time."""

PIECE_BYTES = 1 << 20

WIDE_ESCAPE = re.compile(rb"\\u(?!00[0-7])")
LONGEST_ESCAPE = len(rb"\u0000")


def count_tokens(text: bytes) -> int:
    """The number of commas, brackets and escapes that take as long to read as this text."""
    tokens = _count(text, b",[{\\") + _count(text, b" \n\r\t") // SPACES_PER_TOKEN
    if len(text) > PIECE_BYTES and tokens <= MAX_TOKENS:
        tokens += _wide_bytes(text) // WIDE_BYTES_PER_TOKEN
    return tokens


def count_objects(text: bytes) -> int:
    """Strings and objects in a text."""
    return _count(text, b'"') // 2 + _count(text, b"{")


def _count(text: bytes, characters: bytes) -> int:
    """How many of these characters a text has; NumPy releases the interpreter lock."""
    whole = np.frombuffer(text, np.uint8)
    pieces = (whole[start : start + PIECE_BYTES] for start in range(0, len(text), PIECE_BYTES))
    return sum(int(np.count_nonzero(piece == one)) for piece in pieces for one in characters)


def _wide_bytes(text: bytes) -> int:
    """Bytes of all strings that have a non-ASCII character, plain or escaped."""
    size, end, plain, escaped = 0, 0, -1, -1
    while True:
        if plain < end:
            plain = _find_wide(text, end)
        if escaped < end:
            escaped = _find_wide_escape(text, end)
        found = min(plain, escaped)
        if found == len(text) or size > WIDE_BYTES_PER_TOKEN * MAX_TOKENS:
            return size
        start, end = _start_of_string(text, found), _end_of_string(text, found)
        size += end - start


def _find_wide(text: bytes, start: int) -> int:
    """Index of the first non-ASCII character from `start` on; the text's length if there is none.

    Pieces grow, because the next one is usually near.
    """
    size = 256
    while start < len(text):
        piece = text[start : start + size]
        if not piece.isascii():
            return start + int(np.argmax(np.frombuffer(piece, np.uint8) >= 0x80))
        start += size
        size = min(2 * size, PIECE_BYTES)
    return len(text)


def _find_wide_escape(text: bytes, start: int) -> int:
    """Index of the first escape that stands for a non-ASCII character."""
    for begin in range(start, len(text), PIECE_BYTES):
        end = begin + PIECE_BYTES
        found = WIDE_ESCAPE.search(text, begin, end + LONGEST_ESCAPE)
        if found is not None and found.start() < end:
            return found.start()
    return len(text)


def _start_of_string(text: bytes, inside: int) -> int:
    quote = text.rfind(b'"', 0, inside)
    while quote >= 0 and _is_escaped(text, quote):
        quote = text.rfind(b'"', 0, quote)
    return quote + 1


def _end_of_string(text: bytes, inside: int) -> int:
    quote = text.find(b'"', inside)
    while quote >= 0 and _is_escaped(text, quote):
        quote = text.find(b'"', quote + 1)
    return quote if quote >= 0 else len(text)


def _is_escaped(text: bytes, quote: int) -> bool:
    before = quote
    while before and text[before - 1] == ord("\\"):
        before -= 1
    return (quote - before) % 2 == 1
