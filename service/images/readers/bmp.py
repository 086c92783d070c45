"""BMP. Pillow reads the usual variants; the others that browsers show are read here.

Names are those of the Windows and OS/2 headers.
"""

import struct
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image
from PIL.BmpImagePlugin import BmpImageFile

from service.errors import InvalidImage
from service.images import limits

FILE_HEADER = 14
CORE_HEADER, OS2_HEADER = 12, 64

RGB, RLE8, RLE4, BITFIELDS, JPEG, PNG, ALPHABITFIELDS = range(7)
RUN_LENGTHS = {RLE8: 8, RLE4: 4, 4: 24}
"""The bits a pixel of each; 4 is RLE24 in OS/2's header, and JPEG in that of Windows."""

END_OF_ROW, END_OF_BITMAP, SKIP = range(3)

VARIANTS = {JPEG: "holds a JPEG", PNG: "holds a PNG"}

RUNS = 1_000_000
"""Of run-length encoded pixels, which are read one by one: about a second."""

Words = npt.NDArray[np.unsignedinteger]
"""A number for each pixel, `[height, width]`."""


class Header(NamedTuple):
    """What a bitmap says of itself; `height` is negative where its first row is the top one."""

    size: int
    width: int
    height: int
    bits: int
    compression: int
    colors: int
    masks: tuple[int, ...]


def open_image(data: bytes, max_pixels: int) -> Image.Image:
    """Open a BMP by its header; a variant that Pillow does not read is decoded at once.

    Raises:
        InvalidImage: it is damaged, or a variant that is not read.
        ImageTooLarge: more than `max_pixels`.
    """
    header = read_header(data, FILE_HEADER)
    limits.check_size(header.width, abs(header.height), max_pixels)
    # Pillow fails where run lengths end early or more colours are said than there may be, and
    # leaves out the transparency of 16 bits.
    if (
        RUN_LENGTHS.get(header.compression) == header.bits
        or (header.bits == 16 and any(header.masks[3:]))
        or header.colors > 256
    ):
        return Image.fromarray(_decode(data, header))
    try:
        return BmpImageFile(limits.MeteredFile(data))
    except (OSError, SyntaxError):
        return Image.fromarray(_decode(data, header))


def read_header(data: bytes, at: int) -> Header:
    """The header of a bitmap that begins there.

    Raises:
        InvalidImage: it is none.
    """
    try:
        (size,) = struct.unpack_from("<I", data, at)
        if size == CORE_HEADER:
            width, height, _, bits = struct.unpack_from("<HHHH", data, at + 4)
            return Header(size, width, height, bits, RGB, 0, ())
        if not 16 <= size <= 124:
            raise InvalidImage(f"the BMP has a header of {size} bytes, a variant that is not read")
        fields = data[at + 4 : at + size].ljust(36, b"\0")
        width, height, _, bits, compression = struct.unpack_from("<iiHHI", fields)
        (colors,) = struct.unpack_from("<I", fields, 28)
        masks: tuple[int, ...] = ()
        if compression in {BITFIELDS, ALPHABITFIELDS} and size != OS2_HEADER:
            count = 4 if size >= 56 or compression == ALPHABITFIELDS else 3
            masks = struct.unpack_from(f"<{count}I", data, at + 40)
    except struct.error:
        raise InvalidImage("the BMP is damaged: it ends within its header") from None
    if width <= 0 or height == 0:
        raise InvalidImage(f"the BMP is damaged: it says to be {width} x {height}")
    return Header(size, width, height, bits, compression, colors, masks)


def _decode(data: bytes, header: Header) -> npt.NDArray[np.uint8]:
    """Pixels `[height, width, 3 or 4]`."""
    (at,) = struct.unpack_from("<I", data, 10)
    kind = header.compression
    if RUN_LENGTHS.get(kind) == header.bits:
        pixels = _from_runs(data, at, header)
    elif kind == RGB and header.bits <= 8:
        rows = _rows(data, at, header)
        pixels = _palette(data, header)[_places(rows, header.bits)[:, : header.width]]
    elif kind == RGB and header.bits in {16, 24, 32}:
        masks = (0x7C00, 0x3E0, 0x1F) if header.bits == 16 else (0xFF0000, 0xFF00, 0xFF)
        pixels = _from_masks(_words(data, at, header), masks)
    elif header.masks and header.bits in {16, 24, 32}:
        pixels = _from_masks(_words(data, at, header), header.masks)
    else:
        what = VARIANTS.get(kind, f"has {header.bits} bits a pixel in compression {kind}")
        raise InvalidImage(f"the BMP {what}, a variant that is not read")
    return pixels if header.height < 0 else pixels[::-1]


