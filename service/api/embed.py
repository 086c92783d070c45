"""`POST /embed`: an image as the body, or a form with many; the door for people and curl."""

import io

import orjson
from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.datastructures import FormData, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.responses import Response
from typing_extensions import Buffer

from service.api.accept import accepted, best
from service.api.answers import Upload, embed_all, embedder, encoding
from service.api.openapi import (
    EMBEDDING_ERRORS,
    EMBEDDING_HEADERS,
    error_responses,
    header,
    query_parameters,
)
from service.api.vectors import Dtype, rows
from service.errors import InvalidRequest, NotAcceptable, TooManyImages, UnsupportedMediaType
from service.preprocess import SIGNATURE_BYTES, may_be_image
from service.settings import Settings

router = APIRouter(tags=["embed"])

ACCEPTED = (
    "send an image (Content-Type: image/* or application/octet-stream) or multipart/form-data"
)

DTYPES = (
    "float32 and float16 are IEEE 754; int8 is rint(x / scale) with scale = max|x| / 127 of each "
    "vector, which X-Embedding-Scales (and scales in JSON) tells; binary is a bit a number, 1 "
    "where it is above zero, eight to a byte, the first in the highest bit"
)
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


IMAGE_FILE = _binary("an image file: JPEG, PNG, WebP or another format of the README")
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
                        "properties": {
                            "files": {
                                "type": "array",
                                "minItems": 1,
                                "items": IMAGE_FILE,
                            }
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
    embedder(request).check_room()  # before the body is read: refusing has to be cheap
    embeddings = await embed_all(request, await _uploads(request))
    with encoding(request):
        vectors = rows(embeddings, normalize=asked.normalize, dtype=asked.dtype)
        headers = {"X-Embedding-Shape": vectors.shape, "Vary": "Accept"}
        if vectors.scales is not None:
            headers["X-Embedding-Scales"] = ",".join(map(str, vectors.scales))
        if media_type == RAW:
            body = vectors.array.tobytes()
        elif media_type == NPY:
            body = vectors.npy()
        else:
            card = embedder(request).card
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
    if not request.scope["query_string"]:
        return DEFAULT_QUERY
    try:
        return EmbedQuery.model_validate(dict(request.query_params))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        name = str(first["loc"][0])
        if first["type"] == "extra_forbidden":
            known = " and ".join(EmbedQuery.model_fields)
            raise InvalidRequest(f"not a parameter; there are {known}", param=name) from error
        raise InvalidRequest(first["msg"], param=name) from error


async def _uploads(request: Request) -> list[Upload]:
    content_type = request.headers.get("content-type", "application/octet-stream")
    media_type = content_type.partition(";")[0].strip().lower()
    if media_type == "multipart/form-data":
        return await _form_files(request)
    if not media_type.startswith("image/") and media_type != "application/octet-stream":
        raise UnsupportedMediaType(f"cannot embed {media_type}: {ACCEPTED}")
    body = await _image(request)
    if not body:
        raise InvalidRequest(f"the body is empty: {ACCEPTED}")
    return [Upload(None, body)]


async def _image(request: Request) -> bytes:
    """The body; of one that cannot be an image only the beginning is kept, whatever its length."""
    chunks: list[bytes] = []
    head = b""
    kept = True
    async for chunk in request.stream():
        if len(head) < SIGNATURE_BYTES:
            head += chunk[: SIGNATURE_BYTES - len(head)]
            kept = len(head) < SIGNATURE_BYTES or may_be_image(head)
        if kept:
            chunks.append(chunk)
    return b"".join(chunks) or head


class _Pieces(io.BytesIO):
    """A file of a form as the pieces it came in: a growing buffer leaves holes in memory."""

    _rolled = False  # what UploadFile asks to know whether writing needs a thread

    def __init__(self) -> None:
        super().__init__()
        self._pieces: list[bytes] = []

    def write(self, piece: Buffer) -> int:
        self._pieces.append(bytes(piece))
        return len(self._pieces[-1])

    def read(self, size: int | None = -1) -> bytes:
        """All of it, whatever `size`, and only once."""
        pieces, self._pieces = self._pieces, []
        return b"".join(pieces)


class _FormParser(MultiPartParser):
    """Keeps files in memory: the body is bounded, and the file system may be read-only."""

    def __init__(self, request: Request, settings: Settings) -> None:
        super().__init__(
            request.headers, request.stream(), max_files=settings.max_images_per_request
        )
        self._ended = False

    async def parse(self) -> FormData:
        form = await super().parse()
        if not self._ended:
            raise MultiPartException("it ends before its closing boundary")
        return form

    def on_end(self) -> None:
        self._ended = True

    def on_headers_finished(self) -> None:
        super().on_headers_finished()
        if self._current_part.file is not None:
            self._current_part.file.file = _Pieces()

    def close(self) -> None:
        """Let go of all files, of parts that broke off too."""
        for file in self._files_to_close_on_error:
            file.close()


async def _form_files(request: Request) -> list[Upload]:
    settings: Settings = request.app.state.settings
    parser = _FormParser(request, settings)
    try:
        form = await parser.parse()
        files = form.getlist("files")
        if not files:
            raise InvalidRequest("the form has no file part named files", param="files")
        return [await _upload(f"files[{i}]", file) for i, file in enumerate(files)]
    except MultiPartException as error:
        if error.message.startswith("Too many files"):
            raise TooManyImages(error.message) from error
        raise InvalidRequest(f"the form cannot be read: {error.message}") from error
    except UnicodeError as error:  # of codecs that are hardly for text, such as punycode
        raise InvalidRequest("the form's charset cannot be read; leave it out") from error
    finally:
        parser.close()


async def _upload(param: str, file: UploadFile | str) -> Upload:
    if isinstance(file, str):
        raise InvalidRequest("this part is no file: it has no filename", param=param)
    return Upload(param, await file.read())
