"""Tensors of the Open Inference Protocol, the same over HTTP and gRPC.

A request carries either `image`, BYTES `[n]` of encoded files, or `pixels`, UINT8
`[n, height, width, 3]`; the answer carries `embedding`, FP32 `[n, dim]`.
"""

import itertools
import math
import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated

import msgspec
import numpy as np
import numpy.typing as npt
from msgspec import Meta
from pydantic import BaseModel

from model_export.model_card import EMBEDDING, PIXELS, ModelCard
from service.api.embedding_request import Upload
from service.api.image_text import decode, decode_base64
from service.api.models import is_served
from service.errors import InvalidRequest, ModelNotFound, TooManyImages
from service.settings import Settings

IMAGE = "image"
VERSION = "1"
PLATFORM = "onnxruntime_onnx"
EXTENSIONS = ("binary_tensor_data",)

DATATYPES = {IMAGE: "BYTES", PIXELS: "UINT8"}
"""Of the inputs; a request has one of them."""

MAX_DIMENSIONS = 4
ENCODED = {"base64", "pil", "str"}
"""What MLServer's clients call BYTES whose elements are base64, in binary and over gRPC too."""

STRINGS = msgspec.json.Decoder(list[str])
ROWS_OF_STRINGS = msgspec.json.Decoder(list[list[str]])
NUMBERS = msgspec.json.Decoder(list[Annotated[int, Meta(ge=0, le=255)]])
BRACKETS, SPACE = b"[]", b" \t\r\n"
PIECE = 64 * 1024
"""Bytes of numbers in JSON that are read in one call."""


@dataclass(frozen=True)
class Form:
    """How a tensor of BYTES is to be read: how many elements it may have, what they are."""

    most: int
    content_type: str | None = None


@dataclass(frozen=True)
class Tensor:
    """A tensor of a request: BYTES as a list of its elements, UINT8 as an array of its shape."""

    name: str
    data: list[bytes] | npt.NDArray[np.uint8]


class TensorMetadata(BaseModel):
    """An input or output of a model; a dimension of -1 is any number."""

    name: str
    datatype: str
    shape: tuple[int, ...]


def inputs(card: ModelCard) -> tuple[TensorMetadata, ...]:
    """The ways to send images; a request uses one of them."""
    size = card.image_size
    return (
        TensorMetadata(name=IMAGE, datatype="BYTES", shape=(-1,)),
        TensorMetadata(name=PIXELS, datatype="UINT8", shape=(-1, size, size, 3)),
    )


def outputs(card: ModelCard) -> tuple[TensorMetadata, ...]:
    """The output tensor."""
    shape = (-1, card.embedding_dim)
    return (TensorMetadata(name=EMBEDDING, datatype="FP32", shape=shape),)


def properties(card: ModelCard) -> dict[str, str]:
    """What else makes a vector and may differ between services of one model."""
    return {"color_profiles": card.preprocessing.color_profiles}


def check_model(card: ModelCard, settings: Settings, name: str, version: str) -> None:
    """Check what a request names against what is served; an empty version is any.

    Raises:
        ModelNotFound: another model or version.
    """
    if not is_served(name, card, settings) or version not in {"", VERSION}:
        asked = f"{name!r}, version {version!r}" if version else f"{name!r}"
        raise ModelNotFound(
            f"there is no model {asked}; the one served is {card.name!r}, version {VERSION!r}"
        )


def check_outputs(names: Sequence[str]) -> None:
    """Check the outputs a request asks for.

    Raises:
        InvalidRequest: one that the model does not have.
    """
    for name in names:
        if name != EMBEDDING:
            raise InvalidRequest(f"there is no output {name!r}; the output is {EMBEDDING!r}")


def timeout_s(longest_s: float, asked: int | None) -> float:
    """The time for a request whose client may ask for less, in microseconds as Triton has it."""
    return min(longest_s, asked / 1e6) if asked else longest_s


