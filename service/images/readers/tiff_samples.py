"""Samples of a TIFF that Pillow reads wrongly or not at all: of more than 8 bits, signed, floating.

libtiff inflates them as bytes, each row of numbers as a row of grey pixels; they are numbers again
here, some rows at a time, and become levels of 8 bits.
"""

import math
import struct
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image
from PIL.TiffImagePlugin import TiffImageFile

from service.errors import ImageTooLarge, InvalidImage
from service.images import levels, limits
from service.images.levels import Levels, Range

WIDTH, HEIGHT, BITS, COMPRESSION, PHOTOMETRIC, FILL_ORDER = 256, 257, 258, 259, 262, 266
SAMPLES, PLANAR, PREDICTOR, EXTRA, FORMAT = 277, 284, 317, 338, 339
STRIP_OFFSETS, ROWS_PER_STRIP, STRIP_LENGTHS = 273, 278, 279
TILE_WIDTH, TILE_HEIGHT, TILE_OFFSETS, TILE_LENGTHS = 322, 323, 324, 325
SMALLEST, LARGEST = 340, 341

INFLATED = {1, 5, 8, 32773, 32946, 34925, 50000}
"""The `COMPRESSION`s of any bytes: none, LZW, deflate twice, PackBits, LZMA, Zstandard."""

WHITE_IS_ZERO, CIELAB, ICCLAB = 0, 8, 9
MODES = {0: "L", 1: "L", 2: "RGB", 5: "CMYK", CIELAB: "LAB", ICCLAB: "LAB"}
"""Pillow's by `PHOTOMETRIC`."""

KINDS = {1: "u", 2: "i", 3: "f", 4: "u"}
"""NumPy's kinds of number by `FORMAT`; of the last nothing is known."""

SIZES = {"u": (8, 16, 32, 64), "i": (8, 16, 32, 64), "f": (16, 32, 64)}
"""The bits of whole numbers; integers without a sign may be packed too."""

HORIZONTAL, FLOATING = 2, 3
"""A `PREDICTOR`: samples are differences to those before, or their bytes are, by significance."""

PREMULTIPLIED, ALPHA = 1, 2
"""An `EXTRA`."""

LONG = 4
"""The type of a tag's numbers: of 32 bits."""

PIXEL_BYTES = 8
"""Four channels of 16 bits: the largest image may take as many for each pixel, and no more."""

BAND_SAMPLES = 1 << 20
"""Numbers that are read at a time: bounds the memory of what lies between."""


class Layout(NamedTuple):
    """How numbers stand in rows of bytes.

    Attributes:
        size: of the image, in pixels.
        parts: strips or tiles beside each other, each of `part_width` pixels.
        planes: channels that stand each for itself; 1 where those of a pixel do together.
        channels: of each plane.
        bits: of a number.
        kind: NumPy's, of a number.
        order: of bytes, `<` or `>`.
        predictor: what has to be undone.
    """

    size: tuple[int, int]
    parts: int
    part_width: int
    planes: int
    channels: int
    bits: int
    kind: str
    order: str
    predictor: int

    @property
    def bytes(self) -> int:
        """Of all numbers."""
        return self.size[1] * self.parts * self.row_bytes * self.planes

    @property
    def row_bytes(self) -> int:
        """Of a row of a part."""
        return math.ceil(self.part_width * self.channels * self.bits / 8)


def accept(tags: Mapping[int, Any]) -> bool:
    """Whether an image of these tags is to be read here."""
    bits, form = tags.get(BITS, (1,)), tags.get(FORMAT, (1,))
    light = tags.get(PHOTOMETRIC)
    if tags.get(COMPRESSION, 1) not in INFLATED or light not in MODES:
        return False
    if len(set(bits)) > 1 or len(set(form)) > 1 or form[0] not in KINDS:
        return False
    samples, extra = tags.get(SAMPLES, 1), tags.get(EXTRA, ())
    packed = bits[0] < 8 and samples > 1
    grey = samples == 2 and extra[:1] == (PREMULTIPLIED,)
    return bits[0] > 8 or KINDS[form[0]] != "u" or light == ICCLAB or packed or grey


