"""Requests and answers of the Open Inference Protocol over HTTP, as `/v2` reads and tells them."""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field
from pydantic.config import JsonDict

from model_export.model_card import EMBEDDING, PIXELS
from service.api import tensors
from service.api.tensors import TensorMetadata


class V2Error(BaseModel):
    """An error in the protocol's shape."""

    error: str


def _parameters(**types: str) -> Any:  # noqa: ANN401 - as Field is
    """Parameters of any name, those that matter here of these types."""
    properties: JsonDict = {name: {"type": type_} for name, type_ in types.items()}
    return Field({}, json_schema_extra={"properties": properties})


class InferParameters(BaseModel):
    """Parameters that matter here; others are ignored."""

    model_config = ConfigDict(strict=True, extra="allow")


class InputTensor(InferParameters):
    """An input; `data` stays out where it follows in binary."""

    name: str = Field(json_schema_extra={"enum": [tensors.IMAGE, PIXELS]})
    shape: list[Annotated[int, Field(ge=0)]]
    datatype: str = Field(json_schema_extra={"enum": ["BYTES", "UINT8"]})
    parameters: dict[str, Any] = _parameters(binary_data_size="integer")
    data: list[Any] | None = None


class OutputRequest(InferParameters):
    """An output that is asked for."""

    name: str = Field(json_schema_extra={"enum": [EMBEDDING]})
    parameters: dict[str, Any] = _parameters(binary_data="boolean")


class InferRequest(InferParameters):
    """A request to embed images."""

    id: str | None = None
    parameters: dict[str, Any] = _parameters(normalize="boolean", binary_data_output="boolean")
    inputs: list[InputTensor] = Field(min_length=1, json_schema_extra={"maxItems": 1})
    outputs: list[OutputRequest] = []


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