def timeout_us(parameters: Mapping[str, object]) -> int | None:
    """The request parameter `timeout`, in microseconds, if given.

    Raises:
        InvalidRequest: it is no such number.
    """
    asked = parameters.get("timeout")
    if asked is None:
        return None
    if not isinstance(asked, int) or isinstance(asked, bool) or asked < 0:
        raise InvalidRequest("the parameter 'timeout' is a number of microseconds")
    return asked


def normalize(parameters: Mapping[str, object]) -> bool:
    """The request parameter `normalize`, which is true if not given.

    Raises:
        InvalidRequest: it is not a boolean.
    """
    wanted = parameters.get("normalize", True)
    if not isinstance(wanted, bool):
        raise InvalidRequest("the parameter 'normalize' is true or false")
    return wanted


def from_raw(
    name: str, datatype: str, shape: Sequence[int], raw: bytes | memoryview, form: Form
) -> Tensor:
    """A tensor from the binary form: row-major, BYTES elements behind their 4-byte lengths.

    Raises:
        InvalidRequest: datatype, shape and data do not fit.
        TooManyImages: more elements than allowed.
    """
    _check_input(name, datatype)
    if datatype == "BYTES":
        return from_elements(name, shape, _split(name, memoryview(raw), form.most), form)
    return _array(name, shape, np.frombuffer(raw, np.uint8))


def from_json(name: str, datatype: str, shape: Sequence[int], data: bytes, form: Form) -> Tensor:
    """A tensor from JSON: numbers, flat or nested; BYTES elements as base64 or data URIs.

    Raises:
        InvalidRequest: datatype, shape and data do not fit.
        TooManyImages: more elements than allowed.
    """
    _check_input(name, datatype)
    if not data.startswith(b"["):
        raise InvalidRequest(f"the input {name!r} has no data")
    if datatype == "BYTES":
        texts = _texts(name, data)
        _check_elements(name, shape, len(texts), form.most)
        return Tensor(name, [decode(text, f"{name}[{i}]") for i, text in enumerate(texts)])
    return _array(name, shape, _numbers(name, shape, data))


def from_numbers(name: str, datatype: str, shape: Sequence[int], data: Iterable[int]) -> Tensor:
    """A tensor from numbers in a list, as gRPC has it.

    Raises:
        InvalidRequest: datatype, shape and data do not fit.
    """
    _check_input(name, datatype)
    try:
        return _array(name, shape, np.frombuffer(bytes(data), np.uint8))
    except ValueError as error:
        raise InvalidRequest(f"the data of {name!r} is to be integers from 0 to 255") from error


def from_elements(name: str, shape: Sequence[int], data: Sequence[bytes], form: Form) -> Tensor:
    """A tensor of BYTES from a list of byte strings, as gRPC has it.

    Raises:
        InvalidRequest: shape and data do not fit.
        TooManyImages: more elements than allowed.
    """
    _check_input(name, "BYTES")
    _check_elements(name, shape, len(data), form.most)
    if form.content_type not in ENCODED:
        return Tensor(name, list(data))
    try:
        return Tensor(name, [decode_base64(element) for element in data])
    except ValueError as error:
        raise InvalidRequest(f"the elements of {name!r} are to be base64") from error


def uploads(tensors: Sequence[Tensor], card: ModelCard) -> list[Upload]:
    """The images of a request.

    Raises:
        InvalidRequest: not exactly one input, or not of the model's shape.
    """
    if len(tensors) != 1:
        names = ", ".join(repr(tensor.name) for tensor in tensors[:3])
        raise InvalidRequest(f"send one input, {IMAGE!r} or {PIXELS!r}, not {names}")
    (tensor,) = tensors
    wanted = [-1, card.image_size, card.image_size, 3]
    if not isinstance(tensor.data, list) and list(tensor.data.shape[1:]) != wanted[1:]:
        raise InvalidRequest(f"{PIXELS!r} has the shape {wanted}, not {list(tensor.data.shape)}")
    if not len(tensor.data):
        raise InvalidRequest(f"the input {tensor.name!r} is empty")
    return [Upload(f"{tensor.name}[{i}]", image) for i, image in enumerate(tensor.data)]