def read(data: bytes, tags: Mapping[int, Any], order: str, max_pixels: int) -> Image.Image:
    """Decode a TIFF of these tags, with 8 bits a channel.

    Raises:
        ImageTooLarge: its numbers take more memory than those of `max_pixels` may.
        InvalidImage: it is damaged, or a variant that is not read.
        OSError: the same.
    """
    layout = _layout(tags, order)
    if layout.bytes > PIXEL_BYTES * max_pixels:
        raise ImageTooLarge(
            f"the image has {layout.bytes} bytes of samples, more than {PIXEL_BYTES} for each of "
            f"the {max_pixels} pixels allowed; save it with 8 or 16 bits a sample"
        )
    planes = [_inflated(data, tags, layout, plane) for plane in range(layout.planes)]
    mode = MODES[tags[PHOTOMETRIC]]
    colours = 1 if mode == "L" else 4 if mode == "CMYK" else 3
    there = layout.planes * layout.channels
    if there < colours:
        raise InvalidImage(f"the TIFF is damaged: of {colours} colours it has {there}")
    extra = tags.get(EXTRA, ()) if mode in {"L", "RGB"} and there > colours else ()
    alpha = extra[0] if extra and extra[0] in {PREMULTIPLIED, ALPHA} else 0
    channels = [slice(0, colours), *([slice(colours, colours + 1)] if alpha else [])]
    scales = [_scale(planes, layout, tags, part, mode, is_alpha=at > 0)
              for at, part in enumerate(channels)]  # fmt: skip
    width, height = layout.size
    pixels = np.empty((height, width, colours + bool(alpha)), np.uint8)
    for top, band in _bands(planes, layout):
        for part, scale in zip(channels, scales, strict=True):
            pixels[top : top + len(band), :, part] = _eight(band[..., part], scale, mode)
    if tags[PHOTOMETRIC] == WHITE_IS_ZERO:
        pixels[..., 0] = 255 - pixels[..., 0]
    if tags[PHOTOMETRIC] == ICCLAB:  # Pillow takes a and b for signed, as those of CIELAB are
        pixels[..., 1:] ^= 0x80
    if alpha:
        mode += "A" if alpha == ALPHA else "a"
    image = Image.frombuffer(mode, layout.size, pixels, "raw", mode, 0, 1)
    return image.convert(mode[:-1] + "A") if mode.endswith("a") else image


def _layout(tags: Mapping[int, Any], order: str) -> Layout:
    width, height = tags[WIDTH], tags[HEIGHT]
    samples = tags.get(SAMPLES, 1)
    planes = samples if tags.get(PLANAR, 1) == 2 else 1
    part_width = tags[TILE_WIDTH] if TILE_OFFSETS in tags else width
    bits, kind = tags.get(BITS, (1,))[0], KINDS[tags.get(FORMAT, (1,))[0]]
    predictor = tags.get(PREDICTOR, 1)
    whole = bits in SIZES[kind]
    if not (whole or (kind == "u" and 0 < bits < 32 and predictor == 1)):
        raise InvalidImage(
            f"the TIFF is a variant that is not read: {bits} bits a sample, sample format "
            f"{tags.get(FORMAT, (1,))[0]}, predictor {predictor}"
        )
    return Layout(
        (width, height),
        math.ceil(width / part_width),
        part_width,
        planes,
        samples // planes,
        bits,
        kind,
        order,
        predictor,
    )


def _inflated(data: bytes, tags: Mapping[int, Any], layout: Layout, plane: int) -> Image.Image:
    """The bytes of a plane's rows, as a grey image `[height, parts * row_bytes]`."""
    height = layout.size[1]
    if TILE_OFFSETS in tags:
        part_height, places = tags[TILE_HEIGHT], (TILE_OFFSETS, TILE_LENGTHS)
        part = {TILE_WIDTH: layout.row_bytes, TILE_HEIGHT: part_height}
    else:
        part_height, places = tags.get(ROWS_PER_STRIP, height), (STRIP_OFFSETS, STRIP_LENGTHS)
        part = {ROWS_PER_STRIP: part_height}
    count = layout.parts * math.ceil(height / part_height)
    claimed = {
        WIDTH: [layout.parts * layout.row_bytes],
        HEIGHT: [height],
        BITS: [8],
        COMPRESSION: [tags.get(COMPRESSION, 1)],
        PHOTOMETRIC: [1],
        FILL_ORDER: [tags.get(FILL_ORDER, 1)],
        SAMPLES: [1],
        **{tag: [value] for tag, value in part.items()},
        **{tag: tags[tag][plane * count : (plane + 1) * count] for tag in places if tag in tags},
    }
    if len(claimed[places[0]]) < count:
        raise InvalidImage("the TIFF is damaged: parts of it are missing")
    head = struct.pack("<2sHI", b"II", 42, len(data))
    claims = _directory(claimed, len(data))
    image = TiffImageFile(limits.MeteredFile(b"".join((head, memoryview(data)[8:], claims))))
    image.load()
    return image._new(image.im)  # without the file


