"""The OpenAPI document: answers and errors of the doors, each status with codes and examples."""

import copy
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import msgspec
import orjson
from fastapi import FastAPI, Request
from pydantic import BaseModel
from starlette.responses import Response

from service import errors
from service.errors import ServiceError


class ErrorDetail(BaseModel):
    """What went wrong; `param` names the part of the request at fault, such as `input[3]`."""

    message: str
    type: str
    param: str | None
    code: str


class FlatError(BaseModel):
    """An error as the Open Inference Protocol, KServe and Weaviate have it."""

    error: str


class ErrorResponse(BaseModel):
    """An error in the shape that OpenAI clients know."""

    error: ErrorDetail


Responses = dict[int | str, dict[str, Any]]

EMBEDDING_ERRORS: Sequence[type[ServiceError]] = (
    errors.InvalidRequest,
    errors.RequestTooLarge,
    errors.UnsupportedMediaType,
    errors.ImageTooLarge,
    errors.TooManyImages,
    errors.InvalidImage,
    errors.QueueFull,
    errors.NotReady,
    errors.RequestTimeout,
)
"""Errors that every door which embeds images may answer with."""

CONNECTION_ERRORS: Sequence[type[ServiceError]] = (
    errors.SlowRequest,
    errors.HeadTooLarge,
    errors.NotReady,
)
"""Errors that the connection answers before any door; see `service.server.connections`."""

REFERENCE = "#/components/schemas/{name}"

MODEL_NAME, MODEL_DIMENSIONS = "{model}", "{dimensions}"
"""Placeholders in what the doors tell, for the model that is served."""

TINY_IMAGE = (
    "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAIAAAACCAIAAAD91JpzAAAAFklEQVR42mN4FqDx64"
    "QNk5PGApUbcgAq/AWDfTJdgAAAAABJRU5ErkJggg=="
)
"""A 2 x 2 PNG, for examples that run."""


def header(type_: str, description: str) -> dict[str, Any]:
    """A response header."""
    return {"description": description, "schema": {"type": type_}}


REQUEST_ID = header("string", "the client's own X-Request-Id, or a new one; also in the log")
REQUEST_ID_REF = "#/components/headers/X-Request-Id"

EMBEDDING_HEADERS = {
    "Server-Timing": header("string", "milliseconds in decode, queue, inference and encode"),
    "X-Model-Digest": header("string", "sha256 of the model file that computed the vectors"),
}

RETRY_AFTER = {"Retry-After": header("integer", "seconds after which trying again makes sense")}
ERROR_HEADERS: Mapping[type[ServiceError], dict[str, Any]] = {
    errors.InvalidApiKey: {"WWW-Authenticate": header("string", "Bearer")},
    errors.QueueFull: RETRY_AFTER,
    errors.NotReady: RETRY_AFTER,
}


def schema_of(model: type[BaseModel]) -> dict[str, Any]:
    """A model's complete JSON schema, for bodies that FastAPI does not read."""
    schema = model.model_json_schema()
    definitions = schema.pop("$defs", {})

    def inlined(node: object) -> object:
        if isinstance(node, list):
            return [inlined(item) for item in node]
        if not isinstance(node, dict):
            return node
        if (reference := node.get("$ref", "")).startswith("#/$defs/"):
            return inlined(definitions[reference.removeprefix("#/$defs/")])
        return {key: inlined(value) for key, value in node.items()}

    whole = inlined(schema)
    assert isinstance(whole, dict)  # noqa: S101 - as it went in
    return whole


def json_schema(kind: Any) -> dict[str, Any]:  # noqa: ANN401 - a type or a union
    """The schema of a type of msgspec's, by the name that `install` gives it."""
    (schema,), _ = msgspec.json.schema_components([kind], ref_template=REFERENCE)
    return schema


def json_body(kind: Any, examples: Mapping[str, object]) -> dict[str, Any]:  # noqa: ANN401
    """The OpenAPI entry for a JSON body that FastAPI does not read."""
    told = {name: {"value": value} for name, value in examples.items()}
    content = {"application/json": {"schema": json_schema(kind), "examples": told}}
    return {"requestBody": {"required": True, "content": content}}


def query_parameters(model: type[BaseModel]) -> list[dict[str, Any]]:
    """The fields of a model as parameters of a query, for doors that read it by themselves."""
    return [
        {
            "name": name,
            "in": "query",
            "required": False,
            "description": schema["description"],
            "schema": schema,
        }
        for name, schema in schema_of(model)["properties"].items()
    ]


def error_responses(
    kinds: Sequence[type[ServiceError]], model: type[BaseModel] = ErrorResponse
) -> Responses:
    """The statuses of some errors, each with its codes and examples, for a route's `responses`."""
    responses: Responses = {}
    for kind in kinds:
        response = responses.setdefault(kind.status, {"model": model})
        _add(response, kind, model.__name__)
    return responses


