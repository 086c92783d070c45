"""`POST /embed`: an image as the body, or a form with many; the door for people and curl."""

from collections.abc import Mapping

import orjson
from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.responses import Response

from service.api.embedding_request import Upload, embed_all, left_s, timed_encoding
from service.api.encoding import Dtype, rows
from service.api.forms import read_form
from service.api.negotiation import CURL_DATA, UNTOLD, accepted, best, coding, content_type
from service.api.openapi import (
    EMBEDDING_ERRORS,
    EMBEDDING_HEADERS,
    error_responses,
    header,
    query_parameters,
)
from service.api.state import request_state, service_state
from service.errors import InvalidRequest, NotAcceptable, UnsupportedMediaType
from service.images.formats import SIGNATURE_BYTES, format_of

router = APIRouter(tags=["embed"])

ACCEPTED = (
    "send an image (Content-Type: image/* or application/octet-stream) or multipart/form-data"
)

DTYPES = (
    "float32 and float16 are IEEE 754; int8 is rint(x / scale) with scale = max|x| / 127 of each "
    "vector, which X-Embedding-Scales (and scales in JSON) tells; binary is a bit a number, 1 "
    "where it is above zero, eight to a byte, the first in the highest bit"
)
MAX_QUERY_BYTES = 4096

JSON, RAW, NPY = "application/json", "application/octet-stream", "application/x-npy"


class EmbedQuery(BaseModel):
    """How the vectors should come."""

    model_config = ConfigDict(extra="forbid")

    normalize: bool = Field(default=True, description="scale vectors to unit length")
    dtype: Dtype = Field(default="float32", description=DTYPES)


DEFAULT_QUERY = EmbedQuery()


class EmbedResponse(BaseModel):
    """Vectors in the order of the images; integers where `dtype` is int8 or binary."""

    model: str
    dimensions: int
    embeddings: list[list[float]]
    scales: list[float] = Field([], description="only of int8: what a step of each vector is worth")


def _binary(description: str) -> dict[str, str]:
    return {"type": "string", "format": "binary", "description": description}


IMAGE_FILE = _binary("an image file: JPEG, PNG, WebP or another of docs/http.md")
RAW_ROWS = _binary("rows one after the other, little-endian, of dtype; see X-Embedding-Shape")
NPY_FILE = _binary("a NumPy file, format 1.0, of the rows")
HEADERS = {
    "X-Embedding-Shape": header(
        "string", "`n,width`: vectors, and numbers (of binary, bytes) each"
    ),
    "X-Embedding-Scales": header("string", "only of int8: comma-separated, one a vector"),
    **EMBEDDING_HEADERS,
}


@router.post(
    "/embed",
    summary="Embed one image or several",
    responses={
        200: {
            "model": EmbedResponse,
            "content": {RAW: {"schema": RAW_ROWS}, NPY: {"schema": NPY_FILE}},
            "headers": HEADERS,
        },
        **error_responses([*EMBEDDING_ERRORS, NotAcceptable]),
    },
    openapi_extra={
        "parameters": query_parameters(EmbedQuery),
        "requestBody": {
            "required": True,
            "content": {
                "image/*": {"schema": IMAGE_FILE},
                "application/octet-stream": {"schema": IMAGE_FILE},
                "multipart/form-data": {
                    "schema": {
                        "type": "object",
                        "required": ["files"],
                        "description": "the fields normalize and dtype may come here too",
                        "properties": {
                            "files": {
                                "type": "array",
                                "minItems": 1,
                                "items": IMAGE_FILE,
                            },
                        },
                    },
                },
            },
        },
    },
)
async def embed(request: Request) -> Response:
    """Embed the body, or each `files` part of a form, in order.

    The answer is JSON, raw little-endian rows or a NumPy file, as `Accept` prefers.
    """
    media_type = best(accepted(request), (JSON, RAW, NPY))
    if media_type is None:
        raise NotAcceptable(f"an answer can be {JSON}, {RAW} or {NPY}; name one in Accept")
    asked = _query(request)
    service, state = service_state(request), request_state(request)
    service.lifecycle.embedder.check_room()  # before the body is read: refusing has to be cheap
    uploads, fields = await _uploads(request)
    asked = _asked(fields, asked)
    embedder = service.lifecycle.embedder
    embeddings = await embed_all(service, state, embedder, uploads, left_s(request))
    with timed_encoding(service, state):
        vectors = rows(embeddings, normalize=asked.normalize, dtype=asked.dtype)
        headers = {"X-Embedding-Shape": vectors.shape, "Vary": "Accept"}
        if vectors.scales is not None:
            headers["X-Embedding-Scales"] = ",".join(map(str, vectors.scales))
        if media_type == RAW:
            body = vectors.array.tobytes()
        elif media_type == NPY:
            body = vectors.npy()
        else:
            card = embedder.card
            answer = {
                "model": card.name,
                "dimensions": card.embedding_dim,
                "embeddings": vectors.array,
            }
            if vectors.scales is not None:
                answer["scales"] = vectors.scales
            body = orjson.dumps(answer, option=orjson.OPT_SERIALIZE_NUMPY)
    return Response(body, headers=headers, media_type=media_type)


def _query(request: Request) -> EmbedQuery:
    query = request.scope["query_string"]
    if len(query) > MAX_QUERY_BYTES:
        raise InvalidRequest(f"the query has more than {MAX_QUERY_BYTES} bytes")
    return _asked(dict(request.query_params), DEFAULT_QUERY) if query else DEFAULT_QUERY


def _asked(given: Mapping[str, str], otherwise: EmbedQuery) -> EmbedQuery:
    """The parameters in a query or form; those of `otherwise` where they are missing."""
    if not given:
        return otherwise
    try:
        return EmbedQuery.model_validate(otherwise.model_dump() | dict(given))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        name = str(first["loc"][0])
        if first["type"] == "extra_forbidden":
            known = " and ".join(EmbedQuery.model_fields)
            raise InvalidRequest(f"not a parameter; there are {known}", param=name[:100]) from error
        raise InvalidRequest(first["msg"], param=name) from error


async def _uploads(request: Request) -> tuple[list[Upload], Mapping[str, str]]:
    """The images of a body, and the fields beside them where it is a form."""
    if coding(request):
        raise UnsupportedMediaType(
            "send images and forms without Content-Encoding: images are compressed already"
        )
    media_type = content_type(request)
    if media_type == "multipart/form-data":
        return await read_form(request, EmbedQuery.model_fields)
    if not media_type.startswith("image/") and media_type not in UNTOLD:
        raise UnsupportedMediaType(f"cannot embed {media_type}: {ACCEPTED}")
    body = await _image(request)
    if not body:
        raise InvalidRequest(f"the body is empty: {ACCEPTED}")
    if media_type == CURL_DATA and format_of(body) is None:
        raise UnsupportedMediaType(f"cannot embed {media_type}: {ACCEPTED}")
    return [Upload(None, body)], {}


async def _image(request: Request) -> bytes:
    """The body; if it cannot be an image, only its beginning is kept."""
    chunks: list[bytes] = []
    head = b""
    kept = True
    async for chunk in request.stream():
        if len(head) < SIGNATURE_BYTES:
            head += chunk[: SIGNATURE_BYTES - len(head)]
            kept = len(head) < SIGNATURE_BYTES or format_of(head) is not None
        if kept:
            chunks.append(chunk)
    return b"".join(chunks) or head
