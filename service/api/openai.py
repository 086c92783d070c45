"""`POST /v1/embeddings`, as the OpenAI SDKs send it, with images where they have text."""

import binascii
from typing import Annotated, Literal

import orjson
from fastapi import APIRouter, Request
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, WithJsonSchema
from pydantic_core import PydanticCustomError
from starlette.responses import Response

from model_export.model_card import ModelCard
from service.api.embedding_request import (
    Upload,
    check_count,
    embed_all,
    encoding,
    in_time,
    left_s,
)
from service.api.encoding import rows
from service.api.image_text import decode, is_address
from service.api.models import check_name
from service.api.openapi import (
    EMBEDDING_ERRORS,
    EMBEDDING_HEADERS,
    MODEL_DIMENSIONS,
    MODEL_NAME,
    TINY_IMAGE,
    error_responses,
    schema_of,
)
from service.api.state import request_state, service_state
from service.errors import (
    InvalidRequest,
    ModelNotFound,
    RequestTooLarge,
    ServiceError,
    UnsupportedMediaType,
)
from service.types import Vector

router = APIRouter(tags=["openai"])

IMAGE = {
    "type": "string",
    "format": "image",
    "description": "data URI, base64, or an http(s) URL where allowed",
}


def _listed(value: object) -> object:
    if isinstance(value, str):
        return [value]
    if not isinstance(value, list) or not value:
        raise PydanticCustomError(
            "images", "send an image (a data URI or base64) or a list of them"
        )
    return value


class EmbeddingsRequest(BaseModel):
    """A request for embeddings; unknown fields are ignored."""

    model_config = ConfigDict(strict=True)

    input: Annotated[
        list[str],
        BeforeValidator(_listed),
        WithJsonSchema({"anyOf": [IMAGE, {"type": "array", "minItems": 1, "items": IMAGE}]}),
    ]
    model: str | None = Field(
        None,
        description="the served model, if given",
        json_schema_extra={"enum": [MODEL_NAME, None]},
    )
    encoding_format: Literal["float", "base64"] | None = Field(
        "float", description="base64 is of little-endian float32"
    )
    dimensions: int | None = Field(
        None,
        description="the model's own, if given",
        json_schema_extra={"enum": [MODEL_DIMENSIONS, None]},
    )
    modality: Literal["image"] | None = "image"
    user: str | None = None


EXAMPLES = {
    "one": {"summary": "one image", "value": {"model": MODEL_NAME, "input": TINY_IMAGE}},
    "many": {
        "summary": "two images, packed",
        "value": {
            "model": MODEL_NAME,
            "input": [TINY_IMAGE, TINY_IMAGE],
            "encoding_format": "base64",
        },
    },
}


class EmbeddingObject(BaseModel):
    """One image's vector, of unit length."""

    object: Literal["embedding"]
    index: int
    embedding: list[float] | str


class Usage(BaseModel):
    """Patch tokens: 3136 for 224 x 224 at patch 4."""

    prompt_tokens: int
    total_tokens: int


class EmbeddingsResponse(BaseModel):
    """Vectors in the order of the input."""

    object: Literal["list"]
    data: list[EmbeddingObject]
    model: str
    usage: Usage


@router.post(
    "/v1/embeddings",
    summary="Embed images the way OpenAI clients ask",
    responses={
        200: {"model": EmbeddingsResponse, "headers": EMBEDDING_HEADERS},
        **error_responses([*EMBEDDING_ERRORS, ModelNotFound]),
    },
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {"schema": schema_of(EmbeddingsRequest), "examples": EXAMPLES}
            },
        }
    },
)
async def embeddings(request: Request) -> Response:
    """Embed one image or a list of them, each a data URI, bare base64, or an allowed URL."""
    service, state = service_state(request), request_state(request)
    service.lifecycle.embedder.check_room()
    asked = await _parse(request)
    _check(asked, service.lifecycle.embedder.card)
    check_count(service.settings, len(asked.input))
    uploads = await _uploads(request, asked.input)
    embedder = service.lifecycle.embedder
    card = embedder.card
    _check(asked, card)  # again: another model may serve since the images were fetched
    answers = await embed_all(service, state, embedder, uploads, left_s(request))
    with encoding(service, state):
        vectors = rows(answers, normalize=True).array
        data = [
            {"object": "embedding", "index": index, "embedding": row}
            for index, row in enumerate(
                map(_base64, vectors) if asked.encoding_format == "base64" else vectors
            )
        ]
        tokens = card.patch_tokens * len(data)
        body = orjson.dumps(
            {
                "object": "list",
                "data": data,
                "model": card.name,
                "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
            },
            option=orjson.OPT_SERIALIZE_NUMPY,
        )
    return Response(body, media_type="application/json")


async def _parse(request: Request) -> EmbeddingsRequest:
    media_type = request.headers.get("content-type", "application/json").partition(";")[0].strip()
    if media_type.lower() != "application/json":
        raise UnsupportedMediaType(f"cannot read {media_type}: send JSON (application/json)")
    try:
        return EmbeddingsRequest.model_validate_json(await request.body())
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise InvalidRequest(first["msg"], param=_param(first["loc"])) from error


def _check(asked: EmbeddingsRequest, card: ModelCard) -> None:
    if asked.model is not None:
        check_name(asked.model, card, "model")
    if asked.dimensions not in {None, card.embedding_dim}:
        raise InvalidRequest(
            f"Swin embeddings cannot be cut: {card.name} has {card.embedding_dim} dimensions; "
            "leave dimensions out",
            param="dimensions",
        )


def _param(loc: tuple[int | str, ...]) -> str | None:
    """`("input", 3)` as `input[3]`."""
    return "".join(f"[{part}]" if isinstance(part, int) else part for part in loc) or None


async def _uploads(request: Request, texts: list[str]) -> list[Upload]:
    images = {
        index: decode(text, f"input[{index}]")
        for index, text in enumerate(texts)
        if not is_address(text)
    }
    if len(images) < len(texts):
        async with in_time(request):
            images |= await _fetch_all(request, texts)
    return [Upload(f"input[{index}]", images[index]) for index in range(len(texts))]


async def _fetch_all(request: Request, texts: list[str]) -> dict[int, bytes]:
    """The images of those texts that are addresses."""
    limit = service_state(request).settings.max_request_bytes
    images: dict[int, bytes] = {}
    fetched = 0
    for index, text in enumerate(texts):
        if is_address(text):
            images[index] = await _fetch(request, text, f"input[{index}]")
            fetched += len(images[index])
            if fetched > limit:
                raise RequestTooLarge("the images behind the URLs are larger than a request may be")
    return images


async def _fetch(request: Request, url: str, param: str) -> bytes:
    fetcher = service_state(request).fetcher
    if fetcher is None:
        raise InvalidRequest("images by URL are off here (SWIN_ALLOW_IMAGE_URLS)", param=param)
    try:
        image: bytes = await fetcher.fetch(url)
    except ServiceError as error:
        error.param = param
        raise
    return image


def _base64(row: Vector) -> str:
    return binascii.b2a_base64(row.tobytes(), newline=False).decode()