def install(app: FastAPI, kinds: Sequence[Any]) -> None:
    """Serve the app's OpenAPI document, completed with what no single door knows.

    That is the errors and headers that all doors have, and the served model, in whose place the
    document has a made-up name until it is loaded. Each status is listed where it can be given and
    nowhere else: FastAPI's own 422 is a 400 here.

    Args:
        app: whose document it is.
        kinds: types of msgspec's that routes name in it.
    """
    plain = app.openapi
    _, components = msgspec.json.schema_components(kinds, ref_template=REFERENCE)

    @lru_cache(maxsize=1)
    def document(name: str, dimensions: int) -> dict[str, Any]:
        whole = copy.deepcopy(plain())
        for schema in ("HTTPValidationError", "ValidationError"):
            whole["components"]["schemas"].pop(schema, None)
        whole["components"]["schemas"] |= components
        whole["components"]["headers"] = {"X-Request-Id": REQUEST_ID}
        for operations in whole["paths"].values():
            for operation in operations.values():
                _complete(operation, _error_of(operation))
        root = app.state.service.settings.root_path
        # A relative address is right below whatever prefix a proxy took off.
        beside = {"url": ".", "description": "where this document is"}
        whole["servers"] = [{"url": root} if root else beside]
        filled = _fill(whole, {MODEL_NAME: name, MODEL_DIMENSIONS: dimensions})
        assert isinstance(filled, dict)  # noqa: S101 - as it went in
        return filled

    @lru_cache(maxsize=1)
    def text(name: str, dimensions: int) -> bytes:
        return orjson.dumps(document(name, dimensions))

    def served() -> tuple[str, int]:
        try:
            card = app.state.service.lifecycle.embedder.card
        except errors.NotReady:
            return "swin_nano_patch4_window7_224", 512
        return card.name, card.embedding_dim

    async def answer(_: Request) -> Response:
        return Response(text(*served()), media_type="application/json")

    app.openapi = lambda: document(*served())  # type: ignore[method-assign]
    app.add_route("/openapi.json", answer, include_in_schema=False)


def _error_of(operation: Mapping[str, Any]) -> str:
    """The shape of an operation's own errors, from one that it tells of."""
    flat = f"/{FlatError.__name__}" in str(operation["responses"])
    return FlatError.__name__ if flat else ErrorResponse.__name__


def _complete(operation: dict[str, Any], own_error: str) -> None:
    """Add the errors that any operation can end in, and the headers of every answer."""
    responses: dict[str, dict[str, Any]] = operation["responses"]
    validation = responses.get("422", {}).get("content", {}).get("application/json", {})
    if "HTTPValidationError" in validation.get("schema", {}).get("$ref", ""):
        del responses["422"]
    everywhere = [(kind, ErrorResponse.__name__) for kind in CONNECTION_ERRORS]
    everywhere.append((errors.InternalError, own_error))
    if "security" in operation:
        everywhere.append((errors.InvalidApiKey, own_error))
    for kind, model in everywhere:
        _add(responses.setdefault(str(kind.status), {}), kind, model)
    for status in sorted(responses):
        response = responses.pop(status)
        named = {} if status in {"408", "431"} else {"X-Request-Id": {"$ref": REQUEST_ID_REF}}
        responses[status] = response | {"headers": response.get("headers", {}) | named}


def _add(response: dict[str, Any], kind: type[ServiceError], model: str) -> None:
    """Add an error to the description of its status."""
    means = " ".join((kind.__doc__ or "").split())
    says = f"`{kind.code}`: {means}"
    told = response.get("description", "")
    if says not in told:
        response["description"] = f"{told}\n\n{says}" if told else says
    body = response.setdefault("content", {}).setdefault("application/json", {})
    detail = {"message": means, "type": kind.type, "param": None, "code": kind.code}
    error = means if model == FlatError.__name__ else detail
    name = kind.code if model != FlatError.__name__ else f"{kind.code} in short"
    body.setdefault("examples", {})[name] = {"summary": kind.code, "value": {"error": error}}
    own = {"$ref": f"#/components/schemas/{model}"}
    if "schema" in body and body["schema"] != own:
        body["schema"] = {"anyOf": [body["schema"], own]}
    elif "model" not in response:
        body["schema"] = own
    if header := ERROR_HEADERS.get(kind):
        response.setdefault("headers", {}).update(header)


def _fill(node: object, values: Mapping[str, object]) -> object:
    """Replace the placeholders of a document, and leave out defaults of null."""
    if isinstance(node, list):
        return [_fill(item, values) for item in node]
    if isinstance(node, dict):
        return {
            key: _fill(value, values)
            for key, value in node.items()
            if (key, value) != ("default", None)  # generators take it for a field that is there
        }
    return values.get(node, node) if isinstance(node, str) else node
