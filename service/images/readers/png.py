"""PNG: the decoder is handed the chunks that pixels need, so that no other can cost the picture."""

import struct
import zlib
from collections.abc import Iterator

from PIL.ImageFile import ImageFile
from PIL.PngImagePlugin import PngImageFile

from service.errors import InvalidImage
from service.images import color, limits
from service.images.readers import exif

SIGNATURE = b"\x89PNG\r\n\x1a\n"

WITH_PALETTE = {3}
"""Colour types whose pixels are places in a palette; to others one is a suggestion."""

TRANSPARENT_BYTES = {0: 2, 2: 6}
"""Of the colour that is transparent, by colour type; others have transparency of their own."""

ONCE = {b"IHDR", b"PLTE", b"tRNS"}
NOTES = {b"eXIf", b"iCCP", b"cICP", b"sRGB", b"gAMA", b"cHRM"}


def open_image(data: bytes, max_pixels: int) -> ImageFile:
    """Open a PNG by its header.

    Raises:
        InvalidImage: it has no pixels, or is in too many parts.
        ImageTooLarge: more than `max_pixels`.
    """
    pixels, notes = _split(data)
    width, height = struct.unpack_from(">II", pixels, len(SIGNATURE) + 8)
    limits.check_size(width, height, max_pixels)
    image = PngImageFile(limits.MeteredFile(pixels))
    _to_pixel_bits(image)
    image.info["orientation"] = exif.orientation(notes.get(b"eXIf", b""))
    if b"iCCP" in notes and (profile := _profile(notes[b"iCCP"])):
        image.info["icc_profile"] = profile
    for name in (b"cICP", b"sRGB", b"gAMA", b"cHRM"):
        if name in notes:
            image.info[name.decode()] = notes[name]
    return image


def _split(data: bytes) -> tuple[bytes, dict[bytes, bytes]]:
    """A PNG of the chunks that pixels need, and those of the others that say how to show them.

    All pixels become one chunk: a file may have millions of empty ones.
    """
    head: list[bytes | memoryview] = [SIGNATURE]
    notes: dict[bytes, bytes] = {}
    pixels: list[memoryview] = []
    seen: set[bytes] = set()
    for kind, whole, body in _chunks(data):
        if kind == b"IEND":
            break
        if kind == b"IDAT":
            pixels.append(body)
        elif kind == b"CgBI":
            raise InvalidImage("the PNG is in the variant of iOS (CgBI), which is not read")
        elif kind in ONCE and not pixels and kind not in seen and _is_needed(kind, whole, head):
            seen.add(kind)
            head.append(whole)
        elif kind in NOTES and kind not in notes and _is_sound(whole):
            notes[kind] = bytes(body)
    if b"IHDR" not in seen or not pixels:
        raise InvalidImage("the PNG is damaged: it ends before its pixels")
    if head[1][17] in WITH_PALETTE and b"PLTE" not in seen:
        raise InvalidImage("the PNG is damaged: it has no palette")
    size = sum(map(len, pixels)).to_bytes(4)
    end = b"\0\0\0\0IEND\xaeB`\x82"
    # Pillow does not look at the checksum of pixels; zlib has its own.
    return b"".join([*head, size, b"IDAT", *pixels, b"\0\0\0\0", end]), notes


def _chunks(data: bytes) -> Iterator[tuple[bytes, memoryview, memoryview]]:
    """The kind of each chunk, all of it, and its body, which may be cut off (PNG, 5.3)."""
    view = memoryview(data)
    at = len(SIGNATURE)
    for _ in range(limits.FREE_READS + len(data) // limits.BYTES_PER_READ):
        if at + 8 > len(data):
            return
        size, kind = struct.unpack_from(">I4s", data, at)
        yield kind, view[at : at + 12 + size], view[at + 8 : at + 8 + size]
        at += 12 + size
    raise InvalidImage("the PNG is in too many small parts to be read")


def _is_needed(kind: bytes, whole: memoryview, head: list[bytes | memoryview]) -> bool:
    """Whether pixels cannot be had without a chunk, or it says rightly what is transparent."""
    if kind == b"IHDR":
        if len(whole) != 25:
            raise InvalidImage("the PNG is damaged: its header has another length")
        return True
    if len(head) < 2:
        raise InvalidImage("the PNG is damaged: it does not begin with its header")
    color, size = head[1][17], len(whole) - 12
    if kind == b"PLTE":
        return color in WITH_PALETTE
    if color in WITH_PALETTE:  # an entry each at most, so the palette comes first
        return _is_sound(whole) and len(head) > 2 and 0 < size <= (len(head[2]) - 12) // 3
    return _is_sound(whole) and size == TRANSPARENT_BYTES.get(color)


def _is_sound(whole: memoryview) -> bool:
    return zlib.crc32(whole[4:-4]).to_bytes(4) == whole[-4:]


def _profile(body: bytes) -> bytes | None:
    """A colour profile, or none where it cannot be inflated (PNG, 11.3.2.3)."""
    inflate = zlib.decompressobj()
    try:
        profile = inflate.decompress(body.partition(b"\0")[2][1:], color.MAX_PROFILE_BYTES)
    except zlib.error:
        return None
    return profile if inflate.eof else None


def _to_pixel_bits(image: PngImageFile) -> None:
    """Of a PNG not decoded yet: the transparent colour, which Pillow leaves in the file's bits."""
    colour = image.info.get("transparency")
    if colour is None:
        return
    match [tile.args for tile in image.tile]:
        case ["L;2"]:
            image.info["transparency"] = (colour & 3) * 85
        case ["L;4"]:
            image.info["transparency"] = (colour & 15) * 17
        case ["RGB;16B"]:
            image.info["transparency"] = tuple(level >> 8 for level in colour)
