"""The JSON doors: one for each dialect, with the same code for all."""

import itertools
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import msgspec
import orjson
from fastapi import APIRouter, Request
from starlette.responses import Response

from service.api.dialects import DIALECTS
from service.api.dialects.dialect import Answer, Body, Dialect
from service.api.embedding_request import (
    Upload,
    check_count,
    embed_all,
    in_time,
    left_s,
    timed_encoding,
)
from service.api.encoding import rows
from service.api.image_text import ImageText, decode_all
from service.api.models import check_name
from service.api.openapi import (
    EMBEDDING_ERRORS,
    EMBEDDING_HEADERS,
    MODEL_NAME,
    ErrorResponse,
    FlatError,
    error_responses,
    json_body,
    json_schema,
)
from service.api.parsing import parse, read_json
from service.api.state import request_state, service_state
from service.errors import InvalidRequest, ModelNotFound, RequestTooLarge, ServiceError
from service.settings import Settings
from service.types import ModelInfo

NAME = {
    "name": "name",
    "in": "path",
    "required": True,
    "description": "the served model",
    "schema": {"type": "string", "example": MODEL_NAME},
}


def add_doors(router: APIRouter) -> None:
    """Add the door of each dialect to a router."""
    for dialect in DIALECTS:
        error = FlatError if dialect.flat_errors else ErrorResponse
        for path in dialect.paths:
            router.add_api_route(
                path,
                _door(dialect),
                methods=["POST"],
                tags=[dialect.name],
                summary=dialect.summary,
                name=dialect.name,
                responses={
                    200: {
                        "description": "Vectors in the order of the images",
                        "content": {"application/json": {"schema": json_schema(dialect.answer)}},
                        "headers": EMBEDDING_HEADERS,
                    },
                    **error_responses([*EMBEDDING_ERRORS, ModelNotFound], error),
                },
                openapi_extra=json_body(dialect.body, {"image": dialect.example})
                | ({"parameters": [NAME]} if "{name}" in path else {}),
            )


def _door(dialect: Dialect) -> Callable[[Request], Awaitable[Response]]:
    decoder = msgspec.json.Decoder(dialect.body)

    async def embeddings(request: Request) -> Response:
        service, state = service_state(request), request_state(request)
        service.lifecycle.embedder.check_room()
        asked = await _read(request, decoder)
        _check(request, asked, service.lifecycle.embedder.model, service.settings)
        uploads = await _uploads(request, asked)
        embedder = service.lifecycle.embedder
        # Again: another model may serve since the body was read.
        _check(request, asked, embedder.model, service.settings)
        answers = await embed_all(service, state, embedder, uploads, left_s(request))
        with timed_encoding(service, state):
            vectors = rows(answers, normalize=asked.normalize is not False).array
            path = request.scope["route"].path
            answer = asked.answer(Answer(path, embedder.card, vectors, answers))
            body = orjson.dumps(answer, option=orjson.OPT_SERIALIZE_NUMPY)
        return Response(body, media_type="application/json")

    embeddings.flat_errors = dialect.flat_errors  # type: ignore[attr-defined]
    return embeddings


async def _read(request: Request, decoder: msgspec.json.Decoder[Body]) -> Body:
    try:
        return await read_json(request, decoder)
    except InvalidRequest as error:
        numbers = "got `int`" in error.message or "got `array`" in error.message
        if numbers and (error.param or "").startswith("input["):
            error.message = (
                "this model embeds images, and these are token ids; LangChain's OpenAIEmbeddings "
                "needs check_embedding_ctx_length=False"
            )
        raise


def _check(request: Request, asked: Body, served: ModelInfo, settings: Settings) -> None:
    """Check a request's model name and dimensions.

    Raises:
        ModelNotFound: another model.
        InvalidRequest: embeddings of another length.
    """
    card = served.card
    check_name(request.path_params.get("name"), card, settings)
    check_name(asked.model, card, settings, "model")
    if asked.dimensions not in {None, 0, card.embedding_dim}:
        raise InvalidRequest(
            f"Swin embeddings cannot be cut: {card.name} has {card.embedding_dim} dimensions; "
            "leave dimensions out",
            param="dimensions",
        )


async def _uploads(request: Request, asked: Body) -> list[Upload]:
    settings = service_state(request).settings
    texts = list(itertools.islice(asked.image_texts(), settings.max_images_per_request + 1))
    check_count(settings, len(texts))
    size = sum(len(image.text) for image in texts)
    images = await parse(size, decode_all, texts)
    if None in images:
        async with in_time(request):
            await _fetch_all(request, texts, images)
    return [
        Upload(image.param, data)
        for image, data in zip(texts, images, strict=True)
        if data is not None
    ]


async def _fetch_all(
    request: Request, texts: Sequence[ImageText], images: list[bytes | None]
) -> None:
    """Fetch the images whose texts are addresses, and fill them in."""
    limit = service_state(request).settings.max_request_bytes
    fetched = 0
    for index, image in enumerate(texts):
        if image.is_address:
            images[index] = data = await _fetch(request, image)
            fetched += len(data)
            if fetched > limit:
                raise RequestTooLarge("the images behind the URLs are larger than a request may be")


async def _fetch(request: Request, image: ImageText) -> bytes:
    fetcher = service_state(request).fetcher
    if fetcher is None:
        raise InvalidRequest(
            "images by URL are off here (SWIN_ALLOW_IMAGE_URLS)", param=image.param
        )
    try:
        return await fetcher.fetch(image.text)
    except ServiceError as error:
        error.param = image.param
        raise


def documented() -> list[Any]:
    """The types that OpenAPI needs for these doors."""
    return [kind for dialect in DIALECTS for kind in (dialect.body, dialect.answer)]