def _directory(claimed: Mapping[int, Sequence[int]], at: int) -> bytes:
    """A directory that stands there, of numbers of 32 bits (TIFF 6.0, section 2)."""
    behind = at + 2 + 12 * len(claimed) + 4
    entries, values = b"", b""
    for tag, numbers in sorted(claimed.items()):
        packed = struct.pack(f"<{len(numbers)}I", *numbers)
        entries += struct.pack("<HHI", tag, LONG, len(numbers))
        entries += packed if len(numbers) == 1 else struct.pack("<I", behind + len(values))
        values += packed if len(numbers) > 1 else b""
    return struct.pack("<H", len(claimed)) + entries + bytes(4) + values


def _bands(planes: list[Image.Image], layout: Layout) -> Iterator[tuple[int, Levels]]:
    """The numbers of some rows, `[rows, width, channels]`, each with the first of the rows."""
    height = layout.size[1]
    step = max(1, BAND_SAMPLES // (layout.part_width * layout.parts * layout.channels))
    for top in range(0, height, step):
        box = (0, top, planes[0].width, min(top + step, height))
        parts = [_numbers(np.asarray(plane.crop(box)), layout) for plane in planes]
        yield top, parts[0] if len(parts) == 1 else np.concatenate(parts, axis=2)


def _numbers(rows: npt.NDArray[np.uint8], layout: Layout) -> Levels:
    """The numbers `[rows, width, channels]` in rows of bytes."""
    shape = (len(rows), layout.parts, layout.part_width, layout.channels)
    parts = rows.reshape(len(rows), layout.parts, layout.row_bytes)
    size = layout.bits // 8
    numbers: Levels
    if layout.bits not in SIZES[layout.kind]:
        single = np.unpackbits(parts, axis=2)[..., : math.prod(shape[2:]) * layout.bits]
        places = 1 << np.arange(layout.bits - 1, -1, -1, dtype=np.uint32)
        numbers = single.reshape(*shape, layout.bits) @ places
    elif layout.predictor == FLOATING:
        differences = parts.reshape(*parts.shape[:2], -1, layout.channels)
        summed = np.cumsum(differences, axis=2, dtype=np.uint8)
        apart = summed.reshape(*parts.shape[:2], size, -1).swapaxes(2, 3)
        numbers = np.ascontiguousarray(apart).view(f">{layout.kind}{size}")
    else:
        stored = parts.view(f"{layout.order}u{size}").reshape(shape)
        native = stored.astype(f"u{size}", copy=False)
        if layout.predictor == HORIZONTAL:
            native = np.cumsum(native, axis=2, dtype=native.dtype)
        numbers = native.view(f"{layout.kind}{size}")
    width = layout.size[0]
    return numbers.reshape(len(rows), -1, layout.channels)[:, :width]


def _scale(
    planes: list[Image.Image],
    layout: Layout,
    tags: Mapping[int, Any],
    channels: slice,
    mode: str,
    *,
    is_alpha: bool,
) -> Range:
    """What is black and white: by the file's tags, by its bits, else by the numbers there are."""
    if mode == "LAB":
        return Range(0, 2**layout.bits - 1)
    black, white = (_first(tags.get(tag)) for tag in (SMALLEST, LARGEST))
    if not is_alpha and white is not None and math.isfinite(white) and (black or 0) < white:
        return Range(black or 0, white)
    if layout.kind == "u" and layout.bits not in {16, 32, 64}:
        return Range(0, 2**layout.bits - 1)
    return levels.found(band[..., channels] for _, band in _bands(planes, layout))


def _eight(band: Levels, scale: Range, mode: str) -> npt.NDArray[np.uint8]:
    if mode == "LAB" or (mode != "L" and band.dtype == np.uint16 and scale == levels.FULL_16_BITS):
        # As Pillow does it, which vectors elsewhere were made with.
        return np.right_shift(band, 8 * band.itemsize - 8).astype(np.uint8)
    return levels.to_eight_bits(band, scale)


def _first(value: Any) -> Any:  # noqa: ANN401 - a number of any kind
    return value[0] if isinstance(value, tuple) and value else value