def _check_elements(name: str, shape: Sequence[int], count: int, most: int) -> None:
    if count > most:
        raise TooManyImages(f"{name!r} has {count} images, at most {most} allowed")
    if list(shape) not in ([count], [count, 1], [1, count]):
        raise InvalidRequest(f"{name!r} has {count} elements, its shape is {list(shape)}")


def _array(name: str, shape: Sequence[int], flat: npt.NDArray[np.uint8]) -> Tensor:
    if len(shape) > MAX_DIMENSIONS or min(shape, default=0) < 0 or math.prod(shape) != flat.size:
        told = list(shape[: MAX_DIMENSIONS + 1])
        raise InvalidRequest(f"{name!r} has {flat.size} numbers, its shape is {told}")
    try:
        return Tensor(name, flat.reshape(tuple(shape)))
    except (OverflowError, ValueError) as error:  # [0, 2 ** 80]
        raise InvalidRequest(f"{name!r} has no such shape as {list(shape)}") from error


def _texts(name: str, data: bytes) -> list[str]:
    """Strings in a list, or in a list of lists: shapes of one column or row."""
    try:
        return STRINGS.decode(data)
    except msgspec.ValidationError:
        try:
            return list(itertools.chain.from_iterable(ROWS_OF_STRINGS.decode(data)))
        except msgspec.ValidationError as error:
            raise InvalidRequest(f"the elements of {name!r} are to be base64 in JSON") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InvalidRequest(f"the data of {name!r} is not JSON: {error}") from error


def _numbers(name: str, shape: Sequence[int], data: bytes) -> npt.NDArray[np.uint8]:
    """Numbers of a JSON array, row by row: a piece at a time, so that few are Python's at once."""
    flat = data.translate(None, BRACKETS + SPACE)
    pieces = []
    start = 0
    while start < len(flat):
        end = flat.find(b",", start + PIECE)
        end = len(flat) if end < 0 else end
        try:
            pieces.append(bytes(NUMBERS.decode(b"[%b]" % flat[start:end])))
        except msgspec.DecodeError as error:
            raise InvalidRequest(
                f"the data of {name!r} is to be a rectangular array of integers from 0 to 255"
            ) from error
        start = end + 1
    numbers = np.frombuffer(b"".join(pieces), np.uint8)
    brackets = data.translate(None, b"0123456789" + SPACE)
    fits = 0 < math.prod(shape) == numbers.size and len(shape) <= MAX_DIMENSIONS
    if not fits or brackets not in (_brackets([numbers.size]), _brackets(shape)):
        raise InvalidRequest(
            f"the data of {name!r}, {numbers.size} numbers, is no rectangular array of shape "
            f"{list(shape)}"
        )
    return numbers


def _brackets(shape: Sequence[int]) -> bytes:
    """An array of a shape in JSON, without its numbers."""
    inner = b""
    for size in reversed(shape):
        inner = b"[" + b",".join([inner] * size) + b"]"
    return inner


def _split(name: str, raw: memoryview, most: int) -> list[bytes]:
    elements: list[bytes] = []
    position = 0
    try:
        while position < len(raw):
            if len(elements) == most:
                raise TooManyImages(f"{name!r} has more than the {most} images allowed")
            (length,) = struct.unpack_from("<I", raw, position)
            position += 4 + length
            elements.append(bytes(raw[position - length : position]))
    except struct.error:
        position = len(raw) + 1
    if position != len(raw):
        raise InvalidRequest(f"the binary data of {name!r} breaks off")
    return elements


def _check_input(name: str, datatype: str) -> None:
    if DATATYPES.get(name) != datatype:
        raise InvalidRequest(
            f"send one input, {IMAGE!r} of BYTES or {PIXELS!r} of UINT8, not {name!r} of "
            f"{datatype!r}"
        )
