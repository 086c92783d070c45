"""Tensors of the Open Inference Protocol, the same over HTTP and gRPC.

A request carries either `image`, BYTES `[n]` of encoded files, or `pixels`, UINT8
`[n, height, width, 3]`; the answer carries `embedding`, FP32 `[n, dim]`.
"""

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel

from model_export.model_card import EMBEDDING, PIXELS, ModelCard
from service.api.embedding_request import Upload
from service.api.image_text import decode_base64
from service.errors import InvalidRequest, ModelNotFound

IMAGE = "image"
VERSION = "1"
PLATFORM = "onnxruntime_onnx"
EXTENSIONS = ("binary_tensor_data",)


@dataclass(frozen=True)
class Tensor:
    """A tensor of a request: BYTES as a list of its elements, UINT8 as an array of its shape."""

    name: str
    data: list[bytes] | npt.NDArray[np.uint8]


class TensorMetadata(BaseModel):
    """What a model takes or gives; -1 is any number."""

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
    """What comes back."""
    shape = (-1, card.embedding_dim)
    return (TensorMetadata(name=EMBEDDING, datatype="FP32", shape=shape),)


def check_model(card: ModelCard, name: str, version: str) -> None:
    """Check what a request names against what is served; an empty version is any.

    Raises:
        ModelNotFound: another model or version.
    """
    if name != card.name or version not in {"", VERSION}:
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


def normalize(parameters: Mapping[str, object]) -> bool:
    """The request parameter `normalize`, which is true if not given.

    Raises:
        InvalidRequest: it is not a boolean.
    """
    wanted = parameters.get("normalize", True)
    if not isinstance(wanted, bool):
        raise InvalidRequest("the parameter 'normalize' is true or false")
    return wanted


def from_raw(name: str, datatype: str, shape: Sequence[int], raw: bytes) -> Tensor:
    """A tensor from the binary form: row-major, BYTES elements behind their 4-byte lengths.

    Raises:
        InvalidRequest: datatype, shape and data do not fit.
    """
    if datatype == "BYTES":
        return _strings(name, shape, _split(name, raw))
    _check_datatype(name, datatype)
    return _array(name, shape, np.frombuffer(raw, np.uint8))


def from_list(name: str, datatype: str, shape: Sequence[int], data: Any) -> Tensor:  # noqa: ANN401
    """A tensor from JSON: numbers, flat or nested; BYTES elements as base64.

    Raises:
        InvalidRequest: datatype, shape and data do not fit.
    """
    if not isinstance(data, list):
        raise InvalidRequest(f"the input {name!r} has no data")
    if datatype == "BYTES":
        try:
            return _strings(name, shape, [decode_base64(element) for element in data])
        except (AttributeError, ValueError) as error:
            raise InvalidRequest(f"the elements of {name!r} are to be base64 in JSON") from error
    _check_datatype(name, datatype)
    try:
        numbers = np.array(data)
    except (OverflowError, ValueError) as error:
        raise InvalidRequest(f"the data of {name!r} is not a rectangular array") from error
    if numbers.dtype.kind not in "iu" or (
        numbers.size and not 0 <= numbers.min() <= numbers.max() <= 255
    ):
        raise InvalidRequest(f"the data of {name!r} is to be integers from 0 to 255")
    return _array(name, shape, numbers.astype(np.uint8).ravel())


def from_elements(name: str, shape: Sequence[int], data: Sequence[bytes]) -> Tensor:
    """A tensor of BYTES from a list of byte strings, as gRPC has it.

    Raises:
        InvalidRequest: shape and data do not fit.
    """
    return _strings(name, shape, list(data))


def uploads(tensors: Sequence[Tensor], card: ModelCard) -> list[Upload]:
    """The images of a request.

    Raises:
        InvalidRequest: not exactly one of `image` and `pixels`, or not of the model's shape.
    """
    known = {tensor.name: tensor for tensor in inputs(card)}
    if len(tensors) != 1 or tensors[0].name not in known:
        raise InvalidRequest(f"send one input, {IMAGE!r} or {PIXELS!r}")
    (tensor,) = tensors
    if isinstance(tensor.data, list) != (tensor.name == IMAGE):
        raise InvalidRequest(f"the input {tensor.name!r} is of {known[tensor.name].datatype}")
    if not isinstance(tensor.data, list) and tensor.data.shape[1:] != known[PIXELS].shape[1:]:
        wanted = list(known[PIXELS].shape)
        raise InvalidRequest(f"{PIXELS!r} has the shape {wanted}, not {list(tensor.data.shape)}")
    if not len(tensor.data):
        raise InvalidRequest(f"the input {tensor.name!r} is empty")
    return [Upload(f"{tensor.name}[{i}]", image) for i, image in enumerate(tensor.data)]


def _strings(name: str, shape: Sequence[int], elements: list[bytes]) -> Tensor:
    if list(shape) != [len(elements)]:
        raise InvalidRequest(f"{name!r} has {len(elements)} elements, its shape is {list(shape)}")
    return Tensor(name, elements)


def _array(name: str, shape: Sequence[int], flat: npt.NDArray[np.uint8]) -> Tensor:
    try:
        if min(shape, default=0) < 0:
            raise ValueError
        return Tensor(name, flat.reshape(tuple(shape)))
    except (OverflowError, ValueError) as error:
        raise InvalidRequest(
            f"{name!r} has {flat.size} numbers, its shape is {list(shape)}"
        ) from error


def _split(name: str, raw: bytes) -> list[bytes]:
    elements = []
    position = 0
    try:
        while position < len(raw):
            (length,) = struct.unpack_from("<I", raw, position)
            position += 4 + length
            elements.append(raw[position - length : position])
    except struct.error:
        position = len(raw) + 1
    if position != len(raw):
        raise InvalidRequest(f"the binary data of {name!r} breaks off")
    return elements


def _check_datatype(name: str, datatype: str) -> None:
    if datatype != "UINT8":
        raise InvalidRequest(f"the input {name!r} is BYTES or UINT8, not {datatype}")
