"""`/v2`: the Open Inference Protocol over HTTP, for KServe's and Triton's clients.

Tensors are JSON or binary, either way: https://github.com/kserve/open-inference-protocol and
https://github.com/triton-inference-server/server (protocol/extension_binary_data.md).
"""

import re
from typing import Any

import msgspec
import orjson
from fastapi import APIRouter, Request
from starlette.responses import JSONResponse, Response

from model_export import __version__
from model_export.model_card import EMBEDDING
from service.api import health, tensors
from service.api.embedding_request import embed_all, left_s, timed_encoding
from service.api.encoding import rows
from service.api.models import Name
from service.api.open_inference_messages import (
    InferParameters,
    InferRequest,
    InferResponse,
    InputParameters,
    ModelMetadata,
    OutputRequest,
    ServerMetadata,
)
from service.api.openapi import (
    EMBEDDING_ERRORS,
    EMBEDDING_HEADERS,
    TINY_IMAGE,
    FlatError,
    error_responses,
    header,
    json_schema,
)
from service.api.parsing import decode, parse, read_body
from service.api.state import request_state, service_state
from service.api.tensors import Tensor
from service.engine.embedder import Embedder
from service.errors import InvalidRequest, ModelNotFound, NotReady

HEADER_LENGTH = "Inference-Header-Content-Length"
PREFIX = "/v2"
LENGTH = re.compile(r"[0-9]{1,18}")
INFER_REQUEST = msgspec.json.Decoder(InferRequest)

probes = APIRouter(prefix=PREFIX, tags=["open_inference"])
router = APIRouter(prefix=PREFIX, tags=["open_inference"])


NOT_READY = error_responses([NotReady], FlatError)
NOT_FOUND = error_responses([ModelNotFound, NotReady], FlatError)

VERSIONED = {
    "parameters": [
        {
            "name": "version",
            "in": "path",
            "required": True,
            "description": f"the model's version, which is {tensors.VERSION}",
            "schema": {"type": "string", "example": tensors.VERSION},
        }
    ]
}


@probes.get("/health/live", summary="Whether the process answers")
async def live() -> dict[str, bool]:
    """200 as long as the process answers."""
    return {"live": True}


@probes.get("/health/ready", summary="Whether to send requests here", responses=NOT_READY)
async def ready(request: Request) -> Response:
    """200 once an embedding was computed and while the engine makes progress, else 503."""
    return await health.ready(request)


@router.get("", summary="What this server is")
async def server_metadata() -> ServerMetadata:
    """Name, version and extensions of the protocol."""
    return ServerMetadata(
        name="swin-embed", version=__version__, extensions=list(tensors.EXTENSIONS)
    )


@router.get("/models/{name}", summary="What the model takes and gives", responses=NOT_FOUND)
@router.get(
    "/models/{name}/versions/{version}",
    summary="What a version of the model takes and gives",
    responses=NOT_FOUND,
    openapi_extra=VERSIONED,
)
async def model_metadata(request: Request, name: Name) -> ModelMetadata:
    """Inputs and outputs with their datatypes and shapes, and what is done with colour profiles."""
    card = embedder(request, name).card
    return ModelMetadata(
        name=card.name,
        versions=[tensors.VERSION],
        platform=tensors.PLATFORM,
        inputs=tensors.inputs(card),
        outputs=tensors.outputs(card),
        properties=tensors.properties(card),
    )


@router.get("/models/{name}/ready", summary="Whether the model is ready", responses=NOT_FOUND)
@router.get(
    "/models/{name}/versions/{version}/ready",
    summary="Whether a version of the model is ready",
    responses=NOT_FOUND,
    openapi_extra=VERSIONED,
)
async def model_ready(request: Request, name: Name) -> Response:
    """200 while the engine makes progress, else 503."""
    embedder(request, name)
    await health.ready(request)
    return JSONResponse({"name": name, "ready": True})


BINARY = {
    "type": "string",
    "format": "binary",
    "description": f"{HEADER_LENGTH} bytes of JSON, then the tensors",
}
EXAMPLES = {
    "image": {
        "summary": "an encoded image, as base64",
        "value": {
            "inputs": [
                {
                    "name": "image",
                    "shape": [1],
                    "datatype": "BYTES",
                    "data": [TINY_IMAGE.partition(",")[2]],
                }
            ]
        },
    }
}
JSON_LENGTH = {
    "name": HEADER_LENGTH,
    "in": "header",
    "required": False,
    "description": "bytes of JSON before the tensors, in a binary request",
    "schema": {"type": "integer", "minimum": 0},
}
BODY: dict[str, Any] = {
    "parameters": [JSON_LENGTH],
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {"schema": json_schema(InferRequest), "examples": EXAMPLES},
            "application/octet-stream": {"schema": BINARY},
        },
    },
}
INFER: dict[str, Any] = {
    "responses": {
        200: {
            "model": InferResponse,
            "content": {"application/octet-stream": {"schema": BINARY}},
            "headers": {
                HEADER_LENGTH: header(
                    "integer", "bytes of JSON before the tensors, in a binary answer"
                ),
                **EMBEDDING_HEADERS,
            },
        },
        **error_responses([*EMBEDDING_ERRORS, ModelNotFound], FlatError),
    },
}


