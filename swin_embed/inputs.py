"""Turns images in many forms into bytes that the engine decodes, as the service does."""

import io
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps
from PIL.ImageFile import ImageFile


class BinaryFile(Protocol):
    """A file open in binary mode; read from its current position."""

    def read(self, size: int = -1, /) -> bytes:
        """The next bytes, or all that are left."""
        ...


ImageInput = (
    str
    | os.PathLike[str]
    | bytes
    | bytearray
    | memoryview
    | BinaryFile
    | Image.Image
    | npt.NDArray[np.uint8]
)
"""A path, an encoded image, an open file, a Pillow image, or pixels: uint8 `[height, width]` or
`[height, width, 1]` (grey), `[height, width, 3]` (RGB), `[height, width, 4]` (RGBA)."""


@dataclass(frozen=True)
class Input:
    """An image to be read later; data that may change or close is copied now.

    Attributes:
        name: what it is, for messages.
        held: bytes of it that are in memory already.
    """

    name: str
    held: int
    size: Callable[[], int]
    read: Callable[[], bytes]


def accept(image: Any) -> Input:  # noqa: ANN401 - whatever it is, it is told
    """An image, in any supported form, as an input.

    Raises:
        TypeError: it is in no form that is known.
        ValueError: it is an array that is no image.
        OSError: it is a file, or a Pillow image, that cannot be read.
    """
    match image:
        case str() | os.PathLike():
            path = Path(image)
            return Input(str(path), 0, lambda: path.stat().st_size, path.read_bytes)
        case bytes() | bytearray() | memoryview():
            return _in_memory(bytes(image), "bytes")
        case np.ndarray():
            return _decoded(_from_array(image), f"array {list(image.shape)}")
        case Image.Image():
            name = f"{image.mode} image of {image.width} x {image.height}"
            file = getattr(image, "fp", None)
            if isinstance(image, ImageFile) and image.tile and file and image.tell() == 0:
                return _in_memory(_whole(file), name)
            return _decoded(ImageOps.exif_transpose(image), name)
        case _ if callable(getattr(image, "read", None)):
            data = image.read()
            if not isinstance(data, bytes):
                raise TypeError("a file is open as text; open it with mode 'rb'")
            return _in_memory(data, str(getattr(image, "name", "file")))
    raise TypeError(
        f"a {type(image).__name__} is no image; a path, bytes, an open file, a Pillow image or a "
        "NumPy array is"
    )


def unreadable(error: OSError) -> Input:
    """Stand in for an image that cannot be read, so that it keeps its place among the others."""

    def read() -> bytes:
        raise error

    return Input("unreadable", 0, lambda: 0, read)


def _in_memory(data: bytes, name: str) -> Input:
    return Input(name, len(data), lambda: len(data), lambda: data)


def _decoded(image: Image.Image, name: str) -> Input:
    size = image.width * image.height * len(image.getbands())
    return Input(name, size, lambda: size, lambda: _encoded(image))


def _from_array(array: npt.NDArray[Any]) -> Image.Image:
    pixels = array[:, :, 0] if array.shape[2:] == (1,) else array
    channels = pixels.shape[2:] if pixels.ndim > 1 else None
    if pixels.dtype != np.uint8 or channels not in {(), (3,), (4,)} or 0 in pixels.shape:
        raise ValueError(
            f"an array {list(array.shape)} of {array.dtype} is no image; one is uint8 [height, "
            "width], [height, width, 3] (RGB) or [height, width, 4] (RGBA)"
        )
    return Image.fromarray(pixels.copy())


def _whole(file: Any) -> bytes:  # noqa: ANN401 - Pillow takes whatever reads and seeks
    """The whole file of an image that Pillow has opened but not decoded.

    So a large JPEG is decoded at a fraction of its size, as the service does it.
    """
    position = file.tell()
    file.seek(0)
    data = bytes(file.read())
    file.seek(position)
    return data


def _encoded(image: Image.Image) -> bytes:
    """Pixels as a lossless file that is quick to write and to read."""
    buffer = io.BytesIO()
    if image.mode.startswith("I"):
        grey = np.asarray(image).clip(0, 65535).astype(np.uint16)
        Image.fromarray(grey).save(buffer, "PNG", compress_level=0)
    elif image.has_transparency_data:
        image.convert("RGBA").save(buffer, "PNG", compress_level=0)
    else:
        image.convert("RGB").save(buffer, "BMP")
    return buffer.getvalue()