def _rows(data: bytes, at: int, header: Header) -> npt.NDArray[np.uint8]:
    """The bytes of each row `[height, stride]`, as they stand in the file."""
    stride = (header.width * header.bits + 31) // 32 * 4
    height = abs(header.height)
    if at + stride * height > len(data):
        raise InvalidImage("the BMP is cut off: its last rows are missing")
    return np.frombuffer(data, np.uint8, stride * height, at).reshape(height, stride)


def _words(data: bytes, at: int, header: Header) -> Words:
    rows, size = _rows(data, at, header), header.bits // 8
    if size == 3:
        parts = rows[:, : 3 * header.width].reshape(len(rows), header.width, 3)
        wide = np.zeros((len(rows), header.width, 4), np.uint8)
        wide[..., :3] = parts
        return wide.view("<u4")[..., 0]
    return np.ascontiguousarray(rows[:, : size * header.width]).view(f"<u{size}")


def _from_masks(words: Words, masks: tuple[int, ...]) -> npt.NDArray[np.uint8]:
    """Each channel is the bits of its mask, scaled to 8."""
    channels = []
    for mask in masks:
        shift = (mask & -mask).bit_length() - 1 if mask else 0
        most = mask >> shift
        levels = (words & words.dtype.type(mask)) >> words.dtype.type(shift)
        table = np.arange(min(most, 255) + 1) * 255 // max(1, min(most, 255))
        if most > 255:  # of more than 8 bits the highest
            levels = levels >> words.dtype.type(most.bit_length() - 8)
        channels.append(table.astype(np.uint8)[levels])
    if len(channels) == 4 and masks[3] == 0:
        channels.pop()
    return np.stack(channels, axis=2)


def _palette(data: bytes, header: Header) -> npt.NDArray[np.uint8]:
    """The colour of each place `[256, 3]`."""
    if header.bits not in {1, 2, 4, 8}:
        raise InvalidImage(f"the BMP has {header.bits} bits a pixel, a variant that is not read")
    entry = 3 if header.size == CORE_HEADER else 4
    count = min(header.colors or 1 << header.bits, 1 << header.bits)
    begins = FILE_HEADER + header.size
    stored = data[begins : begins + entry * count].ljust(entry * count, b"\0")
    palette = np.zeros((256, 3), np.uint8)
    palette[:count] = np.frombuffer(stored, np.uint8).reshape(count, entry)[:, 2::-1]
    return palette


def _places(rows: npt.NDArray[np.uint8], bits: int) -> npt.NDArray[np.uint8]:
    """Places in the palette `[height, 8 / bits * n]` of packed bytes `[height, n]`."""
    shifts = np.arange(8 - bits, -1, -bits, dtype=np.uint8)
    places: npt.NDArray[np.uint8] = rows[:, :, None] >> shifts & np.uint8((1 << bits) - 1)
    return places.reshape(len(rows), -1)


def _from_runs(data: bytes, at: int, header: Header) -> npt.NDArray[np.uint8]:
    """Run-length encoded pixels `[height, width, 3]`; what is skipped is black.

    Of RLE24 a run is of one colour, of RLE8 of one place in the palette, of RLE4 of two in turn.
    """
    width, height, bits = header.width, abs(header.height), header.bits
    step = 3 if bits == 24 else 1  # bytes of a run's colour
    values = np.zeros((height, width, step), np.uint8)
    seen = np.zeros((height, width), np.bool_)
    x = y = 0
    ended = False
    for _ in range(RUNS):
        if y >= height or at + 1 >= len(data):
            break
        count, code = data[at], data[at + 1]
        at += 2
        if count == 0 and code == END_OF_ROW:
            x, y = 0, y + 1
            continue
        if count == 0 and code == END_OF_BITMAP:
            ended = True
            break
        if count == 0 and code == SKIP:
            x, y, at = x + data[at], y + data[at + 1], at + 2
            continue
        if count:
            run = np.frombuffer(data, np.uint8, step, at - 1).reshape(1, step)
            at += step - 1
            if bits == 4:
                run = _places(run, 4).reshape(2, 1)
            run = np.tile(run, (count // len(run) + 1, 1))
        else:
            count = code
            size = (count * bits + 7) // 8
            run = np.frombuffer(data, np.uint8, size, at).reshape(-1, step)
            if bits == 4:
                run = _places(run.reshape(1, -1), 4).reshape(-1, 1)
            at += size + size % 2
        room = max(0, min(count, width - x))
        values[y, x : x + room] = run[:room]
        seen[y, x : x + room] = True
        x += count
    else:
        raise InvalidImage("the image is in too many small parts to be read")
    if not ended and y < height - 1:
        raise InvalidImage("the BMP is cut off: its last rows are missing")
    colours = values[..., ::-1] if bits == 24 else _palette(data, header)[values[..., 0]]
    return colours * seen[..., None]
