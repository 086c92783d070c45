"""What the doors tell OpenAPI of their answers: each status with its codes and examples."""

from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel

from service import errors
from service.errors import ServiceError


class ErrorDetail(BaseModel):
    """What went wrong; `param` names the part of the request at fault, such as `input[3]`."""

    message: str
    type: str
    param: str | None
    code: str


class Error(BaseModel):
    """An error in the shape that OpenAI clients know."""

    error: ErrorDetail


Responses = dict[int | str, dict[str, Any]]

EMBEDDING_ERRORS: Sequence[type[ServiceError]] = (
    errors.InvalidRequest,
    errors.RequestTooLarge,
    errors.ImageTooLarge,
    errors.TooManyImages,
    errors.UnsupportedMediaType,
    errors.InvalidImage,
    errors.QueueFull,
    errors.NotReady,
    errors.RequestTimeout,
)
"""What any door that embeds images may answer with."""


def schema_of(model: type[BaseModel]) -> dict[str, Any]:
    """A model's JSON schema, whole: for bodies that a door reads by itself."""
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


def error_responses(
    kinds: Sequence[type[ServiceError]], model: type[BaseModel] = Error
) -> Responses:
    """The statuses of some errors, each with its codes, for a route's `responses`."""
    responses: Responses = {}
    for kind in kinds:
        says = f"`{kind.code}`: {' '.join((kind.__doc__ or '').split())}"
        known = responses.setdefault(kind.status, {"model": model, "description": ""})
        known["description"] = "\n\n".join(filter(None, (known["description"], says)))
        if kind in {errors.QueueFull, errors.NotReady}:
            known["headers"] = {
                "Retry-After": {
                    "description": "seconds after which trying again makes sense",
                    "schema": {"type": "integer"},
                }
            }
    return responses
