"""The JSON messages of the Open Inference Protocol over HTTP.

A request's parameters and fields that are not named here are not read.
"""

from typing import Annotated, Any

import msgspec
from msgspec import Meta
from pydantic import BaseModel

from model_export.model_card import EMBEDDING
from service.api.tensors import TensorMetadata

Name = Annotated[str, Meta(max_length=256)]
Shape = Annotated[list[Annotated[int, Meta(ge=0)]], Meta(max_length=4)]


class InputParameters(msgspec.Struct):
    """What may be said of an input."""

    binary_data_size: int | None = None
    content_type: Annotated[
        Name | None, Meta(description="base64 where BYTES elements are that in binary too")
    ] = None


class InputTensor(msgspec.Struct):
    """An input: `image` or `pixels`. `data` stays out where it follows in binary."""

    name: Name
    shape: Shape
    datatype: Name
    parameters: InputParameters | None = None
    data: (
        Annotated[msgspec.Raw, Meta(extra_json_schema={"type": "array", "items": {}})]
        | msgspec.UnsetType
    ) = msgspec.UNSET


class OutputParameters(msgspec.Struct):
    """How an output should come."""

    binary_data: bool | None = None
    classification: Annotated[int | None, Meta(extra_json_schema={"type": "null"})] = None


class OutputRequest(msgspec.Struct):
    """An output that is asked for; there is `embedding`."""

    name: Annotated[Name, Meta(extra_json_schema={"enum": [EMBEDDING]})]
    parameters: OutputParameters | None = None


class InferParameters(msgspec.Struct):
    """What may be said of a request; `timeout` is in microseconds, as Triton has it."""

    normalize: bool | None = None
    binary_data_output: bool | None = None
    timeout: Annotated[int, Meta(ge=0)] | None = None


class InferRequest(msgspec.Struct):
    """A request to embed images."""

    inputs: Annotated[list[InputTensor], Meta(min_length=1)]
    id: Name | None = None
    parameters: InferParameters | None = None
    outputs: list[OutputRequest] | None = None


class OutputTensor(BaseModel):
    """An output; `data` stays out where it follows in binary."""

    name: str
    datatype: str
    shape: list[int]
    parameters: dict[str, Any] | None = None
    data: list[float] | None = None


class InferResponse(BaseModel):
    """Vectors in the order of the input, row by row."""

    model_name: str
    model_version: str
    id: str | None = None
    outputs: list[OutputTensor]


class ServerMetadata(BaseModel):
    """What this server is."""

    name: str
    version: str
    extensions: list[str]


class ModelMetadata(BaseModel):
    """What the model is, takes (one of the inputs in a request) and gives."""

    name: str
    versions: list[str]
    platform: str
    inputs: tuple[TensorMetadata, ...]
    outputs: tuple[TensorMetadata, ...]
    properties: dict[str, str]