@router.post("/models/{name}/infer", summary="Embed images", openapi_extra=BODY, **INFER)
@router.post(
    "/models/{name}/versions/{version}/infer",
    summary="Embed images with a version of the model",
    openapi_extra=BODY | {"parameters": [*VERSIONED["parameters"], JSON_LENGTH]},
    **INFER,
)
async def infer(request: Request, name: Name) -> Response:
    """Embed the elements of `image` or `pixels`; vectors have unit length unless told otherwise."""
    service, state = service_state(request), request_state(request)
    service.lifecycle.embedder.check_room()
    asked, given = await _parse(request)
    parameters = asked.parameters or InferParameters()
    served = embedder(request, name)
    card = served.card
    outputs = asked.outputs or []
    tensors.check_outputs([output.name for output in outputs])
    binary = _wants_binary(parameters, outputs)
    uploads = tensors.uploads(given, card)
    timeout_s = tensors.timeout_s(left_s(request), parameters.timeout)
    answers = await embed_all(service, state, served, uploads, timeout_s)
    with timed_encoding(service, state):
        vectors = rows(answers, normalize=parameters.normalize is not False).array
        output: dict[str, object] = {"name": EMBEDDING, "datatype": "FP32", "shape": vectors.shape}
        if binary:
            output["parameters"] = {"binary_data_size": vectors.nbytes}
        else:
            output["data"] = vectors.ravel()
        answer: dict[str, object] = {
            "model_name": card.name,
            "model_version": tensors.VERSION,
            "outputs": [output],
        }
        if asked.id is not None:
            answer["id"] = asked.id
        body = orjson.dumps(answer, option=orjson.OPT_SERIALIZE_NUMPY)
    if not binary:
        return Response(body, media_type="application/json")
    headers = {HEADER_LENGTH: str(len(body))}
    return Response(body + vectors.tobytes(), 200, headers, "application/octet-stream")


def embedder(request: Request, name: str) -> Embedder:
    """What serves the model and the version that a request's path names.

    Raises:
        ModelNotFound: they are not those that are served.
    """
    service = service_state(request)
    served = service.lifecycle.embedder
    version = request.path_params.get("version", "")
    tensors.check_model(served.card, service.settings, name, version)
    return served


async def _parse(request: Request) -> tuple[InferRequest, list[Tensor]]:
    body = await read_body(request)
    length = _header_length(request.headers.get(HEADER_LENGTH), len(body))
    most = service_state(request).settings.max_images_per_request
    return await parse(len(body), _read, body, length, most)


def _read(body: bytes, length: int, most: int) -> tuple[InferRequest, list[Tensor]]:
    """A request and its tensors, which are in its JSON or follow it, in the order of the inputs."""
    asked = decode(body[:length], INFER_REQUEST)
    rest = memoryview(body)[length:]
    given = []
    for tensor in asked.inputs:
        parameters = tensor.parameters or InputParameters()
        size = parameters.binary_data_size
        form = tensors.Form(most, parameters.content_type)
        described = (tensor.name, tensor.datatype, tensor.shape)
        if size is None:
            data = b"" if isinstance(tensor.data, msgspec.UnsetType) else bytes(tensor.data)
            given.append(tensors.from_json(*described, data, form))
            continue
        if not 0 <= size <= len(rest):
            raise InvalidRequest(f"binary_data_size of {tensor.name!r} does not fit the body")
        given.append(tensors.from_raw(*described, rest[:size], form))
        rest = rest[size:]
    if rest:
        raise InvalidRequest(f"{len(rest)} bytes of binary data belong to no input")
    return asked, given


def _header_length(given: str | None, body: int) -> int:
    if given is None:
        return body
    if not LENGTH.fullmatch(given) or int(given) > body:
        raise InvalidRequest(f"{HEADER_LENGTH} is the length of the JSON before the tensors")
    return int(given)


def _wants_binary(parameters: InferParameters, outputs: list[OutputRequest]) -> bool:
    wanted = parameters.binary_data_output
    for output in outputs:
        if output.parameters is None:
            continue
        if output.parameters.classification is not None:
            raise InvalidRequest("an embedding has no classes; leave 'classification' out")
        if output.parameters.binary_data is not None:
            wanted = output.parameters.binary_data
    return bool(wanted)
